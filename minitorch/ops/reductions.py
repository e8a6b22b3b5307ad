"""Reductions: many elements become one, along some dimensions or all (``dim=None``); and their kin, scans and sorting.

Each op takes the axes as a tuple; its pullback brings the gradient back to the shape of the input by repeating it (_spread)
and multiplies by the derivative. Sums of float16 are made in float32, sums of integers in int64.
Read before: elementwise.py. Read next: shaping.py.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import autograd, dtypes
from ..devices import Array, array_module
from ._arguments import many_dims, numpy_names, one_dim, raw, shape_of, sizes_by_name
from ._autocast import autocast
from ._op import in_floats, op
from ._promotion import astype
from .elementwise import abs, exp, isnan, log, maximum, minimum, ne, sign, where
from .indexing import narrow
from .shaping import cat, clone, flip, squeeze

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "count_nonzero", "cumprod", "cumsum", "logsumexp", "max",
    "mean", "min", "nanmean", "nansum", "norm", "prod", "sort", "std", "std_mean", "sum", "sum_to_size", "topk", "var",
    "var_mean",
]  # fmt: skip

Dims = int | Sequence[int] | None


class ValuesIndices(NamedTuple):
    """What max, min, sort and topk return along a dimension: values[i] is the element at position indices[i]."""

    values: Any
    indices: Any


def _kept(shape: Sequence[int], axis: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with size 1 at the reduced axes: a result under it broadcasts against the input again."""
    return tuple(1 if i in axis else n for i, n in enumerate(shape))


