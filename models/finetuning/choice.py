"""choice: which of several continuations or answers is right, from JSONL files.

A line: {"question": "...", "choices": ["...", "...", "..."], "label": 1}. Also understood: "context" or "premise" along with
"question" (which then leads to each choice), "endings" or "options" for "choices", choices under numbered names (choice1,
ending0, A, ...), choices as {"label": "A", "text": "..."}, SWAG's "sent2", with which all endings begin. The label is the
right choice's number, letter, own label or text. Numbers count from 0; from 1 if no training label is 0 and one is the number of
choices.
Read before: tasks.py. Read next: run.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minitorch import Tensor

from ..bert.masked_rows import first_alone
from ..bert.model import BertForMultipleChoice
from ..classical import answering
from ..errors import BadInput, count, listing
from ..text.labelled import Rows, as_name
from ..text.tokenizer import Tokenizer
from . import metrics
from .calibration import log_probabilities, softmax
from .tasks import Feature, Task

TEXT = "question question_stem stem text sent1 sentence goal prompt ctx premise context article".split()  # noqa: SIM905
CONTEXT = ("context", "article", "passage", "premise")
CHOICES = ("choices", "endings", "options", "answers")
LABEL = ("label", "answer", "answerKey", "gold", "correct", "correct_answer")
NUMBERED = re.compile(r"(choice|ending|option|answer|sol)_?([A-H]|\d+)|[A-H]")


@dataclass
class Choice:
    """A text, its continuations, and the number of the right one."""

    text: str
    lead: str  # the beginning of every choice: the question, if the text is its context
    names: list[str]  # of the choices, as a label may give them
    choices: list[str]
    target: int | None
    where: str

    @property
    def whole(self) -> str:
        """The text, and the beginning that all choices share."""
        return f"{self.text} {self.lead}".strip()


class Choose(Task):
    """Which of several texts is right?"""

    name = "choice"
    kind = BertForMultipleChoice
    metric = "accuracy"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.text = self.label = ""  # columns of the training file
        self.first: int | None = None  # the number of the first choice, as the training file counts

    def read(self, path: str, labelled: bool = True) -> list[Choice]:
        rows = self.table(path, [self.label] if self.label and not labelled else ())
        rows = replace(rows, records=[unnested(record) for record in rows.records])
        rows = replace(rows, names=list(dict.fromkeys(name for record in rows.records for name in record)))
        if self.text:
            rows.expect([self.text, *([self.label] if labelled else ())], not labelled, self.s.columns)
        self.text = text = self.text or rows.column(self.s.text, TEXT, "text", "--text")
        if labelled:
            self.label = self.label or rows.column(self.s.label, LABEL, "label", "--label")
        examples = [self.example(rows, i, text) for i in range(len(rows.records))]
        if labelled:
            given = [record.get(self.label) for record in rows.records]
            if self.first is None:
                self.first = first_number(given, examples)
            for e, value in zip(examples, given, strict=True):
                e.target = self.number(e, value)
        return examples

    def example(self, rows: Rows, i: int, text: str) -> Choice:
        """Line i, without its label."""
        record, where = rows.records[i], rows.where(i)
        before = next((name for name in CONTEXT if name != text and record.get(name)), None)
        whole, lead = (rows.text(i, before), rows.text(i, text)) if before else (rows.text(i, text), "")
        names, choices = alternatives(record, where, text)
        choices = [str(c) if isinstance(c, int | float) else c for c in choices]
        for name, choice in enumerate(choices):
            if not isinstance(choice, str) or not choice.strip():
                raise BadInput(f"{where}: choice {name} is empty" if not choice else f"{where}: choice {name} is not a text")
        if len(choices) < 2:
            raise BadInput(f"{where}: {count(len(choices), 'choice')}; at least two are needed")
        if text == "sent1" and record.get("sent2"):
            lead = str(record["sent2"])
        return Choice(whole, lead, names, choices, None, where)

    def number(self, e: Choice, given: Any) -> int:
        """The number of the choice that a label names."""
        key = "" if given is None else as_name(given)
        if key in e.names:
            return e.names.index(key)
        if re.fullmatch(r"[A-H]", key) and ord(key) - ord("A") < len(e.choices):
            return ord(key) - ord("A")
        if e.choices.count(key) == 1:
            return e.choices.index(key)
        number = int(key) - (self.first or 0) if re.fullmatch(r"\d+", key) else -1
        if not 0 <= number < len(e.choices):
            hint = "" if self.first is None else f" (numbers count from {self.first})"
            raise BadInput(f"{e.where}: the label {given!r} is none of the choices: {listing(e.names or e.choices)}{hint}")
        return number

    def from_text(self, texts: Sequence[str]) -> list[Choice]:
        """The text and its choices, with tabs between them."""
        examples = []
        for i, line in enumerate(texts, 1):
            text, *choices = (part.strip() for part in line.split("\t"))
            if not text or len(choices) < 2 or not all(choices):
                raise BadInput(f"text {i}: give the text and at least two choices, with tabs between them; or --file")
            examples.append(Choice(text, "", [], choices, None, f"text {i}"))
        return examples

    def learn(self, examples: list[Choice]) -> None:
        self.labels = [str(i) for i in range(max(len(e.choices) for e in examples))]
        if self.s.class_weights != "none":
            raise BadInput("--class-weights: choices are not classes; leave the option out")

    def kinds(self, example: Choice) -> list[str]:
        return [str(example.target)]

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "text": self.text, "label": self.label}

    def remember(self, facts: dict[str, Any]) -> None:
        super().remember(facts)
        self.text, self.label = str(facts.get("text", "")), str(facts.get("label", ""))

    def config(self) -> dict[str, Any]:
        return {}

    def features(self, examples: list[Choice], tokenizer: Tokenizer) -> list[Feature]:
        """One feature per example; ``extra`` holds (ids, segments) of each choice."""
        features = []
        for i, e in enumerate(examples):
            text, *choices = tokenizer.encode_lines([e.text, *(f"{e.lead} {c}" for c in e.choices)], special=False)
            if not text or not all(choices):
                raise BadInput(f"{e.where}: the {'choice' if text else 'text'} is empty")
            joined = [tokenizer.join(text, choice, self.s.length) for choice in choices]
            longest = max((ids for ids, _ in joined), key=len)
            features.append(Feature(i, longest, [0] * len(longest), e.target, joined))
        return features

    def groups(self, features: Sequence[Feature]) -> list[int]:
        """Only examples with equally many choices can be in one batch."""
        return [len(f.extra) for f in features]

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        """(B, C, S)"""
        B, C = len(features), len(features[0].extra)
        flat = tokenizer.batch([pair for f in features for pair in f.extra])
        inputs = {name: value.reshape(B, C, value.shape[1]) for name, value in flat.items()}
        inputs["rows"] = first_alone(B * C)
        if features[0].target is not None:
            inputs["labels"] = self.label_tensor(features, 0)
        return inputs

    def predictions(self, examples: list[Choice], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """The choices' probabilities."""
        return softmax(rows, self.temperature)

    def score(self, examples: list[Choice], predictions: list[Any]) -> dict[str, Any]:
        labels = [str(i) for i in range(max(len(self.labels), *(len(e.choices) for e in examples)))]
        return metrics.classes([e.target or 0 for e in examples], [int(p.argmax()) for p in predictions], labels)

    def confidences(self, examples: list[Choice], predictions: list[Any]) -> tuple[Any, Any]:
        return log_probabilities(predictions), np.array([e.target for e in examples])

    def shown(self, example: Choice, prediction: Any) -> dict[str, Any]:
        best = int(prediction.argmax())
        return {
            "text": example.whole,
            "prediction": best,
            "choice": example.choices[best],
            "probabilities": [round(float(p), 6) for p in prediction],
        }

    def baselines(self) -> dict[str, Any]:
        return answering.for_choice(self)


