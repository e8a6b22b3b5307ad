"""For tests on several processes: real MPI ranks, by mpi4py and the mpiexec that comes with it; skipped where there is none."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import heed_ctrl_c

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


class Running:
    """``minitorch ARGUMENTS`` on n ranks, in the background."""

    def __init__(self, n, *arguments, **variables):
        self.mark = f"RUN_{os.urandom(4).hex()}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", self.mark: "1", **variables}
        command = [mpiexec(), "-n", str(n), sys.executable, "-m", "models.cli", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, preexec_fn=heed_ctrl_c, **pipes)

    def wait_for(self, path, seconds=60):
        """Until the file is there."""
        end = time.monotonic() + seconds
        while not path.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, f"no {path} after {seconds} s"
            time.sleep(0.05)

    def worker(self, rank):
        """The process that does the work of a rank: the child of the one that mpiexec started."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if self.mark.encode() in environment and f"\0PMI_RANK={rank}\0".encode() in b"\0" + environment:
                found[int(folder.name)] = parent
        return next(pid for pid, parent in found.items() if parent in found)

    def end(self, seconds=60):
        """(status, standard output, standard error)"""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode, out, err
