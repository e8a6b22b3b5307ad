"""The entries of ops/shaping.py: operations that move elements, compared with torch in every dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from . import ALL, INTEGERS, Call, Op, call
from .strategies import array, broadcastable, one_dim, shapes, some_dims, unary


def factorisations(n: int) -> list[tuple[int, ...]]:
    """Shapes of n elements, from one to three dimensions."""
    pairs = [(a, n // a) for a in range(1, n + 1) if n % a == 0] if n else [(0, 3), (2, 0)]
    return [(n,), *pairs, *[(*pair, 1) for pair in pairs], *([()] if n == 1 else [])]


@st.composite
def reshaped(draw: Any, contiguous: bool = False, varargs: bool = False) -> Call:
    """f(x, shape), sometimes with a -1."""
    x = draw(array(shapes(), strided=not contiguous))
    shape = list(draw(st.sampled_from(factorisations(x.size))))
    if shape and x.size and draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = -1
    return call(x, *shape) if varargs and shape else call(x, tuple(shape))


@st.composite
def expanded(draw: Any) -> Call:
    """f(x, shape that x broadcasts to)."""
    small, large = draw(broadcastable(2))
    target = np.broadcast_shapes(small, large)
    return call(draw(array(small, strided=False)), target)


@st.composite
def one_of_dims(draw: Any, min_dims: int = 0, extra: int = 0, count: int = 1, **choices: Any) -> Call:
    """f(x, dim, ...) with ``count`` dims drawn on their own; ``extra`` more dimensions than x has may be named."""
    x = draw(array(shapes(min_dims=min_dims)))
    dims = [draw(one_dim(x.ndim + extra)) for _ in range(count)]
    return call(x, *dims, **{name: draw(values) for name, values in choices.items()})


@st.composite
def permuted(draw: Any) -> Call:
    """f(x, dims in some order, some counted from the back)."""
    x = draw(array(shapes()))
    order = draw(st.permutations(range(x.ndim)))
    return call(x, tuple(d - x.ndim if draw(st.booleans()) else d for d in order))


@st.composite
def moved(draw: Any) -> Call:
    """f(x, source, destination), as numbers or tuples."""
    x = draw(array(shapes(min_dims=1)))
    if draw(st.booleans()):
        return call(x, draw(one_dim(x.ndim)), draw(one_dim(x.ndim)))
    k = draw(st.integers(1, x.ndim))
    return call(x, *(tuple(draw(st.permutations(range(x.ndim)))[:k]) for _ in range(2)))


@st.composite
def flattened(draw: Any) -> Call:
    """f(x, start_dim, end_dim)"""
    x = draw(array(shapes()))
    first = draw(st.integers(0, max(x.ndim - 1, 0)))
    last = draw(st.integers(first, max(x.ndim - 1, 0)))
    return call(x, first, last - max(x.ndim, 1) if draw(st.booleans()) else last)


@st.composite
def unflattened(draw: Any) -> Call:
    """f(x, dim, sizes whose product is the size of dim)"""
    x = draw(array(shapes(min_dims=1, min_side=1)))
    dim = draw(one_dim(x.ndim))
    sizes = list(draw(st.sampled_from([s for s in factorisations(x.shape[dim]) if s])))
    if draw(st.booleans()):
        sizes[draw(st.integers(0, len(sizes) - 1))] = -1
    return call(x, dim, tuple(sizes))


@st.composite
def repeated(draw: Any, fewer: bool = False) -> Call:
    """f(x, counts): one each and more in front; for tile also fewer."""
    x = draw(array(shapes(max_side=3)))
    low = 0 if fewer else x.ndim
    return call(x, tuple(draw(st.lists(st.integers(0, 3), min_size=low, max_size=max(low, x.ndim + 1)))))


@st.composite
def flipped(draw: Any) -> Call:
    """f(x, dims)"""
    x = draw(array(shapes()))
    dims = draw(some_dims(x.ndim, none=False, min_size=0))
    return call(x, dims if type(dims) is tuple else (dims,))


@st.composite
def rolled(draw: Any) -> Call:
    """f(x, shift), f(x, shifts, dims)"""
    x = draw(array(shapes()))
    if x.ndim == 0 or draw(st.booleans()):
        return call(x, draw(st.integers(-5, 5)))
    dims = tuple(draw(st.lists(one_dim(x.ndim), min_size=1, max_size=3)))
    return call(x, tuple(draw(st.integers(-5, 5)) for _ in dims), dims)


@st.composite
def joined(draw: Any) -> Call:
    """cat([x, y, ...], dim): sizes differ along dim; one tensor may come twice."""
    shape = list(draw(shapes(min_dims=1)))
    dim = draw(one_dim(len(shape)))
    tensors = []
    for _ in range(draw(st.integers(1, 3))):
        shape[dim] = draw(st.integers(0, 3))
        tensors.append(draw(array(tuple(shape))))
    return call([*tensors, tensors[0]] if draw(st.booleans()) else tensors, dim)


@st.composite
def stacked(draw: Any) -> Call:
    """stack([x, y, ...], dim); one tensor may come twice."""
    shape = draw(shapes())
    tensors = [draw(array(shape)) for _ in range(draw(st.integers(1, 3)))]
    return call([*tensors, tensors[0]] if draw(st.booleans()) else tensors, draw(one_dim(len(shape) + 1)))


@st.composite
def split(draw: Any) -> Call:
    """f(x, size, dim), f(x, [sizes], dim)"""
    x = draw(array(shapes(min_dims=1)))
    dim = draw(one_dim(x.ndim))
    if draw(st.booleans()):
        return call(x, draw(st.integers(1, 5)), dim)
    cuts = sorted(draw(st.lists(st.integers(0, x.shape[dim]), max_size=3)))
    return call(x, [b - a for a, b in zip([0, *cuts], [*cuts, x.shape[dim]], strict=True)], dim)


@st.composite
def split_at(draw: Any) -> Call:
    """tensor_split(x, n, dim), tensor_split(x, (indices), dim)"""
    x = draw(array(shapes(min_dims=1)))
    cuts = st.one_of(st.integers(1, 5), st.lists(st.integers(-5, 5), max_size=3).map(tuple))
    return call(x, draw(cuts), draw(one_dim(x.ndim)))


@st.composite
def diagonals(draw: Any) -> Call:
    """f(x, offset, dim1, dim2)"""
    x = draw(array(shapes(min_dims=2)))
    a, b = draw(st.permutations(range(x.ndim)))[:2]
    return call(x, draw(st.integers(-4, 4)), a - x.ndim if draw(st.booleans()) else a, b)


@st.composite
def embedded(draw: Any) -> Call:
    """diag_embed(x, offset, dim1, dim2)"""
    x = draw(array(shapes(min_dims=1, max_dims=2, max_side=3)))
    a, b = draw(st.permutations(range(x.ndim + 1)))[:2]
    return call(x, draw(st.integers(-2, 2)), a, b - x.ndim - 1 if draw(st.booleans()) else b)


@st.composite
def piled(draw: Any, dim: int) -> Call:
    """vstack (dim 0) or hstack (dim 1) of [x, y, ...], which differ in size there only."""
    shape = list(draw(shapes()))
    changing = dim if len(shape) > 1 else 0
    tensors = []
    for _ in range(draw(st.integers(1, 3))):
        if len(shape) > 1 or (shape and dim == 1):
            shape[changing] = draw(st.integers(0, 3))
        tensors.append(draw(array(tuple(shape))))
    return call(tensors)


@st.composite
def axes_of_a_grid(draw: Any) -> Call:
    """meshgrid(x, y, ..., indexing)"""
    return call(*draw(st.lists(array(shapes(1, 1)), min_size=1, max_size=3)), indexing=draw(st.sampled_from(["ij", "xy"])))


@st.composite
def two_shapes(draw: Any) -> Call:
    """f(x, y) where x has the shape to change and y the shape to take."""
    x = draw(array(shapes(min_side=1), strided=False))
    return call(x, np.zeros(draw(st.sampled_from(factorisations(x.size))), "int64"))


@st.composite
def squeezed(draw: Any) -> Call:
    """f(x), f(x, dim), f(x, (dims)) with many sizes of 1."""
    x = draw(array(shapes(min_side=0, max_side=2)))
    return call(x) if draw(st.booleans()) else call(x, draw(some_dims(x.ndim, none=False)))


def expand_sample(c: Call) -> Call:
    """f(x, tensor of the target shape) from f(x, shape)."""
    return call(c.args[0], np.zeros(c.args[1], "int64"))


offsets = st.integers(-4, 4)

OPS = [
    Op("reshape", reshaped(), dtypes=ALL, reference=np.reshape),
    Op("Tensor.reshape", reshaped(varargs=True)),
    Op("Tensor.view", reshaped(contiguous=True, varargs=True), dtypes=ALL),
    Op("Tensor.reshape_as", two_shapes()),
    Op("Tensor.view_as", two_shapes()),
    Op("flatten", flattened(), dtypes=ALL),
    Op("ravel", unary(), reference=lambda x: x.reshape(-1)),
    Op("unflatten", unflattened()),
    Op("unsqueeze", one_of_dims(extra=1), dtypes=ALL, reference=np.expand_dims),
    Op("squeeze", squeezed(), dtypes=ALL),
    Op("permute", permuted(), dtypes=ALL, reference=np.transpose),
    Op("transpose", one_of_dims(count=2), covers=["swapaxes", "swapdims"], dtypes=ALL),
    Op("movedim", moved(), covers=["moveaxis"], reference=np.moveaxis),
    Op("t", unary(shape=shapes(max_dims=2)), reference=np.transpose),
    Op("matrix.T", unary(shape=shapes(min_dims=2, max_dims=2)), function=lambda x: x.T, torch=lambda torch: lambda x: x.T),
    Op("matrix.mT", unary(shape=shapes(min_dims=2)), function=lambda x: x.mT, torch=lambda torch: lambda x: x.mT),
    Op("Tensor.expand", expanded(), dtypes=ALL, reference=np.broadcast_to),
    Op("broadcast_to", expanded(), reference=np.broadcast_to),
    Op("Tensor.expand_as", expanded().map(expand_sample)),
    Op("broadcast_tensors", broadcastable(3).flatmap(lambda s: st.tuples(*map(array, s))).map(lambda xs: call(*xs))),
    Op("Tensor.repeat", repeated(), dtypes=("float64", "float32", *INTEGERS)),
    Op("tile", repeated(fewer=True), reference=np.tile),
    Op("clone", unary(), dtypes=ALL, reference=np.array),
    Op("Tensor.contiguous", array(shapes(2, 2, min_side=2), strided=False).map(lambda x: call(x.T)), reference=np.array),
    Op("flip", flipped(), dtypes=ALL),
    Op("roll", rolled(), dtypes=ALL),
    Op("cat", joined(), covers=["concat", "concatenate"], dtypes=ALL, reference=np.concatenate),
    Op("stack", stacked(), dtypes=ALL, reference=np.stack),
    Op("vstack", piled(0), reference=np.vstack),
    Op("hstack", piled(1), reference=np.hstack),
    Op("meshgrid", axes_of_a_grid(), reference=np.meshgrid),
    Op("split", split(), dtypes=ALL),
    Op("chunk", one_of_dims(min_dims=1, chunks=st.integers(1, 5)).map(lambda c: call(c.args[0], c.kwargs["chunks"], c.args[1]))),
    Op("tensor_split", split_at()),
    Op("unbind", one_of_dims(min_dims=1), dtypes=ALL),
    Op("tril", array(shapes(min_dims=2)).flatmap(lambda x: offsets.map(lambda k: call(x, k))), dtypes=ALL, reference=np.tril),
    Op("triu", array(shapes(min_dims=2)).flatmap(lambda x: offsets.map(lambda k: call(x, k))), dtypes=ALL, reference=np.triu),
    Op("diagonal", diagonals(), dtypes=ALL, reference=np.diagonal),
    Op("diag", array(shapes(min_dims=1, max_dims=2)).flatmap(lambda x: offsets.map(lambda k: call(x, k)))),
    Op("diag_embed", embedded(), dtypes=ALL),
]
