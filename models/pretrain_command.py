"""``minitorch pretrain``: start or resume a run of one of the models, train, report.

Read before: training/pretraining.py, bert/pretraining.py, gpt/pretraining.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

from .bert import pretraining as bert
from .errors import BadInput, count, quoted
from .gpt import pretraining as gpt
from .reading import read_tensors, read_toml
from .training import ranks
from .training.pictures import save_curve
from .training.pretraining import KEPT, PretrainingRun
from .training.runs import (
    STATE,
    complete,
    continuing,
    folder_to_resume,
    how_to_go_on,
    new_folder,
    refuse_overwriting,
    unfinished,
)  # fmt: skip
from .training.settings import add_options, flag, given, resumed_settings

FILES = ("run.json", "training.safetensors", "metrics.jsonl", "curve.png")
MODELS: dict[str, Any] = {run.settings_class.label: run for run in (bert.Run, gpt.Run)}
USUAL = "bert"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``minitorch pretrain``."""
    text = "bert guesses masked words from both sides; gpt guesses the next token, and can write"
    parser.add_argument("--model", choices=MODELS, help=f"{text} (default: {USUAL}; with --resume that of the run)")
    add_options(parser, *(run.settings_class for run in MODELS.values()))


def start(args: argparse.Namespace, until_the_end: contextlib.ExitStack) -> PretrainingRun:
    """A new run, or a resumed one."""
    toml = read_toml(args.config) if args.config else {}
    kind = MODELS[chosen_model(args, toml)]
    refuse_options_of_others(kind.settings_class, args, toml)
    chosen = given(args, kind.settings_class, besides=("model",))
    settings = kind.settings_class(**chosen)
    output = Path(settings.output)
    if not args.resume:
        refuse_overwriting(output, KEPT, args.overwrite)
        settings.check()  # before a folder is made
        ranks.agree_on_settings(settings, [*settings.corpus, *filter(None, [settings.tokenizer])])
        folder = Path(ranks.by_first(lambda: str(new_folder(output, KEPT, args.overwrite, until_the_end))))
        return kind(settings, folder=folder)  # type: ignore[no-any-return]
    folder = Path(ranks.by_first(lambda: str(folder_to_resume(output, "every --save-every steps", until_the_end))))
    chosen = {**chosen, "output": settings.output}
    saved = ranks.saved_settings(kind.read_state(folder / STATE), chosen)
    settings = resumed_settings(folder / STATE, saved, chosen, kind.settings_class, free=("output", "device"))
    ranks.agree_on_settings(settings, [])
    run: PretrainingRun = kind(settings, resuming=True, folder=folder)
    run.load_state()
    print(continuing(run.step, run.settings.steps))
    return run


def chosen_model(args: argparse.Namespace, toml: dict[str, Any]) -> str:
    """--model, the file's model, or that of the run to resume."""
    asked = args.model or toml.get("model")
    if asked not in (None, *MODELS):
        raise BadInput(f"{args.config}: model must be one of {', '.join(MODELS)}, not {quoted(asked)}")
    output = args.output or toml.get("output") or MODELS[asked or USUAL].settings_class().output
    state = unfinished(Path(str(output))) / STATE
    if not args.resume or not state.is_file():
        return asked or USUAL
    content = read_tensors(state)
    saved = content.get("settings") if isinstance(content, dict) else None
    names = set(saved) if isinstance(saved, dict) else set()
    found = next((label for label, run in MODELS.items() if names == fields(run.settings_class)), asked or USUAL)
    if asked not in (None, found):
        raise BadInput(f"{state}: that run trains a {MODELS[found].name}; --resume keeps it: leave out --model {asked}")
    return found


def fields(settings: Any) -> set[str]:
    """The names of its settings."""
    return {f.name for f in dataclasses.fields(settings)}


def refuse_options_of_others(settings: Any, args: argparse.Namespace, toml: dict[str, Any]) -> None:
    """BadInput for an option that only another model has."""
    given = [name for name, value in vars(args).items() if value is not None] + [key.replace("-", "_") for key in toml]
    for other in (run.settings_class for run in MODELS.values()):
        for name in given:
            if name in fields(other) - fields(settings):
                raise BadInput(f"{flag(name)} is an option of --model {other.label}; --model {settings.label} has no use for it")


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


def finish(job: PretrainingRun) -> None:
    """Write the checkpoint and the curve, and give the run its place."""
    job.finish()
    title = f"{job.name} {job.settings.size}, {job.settings.steps:,} steps"
    save_curve(job.metrics, job.folder / "curve.png", title, job.unit, job.baselines)
    job.folder = complete(job.folder, Path(job.settings.output))


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
        ranks.by_first(lambda: finish(job))
    except KeyboardInterrupt:
        print(f"\nstopped at step {job.step:,}; {how_to_go_on('pretrain', job.folder, s.output)}")
        raise
    if not ranks.is_first():
        return 0
    last = job.metrics[-1]
    print(
        f"\nafter {time.perf_counter() - started:.0f} s: held-out loss {last['valid_loss']:.3f}, {standing(job)}; "
        f"{last['valid_accuracy']:.1%} of the {job.unit}s guessed right"
    )
    print(f"{job.folder}/: {', '.join([*job.files, *FILES])}\n")
    print(job.showing())
    return 0


def standing(job: PretrainingRun) -> str:
    """Where the held-out loss stands to the best baseline; above it, what the model lacks and what helps."""
    loss, (best, level) = job.metrics[-1]["valid_loss"], next(iter(job.levels.items()))
    if loss < level:
        return f"{level - loss:.2f} nats below the {best} baseline"
    worst = [name for name in job.lacking if loss >= job.levels[name]][-1]
    return f"{loss - level:.2f} nats above the {best} baseline: {job.lacking[worst]}; give it more --steps"
