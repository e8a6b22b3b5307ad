"""``minitorch course grade``: every learner's folder, one after the other, each result on the disk before the next begins.

OUTPUT/unfinished.jsonl has a line for each file that is graded. A run that was stopped or killed goes on after the last
whole line, for files and tests that are still the same; the file goes when all learners have their grades.
Read before: grader.py, reports.py. Read next: command.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minitorch.files import write_text

from ..errors import BadInput, count, listing, short
from . import reports
from .assignments import Assignment, all_assignments, find
from .grader import Grade, Verdict, grade, read_source

UNFINISHED = "unfinished.jsonl"
Rows = list[tuple[str, dict[str, Grade]]]


def grade_folder(folder: Path, name: str | None, output: Path) -> int:
    """Grade every learner's folder, print the table, write the files."""
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
            path = find_file(learner, a.file)
            if not (path.exists() or path.is_symlink()):
                missing.append(a.file)
            if name or a.file not in missing:
                grades[a.name] = earlier.find(learner.name, a, path) or earlier.keep(learner.name, graded(learner, a, path))
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
    print(f"\nWrote grades.csv, feedback/LEARNER/ASSIGNMENT.md and gradescope/LEARNER/ASSIGNMENT/results.json to {output}")
    print(reports.protection(result for _, grades in rows for result in grades.values()))
    earlier.path.unlink(missing_ok=True)
    return 0


def note(text: str) -> None:
    """A line for the instructor while the grading goes on."""
    print(text, file=sys.stderr, flush=True)


def graded(learner: Path, assignment: Assignment, path: Path) -> Grade:
    """Grade one file, and say so first."""
    note(f"grading {short(learner.name)}: {assignment.file}")
    return grade(assignment, path)


def learners_in(folder: Path) -> list[Path]:
    """The learners' folders; what looks like one and is not is named."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; give the folder that holds one folder per learner")
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such folder; it should hold one folder per learner")
    learners = []
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        if path.is_symlink():
            note(f"{short(path.name)} is left out: it is a symbolic link, not a folder")
        elif path.name.startswith(".") or path.name == "__MACOSX":
            note(f"{short(path.name)} is left out: systems make folders of such names; rename it if it is a learner's")
        else:
            learners.append(path)
    if not learners:
        raise BadInput(f"{folder} holds no folders; it should hold one per learner, with the learner's file in it")
    return learners


def nothing_of(learner: Path, missing: list[str]) -> str:
    """ "none of scalar.py, ... is there; it holds Scalar_final.py": a file of another name is not graded."""
    ours = {*(a.file for a in all_assignments()), "visible_tests.py"}
    there = sorted({path.name for pattern in ("*.py", "*/*.py") for path in learner.glob(pattern)} - ours)
    held = f"; it holds {listing(there)}" if there else ""
    return f"{f'none of {listing(missing)} is' if len(missing) > 1 else f'{missing[0]} is not'} there{held}"


def find_file(learner: Path, name: str) -> Path:
    """The file in the learner's folder, or in its only subfolder that has one."""
    deeper = sorted(p for p in learner.glob(f"*/{name}") if not p.parent.is_symlink() and p.parent.name != "__MACOSX")
    if len(deeper) > 1 and not (learner / name).exists():
        where = listing(short(path.parent.name) for path in deeper)
        note(f"{short(learner.name)}: {name} is in several folders ({where}); keep only one")
    return deeper[0] if len(deeper) == 1 and not (learner / name).exists() else learner / name


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
