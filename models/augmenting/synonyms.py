"""Words that may stand for a word in a text of a class.

Neighbours in a table of embeddings, and a masked LM's guesses, follow the language and not the label: good and bad are near to
each other. The training texts say which class a word speaks for. Read before: models/bert/neighbours.py. Read next: eda.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")  # also 3, don't


class Fitting:
    """``Fitting(neighbours, texts, labels)("good", label)``: those that do not speak for another label than the text's."""

    def __init__(self, source: Callable[[str], list[str]], texts: Sequence[str], labels: Sequence[Any]) -> None:
        """Labels None: of numbers, or several at once; then every word fits."""
        self.source = source
        self.size = Counter(labels)
        self.seen = Counter(pair for text, label in zip(texts, labels, strict=True) for pair in of(text, label))

    def __call__(self, word: str, label: Any) -> list[str]:
        """In the order of the source."""
        return [other for other in self.source(word) if self.fits(other, label)]

    def fits(self, word: str, label: Any) -> bool:
        """Is the word in as large a share of the label's training texts as of all others? (Or in none of either.)"""
        if label is None:
            return True
        word = word.lower()
        own, others = self.seen[word, label], sum(self.seen[word, other] for other in self.size if other != label)
        n = self.size[label]
        return own * (self.size.total() - n) >= others * n


def of(text: str, label: Any) -> set[tuple[str, Any]]:
    """Its words, each with the label."""
    return {(word.lower(), label) for word in WORD.findall(text)}
