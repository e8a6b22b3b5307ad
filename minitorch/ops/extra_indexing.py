"""Indexing functions for completeness: other ways of reading, and writing at an index (scatter).

Nothing here is needed to understand the engine: look up what you need. Read before: indexing.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import graph
from ..devices import Array, array_module, device_of, move
from . import checks_indexing
from ._arguments import numpy_names, one_dim, raw
from ._autocast import autocast
from ._op import op
from .elementwise import add, mul
from .indexing import _getitem, _grid, _scatter, gather, getitem, index_select, nonzero
from .shaping import broadcast_tensors, expand, ravel, reshape, reshape_as

__all__ = ["argwhere", "index_add", "masked_select", "repeat_interleave", "scatter", "scatter_add", "take", "take_along_dim"]

# ------------------------------------------------------------------------------------------------------ reading


@numpy_names
def repeat_interleave(input: Any, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Any:
    """Each slice along ``dim`` (without it: each element) repeated ``repeats`` times, or repeats[i] times."""
    x, d = (ravel(input), 0) if dim is None else (input, one_dim(dim, input.ndim))
    n, xp = x.shape[d] if x.ndim else 1, array_module(raw(x))
    times = np.atleast_1d(move(raw(repeats), "cpu"))
    if times.ndim > 1 or times.size not in (1, n) or (times < 0).any():
        raise RuntimeError(f"repeat_interleave: dimension {d} of size {n} needs one number >= 0, or {n} of them; got {repeats}")
    return index_select(x, d, xp.asarray(np.arange(n, dtype=np.int64).repeat(times.astype(np.intp))))


def take(input: Any, index: Any) -> Any:
    """The elements at the places ``index`` of the flattened input, in the shape of index."""
    i = checks_indexing.index_array("take", index, input, ("int64",))
    flat = ravel(input)
    checks_indexing.in_range("take", i, 0, flat.shape[0], IndexError, low=-flat.shape[0])
    return _getitem(flat, index=(i,))


@numpy_names
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """gather in which the other dimensions broadcast and -1 is the last place; without ``dim`` both are flattened."""
    i = checks_indexing.index_array("take_along_dim", indices, input, ("int64",))
    if dim is None:
        return gather(ravel(input), 0, i.reshape(-1))
    if i.ndim != input.ndim:
        raise RuntimeError(f"take_along_dim: indices have {i.ndim} dimensions, the input {input.ndim}; they must be equal")
    d = one_dim(dim, input.ndim)
    n = input.shape[d] if input.ndim else 1
    checks_indexing.in_range("take_along_dim", i, d, n, RuntimeError, low=-n)
    i = array_module(i).where(i < 0, i + n, i)
    if input.ndim == 0:
        return gather(input, d, i)
    others = [tuple(1 if e == d else n for e, n in enumerate(x.shape)) for x in (input, i)]
    try:
        common = np.broadcast_shapes(*others)
    except ValueError:
        raise RuntimeError(
            f"take_along_dim: shapes {tuple(input.shape)} and {i.shape} must broadcast apart from dimension {d}"
        ) from None
    x, i = (expand(x, *common[:d], x.shape[d], *common[d + 1 :]) for x in (input, i))
    return gather(x, d, i)


def masked_select(input: Any, mask: Any) -> Any:
    """The elements where ``mask`` is True, in one dimension; input and mask broadcast."""
    if raw(mask).dtype != bool:
        raise RuntimeError(f"masked_select: expected a mask of dtype bool, got {raw(mask).dtype}")
    x, mask = broadcast_tensors(input, mask)
    return getitem(x, mask) if x.ndim else getitem(reshape(x, 1), reshape(mask, 1))


def argwhere(input: Any) -> Any:
    """nonzero as rows."""
    return nonzero(input)


# ------------------------------------------------------------------------------------------ writing at an index


def _scatter_arguments(name: str, input: Any, dim: int, index: Any, src: Any) -> tuple[Any, tuple[Array, ...], Any]:
    """The input with at least one dimension, the places to write to, and the part of src that is written."""
    i = checks_indexing.index_array(name, index, input)
    d = one_dim(dim, input.ndim)
    x, i = (a if a.ndim else reshape(a, 1) for a in (input, i))
    if i.size == 0:  # nothing is written, whatever the shapes
        i = i.reshape((0,) * x.ndim)
        src = reshape(getitem(ravel(src), slice(0)), i.shape) if hasattr(src, "shape") else src
    grid = _grid(name, x, d, i)
    if not hasattr(src, "shape"):
        return x, grid, src
    src = src if src.ndim else reshape(src, 1)
    if src.dtype != input.dtype:
        raise RuntimeError(f"{name}: the input is {input.dtype}, src is {src.dtype}; they must be of one dtype")
    if src.ndim != i.ndim or any(k > n for k, n in zip(i.shape, src.shape, strict=True)):
        raise RuntimeError(f"{name}: index of shape {i.shape} must be no larger than src of shape {tuple(src.shape)}")
    return x, grid, getitem(src, tuple(slice(k) for k in i.shape))


@autocast
@numpy_names
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """x[i][index[i][j][k]][k] += src[i][j][k] for dim = 1, on a copy: the reverse of gather. Values for one place add."""
    x, grid, src = _scatter_arguments("scatter_add", input, dim, index, src)
    return reshape_as(add(x, _scatter(src, index=grid, shape=tuple(x.shape))), input)


@op(linear=True)
def _put(x: Array, values: Array, *, index: tuple[Array, ...]) -> Any:
    """x with x[index] = values: the gradient goes to the values where they were written, to x elsewhere."""
    y = x.copy()
    y[index] = values

    def to_values(g: Array) -> Array:
        here = _getitem(g, index=index)
        xp = array_module(*index)
        number = xp.arange(math.prod(here.shape), dtype=np.int64).reshape(here.shape)
        last = xp.zeros(g.shape, np.int64)
        last[index] = number  # if a place is written several times, the last value stays
        return here * (last[index] == number)

    return y, (lambda g: _put(g, 0, index=index), to_values)


@numpy_names
def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """x[i][index[i][j][k]][k] = src[i][j][k] for dim = 1, on a copy; src is a tensor or a number.

    reduce "add" or "multiply" combines src with the input. Without it name each place once, or the last value stays.
    """
    src = value if src is None else src
    x, grid, src = _scatter_arguments("scatter", input, dim, index, src)
    if reduce is None:
        return reshape_as(_put(x, src, index=grid), input)
    src = src if hasattr(src, "shape") else array_module(*grid).full(grid[dim].shape, src, dtype=input.dtype)
    if reduce == "add":
        return reshape_as(add(x, _scatter(src, index=grid, shape=tuple(x.shape))), input)
    if reduce != "multiply":
        raise RuntimeError(f'scatter: reduce must be "add" or "multiply", not {reduce!r}')
    if getattr(src, "requires_grad", False):
        raise RuntimeError('scatter: reduce="multiply" has no gradient for src; pass src.detach()')
    factor = np.ones(x.shape, input.dtype)
    np.multiply.at(factor, tuple(move(i, "cpu") for i in grid), move(raw(src), "cpu"))
    return reshape_as(mul(x, graph.Tensor(move(factor, device_of(raw(input))))), input)


@numpy_names
def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Any:
    """x[..., index[k], ...] += alpha · source[..., k, ...] along ``dim``, on a copy. Values for one place add."""
    i = checks_indexing.index_array("index_add", index, input).reshape(-1)
    d = one_dim(dim, input.ndim)
    expected = (*input.shape[:d], i.size, *input.shape[d + 1 :]) if input.ndim else ()
    if source.dtype != input.dtype or tuple(source.shape) != expected:
        raise RuntimeError(
            f"index_add: source must be of shape {expected} and dtype {input.dtype}, got {tuple(source.shape)} and {source.dtype}"
        )
    if input.ndim == 0 and i.size != 1:
        raise IndexError(f"index_add: a 0-d input has one element to add to, the index names {i.size}")
    x, source = (a if a.ndim else reshape(a, 1) for a in (input, source))
    checks_indexing.in_range("index_add", i, d, x.shape[d], IndexError)
    values = source if alpha == 1 else mul(source, alpha)
    return reshape_as(add(x, _scatter(values, index=(slice(None),) * d + (i,), shape=tuple(x.shape))), input)
