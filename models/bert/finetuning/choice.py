"""choice: which of several continuations or answers is right, from JSONL files.

A line: {"question": "...", "choices": ["...", "...", "..."], "label": 1}; the label counts from 0. Also understood: "context"
beside "question" (they are joined), "endings" or "options" for "choices", choices under numbered names (choice1, choice2,
ending0, ...), choices as {"label": "A", "text": "..."} with the right one's label as "answerKey" or "label".
Read before: tasks.py. Read next: run.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch import Tensor

from ...tables import BadInput, listing
from ..model import BertForMultipleChoice
from ..tokenizer import Tokenizer
from . import baselines, metrics
from .files import Rows, read_rows
from .tasks import Feature, Task

TEXT = ("question", "text", "premise", "sent1", "sentence", "prompt", "ctx", "context", "article")
CONTEXT = ("context", "article", "passage")
CHOICES = ("choices", "endings", "options", "answers")
LABEL = ("label", "answer", "answerKey", "gold", "correct")
NUMBERED = re.compile(r"(choice|ending|option|answer|sol)_?(\d+|[A-H])$")


@dataclass
class Choice:
    """A text, its continuations, and the number of the right one."""

    text: str
    choices: list[str]
    target: int | None
    where: str


class Choose(Task):
    """One of several."""

    name = "choice"
    kind = BertForMultipleChoice
    metric = "accuracy"

    def read(self, path: str, labelled: bool = True) -> list[Choice]:
        rows = read_rows(path, self.s.encoding)
        text = rows.column(self.s.text, TEXT, "text", "--text")
        label = rows.column(self.s.label, LABEL, "label", "--label") if labelled else ""
        return [self.example(rows, i, text, label) for i in range(len(rows.records))]

    def example(self, rows: Rows, i: int, text: str, label: str) -> Choice:
        """Line i."""
        record, where = rows.records[i], rows.where(i)
        before = next((name for name in CONTEXT if name != text and record.get(name)), None)
        whole = f"{rows.text(i, before)} {rows.text(i, text)}" if before else rows.text(i, text)
        names, choices = alternatives(record, where, text)
        for name, choice in zip(names, choices, strict=True):
            if not isinstance(choice, str) or not choice.strip():
                raise BadInput(f"{where}: choice {name} is empty" if not choice else f"{where}: choice {name} is not a text")
        if len(choices) < 2:
            raise BadInput(f"{where}: {len(choices)} choices; at least two are needed")
        if not label:
            return Choice(whole, choices, None, where)
        given = record.get(label)
        if isinstance(given, int) and not isinstance(given, bool):
            target = given if 0 <= given < len(choices) else -1
        else:
            key = str(given).strip()
            target = names.index(key) if key in names else int(key) if key.isdigit() and int(key) < len(choices) else -1
        if target < 0:
            raise BadInput(f"{where}: the label {given!r} is none of the choices: {listing(names)} (they count from 0)")
        return Choice(whole, choices, target, where)

    def learn(self, examples: list[Choice]) -> None:
        self.labels = [str(i) for i in range(max(len(e.choices) for e in examples))]
        if self.s.class_weights != "none":
            raise BadInput("--class-weights: choices are no classes; leave it out")

    def config(self) -> dict[str, Any]:
        return {}

    def features(self, examples: list[Choice], tokenizer: Tokenizer) -> list[Feature]:
        """All choices of an example together: extra holds (ids, segments) of each."""
        features = []
        for i, e in enumerate(examples):
            text, *choices = tokenizer.encode_lines([e.text, *e.choices], special=False)
            if not text or not all(choices):
                raise BadInput(f"{e.where}: the {'choice' if text else 'text'} is empty")
            joined = [tokenizer.join(text, choice, self.s.length) for choice in choices]
            longest = max((ids for ids, _ in joined), key=len)
            features.append(Feature(i, longest, [0] * len(longest), e.target, joined))
        return features

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        """(B, C, S)"""
        B, C = len(features), len(features[0].extra)
        flat = tokenizer.batch([pair for f in features for pair in f.extra])
        inputs = {name: value.reshape(B, C, value.shape[1]) for name, value in flat.items()}
        if features[0].target is not None:
            inputs["labels"] = self.label_tensor(features, 0)
        return inputs

    def predictions(self, examples: list[Choice], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """The choices' probabilities."""
        e = [np.exp(row.astype(np.float64) - row.max()) for row in rows]
        return [x / x.sum() for x in e]

    def score(self, examples: list[Choice], predictions: list[Any]) -> dict[str, Any]:
        return metrics.classes([e.target or 0 for e in examples], [int(p.argmax()) for p in predictions], self.labels)

    def shown(self, example: Choice, prediction: Any) -> dict[str, Any]:
        best = int(prediction.argmax())
        return {
            "text": example.text,
            "prediction": best,
            "choice": example.choices[best],
            "probabilities": [round(float(p), 6) for p in prediction],
        }

    def baselines(self) -> dict[str, Any]:
        return baselines.for_choice(self)


def alternatives(record: dict[str, Any], where: str, text: str) -> tuple[list[str], list[Any]]:
    """Names and texts of the choices of one line."""
    for name in CHOICES:
        value = record.get(name)
        if isinstance(value, dict) and isinstance(value.get("text"), list):  # {"label": ["A", ...], "text": [...]}
            return [str(label) for label in value.get("label", range(len(value["text"])))], value["text"]
        if isinstance(value, list) and value and all(isinstance(c, dict) for c in value):
            return [str(c.get("label", i)) for i, c in enumerate(value)], [c.get("text") for c in value]
        if isinstance(value, list):
            return [str(i) for i in range(len(value))], value
    numbered = sorted(name for name in record if NUMBERED.match(name) and name != text)
    if not numbered:
        there = listing(record)
        raise BadInput(f'{where}: there are no choices: a list "choices", or "choice1", "choice2", ...; the names are: {there}')
    return [str(i) for i in range(len(numbered))], [record[name] for name in numbered]
