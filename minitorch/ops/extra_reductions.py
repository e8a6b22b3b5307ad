"""Reductions and scans that are there for completeness: products, running sums, sums without NaN, variance,
norms, sorting.

Nothing here is needed to understand the engine: look up what you need. Read before: reductions.py.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import dtypes, graph
from ..devices import Array, array_module
from . import checks
from ._arguments import many_dims, numpy_names, one_dim, raw, shape_of, sizes_by_name
from ._autocast import autocast
from ._op import in_floats, op
from ._promotion import astype
from .comparisons import isnan, ne
from .elementwise import abs, sign, where
from .extra_shaping import flip
from .indexing import narrow
from .reductions import Dims, ValuesIndices, _amax, _amin, _chosen, _count, _mean, _sum, _sum_dtype, _with_ones, mean, sum
from .shaping import cat, clone

__all__ = [
    "argsort", "count_nonzero", "cumprod", "cumsum", "nanmean", "nansum", "norm", "prod", "sort", "std", "std_mean",
    "sum_to_size", "topk", "var", "var_mean",
]  # fmt: skip

# ----------------------------------------------------------------------------------------------- sums and means


@sizes_by_name("size")
def sum_to_size(input: Any, *size: Any) -> Any:
    """Summed over the dimensions along which a tensor of shape ``size`` would be repeated to the input's."""
    shape, whole = shape_of(size), tuple(input.shape)
    fits = len(shape) <= len(whole) and builtins.all(n in (1, m) for n, m in zip(shape[::-1], whole[::-1], strict=False))
    if not fits:
        raise RuntimeError(f"sum_to_size: size {shape} does not expand to the input's shape {whole}")
    if shape == whole != ():
        return input
    dtype = input.dtype if dtypes.is_floating(input.dtype) else dtypes.int64
    return astype(graph.undo_broadcast(astype(input, dtype), shape), dtype)


@numpy_names
def var_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = 1) -> Any:
    """(var, mean) over dim"""
    v = _variation(_var, input, dim, unbiased, keepdim, correction)
    return v, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def std_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = 1) -> Any:
    """(std, mean) over dim"""
    s = _variation(_std, input, dim, unbiased, keepdim, correction)
    return s, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def nansum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum of the elements that are not NaN."""
    return sum(where(isnan(input), 0, input), dim, keepdim, dtype=dtype)


@numpy_names
def nanmean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean of the elements that are not NaN."""
    x = input if dtype is None else astype(input, dtype)
    if not dtypes.is_floating(input.dtype) or not dtypes.is_floating(x.dtype):
        raise RuntimeError(f"nanmean: works on floats, not on {input.dtype} as {x.dtype}; make the input floating: x.float()")
    return _nanmean(x, dim=dim, keepdim=keepdim)


@in_floats
def _nanmean(x: Any, *, dim: Dims, keepdim: bool) -> Any:
    """The sum and the count, which is no number of half precision: 70,000 would be infinite there."""
    return nansum(x, dim, keepdim) / sum(~isnan(x), dim, keepdim)


@numpy_names
def count_nonzero(input: Any, dim: Dims = None) -> Any:
    """How many elements over dim are not 0?"""
    return sum(ne(input, 0), dim)


# ----------------------------------------------------------------------------------------------------- products


@op(half="float32")
def _prod(x: Array, *, axis: int, keepdims: bool) -> Any:
    """∏x, whose derivative at xᵢ is the product of all others, (∏ before i)·(∏ after i): right where elements are 0, too."""
    if isinstance(x, graph.Tensor):
        y = _prod(x, axis=axis, keepdims=keepdims)
    else:
        y = x.prod(axis=axis, keepdims=keepdims, dtype=_sum_dtype(x))

    def pullback(g: Array) -> Any:
        others = _before(x, axis) * flip(_before(flip(x, axis), axis), axis)
        others = others * x**0 if isinstance(x, graph.Tensor) else others  # where it is constant: 0 is its derivative
        return g.reshape(_with_ones(x.shape, (axis,))) * others

    return y, pullback


def _before(x: Array, axis: int) -> Any:
    """The product of the elements that come before each one."""
    n = x.shape[axis]
    one = array_module(raw(x)).ones_like(raw(narrow(x, axis, 0, 1 if n else 0)))
    return cat([one, cumprod(narrow(x, axis, 0, n - 1), axis)], axis) if n > 1 else one


@autocast
@numpy_names
def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """∏ over dim; integers and bools multiply in int64."""
    x = input if dtype is None else astype(input, dtype)
    if dim is None:
        y = _prod(x.reshape(-1), axis=0, keepdims=False)
    else:
        axis = one_dim(dim, x.ndim)
        y = _prod(x if x.ndim else x.reshape(1), axis=axis, keepdims=keepdim and x.ndim > 0)
    return y if dtype is None else astype(y, dtype)


