"""Loss and accuracy of a language model's predictions, as sums that micro-batches add up. Read next: pretraining.py."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .ranks import totals


@dataclass
class Score:
    """Sums over the places where a token is predicted (and over sentence pairs), from which loss and accuracy follow.

    loss and right are 0-d arrays until they are read: a GPU may still be computing them.
    """

    loss: Any = 0.0
    predicted: int = 0
    right: Any = 0
    tokens: int = 0

    def read(self) -> Score:
        """As plain numbers."""
        return Score(float(self.loss), self.predicted, int(self.right), self.tokens)

    def add(self, other: Score) -> Score:
        """Both together."""
        return Score(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @staticmethod
    def summed(scores: list[Score]) -> list[Score]:
        """Scores that are plain numbers, each summed over all ranks."""
        sums = totals(*(x for score in scores for x in dataclasses.astuple(score)))
        rows = zip(*[iter(sums)] * 4, strict=True)
        return [Score(loss, int(predicted), int(right), int(tokens)) for loss, predicted, right, tokens in rows]

    @property
    def mean_loss(self) -> float:
        """Nats per prediction."""
        return self.loss / max(1, self.predicted)

    @property
    def accuracy(self) -> float:
        """Share of the tokens guessed right."""
        return self.right / max(1, self.predicted)
