"""Loops over rows: softmax, GELU with bias, layer norm with residual and dropout, cross entropy, dropout.

First come the parts of loops, then each loop, whose name begins with _, and the kernel that calls it. All loops with common
parts are in this file: compiling.py says why. A loop checks no index; its kernel does.
Read before: compiling.py. Read next: attention.py.
"""

import math
from typing import Any

import numpy as np

from ...devices import Array
from ...dtypes import all_below
from .. import cpu
from ..philox import Key, Stream
from .compiling import Flag, Index, Indices, Mask, Number, Row, Table, Words, inlined, loop

FLOAT32 = np.dtype(np.float32)
f4, i4, u8 = np.float32, np.int32, np.uint64  # a plain number in a loop is a float64 or int64, and so are results with it
ZERO, HALF, ONE, TWO, INF = f4(0), f4(0.5), f4(1), f4(2), f4(math.inf)
P0, P1, P2, P3, P4, P5, P6 = cpu.ERF


@inlined(reorder=False)  # (x - k·high) - k·low is exact in this order
def exp(x: Any) -> Any:
    """eˣ = 2ᵏ eʳ with k = ⌊x/ln 2 + ½⌋, and a polynomial for |r| ≤ ½ ln 2 (Cephes, expf.c). The C library's is no vector code."""
    x = f4(89) if x > f4(89) else x  # e⁸⁹ is inf already; NaN passes
    x = f4(-104) if x < f4(-104) else x
    k = np.floor(x * f4(1.44269504) + HALF)
    r = (x - k * f4(0.693359375)) - k * f4(-2.12194440e-4)
    p = ((f4(1.9875691e-4) * r + f4(1.3981999e-3)) * r + f4(8.3334519e-3)) * r + f4(4.1665796e-2)
    p = ((p * r + f4(1.6666667e-1)) * r + HALF) * r * r + r + ONE
    half = i4(k) >> 1  # 2ᵏ in two factors: neither 2¹²⁸ nor 2⁻¹³⁰ is a float32
    return p * power_of_2(half) * power_of_2(i4(k) - half)


@inlined
def power_of_2(k: Any) -> Any:
    """2ᵏ: in a float's bits the exponent + 127 begins at bit 23."""
    return i4((k + 127) << 23).view(f4)


@inlined
def largest(x: Any, i: Any) -> Any:
    """Of row i. Floats sort like their bits read as integers, negative ones backwards; and integers are compared 16 at a time."""
    bits, top = x.view(i4), i4(-(2**31))
    for c in range(x.shape[1]):
        top = max(top, i4(bits[i, c] ^ ((bits[i, c] >> 31) & 0x7FFFFFFF)))
    return i4(top ^ ((top >> 31) & 0x7FFFFFFF)).view(f4)


@inlined
def draw(words: Any, random: Any, mask: Any, row: Any) -> None:
    """The random halves of words for a row of dropout's mask: Philox4x32-10, as in philox.py. A mask of bools gives 0 and 1."""
    if len(mask):
        for c in range(mask.shape[1]):
            words[c] = mask[row, c]
        return
    pairs, groups, low, half = words.view(np.uint32), len(words) // 8, u8(0xFFFFFFFF), u8(32)
    for g in range(groups):
        counter, k0, k1 = u8(row) * u8(groups) + u8(g) + u8(random[5]), u8(random[0]), u8(random[1])
        c0, c1, c2, c3 = counter & low, counter >> half, u8(random[2]), u8(random[3])
        for _ in range(10):
            first, second = c0 * u8(0xD2511F53), c2 * u8(0xCD9E8D57)
            c0, c1 = (second >> half) ^ c1 ^ k0, second & low
            c2, c3 = (first >> half) ^ c3 ^ k1, first & low
            k0, k1 = (k0 + u8(0x9E3779B9)) & low, (k1 + u8(0xBB67AE85)) & low
        pairs[4 * g], pairs[4 * g + 1], pairs[4 * g + 2], pairs[4 * g + 3] = c0, c1, c2, c3


NO_MASK = np.zeros((0, 0), bool)
NO_DROPOUT = np.zeros(6, np.uint32), NO_MASK, ONE  # every word reaches a threshold of 0


