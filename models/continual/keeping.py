"""--save: the model that a strategy ends with, in a folder as ``minitorch finetune`` writes one: predict, serve, explain take it.

In --setting task, where a head belongs to a task, there is a folder per task. Read before: run.py, models/finetuning/run.py.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import nn
from minitorch.files import write_text

from ..checkpoints.saved import changed
from ..errors import BadInput
from ..finetuning.run import FACTS
from ..finetuning.tasks import Settings as FinetuneSettings
from ..text.labelled import as_json
from .run import Run, key_of
from .settings import STRATEGIES, Settings


def refuse_finished(s: Settings, order: list[int], records: Any, folder: Path) -> None:
    """BadInput for a model that a finished run did not keep."""
    for name in s.save:
        if key_of(name, s.seed, order) in records and not here(folder, name):
            raise BadInput(f"--save {name}: its first run is finished, and its weights are gone; start again with --overwrite")


def here(folder: Path, name: str) -> list[Path]:
    """The models of a strategy that are kept in a folder."""
    return [path for path in (folder / name, *folder.glob(f"{name}-task-*")) if (path / FACTS).is_file()]


def forget(folder: Path) -> None:
    """Remove what earlier runs kept here."""
    for name in STRATEGIES:
        for path in here(folder, name):
            shutil.rmtree(path)


def keep(run: Run, folder: Path) -> list[Path]:
    """Write the model, or the models, of a run that is finished."""
    kept = []
    for name, labels, model in models(run):
        model.save_pretrained(folder / name)
        run.tokenizer.save_pretrained(folder / name)
        own = {f.name: getattr(run.s, f.name) for f in dataclasses.fields(FinetuneSettings)}
        own |= {"task": "classify", "train": "", "dev": "", "test": "", "output": str(folder / name), "eval_every": 0}
        facts = {"task": "classify", "facts": {**run.stream.facts(), "labels": labels}, "settings": own}
        write_text(folder / name / FACTS, as_json({**facts, "minitorch": minitorch.__version__}, 2) + "\n")
        kept.append(folder / name)
    return kept


def models(run: Run) -> Iterator[tuple[str, list[str], Any]]:
    """(folder, labels, model)"""
    stream, model = run.stream, run.model
    if stream.s.setting != "task":
        yield run.strategy.name, stream.labels, model
        return
    whole, config = model.classifier, model.config
    for k, labels in enumerate(stream.classes):
        rows = np.flatnonzero(stream.own[k])
        model.classifier = nn.Linear(whole.in_features, len(rows))
        model.classifier.load_state_dict({"weight": whole.weight[rows], "bias": whole.bias[rows]})
        model.config = changed(config, {"id2label": dict(enumerate(labels))})
        yield f"{run.strategy.name}-task-{k + 1}", labels, model
    model.classifier, model.config = whole, config
