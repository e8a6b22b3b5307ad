"""``minitorch pretrain``: start or resume a run, train, report. Read before: pretraining.py."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path

from ..errors import BadInput, count
from ..training.pictures import save_curve
from ..training.runs import STATE, complete, folder_to_resume, how_to_go_on, new_folder, refuse_overwriting
from ..training.settings import add_options, given, same_settings
from .pretraining import KEPT, Run, Settings, read_state
from .report import showing, trials


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``minitorch pretrain``."""
    add_options(parser, Settings)


def start(args: argparse.Namespace, until_the_end: contextlib.ExitStack) -> Run:
    """A new run, or a resumed one."""
    chosen = given(args, Settings)
    settings = Settings(**chosen)
    output = Path(settings.output)
    if not args.resume:
        refuse_overwriting(output, KEPT, args.overwrite)
        settings.check()  # before a folder is made
        return Run(settings, folder=new_folder(output, KEPT, args.overwrite, until_the_end))
    folder = folder_to_resume(output, "every --save-every steps", until_the_end)
    state = folder / STATE
    saved = read_state(state)["settings"]
    same_settings(state, saved, chosen, Settings, free=("output", "device"))
    settings = Settings(**{**saved, "output": settings.output, "device": args.device or saved["device"]})
    run = Run(settings, resuming=True, folder=folder)
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


def work(job: Run) -> int:
    """Train, save, and print the result."""
    s, text = job.settings, job.text
    print(
        f"BERT {s.size}, {job.model.num_parameters():,} parameters; {len(text.train.ids):,} tokens to learn from, "
        f"{len(text.valid.ids):,} held out; {count(s.steps, 'step')} of {s.batch_size} x {s.length} tokens on {s.device}, "
        f"{count(s.workers, 'thread')}\n"
        f"baselines in nats per word: uniform guessing {text.uniform:.3f}, word frequencies only {text.unigram:.3f}"
    )
    started = time.perf_counter()
    try:
        job.train()
        job.save_state()
        job.finish()
        save_curve(job.metrics, job.folder / "curve.png", f"BERT {s.size}, {s.steps:,} steps")
        job.folder = complete(job.folder, Path(s.output))
    except KeyboardInterrupt:
        print(f"\nstopped at step {job.step:,}; {how_to_go_on('pretrain', job.folder, s.output)}")
        raise
    last = job.metrics[-1]
    under = text.unigram - last["valid_loss"]
    where = f"{under:.2f} nats below" if under > 0 else f"{-under:.2f} nats above"
    advice = "" if under > 0 else ": the model has not even learnt word frequencies; give it more --steps"
    print(
        f"\nafter {time.perf_counter() - started:.0f} s: held-out loss {last['valid_loss']:.3f}, "
        f"{where} the unigram baseline{advice}; "
        f"{last['valid_accuracy']:.1%} of the masked words guessed right"
    )
    print(
        f"{job.folder}/: config.json, model.safetensors, tokenizer.json, tokenizer_config.json, vocab.txt, run.json, "
        "training.safetensors, metrics.jsonl, curve.png\n"
    )
    print(showing(trials(job.model, text), job.folder))
    return 0
