"""The last layer at some tokens alone: an optimisation, the same loss and gradients for less work.

Masked-LM loss reads one token in seven, a classifier only [CLS]. The last layer is computed at these rows; its keys and values
still come from all tokens. model.py reads well without this file.
Read before: model.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.devices import array_module


def rows_at(x: Tensor, rows: Tensor) -> Tensor:
    """The tokens of x (B, S, H) at ``rows`` (B, P): (B, P, H)."""
    B, S, H = x.shape
    xp = array_module(rows.array)
    flat = (rows.array + S * xp.arange(B)[:, None]).reshape(-1)
    return minitorch.index_select(x.reshape(B * S, H), 0, Tensor(flat)).reshape(B, rows.shape[1], H)


def first_alone(n: int) -> Tensor:
    """``rows`` (n, 1) of n sequences whose head reads only [CLS]."""
    return minitorch.zeros(n, 1, dtype=minitorch.int64)


def masked_first(labels: Tensor, pooled: bool) -> tuple[Tensor, Tensor]:
    """The positions of the masked words (with ``pooled`` the first token before them), and the labels there: both (B, P).

    P is the largest number of masked words in any sequence; shorter rows are padded with unmasked positions, whose label is -100.
    """
    xp, masked = array_module(labels.array), labels.array != -100
    masked[:, 0] |= pooled
    P = max(1, int(masked.sum(axis=1).max()))
    rows = xp.argsort(~masked, axis=1, kind="stable")[:, :P].astype(np.int64)
    return Tensor(rows), Tensor(xp.take_along_axis(labels.array, rows, axis=1))


class Masked(NamedTuple):
    """Where the masked words are, and the words. Their number decides shapes, and reading it from a GPU would stall it: so
    find_masked runs on the host, before the batch is sent."""

    rows: Tensor  # (B, P), masked_first's
    at: Tensor  # (masked,) which of them are masked, counted through the batch
    labels: Tensor  # (masked,) the words that stood there

    def to(self, device: str) -> Masked:
        """On a device."""
        return Masked(*(t.to(device) for t in self))


def find_masked(labels: Tensor, pooled: bool) -> Masked:
    """labels (B, S) as masked_only needs them; ``pooled``: for a model with a pooler."""
    rows, labels = masked_first(labels, pooled)
    return Masked(rows, *places(labels))


def places(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Where labels (B, S) are not -100, counted through the batch, and those labels: both (masked,)."""
    flat = labels.array.reshape(-1)
    at = (flat != -100).nonzero()[0].astype(np.int64)
    return Tensor(at), Tensor(flat[at])