# -------------------------------------------------------------------------------------------------------- scans


@op(linear=True, half="float32")
def _cumsum(x: Array, *, axis: int) -> Any:
    """yᵢ = x₁ + ... + xᵢ: xᵢ is in yᵢ and all after it, so its gradient is the sum from the other end."""
    y = array_module(x).cumsum(x.reshape(x.shape or (1,)), axis=axis, dtype=_sum_dtype(x)).reshape(x.shape)
    return y, lambda g: flip(_cumsum(flip(g, axis), axis=axis), axis)


@autocast
@numpy_names
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The sums of the first 1, 2, ... elements along dim."""
    x = input if dtype is None else astype(input, dtype)
    y = _cumsum(x, axis=one_dim(dim, x.ndim))
    return y if dtype is None else astype(y, dtype)


@autocast
@numpy_names
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """The products of the first 1, 2, ... elements along dim.

    After step k each element is the product of the 2ᵏ elements up to it (Hillis and Steele, 1986): only multiplications, so
    every gradient is right where elements are 0.
    """
    y = astype(input, dtype or (input.dtype if dtypes.is_floating(input.dtype) else dtypes.int64))
    product = _cumprod(y, axis=one_dim(dim, input.ndim))
    return clone(input) if product is input else product


@in_floats(floats_only=False)
def _cumprod(y: Any, *, axis: int) -> Any:
    n, step = y.shape[axis] if y.ndim else 1, 1
    while step < n:
        y = cat([narrow(y, axis, 0, step), narrow(y, axis, step, n - step) * narrow(y, axis, 0, n - step)], axis)
        step *= 2
    return y


# ------------------------------------------------------------------------------------------------------- variance


@op(floats_only=True, half="float32")
def _var(x: Array, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Any:
    """Σ(x - x̄)² / (n - c), whose derivative is 2(x - x̄) / (n - c)."""
    deviation = x - _mean(x, axis=axis, keepdims=True)
    freedom = _count(x.shape, axis) - correction
    y = _sum(deviation * deviation, axis=axis, keepdims=keepdims) / (freedom if freedom > 0 else 0)
    return y, lambda g: g.reshape(_with_ones(x.shape, axis)) * (2 * deviation / freedom)


@in_floats
def _std(x: Any, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Any:
    """√var of x/s, times s: the squares of large numbers overflow, those of small ones vanish. s counts as a constant."""
    s = _magnitude(raw(x), axis)
    root = _root(_var(x / s, axis=axis, keepdims=True, correction=correction)) * s
    return root if keepdims else root.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axis))


def _magnitude(x: Array, axis: tuple[int, ...]) -> Any:
    """The power of two below the largest |x| along the axes, which divides x without rounding; 1 where that is 0 or infinite."""
    xp = array_module(x)
    if 0 in x.shape:
        return xp.ones((), x.dtype)
    top = xp.amax(xp.abs(x), axis=axis, keepdims=True)
    power = xp.ldexp(xp.ones_like(top), xp.frexp(top)[1] - 1)
    return xp.where(xp.isfinite(top) & (top > 0), power, xp.ones_like(top))


@op
def _root(v: Array) -> Any:
    """√v, its derivative at 0 taken to be 0: numbers that do not vary have a standard deviation whose subgradient is 0."""
    y = _root(v) if isinstance(v, graph.Tensor) else array_module(v).sqrt(v)
    return y, lambda g: where(y == 0, 0, g / (2 * where(y == 0, 1, y)))


def _variation(statistic: Any, input: Any, dim: Any, unbiased: bool | None, keepdim: bool, correction: float | None) -> Any:
    """var or std with their older signatures too: var(unbiased) and var(dim, unbiased, keepdim)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    axis = many_dims(dim, input.ndim)
    return statistic(input, axis=axis, keepdims=keepdim, correction=1 if correction is None else correction)


@numpy_names
def var(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = 1) -> Any:
    """The variance Σ(x - x̄)² / (n - correction) over dim; unbiased=False is correction=0."""
    return _variation(_var, input, dim, unbiased, keepdim, correction)


@numpy_names
def std(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = 1) -> Any:
    """The standard deviation √var over dim."""
    return _variation(_std, input, dim, unbiased, keepdim, correction)


# ---------------------------------------------------------------------------------------------------------- norms


