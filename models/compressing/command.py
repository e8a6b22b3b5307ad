"""``minitorch compress --model FOLDER ...``: a smaller model in a folder that is used as the large one's is.

Read before: settings.py, subject.py, and the techniques. Read next: ladder.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..errors import BadInput, count
from ..finetuning.report import size_text
from ..finetuning.run import FACTS, KEPT
from ..training.runs import complete, new_folder, refuse_overwriting
from ..training.settings import add_options, given
from . import heads
from .measuring import memory_of, milliseconds, sizes
from .settings import Settings
from .subject import Subject

RECORD = "compress.json"
TIMED = 64  # examples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: one a setting."""
    add_options(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """Compress, measure, write."""
    chosen = given(args, Settings)
    s = Settings(**chosen)
    s.check()
    try:
        compress(s, args.overwrite)
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    return 0


def compress(s: Settings, overwrite: bool = False) -> dict[str, Any]:
    """The command in one call; returns what compress.json holds."""
    refuse_overwriting(s.output, KEPT, overwrite, "use --overwrite or another --output")
    if Path(s.output).resolve() == Path(s.model).resolve():
        raise BadInput(f"--output {s.output} is the model itself; give another folder")
    subject = Subject(s.model, s.device, s.batch_size, s.threads)
    subject.refuse_int8()
    data, test = (subject.read(path) if path else [] for path in (s.data, s.test))
    with contextlib.ExitStack() as until_the_end:
        before = measured(subject, subject.folder, test, s)
        done = TECHNIQUES[s.technique](subject, data, s)
        folder = new_folder(Path(s.output), KEPT, overwrite, until_the_end, cure="use --overwrite or another --output")
        subject.save(folder)
        after = measured(subject, folder, test, s)
        record = {"technique": s.technique, "what": done, "of": str(subject.folder), "before": before, "after": after}
        record |= timed(s, subject.folder, folder)
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")
        folder = complete(folder, Path(s.output))
    print(as_text(record))
    uses = "predict" if (folder / FACTS).is_file() else "embed"
    print(f"\n{folder}/: use it as before: minitorch {uses} --model {folder} 'a text'")
    return record


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
        some = data[:: max(1, -(-len(data) // s.examples))]

        def measure(model: Any) -> list[Any]:
            if s.by == "random":
                return [rng.random(model.config.heads_of(i)) for i in range(model.config.num_hidden_layers)]
            return heads.importance(model, subject.losses(some))

        taken = heads.prune_share(model, share, measure)
    names = ", ".join(f"{layer}:{head}" for layer, head in sorted(taken))
    return f"{count(len(taken), 'head')} pruned (layer:head {names})"


TECHNIQUES = {"heads": prune_heads}


def measured(subject: Subject, folder: Path, test: list[Any], s: Settings) -> dict[str, Any]:
    """Size on disk, and the score if there are test examples."""
    found: dict[str, Any] = sizes(folder)
    if test:
        found["metric"], found["score"] = subject.score(test, "answering test")
    return found


def timed(s: Settings, before: Path, after: Path) -> dict[str, Any]:
    """Time per text and peak memory of both folders, if there are texts."""
    from .subject import answering

    path = s.test or s.data
    if not path:
        return {}
    answers = {"before": answering(before, path, TIMED), "after": answering(after, path, TIMED)}
    n = len(Subject(before).read(path, TIMED))
    ms = milliseconds(answers, n)
    return {"ms": ms, "memory": {name: memory_of(f, path, TIMED) for name, f in (("before", before), ("after", after))}}


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
