"""The process that judges. The learner's code never runs in it, and points come only from its own comparisons.

Another process (subject.py) runs the learner's code and returns bare values; this one compares them with the expected ones.
If that process dies early, a new one continues after the task that killed it. Tests that need minitorch run in a process of
their own, so the first one contains no minitorch. A test counts only if its values carry the right secret and are complete
and right: an exit status, a printed "passed" or an edited test file earns nothing. Only the one named file is used.

This is not a security sandbox: see subject.py.
Read before: testing.py, subject.py. Read next: reports.py.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .assignments import Assignment, home
from .testing import Test, complaint, decode, without_answers

MEMORY = 4 << 30  # bytes of address space for the learner's process
LARGEST_SOURCE = 1 << 20
LARGEST_REPORT = 1 << 27
LARGEST_OUTPUT = 4000  # characters of its output that are kept
LARGEST_FILE = 1 << 26  # bytes that the learner's process may print
ODD = {
    "ctypes",
    "exec",
    "eval",
    "gc",
    "importlib",
    "inspect",
    "open",
    "os",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "__import__",
}


@dataclass
class Verdict:
    """The result of one test. ``problems`` is empty if, and only if, the test passed."""

    test: Test
    problems: list[str]
    undone: bool = False  # the stub's own NotImplementedError
    crashed: bool = False  # an error or a dead process, not a wrong value
    error: tuple[str, str] = ("", "")  # the exception's name and text, if there was one
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Right in every value?"""
        return not self.problems

    @property
    def points(self) -> float:
        """The points earned."""
        return self.test.points if self.passed else 0.0


@dataclass
class Grade:
    """The verdicts on one file."""

    assignment: Assignment
    path: str
    digest: str
    verdicts: list[Verdict]
    output: str = ""  # what the learner's code printed
    notes: list[str] = field(default_factory=list)  # for the instructor: names that a solution hardly needs

    @property
    def points(self) -> float:
        """The sum of the points earned."""
        return sum(v.points for v in self.verdicts)

    @property
    def possible(self) -> float:
        """The sum of all possible points."""
        return sum(v.test.points for v in self.verdicts)

    def of_task(self, number: str) -> list[Verdict]:
        """The verdicts on one task."""
        return [v for v in self.verdicts if v.test.task == number]


def read_source(path: Path) -> str:
    """The learner's file, if it is an ordinary file of ordinary size; otherwise ValueError says why not."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is not an ordinary file" if path.exists() or path.is_symlink() else "there is no such file")
    if path.stat().st_size > LARGEST_SOURCE:
        raise ValueError(f"it has {path.stat().st_size:,} bytes; a solution has a few thousand")
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not a UTF-8 text ({error.reason} at byte {error.start})") from None


def grade(assignment: Assignment, path: Path, hidden: bool = True, tasks: Iterable[str] | None = None) -> Grade:
    """Run the tests on a learner's file in a separate process, and judge the values it returns."""
    chosen = [t for t in assignment.tests if (hidden or not t.hidden) and (tasks is None or t.task in tasks)]
    try:
        source = read_source(path)
    except ValueError as error:
        return Grade(assignment, str(path), "", [Verdict(t, [f"{path}: {error}"], crashed=True) for t in chosen])
    return grade_source(assignment, source, str(path.resolve()), chosen)


def grade_source(assignment: Assignment, source: str, path: str, chosen: list[Test]) -> Grade:
    """``grade``, of a source text."""
    result = Grade(assignment, path, hashlib.sha256(source.encode()).hexdigest()[:12], [], notes=odd_names(source))
    verdicts: dict[str, Verdict] = {}
    left = chosen
    while left:
        library = all(t.needs_library for t in left)  # the tests that need minitorch come last, in a process of their own
        asked = [t for t in left if library or not t.needs_library]
        answers, output = run_subject(assignment, source, path, asked, library)
        result.output = (result.output if output in result.output else result.output + output)[-LARGEST_OUTPUT:]
        later = [t for t in left if t not in asked] if answers.loaded else []  # what cannot be imported is not tried again
        left = [t for t in left if t not in later]
        missing = [t for t in left if t.name not in answers.entries]
        guilty = next((t.task for t in missing if t.name in answers.began), missing[0].task if missing else None)
        again = [t for t in missing if t.task != guilty] if answers.loaded else []
        verdicts |= {t.name: judge(t, answers) for t in left if t not in again}
        left = again + later
    result.verdicts = [verdicts[t.name] for t in chosen]
    return result


