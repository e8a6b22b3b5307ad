"""``minitorch compare --train FILE``: every way to learn a task, from counting words to BERT, on one page.

With no files the command compares on a task made from Python's own documentation.
Read before: contest.py, page.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minitorch

from ..errors import BadInput, count
from ..finetuning.documentation import make_files
from ..finetuning.run import TASKS
from ..reading import read_json
from ..training.runs import alone_in, complete, new_folder, refuse_overwriting
from ..training.settings import add_options, flag, given
from .contest import RECORD, Clock, Contest, answer_text
from .page import write_page
from .rungs import KINDS
from .settings import MINUTES, MINUTES_OF_DEFAULT, UNUSED, Problem, Settings, find_model, prepare

KEPT = (RECORD, "report.html")
FREE = ("budget", "output", "skip", "draws", "threads")  # settings that may differ when a comparison resumes
OF_DEFAULT: dict[str, Any] = {"task": "classify", "length": 64, "examples": 2000, "epochs": 4, "draws": 3}
SHOWN = ("model", "text", "pair", "label", "columns", "targets", "encoding", "length", "truncate", "epochs")
SHOWN = (*SHOWN, "batch_size", "validation", "threads", "seed", "device")  # settings of finetune that the help explains too
LARGEST = 1 << 28  # bytes of a report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting; the help shows those that are asked for most."""
    parser.add_argument("task", nargs="?", choices=list(TASKS), help="the task of --train (default: found from the file)")
    explained = {*inspect.get_annotations(Settings), *SHOWN, *UNUSED, "task"}
    hidden = [f.name for f in dataclasses.fields(Settings) if f.name not in explained]
    add_options(parser, Settings, skip=("task", *UNUSED), hidden=hidden)
    parser.epilog = f"As in minitorch finetune, whose help explains them: {', '.join(map(flag, hidden))}."
    parser.set_defaults(**dict.fromkeys(UNUSED))


def run(args: argparse.Namespace) -> int:
    """Prepare, compare, write the page; also when it is stopped."""
    chosen = given(args, Settings)
    output = Path(chosen.get("output", Settings.output))
    refuse_overwriting(output, () if args.resume else KEPT, args.overwrite)
    if args.resume and not (output / RECORD).is_file():
        raise BadInput(
            f"{output / RECORD}: nothing to resume; a comparison writes it after each rung. Start one without --resume"
        )
    with contextlib.ExitStack() as until_the_end:
        if args.resume:
            until_the_end.enter_context(alone_in(output))
            folder = output
        else:
            folder = new_folder(output, KEPT, args.overwrite, until_the_end)
        state = read_json(output / RECORD, "a comparison's record", LARGEST) if args.resume else {}
        compare(chosen, folder, state, output)
    return 0


