"""The process between grader and learner: it runs the tests, and asks the learner's process for each function call.

grader.py starts one for each file, with an order on its standard input, and reads one line of JSON for each test from its
standard output: the values that the test returned, or how it failed. It judges nothing. It starts the learner's process
(subject.py), ends it when a test takes too long, and starts another for the tasks after the one that ended it.
Read before: remote.py, subject.py. Read next: grader.py.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .proxy import FarError
from .remote import Gone, Link
from .testing import Test, encode, task

MEMORY = 4 << 30  # bytes of address space for the learner's process
THREADS = 64
LARGEST_OUTPUT = 4000  # characters of its output that are kept
LARGEST_FILE = 1 << 26  # bytes that it may print
MOST_SECONDS = 1200  # of CPU time in all, should it outlive this process
PATIENCE = 3  # one call may last so many times longer than the test's CPU time, without what it waits for a busy CPU
START = "import sys; sys.path[:] = sys.argv[1:]; sys.dont_write_bytecode = True; from models.course.subject import main; main()"


class Learner(Link):
    """A learner's process, and this process's end of the link to it."""

    rival: Learner | None = None

    def __init__(self, source: str, path: str, seconds: float, room: Path, closed: bool = True) -> None:
        self.seconds, self.room = seconds, room
        self.source, self.path, self.ending = source, path, ""
        self.fellows: list[Learner] = []
        with open(room.parent / "printed", "ab") as out:
            group: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", "-c", START, *import_paths()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, cwd=room, env=environment(room), **group,
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        super().__init__(self.process.stdout, self.process.stdin, owner=True)
        self.over = threading.Event()
        self.begin(seconds + 30)  # loading NumPy is not the learner's time
        threading.Thread(target=self._watch, daemon=True).start()
        limits = {"AS": MEMORY, "FSIZE": LARGEST_FILE, "CPU": MOST_SECONDS}
        limits |= {"NPROC": THREADS} if os.name == "posix" and not os.getuid() else {}
        self.means = self.request("confine", limits) if closed else None

    def load(self) -> Any:
        """The learner's module."""
        self.begin(self.seconds)
        return self.request("load", self.source, self.path)

    def fresh(self) -> Any:
        """The learner's module for the next test; what belonged to the one before is dropped."""
        if self.rival is not None:
            self.rival.close()
            self.rival = None
        self.begin(self.seconds)
        self.request("forget")
        self.forget()
        gc.collect()
        return self.request("module")

    def fellow(self, rank: int) -> Any:
        """The learner's module in one more process, for ranks.py; rank 0 is this process's own."""
        if rank > len(self.fellows):
            self.fellows.append(Learner(self.source, self.path, self.seconds, self.room))
            self.fellows[-1].load()
        return self.fellows[rank - 1].fresh()

    def begin(self, seconds: float) -> None:
        """Something begins that may use so many seconds of CPU time."""
        self.used, self.allowed, self.turn = cpu_time(self.process.pid), seconds, math.inf

    def receive(self) -> tuple[dict[str, Any], list[Any]]:
        """The next message; until then it is the learner's turn."""
        self.turn = time.monotonic() - queued_time(self.process.pid)
        try:
            return super().receive()
        finally:
            self.turn = math.inf

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            used, wall = cpu_time(self.process.pid), time.monotonic() - queued_time(self.process.pid) - self.turn
            slow = wall if used is None or self.used is None else max(used - self.used, wall / PATIENCE)
            if slow > self.allowed:
                self.ending = f"stopped after {self.seconds:g} seconds: an endless loop?"
                self.kill()
                return

    def kill(self) -> None:
        """End the process and its group."""
        self.over.set()
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.process.kill()

    def close(self) -> str:
        """End it; say how it ended."""
        if self.rival is not None:
            self.rival.close()
        for fellow in self.fellows:
            fellow.kill()
            fellow.process.wait()
        status: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = None if self.ending else self.process.wait(timeout=0.2)
        self.kill()
        self.process.wait()
        if self.ending or status is None:
            return self.ending or "the process wrote what the grader does not read"
        return f"the process was ended by signal {-status}" if status < 0 else f"the process ended (status {status})"

    # ------------------------------------------------------------------------------- for race and new_memory of testing.py

    def timed(self, function: Any, base: Any, signs: Any) -> tuple[Callable[[], float], Callable[..., Any]]:
        """The clock of the process (where the system does not tell its CPU time, the time of day), and a round of a race."""

        def clock() -> float:
            used = cpu_time(self.process.pid)
            return time.perf_counter() if used is None else used

        return clock, lambda *numbers: self.request("digest", function, base, *numbers, signs)

    def timed_definition(self, kernel: Any, base: Any, signs: Any) -> tuple[Callable[[], float], Callable[..., Any]]:
        """The same for the definition of a kernel, in a process without learner's code."""
        self.rival = self.rival or Learner("", "", math.inf, self.room, closed=False)
        return self.rival.timed(self.rival.request("definition", kernel.__module__, kernel.__name__), base, signs)

    def peak(self, function: Any, arguments: tuple[Any, ...]) -> int | None:
        """The most bytes that the process held more during a call than before it; None where the kernel does not tell."""
        status = Path(f"/proc/{self.process.pid}")
        try:
            (status / "clear_refs").write_text("5")
            before = _status(status, "VmRSS")
            function(*arguments)
            return max(0, _status(status, "VmHWM") - before)
        except OSError:  # not Linux, or not root's: its files in /proc are closed to others
            return None


