"""GPT's training batches: stretches of a text, and the same stretches one token further on, which are to be guessed.

    input_ids   T h e _ f u n c
    targets     h e _ f u n c t

Every batch is a function of (seed, step), so a run that stops can go on with the very batch that comes next.
Read before: models/text/stream.py. Read next: pretraining.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor


class Stretches:
    """Batches of S tokens of a text and their targets, both (B, S).

    at_random: each stretch starts anywhere. Otherwise they follow each other through the whole text, in a mixed but fixed order.
    """

    def __init__(self, ids: Any, length: int, batch_size: int, seed: int, at_random: bool = True) -> None:
        if len(ids) < 2:
            raise ValueError("a text of fewer than two tokens has none to guess")
        self.ids, self.batch_size, self.seed = ids, batch_size, seed
        self.length = min(length, len(ids) - 1)
        self.count = (len(ids) - 1) // self.length  # stretches that do not overlap
        self.order = None if at_random else np.random.default_rng([seed, 1]).permutation(self.count)

    def starts(self, step: int) -> Any:
        """Where the stretches of a batch start, (B,)."""
        if self.order is None:
            return np.random.default_rng([self.seed, 2, step]).integers(0, len(self.ids) - self.length, self.batch_size)
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        return self.order[places[places < self.count]] * self.length  # the last batch may be smaller

    def batch(self, step: int, rows: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Batch number ``step``, or these ``rows`` of it (first, stop); no others are read."""
        starts = self.starts(step)[slice(*rows or (None,))]
        stretches = self.ids[starts[:, None] + np.arange(self.length + 1)].astype(np.int64)  # (B, S + 1)
        return {"input_ids": minitorch.tensor(stretches[:, :-1]), "targets": minitorch.tensor(stretches[:, 1:])}
