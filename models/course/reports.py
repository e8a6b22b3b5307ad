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

from ..errors import count, listing, short
from .assignments import ORDER, Assignment
from .grader import Grade, Verdict
from .testing import GIVES

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


def check_text(grade: Grade, hints: int | None = None, folder: str = "") -> str:
    """The output of ``check``: each task, each test, wrong values, and hints for the first unfinished task.

    ``hints`` is how many; None: one, or none where the wrong values show a known slip.
    """
    a = grade.assignment
    lines = [f"Assignment {a.number}, {a.title}", f"Checked the file {grade.path}", ""]
    if everywhere := same_everywhere(grade):
        return "\n".join([*lines, everywhere])
    for task in a.tasks:
        verdicts = grade.of_task(task.number)
        earned, possible = sum(v.points for v in verdicts), sum(v.test.points for v in verdicts)
        more = hidden_points(a, task.number)
        lines.append(f"Task {task.number}  {task.title}: {number(earned)} of {number(possible)} points{more}")
        for v in verdicts:
            lines += [] if v.skipped else [f"    {mark(v)}  {v.test.about}"]
            lines += [] if v.undone or v.skipped else [f"          {line.strip()}" for line in problem_lines(v)[1:]]
        lines += [f"    {skipped}" for skipped in not_run(verdicts)]
    if grade.output.strip():
        lines += ["", "Your code printed (the end of it):", *(f"    {line}" for line in grade.output.strip().splitlines()[-8:])]
    return "\n".join([*lines, "", *what_next(grade, hints, folder)])


def what_next(grade: Grade, hints: int | None, folder: str) -> list[str]:
    """The first unfinished task, with the slips that its values show and its hints; or that all is done."""
    a = grade.assignment
    first = next((t for t in a.tasks if not all(v.passed for v in grade.of_task(t.number))), None)
    if first is None:
        hidden = sum(a.points(t.number) - a.points(t.number, hidden=False) for t in a.tasks)
        think = [f"Think of {a.think_of}."] if hidden and a.think_of else []
        return [f"All visible tests pass.{f' {number(hidden)} more points are for hidden tests.' if hidden else ''}", *think]
    slips = known_slips(grade.of_task(first.number))
    shown = min(len(first.hints), (0 if slips else 1) if hints is None else hints)
    lines = [f"Next: task {first.number}, {first.title} ({', '.join(first.functions)})"]
    lines += [f"    your values look like this slip: {slip}" for slip in slips]
    lines += [f"    hint {i}: {hint}" for i, hint in enumerate(first.hints[:shown], 1)]
    if shown < len(first.hints):
        what = "a plainer hint" if shown else "a hint"
        lines.append(f"    for {what}: minitorch course check {shlex.quote(folder) + ' ' if folder else ''}--hints {shown + 1}")
    return lines


def hidden_points(assignment: Assignment, task: str) -> str:
    """ " (1 more in hidden tests)", or nothing."""
    hidden = assignment.points(task) - assignment.points(task, hidden=False)
    return f" ({number(hidden)} more in hidden tests)" if hidden else ""


def known_slips(verdicts: Iterable[Verdict]) -> list[str]:
    """The slips whose values a task's wrong values are."""
    found = [p.removesuffix(GIVES).rpartition("; ")[2] for v in verdicts for p in v.problems if p.endswith(GIVES)]
    return list(dict.fromkeys(found))


def not_run(verdicts: Iterable[Verdict]) -> list[str]:
    """One line for all tests of a task that came after the one that ended the process."""
    skipped = sum(v.skipped for v in verdicts)
    return [f"{count(skipped, 'more test')} of this task: not run, because the process had ended"] if skipped else []


def same_everywhere(grade: Grade) -> str:
    """The one problem of the whole file, such as that it cannot be imported; otherwise nothing."""
    problems = {tuple(v.problems) for v in grade.verdicts}
    return "\n".join(problems.pop()) if len(problems) == 1 and all(v.whole for v in grade.verdicts) else ""


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
        wrong = [v for v in grade.of_task(task.number) if not v.passed and not v.skipped]
        if everywhere:
            break
        if wrong:
            lines += ["", f"## {task.number} {task.title}", ""]
            lines += [line for v in wrong for line in [f"- {problem_lines(v)[0]}", *(f"  {x}" for x in problem_lines(v)[1:])]]
            lines += [f"- {line}" for line in not_run(grade.of_task(task.number))]
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
    """Learners down, assignments across; the total is of all these assignments, for everybody."""
    rows = [(short(name), grades) for name, grades in rows]
    width = max([len("learner"), *(len(name) for name, _ in rows)]) + 2
    lines = ["learner".ljust(width) + "".join(f"{a.name:>14}" for a in assignments) + f"{'total':>14}"]
    for name, grades in rows:
        cells = [f"{number(g.points)}/{number(g.possible)}" if (g := grades.get(a.name)) else "-" for a in assignments]
        total = f"{number(sum(g.points for g in grades.values()))}/{number(sum(a.points() for a in assignments))}"
        lines.append(name.ljust(width) + "".join(f"{c:>14}" for c in cells) + f"{total:>14}")
    return "\n".join(lines)


def wide_csv_text(rows: Sequence[tuple[str, dict[str, Grade]]]) -> str:
    """One line per learner: the points of each assignment that anybody handed in, and the total of all that was possible."""
    names = {name: g.assignment.points() for _, grades in rows for name, g in grades.items()}
    names = {name: names[name] for name in ORDER if name in names}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["learner", *names, "total", "possible"])
    for name, grades in rows:
        points = [number(grades[a].points) if a in grades else "" for a in names]
        total = number(sum(g.points for g in grades.values()))
        writer.writerow([_cell(name), *points, total, number(sum(names.values()))])
    return out.getvalue()


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
