"""Fast NumPy for float32: the results of the definitions, in blocks that stay in the CPU's cache, in place.

Times: result and gradient of 1M elements, one core of a Zen 5 EPYC, NumPy 2.4; `python -m benchmarks.kernels` measures them.
For arrays that a kernel does not support (other dtypes, axes, empty arrays) it returns NotImplemented, and dispatch.py runs
the definition, which is in ops/ under the same name.
Read before: dispatch.py, ops/activations.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..devices import Array
from ..threads import spread
from . import updates

BLOCK = 1 << 16  # elements: four such blocks of float32 fill 1 MiB of second-level cache

# erf(x/√2) = tanh(x·P(x²)): the coefficients of P, fitted to an absolute error of 1.7e-7.
_ERF = np.array(
    [0.797884941, 0.0363330844, -3.2594735e-05, -5.53063214e-05, 3.96477411e-06, -1.32266365e-07, 1.75628011e-09], np.float32
)


def gelu(x: Any) -> tuple[Any, Any]:
    """2.0 ms instead of 17: a polynomial inside tanh (which NumPy vectorises) replaces erf."""

    def block(x: Any, y: Any, slope: Any, s: Any, t: Any) -> None:
        np.multiply(x, x, out=s)
        np.multiply(s, _ERF[6], out=t)
        for c in _ERF[5:0:-1]:
            t += c
            t *= s
        t += _ERF[0]
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


def gelu_tanh(x: Any) -> tuple[Any, Any]:
    """1.1 ms instead of 6.5, without whole-array temporaries."""
    c = math.sqrt(2 / math.pi)

    def block(x: Any, y: Any, slope: Any, s: Any, t: Any) -> None:
        np.multiply(x, x, out=s)
        np.multiply(s, np.float32(0.044715 * c), out=t)
        t += np.float32(c)
        t *= x
        np.tanh(t, out=t)
        s *= np.float32(3 * 0.044715 * c)
        s += np.float32(c)
        s *= x  # x u'
        np.multiply(t, t, out=slope)
        np.subtract(1, slope, out=slope)
        slope *= s
        t += 1
        slope += t
        slope *= np.float32(0.5)
        t *= x
        np.multiply(t, np.float32(0.5), out=y)

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

    Few rows (a sentence) run 2 times faster: packing W is then most of the work, and OpenBLAS's AVX-512 kernels want it first.
    """
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = np.ascontiguousarray((weight @ rows.T).T) if 1 < len(rows) <= 48 else rows @ weight.T
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], len(weight))


def sum_rows(g: Array) -> Any:
    """The sum over all but the last axis as a product with a row of ones: 3 times faster than np.sum."""
    if g.ndim < 2 or not g.size:
        return g
    rows = g.reshape(-1, g.shape[-1])
    return _ones(len(rows)) @ rows


def _ones(n: int) -> Any:
    return np.ones(n, np.float32)


# ------------------------------------------------------------------------------------------------------ softmax


def softmax(x: Array, axis: tuple[int, ...], empty: bool = False) -> Any:
    """softmax over the last axis: 2.3 ms instead of 3.6 (rows of 128)."""
    if axis != (x.ndim - 1,) or not x.size:
        return NotImplemented
    rows = x.reshape(-1, x.shape[-1])
    y = np.empty(rows.shape, np.float32)
    for at in _blocks(rows):
        _softmax_rows(rows[at], y[at], empty)
    return y.reshape(x.shape)


def softmax_backward(g: Array, y: Array, axis: tuple[int, ...]) -> Any:
    """softmax_backward over the last axis: one array, row sums as dot products."""
    if axis != (y.ndim - 1,) or not y.size or not _all_float32(y):
        return NotImplemented
    gs, ys = g.reshape(-1, y.shape[-1]), y.reshape(-1, y.shape[-1])
    dx = np.empty(ys.shape, np.float32)
    for at in _blocks(dx):
        _softmax_rows_backward(gs[at], ys[at], dx[at])
    return dx.reshape(y.shape)


def _softmax_rows(x: Array, y: Array, empty: bool) -> None:
    """Softmax of the rows of x into y, which may be x."""
    if x.max() < 50 and x.min() > -50:  # no power overflows or vanishes, so nothing need be subtracted
        np.exp(x, out=y)
    else:
        peak = _row_max(x)
        if empty:
            peak[peak == -math.inf] = 0
        np.subtract(x, peak[:, None], out=y)
        np.exp(y, out=y)
    s = y @ _ones(y.shape[1])
    if empty:
        s[s == 0] = 1
    y /= s[:, None]  # not times 1 / s, so that a lone large power gives exactly 1


