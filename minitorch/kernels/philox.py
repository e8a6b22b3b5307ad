"""Dropout masks that are computed when needed and never stored: Philox, a random generator without state.

A counter-based generator is a function: random bits = philox(key, counter). Give every element of an array a counter, and
anyone can compute that element's bits at any time, a thread of a GPU or a loop on a CPU: the backward pass gets the same mask as
the forward pass, one seed gives one mask on every device, and a mask takes no memory and no traffic. Philox4x32-10 turns a
counter of four 32-bit words and a key of two into four random words.

Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", https://doi.org/10.1145/2063384.2063405.
The generator is here in NumPy, in loops.py compiled, and in cuda/launch.py as CUDA C.
Read before: dispatch.py. Read next: cuda/launch.py.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..devices import Array

BLOCK = 1 << 13  # groups of eight elements

_step: Array | None = None


WHOLE = (0, 1)  # the rows of a batch that is not cut


class Stream:
    """The source of masks: a seed, and how many masks were drawn from it.

    rows: (first, stop), the examples of a batch that a micro-batch has. Its masks are those rows of the whole batch's masks, so
    an example loses the same elements whoever computes it, if its axes (one at least) are as long in all micro-batches.
    """

    def __init__(self, seed: int, calls: int = 0, rows: tuple[int, int] = WHOLE) -> None:
        self.seed, self.calls, self.rows = seed, calls, rows

    def key(self, shape: tuple[int, ...], p: float) -> Key:
        """The next mask, True with probability 1 - p."""
        self.calls += 1
        return Key(shape, p, self.seed, self.calls, _step, self.rows)


class Key:
    """A mask that is not stored: every kernel that needs it computes it.

    The four words of counter (q, q >> 32, calls, step) and key ``seed`` belong to eight neighbours of the last axis, half a word
    to each, the lower half first; q is the number of this group of eight, with ⌈n/8⌉ groups per row, from ``begin`` on: that is
    where the examples ``within`` begin in the mask of the whole batch. An element is kept if its half is at least p · 2¹⁶.
    """

    def __init__(
        self, shape: tuple[int, ...], p: float, seed: int, calls: int, step: Array | None, within: tuple[int, int] = WHOLE
    ) -> None:
        self.shape, self.p, self.step = shape, p, step
        self.words = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, calls & 0xFFFFFFFF
        self.threshold = round(p * 2**16)
        (rows, n), (first, stop) = self.rows, within
        self.begin = rows * first // (stop - first) * -(-n // 8) & 0xFFFFFFFF

    @property
    def rows(self) -> tuple[int, int]:
        """The mask as a table: (rows, columns)."""
        return math.prod(self.shape[:-1]), self.shape[-1] if self.shape else 1

    def computed(self) -> Any:
        """The mask as an array of bools, by NumPy: a block at a time, which stays in the cache."""
        (rows, n), step = self.rows, 0 if self.step is None else int(self.step)
        groups = rows * -(-n // 8)
        keep = np.empty((groups, 8), bool)
        for first in range(0, groups, BLOCK):
            q = np.arange(first, min(first + BLOCK, groups), dtype=np.uint64) + np.uint64(self.begin)
            low, high = q & np.uint64(0xFFFFFFFF), q >> np.uint64(32)
            words = philox((low, high, np.uint64(self.words[2]), np.uint64(step)), self.words[:2])
            halves = np.stack(words, -1, dtype="<u4", casting="unsafe").view("<u2")
            keep[first : first + BLOCK] = halves >= self.threshold
        return keep.reshape(rows, 8 * -(-n // 8))[:, :n].reshape(self.shape)

    def as_argument(self, keep_prob: float) -> Any:
        """The kernels' argument: struct Dropout of cuda/launch.py, passed by value."""
        where = 0 if self.step is None else self.step.data.ptr
        return np.array((where, *self.words, self.threshold, 1 / keep_prob if keep_prob else 0, self.begin), DROPOUT)


def philox(counter: tuple[Any, ...], key: tuple[int, int]) -> tuple[Any, ...]:
    """Four random words from four words of counter and two of key: ten rounds of two multiplications (section 3.3)."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        first, second, old1, old3 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57), c1, c3
        c1, c3 = second & low, first & low
        second >>= half  # in place: c0, c2 = second >> half ^ old1 ^ k0, first >> half ^ old3 ^ k1
        first >>= half
        second ^= old1
        first ^= old3
        second ^= np.uint64(k0)
        first ^= np.uint64(k1)
        c0, c2 = second, first
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


WORDS = "seed0", "seed1", "call", "threshold"
DROPOUT = np.dtype([("step", "u8"), *((word, "u4") for word in WORDS), ("factor", "f4"), ("begin", "u4")])
NONE = np.zeros((), DROPOUT)  # a factor of 0 and a threshold of 0: nothing is dropped


@contextlib.contextmanager
def stepping(step: Array) -> Iterator[None]:
    """Masks drawn within the block also depend on the uint32 in the GPU array ``step``.

    A recorded CUDA graph repeats its launches with the same arguments. To drop other elements at each replay, kernels read a
    number in GPU memory, which the graph itself (or its caller) increases by 1 between steps. It must be the same in a
    step's forward and backward pass.
    """
    global _step
    before, _step = _step, step
    try:
        yield
    finally:
        _step = before
