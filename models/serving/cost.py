"""How large may a batch be? Measured while serving: what a call costs whatever it computes, and what each token adds to it.

    t(n) ≈ a + b n      of a batch of n tokens; a, b by least squares, older batches weigh ever less

A batch of n tokens saves the a of all texts but one; everybody who comes meanwhile waits for b n. So a batch grows until
b n = GROWTH · a: it then has GROWTH / (1 + GROWTH) of the throughput that the largest batch would have.
On a GPU a is large and b small, and batches are large; on a core of a CPU they are two or three short texts.
Read before: answerers.py. Read next: batching.py.
"""

from __future__ import annotations

import numpy as np

GROWTH = 2.0
FADES = 0.98  # weight of a batch when the next one comes
LEAST = 10  # batches before the line is trusted


class Cost:
    """The line of one model."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = np.zeros(5)  # of the weights, and weighted: n, t, n², n t

    def add(self, n: int, t: float) -> None:
        """A batch of n tokens took t seconds."""
        self.count += 1
        self.sums = FADES * self.sums + (1, n, t, n * n, n * t)

    def line(self) -> tuple[float, float] | None:
        """(a, b), or None as long as all batches were about equally large."""
        if self.count < LEAST:
            return None
        n, t, nn, nt = self.sums[1:] / self.sums[0]
        spread = nn - n * n
        if spread < 0.01 * n * n:
            return None
        b = (nt - n * t) / spread
        return t - b * n, b

    def most(self, limit: int) -> int:
        """The tokens of a batch."""
        line = self.line()
        if line is None or line[1] <= 0:
            return limit
        return int(min(limit, max(0.0, GROWTH * line[0] / line[1])))
