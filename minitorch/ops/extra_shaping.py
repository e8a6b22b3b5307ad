"""Shaping operations for completeness: flips and rolls, grids, triangles and diagonals, and other names.

Nothing here is needed to understand the engine: look up what you need. Read before: shaping.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..devices import Array, array_module
from . import checks
from ._arguments import many_dims, numpy_names, one_dim, raw, shape_of, sizes_by_name
from ._op import op
from ._promotion import in_dtype_of
from .shaping import (
    T,
    _permute,
    _reshape,
    broadcast_tensors,
    cat,
    expand,
    ravel,
    repeat,
    reshape,
    reshape_as,
    split,
    transpose,
    view,
)

__all__ = [
    "concat", "concatenate", "diag", "diag_embed", "diagonal", "expand_as", "flip", "hstack", "meshgrid", "moveaxis",
    "movedim", "roll", "swapaxes", "swapdims", "t", "tensor_split", "tile", "tril", "triu", "unflatten", "view_as",
    "vstack",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------- shapes


def expand_as(input: Any, other: Any) -> Any:
    """``input`` expanded to the shape of ``other``."""
    return expand(input, *other.shape)


def view_as(input: Any, other: Any) -> Any:
    """``input`` viewed in the shape of ``other``."""
    return view(input, *other.shape)


@numpy_names
def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """Dimension ``dim`` split into several of the given ``sizes``; one may be -1."""
    checks.has_dimension("unflatten", input, "unflatten; use reshape")
    d = one_dim(dim, input.ndim)
    n, parts = input.shape[d], shape_of((sizes,))
    known = -math.prod(parts) if -1 in parts else 0
    if parts.count(-1) == 1 and known > 0 and n % known == 0:
        parts = tuple(n // known if size == -1 else size for size in parts)
    if not parts or min(parts) < 0 or math.prod(parts) != n:
        raise RuntimeError(f"unflatten: sizes {tuple(sizes)} do not multiply up to the size {n} of dim {dim}")
    return _reshape(input, shape=(*input.shape[:d], *parts, *input.shape[d + 1 :]))


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """transpose under NumPy's name."""
    return transpose(input, axis0, axis1)


def t(input: Any) -> Any:
    """A matrix transposed; tensors of fewer dimensions as they are."""
    if input.ndim > 2:
        raise RuntimeError(f"t: expects at most 2 dimensions, got {input.ndim}; use transpose(dim0, dim1) or mT")
    return T(input)