def _spread(g: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A reduction's gradient, repeated along the axes that were reduced."""
    return array_module(g).broadcast_to(g.reshape(_kept(shape, axis)), shape)


def _count(shape: Sequence[int], axis: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axis)


def _sum_dtype(x: Array) -> Any:
    return None if dtypes.is_floating(x.dtype) else np.int64


# ----------------------------------------------------------------------------------------- sums, means, products


@op(linear=True, half="float32")
def _sum(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Σx: every summand has derivative 1."""
    shape = x.shape
    return x.sum(axis=axis, keepdims=keepdims, dtype=_sum_dtype(x)), lambda g: _spread(g, shape, axis)


@autocast
@numpy_names
def sum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Σ over dim; integers and bools sum to int64."""
    x = input if dtype is None else astype(input, dtype)
    y = _sum(x, axis=many_dims(dim, x.ndim), keepdims=keepdim)
    return y if dtype is None else astype(y, dtype)


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
    return astype(autograd.undo_broadcast(astype(input, dtype), shape), dtype)


@op(linear=True, half="float32")
def _mean(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Σx / n: every element has derivative 1/n."""
    shape, n = x.shape, _count(x.shape, axis)
    return x.sum(axis=axis, keepdims=keepdims) / n, lambda g: _spread(g / n, shape, axis)


@numpy_names
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Σ/n over dim."""
    x = input if dtype is None else astype(input, dtype)
    if not dtypes.is_floating(x.dtype):
        raise RuntimeError(f"mean: the mean of {x.dtype} is no {x.dtype}; say in which type: x.mean(dtype=minitorch.float32)")
    return _mean(x, axis=many_dims(dim, x.ndim), keepdims=keepdim)


@op(floats_only=True, half="float32")
def _var(x: Array, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Any:
    """Σ(x - x̄)² / (n - c), whose derivative is 2(x - x̄) / (n - c)."""
    deviation = x - _mean(x, axis=axis, keepdims=True)
    freedom = _count(x.shape, axis) - correction
    y = _sum(deviation * deviation, axis=axis, keepdims=keepdims) / (freedom if freedom > 0 else 0)
    return y, lambda g: g.reshape(_kept(x.shape, axis)) * (2 * deviation / freedom)


@in_floats
def _std(x: Array, **static: Any) -> Any:
    return _root(_var(x, **static))


@op
def _root(v: Array) -> Any:
    """√v, its derivative at 0 taken to be 0: numbers that do not vary have a standard deviation whose subgradient is 0."""
    y = _root(v) if isinstance(v, autograd.Tensor) else array_module(v).sqrt(v)
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


@op(half="float32")
def _prod(x: Array, *, axis: int, keepdims: bool) -> Any:
    """∏x, whose derivative at xᵢ is the product of all others, (∏ before i)·(∏ after i): right where elements are 0, too."""
    if isinstance(x, autograd.Tensor):
        y = _prod(x, axis=axis, keepdims=keepdims)
    else:
        y = x.prod(axis=axis, keepdims=keepdims, dtype=_sum_dtype(x))

    def pullback(g: Array) -> Any:
        others = _before(x, axis) * flip(_before(flip(x, axis), axis), axis)
        return g.reshape(_kept(x.shape, (axis,))) * others

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


@numpy_names
def nansum(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum of what is not NaN."""
    return sum(where(isnan(input), 0, input), dim, keepdim, dtype=dtype)


@numpy_names
def nanmean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean of what is not NaN."""
    x = input if dtype is None else astype(input, dtype)
    if not dtypes.is_floating(input.dtype) or not dtypes.is_floating(x.dtype):
        raise RuntimeError(f"nanmean: works on floats, not on {input.dtype} as {x.dtype}; make the input floating: x.float()")
    return nansum(x, dim, keepdim) / sum(~isnan(x), dim, keepdim)


@op(floats_only=True, half="float32")
def _logsumexp(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """ln Σeˣ, whose derivative is softmax x = eˣ / Σeˣ.  The largest x is taken out first, so that no eˣ overflows."""
    values = raw(x)
    xp = array_module(values)
    top = values.max(axis=axis, keepdims=True) if values.size else xp.zeros((), values.dtype)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))  # a constant: its gradient cancels
    e = exp(x - top)
    total = _sum(e, axis=axis, keepdims=True)
    kept = total.shape
    y = log(total) + top
    left = tuple(n for i, n in enumerate(kept) if i not in axis)
    return y if keepdims else y.reshape(left), lambda g: g.reshape(kept) * (e / total)


@autocast
@numpy_names
def logsumexp(input: Any, dim: Dims, keepdim: bool = False) -> Any:
    """ln Σ exp(input) over dim, without overflow"""
    x = input if dtypes.is_floating(input.dtype) else astype(input, dtypes.get_default_dtype())
    return _logsumexp(x, axis=many_dims(dim, x.ndim), keepdims=keepdim)


# ----------------------------------------------------------------------------------------------- largest, smallest


@op
def _amax(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """The largest; elements that tie for it share the gradient evenly."""
    y = array_module(x).amax(x, axis=axis, keepdims=keepdims)
    return y, lambda g: _to_ties(g, x, y, axis)


@op
def _amin(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """The smallest; elements that tie for it share the gradient evenly."""
    y = array_module(x).amin(x, axis=axis, keepdims=keepdims)
    return y, lambda g: _to_ties(g, x, y, axis)


def _to_ties(g: Array, x: Array, y: Array, axis: tuple[int, ...]) -> Any:
    kept = _kept(x.shape, axis)
    tie = (x == y.reshape(kept)) | (x != x)  # if there is a NaN the result is NaN
    return where(tie, g.reshape(kept) / _sum(tie, axis=axis, keepdims=True).astype(g.dtype), 0)


def _nonempty_dims(name: str, x: Any, dim: Dims) -> tuple[int, ...]:
    """The dims of a reduction that has no value for no elements."""
    axis = many_dims(dim, x.ndim)
    if 0 not in x.shape:
        return axis
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        error = IndexError if name.startswith("arg") else RuntimeError
        raise error(f"{name}: the input of shape {tuple(x.shape)} has no elements; reduce along a dimension that has: dim=...")
    for i in axis:
        if x.shape[i] == 0:
            raise IndexError(f"{name}: dimension {i} of shape {tuple(x.shape)} has no elements to choose from")
    return axis


@numpy_names
def amax(input: Any, dim: Dims = (), keepdim: bool = False) -> Any:
    """The largest over dim; gradients are shared among ties."""
    return _amax(input, axis=_nonempty_dims("amax", input, dim), keepdims=keepdim)


@numpy_names
def amin(input: Any, dim: Dims = (), keepdim: bool = False) -> Any:
    """The smallest over dim; gradients are shared among ties."""
    return _amin(input, axis=_nonempty_dims("amin", input, dim), keepdims=keepdim)


@numpy_names
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """max(x): the largest.  max(x, dim): (values, indices) along dim.  max(x, y): elementwise, as maximum."""
    if other is not None or hasattr(dim, "dtype"):
        return maximum(input, dim if other is None else other)
    if dim is None:
        return _amax(input, axis=_nonempty_dims("max", input, None), keepdims=keepdim)
    return _chosen(input, _argument("max", "argmax", input, dim), dim, keepdim)


@numpy_names
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """min(x): the smallest.  min(x, dim): (values, indices) along dim.  min(x, y): elementwise, as minimum."""
    if other is not None or hasattr(dim, "dtype"):
        return minimum(input, dim if other is None else other)
    if dim is None:
        return _amin(input, axis=_nonempty_dims("min", input, None), keepdims=keepdim)
    return _chosen(input, _argument("min", "argmin", input, dim), dim, keepdim)


def _chosen(x: Any, indices: Array, dim: int, keepdim: bool) -> ValuesIndices:
    """The elements at indices, which get the gradient."""
    values = pick_along(x, index=indices, axis=one_dim(dim, x.ndim)) if x.ndim else x.reshape(())
    chosen = ValuesIndices(values, autograd.Tensor(indices))
    return chosen if keepdim else ValuesIndices(*[squeeze(y, dim) for y in chosen])


@op(linear=True)
def pick_along(x: Array, *, index: Array, axis: int) -> Any:
    """The elements at index along axis, each at most once."""
    size = x.shape[axis]
    return array_module(x).take_along_axis(x, index, axis=axis), lambda g: place_along(g, index=index, axis=axis, size=size)


@op(linear=True)
def place_along(x: Array, *, index: Array, axis: int, size: int) -> Any:
    """The transpose of pick_along: zeros, but for the elements of x at their index."""
    xp = array_module(x)
    y = xp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
    xp.put_along_axis(y, index, x, axis)
    return y, lambda g: pick_along(g, index=index, axis=axis)


def _argument(name: str, function: str, x: Any, dim: int) -> Any:
    """The positions of the largest or smallest along dim, which is kept with size 1; NaN is both."""
    axis = _nonempty_dims(name, x, one_dim(dim, x.ndim))
    array = raw(x)
    if array.ndim == 0:
        return array_module(array).zeros((), np.int64)
    return getattr(array_module(array), function)(array, axis=axis[0], keepdims=True)


def _position(name: str, input: Any, dim: int | None, keepdim: bool) -> Any:
    if input.dtype == bool:
        raise RuntimeError(f"{name}: not defined for bool tensors; make numbers of them first: x.int()")
    if dim is None:
        _nonempty_dims(name, input, None)
        i = getattr(array_module(raw(input)), name)(raw(input))
        return autograd.Tensor(i.reshape((1,) * input.ndim) if keepdim else i)
    i = autograd.Tensor(_argument(name, name, input, dim))
    return i if keepdim else squeeze(i, dim)


@numpy_names
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the largest along dim, or in the flattened tensor; the first of several, the first NaN before all."""
    return _position("argmax", input, dim, keepdim)


@numpy_names
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the smallest along dim, or in the flattened tensor; the first of several, the first NaN before all."""
    return _position("argmin", input, dim, keepdim)


# ------------------------------------------------------------------------------------------------------- norms


@op(floats_only=True, half="float32")
def _norm(x: Array, *, p: float, axis: tuple[int, ...], keepdims: bool) -> Any:
    """‖x‖ₚ = (Σ|x|ᵖ)^(1/p), whose derivative is sign(x)·(|x|/‖x‖)ᵖ⁻¹, for p = 2 x/‖x‖; its subgradient 0 where ‖x‖ = 0."""
    y = _root_of_sum(x, p, axis, keepdims)
    kept = _kept(x.shape, axis)

    def pullback(g: Array) -> Any:
        norm = y.reshape(kept)
        unit = where(norm == 0, 0, x / where(norm == 0, 1, norm))
        if p != 2:
            flat = unit == 0
            unit = where(flat, 0, sign(x) * where(flat, 1, abs(unit)) ** (p - 1))
        return g.reshape(kept) * unit

    return y, pullback


def _root_of_sum(x: Any, p: float, axis: tuple[int, ...], keepdims: bool) -> Any:
    """(Σ|x|ᵖ)^(1/p); of a Tensor by the op itself, whose gradient is right at 0, where that of the root is infinite."""
    if isinstance(x, autograd.Tensor):
        return _norm(x, p=p, axis=axis, keepdims=keepdims)
    if p == 2:
        return array_module(x).sqrt((x * x).sum(axis=axis, keepdims=keepdims))
    return (abs(x) ** p).sum(axis=axis, keepdims=keepdims) ** (1 / p)


@autocast
@numpy_names
def vector_norm(x: Any, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(Σ|x|^ord)^(1/ord) over dim; ord=inf the largest |x|, -inf the smallest, 0 how many are not 0."""
    if not dtypes.is_floating(x.dtype):
        raise RuntimeError(f"vector_norm: needs floats, got {x.dtype}; make the input floating: x.float()")
    if isinstance(ord, str):
        raise TypeError(f"vector_norm: ord must be a number, not {ord!r}")
    if dtype is not None and np.promote_types(x.dtype, dtype) != dtype:
        raise RuntimeError(f"vector_norm: {x.dtype} does not fit into {np.dtype(dtype)}; dtype can only widen it")
    x = x if dtype is None else astype(x, dtype)
    axis = many_dims(dim, x.ndim)
    if (ord < 0 or ord == math.inf) and _count(x.shape, axis) == 0:
        raise RuntimeError(f"vector_norm: the {ord} norm of no elements does not exist; shape {tuple(x.shape)}, dim {dim}")
    if math.isinf(ord):
        return (_amax if ord > 0 else _amin)(abs(x), axis=axis, keepdims=keepdim)
    if ord == 0:
        return astype(_sum(sign(abs(x)), axis=axis, keepdims=keepdim), x.dtype)
    return _sum(abs(x), axis=axis, keepdims=keepdim) if ord == 1 else _norm(x, p=ord, axis=axis, keepdims=keepdim)


@autocast
@numpy_names
def norm(input: Any, p: float | str | None = "fro", dim: Dims = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """vector_norm under its older name: all elements of dim as one vector; p "fro" or None means 2."""
    if isinstance(p, str) and p != "fro":
        raise NotImplementedError(f'norm: p must be a number or "fro", not {p!r}')
    return vector_norm(input, 2 if p is None or isinstance(p, str) else p, dim, keepdim, dtype=dtype)


# ------------------------------------------------------------------------------------------- scans and sorting


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
    dtype = dtype or (input.dtype if dtypes.is_floating(input.dtype) else dtypes.int64)
    axis, y, step = one_dim(dim, input.ndim), astype(input, dtype), 1
    n = input.shape[axis] if input.ndim else 1
    while step < n:
        y = cat([narrow(y, axis, 0, step), narrow(y, axis, step, n - step) * narrow(y, axis, 0, n - step)], axis)
        step *= 2
    return clone(input) if y is input else y


def _order(x: Array, axis: int, descending: bool) -> Any:
    """Positions in order of size; equal elements stay in order, NaN is greater than everything."""
    xp = array_module(x)
    if x.ndim == 0:
        return xp.zeros((), np.int64)
    x = x.astype(np.float32) if x.dtype.name == "bfloat16" else x  # NumPy puts its NaN first, CuPy does not sort it
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    # ascending from the back and read backwards: descending, with equal elements in their first order
    return x.shape[axis] - 1 - xp.flip(xp.argsort(xp.flip(x, axis=axis), axis=axis, kind="stable"), axis=axis)


@numpy_names
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices that sort along dim (always stable)."""
    return autograd.Tensor(_order(raw(input), one_dim(dim, input.ndim), descending))


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
    if input.dtype == bool:
        raise RuntimeError("topk: not defined for bool tensors; make numbers of them first: x.int()")
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: k = {k} is out of range; dimension {axis} of shape {tuple(input.shape)} has {n} elements")
    order = _order(raw(input), axis, descending=largest)
    return _chosen(input, order[(slice(None),) * axis + (slice(k),)] if input.ndim else order, axis, keepdim=True)


# ------------------------------------------------------------------------------- truth and counting: no gradient


def _truth(name: str, input: Any, dim: Dims, keepdim: bool) -> Any:
    """any or all; unlike sums they take dim=() at its word (nothing is reduced), and uint8 stays uint8."""
    x = raw(input)
    axis = () if dim is not None and not isinstance(dim, int) and len(dim) == 0 else many_dims(dim, x.ndim)
    y = getattr(array_module(x), name)(x, axis=axis, keepdims=keepdim)
    return autograd.Tensor(y.astype(np.uint8) if x.dtype == np.uint8 else y)


@numpy_names
def any(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Is an element over dim true (not 0)?"""
    return _truth("any", input, dim, keepdim)


@numpy_names
def all(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Are all elements over dim true (not 0)?"""
    return _truth("all", input, dim, keepdim)


@numpy_names
def count_nonzero(input: Any, dim: Dims = None) -> Any:
    """How many elements over dim are not 0?"""
    return sum(ne(input, 0), dim)