def _softmax_rows_backward(g: Array, y: Array, dx: Array) -> None:
    """y (g - Σ g y) into dx, which may be g."""
    np.subtract(g, np.vecdot(g, y)[:, None], out=dx)
    dx *= y


def _row_max(x: Array) -> Any:
    """The largest of each row, by halves: for 64 columns 5 times faster than np.max, which restarts at every row."""
    while x.shape[1] > 8:
        half = x.shape[1] // 2
        top = np.maximum(x[:, :half], x[:, half : 2 * half])
        if x.shape[1] % 2:
            np.maximum(top[:, 0], x[:, -1], out=top[:, 0])
        x = top
    peak = x[:, 0].copy()
    for j in range(1, x.shape[1]):
        np.maximum(peak, x[:, j], out=peak)
    return peak


def _blocks(x: Array, size: int | None = None) -> Any:
    """Slices of the first axis that hold about BLOCK (or ``size``) elements each."""
    n = _rows_in(size or BLOCK, x.shape)
    return [slice(i, i + n) for i in range(0, len(x), n)]


def _rows_in(size: int, shape: tuple[int, ...]) -> int:
    """How many entries along the first axis hold about ``size`` elements."""
    return max(1, size // max(1, math.prod(shape[1:])))


def _all_float32(*arrays: Any) -> bool:
    return all(x is None or (type(x) is np.ndarray and x.dtype == np.float32) for x in arrays)


# ---------------------------------------------------------------------------------------------------- attention


def attention(q: Array, k: Array, v: Array, mask: Array, keep: Array, scale: float, keep_prob: float) -> Any:
    """A few sequences at a time, so that their scores stay in the cache for every step.

    With the gradient 17 ms instead of 23 for 32 sequences of 128, 4 heads of 64; and 1 table (L, S) is saved, not 3.

    Heads are views into (B, S, A, d), which BLAS reads and writes: nothing is transposed in memory.
    """
    lead, L, S = q.shape[:-2], q.shape[-2], k.shape[-2]
    table = (*lead, L, S)
    if not _plain(q, k, v, mask) or (mask is not None and np.broadcast_shapes(mask.shape, table) != table):
        return NotImplemented
    weights, y, (dropped,) = np.empty(table, np.float32), _like_heads(q, v.shape[-1]), _scratch(1, table)
    mask = None if mask is None else np.broadcast_to(mask, table)
    for at in _blocks(weights):
        p = np.matmul(q[at] * np.float32(scale), k[at].mT, out=weights[at])
        if mask is not None:
            p += mask[at]
        _softmax_rows(p.reshape(-1, S), p.reshape(-1, S), empty=True)
        np.matmul(p if keep is None else _dropped(p, keep[at], keep_prob, dropped[: len(p)]), v[at], out=y[at])
    return y, weights


def attention_backward(
    g: Array, q: Array, k: Array, v: Array, mask: Array, keep: Array, scale: float, keep_prob: float, y: Array, weights: Array
) -> Any:
    """attention_backward in the same blocks: 3 passes over a table, 5 with dropout."""
    if not _plain(q, k, v, g, y, weights) or weights.shape[:-2] != q.shape[:-2]:
        return NotImplemented
    dq, dk, dv = (_like_heads(x, x.shape[-1]) for x in (q, k, v))
    dropped, table = _scratch(2, weights.shape)
    for at in _blocks(weights):
        p, gs, ds = weights[at], g[at], table[: len(weights[at])]
        kept = p if keep is None else _dropped(p, keep[at], keep_prob, dropped[: len(p)])
        np.matmul(kept.mT, gs, out=dv[at])
        np.matmul(gs, v[at].mT, out=ds)
        along = (np.vecdot(gs, y[at]) if y.shape[-1] < p.shape[-1] else np.vecdot(ds, kept))[..., None]  # over the narrower
        if keep is None:
            ds -= along
            ds *= p
        else:
            ds *= kept
            ds -= np.multiply(p, along, out=kept)
        np.multiply(np.matmul(ds, k[at]), np.float32(scale), out=dq[at])
        np.matmul(ds.mT, q[at] * np.float32(scale), out=dk[at])
    return dq, dk, dv


def _dropped(x: Array, keep: Array, keep_prob: float, out: Array) -> Any:
    """drop into ``out``."""
    np.multiply(keep, np.float32(1 / keep_prob if keep_prob else 0), out=out)
    out *= x
    return out


def _scratch(count: int, shape: tuple[int, ...]) -> Any:
    """``count`` arrays, each as large as one block of an array of ``shape``."""
    return np.empty((count, min(_rows_in(BLOCK, shape), shape[0]), *shape[1:]), np.float32)


def _plain(q: Array, k: Array, v: Array, *others: Array) -> bool:
    """Do all three have the same leading axes and float32 elements, and is none empty?"""
    same = q.ndim > 2 and q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
    return bool(same and _all_float32(q, k, v, *others) and q.size and k.size and v.size)


def _like_heads(x: Array, width: int) -> Any:
    """Memory for (B, A, L, width), laid out as (B, L, A, width): joining the heads then copies nothing."""
    *lead, L, _ = x.shape
    order = (*lead[:-1], L, lead[-1], width)
    return np.empty(order, np.float32).swapaxes(-2, -3)


# --------------------------------------------------------------------------------------------------- layer norm


def layer_norm(x: Array, weight: Array, bias: Array, axis: tuple[int, ...], eps: float) -> Any:
    """layer_norm in blocks of rows: 2.8 ms instead of 4.5 (rows of 256); row sums are products with vectors."""
    if not x.size or not _all_float32(weight, bias):
        return NotImplemented
    n = math.prod(x.shape[axis[0] :])
    rows, w, b = x.reshape(-1, n), *(None if p is None else p.reshape(n) for p in (weight, bias))
    y, (mean, r) = np.empty(rows.shape, np.float32), np.empty((2, len(rows), 1), np.float32)
    for at in _blocks(rows):
        out = y[at]
        np.divide((rows[at] @ _ones(n))[:, None], np.float32(n), out=mean[at])
        np.subtract(rows[at], mean[at], out=out)
        variance = np.vecdot(out, out)[:, None] / np.float32(n)
        np.divide(1, np.sqrt(variance + np.float32(eps)), out=r[at])
        out *= r[at]
        _scale_and_shift(out, w, b, out)
    few = x.shape[: axis[0]] + (1,) * len(axis)
    return y.reshape(x.shape), mean.reshape(few), r.reshape(few)


def layer_norm_backward(g: Array, x: Array, weight: Array, mean: Array, r: Array, axis: tuple[int, ...]) -> Any:
    """The sums over columns (dw, db) and over rows are products with vectors."""
    if not x.size or not _all_float32(x, weight, mean, r):
        return NotImplemented
    n = math.prod(x.shape[axis[0] :])
    w = _ones(n) if weight is None else np.ascontiguousarray(weight).reshape(n)
    gs, rows, dx = g.reshape(-1, n), x.reshape(-1, n), np.empty((x.size // n, n), np.float32)
    mean, r, (dw, db), mean_of = mean.reshape(-1, 1), r.reshape(-1), np.zeros((2, n), np.float32), w / np.float32(n)
    for at in _blocks(rows):
        part, out, s = gs[at], dx[at], r[at]
        centred = rows[at] - mean[at]  # x̂ is this times r (here s), a factor that the products with vectors include
        along = np.multiply(part, centred, out=out)
        dw += s @ along
        db += _ones(len(part)) @ part
        centred *= (along @ mean_of * s * s)[:, None]
        centred += (part @ mean_of)[:, None]
        np.multiply(part, w, out=out)
        out -= centred
        out *= s[:, None]
    shape = x.shape[axis[0] :]
    return dx.reshape(x.shape), None if weight is None else dw.reshape(shape), db.reshape(shape)


def add_norm(x: Array, residual: Array, weight: Array, bias: Array, keep: Array, keep_prob: float, eps: float) -> Any:
    """add_norm in blocks of rows, with one array more than the result."""
    if x.shape != residual.shape or x.ndim < 2 or not x.size or not _all_float32(residual, weight, bias):
        return NotImplemented
    n = x.shape[-1]
    rows, others, mask = x.reshape(-1, n), residual.reshape(-1, n), None if keep is None else keep.reshape(-1, n)
    y, unit, r = np.empty(rows.shape, np.float32), np.empty(rows.shape, np.float32), np.empty((len(rows), 1), np.float32)
    for at in _blocks(rows):
        z = unit[at]
        if mask is None:
            np.add(rows[at], others[at], out=z)
        else:
            _dropped(rows[at], mask[at], keep_prob, out=z)
            z += others[at]
        z -= (z @ _ones(n) / np.float32(n))[:, None]
        variance = np.vecdot(z, z)[:, None] / np.float32(n)
        np.divide(1, np.sqrt(variance + np.float32(eps)), out=r[at])
        z *= r[at]
        _scale_and_shift(z, weight, bias, y[at])
    return y.reshape(x.shape), unit.reshape(x.shape), r.reshape(*x.shape[:-1], 1)


def add_norm_backward(g: Array, unit: Array, weight: Array, r: Array, keep: Array, keep_prob: float) -> Any:
    """add_norm_backward in the same blocks; the sums over rows and columns are products with vectors."""
    if not _all_float32(g, unit, weight) or unit.ndim < 2 or not unit.size:
        return NotImplemented
    n = unit.shape[-1]
    w, mask = _ones(n) if weight is None else weight, None if keep is None else keep.reshape(-1, n)
    gs, units, rs, mean_of = g.reshape(-1, n), unit.reshape(-1, n), r.reshape(-1, 1), w / np.float32(n)
    dz, (dw, db) = np.empty(units.shape, np.float32), np.zeros((2, n), np.float32)
    dx = dz if mask is None else np.empty(units.shape, np.float32)
    for at in _blocks(units):
        part, out = gs[at], dz[at]
        along = part * units[at]
        dw += _ones(len(part)) @ along
        db += _ones(len(part)) @ part
        np.multiply(units[at], (along @ mean_of)[:, None], out=along)
        along += (part @ mean_of)[:, None]
        np.multiply(part, w, out=out)
        out -= along
        out *= rs[at]
        if mask is not None:
            _dropped(out, mask[at], keep_prob, out=dx[at])
    return dx.reshape(unit.shape), dz.reshape(unit.shape), None if weight is None else dw, db


def _scale_and_shift(x: Array, weight: Array, bias: Array, y: Array) -> None:
    """x w + b into y; w or b may be None."""
    np.multiply(x, 1 if weight is None else weight, out=y)
    if bias is not None:
        y += bias


# ------------------------------------------------------------------------------------------------ cross entropy


def cross_entropy(x: Array, target: Array, axis: int) -> Any:
    """cross_entropy for scores (N, C): 1.5 ms instead of 2.4 (rows of 8192), no temporary larger than a block."""
    if x.ndim != 2 or axis != 1 or not x.size:
        return NotImplemented
    peak, s = np.empty((2, len(x), 1), np.float32)
    for at in _blocks(x):
        np.max(x[at], axis=1, keepdims=True, out=peak[at])
        e = x[at] - peak[at]
        np.exp(e, out=e)
        np.matmul(e, _ones(x.shape[1])[:, None], out=s[at])
    return np.log(s[:, 0]) - (x[np.arange(len(x)), target] - peak[:, 0]), peak, s


def cross_entropy_backward(g: Array, x: Array, target: Array, axis: int, peak: Array, s: Array) -> Any:
    """cross_entropy_backward in one array."""
    if not _all_float32(x, peak, s) or x.ndim != 2 or axis != 1 or not x.size:
        return NotImplemented
    dx, factor = np.empty(x.shape, np.float32), g[:, None] / s
    for at in _blocks(x):
        part = np.subtract(x[at], peak[at], out=dx[at])
        np.exp(part, out=part)
        part *= factor[at]
    dx[np.arange(len(x)), target] -= g
    return dx


# ----------------------------------------------------------------------------------------- dropout and embedding


# drop has no fast form: putmask, copyto(where), np.take and blocks were tried, and none is faster than the definition.


def keep_mask(like: Array, shape: tuple[int, ...], p: float, stream: Any) -> Any:
    """keep_mask from 16 random bits per element: 0.5 ms per million instead of 1.6; p is rounded to 1/65536."""
    n = math.prod(shape)
    bits = stream.bit_generator.random_raw(-(-n // 4)).view(np.uint16)[:n]
    return (bits >= round(p * 65536)).reshape(shape) if p < 1 else np.zeros(shape, bool)


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
        total[numbers[i]] = _ones(n) @ values[order[i : i + n]]
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


def norm_all(arrays: list[Array]) -> Any:
    """norm_all by dot products of blocks, on the open threads."""
    squares = spread(lambda item: np.vdot(arrays[item[0]][item[1]], arrays[item[0]][item[1]]), _pieces(arrays, BLOCK))
    return np.asarray(np.sqrt(math.fsum(squares)), np.float32)


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
