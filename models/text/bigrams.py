"""The bigram entropy: what a model pays that knows only which token follows which.

Interpolated Kneser-Ney smoothing: a pair's count loses D, and what is saved goes to all tokens as they follow *different* tokens.
Nothing is fitted to the held-out text. Ney, Essen and Kneser (1994), "On structuring probabilistic dependences in stochastic
language modelling"; Chen and Goodman (1998), "An empirical study of smoothing techniques for language modeling", section 2.7.
Read next: prepared.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PORTION = 1 << 22  # tokens at a time: memory grows with the number of different pairs, not with the text


def bigram_entropy(ids: Any, reference: Any, vocab_size: int) -> float:
    """Nats per token of ``ids`` (its first one is given) for a model of pairs that has counted ``reference``.

    P(b|a) = max(c(ab) - D, 0)/c(a) + D n(a)/c(a) Q(b),  Q(b) = (m(b) + 1) / (pairs + V)

    c(ab): how often b follows a; n(a): how many different tokens follow a; m(b): how many different tokens b follows.
    """
    V = vocab_size
    pairs, counts = count_pairs(reference, V)
    first, second = np.divmod(pairs, V)
    c = np.bincount(first, counts, V)  # (V,)
    n, m = np.bincount(first, minlength=V), np.bincount(second, minlength=V)  # (V,)
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    D = (once + 1) / (once + 2 * twice + 2)  # with the ones it is between 0 and 1, whatever the counts
    Q = (m + 1) / (len(pairs) + V)
    held, times = count_pairs(ids, V)
    a, b = np.divmod(held, V)
    at = np.minimum(np.searchsorted(pairs, held), max(0, len(pairs) - 1))
    seen = np.where(pairs[at] == held, counts[at], 0) if len(pairs) else np.zeros(len(held))
    with np.errstate(invalid="ignore", divide="ignore"):
        P = np.where(c[a] > 0, (np.maximum(seen - D, 0) + D * n[a] * Q[b]) / c[a], Q[b])
    return float(-(times * np.log(P)).sum() / times.sum())


def count_pairs(ids: Any, V: int) -> tuple[Any, Any]:
    """Each pair of neighbours ab as the number aV + b, in order, and how often it is there."""
    pairs, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for i in range(0, len(ids) - 1, PORTION):
        part = np.asarray(ids[i : i + PORTION + 1], np.int64)
        found, times = np.unique(part[:-1] * V + part[1:], return_counts=True)
        pairs, where = np.unique(np.concatenate([pairs, found]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([counts, times])).astype(np.int64)
    return pairs, counts
