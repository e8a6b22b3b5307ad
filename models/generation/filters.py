"""Which tokens may come next, and how probable each is: from a model's logits to a distribution worth sampling from.

    repetition penalty -> temperature -> top-k -> top-p -> min-p        (Hugging Face's order)

A filter takes logits (R, V), one row per text, and gives logits in which what may not come is -∞. At least one token always
remains, so the ends of each scale are defined: temperature 0, top_k 1, top_p 0 and min_p 1 all leave the most probable token
(min_p 1 and top_k 1 those that are as probable as it).
Read next: sampling.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.floating[Any]]


def repetition_penalty(logits: Logits, seen: Sequence[Sequence[int]], penalty: float) -> Logits:
    """Tokens that a row has seen: x/penalty where x > 0, x·penalty where x < 0 (Keskar et al., 2019, "CTRL", section 4.1)."""
    logits = logits.copy()
    for row, ids in zip(logits, seen, strict=True):
        known = np.unique(np.asarray(ids, np.int64))
        known = known[known < len(row)]
        x = row[known]
        row[known] = np.where(x < 0, x * penalty, x / penalty)
    return logits


def temperature(logits: Logits, T: float) -> Logits:
    """x/T: above 1 the distribution is flatter, below 1 steeper; at 0 the first of the largest remains."""
    if T == 0:
        keep = np.zeros(logits.shape, bool)
        np.put_along_axis(keep, logits.argmax(-1, keepdims=True), True, axis=-1)
        return only(logits, keep)
    with np.errstate(over="ignore"):  # a tiny T sends all but the largest to -∞
        steep: Logits = (logits - logits.max(-1, keepdims=True)) / T
        return steep


def top_k(logits: Logits, k: int) -> Logits:
    """The k most probable tokens (Fan et al., 2018, section 5.1) and those as probable as the last of them; 0: all."""
    V = logits.shape[-1]
    if k == 0 or k >= V:
        return logits
    return only(logits, logits >= np.partition(logits, V - k, axis=-1)[..., V - k, None])


def top_p(logits: Logits, p: float) -> Logits:
    """The smallest set of most probable tokens whose probabilities sum to p or more (Holtzman et al., 2020, section 3.1)."""
    if p >= 1:
        return logits
    order = logits.argsort(-1, kind="stable")  # the least probable first
    below = softmax(np.take_along_axis(logits, order, -1)).cumsum(-1)  # the sum up to each, itself included
    keep = below > 1 - p
    keep[..., -1] = True  # the most probable token
    back = np.empty_like(keep)
    np.put_along_axis(back, order, keep, -1)
    return only(logits, back)


def min_p(logits: Logits, p: float) -> Logits:
    """The tokens at least p times as probable as the most probable (Nguyen et al., 2024, arXiv 2407.01082, section 3)."""
    return only(logits, logits >= logits.max(-1, keepdims=True) + (math.log(p) if p > 0 else -math.inf))


def only(logits: Logits, keep: NDArray[np.bool_]) -> Logits:
    """-∞ where a token may not come."""
    return np.where(keep, logits, -math.inf)


def softmax(logits: Logits) -> Logits:
    """eˣ / Σ eˣ along the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    total: Logits = e / e.sum(-1, keepdims=True)
    return total


def log_softmax(logits: Logits) -> Logits:
    """x - ln Σ eˣ along the last axis."""
    x = logits - logits.max(-1, keepdims=True)
    total: Logits = x - np.log(np.exp(x).sum(-1, keepdims=True))
    return total
