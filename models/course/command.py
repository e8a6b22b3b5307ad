"""``minitorch course``: list, start, check for learners; grade, release, export-nbgrader for instructors.

Read before: handing_out.py, grading.py, reports.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
from pathlib import Path

from ..errors import BadInput, count, listing
from ..reading import read_toml
from . import reports
from .assignments import Assignment, all_assignments, find
from .grader import grade
from .grading import grade_folder
from .handing_out import release, start


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands."""
    parser.epilog = reports.NO_SANDBOX
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    command("list", "the assignments, their tasks and points")
    p = command("start", "get an assignment: handout, stub and visible tests in a folder of your own")
    p.add_argument("name", metavar="NAME", help="name or number of the assignment")
    p.add_argument("folder", metavar="DIR", type=Path, help="the new folder")
    p = command("check", "check your work: passing tests, wrong values and by how much they are off, a hint for the next task")
    p.add_argument("folder", metavar="DIR", type=Path, nargs="?", default=Path("."), help="your folder (default: this one)")
    p.add_argument("--hints", type=int, metavar="N", help="show the first N hints of the next task")
    p.add_argument("--task", metavar="NUMBER", help="check only this task, such as 1.2")
    p = command("grade", "grade a folder of submissions, one folder per learner: table, feedback, CSV, Gradescope's results.json")
    p.add_argument("folder", metavar="FOLDER_OF_SUBMISSIONS", type=Path)
    p.add_argument("--assignment", metavar="NAME", help="grade only this assignment; a learner without its file gets 0 points")
    p.add_argument("--output", metavar="DIR", type=Path, default=Path("runs/grades"), help="output folder (default: runs/grades)")
    p = command("release", "write the learners' files, without solutions and hidden tests, to a folder or a .zip")
    p.add_argument("target", metavar="TARGET", type=Path)
    p.add_argument("--assignment", metavar="NAME", help="only this assignment")
    p = command("export-nbgrader", "write the assignments as an nbgrader course (source/NAME/NAME.ipynb)")
    p.add_argument("target", metavar="DIR", type=Path)
    p.add_argument("--assignment", metavar="NAME", help="only this assignment")


def run(args: argparse.Namespace) -> int:
    """Carry out the subcommand."""
    if args.command == "list":
        return show_list()
    if args.command == "start":
        return begin(find(args.name), args.folder)
    if args.command in ("check", "grade") and importlib.util.find_spec("tokenizers") is None:
        raise ModuleNotFoundError("the course trains a BERT", name="tokenizers")
    if args.command == "check":
        return check(args.folder, args.hints, args.task)
    if args.command == "grade":
        try:
            return grade_folder(args.folder, args.assignment, args.output)
        except KeyboardInterrupt:
            print("\nstopped: what is graded is kept; the same command goes on from there")
            raise
    chosen = [find(args.assignment)] if args.assignment else all_assignments()
    if args.command == "release":
        files = release(chosen, args.target)
        what = f"{count(files, 'file')} for {count(len(chosen), 'assignment')}"
        print(f"Wrote {what} to {args.target}: no solutions, no hidden tests.")
        return 0
    from .nbgrader_export import export

    export(chosen, args.target)
    print(f"Wrote an nbgrader course to {args.target}. Next: cd {args.target} && nbgrader generate_assignment {chosen[0].name}")
    return 0


def show_list() -> int:
    """Name, title, tasks, points."""
    for a in all_assignments():
        print(f"{a.number}  {a.name:10} {a.title} ({reports.number(a.points())} points)")
        for task in a.tasks:
            visible = a.points(task.number, hidden=False)
            points = f"{reports.number(visible)} point{'s' * (visible != 1)}{reports.hidden_points(a, task.number)}"
            print(f"       {task.number}  {task.title}: {', '.join(task.functions)}, {points}")
    print("\nBegin with: minitorch course start scalar my-scalar")
    return 0


def begin(assignment: Assignment, folder: Path) -> int:
    """Make the folder and print the next steps."""
    start(assignment, folder)
    print(f"Assignment {assignment.number}, {assignment.title}, is in {folder}:")
    print(f"    {folder / 'README.md'}  the handout: read it first")
    print(f"    {folder / assignment.file}  replace each NotImplementedError with your code")
    print(f"    {folder / 'visible_tests.py'}  the tests, for you to read")
    print(f"Then: minitorch course check {folder}")
    return 0


def check(folder: Path, hints: int | None, task: str | None) -> int:
    """Run the visible tests on the file in the folder; 0 if all pass, else 1."""
    assignment = assignment_in(folder)
    if task is not None and task not in [t.number for t in assignment.tasks]:
        raise BadInput(f"--task: {assignment.name} has no task {task}; it has {listing(t.number for t in assignment.tasks)}")
    path = folder / assignment.file
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; write your solution there")
    result = grade(assignment, path, hidden=False, tasks=None if task is None else [task])
    if task is not None:
        kept = tuple(t for t in assignment.tasks if t.number == task)
        result.assignment = dataclasses.replace(assignment, tasks=kept)
    print(reports.check_text(result, None if hints is None else max(1, hints), "" if folder == Path(".") else str(folder)))
    return 0 if all(v.passed for v in result.verdicts) else 1


def assignment_in(folder: Path) -> Assignment:
    """The assignment in a learner's folder: by the assignment.toml that ``start`` wrote, else by the name of the file."""
    if folder.is_file():
        raise BadInput(f"{folder} is a file; give its folder instead")
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such folder; minitorch course start NAME {folder} makes one")
    known = all_assignments()
    toml = folder / "assignment.toml"
    names = [str(read_toml(toml).get("file"))] if toml.is_file() else [a.file for a in known if (folder / a.file).is_file()]
    found = [a for a in known if a.file in names]
    if len(found) != 1:
        what = "no assignment's file" if not found else f"the files of several ({listing(a.file for a in found)})"
        raise BadInput(f"{folder} holds {what}; minitorch course start NAME DIR makes a folder for one")
    return found[0]
