"""Counterfactual swaps: how the answer moves when one word stands in the place of another.

    he=she, in "He works as a nurse": p(answer | "She works as a nurse") - p(answer | "He works as a nurse")

A model that should not care about the word should not move. Each swap is asked in both directions, in the texts that hold the
word; only whole words change, and capitals stay as they were. With several swaps there are also rows for all of them at once.
Garg et al. 2019, "Counterfactual fairness in text classification", https://arxiv.org/abs/1809.10610; for masked LMs Kurita et al.
2019, https://arxiv.org/abs/1906.07337. Whether other words give the group away it cannot say.
Read before: sources.py. Read next: page.py, command.py.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minitorch.nn.functional as F
from minitorch import Tensor

from ..errors import BadInput, listing
from ..finetuning.relation import MARKERS
from ..text.marked import Marked, unmarked
from ..training.loop import progress

TEXTS = ("text", "pair", "lead", "question", "context")  # what an example may hold: texts, and lists of them
LISTS = ("words", "choices")
AT_ONCE = 64  # texts between two steps of the progress bar


@dataclass
class Row:
    """One direction of a swap (or all at once), of one label."""

    name: str
    label: str
    changes: list[float] = field(default_factory=list)  # one per text that holds the word
    flips: list[bool] = field(default_factory=list)  # none of numbers
    pairs: list[tuple[str, str, str, str]] = field(default_factory=list)  # text, its answer, changed text, its answer

    @property
    def mean(self) -> float:
        """The mean change."""
        return float(np.mean(self.changes))

    @property
    def spread(self) -> float:
        """The changes' deviation."""
        return float(np.std(self.changes, ddof=1)) if len(self.changes) > 1 else float("nan")

    @property
    def interval(self) -> float:
        """Half of the mean's 95 % interval (normal)."""
        return 0.0 if len(self.changes) < 2 else 1.96 * self.spread / len(self.changes) ** 0.5


def parse_swaps(given: Sequence[str]) -> list[tuple[str, str]]:
    """["he=she"] -> [("he", "she")]"""
    swaps = []
    for text in given:
        parts = [part.strip() for part in text.split("=")]
        if len(parts) != 2 or not all(parts):
            raise BadInput(f"--swap {text!r}: give two words with = between them, as in --swap he=she")
        if parts[0].casefold() == parts[1].casefold():
            raise BadInput(f"--swap {text!r}: the two words are the same")
        swaps.append((parts[0], parts[1]))
    return swaps


def directions(swaps: Sequence[tuple[str, str]]) -> dict[str, Callable[[str], str]]:
    """Each row's name, and its change of a text."""
    rows = {f"{a} → {b}": changer({a: b}) for pair in swaps for a, b in (pair, pair[::-1])}
    if len(swaps) > 1:
        rows["all, left → right"] = changer(first_of(swaps))
        rows["all, right → left"] = changer(first_of([(b, a) for a, b in swaps]))
    return rows