def movedim(input: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Dimensions ``source`` moved to the places ``destination``, the others kept in order."""
    sources, targets = shape_of((source,)), shape_of((destination,))
    if len(sources) != len(targets):
        raise RuntimeError(f"movedim: source {source} and destination {destination} must name equally many dims")
    sources, targets = (tuple(one_dim(d, input.ndim) for d in dims) for dims in (sources, targets))
    for name, dims in (("source", sources), ("destination", targets)):
        if len(set(dims)) < len(dims):
            raise RuntimeError(f"movedim: repeated dim in {name} {dims}")
    order = [d for d in range(input.ndim) if d not in sources]
    for target, d in sorted(zip(targets, sources, strict=True)) if input.ndim else ():
        order.insert(target, d)
    return _permute(input, dims=tuple(order))


# ------------------------------------------------------------------------------------------------------- copies


@sizes_by_name("dims")
def tile(input: Any, *dims: Any) -> Any:
    """repeat in which missing counts are 1 (numpy.tile)."""
    counts = shape_of(dims)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


@op(linear=True)
def _flip(x: Array, *, dims: tuple[int, ...]) -> Any:
    return array_module(x).flip(x, axis=dims).copy(), lambda g: _flip(g, dims=dims)


@sizes_by_name("axis")
@sizes_by_name("dims")
def flip(input: Any, *dims: Any) -> Any:
    """The order along each of ``dims`` reversed; a copy."""
    order = shape_of(dims)
    return _flip(input, dims=many_dims(order, input.ndim) if order else ())


@op(linear=True)
def _roll(x: Array, *, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    back = tuple(-n for n in shifts)
    return array_module(x).roll(x, shifts, axis=dims), lambda g: _roll(g, shifts=back, dims=dims)


def roll(input: Any, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Any:
    """Elements moved by ``shifts`` along ``dims``, wrapping around at the ends. Without dims: when flattened."""
    steps, axes = shape_of((shifts,)), () if dims is None else shape_of((dims,))
    if not axes and len(steps) == 1:
        return reshape_as(_roll(ravel(input), shifts=steps, dims=(0,)), input)
    if not steps or len(steps) != len(axes):
        raise RuntimeError(f"roll: {len(steps)} shifts for {len(axes)} dims; each dim needs its shift")
    checks.has_dimension("roll", input, "roll along", IndexError)
    return _roll(input, shifts=steps, dims=tuple(one_dim(d, input.ndim) for d in axes))


# ------------------------------------------------------------------------------------------ joining and cutting


def vstack(tensors: Sequence[Any]) -> Any:
    """Rows (or stacks of rows) one below the other: cat along the first of at least two dimensions."""
    return cat([x if x.ndim > 1 else reshape(x, 1, *x.shape or (1,)) for x in checks.list_of_tensors("vstack", tensors)], 0)


def hstack(tensors: Sequence[Any]) -> Any:
    """Side by side: cat along the second dimension, or along the only one."""
    tensors = [x if x.ndim else reshape(x, 1) for x in checks.list_of_tensors("hstack", tensors)]
    return cat(tensors, 0 if tensors and tensors[0].ndim == 1 else 1)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """The coordinates of a grid: result k is vector k repeated along the other dimensions. "xy" exchanges the first two."""
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else tensors
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'meshgrid: indexing must be "ij" or "xy", not {indexing!r}')
    if len({x.dtype for x in tensors}) > 1:
        raise RuntimeError(f"meshgrid: the tensors need one dtype, got {', '.join(str(x.dtype) for x in tensors)}")
    n = len(tensors)
    alone = [(1,) * k + (math.prod(x.shape),) + (1,) * (n - 1 - k) for k, x in enumerate(tensors)]
    grids = broadcast_tensors(*[reshape(x, shape) for x, shape in zip(tensors, alone, strict=True)])
    return tuple(transpose(x, 0, 1) for x in grids) if indexing == "xy" and n > 1 else grids


@numpy_names
def tensor_split(
    input: Any, indices_or_sections: Any = None, dim: int = 0, *, sections: int | None = None, indices: Any = None
) -> tuple[Any, ...]:
    """Cut along ``dim`` into n pieces whose sizes differ by at most 1, or at the given indices, as slices would."""
    checks.has_dimension("tensor_split", input, "cut")
    d = one_dim(dim, input.ndim)
    n, cuts = input.shape[d], next(c for c in (indices_or_sections, sections, indices) if c is not None)
    cuts = raw(cuts).tolist() if hasattr(cuts, "shape") else cuts
    if isinstance(cuts, int):
        if cuts <= 0:
            raise RuntimeError(f"tensor_split: the number of sections must be positive, got {cuts}")
        return split(input, [n // cuts + (i < n % cuts) for i in range(cuts)], d)  # type: ignore[no-any-return]
    bounds = [0, *cuts, n]
    return tuple(input[(slice(None),) * d + (slice(a, b),)] for a, b in itertools.pairwise(bounds))


# ----------------------------------------------------------------------------------------- triangles, diagonals


def _check_matrix(name: str, x: Any) -> None:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: needs at least 2 dimensions, got {x.ndim}")


@op(linear=True)
def _tril(x: Array, *, k: int) -> Any:
    return in_dtype_of(array_module(x).tril(x, k), x), lambda g: _tril(g, k=k)


@op(linear=True)
def _triu(x: Array, *, k: int) -> Any:
    return in_dtype_of(array_module(x).triu(x, k), x), lambda g: _triu(g, k=k)


def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle of each matrix, zeros above diagonal number ``diagonal`` (0 the main one, 1 the one above it)."""
    _check_matrix("tril", input)
    return _tril(input, k=diagonal)


def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle of each matrix, zeros below diagonal number ``diagonal``."""
    _check_matrix("triu", input)
    return _triu(input, k=diagonal)


@op(linear=True)
def _diagonal(x: Array, *, offset: int, dim1: int, dim2: int) -> Any:
    shape = x.shape
    y = x.diagonal(offset, dim1, dim2)
    if isinstance(y, np.ndarray) and y.base is not None:
        y.flags.writeable = x.flags.writeable  # NumPy's is read-only by default; PyTorch's is a view like any other
    return y, lambda g: _diag_embed(g, shape=shape, offset=offset, dim1=dim1, dim2=dim2)


@op(linear=True)
def _diag_embed(x: Array, *, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of ``shape`` with x, along its last dimension, on the diagonal."""
    xp = array_module(x)
    y = xp.zeros(shape, x.dtype)
    i = xp.arange(x.shape[-1])
    xp.moveaxis(y, (dim1, dim2), (-2, -1))[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return y, lambda g: _diagonal(g, offset=offset, dim1=dim1, dim2=dim2)


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal j = i + offset of the matrices that dim1 and dim2 span, as a last dimension; a view."""
    a, b = one_dim(dim1, input.ndim), one_dim(dim2, input.ndim)
    if a == b:
        raise RuntimeError(f"diagonal: dim1 {dim1} and dim2 {dim2} are the same dimension; two are needed")
    return _diagonal(input, offset=offset, dim1=a, dim2=b)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices, spanned by new dimensions dim1 and dim2, that hold the last dimension of the input on a diagonal."""
    ndim = input.ndim + 1
    a, b = one_dim(dim1, ndim), one_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"diag_embed: dim1 {dim1} and dim2 {dim2} are the same dimension; two are needed")
    n = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((a, b)):
        shape.insert(d, n)
    return _diag_embed(input, shape=tuple(shape), offset=offset, dim1=a, dim2=b)


def diag(input: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag: expects a vector or a matrix, got {input.ndim} dimensions; use diagonal or diag_embed")
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    return _diagonal(input, offset=diagonal, dim1=0, dim2=1)


# ----------------------------------------------------------------------------------- the same under other names

concat = concatenate = cat
swapdims = transpose
moveaxis = movedim
