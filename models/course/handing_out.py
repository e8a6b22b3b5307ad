"""Handing out: a learner's own folder (``start``), and all stubs as a folder or a zip (``release``).

Handed out: handout, stub, visible tests, and an assignment.toml that says which assignment it is. Kept back: solutions,
hidden tests, hints (``minitorch course check`` shows them one by one), and the list of mutants, which quotes the solutions.
Read before: assignments.py. Read next: reports.py.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from minitorch.files import write_all

from ..errors import BadInput
from .assignments import Assignment, solved_tasks

EPOCH = (2024, 1, 1, 0, 0, 0)  # the same zip from the same sources


def handed_out(assignment: Assignment) -> dict[str, str]:
    """The files for the learner, by name."""
    stub = assignment.stub
    if solved_tasks(stub) or "SOLUTION" in stub:
        raise RuntimeError(f"{assignment.file}: a solution marker is left in the stub; the markers do not match")
    return {
        "README.md": assignment.handout,
        assignment.file: stub,
        "visible_tests.py": assignment._read("visible_tests.py"),
        "assignment.toml": "".join(f"{key} = {json.dumps(getattr(assignment, key))}\n" for key in ("title", "file")),
    }


def start(assignment: Assignment, folder: Path) -> list[Path]:
    """Make the learner's folder; existing files are never overwritten."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; give the name of a folder")
    files = {folder / name: text for name, text in handed_out(assignment).items()}
    there = [path for path in files if path.exists() or path.is_symlink()]
    if there:
        raise BadInput(f"{there[0]} exists and is not overwritten; give another folder")
    write_all(files)
    return list(files)


def release(assignments: Sequence[Assignment], target: Path) -> int:
    """Write the learners' files to a new folder, or to one zip file if the target ends in .zip; return how many files."""
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise BadInput(f"{target} exists and is not overwritten; give another name")
    files = {f"{a.name}/{name}": text for a in assignments for name, text in handed_out(a).items()}
    if target.suffix != ".zip":
        write_all({target / name: text for name, text in files.items()})
        return len(files)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text.encode())
    write_all({target: content.getvalue()})
    return len(files)