def first_of(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Of several words for one (her=his, her=him) the first."""
    table: dict[str, str] = {}
    for a, b in pairs:
        table.setdefault(a, b)
    return table


def changer(table: dict[str, str]) -> Callable[[str], str]:
    """Replaces whole words, whatever their case; the new word gets the old one's: he, He, HE."""
    lower = {a.casefold(): b for a, b in table.items()}
    longest_first = sorted(lower, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    def replaced(found: re.Match[str]) -> str:
        old = found[0]
        new = lower[old.casefold()]
        if len(old) > 1 and old.isupper():
            return new.upper()
        return new[:1].upper() + new[1:] if old[:1].isupper() and not old[1:].isupper() else new

    return lambda text: pattern.sub(replaced, text)


def exchanged(example: Any, change: Callable[[str], str]) -> Any:
    """The example with its texts changed."""
    if isinstance(example, str):
        return change(example)
    if isinstance(example, Marked):  # the marks move along
        parts = [part if part in MARKERS else change(part) for part in example.parts]
        text, e1, e2 = unmarked("".join(parts), example.where)
        return dataclasses.replace(example, text=text, e1=e1, e2=e2)
    names = {f.name for f in dataclasses.fields(example)}
    new: dict[str, Any] = {n: change(getattr(example, n)) for n in TEXTS if n in names and getattr(example, n)}
    new |= {n: [change(text) for text in getattr(example, n)] for n in LISTS if n in names}
    return dataclasses.replace(example, **new)


def swap(source: Any, examples: Sequence[Any], swaps: Sequence[tuple[str, str]], label: str = "") -> list[Row]:
    """A row for each direction and label."""
    if source.task is not None and source.task.name == "tag" and any(len(side.split()) > 1 for pair in swaps for side in pair):
        raise BadInput("--swap: for tags both sides must be one word, so that each word keeps its tag")
    ways = directions(swaps)
    changed = {
        name: {i: new for i, e in enumerate(examples) if (new := exchanged(e, change)) != e} for name, change in ways.items()
    }
    held = sorted({i for texts in changed.values() for i in texts})
    if not held:
        words = listing(dict.fromkeys(word for pair in swaps for word in pair))
        raise BadInput(f"--swap: none of the texts holds one of the words {words}")
    numbers, rows = getattr(source.task, "targets", "") == "numbers", []
    total = len(held) + sum(map(len, changed.values()))
    with progress(total, 0, "text", shown=total > AT_ONCE) as bar:
        before = dict(zip(held, answers(source, [examples[i] for i in held], label, [None] * len(held), bar), strict=True))
        for name, change in ways.items():
            texts = changed[name]
            after = answers(source, list(texts.values()), label, [before[i] for i in texts], bar)
            for which in labels_of(source, label):
                row = Row(name, which)
                for i, new in zip(texts, after, strict=True):
                    old = before[i]
                    best = change(old.best) if change(old.best) in new.values else old.best  # an answer may hold the word itself
                    row.changes.append(new.value(which, best) - old.value(which, old.best))
                    row.flips += [] if numbers else [new.best not in (old.best, best)]
                    row.pairs.append((shown(examples[i]), old.best, shown(texts[i]), new.best))
                rows.append(row)
    return rows


def labels_of(source: Any, label: str) -> list[str]:
    """The labels that have rows: the given one; of two the last; else all. "": the first text's own answer."""
    task = source.task
    if label or task is None or task.name not in ("classify", "relation") or getattr(task, "targets", "") == "numbers":
        return [label]
    return list(task.labels[-1:] if len(task.labels) == 2 else task.labels)


def measured(source: Any, label: str) -> str:
    """What changes, in words."""
    task = source.task
    if task is not None and getattr(task, "targets", "") == "numbers":
        return "the predicted number"
    if task is not None and task.name == "tag":
        return "the share of words with another tag"
    labels = labels_of(source, label)
    return f"the probability of {'each label' if len(labels) > 1 else labels[0] or 'the first answer'}"


@dataclass
class Answer:
    """The best answer, and a number for each."""

    best: str
    values: dict[str, float]

    def value(self, label: str, first: str) -> float:
        """Of a label, or of the answer that the unchanged text had."""
        return self.values.get(label or first, 0.0)


def answers(source: Any, examples: Sequence[Any], label: str, first: Sequence[Answer | None], bar: Any) -> list[Answer]:
    """What the model says of each; ``first``: what it said before the change."""
    found: list[Answer] = []
    for i in range(0, len(examples), AT_ONCE):
        some, old = list(examples[i : i + AT_ONCE]), first[i : i + AT_ONCE]
        if source.task is None:
            found += [word_answer(source, text, label, o.best if o else "") for text, o in zip(some, old, strict=True)]
        else:
            found += [task_answer(r, label, o) for r, o in zip(source.answers(some), old, strict=True)]
        bar.update(len(some))
    return found


def task_answer(record: dict[str, Any], label: str, first: Answer | None) -> Answer:
    """Of a record of `minitorch predict`."""
    if "tags" in record:
        if label:
            raise BadInput("--label: of tags the share that changes is counted; leave it out")
        tags = record["tags"]
        before = first.best.split(" ") if first else tags
        share = float(np.mean([a != b for a, b in zip(before, tags, strict=True)]))
        best = " ".join(tags)
        return Answer(best, {first.best if first else best: share})
    if "n_best" in record:
        return Answer(record["prediction"], {p["text"]: p["probability"] for p in reversed(record["n_best"])})
    p, best = record.get("probabilities"), record["prediction"]
    if p is None:
        if label:
            raise BadInput("--label: the model answers with a number, which has no labels; leave it out")
        return Answer(f"{best:g}", {first.best if first else f"{best:g}": best})
    p = p if isinstance(p, dict) else dict(zip(map(str, range(len(p))), p, strict=True))
    if label and label not in p:
        raise BadInput(f"--label: there is no label {label!r}; there are {listing(p)}")
    return Answer(", ".join(best) if isinstance(best, list) else str(best), p)


def word_answer(source: Any, text: str, label: str, first: str) -> Answer:
    """The best token, and the probabilities of the label and of the first best token."""
    subject = source.subject(text, label)
    p = F.softmax(Tensor(source.logits(subject)), dim=-1).numpy()
    best = int(p.argmax())
    tokens = source.tokenizer.tokens
    values = {tokens[best]: float(p[best])}
    if label:
        values[label] = float(p[(subject.target or (0,))[0]])
    if first:
        values[first] = float(p[source.tokenizer.vocabulary[first]])
    return Answer(tokens[best], values)


def shown(example: Any) -> str:
    """An example's texts on one line."""
    if isinstance(example, str):
        return example
    texts = [getattr(example, name) for name in TEXTS if getattr(example, name, None)]
    return " ⏐ ".join([*texts, *(" ".join(getattr(example, name)) for name in LISTS if hasattr(example, name))])
