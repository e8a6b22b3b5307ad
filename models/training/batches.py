"""Which examples make up a batch. Read next: loop.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def batches_by_length(sizes: Any, batch_size: int, rng: np.random.Generator) -> list[Any]:
    """0, 1, ... in batches of about the same size, so that little time goes into padding: shuffle, sort within portions of
    32 batches, cut. The caller shuffles the batches."""
    order = rng.permutation(len(sizes))
    portions = (order[i : i + 32 * batch_size] for i in range(0, len(order), 32 * batch_size))
    parts = [part[np.argsort(sizes[part], kind="stable")] for part in portions]
    return [part[i : i + batch_size] for part in parts for i in range(0, len(part), batch_size)]


class Batches:
    """Batches of features of similar length, so that little time goes into padding.

    Batches and their order change with the epoch: a function of (seed, epoch).
    """

    def __init__(self, features: Sequence[Any], batch_size: int, seed: int, groups: Sequence[Any] | None = None) -> None:
        self.sizes = np.array([f.size for f in features])
        self.batch_size, self.seed = batch_size, seed
        keys = [0] * len(features) if groups is None else list(groups)
        self.groups = [np.flatnonzero([k == key for k in keys]) for key in dict.fromkeys(keys)]
        self.count = sum(math.ceil(len(group) / batch_size) for group in self.groups)

    def epoch(self, number: int) -> list[Any]:
        """The batches of an epoch, each an array of the features' numbers."""
        rng = np.random.default_rng([self.seed, 5, number])
        batches = [group[b] for group in self.groups for b in batches_by_length(self.sizes[group], self.batch_size, rng)]
        return [batches[i] for i in rng.permutation(len(batches))]
