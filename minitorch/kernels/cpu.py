"""Fast NumPy for float32: matrix products, and what gains most where numba is missing (with it, loops/ has the rest).

The results are the definitions', computed in blocks that stay in the CPU's cache, in place. Softmax, layer norm, cross entropy,
attention and the sum for a bias had a form here, too; whole steps of BERT were as fast by their definitions.
Times: result and gradient of 1M elements, one core of a Zen 5 EPYC, NumPy 2.4; `python -m benchmarks.kernels` measures them.
For arrays that a kernel does not support (other dtypes, axes, empty arrays) it returns NotImplemented, and dispatch.py runs
the definition, which is in ops/ under the same name.
Read before: dispatch.py, ops/activations.py. Read next: loops/__init__.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..blas import packs_small
from ..devices import Array
from ..threads import spread
from . import updates

BLOCK = 1 << 16  # elements: four such blocks of float32 fill 1 MiB of second-level cache

# erf(x/√2) = tanh(x·P(x²)): the coefficients of P, fitted to an absolute error of 1.7e-7.
ERF = np.array(
    [0.797884941, 0.0363330844, -3.2594735e-05, -5.53063214e-05, 3.96477411e-06, -1.32266365e-07, 1.75628011e-09], np.float32
)


def gelu(x: Any) -> tuple[Any, Any]:
    """2.0 ms instead of 17: a polynomial inside tanh (which NumPy vectorises) replaces erf."""

    def block(x: Any, y: Any, slope: Any, s: Any, t: Any) -> None:
        np.multiply(x, x, out=s)
        np.multiply(s, ERF[6], out=t)
        for c in ERF[5:0:-1]:
            t += c
            t *= s
        t += ERF[0]
        t *= x
        np.tanh(t, out=t)  # erf(x/√2)
        t += 1
        t *= np.float32(0.5)  # Φ(x)
        np.multiply(x, t, out=y)
        s *= np.float32(-0.5)
        np.exp(s, out=s)
        s *= np.float32(1 / math.sqrt(2 * math.pi))  # φ(x)
        s *= x
        np.add(s, t, out=slope)

    return _in_blocks(block, x)


def _in_blocks(block: Callable[..., None], x: Any) -> tuple[Any, Any]:
    """Run an elementwise ``block(x, y, slope, scratch, scratch)`` over slices of BLOCK elements."""
    flat = x.reshape(-1)
    y, slope = np.empty(flat.shape, flat.dtype), np.empty(flat.shape, flat.dtype)
    s, t = np.empty((2, min(BLOCK, flat.size)), flat.dtype)
    for i in range(0, flat.size, BLOCK):
        part = flat[i : i + BLOCK]
        n = len(part)
        block(part, y[i : i + BLOCK], slope[i : i + BLOCK], s[:n], t[:n])
    return y.reshape(x.shape), slope.reshape(x.shape)


# ------------------------------------------------------------------------------------------------------- linear


def linear(x: Array, weight: Array, bias: Array) -> Any:
    """The bias is added in place: as fast, with one array less.

    Few rows (a sentence) run 1.5 times faster with W first, because packing W is then most of the work. OpenBLAS's AVX-512
    kernels pack nothing for up to 1,200 results and 10⁶ multiplications: 16 rows of W at a time are 1.4 times faster again.
    """
    k = x.shape[-1]
    rows = x.reshape(math.prod(x.shape[:-1]), k)
    few = 1 < len(rows) <= 48
    if few and len(rows) <= 32 and len(rows) * k <= 60000 and len(weight) % 16 == 0 and not packs_small():
        y = (weight.reshape(len(weight) // 16, 16, k) @ rows.T).reshape(len(weight), len(rows)).T
    else:
        y = (weight @ rows.T).T if few else rows @ weight.T
    if few and bias is not None:
        y = np.add(y, bias, order="C")
    elif bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], len(weight))


# ----------------------------------------------------------------------------------------------------- embedding


def add_rows(g: Array, index: Array, count: int) -> Any:
    """add_rows for a list of rows: 0.24 ms instead of 1.9 for 2048 rows of 128 (words of a text, 4096 rows).

    Rows are sorted by number. A product with ones sums the rows of a frequent word; those of all rare words are summed
    together: the first row of each, then the second of each that has one, and so on.
    """
    if not index.size or g.ndim == index.ndim or (index < 0).any():
        return NotImplemented
    values = g.reshape(index.size, -1)
    total = np.zeros((count, values.shape[1]), np.float32)
    numbers = index.reshape(-1).astype(np.uint16 if count <= 65536 else index.dtype)
    order = numbers.argsort(kind="stable")  # a counting sort for 16 bits
    numbers = numbers[order]
    starts = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    often = np.diff(starts, append=len(order))
    many = often > 8
    for i, n in zip(starts[many].tolist(), often[many].tolist(), strict=True):
        total[numbers[i]] = np.ones(n, np.float32) @ values[order[i : i + n]]
    starts, often = starts[~many], often[~many]
    for nth in range(8):
        starts, often = starts[often > nth], often[often > nth]
        total[numbers[starts]] += values[order[starts + nth]]
    return total.reshape(count, *g.shape[index.ndim :])


# --------------------------------------------------------------------------------------------------------- Adam


def adam_all(
    ps: list[Array], gs: list[Array], ms: list[Array], vs: list[Array], largest: list[Array] | None,
    ts: list[int] | None, lr: float, betas: Any, eps: float, shrink: float,
) -> None:  # fmt: skip
    """adam_all in blocks that stay in the cache for 13 passes, divided among the open threads."""

    def update(item: tuple[int, Any]) -> None:
        i, at = item
        t, most = None if ts is None else ts[i], None if largest is None else largest[i][at]
        if shrink != 1:
            ps[i][at] *= np.float32(shrink)
        updates.adam(ps[i][at], gs[i][at], ms[i][at], vs[i][at], most, t, lr, betas, eps)

    spread(update, _pieces(ps, BLOCK // 2))


def scale_all(arrays: list[Array], factor: Array) -> None:
    """scale_all on the open threads; a factor of 1 costs nothing."""

    def scale(item: tuple[int, Any]) -> None:
        arrays[item[0]][item[1]] *= np.float32(factor)

    if factor != 1:
        spread(scale, _pieces(arrays, BLOCK))


def add_all(arrays: list[Array], terms: list[list[Array]]) -> None:
    """add_all on the open threads."""

    def add(item: tuple[int, Any]) -> None:
        i, at = item
        total = arrays[i][at]
        for b in terms[i]:
            total += b[at]

    spread(add, _pieces(arrays, BLOCK))


def _pieces(arrays: list[Array], size: int) -> list[tuple[int, Any]]:
    """(number of the array, which of its rows), about ``size`` numbers per piece."""
    return [(i, at) for i, a in enumerate(arrays) for at in (_blocks(a, size) if a.ndim else [...])]


def _blocks(x: Array, size: int) -> list[slice]:
    n = max(1, size // max(1, math.prod(x.shape[1:])))
    return [slice(i, i + n) for i in range(0, len(x), n)]
