"""The assignments as an nbgrader course: notebooks with nbgrader's own cell metadata and markers.

source/NAME/NAME.ipynb has the handout, one solution cell per function, and one graded cell per test. nbgrader removes the
text between ### BEGIN HIDDEN TESTS and ### END HIDDEN TESTS from the learners' copy, and puts it back when it grades.
The kernel needs minitorch-engine installed: a graded cell calls ``verify`` below. nbgrader runs learner and test in one
process, so it is easier to fool than ``minitorch course grade``.
Read before: assignments.py.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from minitorch.files import write_all

from ..errors import BadInput
from .assignments import BEGIN, END, Assignment, find
from .testing import Test, complaint, decode, encode

CONFIG = '''"""The configuration of an nbgrader course."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "minitorch"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError('this is yours to write')"}
c.ExecutePreprocessor.timeout = 60
'''


def verify(assignment: str, test: str, names: dict[str, Any]) -> None:
    """Run one test with the names that a notebook has defined; AssertionError says what is wrong and by how much."""
    found = next(t for t in find(assignment).tests if t.name == test)
    values = {str(label): decode(encode(value)) for label, value in found.run(SimpleNamespace(**names)).items()}
    problems = [f"{label}: {wrong}" for label, right in found.answers.items() if (wrong := complaint(values[label], right))]
    if problems:
        raise AssertionError("\n".join([found.about, *problems]))


def export(assignments: Sequence[Assignment], target: Path) -> None:
    """Write nbgrader_config.py and source/NAME/NAME.ipynb for each assignment to a new folder."""
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise BadInput(f"{target} exists and is not overwritten; give another name")
    files = {target / "nbgrader_config.py": CONFIG}
    for a in assignments:
        content = json.dumps(notebook(a), indent=1, ensure_ascii=False) + "\n"
        files[target / "source" / a.name / f"{a.name}.ipynb"] = content
    write_all(files)


def notebook(assignment: Assignment) -> dict[str, Any]:
    """The whole notebook: handout, the source cut into cells, each task's tests after its last function."""
    cells = [_cell("markdown", "handout", _handout(assignment))]
    pieces = _pieces(assignment.source.replace("The handout is README.md", "The handout is above"))
    last = {task: i for i, (task, _) in enumerate(pieces) if task}
    for i, (task, text) in enumerate(pieces):
        cells.append(_cell("code", f"code-{i:02}", text, solution=task is not None))
        if task and last[task] == i:
            cells += [_test_cell(assignment, t) for t in assignment.tests if t.task == task]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


IN_FOLDERS = ("**Check**", "**Rules.**")  # paragraphs of a handout that speak of the learner's folder and its files
IN_NOTEBOOKS = """\
**Check** at any time: each function has a cell of its own, and the cells below it test it. Run them: a test that says nothing is
passed, another one says which value is off and by how much. Some of the tests that count are not in your copy.

**Rules.** Write into the cells with `raise NotImplementedError` alone. Your code may import only NumPy and modules of Python's
standard library that compute, such as math or itertools (not minitorch, which has the answers). Keep the names and arguments of
the given functions; you may add helpers, classes and constants to your cells.

"""


def _handout(assignment: Assignment) -> str:
    """The handout without what holds in a folder alone; the rules of notebooks stand where the first of that was."""
    text, told = "", False
    for paragraph in assignment.handout.split("\n\n"):
        in_folder = paragraph.startswith(IN_FOLDERS)
        text += "" if in_folder and told else IN_NOTEBOOKS if in_folder else f"{paragraph}\n\n"
        told |= in_folder
    text = text.replace(f" in `{assignment.file}`", " in this notebook").replace('Error("Task ...")', "Error")
    return text.rstrip() + "\n"


def _pieces(source: str) -> list[tuple[str | None, str]]:
    """The source cut between top-level statements: (task, text) where something is to be written, (None, text) elsewhere."""
    lines = source.splitlines()
    pieces: list[tuple[str | None, str]] = []
    start = 0
    for node in ast.parse(source).body:
        end = node.end_lineno or 0
        while end < len(lines) and lines[end].strip().startswith(END):  # a comment after the last statement of a function
            end += 1
        text = "\n".join(lines[start:end]).strip("\n")
        start = end
        task = text.partition(f"{BEGIN} ")[2].partition(":")[0] or None
        plain = "\n".join(line.partition(BEGIN)[0] + BEGIN if BEGIN in line else line for line in text.splitlines())
        if pieces and task is None and pieces[-1][0] is None:
            pieces[-1] = (None, pieces[-1][1] + "\n\n\n" + plain)
        else:
            pieces.append((task, plain))
    return pieces


def _test_cell(assignment: Assignment, test: Test) -> dict[str, Any]:
    call = f'verify("{assignment.name}", "{test.name}", globals())'
    lines = [
        f"# Task {test.task}: {'a hidden test' if test.hidden else test.about}",
        "from models.course.nbgrader_export import verify",
        "",
    ]
    lines += ["### BEGIN HIDDEN TESTS", call, "### END HIDDEN TESTS"] if test.hidden else [call]
    return _cell("code", f"test-{test.name.replace('_', '-')}"[:60], "\n".join(lines), points=test.points)


def _cell(kind: str, name: str, text: str, solution: bool = False, points: float | None = None) -> dict[str, Any]:
    graded = points is not None
    about: dict[str, Any] = {
        "grade": graded, "grade_id": name, "locked": not solution, "schema_version": 3, "solution": solution, "task": False,
    }  # fmt: skip
    if graded:
        about["points"] = points
    cell: dict[str, Any] = {
        "cell_type": kind, "id": name, "metadata": {"nbgrader": about}, "source": text.splitlines(keepends=True),
    }  # fmt: skip
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}
