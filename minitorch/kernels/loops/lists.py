"""Loops over all parameters, or all gradients: Adam, and the norm of everything, on all open threads.

Read before: embedding.py. Read next: cuda/lists.py.
"""

import math
from typing import Any

import numpy as np

from ...devices import Array
from ...threads import spread
from .compiling import Double, Number, Row, loop
from .rows import compact, f4, known


@loop
def _adam(
    p: Row, g: Row, m: Row, v: Row, rest1: Number, beta2: Number, rest2: Number, shrink: Number, rate: Number, root: Number
) -> None:
    """m ← m + (1 - β₁)(g - m),  v ← β₂v + (1 - β₂)g²,  p ← shrink·p - rate·m/(√v + root)"""
    for i in range(len(p)):
        m[i] += rest1 * (g[i] - m[i])
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
        p[i] = shrink * p[i] - rate * (m[i] / (np.sqrt(v[i]) + root))


@loop
def _squares(x: Row) -> Double:
    total = 0.0
    for i in range(len(x)):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


def adam_all(
    ps: list[Array], gs: list[Array], ms: list[Array], vs: list[Array], largest: list[Array] | None,
    ts: list[int] | None, lr: float, betas: Any, eps: float, shrink: float,
) -> Any:  # fmt: skip
    """Every number is read and written once, on all open threads."""
    same = all(p.shape == g.shape == m.shape == v.shape for p, g, m, v in zip(ps, gs, ms, vs, strict=True))
    if largest is not None or not same or not known(*gs, *ms, *vs) or not all(a.flags.carray for a in (*ps, *ms, *vs)):
        return NotImplemented
    flat = [[compact(a).reshape(-1) for a in arrays] for arrays in zip(ps, gs, ms, vs, strict=True)]
    beta1, beta2 = betas

    def update(piece: tuple[int, slice]) -> None:
        i, at = piece
        root = 1.0 if ts is None else math.sqrt(1 - beta2 ** ts[i])
        rate = lr * root / (1 if ts is None else 1 - beta1 ** ts[i])
        _adam(*(a[at] for a in flat[i]), f4(1 - beta1), f4(beta2), f4(1 - beta2), f4(shrink), f4(rate), f4(eps * root))

    spread(update, pieces(ps))
    return None


def adam(p: Array, g: Array, m: Array, v: Array, largest: Array | None, t: int | None, lr: float, betas: Any, eps: float) -> Any:
    """adam_all for one."""
    return adam_all([p], [g], [m], [v], None if largest is None else [largest], None if t is None else [t], lr, betas, eps, 1.0)


def norm_all(arrays: list[Array]) -> Any:
    """The squares are float64: those of float32 overflow at 2·10¹⁹."""
    flat = [compact(a).reshape(-1) for a in arrays]
    return np.asarray(math.sqrt(math.fsum(spread(lambda piece: _squares(flat[piece[0]][piece[1]]), pieces(arrays)))), f4)


def pieces(arrays: list[Array], size: int = 1 << 18) -> list[tuple[int, slice]]:
    """(number of the array, which of its elements), at most ``size`` per piece, whatever the number of threads."""
    return [(i, slice(at, at + size)) for i, a in enumerate(arrays) for at in range(0, a.size, size)]
