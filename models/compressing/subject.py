"""The model that is compressed, and its judge: a task, examples, a loss. Read before: finetuning/predictor.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..adapting.files import CONFIG
from ..bert.config import BertConfig
from ..bert.model import BertForMaskedLM, BertForPreTraining, BertModel
from ..bert.use import load
from ..checkpoints.files import config_file, locate, read_all_shapes
from ..errors import BadInput
from ..finetuning.predictor import Predictor
from ..finetuning.run import FACTS
from ..finetuning.tasks import Settings as TaskSettings
from ..finetuning.tasks import Task
from ..reading import read_json
from ..text.labelled import as_json
from ..training.batches import Batches
from ..training.trainer import Trainer
from .masked_words import MaskedWords

TAUGHT = ("lr", "weight_decay", "clip", "dropout", "eval_every", "save_every", "accumulate", "seed", "device", "precision")


class Subject:
    """A fine-tuned model with its task, or a pretrained one, whose task is to guess masked words."""

    def __init__(self, folder: str | Path, device: str = "cpu", batch_size: int = 32, threads: int = 0, **reading: str) -> None:
        """``reading``: of the settings that say how files are read (columns, delimiter, encoding), those that differ."""
        self.folder = locate(folder)
        self.answers: dict[Any, Any] = {}  # a teacher's, by texts
        if (self.folder / CONFIG).is_file():
            raise BadInput(f"{folder} is an adapter; make a checkpoint of it first: minitorch adapt merge {folder} OUTPUT")
        self.config = BertConfig.from_json_file(config_file(self.folder))
        if (self.folder / FACTS).is_file():
            trainer = Predictor(self.folder, device, **reading).trainer
            self.settings, self.task = trainer.s, trainer.task
            self.tokenizer, self.model = trainer.tokenizer, trainer.model
        else:
            if reading:
                which = f"--{next(iter(reading))} says how labelled examples are read"
                raise BadInput(f"{which}; {folder} has no task, and is measured on lines of UTF-8 text")
            self.pretrained(device)
        self.settings.batch_size, self.settings.threads = batch_size, threads
        self.trainer = Trainer(self.settings, self.task, self.tokenizer, self.model, [], [])

    def pretrained(self, device: str) -> None:
        """A checkpoint that no task was taught: with its heads, if there are any."""
        names = read_all_shapes(self.folder)
        self.has_words = any(name.startswith("cls.predictions") for name in names)
        pair = any(name.startswith("cls.seq_relationship") for name in names)
        kind: Any = BertModel if not self.has_words else BertForPreTraining if pair else BertForMaskedLM
        without = {"add_pooling_layer": False} if kind is BertModel and not any("pooler." in name for name in names) else {}
        self.tokenizer, self.model = load(self.folder, kind, device, **without)
        length = min(128, self.config.max_position_embeddings)
        self.settings = TaskSettings(task="mlm", model=str(self.folder), length=length, device=device, lr=5e-5)
        self.task: Task = MaskedWords(self.settings)
        self.task.kind = kind

    def refuse_int8(self) -> None:
        """Raise BadInput if it is quantised already."""
        if self.config.extra.get("quantization_config"):
            raise BadInput(f"{self.folder} is int8 already, its numbers are fixed; compress the model that it was made of")

    @property
    def is_finetuned(self) -> bool:
        """Has it a task of its own?"""
        return self.task.name != "mlm"

    def read(self, path: str, most: int = 0) -> list[Any]:
        """The labelled examples of a file (``most``: evenly spaced ones), or its lines for a pretrained model."""
        if not self.is_finetuned and not self.has_words:
            raise BadInput(
                f"{self.folder}: this checkpoint has neither a task nor a head for masked words, so that examples cannot "
                "measure it; fine-tune it first, or leave out --data and --test"
            )
        examples = self.task.read(path)
        if not examples:
            raise BadInput(f"{path}: holds no examples")
        self.task.check(examples)
        return evenly(examples, most) if most else examples

    def batches(self, examples: Sequence[Any]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
        """The features of each batch, and the model's arguments."""
        features = self.task.features(list(examples), self.tokenizer)
        for chosen in Batches(features, self.settings.batch_size, 0, self.task.groups(features)).epoch(0):
            some = [features[i] for i in chosen]
            yield some, {name: value.to(self.settings.device) for name, value in self.task.batch(some, self.tokenizer).items()}

    def losses(self, examples: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Of each batch a function that computes its mean loss, and ∂(an example's own mean loss)/∂(that), (B,)."""
        for some, batch in self.batches(examples):
            weights = np.array([self.task.weight(self.task.batch([f], self.tokenizer)) for f in some])
            yield lambda batch=batch: self.task.loss(self.model, batch)[0], weights.sum() / np.maximum(weights, 1e-30)

    def score(self, examples: list[Any], label: str) -> tuple[str, float]:
        """The metric's name and value."""
        _, scores, _ = self.trainer.report_on(examples, label)
        return self.trainer.metric, float(scores[self.trainer.metric])

    def save(self, folder: Path) -> None:
        """Model, tokenizer and the record of the task, as fine-tuning writes them."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.is_finetuned:
            write_text(folder / FACTS, as_json(read_json(self.folder / FACTS), 2) + "\n")

    def training_settings(self, s: Any) -> TaskSettings:
        """Fine-tuning's settings that read files as this model's run did and train as ``s`` has it."""
        own = {name: getattr(s, name) for name in TAUGHT}
        own |= {"train": s.data, "dev": "", "test": s.test, "model": str(self.folder), "output": s.output, "adapt": ""}
        own |= {
            "epochs": s.epochs,
            "warmup": s.warmup,
            "validation": s.validation,
            "metric": "",
            "patience": 0,
            "batch_size": s.batch_size,
            "threads": s.threads,
            "freeze": 0,
            "compare": "classical",
        }
        return dataclasses.replace(self.settings, **own)


def answering(folder: str | Path, path: str, most: int, **reading: str) -> Any:
    """A function that answers examples of a file by a folder's model, on one thread."""
    subject = Subject(folder, threads=1, **reading)
    features = subject.task.features(subject.read(path, most), subject.tokenizer)
    return lambda: subject.trainer.answer(features)


def evenly(examples: list[Any], most: int) -> list[Any]:
    """At most so many of the examples, evenly spaced."""
    return examples[:: max(1, -(-len(examples) // most))]
