"""Reshaping, permuting, expanding, joining and cutting: operations that move elements and compute nothing.

Each is linear, and its gradient moves the elements back: a reshape is undone by a reshape, a permutation by its inverse,
joining by cutting. Where NumPy can, the result is a view: it shares the input's memory.
Read before: elementwise.py. Read next: indexing.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import autograd
from ..devices import Array, array_module
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
            raise ValueError  # NumPy would take it for a -1
        y = x.reshape(shape)
    except ValueError:
        raise _cannot_reshape(x, shape) from None
    return y, lambda g: g.reshape(source)


def _cannot_reshape(x: Array, shape: tuple[int, ...]) -> RuntimeError:
    unknown = [n for n in shape if n < 0]
    if unknown and min(unknown) < -1:
        return RuntimeError(f"reshape: invalid size {min(unknown)} in shape {shape}; only -1 (work it out) may be negative")
    if len(unknown) > 1:
        return RuntimeError(f"reshape: only one size can be inferred, shape {shape} holds -1 {len(unknown)} times")
    if unknown and x.size == 0:
        return RuntimeError(f"reshape: 0 elements into shape {shape}: any size would do for the -1; spell it out")
    return RuntimeError(f"reshape: shape {shape} is invalid for input of size {x.size} and shape {tuple(x.shape)}")


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
    order = shape_of(dims)
    if len(order) != input.ndim:
        raise RuntimeError(f"permute: {len(order)} dims {order} for a tensor of {input.ndim} dimensions; name each once")
    order = tuple(one_dim(d, input.ndim) for d in order)
    if len(set(order)) < len(order):
        raise RuntimeError(f"permute: duplicate dims are not allowed, got {order}")
    return _permute(input, dims=order)


@op(linear=True)
def _broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Any:
    """x repeated to ``shape`` without copying. The engine sums the gradient back, as for every op that broadcasts."""
    return x if x.shape == shape else array_module(x).broadcast_to(x, shape), lambda g: g


@sizes_by_name("size")
def expand(input: Any, *size: Any) -> Any:
    """Dimensions of size 1 repeated to ``size``, new ones put in front; -1 keeps a size. A view: clone() to write to it."""
    shape, old = shape_of(size), tuple(input.shape)
    extra = len(shape) - len(old)
    if extra < 0:
        raise RuntimeError(f"expand: {len(shape)} sizes {shape} are too few for a tensor of {len(old)} dimensions")
    target = tuple(old[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(shape))
    for i, n in enumerate(target):
        if n < 0 or (i >= extra and old[i - extra] not in (1, n)):
            raise RuntimeError(
                f"expand: shape {old} does not expand to {shape}: at dimension {i} the size must be 1 or stay the same"
            )
    return _broadcast_to(input, shape=target)


def broadcast_to(input: Any, size: Sequence[int]) -> Any:
    """``input`` repeated to the shape ``size``; a view."""
    return expand(input, size)


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Each tensor expanded to the shape that all of them broadcast to."""
    try:
        shape = np.broadcast_shapes(*[tuple(x.shape) for x in tensors])
    except ValueError:
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
        raise RuntimeError(
            f"broadcast_tensors: shapes {shapes} do not broadcast: aligned from the right, sizes must be equal or hold a 1"
        ) from None
    return tuple(_broadcast_to(x, shape=shape) for x in tensors)


def reshape_as(input: Any, other: Any) -> Any:
    """``input`` in the shape of ``other``."""
    return reshape(input, *other.shape)


