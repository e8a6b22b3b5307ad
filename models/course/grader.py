"""The process that judges. Neither the learner's code nor the tests run in it, and points come only from its own comparisons.

    grader.py      knows the expected values and compares          (this process)
    supervisor.py  runs the tests, one process for each file       returns plain values over a pipe
    subject.py     runs the learner's code, closed by the kernel   returns the results of calls over a pipe

If one of them dies, values are missing, and missing values earn nothing: an exit status, a printed "passed" or an edited
test file earns nothing either. Only the one named file is used.

This is not a security sandbox: see subject.py.
Read before: testing.py, supervisor.py. Read next: reports.py.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .assignments import Assignment
from .supervisor import LARGEST_OUTPUT, MEMORY, PATIENCE, import_paths
from .testing import Test, complaint, decode, without_answers

LARGEST_SOURCE = 1 << 20
START = "import sys; sys.path[:] = sys.argv[1:]; from models.course.supervisor import main; main()"
REMARKS = {  # on errors, by their names or by a part of their texts
    "RecursionError": "Python stops at a depth of 1000 calls, a list used as a stack does not",
    "NoneType": "is a return missing?",
    "cannot unpack non-iterable": "the docstring says how many things must come back",
    "read-only": "an array that came in is changed in place",
}
ODD_PREFIXES = ("f_", "co_", "tb_", "gi_", "cr_", "ag_")  # parts of frames and code
ODD_TEXT = """
    compile ctypes eval exec gc globals importlib inspect locals marshal open os pickle signal socket subprocess sys types vars
    __builtins__ __import__ _getframe"""
ORDINARY_TEXT = """
    __init__ __new__ __repr__ __str__ __call__ __len__ __iter__ __next__ __enter__ __exit__ __getitem__ __setitem__ __delitem__
    __contains__ __reversed__ __missing__ __hash__ __bool__ __float__ __int__ __index__ __neg__ __pos__ __abs__ __slots__ __name__
    __doc__ __post_init__ __array_priority__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __main__ __all__ __version__ __file__
    __annotations__ __future__ __author__"""
ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
ODD = frozenset(ODD_TEXT.split())
ORDINARY = {*ORDINARY_TEXT.split(), *(f"__{side}{name}__" for side in ("", "r", "i") for name in ARITHMETIC)}


@dataclass
class Verdict:
    """The result of one test. ``problems`` is empty if, and only if, the test passed."""

    test: Test
    problems: list[str]
    undone: bool = False  # the stub's own NotImplementedError
    crashed: bool = False  # an error or a dead process, not a wrong value
    whole: bool = False  # a problem of the whole file, such as one that cannot be imported
    skipped: bool = False  # another test of the task ended the process before
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
    means: list[str] | None = None  # what the kernel did to close the learner's process; None: it never started

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
        return Grade(assignment, str(path), "", [Verdict(t, [f"{path}: {error}"], crashed=True, whole=True) for t in chosen])
    return grade_source(assignment, source, str(path.resolve()), chosen)


def grade_source(assignment: Assignment, source: str, path: str, chosen: list[Test]) -> Grade:
    """``grade``, of a source text."""
    answers = supervise(assignment, source, path, chosen)
    verdicts = [judge(t, answers) for t in chosen]
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    return Grade(assignment, path, digest, verdicts, answers.output, odd_names(source), answers.means)


def odd_names(source: str) -> list[str]:
    """Names in the source that a solution hardly needs and that a trick does, with their lines."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        for name in _names_of(node):
            private = name[:2] == name[-2:] == "__" and name.isidentifier() and name not in ORDINARY
            of_a_frame = name.startswith(ODD_PREFIXES) and isinstance(node, ast.Attribute)
            if private or of_a_frame or (name in ODD and not isinstance(node, ast.Constant)):
                found.setdefault(name, getattr(node, "lineno", 0))
    return [f"{name} (line {line})" for name, line in sorted(found.items(), key=lambda item: item[1])]


def _names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0], *(alias.name for alias in node.names)]
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    return [node.id] if isinstance(node, ast.Name) else [node.attr] if isinstance(node, ast.Attribute) else []


# ------------------------------------------------------------------------------------------------------- judging


@dataclass
class Answers:
    """The supervisor's report: an entry for each test, or the reason why there is none."""

    path: str
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    loading: dict[str, Any] | str | None = None  # why the file cannot be imported
    output: str = ""
    means: list[str] | None = None


def judge(test: Test, answers: Answers) -> Verdict:
    """Compare the values a test returned with the expected ones."""
    entry = answers.entries.get(test.name)
    if entry is None:
        return Verdict(test, [_nothing_came(answers)], crashed=True, whole=True)
    if "gone" in entry:
        return Verdict(test, [f"no result: {entry['gone']}"], crashed=True)
    if "skipped" in entry:
        return Verdict(test, [f"not run: {entry['skipped']} ended the process"], crashed=True, skipped=True)
    if "error" in entry:
        return _failed(test, entry, answers)
    try:
        values = {str(label): decode(value) for label, value in entry["values"].items()}
        seconds = float(entry.get("seconds", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Verdict(test, [f"the values cannot be read ({type(error).__name__}: {error})"], crashed=True)
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
    remark = next((f"; {said}" for sign, said in REMARKS.items() if sign == kind or sign in text), "")
    return Verdict(test, [f"{kind}: {text}{where}{remark}"], crashed=True, error=(kind, text))


def _readable(text: Any) -> str:
    """A text from the learner's process as one line that any terminal can show."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def _nothing_came(answers: Answers) -> str:
    loading = answers.loading
    if not isinstance(loading, dict):
        return loading or "no result: the grader's own process ended before this test"
    where = f" (line {int(loading['line'])})" if isinstance(loading.get("line"), int) else ""
    what = f"{_readable(loading['error'])}: {_readable(loading.get('text', ''))}"
    return f"{os.path.basename(answers.path)} cannot be imported: {what}{where}"


def supervise(assignment: Assignment, source: str, path: str, tests: list[Test]) -> Answers:
    """Have the tests run on a source, in processes of their own; what came of it."""
    files = dict.fromkeys("hidden_tests.py" if t.hidden else "visible_tests.py" for t in tests)
    order = {
        "source": source,
        "path": path,
        "files": [(name.removesuffix(".py"), without_answers(assignment._read(name))) for name in files],
        "names": [t.name for t in tests],
        "seconds": assignment.seconds,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-c", START, *import_paths()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=os.name == "posix",
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MINITORCH_KERNELS": "numpy"},
    )  # fmt: skip
    answers = Answers(path)
    patience = 60 + 2 * PATIENCE * assignment.seconds * (1 + len({t.task for t in tests}))
    try:
        report, _ = process.communicate(json.dumps(order).encode(), timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        report, _ = process.communicate()
    except BaseException:  # Ctrl-C
        process.terminate()
        raise
    for line in report.splitlines():
        read_line(answers, line)
    return answers


def read_line(answers: Answers, line: bytes) -> None:
    """Put one line of the report in its place; the last line may be cut short."""
    try:
        entry = json.loads(line)
    except ValueError:
        return
    if "test" in entry:
        answers.entries[entry["test"]] = entry
    elif "loaded" in entry:
        answers.loading = answers.loading or entry.get("loading")
        answers.means = entry.get("means", answers.means)
    else:
        answers.output = str(entry.get("output", ""))[-LARGEST_OUTPUT:]