def dropout(keep: Any, keep_prob: float, n: int) -> tuple[Any, Any, Any]:
    """A dropping loop's arguments random, mask, factor: (key, step, threshold, begin), an array of bools if any, 1/keep_prob."""
    if keep is None:
        return NO_DROPOUT
    factor = f4(1 / keep_prob if keep_prob else 0)
    if type(keep) is Key:
        step = 0 if keep.step is None else int(keep.step)
        return np.array((*keep.words, step, keep.threshold, keep.begin), np.uint32), NO_MASK, factor
    return np.array((0, 0, 0, 0, 1, 0), np.uint32), compact(keep).reshape(-1, n), factor


def fits(keep: Any, shape: tuple[int, ...]) -> bool:
    """Is it no mask, or one of this shape?"""
    return keep is None or (keep.shape == shape and (type(keep) is Key or keep.dtype == bool))


def compact(x: Array) -> Array:
    """x itself if its elements lie side by side in memory, as loops require; else a copy."""
    return x if x.flags.carray else x.copy()


def rows(x: Array) -> Array:
    """x as a table, compact."""
    return compact(x).reshape(-1, x.shape[-1] if x.ndim else 1)


def known(*arrays: Any) -> bool:
    """Are all (except None) float32 arrays of NumPy?"""
    for x in arrays:  # noqa: SIM110  a generator takes twice the time
        if x is not None and (type(x) is not np.ndarray or x.dtype != FLOAT32):
            return False
    return True


def numbers(index: Array) -> Array:
    """Indices as loops read them."""
    return compact(index.astype(np.int64, copy=False)).reshape(-1)


# ------------------------------------------------------------------------------------------------------- softmax


@loop
def _softmax(x: Table, scale: Number, mask: Table, which: Indices, empty: Flag, y: Table) -> None:
    """y ← softmax(x·scale + mask): row i has row which[i] of the mask, if there is one. y may be x."""
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[i, c] = x[i, c] * scale + (mask[which[i], c] if len(which) else ZERO)
        peak = largest(y, i)
        if empty and peak == -INF:
            peak = ZERO
        total = ZERO
        for c in range(x.shape[1]):
            y[i, c] = exp(y[i, c] - peak)
            total += y[i, c]
        if empty and total == ZERO:
            total = ONE
        for c in range(x.shape[1]):
            y[i, c] /= total


@loop
def _softmax_backward(g: Table, y: Table, kept: Table, scale: Number, dx: Table) -> None:
    """dx ← (g k - y Σ g k)·scale, k being y after dropout. dx may be g."""
    for i in range(y.shape[0]):
        along = ZERO
        for c in range(y.shape[1]):
            along += g[i, c] * kept[i, c]
        for c in range(y.shape[1]):
            dx[i, c] = (g[i, c] * kept[i, c] - y[i, c] * along) * scale


NO_ROWS, NO_TABLE = np.zeros(0, np.int64), np.zeros((0, 0), f4)


def softmax(x: Array, axis: tuple[int, ...], empty: bool = False) -> Any:
    """softmax over the last axis."""
    if axis != (x.ndim - 1,) or not x.size:
        return NotImplemented
    y = np.empty(x.shape, f4)
    _softmax(rows(x), ONE, NO_TABLE, NO_ROWS, empty, rows(y))
    return y


def softmax_backward(g: Array, y: Array, axis: tuple[int, ...]) -> Any:
    """softmax_backward over the last axis."""
    if axis != (y.ndim - 1,) or not y.size or not known(y) or g.shape != y.shape:
        return NotImplemented
    dx, table = np.empty(y.shape, f4), rows(y)
    _softmax_backward(rows(g), table, table, ONE, rows(dx))
    return dx


# ---------------------------------------------------------------------------------------------------------- GELU


@inlined
def gelu_at(x: Any, tanh: Any) -> Any:
    """xΦ and its slope Φ + xφ.  Φ = ½(1 + tanh u) = 1/(1 + e⁻²ᵘ) with u = xP(x²), cpu.py's; or for tanh √(2/π)(x + .044715x³)."""
    s = x * x
    if tanh:
        cdf = ONE / (ONE + exp(f4(-2 * 0.7978845608) * x * (ONE + f4(0.044715) * s)))
        density = TWO * cdf * (ONE - cdf) * f4(0.7978845608) * (ONE + f4(3 * 0.044715) * s)
    else:
        cdf = ONE / (ONE + exp(f4(-2) * x * ((((((P6 * s + P5) * s + P4) * s + P3) * s + P2) * s + P1) * s + P0)))
        density = f4(0.3989422804) * exp(f4(-0.5) * s)
    return x * cdf, cdf + x * density


