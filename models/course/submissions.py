"""Whose file is it, and which assignment's? A folder of submissions as it comes from a download.

One folder per learner, or all files in one folder with the learner's name in front; and names as platforms and browsers
change them:
    Anna Meier_4711_assignsubmission_file_/scalar.py        Moodle, in folders
    Anna Meier_4711_assignsubmission_file_scalar.py         Moodle, flat
    meieranna_LATE_4711_90210_scalar-1.py                   Canvas; -1 is a second upload
    Exercise 1_ameier_attempt_2024-05-01-12-30-00_scalar.py Blackboard
    anna_scalar.py, Scalar.py, scalar (1).py                by hand
Read before: assignments.py. Read next: grading.py.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import BadInput, listing, short
from .assignments import all_assignments

DEEPEST, MOST_FILES = 4, 10_000  # a learner's folder may hold a whole project
PLATFORMS = [
    re.compile(r"(?P<who>.+)_(?P<number>\d+)_assignsubmission_[a-z]+_?(?P<rest>.*)"),
    re.compile(r"(?P<who>[^_]+)(?:_late)?_(?P<number>\d+)_\d+_(?P<rest>.+)", re.IGNORECASE),
    re.compile(r".+_(?P<who>[^_]+)_attempt_(?P<number>[\d-]+)_(?P<rest>.+)"),
]
COPY = r"(?:\s*\((?P<a>\d+)\)|[-_ ](?P<b>\d+)|(?P<c>[-_ ]+copy))?"  # scalar (1).py, scalar-1.py, scalar 2.py, scalar - Copy.py


@dataclasses.dataclass
class Learner:
    """A learner's name, and all files that came; ``top`` is the folder of all submissions."""

    name: str
    top: Path
    files: list[Path] = dataclasses.field(default_factory=list)

    def find(self, name: str) -> Path | None:
        """The file that is, or stands for, the assignment's ``name``; what else might be is said."""
        ranked = sorted((*self.rank(path, name), path) for path in self.files if self.rank(path, name))
        if not ranked:
            return None
        path, labels = ranked[0][-1], [self.label(path) for *_, path in ranked]
        if len(ranked) > 1 and ranked[0][:-1] == ranked[1][:-1]:
            note(f"{short(self.name)}: {name} is there several times ({listing(labels)}); keep only one")
            return None
        if len(ranked) > 1 or path.name != name:
            rest = f"; not graded: {listing(labels[1:])}" if labels[1:] else ""
            note(f"{short(self.name)}: {labels[0]} is graded as {name}{rest}")
        return path

    def rank(self, path: Path, name: str) -> tuple[int, ...]:
        """The smaller, the surer that this file is meant: first the depth, then the likeness; () if it is another file.

        Of a platform's numbered copies the latest counts, even if there is one without a number.
        """
        flat = path.parent == self.top
        key = likeness(split(path.name)[2] if flat else path.name, name)
        if key is None:
            return ()
        return len(path.relative_to(self.top).parts), key[0] // 3 if flat else key[0], key[1]

    def label(self, path: Path) -> str:
        """The file as a message shows it: in a folder of the learner's own without that folder."""
        parts = path.relative_to(self.top).parts
        return short("/".join(parts[1:] or parts))

    @property
    def others(self) -> list[str]:
        """The names of all files but those that were handed out."""
        ours = {*(a.file for a in all_assignments()), "visible_tests.py", "README.md", "assignment.toml"}
        return sorted({path.name for path in self.files} - ours)


def note(text: str) -> None:
    """A line for the instructor while the grading goes on."""
    print(text, file=sys.stderr, flush=True)


def likeness(got: str, name: str) -> tuple[int, int] | None:
    """How sure it is that a file of the name ``got`` is the assignment's ``name``: the smaller the surer; None: it is not.

    First the kind (the name itself, other letters, a numbered copy, a name in front), then among copies the latest.
    """
    if got == name:
        return 0, 0
    match = re.fullmatch(rf"(?P<who>.+[-_ ])?{re.escape(name.removesuffix('.py'))}{COPY}\s*\.py", got, re.IGNORECASE)
    if match is None:
        return None
    number = int((match["a"] or match["b"] or "0")[:9])
    return 3 if match["who"] else 2 if number or match["c"] else 1, -number


def split(name: str) -> tuple[str, str, str]:
    """A file's or folder's name as (learner, number, original name); no learner: the name says none."""
    for pattern in PLATFORMS:
        if match := pattern.fullmatch(name):
            return match["who"].strip(" ."), match["number"], match["rest"]
    for a in all_assignments():
        stem = re.escape(a.file.removesuffix(".py"))
        if match := re.fullmatch(rf"(?P<who>.+?)[-_ ]+(?P<rest>{stem}{COPY}\s*\.py)", name, re.IGNORECASE):
            return match["who"].strip(" ."), "", match["rest"]
    return "", "", name


def learners_in(folder: Path) -> list[Learner]:
    """The learners of a folder of submissions; what looks like one and is not is named."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; give the folder that holds the submissions (unpack a .zip first)")
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such folder; it should hold one folder per learner")
    found: dict[tuple[str, str], Learner] = {}
    left: list[str] = []
    for path in sorted(folder.iterdir()):
        odd = _odd(path)
        if odd and (path.is_dir() or path.is_symlink()):
            note(f"{short(path.name)} is left out: {odd}")
        if odd:
            continue
        who, number, _ = split(path.name)
        if path.is_dir():
            learner = found.setdefault((who or path.name, number), Learner(who or path.name, folder))
            learner.files += _files(path)
        elif who:
            found.setdefault((who, number), Learner(who, folder)).files.append(path)
        else:
            left.append(path.name)
    if not found:
        there = f"; there is {listing(left)}" if left else ""
        raise BadInput(
            f"{folder} holds no folders, and no files such as anna_scalar.py{there}; it should hold one folder per learner"
        )
    if left:
        note(f"left out, because they name no learner: {listing(left)}")
    return _named_apart(found)


def _odd(path: Path) -> str:
    if path.is_symlink():
        return "it is a symbolic link, not a folder"
    if path.name.startswith(".") or path.name == "__MACOSX":
        return "systems make folders of such names; rename it if it is a learner's"
    return ""


def _files(folder: Path) -> Iterator[Path]:
    """The files of a learner's folder and of those in it, without links and without those that systems make."""
    count = 0
    for root, folders, names in os.walk(folder):
        here = Path(root)
        deep = len(here.relative_to(folder).parts) >= DEEPEST
        folders[:] = [] if deep else sorted(f for f in folders if not _odd(here / f) and f != "__pycache__")
        for name in sorted(names):
            count += 1
            if count > MOST_FILES:
                return note(f"{short(folder.name)}: only the first {MOST_FILES:,} files are looked at")
            if not name.startswith("."):
                yield here / name


def _named_apart(found: dict[tuple[str, str], Learner]) -> list[Learner]:
    """Two learners of one name get the platform's numbers behind it."""
    names = Counter(learner.name for learner in found.values())
    for (name, number), learner in found.items():
        learner.name = f"{name} {number}" if names[name] > 1 and number else name
    return sorted(found.values(), key=lambda learner: learner.name)


def nothing_of(learner: Learner, missing: Iterable[str]) -> str:
    """ "none of scalar.py, ... is there; it holds Scalar_final.py": a file of another name is not graded."""
    names = list(missing)
    only = "it holds only files that were handed out" if learner.files else "it is empty"
    held = f"it holds {listing(learner.others)}" if learner.others else only
    return f"{f'none of {listing(names)} is' if len(names) > 1 else f'{names[0]} is not'} there; {held}"
