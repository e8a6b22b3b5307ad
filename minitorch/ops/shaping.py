"""Reshaping, permuting, expanding, joining and cutting: operations that move elements and compute nothing.

Each is linear, and its gradient moves the elements back: a reshape is undone by a reshape, a permutation by its inverse,
joining by cutting. Where NumPy can, the result is a view: it shares the input's memory.
Read before: reductions.py. Read next: indexing.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import graph
from ..devices import Array, array_module
from . import checks
from ._arguments import many_dims, numpy_names, one_dim, raw, shape_of, sizes_by_name
from ._autocast import autocast
from ._op import op
from ._promotion import common

__all__ = [
    "broadcast_tensors", "broadcast_to", "cat", "chunk", "clone", "contiguous", "expand", "flatten", "permute", "ravel",
    "repeat", "reshape", "reshape_as", "split", "squeeze", "stack", "transpose", "unbind", "unsqueeze", "view",
]  # fmt: skip

# ------------------------------------------------------------------------------------------- the same elements, in order


@op(linear=True)
def _reshape(x: Array, *, shape: tuple[int, ...]) -> Any:
    """The elements of x in row-major order under another shape."""
    source = x.shape
    try:
        if shape and min(shape) < -1:
            raise ValueError  # NumPy would read it as -1
        y = x.reshape(shape)
    except ValueError:
        raise checks.cannot_reshape(x, shape) from None
    return y, lambda g: g.reshape(source)


@sizes_by_name("shape")
def reshape(input: Any, *shape: Any) -> Any:
    """The same elements in row-major order under another shape; one size may be -1. A view where the strides allow it."""
    return _reshape(input, shape=shape_of(shape))


def unsqueeze(input: Any, dim: int) -> Any:
    """With a dimension of size 1 put in at ``dim``."""
    d = one_dim(dim, input.ndim + 1)
    return _reshape(input, shape=(*input.shape[:d], 1, *input.shape[d:]))


@numpy_names
def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Without the dimensions of size 1, or without those among ``dim`` that are of size 1."""
    dims = () if dim is not None and not isinstance(dim, int) and len(dim) == 0 else many_dims(dim, input.ndim)
    return _reshape(input, shape=tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in dims))


@op(linear=True)
def _permute(x: Array, *, dims: tuple[int, ...]) -> Any:
    """Axis i of y is axis dims[i] of x; going back, axis dims[i] is axis i."""
    return x.transpose(dims), lambda g: _permute(g, dims=tuple(sorted(range(len(dims)), key=dims.__getitem__)))


@sizes_by_name("dims")
def permute(input: Any, *dims: Any) -> Any:
    """Dimension i of the result is dimension dims[i] of the input; a view."""
    return _permute(input, dims=checks.permutation(shape_of(dims), input.ndim))


@op(linear=True)
def _broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Any:
    """x repeated to ``shape`` without copying. The engine sums the gradient back, as for every op that broadcasts."""
    return x if x.shape == shape else array_module(x).broadcast_to(x, shape), lambda g: g


