"""The tasks, and the three settings, which differ in the outputs that may answer (van de Ven and Tolias, 2019).

    domain    the tasks share their labels: one head, every output may answer
    task      the task of an example is known, at test too: each task has a head of its own, and that one answers
    class     each task brings new classes: one head that grows; the classes seen so far may answer, whichever task asks

An output that may not answer is shut: its logit gets -10⁹, so that it has no probability and no gradient.
van de Ven and Tolias, "Three scenarios for continual learning", https://arxiv.org/abs/1904.07734.
Read before: settings.py, models/finetuning/classify.py. Read next: sequential.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..errors import BadInput, count, listing, short
from ..finetuning.classify import Classify, Example
from ..finetuning.labels import natural
from ..finetuning.run import hold_out
from ..finetuning.tasks import Feature
from ..reading import read_bytes
from ..text.tokenizer import Tokenizer
from .settings import Settings

SHUT = -1e9


@dataclass
class Item(Example):
    """An example, and the number of its task."""

    task: int = 0


@dataclass
class Extra:
    """Of a feature: the number of its task, and what the model answered before that (lwf.py)."""

    task: int
    old: Any = None


class Stream(Classify):
    """One classifier for all tasks. ``added``: what a strategy adds to the loss, a function of model, batch and logits."""

    def __init__(self, s: Settings) -> None:
        super().__init__(s)
        self.classes: list[list[str]] = []  # of each task
        self.own: Any = None  # (tasks, outputs): is it an output of the task?
        self.shut: Any = None  # (tasks, outputs): 0, or SHUT where it may not answer
        self.added: Callable[..., Any] | None = None

    def place(self, item: Item) -> int:
        """The number of the output that stands for an example's label."""
        label = self.names(item)[0]
        if self.s.setting != "task":
            return self.labels.index(label)
        return sum(map(len, self.classes[: item.task])) + self.classes[item.task].index(label)

    target = place

    @property
    def outputs(self) -> list[str]:
        """Their names."""
        if self.s.setting != "task":
            return self.labels
        return [f"{i}: {label}" for i, labels in enumerate(self.classes, 1) for label in labels]

    def config(self) -> dict[str, Any]:
        return {**super().config(), "id2label": dict(enumerate(self.outputs))}

    def decide(self, tasks: Sequence[list[Item]]) -> None:
        """Find all labels, and which of them are whose."""
        self.learn([item for items in tasks for item in items])
        if self.targets != "classes":
            what = "numbers" if self.targets == "numbers" else "several labels per example"
            raise BadInput(f"{tasks[0][0].where}: minitorch continual learns one class per example, these are {what}")
        self.classes = [sorted({self.names(item)[0] for item in items}, key=natural) for items in tasks]
        if self.s.setting == "task":
            owner = np.repeat(np.arange(len(tasks)), [len(labels) for labels in self.classes])
            self.own = owner == np.arange(len(tasks))[:, None]
        else:
            self.own = np.array([[label in labels for label in self.labels] for labels in self.classes])

    def open(self, seen: Sequence[int]) -> None:
        """Let the outputs answer that may, once these tasks are seen."""
        if self.s.setting == "class":
            may = np.repeat(self.own[list(seen)].any(0)[None], len(self.own), 0)
        else:
            may = self.own
        self.shut = np.where(may, 0.0, SHUT).astype(np.float32)

    def features(self, examples: list[Item], tokenizer: Tokenizer) -> list[Feature]:  # type: ignore[override]
        found = super().features(list(examples), tokenizer)
        return [replace(f, extra=Extra(examples[f.example].task)) for f in found]

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        inputs = super().batch(features, tokenizer)
        inputs["shut"] = minitorch.tensor(self.shut[[f.extra.task for f in features]])  # (B, outputs)
        if features[0].extra.old is not None:
            inputs["old"] = minitorch.tensor(np.stack([f.extra.old for f in features]))  # (B, outputs)
        return inputs

    def ask(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """(B, outputs), as the head gives them; and the model's whole output."""
        output = model(**{name: value for name, value in batch.items() if name not in ("labels", "shut", "old")})
        return output.logits, output

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Cross entropy over the outputs that may answer; in training with the strategy's term (and AdaLoRA's)."""
        logits, output = self.ask(model, batch)
        loss = F.cross_entropy(logits + batch["shut"], batch["labels"])
        if model.training and self.added is not None:
            loss = loss + self.added(model, batch, logits)
        return loss + model.regularization() if self.s.adapt and model.training else loss, output

    def rows(self, output: Any, features: Sequence[Feature]) -> list[Any]:
        return [row + self.shut[f.extra.task] for row, f in zip(super().rows(output, features), features, strict=True)]

    def right(self, features: Sequence[Feature], rows: Sequence[Any]) -> float:
        """The share of right answers. Where no output may answer, none is right."""
        good = [self.shut[f.extra.task][f.target] == 0 and int(row.argmax()) == f.target for f, row in zip(features, rows)]
        return float(np.mean(good))


@dataclass
class Data:
    """The tasks' names and examples, and a fingerprint of their files."""

    names: list[str]
    train: list[list[Item]]
    test: list[list[Item]]
    sha256: str