def odd_names(source: str) -> list[str]:
    """Names in the source that a solution hardly needs and that a trick does, with their lines."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = {}
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [node.id] if isinstance(node, ast.Name) else []
        for name in names:
            if name.partition(".")[0] in ODD:
                found.setdefault(name.partition(".")[0], getattr(node, "lineno", 0))
    return [f"{name} (line {line})" for name, line in sorted(found.items(), key=lambda item: item[1])]


# ------------------------------------------------------------------------------------------------------- judging


@dataclass
class Answers:
    """The report of a process: entries by test, the error of the import if there was one, and how it ended."""

    entries: dict[str, dict[str, Any]]
    began: set[str]
    loading: dict[str, Any] | None  # the failure of the import
    loaded: bool
    ending: str
    path: str


def judge(test: Test, answers: Answers) -> Verdict:
    """Compare the values a test returned with the expected ones."""
    entry = answers.entries.get(test.name)
    if entry is None:
        return Verdict(test, [_nothing_came(test, answers)], crashed=True)
    if "error" in entry:
        return _failed(test, entry, answers)
    try:
        values = {str(label): decode(value) for label, value in entry["values"].items()}
        seconds = float(entry.get("seconds", 0))
    except (KeyError, TypeError, ValueError, AttributeError):
        return Verdict(test, ["the report of this test was not written by the grader's own process"], crashed=True)
    problems = []
    if set(values) != set(test.answers):
        problems.append("the report of this test lacks values, or has extra ones")
    for label, expected in test.answers.items():
        if label in values:
            try:
                wrong = complaint(values[label], expected)
            except Exception as error:  # a value of a kind that the comparison has no words for
                wrong = f"cannot be compared ({type(error).__name__}: {error})"
            if wrong:
                problems.append(f"{label}: {wrong}")
    return Verdict(test, problems, seconds=seconds)


def _failed(test: Test, entry: dict[str, Any], answers: Answers) -> Verdict:
    kind, text = _readable(entry["error"]), _readable(entry.get("text", ""))
    line = entry.get("line")
    where = f" (line {int(line)} of {os.path.basename(answers.path)})" if isinstance(line, int) else ""
    if kind == "NotImplementedError" and text.startswith("Task "):
        return Verdict(test, [f"not written yet: {text}{where}"], undone=True, error=(kind, text))
    if kind == "MemoryError":
        text = text or f"more than {MEMORY >> 30} GiB of memory asked for"
    return Verdict(test, [f"{kind}: {text}{where}"], crashed=True, error=(kind, text))


def _readable(text: Any) -> str:
    """A text from the learner's process as one line that any terminal can show."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def _nothing_came(test: Test, answers: Answers) -> str:
    if answers.loading is not None:
        entry = answers.loading
        line = entry.get("line")
        where = f" (line {int(line)})" if isinstance(line, int) else ""
        what = f"{_readable(entry['error'])}: {_readable(entry.get('text', ''))}"
        return f"{os.path.basename(answers.path)} cannot be imported: {what}{where}"
    during = "during this test" if test.name in answers.began else "before this test" if answers.loaded else "during the import"
    return f"no result: {answers.ending} {during}"


# ------------------------------------------------------------------------------------------ the learner's process


def run_subject(assignment: Assignment, source: str, path: str, tests: list[Test], library: bool) -> tuple[Answers, str]:
    """Run tests in a fresh process group with limits; return its report and its output.

    Without ``library`` the process has no minitorch: not in its memory, and not to read from disk.
    """
    nonce, tag = secrets.token_hex(16), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        room = Path(folder) / "work"
        room.mkdir()
        results, printed, request = (Path(folder) / name for name in ("results", "printed", "request"))
        results.touch()
        files = dict.fromkeys("hidden_tests.py" if t.hidden else "visible_tests.py" for t in tests)
        order = {
            "nonce": nonce,
            "source": source,
            "path": path,
            "paths": import_paths(),
            "tests": [without_answers(assignment._read(name), library) for name in files],
            "library": library,
            "names": [t.name for t in tests],
            "results": str(results),
            "folder": str(room),
            "closed": closed_folders(library),
            "memory": MEMORY,
            "file_size": file_size(tag),
            "seconds": assignment.seconds * len({t.task for t in tests}),
        }
        request.write_text(json.dumps(order), encoding="utf-8")
        ending = _run(request, room, printed, results, assignment.seconds, order["seconds"], tag)
        answers = read_report(results, nonce, ending, path)
        with open(printed, "rb") as file:
            file.seek(max(0, printed.stat().st_size - LARGEST_OUTPUT))
            output = file.read().decode("utf-8", "replace")
    return answers, output