@loop
def _gelu(x: Row, tanh: Flag, y: Row, slope: Row) -> None:
    for i in range(len(x)):
        y[i], slope[i] = gelu_at(x[i], tanh)


@loop
def _bias_gelu(x: Table, bias: Row, tanh: Flag, y: Table) -> None:
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[i, c] = gelu_at(x[i, c] + bias[c], tanh)[0]


@loop
def _bias_gelu_backward(g: Table, x: Table, bias: Row, tanh: Flag, dx: Table) -> None:
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            dx[i, c] = g[i, c] * gelu_at(x[i, c] + bias[c], tanh)[1]


def gelu(x: Array) -> Any:
    """Value and slope."""
    return _value_and_slope(x, False)


def gelu_tanh(x: Array) -> Any:
    """Value and slope."""
    return _value_and_slope(x, True)


def _value_and_slope(x: Array, tanh: bool) -> Any:
    y, slope = np.empty(x.shape, f4), np.empty(x.shape, f4)
    _gelu(compact(x).reshape(-1), tanh, y.reshape(-1), slope.reshape(-1))
    return y, slope


def bias_gelu(x: Array, bias: Array, tanh: bool) -> Any:
    """Reads x, writes y.  Saves x and the bias, which exist anyway, and no slope."""
    if not known(bias) or not x.size or x.shape[-1:] != bias.shape:
        return NotImplemented
    table, y = rows(x), np.empty(x.shape, f4)
    _bias_gelu(table, compact(bias), tanh, y.reshape(table.shape))
    return y, (x, bias, tanh)


def bias_gelu_backward(g: Array, saved: Any) -> Any:
    """Computes the slope again: reads two arrays, writes one."""
    if type(saved) is not tuple or g.shape != saved[0].shape:
        return NotImplemented
    x, bias, tanh = saved
    dx = np.empty(x.shape, f4)
    _bias_gelu_backward(rows(g), rows(x), compact(bias), tanh, rows(dx))
    return dx


# ---------------------------------------------------------------------------------------------------- layer norm


@inlined
def moments(x: Any, i: Any, eps: Any) -> Any:
    """Mean and 1/√(variance + eps) of row i."""
    n, total, squares = f4(x.shape[1]), ZERO, ZERO
    for c in range(x.shape[1]):
        total += x[i, c]
    mean = total / n
    for c in range(x.shape[1]):
        squares += (x[i, c] - mean) * (x[i, c] - mean)
    return mean, ONE / np.sqrt(squares / n + eps)


@loop
def _layer_norm(x: Table, weight: Row, bias: Row, eps: Number, y: Table, means: Row, rs: Row) -> None:
    for i in range(x.shape[0]):
        mean, r = moments(x, i, eps)
        for c in range(x.shape[1]):
            y[i, c] = (x[i, c] - mean) * r * weight[c] + bias[c]
        means[i], rs[i] = mean, r


