"""``minitorch seq2seq --train pairs.tsv ...``: train an encoder-decoder on pairs of texts, and report.

Without a file it learns to summarise: from a docstring's body to its first line (summaries.py).
Read before: run.py, report.py.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from ..errors import BadInput, count
from ..training import ranks
from ..training.runs import STATE, continuing, folder_to_resume, new_folder, refuse_overwriting, train_and_report
from ..training.settings import add_options, given, resumed_settings
from .report import finish
from .run import KEPT, Run, read_state
from .scores import check_libraries
from .summaries import make_files
from .task import Settings

FREE = ("output", "device", "compare", "num_beams", "length_penalty", "bleu_tokenizer")  # may differ when a run resumes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting."""
    add_options(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """``minitorch seq2seq``"""
    chosen = given(args, Settings)
    check_libraries()
    if not chosen.get("train") and not args.resume:
        for name in ("dev", "test"):
            if chosen.get(name):
                raise BadInput(f"--{name} needs --train: the pairs to learn from")
        Settings(**chosen).check()  # before the docstrings are read, which takes time
        output = Path(chosen.get("output", Settings.output))
        refuse_overwriting(output, KEPT, args.overwrite)
        chosen = {**chosen, **ranks.by_first(lambda: make_files(output / "data"))}
    with contextlib.ExitStack() as until_the_end:
        try:
            job = start(args, chosen, until_the_end)
        except (ValueError, RuntimeError) as error:
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
        work(job)
    return 0


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


def work(job: Run) -> None:
    """Train, report, and print the result."""
    t, s = job.trainer, job.s
    source, target = job.vocabularies
    kind = "characters" if s.tokenizer == "characters" else "pieces"
    sizes = f"{len(source):,} {kind}" if source is target else f"{len(source):,} and {len(target):,} {kind}"
    held = f"{len(job.data.dev):,} {'dev' if s.dev else 'held out for dev'}, {len(job.data.test):,} test"
    print(
        f"{count(len(job.data.train), 'training pair')}, {held}; {sizes}\n"
        f"{job.model.num_parameters():,} parameters; {count(t.steps, 'step')} of up to {s.batch_size} pairs, "
        f"{s.workers} micro-batch{'es' * (s.workers > 1)} at a time, on {s.device}"
        + "; then the same from random weights"
        * bool(s.init_encoder and s.compare == "all")
    )
    train_and_report("seq2seq", job, finish)
    print(f"\n{job.folder}/: model.safetensors, config.json, report.txt, .json, predictions.jsonl, curve.png, attention.png")
    print(f'use it: minitorch predict --model {job.folder} "a text"')
