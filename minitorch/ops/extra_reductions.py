"""Reductions and scans for completeness: products, running sums, sums without NaN.

Nothing here is needed to understand the engine: look up what you need. Read before: reductions.py.
"""

from __future__ import annotations

import builtins
from typing import Any

from .. import dtypes, graph
from ..devices import Array, array_module
from ._arguments import numpy_names, one_dim, raw, shape_of, sizes_by_name
from ._autocast import autocast
from ._op import op
from ._promotion import astype
from .comparisons import isnan, ne
from .elementwise import where
from .extra_shaping import flip
from .indexing import narrow
from .reductions import Dims, _std, _sum_dtype, _var, _variation, _with_ones, mean, sum
from .shaping import cat, clone

__all__ = [
    "count_nonzero", "cumprod", "cumsum", "nanmean", "nansum", "prod", "std_mean", "sum_to_size", "var_mean",
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
    dtype = dtype or (input.dtype if dtypes.is_floating(input.dtype) else dtypes.int64)
    axis, y, step = one_dim(dim, input.ndim), astype(input, dtype), 1
    n = input.shape[axis] if input.ndim else 1
    while step < n:
        y = cat([narrow(y, axis, 0, step), narrow(y, axis, step, n - step) * narrow(y, axis, 0, n - step)], axis)
        step *= 2
    return clone(input) if y is input else y
