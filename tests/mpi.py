"""For tests on several processes: real MPI ranks, by mpi4py and the mpiexec that comes with it; skipped where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def mpiexec():
    """The program that starts ranks; skips the test without it."""
    pytest.importorskip("mpi4py", reason="needs mpi4py and mpich: pip install -e '.[mpi]'")
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec: pip install mpich")
    return found


def ranks(n, *arguments, timeout=120, **variables):
    """python ARGUMENTS on n ranks: what subprocess.run returns."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", **variables}
    command = [mpiexec(), "-n", str(n), sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


def command(n, *arguments, **named):
    """``minitorch ARGUMENTS`` on n ranks."""
    return ranks(n, "-m", "models.cli", *arguments, **named)


def script(n, tmp_path, text, *arguments, **named):
    """A program on n ranks; its standard output."""
    path = tmp_path / "program.py"
    path.write_text(text)
    done = ranks(n, path, *arguments, **named)
    assert done.returncode == 0, done.stderr
    return done.stdout
