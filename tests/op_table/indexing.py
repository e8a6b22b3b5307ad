"""The entries of ops/indexing.py: x[...] of every kind, and picking and placing by index."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from . import ALL, Call, Op, call
from .strategies import array, integers, one_dim, shapes

KINDS = ("stop", "none", "...", "bool", "slice", "slice", "number", "array", "array", "list", "mask")


@st.composite
def indices(draw: Any) -> Call:
    """x[i, ...]: numbers, slices, None, ..., masks, index tensors and lists in any mixture; places may come twice."""
    x = draw(array(shapes()))
    together = draw(shapes(max_dims=2, min_side=1, max_side=3))  # what the index arrays broadcast to
    parts: list[Any] = []
    dim = 0
    while dim < x.ndim and len(parts) < 6:
        n = x.shape[dim]
        kind = draw(st.sampled_from(KINDS))
        if kind == "stop":
            break
        if kind == "none":
            parts.append(None)
        elif kind == "bool":
            parts.append(draw(st.sampled_from([True, np.array(True), np.array(False)])))
        elif kind == "..." and not any(p is ... for p in parts):
            parts.append(...)
            dim += draw(st.integers(0, x.ndim - dim))
        elif kind == "mask" and x.size:
            over = draw(st.integers(1, x.ndim - dim))
            parts.append(one_hot_mask(x.shape[dim : dim + over], together))
            dim += over
        elif kind in ("slice", "...", "mask"):
            parts.append(slice(draw(bound(n)), draw(bound(n)), draw(st.sampled_from([None, 1, 2]))))
            dim += 1
        else:
            if n == 0:
                parts.append(slice(None))
            elif kind == "number":
                parts.append(draw(st.integers(-n, n - 1)))
            else:
                i = draw(integers(tuple(draw(st.sampled_from([1, k])) for k in together), -n, n))
                parts.append(i.tolist() if kind == "list" and i.ndim else i)
            dim += 1
    if any(p is ... for p in parts):
        parts += [slice(None)] * (x.ndim - dim)  # or the "..." would cover more than was drawn
    alone = len(parts) == 1 and not isinstance(parts[0], list)  # torch warns of a bare list: x[[0, 1]] was x[0, 1] once
    return call(x, parts[0] if alone and draw(st.booleans()) else tuple(parts))


def bound(n: int) -> st.SearchStrategy[int | None]:
    """A slice's start or stop, also out of range."""
    return st.one_of(st.none(), st.integers(-n - 1, n + 1))


def one_hot_mask(shape: tuple[int, ...], together: tuple[int, ...]) -> np.ndarray:
    """A mask that picks as many places as the index arrays beside it have in their last dimension, so that they broadcast."""
    mask = np.zeros(shape, bool)
    mask.reshape(-1)[: together[-1] if together else 1] = True
    if together and mask.sum() != together[-1]:
        mask[...] = np.arange(mask.size).reshape(shape) == 0  # too few places: pick one
    return mask


@st.composite
def along(draw: Any, src: bool = False, unique: bool = False) -> Call:
    """f(x, dim, index[, src]): index no larger than x but along dim; for scatter each place at most once."""
    x = draw(array(shapes(min_side=1)))
    dim = draw(one_dim(x.ndim))
    sizes = [draw(st.integers(0 if draw(st.integers(0, 9)) == 0 else 1, n)) for n in x.shape]
    n = x.shape[dim] if x.ndim else 1
    if x.ndim and not unique:
        sizes[dim] = draw(st.integers(1, 5))
    index = draw(integers(tuple(sizes), 0, n))
    if unique and x.ndim:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        places = np.arange(n).reshape([-1 if d == dim % x.ndim else 1 for d in range(x.ndim)])
        index = rng.permuted(np.broadcast_to(places, x.shape), axis=dim)[tuple(slice(k) for k in sizes)].copy()
    return call(x, dim, index, draw(array(index.shape))) if src else call(x, dim, index)


