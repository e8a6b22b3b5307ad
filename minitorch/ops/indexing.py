"""Indexing: ``x[...]`` of every kind, and picking and placing elements by index (gather, scatter, index_select).

Two operations do all of it. ``_getitem`` reads the elements at an index; ``_scatter`` adds values to zeros at an index.
Each is the other's gradient: a value that was read from a place sends its gradient there, and if a place was read twice the
two gradients add.  Read before: shaping.py. Read next: linalg.py.
"""

from __future__ import annotations

import math
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from .. import dtypes, graph
from ..devices import Array, array_module
from . import checks, checks_indexing
from ._arguments import numpy_names, one_dim, raw
from ._op import op
from .shaping import ravel, reshape, reshape_as

__all__ = ["gather", "index_select", "narrow", "nonzero", "select"]

# ------------------------------------------------------------------------------------------- reading and its gradient


@op(linear=True)
def _getitem(x: Array, *, index: tuple[Any, ...]) -> Any:
    """x[index]; the gradient is added at the places that were read."""
    shape = x.shape
    if len(index) and hasattr(index[-1], "shape") and not any(hasattr(i, "shape") for i in index[:-1]):
        y = x.take(index[-1].astype(np.intp, copy=False), axis=len(index) - 1)  # one array alone: faster than x[index]
    else:
        y = x[index]
    return y, lambda g: _scatter(g, index=index, shape=shape)


