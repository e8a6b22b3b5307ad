"""Settings that must come before NumPy's import: the kernels of its BLAS, and what malloc does with freed memory.

Only the command uses this: a library should not change the process that imports it. Imports the standard library only.
``OPENBLAS_CORETYPE=...`` or ``MALLOC_...=...`` in the environment take precedence; `minitorch doctor` shows the outcome.
Read before: cli.py.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

AVX512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}  # OpenBLAS's SkylakeX kernels need these


def prepare() -> None:
    """Both settings, where they help and the user has not chosen otherwise."""
    kernels = blas_kernels(cpu_info())
    if "numpy" not in sys.modules and "OPENBLAS_CORETYPE" not in os.environ and kernels is not None:
        os.environ["OPENBLAS_CORETYPE"] = kernels
    if platform.libc_ver()[0] == "glibc" and not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        keep_memory()


def cpu_info() -> str:
    """Linux's description of the first core; empty on other systems."""
    path = Path("/proc/cpuinfo")
    return path.read_text().partition("\n\n")[0] if path.exists() else ""


def blas_kernels(info: str) -> str | None:
    """The OpenBLAS kernels to ask for on an AMD CPU with AVX-512; None: OpenBLAS chooses well by itself.

    Zen 5 and later (family 26): OpenBLAS takes its AVX2 kernels, half as fast as its AVX-512 kernels. Zen 4 (family 25): it takes
    the AVX-512 kernels; this CPU computes those in two halves, 3 to 8 % slower than AVX2.
    """
    facts = dict(line.replace("\t", "").split(":", 1) for line in info.splitlines() if ":" in line)
    if "AuthenticAMD" not in facts.get("vendor_id", "") or not set(facts.get("flags", "").split()) >= AVX512:
        return None
    return "SkylakeX" if int(facts.get("cpu family", 0)) >= 26 else "Haswell"


def keep_memory() -> None:
    """Let freed arrays stay in the process for the next step.

    By default malloc returns large blocks to the system, and every step maps them again: 10 to 20 % of a small BERT's time.
    """
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(M_ARENA_MAX, 1)  # a block that one thread freed serves the other