def unnested(record: dict[str, Any]) -> dict[str, Any]:
    """{"question": {"stem": "...", "choices": [...]}}, of CommonsenseQA and ARC, with the inner keys next to the outer ones."""
    inner = record.get("question")
    return {**{k: v for k, v in record.items() if k != "question"}, **inner} if isinstance(inner, dict) else record


def first_number(given: Sequence[Any], examples: Sequence[Choice]) -> int:
    """1 if the labels are numbers above 0 and one of them equals the number of choices, otherwise 0."""
    numbers = [int(g) if re.fullmatch(r"\d+", g) else -1 for g in map(as_name, given)]
    last = any(n == len(e.choices) for n, e in zip(numbers, examples, strict=True))
    return int(last and min(numbers) > 0)


def alternatives(record: dict[str, Any], where: str, text: str) -> tuple[list[str], list[Any]]:
    """The choices of one line: the names that labels may have for them (if not numbers), and their texts."""
    for name in CHOICES:
        value = record.get(name)
        if isinstance(value, dict) and isinstance(value.get("text"), list):  # {"label": ["A", ...], "text": [...]}
            return labels_of(value.get("label") or [], value["text"], where), value["text"]
        if isinstance(value, list) and value and all(isinstance(c, dict) for c in value):
            return labels_of([c["label"] for c in value if "label" in c], value, where), [c.get("text") for c in value]
        if isinstance(value, list):
            return [], value
    numbered = sorted((name for name in record if NUMBERED.fullmatch(name) and name != text), key=lambda n: (len(n), n))
    if not numbered:
        there = listing(record)
        raise BadInput(f'{where}: there are no choices: a list "choices", or "choice1", "choice2", ...; the names are: {there}')
    return [], [record[name] for name in numbered]


def labels_of(labels: Any, choices: list[Any], where: str) -> list[str]:
    """The choices' own labels: one each, or none at all."""
    if not isinstance(labels, list) or len(labels) not in (0, len(choices)):
        raise BadInput(f"{where}: {count(len(choices), 'choice')}, but their labels are {labels!r}; each needs one")
    return [as_name(label) for label in labels]
