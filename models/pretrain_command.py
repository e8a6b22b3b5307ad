"""``minitorch pretrain``: start or resume a run of one of the models, train, report.

Read before: training/pretraining.py, bert/pretraining.py.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path

from .bert import pretraining as bert
from .errors import BadInput, count
from .training.pictures import save_curve
from .training.pretraining import KEPT, PretrainingRun
from .training.runs import STATE, complete, folder_to_resume, how_to_go_on, new_folder, refuse_overwriting
from .training.settings import add_options, given, same_settings

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "run.json",
         "training.safetensors", "metrics.jsonl", "curve.png")  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``minitorch pretrain``."""
    add_options(parser, bert.Settings)


def start(args: argparse.Namespace, until_the_end: contextlib.ExitStack) -> PretrainingRun:
    """A new run, or a resumed one."""
    chosen = given(args, bert.Settings)
    settings = bert.Settings(**chosen)
    output = Path(settings.output)
    if not args.resume:
        refuse_overwriting(output, KEPT, args.overwrite)
        settings.check()  # before a folder is made
        return bert.Run(settings, folder=new_folder(output, KEPT, args.overwrite, until_the_end))
    folder = folder_to_resume(output, "every --save-every steps", until_the_end)
    state = folder / STATE
    saved = bert.read_state(state)["settings"]
    same_settings(state, saved, chosen, bert.Settings, free=("output", "device"))
    settings = bert.Settings(**{**saved, "output": settings.output, "device": args.device or saved["device"]})
    run = bert.Run(settings, resuming=True, folder=folder)
    run.load_state()
    print(f"continuing at step {run.step:,} of {run.settings.steps:,}")
    return run


def run(args: argparse.Namespace) -> int:
    """``minitorch pretrain``"""
    with contextlib.ExitStack() as until_the_end:
        try:
            job = start(args, until_the_end)
        except KeyboardInterrupt:
            print("\nstopped before the first step: nothing is saved, nothing lost; the same command starts again")
            raise
        except (ValueError, RuntimeError) as error:
            raise BadInput(str(error)) from error
        return work(job)


def work(job: PretrainingRun) -> int:
    """Train, save, and print the result."""
    s, text = job.settings, job.text
    levels = ", ".join(f"{job.baselines[name]} {level:.3f}" for name, level in reversed(job.levels.items()))
    print(
        f"{job.name} {s.size}, {job.model.num_parameters():,} parameters; {len(text.train.ids):,} tokens to learn from, "
        f"{len(text.valid.ids):,} held out; {count(s.steps, 'step')} of {s.batch_size} x {s.length} tokens on {s.device}, "
        f"{count(s.workers, 'thread')}\nbaselines in nats per {job.unit.split()[-1]}: {levels}"
    )
    started = time.perf_counter()
    try:
        job.train()
        job.save_state()
        job.finish()
        save_curve(job.metrics, job.folder / "curve.png", f"{job.name} {s.size}, {s.steps:,} steps", job.unit, job.baselines)
        job.folder = complete(job.folder, Path(s.output))
    except KeyboardInterrupt:
        print(f"\nstopped at step {job.step:,}; {how_to_go_on('pretrain', job.folder, s.output)}")
        raise
    last, (best, level) = job.metrics[-1], next(iter(job.levels.items()))
    under = level - last["valid_loss"]
    where = f"{under:.2f} nats below" if under > 0 else f"{-under:.2f} nats above"
    print(
        f"\nafter {time.perf_counter() - started:.0f} s: held-out loss {last['valid_loss']:.3f}, "
        f"{where} the {best} baseline{'' if under > 0 else ': ' + job.advice}; "
        f"{last['valid_accuracy']:.1%} of the {job.unit}s guessed right"
    )
    print(f"{job.folder}/: {', '.join(FILES)}\n")
    print(job.showing())
    return 0
