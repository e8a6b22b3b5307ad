"""``minitorch compress --model FOLDER ...``: a smaller model in a folder that is used as the large one's is.

Read before: settings.py, subject.py, and the techniques. Read next: ladder.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..errors import BadInput, count
from ..finetuning.report import finish, size_text
from ..finetuning.run import FACTS, KEPT
from ..reading import read_json
from ..training.runs import (
    STATE,
    complete,
    folder_to_resume,
    make_folder,
    new_folder,
    refuse_overwriting,
    train_and_report,
    unfinished,
)
from ..training.settings import add_options, given, resumed_settings
from . import heads, int8, ladder, layers, weights
from .measuring import memory_of, milliseconds, sizes
from .settings import Settings
from .subject import Subject, answering, evenly
from .training import Distillation, Training

RECORD = "compress.json"
TIMED = 32  # examples
CURE = "use --resume, --overwrite or another --output"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting."""
    add_options(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """Compress, measure, write."""
    chosen = given(args, Settings)
    s = Settings(**chosen)
    if args.resume and (record := unfinished(Path(s.output)) / RECORD).is_file():
        saved = read_json(record).get("settings")
        s = resumed_settings(record, saved, {**chosen, "output": s.output}, Settings, ("output", "device"))
    s.check()
    try:
        if s.ladder:
            climb(s, args.overwrite, args.resume)
        else:
            compress(s, args.overwrite, args.resume)
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    return 0


def climb(s: Settings, overwrite: bool = False, resume: bool = False) -> None:
    """--ladder"""
    if not resume:
        refuse_overwriting(s.output, (*KEPT, ladder.RECORD), overwrite, CURE)
    make_folder(Path(s.output))
    rows = ladder.ladder(s, resume)
    print(f"\n{ladder.as_text(rows)}\n\n{s.output}/: ladder.txt, .json, .png")


def compress(s: Settings, overwrite: bool = False, resume: bool = False) -> dict[str, Any]:
    """The command in one call; returns what compress.json holds."""
    output = Path(s.output)
    if output.resolve() == Path(s.model).resolve():
        raise BadInput(f"--output {output} is the model itself; give another folder")
    cure = CURE if (output / STATE).is_file() else CURE.replace("--resume, ", "")
    if not resume:
        refuse_overwriting(output, KEPT, overwrite, cure)
    subject = Subject(s.model, s.device, s.batch_size, s.threads, **s.reading)
    subject.refuse_int8()
    data, test = (subject.read(path) if path else [] for path in (s.data, s.test))
    with contextlib.ExitStack() as until_the_end:
        record: dict[str, Any] = {"technique": s.technique, "of": str(subject.folder), "settings": dataclasses.asdict(s)}
        if resume:
            folder = folder_to_resume(output, "at every evaluation", until_the_end)
            record = {**record, **read_json(folder / RECORD), "settings": record["settings"]}
        else:
            record["before"] = measured(subject, subject.folder, test)
            record["what"] = TECHNIQUES[s.technique](subject, data, s) if s.technique in TECHNIQUES else ""
            folder = new_folder(output, KEPT, overwrite, until_the_end, cure=cure)
        if s.epochs:
            subject = train(subject, s, folder, record, resume)
            folder = output
        else:
            subject.save(folder)
        record["after"] = measured(subject, folder, test)
        record |= timed(s, Path(record["of"]), folder)
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")
        folder = complete(folder, output)
    say(record, folder)
    return record


def train(subject: Subject, s: Settings, folder: Path, record: dict[str, Any], resume: bool) -> Subject:
    """Train to the end in the folder; the result, read from there."""
    kind = Distillation if s.technique == "student" else Training
    job = kind(subject.training_settings(s), subject, s)
    job.folder = folder
    if resume:
        job.load_state()
        print(f"continuing at step {job.trainer.step:,} of {job.trainer.steps:,}")

    def save() -> None:
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")  # for --resume
        job.save_state()

    job.trainer.on_state = save
    n, m = subject.model.num_parameters(), job.model.num_parameters()
    print(f"{m:,} parameters ({n:,} before); {count(job.trainer.steps, 'step')} of up to {s.batch_size} examples")
    train_and_report("compress", job, finish)
    record["what"] = record["what"] or f"a student of {m:,} parameters, its teacher has {n:,}"
    return Subject(job.folder, s.device, s.batch_size, s.threads, **s.reading)


def prune_heads(subject: Subject, data: list[Any], s: Settings) -> str:
    """--heads"""
    model = subject.model
    try:
        share = float(s.heads)
    except ValueError:
        taken = heads.chosen_heads(s.heads, model.config)
        heads.prune(model, taken)
    else:
        if not 0 < share < 1:
            raise BadInput(f"--heads must be a share above 0 and below 1, or LAYER:HEAD,..., not {s.heads}")
        rng = np.random.default_rng([s.seed, 11])
        some = evenly(data, s.examples)

        def measure(model: Any) -> list[Any]:
            if s.by == "random":
                return [rng.random(model.config.heads_of(i)) for i in range(model.config.num_hidden_layers)]
            return heads.importance(model, subject.losses(some))

        taken = heads.prune_share(model, share, measure)
    names = ", ".join(f"{layer}:{head}" for layer, head in sorted(taken))
    return f"{count(len(taken), 'head')} pruned (layer:head {names})"


def quantize(subject: Subject, data: list[Any], s: Settings) -> str:
    """--int8"""

    def run() -> None:
        subject.trainer.answer(subject.task.features(evenly(data, s.examples), subject.tokenizer))

    n = int8.quantize(subject.model, s.int8, s.embeddings, run if s.int8 == "static" else None)
    return f"{count(n, 'layer')} of int8, {s.int8}"


def keep_layers(subject: Subject, data: list[Any], s: Settings) -> str:
    """--layers"""
    kept = layers.chosen_layers(s.layers, subject.model.config.num_hidden_layers)
    layers.keep(subject.model, kept)
    return f"{count(len(kept), 'layer')} kept: {', '.join(map(str, kept))}"


def zero_weights(subject: Subject, data: list[Any], s: Settings) -> str:
    """--weights; with training the zeros come gradually (training.py)."""
    if not s.epochs:
        weights.Pruner(subject.model, s.by, s.weights, s.scope, s.seed).prune(s.weights)
    return f"{s.weights:.0%} of the encoder's weights set to 0, by {s.by}"


TECHNIQUES = {"heads": prune_heads, "int8": quantize, "layers": keep_layers, "weights": zero_weights}


def measured(subject: Subject, folder: Path, test: list[Any]) -> dict[str, Any]:
    """Size on disk, and the score if there are test examples."""
    found: dict[str, Any] = sizes(folder)
    if test:
        found["metric"], found["score"] = subject.score(test, "answering test")
    return found


def timed(s: Settings, before: Path, after: Path) -> dict[str, Any]:
    """Time per text and peak memory of both folders, if there are texts."""
    path = s.test or s.data
    if not path:
        return {}
    folders = {"before": before, "after": after}
    n = len(Subject(before, **s.reading).read(path, TIMED))
    ms = milliseconds({name: answering(folder, path, TIMED, **s.reading) for name, folder in folders.items()}, n)
    return {"ms": ms, "memory": {name: memory_of(folder, path, TIMED, **s.reading) for name, folder in folders.items()}}


def say(record: dict[str, Any], folder: Path) -> None:
    """Print the table of before and after, and how to go on."""
    print(as_text(record))
    uses = "predict" if (folder / FACTS).is_file() else "embed"
    print(f"\n{folder}/: use it as before: minitorch {uses} --model {folder} 'a text'")


def as_text(record: dict[str, Any]) -> str:
    """The table of before and after."""
    rows = [("", "before", "after")]
    rows += [("weights on disk", *(size_text(record[side]["bytes"]) for side in ("before", "after")))]
    rows += [("the same after gzip", *(size_text(record[side]["gzip_bytes"]) for side in ("before", "after")))]
    if "ms" in record:
        rows += [("time per text, one thread", *(f"{record['ms'][side]:.2f} ms" for side in ("before", "after")))]
        rows += [("peak memory of a process", *(f"{record['memory'][side]['peak_mib']:.0f} MiB" for side in ("before", "after")))]
    if "score" in record["after"]:
        rows += [(f"{record['after']['metric']} on test", *(f"{record[side]['score']:.4f}" for side in ("before", "after")))]
    lines = [f"{name:28}{a:>12}{b:>12}" for name, a, b in rows]
    return "\n".join([record["what"], "", *lines])
