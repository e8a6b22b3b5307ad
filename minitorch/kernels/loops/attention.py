"""Attention on a CPU: BLAS multiplies, loops do the rest, a few sequences at a time, so that their scores stay in the cache.

Heads are views into (B, S, A, d), which BLAS reads and writes as they are: nothing is transposed in memory.
Read before: rows.py. Read next: embedding.py; cuda/attention.py, which never has the scores in memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...devices import Array
from .rows import NO_ROWS, NO_TABLE, _drop, _softmax, _softmax_backward, compact, dropout, f4, fits, known, rows

BLOCK = 1 << 16  # scores: four such blocks of float32 fill 1 MiB of second-level cache


def attention(q: Array, k: Array, v: Array, mask: Array, keep: Any, scale: float, keep_prob: float) -> Any:
    """Saves one table (L, S), the weights before dropout."""
    table = (*q.shape[:-1], k.shape[-2])
    fit = _plain(q, k, v, mask) and fits(keep, table)
    if not fit or (mask is not None and np.broadcast_shapes(mask.shape, table) != table):
        return NotImplemented
    weights, y, dropped = np.empty(table, f4), _like_heads(q, v.shape[-1]), None if keep is None else _scratch(table)
    (which, mask), random = _rows_of(mask, table), dropout(keep, keep_prob, table[-1])
    for at, first, end in _blocks(table):
        p = left = np.matmul(q[at], k[at].mT, out=weights[at])
        scores = rows(p)
        _softmax(scores, f4(scale), mask, which[first:end], True, scores)
        if dropped is not None:
            left = dropped[: len(p)]
            _drop(scores, *random, first, rows(left))
        np.matmul(left, v[at], out=y[at])
    return y, weights


def attention_backward(
    g: Array, q: Array, k: Array, v: Array, mask: Array, keep: Any, scale: float, keep_prob: float, y: Array, weights: Array
) -> Any:
    """attention_backward in the same blocks; dropout's mask is computed again."""
    if not _plain(q, k, v, g, weights) or weights.shape[:-2] != q.shape[:-2] or not fits(keep, weights.shape):
        return NotImplemented
    dq, dk, dv = (_like_heads(x, x.shape[-1]) for x in (q, k, v))
    random, scores, dropped = dropout(keep, keep_prob, weights.shape[-1]), _scratch(weights.shape), _scratch(weights.shape)
    for at, first, _ in _blocks(weights.shape):
        p = left = weights[at]
        if keep is not None:
            left = dropped[: len(p)]
            _drop(rows(p), *random, first, rows(left))
        np.matmul(left.mT, g[at], out=dv[at])
        ds = np.matmul(g[at], v[at].mT, out=scores[: len(p)])
        _softmax_backward(rows(ds), rows(p), rows(left), f4(scale), rows(ds))
        np.matmul(ds, k[at], out=dq[at])
        np.matmul(ds.mT, q[at], out=dk[at])
    return dq, dk, dv


def _plain(q: Array, k: Array, v: Array, *others: Array) -> bool:
    """Do all three have the same leading axes and float32 elements, and is none empty?"""
    same = q.ndim > 2 and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
    return same and known(q, k, v, *others) and 0 not in (q.size, k.size, v.size)


def _blocks(table: tuple[int, ...]) -> list[tuple[slice, int, int]]:
    """Slices of the first axis that hold about BLOCK scores each; the first row of each, and the row after its last."""
    rows = math.prod(table[1:-1])
    n = max(1, BLOCK // (rows * table[-1]))
    return [(slice(i, i + n), i * rows, (i + n) * rows) for i in range(0, table[0], n)]


def _scratch(table: tuple[int, ...]) -> Any:
    """Memory for one block."""
    n = max(1, BLOCK // math.prod(table[1:]))
    return np.empty((min(n, table[0]), *table[1:]), f4)


def _like_heads(x: Array, width: int) -> Any:
    """Memory for (B, A, L, width), laid out as (B, L, A, width): joining the heads then copies nothing."""
    *lead, L, _ = x.shape
    return np.empty((*lead[:-1], L, lead[-1], width), f4).swapaxes(-2, -3)


def _rows_of(mask: Any, table: tuple[int, ...]) -> tuple[Array, Array]:
    """For each row of the table the number of its row in the mask, and the mask as rows; without a mask both are empty."""
    if mask is None:
        return NO_ROWS, NO_TABLE
    mask = np.broadcast_to(mask, (*mask.shape[:-1], table[-1]))
    number = np.arange(math.prod(mask.shape[:-1])).reshape(mask.shape[:-1])
    return compact(np.broadcast_to(number, table[:-1])).reshape(-1), rows(mask)
