"""Tagging without a neural network: the word's most frequent tag, and a linear SVM on a window of words.

Read before: baselines.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .baselines import Baseline, learnt


class FrequentTag(Baseline):
    """Each word's most frequent tag in training, the most frequent of all for an unknown word."""

    def fit(self, examples: list[Any]) -> Baseline:
        counts: dict[str, Counter[str]] = {}
        for s in examples:
            for word, tag in zip(s.words, s.tags, strict=True):
                counts.setdefault(word, Counter())[tag] += 1
        self.tags = {word: c.most_common(1)[0][0] for word, c in counts.items()}
        self.other = Counter(tag for s in examples for tag in s.tags).most_common(1)[0][0]
        self.parameters = len(self.tags)
        self.size = sum(len(word.encode()) + 1 for word in self.tags)
        return self

    def predict(self, examples: list[Any]) -> list[list[str]]:
        return [[self.tags.get(word, self.other) for word in s.words] for s in examples]


class WordWindow(Baseline):
    """A linear SVM on the word, its shape, its ends, and its two neighbours on either side: tagging before neural networks."""

    def fit(self, examples: list[Any]) -> Baseline:
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.svm import LinearSVC

        self.columns = DictVectorizer()
        X = self.table(examples, self.columns.fit_transform)
        self.model = LinearSVC(C=0.3).fit(X, [tag for s in examples for tag in s.tags])
        self.parameters = learnt(self.model)
        self.size = 8 * self.parameters + sum(len(name.encode()) for name in self.columns.feature_names_)
        return self

    def predict(self, examples: list[Any]) -> list[list[str]]:
        tags = iter(self.model.predict(self.table(examples, self.columns.transform)).tolist())
        return [[next(tags) for _ in s.words] for s in examples]

    @staticmethod
    def table(examples: list[Any], transform: Callable[[Any], Any]) -> Any:
        """One row per word; with 32-bit indices, the only ones that the SVM takes."""
        X = transform([f for s in examples for f in word_features(s.words)])
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        return X


def word_features(words: Sequence[str]) -> list[dict[str, int]]:
    """What a word and its neighbours look like, by name."""
    shapes = [re.sub(r"(.)\1+", r"\1", re.sub(r"\d", "0", re.sub(r"[^\W\d_]", shape, w)))[:10] for w in words]
    features = []
    for i, word in enumerate(words):
        low = word.lower()
        names = [f"w={low}", f"shape={shapes[i]}", f"start={low[:3]}", f"end={low[-3:]}", f"first={i == 0}"]
        for j in (-2, -1, 1, 2):
            inside = 0 <= i + j < len(words)
            names.append(f"{j}:{words[i + j].lower() if inside else ''}")
            names.append(f"{j}shape:{shapes[i + j] if inside else ''}")
        features.append(dict.fromkeys(names, 1))
    return features


def shape(m: re.Match[str]) -> str:
    """X for a capital, x for another letter."""
    return "X" if m[0].isupper() else "x"


class Always(Baseline):
    """The most frequent tag for every word."""

    parameters, size = 1, 8

    def fit(self, examples: list[Any]) -> Baseline:
        self.tag = Counter(tag for s in examples for tag in s.tags).most_common(1)[0][0]
        return self

    def predict(self, examples: list[Any]) -> list[list[str]]:
        return [[self.tag] * len(s.words) for s in examples]


def for_tag(task: Any) -> dict[str, Callable[[], Baseline]]:
    """Majority, most-frequent-tag, and the linear model on words and their neighbours."""
    return {"majority tag": Always, "most frequent tag of the word": FrequentTag, "linear SVM on a window of words": WordWindow}
