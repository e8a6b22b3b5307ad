"""``minitorch finetune [TASK] --train FILE ...``, and the function that does the same.

With no files the command takes two tasks made from Python's own documentation.

Read before: run.py, report.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..bert.config import BertConfig
from ..checkpoints.files import config_file, locate
from ..errors import BadInput, count, suggestion
from ..training import ranks
from ..training.runs import (
    STATE,
    complete,
    continuing,
    folder_to_resume,
    new_folder,
    refuse_overwriting,
    train_and_report,
    unfinished,
)  # fmt: skip
from ..training.settings import add_options, given, resumed_settings
from . import comparing
from .documentation import DEFAULTS, MAKERS, make_files
from .report import finish
from .run import KEPT, TASKS, Run, read_state
from .tasks import Settings, Task

FREE = ("output", "device", "compare", "fuse")  # settings that may differ when a run resumes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting."""
    parser.add_argument(
        "task", nargs="?", choices=list(TASKS), help="the task; without one: classify and tag, on Python's own documentation"
    )
    add_options(parser, Settings, skip=("task",))


def run(args: argparse.Namespace) -> int:
    """``minitorch finetune``"""
    chosen = given(args, Settings)
    train = chosen.get("train", "")
    if chosen.get("adapt") == "all":
        return every_way(args, chosen)
    if train or args.resume:
        one(args, chosen)
        return 0
    for name in ("dev", "test"):
        if chosen.get(name):
            raise BadInput(f"--{name} needs --train: the examples to learn from")
    if task := chosen.get("task"):
        raise BadInput(
            f"--train FILE is missing: the examples of {task} to learn from; without a task, minitorch finetune takes "
            f"{' and '.join(MAKERS)} on Python's own documentation"
        )
    try:
        folder = locate(chosen.get("model", Settings.model))
        BertConfig.from_json_file(config_file(folder))  # before the files are read, which takes time
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from error
    for task in MAKERS:
        output = f"{chosen.get('output', Settings.output)}/{task}"
        refuse_overwriting(output, KEPT, args.overwrite)
        files = ranks.by_first(lambda task=task, output=output: make_files(task, Path(output) / "data", print))
        one(args, {**DEFAULTS, **chosen, **files, "task": task, "output": output})
    return 0


def every_way(args: argparse.Namespace, chosen: dict[str, Any]) -> int:
    """--adapt all"""
    comparing.check(chosen)
    if ranks.size() > 1:
        raise BadInput("--adapt all trains one model after the other and compares them: start it as one process")
    chosen = {"output": Settings.output, **chosen}
    try:
        folder = locate(chosen.get("model", Settings.model))
        layers = BertConfig.from_json_file(config_file(folder)).num_hidden_layers
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from error

    def train(own: dict[str, Any]) -> Run:
        begun = args.resume and (unfinished(Path(own["output"])) / STATE).is_file()
        return one(argparse.Namespace(**{**vars(args), "resume": begun}), own)

    if not args.resume:
        for way in comparing.WAYS:
            refuse_overwriting(Path(chosen["output"]) / way, KEPT, args.overwrite)
    comparing.compare_ways(chosen, layers, train, args.resume)
    return 0


def one(args: argparse.Namespace, chosen: dict[str, Any]) -> Run:
    """Prepare, train, report."""
    with contextlib.ExitStack() as until_the_end:
        try:
            job = start(args, chosen, until_the_end)
        except (ValueError, RuntimeError) as error:
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
        work(job)
    return job


def work(job: Run) -> None:
    """Train, report, and print the result."""
    t = job.trainer
    learning = sum(p.numel() for p in job.model.parameters() if p.requires_grad)
    held = f"{len(job.data.dev):,} {'dev' if job.s.dev else 'held out for dev'}, {len(job.data.test):,} test"
    print(
        f"{job.task.name}: {count(len(job.data.train), 'training example')}, {held}{listed(job.task)}\n"
        f"{job.model.num_parameters():,} parameters, {learning:,} of them learn; {count(t.steps, 'step')} of up to "
        f"{job.s.batch_size} examples, {job.s.workers} micro-batch{'es' * (job.s.workers > 1)} at a time, on {job.s.device}"
    )
    train_and_report("finetune", job, finish)
    kept = "adapter_model.safetensors, adapter_config.json" if job.s.adapt else "model.safetensors, config.json"
    print(f"\n{job.folder}/: {kept}, tokenizer.json, report.txt, .json, .png, predictions.jsonl")
    print(f"use it: minitorch predict --model {job.folder} {job.task.usage}")


def finetune(task: str, train: str = "", say: Callable[[str], None] = print, overwrite: bool = False, **settings: Any) -> Run:
    """Train, measure the alternatives, write and return everything: the command in one call. Settings are its options."""
    known = {*inspect.get_annotations(finetune), *(f.name for f in dataclasses.fields(Settings))}
    for name in settings.keys() - known:
        near = suggestion(name, known)
        raise TypeError(f"finetune: no setting is called {name!r}" + (f"; did you mean {near!r}?" if near else ""))
    s = Settings(task=task, train=str(train), **settings)
    cure = "give another output, or overwrite=True"
    with contextlib.ExitStack() as until_the_end:
        refuse_overwriting(s.output, KEPT, overwrite, cure)  # before the data is read, which takes time
        run = Run(s, say)
        run.folder = new_folder(run.folder, KEPT, overwrite, until_the_end, say, cure=cure)
        run.train()
        finish(run)
        run.folder = complete(run.folder, Path(s.output))
    return run


def listed(task: Task) -> str:
    """The files' labels, if they are few enough to print, or the numbers to learn."""
    if task.name not in ("classify", "tag", "relation"):
        return ""
    if getattr(task, "targets", "") == "numbers":
        mark = " with decimal commas" if getattr(task, "decimal", "") == "," else ""
        return f'; the numbers of "{task.labels[0]}"{mark}'
    names = ", ".join(task.labels)
    return f"; labels {names}" if len(names) < 90 else f"; {len(task.labels)} labels"


def start(args: argparse.Namespace, chosen: dict[str, Any], until_the_end: contextlib.ExitStack) -> Run:
    """A new run, or a resumed one."""
    output = Path(chosen.get("output", Settings.output))
    if not args.resume:
        refuse_overwriting(output, KEPT, args.overwrite)
        new = Run(Settings(**chosen))
        new.folder = Path(ranks.by_first(lambda: str(new_folder(output, KEPT, args.overwrite, until_the_end))))
        return new
    folder = Path(ranks.by_first(lambda: str(folder_to_resume(output, "at every evaluation", until_the_end))))
    saved = ranks.saved_settings(read_state(folder / STATE), chosen)
    job = Run(resumed_settings(folder / STATE, saved, {**chosen, "output": str(output)}, Settings, FREE))
    job.folder = folder
    job.load_state()
    print(continuing(job.trainer.step, job.trainer.steps))
    return job