def import_paths() -> list[str]:
    """Where the learner's process may import from: this process's paths, without the working folder."""
    root = str(Path(__file__).resolve().parents[2])
    return [root, *(p for p in sys.path if p and os.path.isabs(p) and p != root and os.path.abspath(p) != os.getcwd())]


def closed_folders(library: bool) -> list[str]:
    """The folders with answers, closed to the learner's process. Folders to import from must stay open."""
    root = Path(__file__).resolve().parents[2]
    names = ("lessons", "tests", ".git", *(() if library else ("minitorch", "models")))
    return [str(home()), *(str(root / name) for name in names if (root / name).exists())]


def _run(request: Path, room: Path, printed: Path, results: Path, seconds: float, total: float, tag: str) -> str:
    """Start the process; end it and its children when it reports nothing new for ``seconds``; say how it ended."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
    kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {**one, "HOME": str(room), "TMPDIR": str(room), "TEMP": str(room), "COURSE_RUN": tag, "MPLBACKEND": "Agg"}
    environment["MINITORCH_KERNELS"] = "numpy"  # compiled loops would cost seconds of the limit, and more memory
    command = [sys.executable, "-I", "-X", "utf8", str(Path(__file__).with_name("subject.py")), str(request)]
    group = {"start_new_session": True} if os.name == "posix" else {}
    with open(printed, "wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=room, env=environment, close_fds=True, **group
        )
        try:
            start = news = time.monotonic()
            size = 0
            while time.monotonic() < min(news + seconds, start + total) + 3:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return _ending(process.wait(timeout=0.25), seconds)
                if results.stat().st_size != size:
                    size, news = results.stat().st_size, time.monotonic()
            return f"stopped after {seconds:g} seconds: an endless loop?"
        finally:
            end_all(process, tag)


def _ending(status: int, seconds: float) -> str:
    if status < 0 and -status in (getattr(signal, "SIGXCPU", 0), getattr(signal, "SIGKILL", 0)):
        return f"stopped at the limit of {seconds:g} seconds or of memory"
    if status < 0:
        return f"the process was ended by signal {-status}"
    return f"the process ended (status {status})"


def end_all(process: subprocess.Popen[bytes], tag: str) -> None:
    """End the process, its group, and what left the group but still carries the run's tag."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()
    for _ in range(20):
        left = tagged(tag)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            return
        time.sleep(0.02)


def file_size(tag: str) -> int:
    """The run's limit on the size of a file, slightly different in each run: a mark that a process cannot remove."""
    return LARGEST_FILE + int(tag[:6], 16)


def tagged(tag: str) -> list[int]:
    """Processes with COURSE_RUN=tag in their environment, or with the run's own limit (Linux; elsewhere none is found)."""
    found = []
    mark, size = f"COURSE_RUN={tag}".encode(), str(file_size(tag)).encode()
    for entry in Path("/proc").glob("[0-9]*") if Path("/proc").is_dir() else ():
        try:
            marked = mark in (entry / "environ").read_bytes() or size in (entry / "limits").read_bytes().split()
            if marked and entry.name != str(os.getpid()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def read_report(results: Path, nonce: str, ending: str, path: str) -> Answers:
    """The entries that carry the secret; a test that reported twice is an error."""
    answers = Answers({}, set(), None, False, ending, path)
    twice = set()
    content = b"" if results.is_symlink() or results.stat().st_size > LARGEST_REPORT else results.read_bytes()
    for line in content.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or entry.get("nonce") != nonce:
            continue
        name = entry.get("test")
        if name is None:
            answers.loaded |= bool(entry.get("loaded"))
            answers.loading = entry if "error" in entry else answers.loading
        elif entry.get("began"):
            answers.began.add(str(name))
        elif name in answers.entries:
            twice.add(name)
        else:
            answers.entries[str(name)] = entry
    for name in twice:
        answers.entries[name] = {"error": "RuntimeError", "text": "this test's result was written more than once"}
    return answers
