"""``minitorch continual --tasks FILE FILE ...``: one task after another, by every strategy, and what became of the earlier ones.

With no files the tasks are made from Python's own documentation.
Read before: run.py, report.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minitorch
from minitorch.files import write_text

from ..checkpoints.files import locate
from ..errors import LONGEST, BadInput, count, short
from ..reading import read_json
from ..text.labelled import as_json
from ..training.runs import STATE, complete, folder_to_resume, how_to_go_on, new_folder, refuse_overwriting
from ..training.settings import add_options, checked, given, resumed_settings
from . import keeping, report
from .documentation import DEFAULTS, make_tasks
from .run import Run, key_of, read_state
from .settings import UNUSED, Settings, orders_of
from .stream import Data, Stream, read_tasks

KEPT = (STATE, report.FILE)
FREE = ("output", "device", "strategy", "seeds", "orders", "save")  # settings that may differ when the runs resume
LARGEST = 1 << 28  # bytes of a report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting."""
    add_options(parser, Settings, skip=UNUSED)
    for option in ("--strategy", "--save"):  # the only lists that hold no files
        parser._option_string_actions[option].metavar = "NAME"


def run(args: argparse.Namespace) -> int:
    """Prepare, run, report."""
    chosen = given(args, Settings)
    output = Path(chosen.get("output", Settings.output))
    with contextlib.ExitStack() as until_the_end:
        try:
            if args.resume:
                folder = folder_to_resume(output, "before each task, every --save-every steps", until_the_end)
                s, state = resumed(folder, {**chosen, "output": str(output)})
                stream, data = prepare(s, str(state.get("sha256", "none")))
            else:
                refuse_overwriting(output, KEPT, args.overwrite)
                s, state = settings_of(chosen, output), {}
                stream, data = prepare(s)
                folder = new_folder(output, KEPT, args.overwrite, until_the_end)
            every_run(s, stream, data, folder, state)
            if folder != output:
                keeping.forget(output)
        except (ValueError, RuntimeError) as error:
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
        complete(folder, output)
        print(f"\n{output}/: report.txt, report.json, matrix.png, curves.png")
    return 0


def settings_of(chosen: dict[str, Any], output: Path) -> Settings:
    """The settings of new runs; without files, with tasks from the documentation, which are made here."""
    s = Settings(**({} if chosen.get("tasks") else DEFAULTS) | chosen)
    s.check()
    try:
        locate(s.model)  # before the files are read, which takes time
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from error
    if not s.tasks:
        s.tasks, s.test = make_tasks(output / "data", s.setting)
    s.threads = s.workers  # saved, so that runs resumed on another machine sum in the same order
    return s


def prepare(s: Settings, sha256: str = "") -> tuple[Stream, Data]:
    """The tasks, read and checked; sha256: of the files that they must be."""
    stream = Stream(s)
    data = read_tasks(s, stream)
    if sha256 and data.sha256 != sha256:
        raise BadInput("--resume: the runs used other files, or they have changed since; give them the original ones")
    for note in stream.notes:
        print(short(note, LONGEST))
    orders_of(len(data.names), s.orders)
    for name, train, test, labels in zip(data.names, data.train, data.test, stream.classes, strict=True):
        print(short(f"{name}: {len(train):,} to learn from, {len(test):,} to measure on; {', '.join(labels)}", 200))
    return stream, data


def resumed(folder: Path, chosen: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Settings and state of runs that were stopped."""
    path = folder / STATE
    state = read_state(path)
    s: Settings = resumed_settings(path, checked(path, state.get("settings"), Settings), chosen, Settings, FREE)
    s.check()
    return s, state


def every_run(s: Settings, stream: Stream, data: Data, folder: Path, state: dict[str, Any]) -> None:
    """All runs that are not finished; after each of them the report so far."""
    everything: dict[str, Any] = {"settings": dataclasses.asdict(s), "names": data.names, "sha256": data.sha256}
    everything["examples"] = {"train": list(map(len, data.train)), "test": list(map(len, data.test))}
    everything["minitorch"] = minitorch.__version__
    path = folder / report.FILE
    everything["runs"] = records_of(path) if state and path.is_file() else {}
    records, jobs = everything["runs"], jobs_of(s, len(data.names))
    keeping.refuse_finished(s, jobs[0][1], records, folder)
    say: Callable[[str], None] = print
    print(f"{count(len(jobs), 'run')}: {', '.join(s.strategy)}; {count(s.orders, 'order')}, {count(s.seeds, 'seed')}")
    if "adapters" in s.strategy:
        Run(s, stream, data, "adapters", 0, jobs[0][1], folder, say)  # their errors come now, not after hours
        say = list[str]().append
    started, done = time.monotonic(), 0
    for number, (seed, order, strategy) in enumerate(jobs, 1):
        key = key_of(strategy, s.seed + seed, order)
        if key in records:
            continue
        one = Run(s, stream, data, strategy, seed, order, folder, say)
        say = list[str]().append  # once is enough
        if state.get("run") == key:
            one.go_on(state)
        try:
            records[key] = one.go(f"{number} of {len(jobs)}, {strategy}")
        except KeyboardInterrupt:
            if records:
                print(f"\n{report.write(everything, folder)}")
            print(f"\nstopped in run {number} of {len(jobs)}; {how_to_go_on('continual', folder, s.output)}")
            raise
        if strategy in s.save and (seed, order) == jobs[0][:2]:
            kept = ", ".join(f"{s.output}/{path.name}" for path in keeping.keep(one, folder))
            print(f"{kept}: for minitorch predict --model")
        write_text(path, as_json(everything, 1) + "\n")
        short_state = {"run": "", "settings": dataclasses.asdict(s), "sha256": data.sha256}
        minitorch.save(short_state, folder / STATE)
        done += 1
        left = sum(key_of(c, s.seed + a, b) not in records for a, b, c in jobs)
        minutes = left * (time.monotonic() - started) / done / 60
        print(f"{key}: {told(records[key])}" + (f"; {count(left, 'run')} left, about {minutes:.0f} minutes" if left else ""))
    print(f"\n{report.write(everything, folder)}")


def records_of(path: Path) -> dict[str, Any]:
    """The records of the runs that are finished; BadInput if the file is no report."""
    try:
        runs: dict[str, Any] = read_json(path, "a report", LARGEST)["runs"]
        report.summary(runs.values())
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a report of continual learning; start again with --overwrite") from error
    return runs


def jobs_of(s: Settings, tasks: int) -> list[tuple[int, list[int], str]]:
    """(seed, order, strategy) of every run. For all tasks at once the order means nothing: one run per seed."""
    orders = orders_of(tasks, s.orders)
    jobs = [(seed, order, strategy) for seed in range(s.seeds) for order in orders for strategy in s.strategy]
    return [job for job in jobs if job[2] != "joint" or job[1] == orders[0]]


def told(record: dict[str, Any]) -> str:
    """The result of a run, in a few words."""
    forgot = f", forgetting {record['forgetting']:+.3f}" if "forgetting" in record else ""
    return f"average accuracy {record['accuracy']:.3f}{forgot}, {record['seconds']:.0f} s"