def _status(process: Path, name: str) -> int:
    text = (process / "status").read_text().partition(f"{name}:")[2]
    return int(text.split()[0]) << 10


def cpu_time(pid: int) -> float | None:
    """CPU seconds that a process has used, all its threads together (Linux; elsewhere None)."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the clock id of another process, see clock_getcpuclockid(3)
    except (OSError, AttributeError, OverflowError):
        return None


def queued_time(pid: int) -> float:
    """Seconds that a process's first thread was ready to run while every CPU was busy (Linux's schedstat; elsewhere 0)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def import_paths() -> list[str]:
    """Where the learner's process may import from until its doors close: this process's paths, without the working folder."""
    root = str(Path(__file__).resolve().parents[2])
    return [root, *(p for p in sys.path if p and os.path.isabs(p) and p != root and os.path.abspath(p) != os.getcwd())]


def environment(room: Path) -> dict[str, str]:
    """One thread for each library, and nothing of this process's own variables that it does not need."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
    one["MINITORCH_KERNELS"] = "numpy"  # compiled loops would cost seconds of the limit, and memory
    kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "OPENBLAS_CORETYPE")
    return {name: os.environ[name] for name in kept if name in os.environ} | one | {"HOME": str(room), "TMPDIR": str(room)}


# ------------------------------------------------------------------------------------------------------ the tests' side


def main() -> None:
    """Run the tests of the order on standard input."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the learner's process is ended, too
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    order = json.load(sys.stdin)
    np.seterr(all="ignore")
    with contextlib.suppress(ImportError, ValueError, OSError):  # what comes back is bounded, however much it is
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2 * MEMORY, resource.RLIM_INFINITY))
    gc.disable()  # a test may make 100,000 nodes: they are all in use, and gone after it

    def report(**entry: Any) -> None:
        out.write(json.dumps(entry) + "\n")
        out.flush()

    tests = [test for name, source in order["files"] for test in run_halves(name, source)]
    wanted = {test.name: test for test in tests}
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        room = Path(folder) / "work"
        room.mkdir()
        run(lambda: Learner(order["source"], order["path"], order["seconds"], room), [wanted[n] for n in order["names"]], report)
        with open(room.parent / "printed", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LARGEST_OUTPUT))
            report(output=file.read().decode("utf-8", "replace"))


def run_halves(name: str, source: str) -> list[Test]:
    """The tests of a file."""
    names: dict[str, Any] = {"__name__": name, "task": task}
    exec(compile(source, f"<{name}>", "exec"), names)
    return [value for value in names.values() if isinstance(value, Test)]


def run(start: Callable[[], Learner], tests: list[Test], report: Callable[..., None]) -> None:
    """Each test in turn. A task whose test ended the process has no further tests; the next task has a new process."""
    learner = None
    ended: dict[str, str] = {}  # the task: the test
    try:
        for test in tests:
            if test.task in ended:
                report(test=test.name, skipped=ended[test.task])
                continue
            if learner is None:
                learner = start()
                try:
                    learner.load()
                except FarError as error:
                    return report(loaded=False, loading=failure(error), means=learner.means)
                except Gone:
                    return report(
                        loaded=False, loading=f"no result while it was imported: {learner.close()}", means=learner.means
                    )
                report(loaded=True, means=learner.means)
            try:
                report(test=test.name, **outcome(test.run, learner.fresh()))
            except Gone:
                report(test=test.name, gone=learner.close())
                learner, ended[test.task] = None, test.name
    finally:
        if learner is not None:
            learner.close()


def outcome(run: Callable[[Any], dict[str, Any]], module: Any) -> dict[str, Any]:
    """The values that a test returns, or how it failed."""
    start = time.perf_counter()
    try:
        values = {str(label): encode(value) for label, value in run(module).items()}
    except (Gone, KeyboardInterrupt):
        raise
    except BaseException as error:
        return failure(error)
    return {"values": values, "seconds": time.perf_counter() - start}


def failure(error: BaseException) -> dict[str, Any]:
    """An exception in one line, with the line of the learner's file."""
    name = error.name if isinstance(error, FarError) else type(error).__name__
    return {"error": name, "text": str(error)[:600], "line": error.line if isinstance(error, FarError) else None}


if __name__ == "__main__":
    main()