def compare(
    chosen: dict[str, Any], folder: Path, state: dict[str, Any], output: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Everything; the record, which report.json holds."""
    clock = Clock()
    settings = Settings(**{**saved(state, chosen), **chosen})
    without_files = not (settings.train or settings.table)
    dataclasses.replace(settings).check()  # of a copy: a mistake is told before the files are read
    find_model(settings.model)  # the same
    if settings.budget is None:
        settings.budget = MINUTES_OF_DEFAULT if without_files else MINUTES
    if without_files:
        files = make_files("classify", folder / "data", say)
        settings = dataclasses.replace(
            settings, **{name: value for name, value in OF_DEFAULT.items() if name not in chosen}, **files
        )
    try:
        problem = prepare(settings)
    except (OSError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    begin(problem, state, chosen)
    clock.budget = 60 * problem.s.budget
    contest = Contest(problem, folder, state, clock, say)
    announce(contest, say)
    try:
        contest.run()
    except KeyboardInterrupt:
        if state["rungs"]:
            finish(contest, folder, output, say)
            say(f"stopped; minitorch compare --resume --output {shlex.quote(str(output))} goes on")
        raise
    finish(contest, folder, output, say)
    return state


def saved(state: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """The settings of the comparison to resume, the ones that were given; BadInput if others are given now."""
    known, usual = state.get("chosen", {}), {f.name: f.default for f in dataclasses.fields(Settings)}
    if state and not is_record(state, usual):
        raise BadInput(f"{RECORD}: not the record of a comparison; start again with --overwrite")
    for name, value in chosen.items() if state else ():
        before = known.get(name, usual[name])
        if name not in FREE and before != value:
            has = f"{flag(name)} {before}" if before not in (None, "") else f"no {flag(name)}"
            raise BadInput(f"{RECORD}: that comparison has {has}; --resume keeps it: leave out {flag(name)} {value}")
    return {name: value for name, value in known.items() if name not in ("budget", "output")}


def is_record(state: dict[str, Any], usual: dict[str, Any]) -> bool:
    """Has the file that is to be resumed all that the page is made of?"""
    numbers = ("score", "train_seconds", "train_cpu_seconds", "ms_per_answer", "cpu_ms_per_answer", "parameters", "bytes")
    try:
        n, good = state["examples"]["test"], set(state["chosen"]) <= set(usual)
        for r in state["rungs"].values():
            good &= r["kind"] in KINDS and isinstance(r["status"], str)
            if r["status"] == "done":
                counts = np.array(r["counts"], dtype=float)
                good &= counts.ndim == 2 and len(counts) == n == len(r["answers"]) and counts.shape[1] in (2, 3, 4)
                good &= all(isinstance(r[key], int | float) for key in numbers) and all(map(str, r["reasons"]))
                good &= isinstance(r["typos"], dict) and {"also", "chosen", "tried", "setting", "metric"} <= set(r)
        return bool(good) and all(isinstance(s, list) for sizes in state["curve"].values() for s in sizes.values())
    except (KeyError, TypeError, AttributeError, ValueError):
        return False


def begin(problem: Problem, state: dict[str, Any], chosen: dict[str, Any]) -> None:
    """Fill in what is compared; BadInput where --resume meets other files."""
    data, s = problem.data, problem.s
    if state and state.get("sha256") != data.sha256:
        raise BadInput(f"{s.output}: that comparison used other files, or they have changed since; give it the original ones")
    if not state:
        state.update(rungs={}, curve={}, chosen=dict(chosen), sha256=data.sha256, seconds=0.0, minitorch=minitorch.__version__)
    state["settings"] = {f.name: getattr(s, f.name) for f in dataclasses.fields(s)}
    state["task"], state["machine"] = problem.task.name, machine()
    state["command"] = "minitorch compare " + " ".join(
        f"{flag(k)} {shlex.quote(str(v))}" for k, v in state["chosen"].items() if k != "task"
    )
    state["examples"] = {"train": len(data.train), "dev": len(data.dev), "test": len(data.test), "also": len(problem.also)}
    state["gold"] = [gold_text(problem.task, e) for e in data.test]


def gold_text(task: Any, e: Any) -> str:
    """The right answer, in the form of answer_text."""
    gold = task.gold(e)
    if task.name == "tag":
        return answer_text(task, e, gold)
    gold = " or ".join(map(str, gold)) if isinstance(gold, list) else gold
    return f"{gold:.6g}" if isinstance(gold, float) else str(gold)


def machine() -> str:
    """The CPU and its cores, for the reader of the page's times."""
    import os
    import platform

    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def announce(contest: Contest, say: Callable[[str], None]) -> None:
    """What will be compared, and for how long."""
    p, n = contest.p, len(contest.steps)
    for note in p.task.notes:
        say(note)
    examples = f"{count(len(p.data.train), 'training example')}, {len(p.data.dev):,} for tuning, {len(p.data.test):,} for judging"
    say(f"{p.task.name}: {examples}; {n} rungs within {p.s.budget:g} minutes")
    if p.no_model:
        say(f"without BERT: {p.no_model}")


def finish(contest: Contest, folder: Path, output: Path, say: Callable[[str], None]) -> None:
    """The page of what is done."""
    text = write_page(contest.state, folder, contest.p.data.test)
    contest.save()
    complete(folder, output)
    say(f"\n{text}\n\n{output}/: report.html, report.txt, report.json and the pictures")