@sizes_by_name("size")
def view(input: Any, *shape: Any) -> Any:
    """reshape that never copies: an error where the strides do not allow a view. ``view(dtype)`` reads the same bytes anew."""
    if len(shape) == 1 and isinstance(shape[0], np.dtype | type):
        return autograd.Tensor(raw(input).view(shape[0]))
    y = reshape(input, *shape)
    source = raw(input)
    if source.size and not array_module(source).may_share_memory(source, raw(y)):
        raise RuntimeError(
            f"view: shape {tuple(y.shape)} is not compatible with the strides {source.strides} of shape {tuple(source.shape)}: "
            "no view can show it; use reshape(...), which copies"
        )
    return y


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions start_dim to end_dim (both included) as one; a 0-d tensor becomes 1-d."""
    first, last = one_dim(start_dim, input.ndim), one_dim(end_dim, input.ndim)
    if input.ndim == 0:
        return _reshape(input, shape=(1,))
    if first > last:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    shape = tuple(input.shape)
    return _reshape(input, shape=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def ravel(input: Any) -> Any:
    """All elements in one dimension."""
    return _reshape(input, shape=(math.prod(input.shape),))


# ------------------------------------------------------------------------------------------------ permuting dimensions


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """With dimensions dim0 and dim1 exchanged; a view."""
    a, b = one_dim(dim0, input.ndim), one_dim(dim1, input.ndim)
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return _permute(input, dims=tuple(order))


def mT(input: Any) -> Any:
    """Each matrix transposed: the last two dimensions exchanged."""
    if input.ndim == 1:
        raise RuntimeError("mT: only a matrix or a batch of matrices has one, not a 1-d tensor; unsqueeze it")
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
    """The input itself if it lies in memory in row-major order, else a copy that does."""
    return input if raw(input).flags.c_contiguous else _copy(input, order="C")


@sizes_by_name("repeats")
def repeat(input: Any, *repeats: Any) -> Any:
    """``input`` laid side by side repeats[i] times along dimension i; more repeats than dimensions add some in front."""
    counts = shape_of(repeats)
    extra = len(counts) - input.ndim
    if extra < 0 or min(counts, default=0) < 0:
        raise RuntimeError(f"repeat: a tensor of {input.ndim} dimensions needs a non-negative count for each, got {counts}")
    sizes = (1,) * extra + tuple(input.shape)
    if set(counts) <= {1}:
        return clone(_reshape(input, shape=sizes))
    once = _reshape(input, shape=tuple(n for size in sizes for n in (1, size)))  # every dimension behind one of size 1 ...
    y = _broadcast_to(once, shape=tuple(itertools.chain(*zip(counts, sizes, strict=True))))  # ... which is repeated
    return _reshape(y, shape=tuple(r * n for r, n in zip(counts, sizes, strict=True)))


# ------------------------------------------------------------------------------------------------- joining and cutting


def _check_tensors(name: str, tensors: Sequence[Any]) -> list[Any]:
    if not isinstance(tensors, list | tuple):
        raise TypeError(f"{name}: expected a list of tensors, got {type(tensors).__name__}; write {name}([a, b])")
    for i, x in enumerate(tensors):
        if not hasattr(x, "shape"):
            raise TypeError(f"{name}: expected a Tensor at position {i}, got {type(x).__name__}; make a tensor of it: tensor(x)")
    return list(tensors)


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
    tensors = _check_tensors("cat", tensors)
    if not tensors:
        raise ValueError("cat: expected at least one tensor, got an empty list")
    if any(x.ndim == 0 for x in tensors):
        raise RuntimeError("cat: a 0-d tensor has no dimension to join along; use stack, or unsqueeze it")
    model = next((x for x in tensors if tuple(x.shape) != (0,)), tensors[0])
    d = one_dim(dim, model.ndim)
    shape = tuple(model.shape)
    for i, x in enumerate(tensors):
        if tuple(x.shape) == (0,):  # PyTorch's legacy: it joins anything
            tensors[i] = reshape(x, *shape[:d], 0, *shape[d + 1 :])
        elif x.ndim != len(shape):
            raise RuntimeError(f"cat: the number of dimensions must be the same, got {shape} and {tuple(x.shape)} (tensor {i})")
        elif any(a != b for j, (a, b) in enumerate(zip(shape, x.shape, strict=True)) if j != d):
            raise RuntimeError(f"cat: sizes must match except in dimension {d}, got {shape} and {tuple(x.shape)} (tensor {i})")
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
    tensors = _check_tensors("stack", tensors)
    if not tensors:
        raise RuntimeError("stack: expected at least one tensor, got an empty list")
    d = one_dim(dim, tensors[0].ndim + 1)
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise RuntimeError(
                f"stack: tensors must have one shape, got {tuple(tensors[0].shape)} at first and {tuple(x.shape)} at position {i}"
            )
    return _stack(*tensors, dim=d)


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
    if tensor.ndim == 0:
        raise RuntimeError("split: a 0-d tensor has no dimension to cut")
    d, sections = one_dim(dim, tensor.ndim), split_size_or_sections if split_size is None else split_size
    n = tensor.shape[d]
    if isinstance(sections, int):
        if sections < 0 or (sections == 0 and n > 0):
            raise RuntimeError(f"split: split_size must be positive, got {sections} for dimension {d} of size {n}")
        count = max(-(-n // sections), 1) if sections else 1
        sections = [sections] * (count - 1) + [n - sections * (count - 1)]
    sizes = shape_of((sections,))
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise RuntimeError(f"split: sizes {sizes} must be non-negative and add up to {n}, the size of dimension {d}")
    return _split(tensor, sizes=sizes, dim=d) if sizes else ()


@numpy_names
def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` pieces of one size ⌈n / chunks⌉ along ``dim``; the last may be smaller."""
    if chunks <= 0:
        raise RuntimeError(f"chunk: chunks must be positive, got {chunks}")
    if input.ndim == 0:
        raise RuntimeError("chunk: a 0-d tensor has no dimension to cut")
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
    if input.ndim == 0:
        raise IndexError("unbind: a 0-d tensor has no dimension to take apart")
    return _unbind(input, dim=one_dim(dim, input.ndim))  # type: ignore[no-any-return]
