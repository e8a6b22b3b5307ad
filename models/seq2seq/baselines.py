"""Answers that cost nothing, without a neural network, to be measured next to the model on the same pairs.

Read before: pairs.py. Read next: report.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from .pairs import Pair

Answer = Callable[[Sequence[str]], list[str]]
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")


def copy(train: Sequence[Pair]) -> Answer:
    """The source itself."""
    return list


def first_sentence(train: Sequence[Pair]) -> Answer:
    """The source up to its first full stop."""
    return lambda sources: [SENTENCE_END.split(source.strip(), maxsplit=1)[0] for source in sources]


def most_frequent(train: Sequence[Pair]) -> Answer:
    """The target that training has most often, whatever the source."""
    target = Counter(p.target for p in train).most_common(1)[0][0]
    return lambda sources: [target] * len(sources)


def most_similar(train: Sequence[Pair]) -> Answer:
    """The target of the training source with the nearest TF-IDF vector, of its letters in runs of 1 to 4 within words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    known = vectors.fit_transform(p.source for p in train)

    def answer(sources: Sequence[str]) -> list[str]:
        found: list[int] = []
        for i in range(0, len(sources), 256):  # (256, train) similarities at a time
            near = vectors.transform(sources[i : i + 256]) @ known.T
            found += near.argmax(axis=1).A1.tolist() if hasattr(near.argmax(axis=1), "A1") else near.argmax(axis=1).tolist()
        return [train[i].target for i in found]

    return answer


BASELINES: dict[str, Callable[[Sequence[Pair]], Answer]] = {
    "the source itself": copy,
    "its first sentence": first_sentence,
    "the most similar training example": most_similar,
    "the most frequent target": most_frequent,
}
