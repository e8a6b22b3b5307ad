"""Loss and accuracy of masked-word prediction, as sums that micro-batches add up. Read next: pretraining.py."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass
class Score:
    """Sums over masked positions (and sentence pairs), from which loss and accuracy follow.

    loss and right are 0-d arrays until they are read: a GPU may still be computing them.
    """

    loss: Any = 0.0
    masked: int = 0
    right: Any = 0
    tokens: int = 0

    def read(self) -> Score:
        """As plain numbers."""
        return Score(float(self.loss), self.masked, int(self.right), self.tokens)

    def add(self, other: Score) -> Score:
        """Both together."""
        return Score(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    @property
    def mean_loss(self) -> float:
        """Nats per masked word."""
        return self.loss / max(1, self.masked)

    @property
    def accuracy(self) -> float:
        """Share of masked words guessed right."""
        return self.right / max(1, self.masked)
