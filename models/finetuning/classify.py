"""classify: one text or a pair, and its class, its several labels, or a number.

Sentiment, topic, intent; entailment and paraphrase (pairs). Relations of marked entities: relation.py.
Read before: tasks.py, labels.py. Read next: tag.py.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..bert.masked_rows import first_alone
from ..bert.model import BertForSequenceClassification
from ..classical import baselines
from ..errors import BadInput, listing
from ..text.labelled import Rows, as_name, plain_name
from ..text.marked import MARK
from ..text.tokenizer import Tokenizer
from . import metrics
from .calibration import log_probabilities, softmax
from .labels import are_positions, expect_labels, is_one, kind_of, mark_of, natural, other_mark, quantity, refuse_twins
from .tasks import Feature, Task, cut

TEXT = (
    "text sentence sentence1 premise question1 string1 review utterance tweet comment comment_text message document body content"
)
TEXT = f"{TEXT} description query question title headline"
PAIR = "text2 sentence2 hypothesis question2 string2 pair"
LABEL = "label labels class category target gold_label sentiment intent relation score similarity is_duplicate quality topic"
LABEL = f"{LABEL} rating stars polarity emotion class_index answer"


@dataclass
class Example:
    """A text (or two), the raw label, and where it stands."""

    text: str
    pair: str | None
    target: Any  # as the file has it: a string, a number, a list
    where: str


class Classify(Task):
    """One label, several labels or a number for a text or a pair."""

    name = "classify"
    kind = BertForSequenceClassification

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.targets = settings.targets
        self.columns: dict[str, str] = {}
        self.positions = 0  # how many numbers there are, if several labels are written as [0, 1, 1, 0]
        self.decimal = "."  # the mark in numeric targets
        self.mean, self.scale = 0.0, 1.0  # of numeric targets: the model learns (y - mean) / scale

    @property
    def metric(self) -> str:  # type: ignore[override]
        """accuracy, micro_f1, or pearson."""
        return {"several": "micro_f1", "numbers": "pearson"}.get(self.targets, "accuracy")

    @property
    def usage(self) -> str:  # type: ignore[override]
        """A text, or a file of pairs."""
        return "--file FILE" if self.columns.get("pair") else "'a text'"

    # ---- examples

    def read(self, path: str, labelled: bool = True) -> list[Example]:
        """The rows; the columns that the first file was read by are those of all."""
        labels = self.label_columns(self.s.columns.split(",")) if self.columns else []
        rows = self.table(path, labels if not labelled else ())
        if not self.columns:
            self.columns = self.find_columns(rows)
            pair = f' and "{self.columns["pair"]}"' if self.columns["pair"] else ""
            self.notes.append(f'reading the text from "{self.columns["text"]}"{pair}, the label from "{self.columns["label"]}"')
        labels = self.label_columns(rows.names)
        asked = [*filter(None, (self.columns["text"], self.columns["pair"])), *(labels if labelled else ())]
        rows.expect(asked, not labelled, self.s.columns)
        if self.s.columns and not labelled:
            is_label = lambda i: self.is_known(self.example(rows, i, True))  # noqa: E731
            expect_labels(rows, labels, self.columns["text"], is_label, self.labels if self.targets == "classes" else ())
        examples = [self.example(rows, i, labelled) for i in range(len(rows.records))]
        if labelled and MARK.search(examples[0].text):
            self.notes.append(
                "the texts mark entities: `finetune relation` makes tokens of the marks, to classify they are letters"
            )
        if not labelled or plain_name(self.columns["label"]) != "goldlabel":
            return examples
        agreed = [e for e in examples if e.target != "-"]  # SNLI's mark of a pair on which the annotators did not agree
        if len(agreed) < len(examples):
            self.notes.append(f"{path}: {len(examples) - len(agreed):,} pairs without a gold label (-) are left out")
        return agreed

    def find_columns(self, rows: Rows) -> dict[str, str]:
        """The names of the columns of the text, the second text and the label."""
        usual = TEXT.split()
        asks = rows.usual(["question"]) is not None  # a question and a sentence that may answer it are a pair
        text = rows.column(self.s.text, ["question", *usual] if asks else usual, "text", "--text")
        second = self.s.pair
        if not second:
            pairs = [*PAIR.split(), *(["sentence", "context", "passage", "answer"] if asks else ())]
            taken = [plain_name(text), plain_name(self.s.label)]
            second = rows.usual([name for name in pairs if plain_name(name) not in taken]) or ""
        rows.column(second or text, (), "second text", "--pair")
        if len(self.label_columns(rows.names)) > 1:
            label = self.s.label
        else:
            labels = [name for name in LABEL.split() if plain_name(name) not in (plain_name(text), plain_name(second))]
            label = rows.column(self.s.label, labels, "label", "--label")
        return {"text": text, "pair": second, "label": label}

    def label_columns(self, names: Sequence[str]) -> list[str]:
        """The label's column; or those of a table with one column of 0 and 1 per label, given as --label NAME,NAME."""
        asked = self.columns.get("label") or self.s.label
        return [asked] if asked in names or "," not in asked else [name.strip() for name in asked.split(",")]

    def example(self, rows: Rows, i: int, labelled: bool) -> Example:
        """Row i."""
        pair = rows.text(i, self.columns["pair"]) if self.columns["pair"] else None
        target: Any = None
        if labelled:
            record, names = rows.records[i], self.label_columns(rows.names)
            target = record.get(names[0]) if len(names) == 1 else [name for name in names if is_one(rows, i, name)]
            target = "" if target is None else target
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
        """Find the kind of the labels, their names, and how often each occurs."""
        if self.targets == "auto":
            self.targets = "numbers" if self.s.decimal else kind_of(examples, self.s.separator, self.delimiter)
        if self.targets == "numbers":
            self.learn_scale(examples)
            self.labels = [self.columns["label"]]
            if self.s.class_weights != "none" or self.s.label_smoothing:
                raise BadInput("--class-weights and --label-smoothing are for classes, the targets here are numbers")
            return
        if self.targets == "several" and are_positions([self.listed(e) for e in examples]):
            self.positions = len(self.listed(examples[0]))
        seen: Counter[str] = Counter()
        first: dict[str, str] = {}
        for e in examples:
            for label in self.names(e):
                seen[label] += 1
                first.setdefault(label, e.where)
        for label, n in seen.items():
            self.refuse_doubtful(label, n, first[label])
        if self.s.targets == "auto":
            refuse_twins(first, self.targets)
        if len(seen) < 2 and self.targets != "several":
            raise BadInput(f"{examples[0].where}: all training examples have the label {next(iter(seen))!r}; there must be two")
        if not seen:
            raise BadInput(f"{examples[0].where}: no training example has any label")
        if len(seen) < 2:
            raise BadInput(
                f"{examples[0].where}: {next(iter(seen))!r} is the only label; make it a class of two, with and without"
            )
        self.labels = sorted(seen, key=natural)
        zeros_to_ones = (lambda ones: ((len(examples) - ones) / ones).clip(0.01, 100)) if self.targets == "several" else None
        self.set_class_weights([seen[label] for label in self.labels], balanced=zeros_to_ones)

    def learn_scale(self, examples: list[Example]) -> None:
        """Mean and standard deviation of numeric targets, which float32, the model's numbers, must be able to tell apart."""
        self.decimal = mark_of(examples, self.columns["label"], self.delimiter, self.s.decimal)
        values = np.array([self.number(e) for e in examples])
        self.mean, self.scale = float(values.mean()), float(values.std())
        if np.ptp(values) == 0:
            raise BadInput(f"{examples[0].where}: the target is {values[0]:g} in all examples: there is nothing to learn")
        if self.scale < max(1e-30, 1e-6 * abs(self.mean)):
            raise BadInput(
                f"{examples[0].where}: the targets, about {self.mean:g}, differ by no more than {np.ptp(values):g}, too little "
                f"for the model's numbers; subtract their mean, or give them in a smaller unit"
            )

    def refuse_doubtful(self, label: str, n: int, where: str) -> None:
        """Refuse a label that occurs too seldom, or that may be a number or several labels."""
        if self.s.targets == "auto" and re.fullmatch(r"-?[\d.]*\d(,\d+)+", label):
            raise BadInput(
                f"{where}: what is the label {label!r}? Write decimals with a point, or say --decimal comma; for several labels "
                f"per example: --targets several --separator ,; for a class of that name: --targets classes"
            )
        if n < self.s.min_examples:
            times = "once" if n == 1 else f"{n} times"
            number = ", or --targets numbers if it is a quantity" if re.fullmatch(r"-?[\d.]+", label) else ""
            raise BadInput(
                f"{where}: the label {label!r} occurs {times} in the training examples, too little to learn from; "
                f"leave it out, or give --min-examples {n}{number}"
            )

    def check(self, examples: list[Example]) -> None:
        """Refuse labels that no training example has: they cannot be predicted."""
        for e in examples:
            if self.targets == "numbers":
                self.number(e)
                continue
            for label in self.names(e):
                if label not in self.labels:
                    there = listing(self.labels, 8)
                    raise BadInput(f"{e.where}: the label {label!r} is not among those of the training examples: {there}")

    @property
    def least(self) -> int:  # type: ignore[override]
        """--min-examples"""
        return int(self.s.min_examples)

    def kinds(self, example: Example) -> list[str]:
        return [] if self.targets == "numbers" else self.names(example)

    def is_known(self, e: Example) -> bool:
        """Is its label one that was learnt?"""
        with contextlib.suppress(BadInput):
            self.check([e])
            return True
        return False

    def number(self, e: Example) -> float:
        """The target as a number."""
        value = quantity(e.target, self.decimal)
        if value is None:
            self.refuse_empty(e)
            raise BadInput(f"{e.where}: the target {e.target!r} is not a number{other_mark(e.target, self.decimal)}")
        if not np.isfinite(value):
            raise BadInput(f"{e.where}: the target {e.target!r} is not a finite number")
        if abs(value) > 1e30:
            raise BadInput(f"{e.where}: the target {e.target} is too large for the model's numbers; give it in a larger unit")
        return value

    def refuse_empty(self, e: Example) -> None:
        """Refuse an empty label. (A list of several labels may be empty.)"""
        if (isinstance(e.target, str) and not e.target.strip()) or e.target != e.target:  # of NaN, JSON's word for nothing
            raise BadInput(f'{e.where}: the label in "{self.columns["label"]}" is empty; leave the row out')

    def names(self, e: Example) -> list[str]:
        """The labels of an example: one, unless there are several."""
        if self.targets != "several":
            if isinstance(e.target, list | dict):
                raise BadInput(f"{e.where}: the label is {e.target!r}; for several labels per example: --targets several")
            self.refuse_empty(e)
            return [as_name(e.target)]
        parts = self.listed(e)
        if self.positions and (len(parts) != self.positions or any(part not in (0, 1) for part in parts)):
            n = self.positions
            raise BadInput(f"{e.where}: the label must be {n} numbers, each 0 or 1, as the first ones are, not {str(parts)[:40]}")
        if self.positions:
            return [str(i) for i, part in enumerate(parts) if part]
        for part in parts:
            if not isinstance(part, str | int | float) or part != part:
                raise BadInput(f"{e.where}: {str(part)[:40]} in the list of labels is not the name of a label")
        return list(dict.fromkeys(label for label in map(as_name, parts) if label))

    def listed(self, e: Example) -> list[Any]:
        """The labels in one cell: a list, a list in Python's or JSON's notation, or names with a separator between them."""
        if isinstance(e.target, list):
            return e.target
        if isinstance(e.target, dict):
            raise BadInput(f"{e.where}: the label {str(e.target)[:40]} is neither a name nor a list of names")
        text = as_name(e.target)
        if text[:1] != "[" or text[-1:] != "]":
            return text.split(self.s.separator) if self.s.separator else [text]
        try:
            return list(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError, RecursionError):
            raise BadInput(f"{e.where}: the label {text[:40]!r} is not a list as Python or JSON write it") from None

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "targets": self.targets, "columns": self.columns, "decimal": self.decimal}

    def remember(self, facts: dict[str, Any]) -> None:
        super().remember(facts)
        self.targets, self.columns, self.decimal = facts["targets"], dict(facts["columns"]), facts.get("decimal") or "."
        names = all(isinstance(self.columns.get(key), str) for key in ("text", "label"))
        pair = isinstance(self.columns.get("pair", 0), str | None)
        if not names or not pair or self.decimal not in (".", ",") or self.targets not in ("classes", "several", "numbers"):
            raise ValueError("its columns or its kind of targets are unknown")

    # ---- the model

    def config(self) -> dict[str, Any]:
        kinds = {"numbers": "regression", "several": "multi_label_classification"}
        return {**super().config(), "problem_type": kinds.get(self.targets, "single_label_classification")}

    def rescale(self, model: Any, forth: bool) -> None:
        """The classifier is linear: its weights turn into those that predict y itself, not (y - mean) / scale, and back."""
        if self.targets == "numbers":
            head = getattr(model.classifier, "trained", model.classifier)  # of an adapted model, the adapter's own
            weight, bias = head.weight, head.bias
            with minitorch.no_grad():
                weight.copy_(weight * self.scale if forth else weight / self.scale)
                bias.copy_(bias * self.scale + self.mean if forth else (bias - self.mean) / self.scale)

    def target(self, e: Example) -> Any:
        """The target that the model learns: a class number, a 0 or 1 per label, or a scaled number."""
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

    def batch(self, features: Sequence[Feature], tokenizer: Tokenizer) -> dict[str, Tensor]:
        return {**super().batch(features, tokenizer), "rows": first_alone(len(features))}

    def label_tensor(self, features: Sequence[Feature], S: int) -> Tensor:
        kind = np.int64 if self.targets == "classes" else np.float32
        return minitorch.tensor(np.array([f.target for f in features], dtype=kind))

    def weight(self, batch: dict[str, Tensor]) -> float:
        return super().weight(batch) if self.targets == "classes" else float(len(batch["labels"]))

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Cross entropy, binary cross entropy (a label's weight is that of its 1s, also of smoothed ones) or squared error."""
        if self.targets == "classes" or (not self.s.label_smoothing and self.class_weight is None):
            return super().loss(model, batch)
        output = model(**{name: value for name, value in batch.items() if name != "labels"})
        ones, ε = batch["labels"], self.s.label_smoothing
        weight = None if self.class_weight is None else 1 + ones * (minitorch.tensor(self.class_weight).to(ones.device) - 1)
        return F.binary_cross_entropy_with_logits(output.logits, ones * (1 - ε) + ε / 2, weight), output

    # ---- answers

    def predictions(self, examples: list[Example], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """A number, or one probability per label."""
        logits = np.stack(rows).astype(np.float64)
        if self.targets == "numbers":
            return (logits[:, 0] * self.scale + self.mean).tolist()
        logits /= self.temperature
        if self.targets == "several":
            return list(1 / (1 + np.exp(-logits)))
        return softmax(list(logits))

    def score(self, examples: list[Example], predictions: list[Any]) -> dict[str, Any]:
        if self.targets == "numbers":
            return metrics.numbers([self.number(e) for e in examples], predictions)
        chosen = np.stack(predictions)
        if self.targets == "several":
            return metrics.several(np.array([self.target(e) for e in examples]) > 0.5, chosen > 0.5, self.labels)
        return metrics.classes([self.target(e) for e in examples], chosen.argmax(-1).tolist(), self.labels)

    def confidences(self, examples: list[Example], predictions: list[Any]) -> tuple[Any, Any] | None:
        if self.targets == "numbers":
            return None
        gold = np.array([self.target(e) for e in examples])
        if self.targets == "several":  # each label is a decision of its own
            p = np.stack(predictions).reshape(-1)
            return log_probabilities(np.stack([1 - p, p], -1)), gold.reshape(-1).astype(int)
        return log_probabilities(predictions), gold

    def shown(self, example: Example, prediction: Any) -> dict[str, Any]:
        record: dict[str, Any] = {"text": example.text, **({"pair": example.pair} if example.pair is not None else {})}
        if self.targets == "numbers":
            return {**record, "prediction": round(prediction, 6)}
        p = {label: round(float(x), 6) for label, x in zip(self.labels, prediction, strict=True)}
        if self.targets == "several":
            return {**record, "prediction": [label for label, x in p.items() if x > 0.5], "probabilities": p}
        best = max(p, key=lambda label: p[label])
        return {**record, "prediction": best, "probability": p[best], "probabilities": p}

    def gold(self, example: Example) -> Any:
        if self.targets == "numbers":
            return self.number(example)
        return self.names(example) if self.targets == "several" else self.names(example)[0]

    def baselines(self) -> dict[str, Any]:
        return baselines.for_classify(self)
