"""Which examples make up a batch. Read next: loop.py."""

from __future__ import annotations

from typing import Any

import numpy as np


def batches_by_length(sizes: Any, batch_size: int, rng: np.random.Generator) -> list[Any]:
    """0, 1, ... in batches of about the same size, so that little time goes into padding: shuffle, sort within portions of
    32 batches, cut. The caller shuffles the batches."""
    order = rng.permutation(len(sizes))
    portions = (order[i : i + 32 * batch_size] for i in range(0, len(order), 32 * batch_size))
    parts = [part[np.argsort(sizes[part], kind="stable")] for part in portions]
    return [part[i : i + batch_size] for part in parts for i in range(0, len(part), batch_size)]