def read_tasks(s: Settings, stream: Stream) -> Data:
    """Read and check all files before anything is trained or written."""
    if len(s.tasks) < 2:
        raise BadInput(
            f"--tasks {' '.join(s.tasks)}: to learn one task after another there must be two or more; give a file for each"
        )
    if s.test and len(s.test) != len(s.tasks):
        raise BadInput(f"--test: {count(len(s.test), 'file')} for {len(s.tasks)} tasks; give one for each, in the same order")
    digest, seen = hashlib.sha256(), dict[bytes, str]()
    for k, path in enumerate([*s.tasks, *s.test]):
        there = read_bytes(path, None) if Path(path).is_file() else path.encode()  # a pipe can be read only once
        content = hashlib.sha256(there).digest()
        digest.update(content)
        other = seen.setdefault(content, path)
        if k < len(s.tasks) and len(seen) <= k:
            how = "is given twice" if other == path else f"has the same content as {other}"
            raise BadInput(f"--tasks: {path} {how}; a task is learnt once")
        if k >= len(s.tasks) and other in s.tasks:
            stream.notes.append(f"--test {path} is the same as the task {other}: a score there says nothing about new examples")
    train = [items_of(stream, path, i) for i, path in enumerate(s.tasks)]
    stream.decide(train)
    agree(s, stream)
    test = [items_of(stream, path, i) for i, path in enumerate(s.test)]
    for items, labels, path in zip(test, stream.classes, s.tasks):
        if odd := next((e for e in items if stream.names(e)[0] not in labels), None):
            label = short(stream.names(odd)[0])
            raise BadInput(f"{odd.where}: the label {label!r} is not among those of {path}: {listing(labels, 8)}")
    if not s.test:
        parts = [hold_out(items, stream, replace(s, train=path)) for items, path in zip(train, s.tasks)]
        train, test = [list(part) for part in zip(*parts)]
    train = [some(items, s.examples, s.seed) for items in train]
    test = [some(items, s.test_examples, s.seed) for items in test]
    return Data(names_of(s.tasks), train, test, digest.hexdigest())


def items_of(stream: Stream, path: str, i: int) -> list[Item]:
    """The examples of a file, as those of task i."""
    return [Item(**vars(example), task=i) for example in stream.read(path)]


def some(items: list[Item], most: int, seed: int) -> list[Item]:
    """At most so many, at random, in their order; 0: all."""
    chosen = np.random.default_rng([seed, 23]).permutation(len(items))[: most or None]
    return [items[i] for i in sorted(chosen.tolist())]


def agree(s: Settings, stream: Stream) -> None:
    """Refuse tasks whose labels do not fit the setting."""
    first, classes = set(stream.classes[0]), stream.classes
    for i, (path, labels) in enumerate(zip(s.tasks, classes)):
        if s.setting == "domain" and set(labels) != first:
            odd = sorted(set(labels) ^ first, key=natural)[0]
            where, other = (path, s.tasks[0]) if odd in labels else (s.tasks[0], path)
            raise BadInput(
                f"{where}: in --setting domain the tasks share their labels, but {other} has no {short(odd)!r}; "
                "--setting class takes tasks that bring new classes, --setting task any"
            )
        if s.setting == "task" and len(labels) < 2:
            raise BadInput(f"{path}: all examples have the label {short(labels[0])!r}; a task with a head of its own needs two")
        for j in range(i if s.setting == "class" else 0):
            if both := sorted(set(labels) & set(classes[j]), key=natural):
                raise BadInput(
                    f"{path}: in --setting class each task brings new classes, but {s.tasks[j]} has {short(both[0])!r} too; "
                    "--setting domain takes tasks that share all labels, --setting task any"
                )


def names_of(paths: Sequence[str]) -> list[str]:
    """Short names of files, each another: books, dvd; or of books/train.tsv, dvd/train.tsv the folders'; or the paths."""
    for name in (lambda p: Path(p).stem, lambda p: Path(p).resolve().parent.name):
        found = [short(name(path), 24) for path in paths]
        if len(set(found)) == len(found):
            return found
    return list(paths)
