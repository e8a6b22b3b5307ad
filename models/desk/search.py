"""Ways to find the entry that answers a question: TF-IDF, BM25, the vectors of a BERT, and the last two fused.

A ranker has ``fit(texts)`` and ``scores(questions) -> (Q, D)``; all scores lie between -1 and 1, so that a threshold means
something. An entry may have several texts (its answer, and every way it was asked); its score is that of the best.
Read before: models/bert/use.py. Read next: tuning.py, desk_command.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BadInput

Array = Any
WORD = r"(?u)\w+"  # scikit-learn's own pattern leaves out words of one letter


class TfIdf:
    """The cosine of the texts' TF-IDF vectors."""

    def fit(self, texts: Sequence[str]) -> TfIdf:
        """Count the words."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectorizer = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True)
        self.table = words_of(self.vectorizer, texts)
        return self

    def scores(self, questions: Sequence[str]) -> Array:
        """(Q, D)"""
        return (self.vectorizer.transform(questions) @ self.table.T).toarray()


class BM25:
    """Robertson and Zaragoza (2009), "The probabilistic relevance framework: BM25 and beyond", section 3.4:

        Σ over the question's words t of  idf(t) · f (k₁ + 1) / (f + k₁ (1 - b + b |d| / mean |d|)),
        idf(t) = ln(1 + (N - n + ½) / (n + ½))

    f: how often t stands in the text d; n: in how many of the N texts. Divided by what a text that repeats the question's words
    for ever would score, a word that no text has included: the share of the question that was found.
    """

    k1, b = 1.5, 0.75

    def fit(self, texts: Sequence[str]) -> BM25:
        """Weigh every word of every text."""
        from sklearn.feature_extraction.text import CountVectorizer

        self.vectorizer = CountVectorizer(token_pattern=WORD)
        table = words_of(self.vectorizer, texts).tocoo()  # (D, V)
        n = np.bincount(table.col, minlength=table.shape[1])
        self.unknown = np.log(1 + (len(texts) + 0.5) / 0.5)
        self.idf = np.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        length = np.bincount(table.row, table.data, minlength=len(texts))
        f, d = table.data.astype(float), table.row
        slow = self.k1 * (1 - self.b + self.b * length[d] / length.mean())
        table.data = self.idf[table.col] * f * (self.k1 + 1) / (f + slow)
        self.table = table.tocsr()
        return self

    def scores(self, questions: Sequence[str]) -> Array:
        """(Q, D)"""
        asked = self.vectorizer.transform(questions)  # (Q, V)
        split = self.vectorizer.build_analyzer()
        unknown = np.array([len(split(question)) for question in questions]) - np.asarray(asked.sum(1)).ravel()
        most = (self.k1 + 1) * (asked @ self.idf + unknown * self.unknown)  # where f goes to infinity
        return (asked @ self.table.T).toarray() / np.maximum(most, 1e-9)[:, None]


class Vectors:
    """The cosine of vectors of length 1. embed: texts -> (N, H); ``known``: vectors of the texts, from an earlier run."""

    def __init__(self, embed: Callable[[Sequence[str]], Array], known: Array = None) -> None:
        self.embed, self.known = embed, known

    def fit(self, texts: Sequence[str]) -> Vectors:
        """Read the texts."""
        if self.known is None or len(self.known) != len(texts):
            self.known = self.embed(texts)
        return self

    def scores(self, questions: Sequence[str]) -> Array:
        """(Q, D)"""
        return self.embed(questions) @ self.known.T


class Fused:
    """The mean of several rankers' scores, all between -1 and 1: Bruch et al. (2023), "An analysis of fusion functions for hybrid
    retrieval", section 4."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def fit(self, texts: Sequence[str]) -> Fused:
        """The parts have seen the texts."""
        return self

    def scores(self, questions: Sequence[str]) -> Array:
        """(Q, D)"""
        return np.mean([part.scores(questions) for part in self.parts], axis=0)


def words_of(vectorizer: Any, texts: Sequence[str]) -> Any:
    """(D, V) of the texts; BadInput where they hold no word."""
    try:
        return vectorizer.fit_transform(texts)
    except ValueError as error:
        raise BadInput("the questions and answers hold no words") from error


def rankers(embed: Callable[[Sequence[str]], Array] | None, known: Array = None) -> dict[str, Any]:
    """Name -> ranker. Without ``embed`` those that count words."""
    found: dict[str, Any] = {"TF-IDF": TfIdf(), "BM25": BM25()}
    if embed is not None:
        found["vectors"] = Vectors(embed, known)
        found["BM25 and vectors"] = Fused(found["BM25"], found["vectors"])
    return found


def of_entries(scores: Array, entry: Array, entries: int) -> Array:
    """The best score among each entry's texts: (Q, D), entry (D,) -> (Q, E); -inf for an entry without a text."""
    best = np.full((len(scores), entries), -np.inf)
    np.maximum.at(best, (slice(None), entry), scores)
    return best


def ranks(scores: Array, right: Array) -> Array:
    """The place of the right entry of each question, from 1. Ties count against it: (Q, E), (Q,) -> (Q,)."""
    own = np.take_along_axis(scores, right[:, None], 1)
    return (scores >= own).sum(1)


def quality(places: Array) -> dict[str, float]:
    """Recall at 1, 3, 10 (the share of questions whose entry is among the first so many) and the mean of 1/place (MRR)."""
    shares = {f"recall@{k}": float((places <= k).mean()) for k in (1, 3, 10)}
    return {**shares, "mrr": float((1 / places).mean())}


@dataclass
class Threshold:
    """Below ``value`` the desk says that it does not know. ``answered``: the share of questions with an entry that get it;
    ``refused``: the share of questions without one that get none."""

    value: float
    answered: float
    refused: float


def threshold(scores: Array, right: Array, unknown: float) -> Threshold:
    """The one that does right most often, if a share ``unknown`` of all questions has no entry. scores (Q, E); right (Q,)."""
    hits, misses = hits_and_misses(scores, right)
    seen = np.unique(np.concatenate([hits[np.isfinite(hits)], misses, [-1.0, 1.0]]))
    levels = np.append((seen[1:] + seen[:-1]) / 2, -1.0)
    tried = [at_level(level, hits, misses) for level in levels]
    return max(tried, key=lambda t: (1 - unknown) * t.answered + unknown * t.refused)


def judged(level: float, scores: Array, right: Array) -> Threshold:
    """How a threshold that other questions chose does on these; right is -1 for a question without an entry."""
    return at_level(level, *hits_and_misses(scores, right))


def hits_and_misses(scores: Array, right: Array) -> tuple[Array, Array]:
    """The scores of right first entries; and of each question the best score of a wrong entry, as if its own were not there."""
    known = np.flatnonzero(right >= 0)
    first = scores[known].argmax(1) == right[known]
    others = scores.copy()
    others[known, right[known]] = -np.inf
    return np.where(first, scores[known].max(1), -np.inf), others.max(1)


def at_level(level: float, hits: Array, misses: Array) -> Threshold:
    """What a threshold does."""
    return Threshold(float(level), float((hits >= level).mean()) if len(hits) else 0.0, float((misses < level).mean()))
