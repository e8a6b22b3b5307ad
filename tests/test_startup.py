"""What the command sets before NumPy is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from models import startup

ZEN5 = "vendor_id\t: AuthenticAMD\ncpu family\t: 26\nflags\t\t: fpu avx2 avx512f avx512dq avx512bw avx512vl\n"
ZEN4 = ZEN5.replace("26", "25")


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (ZEN5, "SkylakeX"),
        (ZEN4, "Haswell"),
        (ZEN5.replace("avx512vl", ""), None),
        (ZEN5.replace("AuthenticAMD", "GenuineIntel"), None),
        (ZEN5.replace("avx512f ", "avx512f_not "), None),
        ("", None),
    ],
)
def test_which_processors_need_to_be_told(info, expected):
    assert startup.blas_kernels(info) == expected


def chosen(program: str, **environment: str) -> str:
    """What OPENBLAS_CORETYPE is after ``program`` in a process of its own."""
    ours = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    code = f"import os; from models import startup; startup.blas_kernels = lambda info: 'SkylakeX'; {program}; "
    code += "print(os.environ.get('OPENBLAS_CORETYPE'))"
    return subprocess.run(
        [sys.executable, "-c", code], env={**ours, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_kernels_are_chosen_before_numpy_comes_and_the_user_goes_before():
    assert chosen("startup.prepare()") == "SkylakeX"
    assert chosen("import numpy; startup.prepare()") == "None"
    assert chosen("startup.prepare()", OPENBLAS_CORETYPE="Zen") == "Zen"


def test_the_command_starts_without_numpy():
    code = "import sys, models.cli; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_settings_of_malloc_by_the_user_go_before(monkeypatch):
    called = []
    monkeypatch.setattr(startup, "keep_memory", lambda: called.append(1))
    monkeypatch.setattr(startup.platform, "libc_ver", lambda: ("glibc", "2.36"))
    for name in list(os.environ):
        if name.startswith(("MALLOC_", "GLIBC_TUNABLES")):
            monkeypatch.delenv(name)
    startup.prepare()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    startup.prepare()
    assert called == [1]
