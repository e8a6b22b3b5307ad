"""classify: one text or a pair, and its class, its several labels, or a number.

Sentiment, topic, intent; entailment and paraphrase (pairs); relations between entities that the text marks.
Read before: tasks.py. Read next: tag.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ...tables import BadInput, listing
from ..model import BertForSequenceClassification
from ..tokenizer import Tokenizer
from . import baselines, metrics
from .files import Rows, read_rows
from .tasks import Feature, Task, cut

TEXT = ("text", "sentence", "sentence1", "premise", "question1", "review", "utterance", "title", "content", "query", "question")
PAIR = ("text2", "sentence2", "hypothesis", "question2", "pair")
LABEL = ("label", "labels", "class", "category", "target", "score", "gold_label", "sentiment", "intent", "relation", "similarity")
LABEL = (*LABEL, "is_duplicate", "topic", "rating", "answer")


@dataclass
class Example:
    """A text (or two), the raw label, and where it stands."""

    text: str
    pair: str | None
    target: Any  # as the file has it: a string, a number, a list
    where: str


class Classify(Task):
    """One label, several or a number for a text or a pair."""

    name = "classify"
    kind = BertForSequenceClassification

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.targets = settings.targets
        self.columns: dict[str, str] = {}
        self.mean, self.scale = 0.0, 1.0  # of numeric targets: the model learns (y - mean) / scale

    @property
    def metric(self) -> str:  # type: ignore[override]
        """accuracy, micro_f1, or pearson."""
        return {"several": "micro_f1", "numbers": "pearson"}.get(self.targets, "accuracy")

    # ---- examples

    def read(self, path: str, labelled: bool = True) -> list[Example]:
        """The rows; the columns that the first file was read by are those of all."""
        rows = read_rows(path, self.s.encoding)
        if not self.columns:
            self.columns = self.find_columns(rows)
        wanted = [
            name for name in (self.columns["text"], self.columns["pair"], self.columns["label"] if labelled else "") if name
        ]
        for name in wanted:
            rows.column(name, (), "", "")
        return [self.example(rows, i, labelled) for i in range(len(rows.records))]

    def find_columns(self, rows: Rows) -> dict[str, str]:
        """Which column is which."""
        asks = "question" in rows.names  # a question and a sentence that may answer it are a pair
        text = rows.column(self.s.text, ("question", *TEXT) if asks else TEXT, "text", "--text")
        usual = (*PAIR, "sentence", "context", "passage", "answer") if asks else PAIR
        second = self.s.pair or next((name for name in usual if name in rows.names and name not in (text, self.s.label)), "")
        if second:
            rows.column(second, (), "second text", "--pair")
        labels = [name for name in LABEL if name not in (text, second)]
        return {"text": text, "pair": second, "label": rows.column(self.s.label, labels, "label", "--label")}

    def example(self, rows: Rows, i: int, labelled: bool) -> Example:
        """Row i."""
        pair = rows.text(i, self.columns["pair"]) if self.columns["pair"] else None
        target = rows.records[i].get(self.columns["label"]) if labelled else None
        if labelled and (target is None or (isinstance(target, str) and not target.strip())) and self.targets != "several":
            raise BadInput(f'{rows.where(i)}: the label in "{self.columns["label"]}" is empty; leave the row out')
        return Example(rows.text(i, self.columns["text"]), pair, target, rows.where(i))

    def from_text(self, texts: Sequence[str]) -> list[Example]:
        """A tab stands between the two texts of a pair."""
        examples = []
        for i, text in enumerate(texts, 1):
            first, tab, second = text.partition("\t")
            if not text.strip():
                raise BadInput(f"text {i}: is empty")
            if bool(tab) != bool(self.columns.get("pair")):
                wanted = "two texts with a tab between them" if self.columns.get("pair") else "one text, without a tab"
                raise BadInput(f"text {i}: this model takes {wanted}")
            examples.append(Example(first, second if tab else None, None, f"text {i}"))
        return examples

    def learn(self, examples: list[Example]) -> None:
        """What kind of labels there are, which, and how often."""
        if self.targets == "auto":
            self.targets = kind_of([e.target for e in examples])
        if self.targets == "numbers":
            values = np.array([self.number(e) for e in examples])
            self.mean, self.scale = float(values.mean()), float(values.std())
            self.labels = [self.columns["label"]]
            if self.scale == 0:
                raise BadInput(f"{examples[0].where}: the target is {values[0]:g} in all examples: there is nothing to learn")
            if self.s.class_weights != "none" or self.s.label_smoothing:
                raise BadInput("--class-weights and --label-smoothing are for classes, the targets here are numbers")
            return
        seen: Counter[str] = Counter()
        first: dict[str, str] = {}
        for e in examples:
            for label in self.names(e):
                seen[label] += 1
                first.setdefault(label, e.where)
        for label, n in seen.items():
            if n < self.s.min_examples:
                times = "once" if n == 1 else f"{n} times"
                raise BadInput(
                    f"{first[label]}: the label {label!r} occurs {times} in the training examples, too little to learn from; "
                    f"leave it out, or give --min-examples {n}"
                )
        if len(seen) < 2 and self.targets != "several":
            raise BadInput(f"{examples[0].where}: all training examples have the label {next(iter(seen))!r}; a choice needs two")
        if not seen:
            raise BadInput(f"{examples[0].where}: no training example has any label")
        self.labels = sorted(seen, key=natural)
        self.set_class_weights([seen[label] for label in self.labels])
        if self.targets == "several" and self.s.class_weights == "balanced":  # a label's 1s weigh as much as its 0s
            ones = np.array([seen[label] for label in self.labels])
            self.class_weight = ((len(examples) - ones) / ones).clip(0.01, 100).astype(np.float32)

    def check(self, examples: list[Example]) -> None:
        """Labels that were never learnt cannot be predicted."""
        for e in examples:
            if self.targets == "numbers":
                self.number(e)
                continue
            for label in self.names(e):
                if label not in self.labels:
                    there = listing(self.labels, 8)
                    raise BadInput(f"{e.where}: the label {label!r} is not among those of the training examples: {there}")

    def number(self, e: Example) -> float:
        """The target as a number."""
        try:
            value = float(e.target)
        except (TypeError, ValueError):
            raise BadInput(f"{e.where}: the target {e.target!r} is not a number") from None
        if not np.isfinite(value):
            raise BadInput(f"{e.where}: the target {e.target!r} is not a finite number")
        return value

    def names(self, e: Example) -> list[str]:
        """The label, or the labels, as text."""
        if self.targets != "several":
            if isinstance(e.target, list | dict):
                raise BadInput(f"{e.where}: the label is {e.target!r}; for several labels an example: --targets several")
            return [str(e.target).strip()]
        parts = e.target if isinstance(e.target, list) else str(e.target or "").split(self.s.separator)
        return list(dict.fromkeys(label for label in (str(part).strip() for part in parts) if label))

    def facts(self) -> dict[str, Any]:
        return {"labels": self.labels, "targets": self.targets, "columns": self.columns}

    def remember(self, facts: dict[str, Any]) -> None:
        self.labels, self.targets, self.columns = facts["labels"], facts["targets"], facts["columns"]

    # ---- the model

    def config(self) -> dict[str, Any]:
        kinds = {"numbers": "regression", "several": "multi_label_classification"}
        return {**super().config(), "problem_type": kinds.get(self.targets, "single_label_classification")}

    def rescale(self, model: Any, forth: bool) -> None:
        """The classifier is linear, so (y - mean) / scale and y differ in its weights alone."""
        if self.targets == "numbers":
            weight, bias = model.classifier.weight, model.classifier.bias
            with minitorch.no_grad():
                weight.copy_(weight * self.scale if forth else weight / self.scale)
                bias.copy_(bias * self.scale + self.mean if forth else (bias - self.mean) / self.scale)

    def target(self, e: Example) -> Any:
        """What the model learns to say."""
        if self.targets == "numbers":
            return (self.number(e) - self.mean) / self.scale
        if self.targets == "several":
            return [float(label in self.names(e)) for label in self.labels]
        return self.labels.index(self.names(e)[0])

    def features(self, examples: list[Example], tokenizer: Tokenizer) -> list[Feature]:
        """[CLS] text [SEP] or [CLS] text [SEP] pair [SEP], cut to --length."""
        first = tokenizer.encode_lines([e.text for e in examples], special=False)
        second = tokenizer.encode_lines([e.pair or "" for e in examples], special=False)
        features = []
        for i, (e, a, b) in enumerate(zip(examples, first, second, strict=True)):
            if not a or (e.pair is not None and not b):
                raise BadInput(f"{e.where}: the text is empty: it holds nothing but characters that the tokenizer leaves out")
            a = cut(a, self.s.length - 2, self.s.truncate) if e.pair is None else a
            ids, types = tokenizer.join(a, None if e.pair is None else b, self.s.length)
            features.append(Feature(i, ids, types, None if e.target is None else self.target(e)))
        return features

    def label_tensor(self, features: Sequence[Feature], S: int) -> Tensor:
        kind = np.int64 if self.targets == "classes" else np.float32
        return minitorch.tensor(np.array([f.target for f in features], dtype=kind))

    def weight(self, batch: dict[str, Tensor]) -> float:
        return super().weight(batch) if self.targets == "classes" else float(len(batch["labels"]))

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Cross entropy, binary cross entropy or squared error."""
        if self.targets == "classes" or (not self.s.label_smoothing and self.class_weight is None):
            return super().loss(model, batch)
        output = model(**{name: value for name, value in batch.items() if name != "labels"})
        targets = batch["labels"] * (1 - self.s.label_smoothing) + self.s.label_smoothing / 2
        weight = None if self.class_weight is None else minitorch.tensor(self.class_weight).to(targets.device)
        return F.binary_cross_entropy_with_logits(output.logits, targets, pos_weight=weight), output

    # ---- answers

    def predictions(self, examples: list[Example], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """A number; or for each label its probability."""
        logits = np.stack(rows).astype(np.float64)
        if self.targets == "numbers":
            return (logits[:, 0] * self.scale + self.mean).tolist()
        if self.targets == "several":
            return list(1 / (1 + np.exp(-logits)))
        e = np.exp(logits - logits.max(-1, keepdims=True))
        return list(e / e.sum(-1, keepdims=True))

    def score(self, examples: list[Example], predictions: list[Any]) -> dict[str, Any]:
        if self.targets == "numbers":
            return metrics.numbers([self.number(e) for e in examples], predictions)
        chosen = np.stack(predictions)
        if self.targets == "several":
            return metrics.several(np.array([self.target(e) for e in examples]) > 0.5, chosen > 0.5, self.labels)
        return metrics.classes([self.target(e) for e in examples], chosen.argmax(-1).tolist(), self.labels)

    def shown(self, example: Example, prediction: Any) -> dict[str, Any]:
        record: dict[str, Any] = {"text": example.text, **({"pair": example.pair} if example.pair is not None else {})}
        if self.targets == "numbers":
            return {**record, "prediction": round(prediction, 6)}
        p = {label: round(float(x), 6) for label, x in zip(self.labels, prediction, strict=True)}
        if self.targets == "several":
            return {**record, "prediction": [label for label, x in p.items() if x > 0.5], "probabilities": p}
        best = max(p, key=lambda label: p[label])
        return {**record, "prediction": best, "probability": p[best], "probabilities": p}

    def baselines(self) -> dict[str, Any]:
        return baselines.for_classify(self)


def kind_of(targets: list[Any]) -> str:
    """Lists are several labels, numbers with a fraction are numbers, all else is a class."""
    if any(isinstance(t, list) for t in targets):
        return "several"
    try:
        values = [float(t) for t in targets if not isinstance(t, bool)]
    except (TypeError, ValueError):
        return "classes"
    return "numbers" if any(v != int(v) for v in values if np.isfinite(v)) else "classes"


def natural(label: str) -> tuple[int, float, str]:
    """Numbers by their size, then words by the alphabet."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
