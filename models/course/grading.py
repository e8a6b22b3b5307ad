"""``minitorch course grade``: one learner after the other, each result on the disk before the next begins.

OUTPUT/unfinished.jsonl has a line for each file that is graded. A run that was stopped or killed goes on after the last
whole line, for files and tests that are still the same; the file goes when all learners have their grades.
Read before: submissions.py, grader.py, reports.py. Read next: command.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minitorch.files import write_text

from ..errors import BadInput, count, listing, short
from . import reports
from .assignments import Assignment, all_assignments, find
from .grader import Grade, Verdict, grade, read_source
from .submissions import learners_in, note, nothing_of

UNFINISHED = "unfinished.jsonl"
Rows = list[tuple[str, dict[str, Grade]]]


def grade_folder(folder: Path, name: str | None, output: Path) -> int:
    """Grade every learner's folder, print the table, write the files."""
    if output.is_file():
        raise BadInput(f"{output} is a file; give a folder")
    learners = learners_in(folder)
    chosen = [find(name)] if name else all_assignments()
    make_folder(output, output)
    earlier = Earlier(output / UNFINISHED)
    rows: Rows = []
    absent: list[str] = []
    for learner in learners:
        grades: dict[str, Grade] = {}
        missing = []
        for a in chosen:
            path = learner.find(a.file)
            if path is None:
                missing.append(a.file)
            if name or path is not None:
                path = path or folder / learner.name / a.file
                grades[a.name] = earlier.find(learner.name, a, path) or earlier.keep(learner.name, graded(learner.name, a, path))
        if not grades or (name and missing):
            absent.append(f"{short(learner.name)}: {nothing_of(learner, missing)}")
            note(absent[-1])
        rows.append((learner.name, grades))
        write_reports(rows, output)
    used = [a for a in chosen if any(a.name in grades for _, grades in rows)]
    print("\n".join([reports.table(rows, used), *absent]))
    for learner_name, grades in rows:
        for result in grades.values():
            if result.notes:
                who = f"{short(learner_name)}, {result.assignment.file}"
                print(f"{who}: a solution hardly needs {listing(result.notes)}; read it")
    print(f"\nWrote to {output}: grades.csv (a row per task), grades_wide.csv (a row per learner),")
    print("feedback/LEARNER/ASSIGNMENT.md and gradescope/LEARNER/ASSIGNMENT/results.json")
    print(reports.protection(result for _, grades in rows for result in grades.values()))
    earlier.path.unlink(missing_ok=True)
    return 0


def graded(learner: str, assignment: Assignment, path: Path) -> Grade:
    """Grade one file, and say so first."""
    note(f"grading {short(learner)}: {assignment.file}")
    return grade(assignment, path)


# ------------------------------------------------------------------------------------------------- a run that goes on


class Earlier:
    """The results of a run that did not come to its end, and of this one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[tuple[str, str], dict[str, Any]] = {}
        if path.is_symlink():
            raise BadInput(f"{path} is a symbolic link; the grader writes through none")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
                self.found[entry["learner"], entry["assignment"]] = entry
            except (ValueError, TypeError, KeyError, RecursionError):  # the last line may be cut short
                continue
        if self.found:
            note(f"going on with a run that was stopped: {count(len(self.found), 'file')} graded already")

    def find(self, learner: str, assignment: Assignment, path: Path) -> Grade | None:
        """The earlier grade of this file, if the file and the tests are the same."""
        entry = self.found.get((learner, assignment.name))
        try:
            digest = hashlib.sha256(read_source(path).encode()).hexdigest()[:12]
            if entry is None or (entry["digest"], entry["tests"]) != (digest, fingerprint(assignment)):
                return None
            tests = {t.name: t for t in assignment.tests}
            verdicts = [Verdict(**{**v, "test": tests[v["test"]], "error": tuple(v["error"])}) for v in entry["verdicts"]]
            rest = {key: entry[key] for key in ("output", "notes", "means")}
            return Grade(assignment, str(path.resolve()), digest, verdicts, **rest)
        except (KeyError, TypeError, ValueError, OSError):
            return None

    def keep(self, learner: str, result: Grade) -> Grade:
        """Put a new grade on the disk."""
        fields = [f.name for f in dataclasses.fields(Verdict)]
        verdicts = [{name: getattr(v, name) for name in fields} | {"test": v.test.name} for v in result.verdicts]
        entry = {"learner": learner, "assignment": result.assignment.name, "digest": result.digest, "verdicts": verdicts}
        entry |= {"tests": fingerprint(result.assignment), "output": result.output, "notes": result.notes, "means": result.means}
        with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n" * (file.tell() > 0) + json.dumps(entry))
            file.flush()
            os.fsync(file.fileno())
        return result


def fingerprint(assignment: Assignment) -> str:
    """Changes when the tests do."""
    names = ("visible_tests.py", "hidden_tests.py", "assignment.toml")
    return hashlib.sha256(b"".join((assignment.folder / name).read_bytes() for name in names)).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------- the reports


def write_reports(rows: Rows, output: Path) -> None:
    """The CSV for all so far, and for the last learner the feedback and Gradescope's file."""
    write_text(output / "grades.csv", reports.csv_text(rows))
    write_text(output / "grades_wide.csv", reports.wide_csv_text(rows))
    learner, grades = rows[-1]
    for name, result in grades.items():
        for path, text in (
            (output / "feedback" / learner / f"{name}.md", reports.feedback(learner, result)),
            (output / "gradescope" / learner / name / "results.json", reports.gradescope(result)),
        ):
            make_folder(path.parent, output)
            if path.is_symlink():
                raise BadInput(f"{path} is a symbolic link; the grader writes through none: remove it")
            write_text(path, text)


def make_folder(folder: Path, output: Path) -> None:
    """Make a folder within ``output``; BadInput if one on the way is a symbolic link."""
    for part in _up_to(folder, output):
        if part.is_symlink():
            raise BadInput(f"{part} is a symbolic link; the grader writes through none: remove it")
    folder.mkdir(parents=True, exist_ok=True)


def _up_to(folder: Path, output: Path) -> Iterable[Path]:
    while folder != output:
        yield folder
        folder = folder.parent