@sizes_by_name("size")
def expand(input: Any, *size: Any) -> Any:
    """Dimensions of size 1 repeated to ``size``, new ones put in front; -1 keeps a size. A view: clone() to write to it."""
    shape, old = shape_of(size), tuple(input.shape)
    extra = len(shape) - len(old)
    target = tuple(old[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(shape))
    checks.expands(old, shape, target)
    return _broadcast_to(input, shape=target)


def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """``input`` repeated to the shape ``size``; a view."""
    return expand(input, size)


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Each tensor expanded to the shape that all of them broadcast to."""
    shape = checks.common_shape(tensors)
    return tuple(_broadcast_to(x, shape=shape) for x in tensors)


def reshape_as(input: Any, other: Any) -> Any:
    """``input`` in the shape of ``other``."""
    return reshape(input, *other.shape)


@sizes_by_name("size")
def view(input: Any, *shape: Any) -> Any:
    """reshape that never copies: an error if the strides allow no view. ``view(dtype)`` reads the same bytes as another dtype."""
    if len(shape) == 1 and isinstance(shape[0], np.dtype | type):
        return graph.Tensor(raw(input).view(shape[0]))
    y = reshape(input, *shape)
    checks.is_view(raw(y), raw(input))
    return y


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions start_dim to end_dim (both included) as one; a 0-d tensor becomes 1-d."""
    first, last = checks.in_order(start_dim, end_dim, input.ndim)
    if input.ndim == 0:
        return _reshape(input, shape=(1,))
    shape = tuple(input.shape)
    return _reshape(input, shape=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def ravel(input: Any) -> Any:
    """All elements in one dimension."""
    return _reshape(input, shape=(math.prod(input.shape),))


# ------------------------------------------------------------------------------------------------ permuting dimensions


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """With dimensions dim0 and dim1 exchanged; a view."""
    ndim = input.ndim
    a, b = one_dim(dim0, ndim), one_dim(dim1, ndim)
    order = list(range(ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return _permute(input, dims=tuple(order))


def mT(input: Any) -> Any:
    """Each matrix transposed: the last two dimensions exchanged."""
    checks.has_matrices(input)
    return transpose(input, -2, -1) if input.ndim else input


def T(input: Any) -> Any:
    """With all dimensions in reverse order; a matrix transposed."""
    return _permute(input, dims=tuple(reversed(range(input.ndim))))


# --------------------------------------------------------------------------------------------------- copying, repeating


@op(linear=True)
def _copy(x: Array, *, order: str) -> Any:
    """x in memory of its own: order "K" keeps the strides' order, "C" is row-major."""
    return x.copy(order=order), lambda g: g


def clone(input: Any) -> Any:
    """A copy; gradients flow through it."""
    return _copy(input, order="K")


def contiguous(input: Any) -> Any:
    """The input itself if it is contiguous in row-major order, else a copy that is."""
    return input if raw(input).flags.c_contiguous else _copy(input, order="C")


@sizes_by_name("repeats")
def repeat(input: Any, *repeats: Any) -> Any:
    """``input`` laid side by side repeats[i] times along dimension i; more repeats than dimensions add some in front."""
    counts = shape_of(repeats)
    checks.counts_of_repeats(counts, input.ndim)
    sizes = (1,) * (len(counts) - input.ndim) + tuple(input.shape)
    if set(counts) <= {1}:
        return clone(_reshape(input, shape=sizes))
    once = _reshape(input, shape=tuple(n for size in sizes for n in (1, size)))  # every dimension behind one of size 1 ...
    y = _broadcast_to(once, shape=tuple(itertools.chain(*zip(counts, sizes, strict=True))))  # ... which is repeated
    return _reshape(y, shape=tuple(r * n for r, n in zip(counts, sizes, strict=True)))


# ------------------------------------------------------------------------------------------------- joining and cutting


@op(linear=True, promote=common)
def _cat(*tensors: Array, dim: int) -> Any:
    """[a; b; ...]: the gradient is cut where the tensors were joined."""
    ends = [0, *itertools.accumulate(x.shape[dim] for x in tensors)]

    def piece(start: int, end: int) -> Any:
        return lambda g: g[(slice(None),) * dim + (slice(start, end),)]

    y = array_module(*tensors).concatenate(tensors, axis=dim)
    return y, tuple(itertools.starmap(piece, itertools.pairwise(ends)))


@autocast
@numpy_names
def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors one after another along ``dim``. Their other sizes agree; an empty 1-d tensor is passed over."""
    tensors = checks.list_of_tensors("cat", tensors)
    checks.some_to_join(tensors)
    model = next((x for x in tensors if tuple(x.shape) != (0,)), tensors[0])
    d = one_dim(dim, model.ndim)
    shape = tuple(model.shape)
    for i, x in enumerate(tensors):
        if tuple(x.shape) == (0,):  # PyTorch's legacy: it joins anything
            tensors[i] = reshape(x, *shape[:d], 0, *shape[d + 1 :])
    checks.sizes_match(tensors, shape, d)
    return _cat(*tensors, dim=d)


@op(linear=True, promote=common)
def _stack(*tensors: Array, dim: int) -> Any:
    """Tensors of one shape along a new dimension: the gradient of the i-th is slice i."""

    def layer(i: int) -> Any:
        return lambda g: g[(slice(None),) * dim + (i,)]

    return array_module(*tensors).stack(tensors, axis=dim), tuple(layer(i) for i in range(len(tensors)))


@autocast
@numpy_names
def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Tensors of one shape laid side by side along a new dimension ``dim``."""
    tensors = checks.list_of_tensors("stack", tensors)
    checks.one_shape(tensors)
    return _stack(*tensors, dim=one_dim(dim, tensors[0].ndim + 1))


def _all_parts(gradients: dict[int, Any], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """The gradients of all outputs of an op, zeros for those that the loss does not depend on."""
    some = raw(next(iter(gradients.values())))
    xp = array_module(some)
    return [gradients[i] if i in gradients else xp.zeros(shape, some.dtype) for i, shape in enumerate(shapes)]


@op(linear=True)
def _split(x: Array, *, sizes: tuple[int, ...], dim: int) -> Any:
    """x cut along dim, as views. One op for all pieces: going back their gradients are joined into one array."""
    ends = itertools.accumulate(sizes)
    y = tuple(x[(slice(None),) * dim + (slice(end - n, end),)] for n, end in zip(sizes, ends, strict=True))
    shapes = [piece.shape for piece in y]
    return y, lambda gs: _cat(*_all_parts(gs, shapes), dim=dim)


@numpy_names
def split(tensor: Any, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None) -> tuple[Any, ...]:
    """Cut along ``dim`` into pieces of one size (the last may be smaller) or of the sizes in a list; views.

    The method calls its second argument split_size.
    """
    checks.has_dimension("split", tensor, "cut")
    d, sections = one_dim(dim, tensor.ndim), split_size_or_sections if split_size is None else split_size
    n = tensor.shape[d]
    if isinstance(sections, int):
        checks.split_size(sections, n, d)
        count = max(-(-n // sections), 1) if sections else 1
        sections = [sections] * (count - 1) + [n - sections * (count - 1)]
    sizes = shape_of((sections,))
    checks.sizes_add_up(sizes, n, d)
    return _split(tensor, sizes=sizes, dim=d) if sizes else ()


@numpy_names
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` pieces of one size ⌈n / chunks⌉ along ``dim``; the last may be smaller."""
    checks.some_chunks(chunks)
    checks.has_dimension("chunk", input, "cut")
    n = input.shape[one_dim(dim, input.ndim)]
    return split(input, [0] * chunks if n == 0 else -(-n // chunks), dim)  # type: ignore[no-any-return]


@op(linear=True)
def _unbind(x: Array, *, dim: int) -> Any:
    """The slices of x along dim; their gradients are stacked."""
    y = tuple(x[(slice(None),) * dim + (i, ...)] for i in range(x.shape[dim]))
    shapes = [piece.shape for piece in y]
    return y, lambda gs: _stack(*_all_parts(gs, shapes), dim=dim)


@numpy_names
def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """All slices along ``dim``, as a tuple of tensors without that dimension; views."""
    checks.has_dimension("unbind", input, "take apart", IndexError)
    return _unbind(input, dim=one_dim(dim, input.ndim))  # type: ignore[no-any-return]
