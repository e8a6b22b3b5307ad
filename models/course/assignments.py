"""The parts of an assignment, and how its stub and its reference come from one source file.

A folder of lessons/assignments/ holds
    README.md           the handout
    assignment.toml     title, the learner's file, tasks with their hints, limits; not handed out
    NAME.py             the reference; each solution is between ### BEGIN SOLUTION 1.2: text and ### END SOLUTION
    visible_tests.py    handed out with the stub
    hidden_tests.py     kept by the instructor
Read before: testing.py. Read next: grader.py.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput, listing
from .testing import Test, load_tests

ORDER = ("scalar", "tensors", "engine", "attention", "mlm", "kernel", "tokens", "gpt", "adapt", "parallel")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def home() -> Path:
    """The folder of the assignments: lessons/assignments next to the packages, or its copy in an installed wheel."""
    here = Path(__file__).resolve().parent
    for folder in (here.parents[1] / "lessons" / "assignments", here / "assignments"):
        if folder.is_dir():
            return folder
    raise BadInput(f"the assignments are not installed: there is no folder {here.parents[1] / 'lessons' / 'assignments'}")


@dataclass(frozen=True)
class Task:
    """One numbered task, with hints from gentle to plain."""

    number: str
    title: str
    functions: tuple[str, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Assignment:
    """An assignment, as read from its folder."""

    name: str
    number: int
    title: str
    file: str
    tasks: tuple[Task, ...]
    folder: Path
    seconds: float
    think_of: str = ""  # where hidden tests look that visible ones do not

    @property
    def source(self) -> str:
        """The one source file: reference and stub."""
        return self._read(self.file)

    @property
    def handout(self) -> str:
        """The text for the learner."""
        return self._read("README.md")

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    @functools.cached_property
    def tests(self) -> list[Test]:
        """All tests, visible ones first."""
        hidden = self.folder / "hidden_tests.py"
        tests = load_tests(self.folder / "visible_tests.py", hidden=False)
        return tests + (load_tests(hidden, hidden=True) if hidden.exists() else [])

    def points(self, task: str | None = None, hidden: bool = True) -> float:
        """The points of the assignment, or of one task."""
        return sum(t.points for t in self.tests if task in (None, t.task) and (hidden or not t.hidden))

    @property
    def stub(self) -> str:
        """The source as handed out to learners."""
        return make_stub(self.source)


def all_assignments() -> list[Assignment]:
    """All of them, in order."""
    return [load(home() / name, i) for i, name in enumerate(ORDER, 1) if (home() / name / "assignment.toml").exists()]


def find(name: str) -> Assignment:
    """By name or number."""
    known = all_assignments()
    for assignment in known:
        if name.lower().removesuffix(".py") in (assignment.name, str(assignment.number)):
            return assignment
    raise BadInput(f"there is no assignment {name!r}; there are {listing(f'{a.number} {a.name}' for a in known)}")


@functools.cache
def load(folder: Path, number: int = 0) -> Assignment:
    """Read assignment.toml."""
    text = tomllib.loads((folder / "assignment.toml").read_text(encoding="utf-8"))
    tasks = tuple(
        Task(t["number"], t["title"], tuple(t.get("functions", ())), tuple(" ".join(h.split()) for h in t["hints"]))
        for t in text["task"]
    )
    title, file, seconds = text["title"], text["file"], float(text.get("seconds", 10))
    return Assignment(folder.name, number, title, file, tasks, folder, seconds, text.get("think_of", ""))


_REGION = re.compile(rf"^([ \t]*){BEGIN} (.*?)\n(.*?)^[ \t]*{END}[^\n]*\n", re.DOTALL | re.MULTILINE)


def make_stub(source: str, keep: set[str] | None = None) -> str:
    """Replace each solution with its NotImplementedError; solutions of the tasks in ``keep`` stay, without markers."""

    def hole(match: re.Match[str]) -> str:
        indent, text, body = match.groups()
        if keep is not None and text.partition(":")[0] in keep:
            return body
        return f'{indent}raise NotImplementedError("Task {text}")\n'

    return _REGION.sub(hole, source)


def regions(source: str) -> list[tuple[str, str, str]]:
    """Each solution of a source: its indentation, the text of its NotImplementedError, and the solution itself."""
    return _REGION.findall(source)


def reference(source: str) -> str:
    """The source without the markers."""
    return make_stub(source, solved_tasks(source))


def solved_tasks(source: str) -> set[str]:
    """The numbers of the tasks with a solution in the source."""
    return {text.partition(":")[0] for _, text, _ in regions(source)}


def signatures(source: str) -> dict[str, str]:
    """Every public function and method of a source, with its arguments as text."""
    found: dict[str, str] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name.startswith("__")):
                returns = "" if node.returns is None else ast.unparse(node.returns)
                found[prefix + node.name] = f"({ast.unparse(node.args)}) -> {returns}"
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name] = f"class({', '.join(map(ast.unparse, node.bases))})"
                visit(node.body, f"{node.name}.")

    visit(ast.parse(source).body, "")
    return found