@loop
def _add_norm(
    x: Table, residual: Table, random: Words, mask: Mask, factor: Number, weight: Row, bias: Row, eps: Number,
    y: Table, unit: Table, rs: Row,
) -> None:  # fmt: skip
    """unit ← (z - mean)·r, z = residual + dropout(x);  y ← unit·weight + bias"""
    words, threshold = np.zeros((x.shape[1] + 7) // 8 * 8, np.uint16), random[4]
    for i in range(x.shape[0]):
        if threshold:
            draw(words, random, mask, i)
        for c in range(x.shape[1]):
            unit[i, c] = residual[i, c] + x[i, c] * (factor if words[c] >= threshold else ZERO)
        mean, r = moments(unit, i, eps)
        for c in range(x.shape[1]):
            unit[i, c] = (unit[i, c] - mean) * r
            y[i, c] = unit[i, c] * weight[c] + bias[c]
        rs[i] = r


@loop
def _norm_backward(
    g: Table, x: Table, means: Row, scales: Row, rs: Row, weight: Row, random: Words, mask: Mask, factor: Number,
    dx: Table, dropped: Table, dw: Row, db: Row,
) -> None:  # fmt: skip
    """With x̂ = (x - mean)·scale and h = g w:  dx ← r (h - mean h - x̂ mean(h x̂)),  dropped ← dropout(dx)."""
    n, words, threshold = f4(x.shape[1]), np.zeros((x.shape[1] + 7) // 8 * 8, np.uint16), random[4]
    for i in range(x.shape[0]):
        mean, scale, r, total, along = means[i], scales[i], rs[i], ZERO, ZERO
        for c in range(x.shape[1]):
            unit = (x[i, c] - mean) * scale
            dw[c] += g[i, c] * unit
            db[c] += g[i, c]
            total += g[i, c] * weight[c]
            along += g[i, c] * weight[c] * unit
        total, along = total / n, along / n
        for c in range(x.shape[1]):
            dx[i, c] = r * (g[i, c] * weight[c] - total - (x[i, c] - mean) * scale * along)
        if threshold:
            draw(words, random, mask, i)
            for c in range(x.shape[1]):
                dropped[i, c] = dx[i, c] * (factor if words[c] >= threshold else ZERO)


def layer_norm(x: Array, weight: Array, bias: Array, axis: tuple[int, ...], eps: float) -> Any:
    """Rows of any number of last axes."""
    if not x.size or not known(weight, bias):
        return NotImplemented
    n, few = math.prod(x.shape[axis[0] :]), (*x.shape[: axis[0]], *(1,) * len(axis))
    table, y, mean, r = compact(x).reshape(-1, n), np.empty(x.shape, f4), np.empty(few, f4), np.empty(few, f4)
    out = y.reshape(table.shape), mean.reshape(-1), r.reshape(-1)
    _layer_norm(table, _vector(weight, n, ONE), _vector(bias, n, ZERO), f4(eps), *out)
    return y, mean, r


def layer_norm_backward(g: Array, x: Array, weight: Array, mean: Array, r: Array, axis: tuple[int, ...]) -> Any:
    """Two passes over a row while it is in the cache; dw and db are summed on the way."""
    shape = x.shape[axis[0] :]
    few = math.prod(x.shape[: axis[0]])
    if not x.size or not known(x, weight, mean, r) or g.shape != x.shape or not mean.size == r.size == few:
        return NotImplemented
    rs = compact(r).reshape(-1)
    dx, dw, db = _backward(g, x, compact(mean).reshape(-1), rs, rs, weight, math.prod(shape))
    return dx[0], None if weight is None else dw.reshape(shape), db.reshape(shape)


def add_norm(x: Array, residual: Array, weight: Array, bias: Array, keep: Any, keep_prob: float, eps: float) -> Any:
    """Reads x and residual, writes y and ẑ; neither the sum nor the mask is ever in memory."""
    if x.shape != residual.shape or not x.ndim or not x.size or not known(residual, weight, bias) or not fits(keep, x.shape):
        return NotImplemented
    table, y, unit, r = rows(x), np.empty(x.shape, f4), np.empty(x.shape, f4), np.empty((*x.shape[:-1], 1), f4)
    n, out = x.shape[-1], (y.reshape(table.shape), unit.reshape(table.shape), r.reshape(-1))
    scale, shift, random = _vector(weight, n, ONE), _vector(bias, n, ZERO), dropout(keep, keep_prob, n)
    _add_norm(table, rows(residual), *random, scale, shift, f4(eps), *out)
    return y, unit, r


def add_norm_backward(g: Array, unit: Array, weight: Array, r: Array, keep: Any, keep_prob: float) -> Any:
    """The gradients of x and of the residual in one pass: layer_norm_backward, ẑ having mean 0 and r = 1 itself."""
    fit = g.shape == unit.shape and fits(keep, unit.shape) and r.size == unit[..., :1].size
    if not fit or not unit.size or not known(unit, weight, r):
        return NotImplemented
    mean, one = np.zeros(r.size, f4), np.ones(r.size, f4)
    (dz, dx), dw, db = _backward(g, unit, mean, one, compact(r).reshape(-1), weight, unit.shape[-1], keep, keep_prob)
    return dx, dz, None if weight is None else dw, db


def _backward(
    g: Array, x: Array, mean: Array, scale: Array, r: Array, weight: Any, n: int, keep: Any = None, keep_prob: float = 1.0
) -> Any:
    """(dx, dx after dropout), dw, db"""
    dx, dw, db = np.empty(x.shape, f4), np.zeros(n, f4), np.zeros(n, f4)
    dropped, (gs, xs) = dx if keep is None else np.empty(x.shape, f4), (compact(a).reshape(-1, n) for a in (g, x))
    out = dx.reshape(-1, n), dropped.reshape(-1, n), dw, db
    _norm_backward(gs, xs, mean, scale, r, _vector(weight, n, ONE), *dropout(keep, keep_prob, n), *out)
    return (dx, dropped), dw, db


def _vector(x: Any, n: int, fill: Any) -> Any:
    """A weight or bias; without one, n times ``fill``."""
    return np.full(n, fill, f4) if x is None else compact(x).reshape(n)


# ------------------------------------------------------------------------------------------------- cross entropy


@loop
def _cross_entropy(x: Table, target: Indices, loss: Row, peaks: Row, sums: Row) -> None:
    for i in range(x.shape[0]):
        peak, total = largest(x, i), ZERO
        for c in range(x.shape[1]):
            total += exp(x[i, c] - peak)
        loss[i] = np.log(total) - (x[i, target[i]] - peak)
        peaks[i], sums[i] = peak, total


@loop
def _cross_entropy_backward(g: Row, x: Table, target: Indices, peaks: Row, sums: Row, dx: Table) -> None:
    for i in range(x.shape[0]):
        peak, factor = peaks[i], g[i] / sums[i]
        for c in range(x.shape[1]):
            dx[i, c] = exp(x[i, c] - peak) * factor
        dx[i, target[i]] -= g[i]


def cross_entropy(x: Array, target: Array, axis: int) -> Any:
    """cross_entropy for scores (N, C): a row comes from memory once and is summed while it is in the cache."""
    if x.ndim != 2 or axis != 1 or target.shape != x.shape[:1] or not (target.size and all_below(target, x.shape[1])):
        return NotImplemented
    loss, peak, s = (np.empty(len(x), f4) for _ in range(3))
    _cross_entropy(rows(x), numbers(target), loss, peak, s)
    return loss, peak[:, None], s[:, None]


def cross_entropy_backward(g: Array, x: Array, target: Array, axis: int, peak: Array, s: Array) -> Any:
    """One read, one write."""
    fit = x.ndim == 2 and axis == 1 and g.shape == target.shape == x.shape[:1] and peak.size == s.size == len(x)
    if not fit or not known(x, peak, s) or not all_below(target, x.shape[1]):
        return NotImplemented
    dx, (peaks, sums) = np.empty(x.shape, f4), (compact(a).reshape(-1) for a in (peak, s))
    _cross_entropy_backward(compact(g), rows(x), numbers(target), peaks, sums, dx)
    return dx


# ----------------------------------------------------------------------------------------- dropout and embedding


@loop
def _drop(x: Table, random: Words, mask: Mask, factor: Number, first: Index, y: Table) -> None:
    """y ← dropout(x): row i of x has row first + i of the mask."""
    words, threshold = np.zeros((x.shape[1] + 7) // 8 * 8, np.uint16), random[4]
    for i in range(x.shape[0]):
        draw(words, random, mask, first + i)
        for c in range(x.shape[1]):
            y[i, c] = x[i, c] * (factor if words[c] >= threshold else ZERO)


def drop(x: Array, keep: Any, keep_prob: float) -> Any:
    """drop with a mask that the loop computes: reads x, writes y."""
    if not x.size or not fits(keep, x.shape):
        return NotImplemented
    table, y = rows(x), np.empty(x.shape, f4)
    _drop(table, *dropout(keep, keep_prob, table.shape[1]), 0, y.reshape(table.shape))
    return y


def keep_mask(like: Array, shape: tuple[int, ...], p: float, stream: Stream) -> Any:
    """The key from which loops compute the mask: no memory, no time."""
    return stream.key(tuple(shape), p)