@op(floats_only=True, half="float32")
def _norm(x: Array, *, p: float, axis: tuple[int, ...], keepdims: bool) -> Any:
    """‖x‖ₚ = (Σ|x|ᵖ)^(1/p), whose derivative is sign(x)·(|x|/‖x‖)ᵖ⁻¹, for p = 2 x/‖x‖; its subgradient 0 where ‖x‖ = 0."""
    y = _root_of_sum(x, p, axis, keepdims)
    ones = _with_ones(x.shape, axis)

    def pullback(g: Array) -> Any:
        norm = y.reshape(ones)
        unit = where(norm == 0, 0, x / where(norm == 0, 1, norm))
        if p != 2:
            flat = unit == 0
            unit = where(flat, 0, sign(x) * where(flat, 1, abs(unit)) ** (p - 1))
        return g.reshape(ones) * unit

    return y, pullback


def _root_of_sum(x: Any, p: float, axis: tuple[int, ...], keepdims: bool) -> Any:
    """(Σ|x|ᵖ)^(1/p) = s (Σ|x/s|ᵖ)^(1/p), where s keeps the powers from overflowing and from vanishing.

    Of a Tensor by the op itself, whose gradient is right at 0, where that of the root is infinite.
    """
    if isinstance(x, graph.Tensor):
        return _norm(x, p=p, axis=axis, keepdims=keepdims)
    if p == 2:
        s = _magnitude(x, axis)
        y = array_module(x).sqrt(((x / s) ** 2).sum(axis=axis, keepdims=True)) * s
    else:
        s = _extreme(abs(x), p, axis)
        y = ((abs(x) / s) ** p).sum(axis=axis, keepdims=True) ** (1 / p) * s
    return y if keepdims else y.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axis))


def _extreme(size: Array, p: float, axis: tuple[int, ...]) -> Any:
    """The number that decides ‖x‖ₚ: the largest, for p < 0 the smallest; 1 where it is 0 or infinite."""
    xp = array_module(size)
    if 0 in size.shape:
        return xp.ones((), size.dtype)
    s = (xp.amax if p > 0 else xp.amin)(size, axis=axis, keepdims=True)
    return xp.where(xp.isfinite(s) & (s > 0), s, xp.ones_like(s))


@autocast
@numpy_names
def vector_norm(x: Any, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(Σ|x|^ord)^(1/ord) over dim; ord=inf the largest |x|, -inf the smallest, 0 how many are not 0."""
    checks.norm_is_defined(x, ord, dtype)
    x = x if dtype is None else astype(x, dtype)
    axis = many_dims(dim, x.ndim)
    checks.norm_of_something(x, ord, dim, _count(x.shape, axis))
    if math.isinf(ord):
        return (_amax if ord > 0 else _amin)(abs(x), axis=axis, keepdims=keepdim)
    if ord == 0:
        return astype(_sum(sign(abs(x)), axis=axis, keepdims=keepdim), x.dtype)
    return _sum(abs(x), axis=axis, keepdims=keepdim) if ord == 1 else _norm(x, p=ord, axis=axis, keepdims=keepdim)


@autocast
@numpy_names
def norm(input: Any, p: float | str | None = "fro", dim: Dims = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """vector_norm under its older name: all elements of dim as one vector; p "fro" or None means 2."""
    checks.order_of_norm(p)
    return vector_norm(input, 2 if p is None or isinstance(p, str) else p, dim, keepdim, dtype=dtype)


# -------------------------------------------------------------------------------------------------------- sorting


def _order(x: Array, axis: int, descending: bool) -> Any:
    """Positions in order of size; equal elements stay in order, NaN is greater than everything."""
    xp = array_module(x)
    if x.ndim == 0:
        return xp.zeros((), np.int64)
    x = x.astype(np.float32) if x.dtype.name == "bfloat16" else x  # NumPy puts its NaN first, CuPy does not sort it
    order = xp.argsort(xp.flip(x, axis=axis) if descending else x, axis=axis, kind="stable").astype(np.int64, copy=False)
    # ascending from the back and read backwards: descending, with equal elements in their first order
    return x.shape[axis] - 1 - xp.flip(order, axis=axis) if descending else order


@numpy_names
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices that sort along dim (always stable)."""
    return graph.Tensor(_order(raw(input), one_dim(dim, input.ndim), descending))


@numpy_names
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesIndices:
    """(values, indices) in order along dim (always stable); NaN counts as greatest."""
    axis = one_dim(dim, input.ndim)
    return _chosen(input, _order(raw(input), axis, descending), axis, keepdim=True)


@numpy_names
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """(values, indices) of the k largest (or smallest) along dim, in order."""
    axis = one_dim(dim, input.ndim)
    n = input.shape[axis] if input.ndim else 1
    checks.no_bools("topk", input, error=RuntimeError)
    checks.enough_to_choose(input, k, axis, n)
    order = _order(raw(input), axis, descending=largest)
    return _chosen(input, order[(slice(None),) * axis + (slice(k),)] if input.ndim else order, axis, keepdim=True)