@op(linear=True)
def _scatter(g: Array, *, index: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` with g added at ``index``: the transpose of ``_getitem``, which is its gradient."""
    if any(hasattr(i, "shape") for i in index):
        y = _add_at(g, index, shape)
    else:
        y = array_module(g).zeros(shape, g.dtype)
        y[index] = g  # numbers and slices name each place once
    return y, lambda gg: _getitem(gg, index=index)


def _add_at(g: Array, index: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """The case of index arrays, which may name a place several times: then the values add.

    The indexed axes move to the front and count as one, so that g is a list of rows, each with its row number.
    """
    xp = array_module(g)
    axes = [d for d, i in enumerate(index) if hasattr(i, "shape")]
    others = [d for d in range(len(shape)) if d not in axes]
    row: Any = 0
    for d in axes:
        row = row * shape[d] + index[d] % max(shape[d], 1)
    adjacent = axes == list(range(axes[0], axes[-1] + 1))  # then the result's new axes replace those axes, else they come first
    start = axes[0] if adjacent else 0
    picked = tuple(range(start, start + row.ndim))
    rows = g.transpose(*picked, *[d for d in range(g.ndim) if d not in picked])
    rest = tuple(shape[d] for d in others)
    n, width = math.prod(shape[d] for d in axes), math.prod(rest)
    y = xp.zeros((n, width) if width != 1 else n, g.dtype)
    _add_rows(y, row.reshape(-1), rows.reshape(row.size, *y.shape[1:]))
    y = y.reshape([shape[d] for d in axes + others])
    return y.transpose(*sorted(range(len(shape)), key=(axes + others).__getitem__))


def _add_rows(y: Array, row: Array, values: Array) -> None:
    """y[row[k]] += values[k] for every k. NumPy's add.at is slow on rows: sorting and summing runs is 2 to 3 times faster."""
    xp = array_module(y)
    if xp is not np and y.dtype == "int64":
        y, values = y.view("uint64"), values.view("uint64")  # CUDA has no atomic addition for int64; the bits are the same
    floats = dtypes.is_floating(y.dtype)
    if y.dtype.itemsize < 4 and (floats or xp is not np):  # a sum of float16 stops at 2048; short integers have no atomics
        total = y.astype("float32" if floats else "int32")
        _add_rows(total, row, values.astype(total.dtype))
        y[...] = total.astype(y.dtype)
        return
    if xp is not np or y.ndim == 1 or values.size < 1000:
        xp.add.at(y, row, values)
        return
    order = row.argsort(kind="stable")
    row = row[order]
    starts = np.flatnonzero(np.diff(row, prepend=-1))  # where a new row number begins
    y[row[starts]] = np.add.reduceat(values[order], starts, axis=0)


# -------------------------------------------------------------------------------------------------- reading an index

_PLAIN = (int, slice, NoneType, EllipsisType)  # items that give a view; bool is left out on purpose, it is a mask


def getitem(input: Any, index: Any) -> Any:
    """``input[index]`` as in PyTorch: numbers, slices, None, ..., masks, index tensors and lists, in any mixture.

    Numbers and slices give a view. Index arrays broadcast together; the axes of their result replace theirs, or come
    first if a slice is between them.
    """
    items = index if type(index) is tuple else (index,)
    if all(type(item) in _PLAIN for item in items):
        return _getitem(input, index=items if ... in items else (*items, ...))  # "..." makes a 0-d result a view, too
    plain, arrays = _two_steps(input, items)
    if any(item is None or item != slice(None) for item in plain):
        input = _getitem(input, index=(*plain, ...))
    return _getitem(input, index=arrays) if arrays else input


def assign(array: Array, index: Any, value: Any) -> None:
    """``array[index] = value`` in place, on raw arrays, by the rules of getitem."""
    plain, arrays = _two_steps(array, index if type(index) is tuple else (index,))
    place = array[(*plain, ...)]
    try:
        place[arrays or ...] = value
    except ValueError:
        raise checks_indexing.cannot_assign(value, tuple(place[arrays or ...].shape)) from None


def _two_steps(x: Any, items: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """An index as two: numbers and slices, which give a view, then the arrays, at their dimensions of that view.

    PyTorch applies numbers before arrays, where NumPy would broadcast them together: x[0, :, [1, 2]] differs.
    Of x with shape (2, 3, 4) it is x[0, :, :], a view of shape (3, 4), and of that view [:, [1, 2]], of shape (3, 2):

        item      dimension of x    plain    dimension of the view    arrays
        0         0                 0        none, a number drops it
        :         1                 :        0
        [1, 2]    2                 :        1                        {1: [1, 2]}

    The result is ((0, :, :), (:, [1, 2])). A mask counts as one index array per dimension that it covers.
    """
    items = tuple(_read(item, x) for item in items)
    missing = x.ndim - sum(_dims_named(item) for item in items)
    checks_indexing.not_too_many(missing, x.ndim)
    plain: list[Any] = []
    arrays: dict[int, Array] = {}  # dimension of the view -> index array
    dim = view_dim = 0  # our position in x, and in the view
    for item in items:
        several = [slice(None)] * missing if item is ... else _as_integers(item, x, dim) if _is_mask(item) else [item]
        dim += missing if item is ... else _dims_named(item)
        for part in several:
            if hasattr(part, "shape"):
                arrays[view_dim] = part
                if not _is_mask(item) and not isinstance(part, np.ndarray):  # NumPy checks the range itself, CuPy does not
                    checks_indexing.in_range("x[index]", part, dim - 1, x.shape[dim - 1], IndexError, low=-x.shape[dim - 1])
                part = None if _dims_named(item) == 0 else slice(None)
            plain.append(part)
            view_dim += not isinstance(part, int)
    return tuple(plain), tuple(arrays.get(d, slice(None)) for d in range(max(arrays, default=-1) + 1))


def _read(item: Any, x: Any) -> Any:
    """One item of an index as a number, a slice, None, ..., or an array of integers or bools."""
    if isinstance(item, slice | NoneType | EllipsisType) or type(item) is int:
        return item
    if isinstance(item, int | np.integer) and not isinstance(item, bool):
        return int(item)
    here = array_module(raw(x))
    if hasattr(item, "shape") and not isinstance(item, np.ndarray | np.generic):
        item = raw(item)
        checks_indexing.index_is_here(item, raw(x))
    elif isinstance(item, list | tuple | bool | np.ndarray | np.generic):
        item = np.asarray(item)
        item = here.asarray(item if item.size or item.dtype.kind != "f" else item.astype(np.int64))
    if getattr(item, "ndim", 1) == 0 and item.dtype.kind == "i":
        return int(item)
    checks_indexing.is_index(item)
    if item.dtype == np.uint8:  # PyTorch's former masks
        item = item != 0
    return item


def _is_mask(item: Any) -> bool:
    return hasattr(item, "dtype") and item.dtype == bool


def _dims_named(item: Any) -> int:
    """How many dimensions of x an item of an index covers."""
    return 0 if item is None or item is ... else int(item.ndim) if _is_mask(item) else 1


def _as_integers(mask: Array, x: Any, dim: int) -> list[Array]:
    """The places where a mask over dimensions dim, dim + 1, ... is True, one index array per dimension.

    A 0-d mask adds a dimension of size 1, and takes all of it or nothing.
    """
    if mask.ndim == 0:
        return [array_module(mask).arange(int(mask))]
    checks_indexing.mask_fits(mask, tuple(x.shape[dim : dim + mask.ndim]))
    return list(mask.nonzero())


# ----------------------------------------------------------------------------------------------- slices by function


@numpy_names
def select(input: Any, dim: int, index: int) -> Any:
    """Slice number ``index`` along ``dim``, without that dimension; a view."""
    checks.has_dimension("select", input, "select from", IndexError)
    d = one_dim(dim, input.ndim)
    checks_indexing.slice_exists(input, index, d)
    return _getitem(input, index=(slice(None),) * d + (int(index), ...))


@numpy_names
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """``length`` elements from ``start`` on along ``dim``; a view."""
    checks_indexing.some_length(input, length)
    d = one_dim(dim, input.ndim)
    start = checks_indexing.range_within(int(start), length, d, input.shape[d])
    return _getitem(input, index=(slice(None),) * d + (slice(start, start + length),))


@numpy_names
def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices that the 1-d ``index`` names along ``dim``."""
    i = checks_indexing.index_array("index_select", index, input)
    checks_indexing.is_vector(i)
    d = one_dim(dim, input.ndim)
    checks_indexing.one_element(input, i)
    x = input if input.ndim else reshape(input, 1)
    checks_indexing.in_range("index_select", i, d, x.shape[d], IndexError)
    y = _getitem(x, index=(slice(None),) * d + (i.reshape(-1),))
    return y if input.ndim else reshape_as(y, input)


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Where the elements are not zero: one row of indices each, or a tuple with one index tensor per dimension."""
    x = raw(input)
    places = [i.astype(np.int64) for i in x.reshape(x.shape or 1).nonzero()]
    if as_tuple:
        return tuple(map(graph.Tensor, places))
    return graph.Tensor(array_module(x).stack(places, axis=1)[:, : x.ndim])


# ------------------------------------------------------------------------------------------------- along a dimension


def _grid(name: str, input: Any, dim: int, index: Array) -> tuple[Array, ...]:
    """The places (i₀, ..., index[i₀, i₁, ...], ...): the index's value in dimension ``dim``, its position in the others."""
    checks_indexing.index_along(name, index, input, dim)
    arange = array_module(index).arange
    shapes = [[k if e == d else 1 for e in range(index.ndim)] for d, k in enumerate(index.shape)]
    return tuple(index if d == dim else arange(k).reshape(shapes[d]) for d, k in enumerate(index.shape))


@numpy_names
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """y[i][j][k] = x[i][index[i][j][k]][k] for dim = 1, and so for every dim; y has the shape of index.

    index has as many dimensions as the input and, except in ``dim``, no larger sizes. Places read twice add their gradients.
    """
    i = checks_indexing.index_array("gather", index, input)
    d = one_dim(dim, input.ndim)
    if i.size == 0:
        return _getitem(ravel(input), index=(i,))
    x = input if input.ndim else reshape(input, 1)
    j = i if i.ndim else i.reshape(1)
    return reshape(_getitem(x, index=_grid("gather", x, d, j)), i.shape)


@op(linear=True)
def pick_along(x: Array, *, index: Array, axis: int) -> Any:
    """The elements at index along axis, each at most once."""
    size = x.shape[axis]
    return array_module(x).take_along_axis(x, index, axis=axis), lambda g: place_along(g, index=index, axis=axis, size=size)


@op(linear=True)
def place_along(x: Array, *, index: Array, axis: int, size: int) -> Any:
    """The transpose of pick_along: zeros, with the elements of x at their index."""
    xp = array_module(x)
    y = xp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
    xp.put_along_axis(y, index, x, axis)
    return y, lambda g: pick_along(g, index=index, axis=axis)
