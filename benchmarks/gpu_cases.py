"""The kernels that benchmarks/gpu.py measures: how each is called, and the least bytes and operations that it needs.

A case makes NumPy arrays from sizes. ``begin`` runs before the clock starts (a forward pass, for example), ``run`` is timed. Both
take ``hand``, the set of kernels to call, and return arrays. So one text runs on the GPU and, as the definition in float64, on
the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SHARE = 0.9  # what dropout keeps


@dataclass
class Case:
    """One kernel."""

    name: str
    make: Callable[..., list[Any]]  # random numbers, sizes -> arrays
    run: Callable[..., Any]  # hand, what begin gave, arrays -> results
    bytes: Callable[..., float]  # bytes per element, sizes -> bytes that pass through memory
    operations: Callable[..., float]  # sizes -> multiplications and additions
    small: tuple[int, ...]
    large: tuple[int, ...]
    begin: Callable[..., Any] = lambda hand, *arrays: None
    product: bool = False  # is the rate of matrix products its limit, and not memory?
    float32: bool = False  # only in float32

    def arrays(self, sizes: tuple[int, ...]) -> list[Any]:
        """The arguments, the same at every call."""
        return self.make(np.random.default_rng(list(sizes)), *sizes)


def rows(rng: Any, *shape: int) -> Any:
    """Normal numbers."""
    return rng.standard_normal(shape, np.float32)


def some_rows(count: int, *also: int) -> Callable[..., list[Any]]:
    """``count`` tables (n, m), then vectors of the sizes at the places ``also``."""
    return lambda rng, *sizes: [*(rows(rng, *sizes[:2]) for _ in range(count)), *(rows(rng, sizes[i]) for i in also)]


def heads(rng: Any, B: int, A: int, S: int, d: int) -> list[Any]:
    """g, queries, keys and values, as they lie after a projection: views into (B, S, A, d)."""
    return [rows(rng, B, S, A, d).transpose(0, 2, 1, 3) for _ in range(4)]


def attend(hand: Any, g: Any, q: Any, k: Any, v: Any) -> Any:
    """Without a mask, without dropout."""
    return hand.attention(q, k, v, None, None, q.shape[-1] ** -0.5, 1.0)


def attend_back(hand: Any, kept: Any, g: Any, q: Any, k: Any, v: Any) -> Any:
    """The gradients of the three."""
    return hand.attention_backward(g, q, k, v, None, None, q.shape[-1] ** -0.5, 1.0, *kept)


def words(rng: Any, n: int, V: int, m: int) -> list[Any]:
    """Gradients (n, m), and ids with the frequencies of words in a text."""
    return [rows(rng, n, m), rng.zipf(1.2, n) % V, np.zeros((V, 0), np.float32)]


def scores(rng: Any, n: int, V: int) -> list[Any]:
    """g (n,), scores (n, V), classes."""
    return [rows(rng, n), rows(rng, n, V), rng.integers(0, V, n)]


def parameters(rng: Any, count: int, size: int) -> list[Any]:
    """p, g, m, v: each as many arrays as a model has, of unequal sizes."""
    sizes = [max(1, size * (i % 7) // 3) for i in range(count)]
    return [[np.abs(rows(rng, n)) for n in sizes] for _ in range(4)]


def total(count: int, size: int) -> int:
    """Numbers in one of those lists."""
    return sum(max(1, size * (i % 7) // 3) for i in range(count))


def adam(hand: Any, _: Any, p: Any, g: Any, m: Any, v: Any) -> Any:
    """A step in place; checks give it copies."""
    hand.adam_all(p, g, m, v, None, [3] * len(p), 1e-3, (0.9, 0.999), 1e-8, 1 - 1e-5)
    return p + m + v


TABLE, NARROW, CLASSES, HEADS = (4096, 3072), (4096, 768), (608, 30522), (32, 12, 128, 64)  # BERT-base, 32 x 128
CASES = [
    Case("matmul", lambda r, n, k, m: [rows(r, n, k), rows(r, m, k)], lambda hand, _, x, w: hand.matmul(x, w.T),
         lambda b, n, k, m: b * (n * k + k * m + n * m), lambda n, k, m: 2 * n * k * m, (5, 4, 3), (4096, 768, 3072),
         product=True),
    Case("attention", heads, lambda hand, _, *x: attend(hand, *x)[0], lambda b, B, A, S, d: 4 * b * B * A * S * d,
         lambda B, A, S, d: 4 * B * A * S * S * d, (2, 2, 5, 4), HEADS, product=True),
    Case("attention, gradient", heads, attend_back, lambda b, B, A, S, d: 8 * b * B * A * S * d,
         lambda B, A, S, d: 10 * B * A * S * S * d, (2, 2, 5, 4), HEADS, attend, product=True),
    Case("GELU with bias", some_rows(1, 1), lambda hand, _, x, b: hand.bias_gelu(x, b, False)[0],
         lambda b, n, m: 2 * b * n * m, lambda n, m: 25 * n * m, (5, 7), TABLE),
    Case("GELU, gradient", some_rows(2, 1), lambda hand, kept, g, x, b: hand.bias_gelu_backward(g, kept),
         lambda b, n, m: 3 * b * n * m, lambda n, m: 25 * n * m, (5, 7), TABLE,
         lambda hand, g, x, b: hand.bias_gelu(x, b, False)[1]),
    Case("layer norm", some_rows(1, 1, 1), lambda hand, _, x, w, b: hand.layer_norm(x, w, b, (1,), 1e-12)[0],
         lambda b, n, m: 2 * b * n * m, lambda n, m: 8 * n * m, (5, 7), NARROW),
    Case("layer norm, gradient", some_rows(2, 1, 1),
         lambda hand, kept, g, x, w, b: hand.layer_norm_backward(g, x, w, *kept, (1,))[0],
         lambda b, n, m: 3 * b * n * m, lambda n, m: 10 * n * m, (5, 7), NARROW,
         lambda hand, g, x, w, b: hand.layer_norm(x, w, b, (1,), 1e-12)[1:]),
    Case("add + layer norm", some_rows(2, 1, 1), lambda hand, _, x, z, w, b: hand.add_norm(x, z, w, b, None, 1.0, 1e-12)[:2],
         lambda b, n, m: 4 * b * n * m, lambda n, m: 9 * n * m, (5, 7), NARROW),
    Case("softmax", some_rows(1), lambda hand, _, x: hand.softmax(x, (1,)), lambda b, n, m: 2 * b * n * m,
         lambda n, m: 4 * n * m, (5, 7), (49152, 128)),
    Case("softmax, gradient", some_rows(2), lambda hand, y, g, x: hand.softmax_backward(g, y, (1,)),
         lambda b, n, m: 3 * b * n * m, lambda n, m: 4 * n * m, (5, 7), (49152, 128), lambda hand, g, x: hand.softmax(x, (1,))),
    Case("cross entropy", scores, lambda hand, _, g, x, t: hand.cross_entropy(x, t, 1)[0],
         lambda b, n, V: b * n * V, lambda n, V: 4 * n * V, (5, 7), CLASSES),
    Case("cross entropy, gradient", scores, lambda hand, kept, g, x, t: hand.cross_entropy_backward(g, x, t, 1, *kept),
         lambda b, n, V: 2 * b * n * V, lambda n, V: 4 * n * V, (5, 7), CLASSES,
         lambda hand, g, x, t: hand.cross_entropy(x, t, 1)[1:]),
    Case("embedding, gradient", words, lambda hand, _, g, index, table: hand.add_rows(g, index, len(table)),
         lambda b, n, V, m: b * (n + V) * m, lambda n, V, m: n * m, (40, 9, 3), (4096, 30522, 768)),
    Case("AdamW, all parameters", parameters, adam, lambda b, n, m: 4 * 7 * total(n, m), lambda n, m: 14 * total(n, m),
         (9, 50), (200, 550_000), float32=True),
    Case("norm of all gradients", parameters, lambda hand, _, p, *others: hand.norm_all(p), lambda b, n, m: 4 * total(n, m),
         lambda n, m: 2 * total(n, m), (9, 50), (200, 550_000), float32=True),
]  # fmt: skip


def flat(x: Any) -> list[Any]:
    """The arrays in a nest of lists and tuples."""
    return [y for item in x for y in flat(item)] if isinstance(x, list | tuple) else [x]


def mapped(function: Callable[[Any], Any], x: Any) -> Any:
    """The same nest with ``function`` applied to every array."""
    return [mapped(function, item) for item in x] if isinstance(x, list | tuple) else function(x)


def distance(found: Any, expected: Any) -> float:
    """The largest difference of any result, over the largest number in it (or 1)."""
    found, expected = flat(found), flat(expected)
    if len(found) != len(expected) or any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        return math.inf
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        a, b = a.astype(np.float64), b.astype(np.float64)
        if not np.isfinite(a).all():
            return math.inf
        worst = max(worst, float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max()))) if a.size else 0.0)
    return worst
