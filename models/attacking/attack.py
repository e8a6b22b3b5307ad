"""The search: which words count most, and what in their place changes the answer?

    importance of word i = p(right | text) - p(right | text without word i)
    in that order: try everything that may stand in its place, keep what lowers p(right) most, until the answer flips

Jin et al. (2020), "Is BERT really robust?" (TextFooler), https://arxiv.org/abs/1907.11932, algorithm 1, without its filters for
part of speech and sentence similarity. Read before: changes.py. Read next: report.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .changes import Change, changed, places

MARGIN = 1e-4  # closer answers count as they stood before: the padding of a batch moves the last digits


@dataclasses.dataclass
class Found:
    """The result for one example. ``outcome``: "wrong before", "held" or "flipped"."""

    outcome: str
    text: str
    pair: str | None
    words: int  # that may be changed
    changes: list[tuple[str, str]]  # (word, what stands there now), in the order of the search
    queries: int
    before: Any  # (C,) probabilities
    after: Any


class Attack:
    """``Attack(trainer, change, budget, seed)(example, i)``: one example after the other, each with random numbers of its own."""

    def __init__(self, trainer: Any, workers: Any, change: Change, budget: float, seed: int) -> None:
        """budget: the share of words that may change, of which one may always."""
        self.trainer, self.task, self.workers = trainer, trainer.task, workers
        self.change, self.budget, self.seed = change, budget, seed
        self.queries = 0

    def ask(self, examples: Sequence[Any]) -> Any:
        """(N, C) probabilities."""
        self.queries += len(examples)
        features = self.task.features(list(examples), self.trainer.tokenizer)
        rows, _ = self.trainer.answer(features, self.workers)
        return np.stack(self.task.predictions(list(examples), features, rows))

    def __call__(self, e: Any, number: int) -> Found:
        """The attack on one example; ``number``: its place in the file."""
        self.queries, rng = 0, np.random.default_rng([self.seed, 19, number])
        gold = self.task.target(e)
        (before,) = self.ask([e])
        text = Text(e)
        if lead(before, gold) < MARGIN:
            return self.found("wrong before", text, {}, before, before)
        new: dict[int, str] = {}
        after, most = before, max(1, int(self.budget * len(text.spans)))
        for i in self.by_importance(text, gold, before):
            options = self.change(text.word(i), rng)
            if len(new) == most or not options:
                continue
            p = self.ask([text.example({**new, i: word}) for word in options])
            flips = [k for k in range(len(options)) if lead(p[k], gold) < -MARGIN]
            k = flips[0] if flips else int(p[:, gold].argmin())
            if flips or p[k, gold] < after[gold]:
                new[i], after = options[k], p[k]
            if flips:
                return self.found("flipped", text, new, before, after)
        return self.found("held", text, {}, before, before)

    def by_importance(self, text: Text, gold: int, before: Any) -> list[int]:
        """The numbers of the words that the model reads, the most important first."""
        without = {i: text.example({i: ""}) for i in range(len(text.spans))}
        left = {i: e for i, e in without.items() if all(any(map(str.isalnum, part or "x")) for part in (e.text, e.pair))}
        (whole, *features) = self.task.features([text.e, *left.values()], self.trainer.tokenizer)
        read = [i for i, f in zip(left, features, strict=True) if f.ids != whole.ids]  # of a long text the rest is cut off
        if not read:
            return sorted(without.keys() - left.keys())  # a text of one word
        importance = before[gold] - self.ask([left[i] for i in read])[:, gold]
        return [read[k] for k in np.argsort(-importance, kind="stable")]

    def found(self, outcome: str, text: Text, new: dict[int, str], before: Any, after: Any) -> Found:
        """The record."""
        e = text.example(new)
        changes = [(text.word(i), word) for i, word in new.items()]
        return Found(outcome, e.text, e.pair, len(text.spans), changes, self.queries, before, after)


def lead(p: Any, gold: int) -> float:
    """By how much the right answer is ahead of the best other one."""
    return float(p[gold] - np.delete(p, gold).max())


class Text:
    """The words of an example, those of its second text after those of the first."""

    def __init__(self, e: Any) -> None:
        self.e = e
        self.parts = [e.text] if e.pair is None else [e.text, e.pair]
        self.split = [places(part) for part in self.parts]
        self.spans = [(k, i) for k, spans in enumerate(self.split) for i in range(len(spans))]

    def word(self, number: int) -> str:
        """A word by its number."""
        k, i = self.spans[number]
        return str(self.parts[k][slice(*self.split[k][i])])

    def example(self, new: dict[int, str]) -> Any:
        """The example with some words replaced."""
        texts = []
        for k, (part, spans) in enumerate(zip(self.parts, self.split, strict=True)):
            texts.append(changed(part, spans, {self.spans[n][1]: word for n, word in new.items() if self.spans[n][0] == k}))
        return dataclasses.replace(self.e, text=texts[0], pair=texts[1] if len(texts) > 1 else None)
