"""Reports for learners and instructors: the check, feedback in Markdown, a table, CSV, Gradescope's results.json.

Read before: grader.py. Read next: command.py.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import listing, short
from .assignments import Assignment
from .grader import Grade, Verdict

NO_SANDBOX = "The grader limits time, memory and processes, but it is no security sandbox: grade strangers' code in a container."


def protection(grades: Iterable[Grade]) -> str:
    """What guarded this grading."""
    means = [g.means for g in grades if g.means is not None]
    same = [name for name in means[0] if all(name in others for others in means)] if means else []
    if same:
        return f"{NO_SANDBOX}\nThe kernel closed the learners' processes: {listing(same)}."
    return f"{NO_SANDBOX}\nThis system's kernel closes nothing here: only Python's own checks and limits guarded the grading."


def number(points: float) -> str:
    """3, not 3.0; 2.5 stays."""
    return f"{points:g}"


# ----------------------------------------------------------------------------------------------- for the learner


def check_text(grade: Grade, hints: int, folder: str = "") -> str:
    """The output of ``check``: each task, each test, wrong values, and hints for the first unfinished task."""
    lines = [f"Assignment {grade.assignment.number}, {grade.assignment.title}", f"Checked the file {grade.path}", ""]
    first = None
    if everywhere := same_everywhere(grade):
        return "\n".join([*lines, everywhere])
    for task in grade.assignment.tasks:
        verdicts = grade.of_task(task.number)
        earned, possible = sum(v.points for v in verdicts), sum(v.test.points for v in verdicts)
        lines.append(f"Task {task.number}  {task.title}: {number(earned)} of {number(possible)} points")
        for v in verdicts:
            lines.append(f"    {mark(v)}  {v.test.about}")
            lines += [] if v.undone else [f"          {line.strip()}" for line in problem_lines(v)[1:]]
        if first is None and not all(v.passed for v in verdicts):
            first = task
    if grade.output.strip():
        lines += ["", "Your code printed (the end of it):", *(f"    {line}" for line in grade.output.strip().splitlines()[-8:])]
    lines.append("")
    if first is None:
        held_back = grade.assignment.points() - grade.assignment.points(hidden=False)
        lines.append("All visible tests pass." + (f" {number(held_back)} more points are for hidden tests." if held_back else ""))
        lines.append("Think of empty arrays, other axes, float32, inputs that must not change, and values used twice.")
        return "\n".join(lines)
    shown = min(hints, len(first.hints))
    lines.append(f"Next: task {first.number}, {first.title} ({', '.join(first.functions)})")
    lines += [f"    hint {i}: {hint}" for i, hint in enumerate(first.hints[:shown], 1)]
    if shown < len(first.hints):
        lines.append(
            f"    for a plainer hint: minitorch course check {shlex.quote(folder) + ' ' if folder else ''}--hints {shown + 1}"
        )
    return "\n".join(lines)


def same_everywhere(grade: Grade) -> str:
    """The one problem that all tests share, such as a file that cannot be imported; otherwise nothing."""
    problems = {tuple(v.problems) for v in grade.verdicts}
    return "\n".join(problems.pop()) if len(problems) == 1 and all(v.crashed for v in grade.verdicts) else ""


def mark(verdict: Verdict) -> str:
    """passed, to do, or off."""
    return "passed" if verdict.passed else "to do " if verdict.undone else "off   "


def problem_lines(verdict: Verdict, most: int = 4) -> list[str]:
    """The problems of one test."""
    lines = [f"{verdict.test.name}: {verdict.test.about}"]
    lines += [f"  - {problem}" for problem in verdict.problems[:most]]
    if len(verdict.problems) > most:
        lines.append(f"  - and {len(verdict.problems) - most} more values")
    return lines


def feedback(learner: str, grade: Grade) -> str:
    """One learner's feedback on one assignment, in Markdown."""
    a = grade.assignment
    lines = [
        f"# Assignment {a.number}: {a.title}",
        "",
        f"{short(learner)}: **{number(grade.points)} of {number(grade.possible)} points**",
        "",
    ]
    lines += [f"Graded file: `{short(grade.path)}`" + (f" (SHA-256 {grade.digest}…)" if grade.digest else ""), ""]
    lines += ["| task | points |", "| --- | --- |"]
    for task in a.tasks:
        verdicts = grade.of_task(task.number)
        earned, possible = sum(v.points for v in verdicts), sum(v.test.points for v in verdicts)
        lines.append(f"| {task.number} {task.title} | {number(earned)} of {number(possible)} |")
    everywhere = same_everywhere(grade)
    lines += ["", everywhere] if everywhere else []
    for task in a.tasks:
        wrong = [v for v in grade.of_task(task.number) if not v.passed]
        if everywhere:
            break
        if wrong:
            lines += ["", f"## {task.number} {task.title}", ""]
            lines += [line for v in wrong for line in [f"- {problem_lines(v)[0]}", *(f"  {x}" for x in problem_lines(v)[1:])]]
    if grade.output.strip():
        lines += [
            "",
            "## Output of the code (the end of it)",
            "",
            "```",
            grade.output.strip()[-1500:].replace("```", "'''"),
            "```",
        ]
    return "\n".join(lines) + "\n"


# -------------------------------------------------------------------------------------------- for the instructor


def table(rows: Sequence[tuple[str, dict[str, Grade]]], assignments: Sequence[Assignment]) -> str:
    """Learners down, assignments across."""
    rows = [(short(name), grades) for name, grades in rows]
    width = max([len("learner"), *(len(name) for name, _ in rows)]) + 2
    lines = ["learner".ljust(width) + "".join(f"{a.name:>14}" for a in assignments) + f"{'total':>14}"]
    for name, grades in rows:
        cells = [f"{number(g.points)}/{number(g.possible)}" if (g := grades.get(a.name)) else "-" for a in assignments]
        earned, possible = sum(g.points for g in grades.values()), sum(g.possible for g in grades.values())
        lines.append(name.ljust(width) + "".join(f"{c:>14}" for c in cells) + f"{f'{number(earned)}/{number(possible)}':>14}")
    return "\n".join(lines)


def csv_text(rows: Sequence[tuple[str, dict[str, Grade]]]) -> str:
    """One line per learner and task, and one per learner and assignment ("total")."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["learner", "assignment", "task", "points", "possible", "file", "sha256"])
    for name, grades in rows:
        for grade in grades.values():
            for task in grade.assignment.tasks:
                verdicts = grade.of_task(task.number)
                earned, possible = sum(v.points for v in verdicts), sum(v.test.points for v in verdicts)
                writer.writerow([_cell(name), grade.assignment.name, task.number, number(earned), number(possible), "", ""])
            total = [number(grade.points), number(grade.possible), _cell(grade.path), grade.digest]
            writer.writerow([_cell(name), grade.assignment.name, "total", *total])
    return out.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet mistakes for a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text


def gradescope(grade: Grade) -> str:
    """Gradescope's results.json: https://gradescope-autograders.readthedocs.io/en/latest/specs/"""
    tests: list[dict[str, Any]] = []
    for v in grade.verdicts:
        tests.append(
            {
                "name": f"{v.test.task} {v.test.name}",
                "number": v.test.task,
                "score": v.points,
                "max_score": v.test.points,
                "status": "passed" if v.passed else "failed",
                "output": "passed" if v.passed else "\n".join(problem_lines(v)),
                "visibility": "after_published" if v.test.hidden else "visible",
            }
        )
    whole = {"score": grade.points, "output": f"Graded file: {grade.path}", "visibility": "visible", "tests": tests}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
