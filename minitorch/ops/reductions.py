"""Reductions: many elements become one, along some dimensions or all (``dim=None``).

Each op takes the axes as a tuple; its pullback brings the gradient back to the shape of the input by repeating it (_spread)
and multiplies by the derivative. Sums of float16 are made in float32, sums of integers in int64.
Variance, norms and sorting are in extra_reductions.py. Read before: elementwise.py. Read next: shaping.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import dtypes, graph
from ..devices import Array, array_module
from . import checks
from ._arguments import many_dims, numpy_names, one_dim, raw
from ._autocast import autocast
from ._op import op
from ._promotion import astype
from .elementwise import exp, log, maximum, minimum, where
from .indexing import pick_along
from .shaping import squeeze

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "logsumexp", "max", "mean", "min", "sum",
]  # fmt: skip

Dims = int | Sequence[int] | None


class ValuesIndices(NamedTuple):
    """The result of max, min, sort and topk along a dimension: values[i] is the element at position indices[i]."""

    values: Any
    indices: Any


def _with_ones(shape: Sequence[int], axis: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with size 1 at the reduced axes: a result of this shape broadcasts against the input again."""
    return tuple(1 if i in axis else n for i, n in enumerate(shape))


def _spread(g: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A reduction's gradient, repeated along the axes that were reduced."""
    return array_module(g).broadcast_to(g.reshape(_with_ones(shape, axis)), shape)


def _count(shape: Sequence[int], axis: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axis)


def _sum_dtype(x: Array) -> Any:
    return None if dtypes.is_floating(x.dtype) else np.int64


# ----------------------------------------------------------------------------------------------- sums and means


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


@op(linear=True, half="float32")
def _mean(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Σx / n: every element has derivative 1/n."""
    shape, n = x.shape, _count(x.shape, axis)
    return x.sum(axis=axis, keepdims=keepdims) / n, lambda g: _spread(g / n, shape, axis)


@numpy_names
def mean(input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Σ/n over dim."""
    x = input if dtype is None else astype(input, dtype)
    checks.has_mean(x.dtype)
    return _mean(x, axis=many_dims(dim, x.ndim), keepdims=keepdim)


@op(floats_only=True, half="float32")
def _logsumexp(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """ln Σeˣ, whose derivative is softmax x = eˣ / Σeˣ.  The largest x is subtracted first, so that no eˣ overflows."""
    values = raw(x)
    xp = array_module(values)
    top = values.max(axis=axis, keepdims=True) if values.size else xp.zeros((), values.dtype)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))  # a constant: its gradient cancels
    e = exp(x - top)
    total = _sum(e, axis=axis, keepdims=True)
    ones = total.shape
    y = log(total) + top
    left = tuple(n for i, n in enumerate(ones) if i not in axis)
    return y if keepdims else y.reshape(left), lambda g: g.reshape(ones) * (e / total)


@autocast
@numpy_names
def logsumexp(input: Any, dim: Dims, keepdim: bool = False) -> Any:
    """ln Σ exp(input) over dim, without overflow"""
    x = input if dtypes.is_floating(input.dtype) else astype(input, dtypes.get_default_dtype())
    return _logsumexp(x, axis=many_dims(dim, x.ndim), keepdims=keepdim)


# ----------------------------------------------------------------------------------------------- largest, smallest


@op(half="float32")
def _amax(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """The largest; ties divide the gradient evenly."""
    y = array_module(x).amax(x, axis=axis, keepdims=keepdims)
    return y, lambda g: _to_ties(g, x, y, axis)


@op(half="float32")
def _amin(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """The smallest; ties divide the gradient evenly."""
    y = array_module(x).amin(x, axis=axis, keepdims=keepdims)
    return y, lambda g: _to_ties(g, x, y, axis)


def _to_ties(g: Array, x: Array, y: Array, axis: tuple[int, ...]) -> Any:
    ones = _with_ones(x.shape, axis)
    tie = (x == y.reshape(ones)) | (x != x)  # if there is a NaN the result is NaN
    return where(tie, g.reshape(ones) / _sum(tie, axis=axis, keepdims=True).astype(g.dtype), 0)


@numpy_names
def amax(input: Any, dim: Dims = (), keepdim: bool = False) -> Any:
    """The largest over dim; ties divide the gradient evenly."""
    return _amax(input, axis=checks.nonempty_dims("amax", input, dim), keepdims=keepdim)


@numpy_names
def amin(input: Any, dim: Dims = (), keepdim: bool = False) -> Any:
    """The smallest over dim; ties divide the gradient evenly."""
    return _amin(input, axis=checks.nonempty_dims("amin", input, dim), keepdims=keepdim)


@numpy_names
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """max(x): the largest.  max(x, dim): (values, indices) along dim.  max(x, y): elementwise, as maximum."""
    if other is not None or hasattr(dim, "dtype"):
        return maximum(input, dim if other is None else other)
    if dim is None:
        return _amax(input, axis=checks.nonempty_dims("max", input, None), keepdims=keepdim)
    return _chosen(input, _argument("max", "argmax", input, dim), dim, keepdim)


@numpy_names
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """min(x): the smallest.  min(x, dim): (values, indices) along dim.  min(x, y): elementwise, as minimum."""
    if other is not None or hasattr(dim, "dtype"):
        return minimum(input, dim if other is None else other)
    if dim is None:
        return _amin(input, axis=checks.nonempty_dims("min", input, None), keepdims=keepdim)
    return _chosen(input, _argument("min", "argmin", input, dim), dim, keepdim)


def _chosen(x: Any, indices: Array, dim: int, keepdim: bool) -> ValuesIndices:
    """The elements at indices, which get the gradient."""
    values = pick_along(x, index=indices, axis=one_dim(dim, x.ndim)) if x.ndim else x.reshape(())
    chosen = ValuesIndices(values, graph.Tensor(indices))
    return chosen if keepdim else ValuesIndices(*[squeeze(y, dim) for y in chosen])


def _argument(name: str, function: str, x: Any, dim: int) -> Any:
    """The positions of the largest or smallest along dim, which keeps size 1; NaN is both."""
    axis = checks.nonempty_dims(name, x, one_dim(dim, x.ndim))
    array = raw(x)
    if array.ndim == 0:
        return array_module(array).zeros((), np.int64)
    return getattr(array_module(array), function)(array, axis=axis[0], keepdims=True).astype(np.int64, copy=False)


def _position(name: str, input: Any, dim: int | None, keepdim: bool) -> Any:
    checks.no_bools(name, input, error=RuntimeError)
    if dim is None:
        checks.nonempty_dims(name, input, None)
        i = getattr(array_module(raw(input)), name)(raw(input)).astype(np.int64)
        return graph.Tensor(i.reshape((1,) * input.ndim) if keepdim else i)
    i = graph.Tensor(_argument(name, name, input, dim))
    return i if keepdim else squeeze(i, dim)


@numpy_names
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the largest along dim, or in the flattened tensor: the first NaN, or the first of the largest."""
    return _position("argmax", input, dim, keepdim)


@numpy_names
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the smallest along dim, or in the flattened tensor: the first NaN, or the first of the smallest."""
    return _position("argmin", input, dim, keepdim)


# ------------------------------------------------------------------------------- truth and counting: no gradient


def _truth(name: str, input: Any, dim: Dims, keepdim: bool) -> Any:
    """any or all; unlike sums they take dim=() literally (nothing is reduced), and uint8 stays uint8."""
    x = raw(input)
    axis = () if dim is not None and not isinstance(dim, int) and len(dim) == 0 else many_dims(dim, x.ndim)
    y = getattr(array_module(x), name)(x, axis=axis, keepdims=keepdim)
    return graph.Tensor(y.astype(np.uint8) if x.dtype == np.uint8 else y)


@numpy_names
def any(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Is an element over dim true (not 0)?"""
    return _truth("any", input, dim, keepdim)


@numpy_names
def all(input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """Are all elements over dim true (not 0)?"""
    return _truth("all", input, dim, keepdim)