@st.composite
def selected(draw: Any, source: bool = False) -> Call:
    """f(x, dim, vector of indices[, source])"""
    x = draw(array(shapes(min_dims=1, min_side=1)))
    dim = draw(one_dim(x.ndim))
    index = draw(integers((draw(st.integers(0, 5)),), 0, x.shape[dim]))
    shape = tuple(len(index) if d == dim % x.ndim else n for d, n in enumerate(x.shape))
    return call(x, dim, index, draw(array(shape))) if source else call(x, dim, index)


@st.composite
def repeated(draw: Any) -> Call:
    """repeat_interleave(x, number or vector[, dim])"""
    x = draw(array(shapes(min_dims=1)))
    dim = draw(st.one_of(st.none(), one_dim(x.ndim)))
    n = x.size if dim is None else x.shape[dim]
    return call(x, draw(st.one_of(st.integers(0, 3), integers((n,), 0, 3))), dim=dim)


@st.composite
def taken_along(draw: Any) -> Call:
    """take_along_dim(x, indices[, dim]); the other dimensions broadcast. x is contiguous: torch views it without dim."""
    x = draw(array(shapes(min_dims=1, min_side=1), strided=False))
    if draw(st.booleans()):
        return call(x, draw(integers(shapes(min_side=1), 0, x.size)))
    dim = draw(st.integers(0, x.ndim - 1))
    sizes = [draw(st.integers(1, 4)) if d == dim else draw(st.sampled_from([1, n])) for d, n in enumerate(x.shape)]
    return call(x, draw(integers(tuple(sizes), 0, x.shape[dim])), dim)


@st.composite
def one_slice(draw: Any) -> Call:
    """select(x, dim, index)"""
    x = draw(array(shapes(min_dims=1, min_side=1)))
    dim = draw(one_dim(x.ndim))
    return call(x, dim, draw(st.integers(-x.shape[dim], x.shape[dim] - 1)))


@st.composite
def some_slices(draw: Any) -> Call:
    """narrow(x, dim, start, length)"""
    x = draw(array(shapes(min_dims=1)))
    dim = draw(one_dim(x.ndim))
    n = x.shape[dim]
    start = draw(st.integers(0, n))
    length = draw(st.integers(0, n - start))
    return call(x, dim, start - n if 0 < start < n and draw(st.booleans()) else start, length)


@st.composite
def masked(draw: Any) -> Call:
    """masked_select(x, mask), which broadcast."""
    x = draw(array(shapes()))
    mask = np.random.default_rng(draw(st.integers(0, 99))).random(x.shape) < 0.5
    return call(x, np.asarray(mask[..., :1] if x.ndim and draw(st.booleans()) else mask))


@st.composite
def taken(draw: Any) -> Call:
    """take(x, index)"""
    x = draw(array(shapes(min_side=1)))
    return call(x, draw(integers(shapes(), -x.size, x.size)))


some_zeros = array(shapes()).map(lambda x: call(np.asarray(np.where(x > 0, x, 0))))

OPS = [
    Op("operator.getitem", indices(), dtypes=ALL),
    Op("select", one_slice()),
    Op("narrow", some_slices()),
    Op("index_select", selected(), dtypes=ALL),
    Op("repeat_interleave", repeated(), dtypes=ALL, reference=lambda x, n, dim: np.repeat(x, n, axis=dim)),
    Op("gather", along(), dtypes=ALL),
    Op("take_along_dim", taken_along()),
    Op("take", taken()),
    Op("masked_select", masked()),
    Op("scatter_add", along(src=True), dtypes=("float64", "float32", "int64", "int32")),
    Op("scatter", along(src=True, unique=True), dtypes=ALL),
    Op("index_add", selected(source=True), dtypes=("float64", "float32", "int64", "int32")),
    Op("nonzero", some_zeros, differentiable=False, reference=lambda x: np.argwhere(x)),
    Op("argwhere", some_zeros, differentiable=False),
]
