"""Checks of indices, in the manner of checks.py.  Read before: checks.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import Array, device_of
from ..dtypes import all_below
from ._arguments import may_read, raw


def not_too_many(missing: int, ndim: int) -> None:
    """An index covers no more dimensions than x has."""
    if missing < 0:
        raise IndexError(f"too many indices for a tensor of {ndim} dimensions: got {ndim - missing}")


def index_is_here(index: Array, x: Array) -> None:
    """An index array is on the device of the tensor that it indexes."""
    if device_of(index) != device_of(x):
        raise RuntimeError(f'x[index]: x is on {device_of(x)}, the index on {device_of(index)}; call .to("{device_of(x)}") on it')


def is_index(item: Any) -> None:
    """An index array holds integers or bools."""
    if not hasattr(item, "dtype") or item.dtype not in ("int64", "int32", "bool", "uint8"):
        raise IndexError(
            "an index is made of integers, slices, None, ... and tensors or lists of int64, int32 or bool, "
            f"not {item.dtype if hasattr(item, 'dtype') else type(item).__name__}"
        )


def mask_fits(mask: Array, covered: tuple[int, ...]) -> None:
    """A mask has the sizes of the dimensions that it selects from."""
    if mask.shape != covered:
        raise IndexError(f"a mask of shape {mask.shape} does not match sizes {covered} of the dimensions it selects from")


def cannot_assign(value: Any, shape: tuple[int, ...]) -> RuntimeError:
    """The error of x[index] = value."""
    return RuntimeError(
        f"x[index] = value: a value of shape {tuple(np.shape(value))} does not broadcast to shape {shape} of x[index]"
    )


def in_range(name: str, index: Array, dim: int, n: int, error: type[Exception], low: int = 0) -> None:
    """Every index names one of n places; ``low`` = -n where they may count from the end."""
    if may_read(index) and not all_below(index - low if low else index, n - low):
        i = int(index.min() if index.min() < low else index.max())
        raise error(f"{name}: index {i} is out of bounds for dimension {dim} with size {n}")


def index_array(name: str, index: Any, input: Any, dtypes: tuple[str, ...] = ("int64", "int32")) -> Array:
    """The array of an index tensor; checks its dtype and device."""
    index = raw(index)
    if index.dtype not in dtypes:
        raise RuntimeError(
            f"{name}: expected an index of dtype {' or '.join(dtypes)}, got {index.dtype}; convert it: index.long()"
        )
    if device_of(index) != device_of(raw(input)):
        raise RuntimeError(
            f"{name}: the input is on {device_of(raw(input))}, the index on {device_of(index)}; they must share a device"
        )
    return index


def index_along(name: str, index: Array, input: Any, dim: int) -> None:
    """An index along ``dim`` has as many dimensions as the input, and elsewhere no larger sizes."""
    if index.ndim != input.ndim:
        raise RuntimeError(f"{name}: index has {index.ndim} dimensions, the input {input.ndim}; they must be equal")
    for d, (k, n) in enumerate(zip(index.shape, input.shape, strict=True)):
        if d != dim and k > n:
            raise RuntimeError(
                f"{name}: index of shape {index.shape} exceeds the input {tuple(input.shape)} not only in dimension {dim}"
            )
    in_range(name, index, dim, input.shape[dim], RuntimeError)


def slice_exists(x: Any, index: int, d: int) -> None:
    """select takes one of the slices."""
    if not -x.shape[d] <= index < x.shape[d]:
        raise IndexError(f"select: index {index} is out of range for dimension {d} of shape {tuple(x.shape)}")


def some_length(x: Any, length: int) -> None:
    """narrow needs a dimension, and no negative length."""
    if x.ndim == 0 or length < 0:
        raise RuntimeError(f"narrow: needs at least one dimension and a length >= 0, got {x.ndim}-d and length {length}")


def range_within(start: int, length: int, d: int, n: int) -> int:
    """Where narrow starts, counted from the front."""
    if not -n <= start <= n:
        raise IndexError(f"narrow: start {start} is out of range for dimension {d} of size {n}")
    start += n if start < 0 else 0
    if start + length > n:
        raise RuntimeError(f"narrow: start {start} + length {length} must lie within dimension {d} of size {n}")
    return start


def is_vector(index: Array) -> None:
    """index_select takes a list of slices."""
    if index.ndim > 1:
        raise IndexError(f"index_select: index must be a vector, got {index.ndim} dimensions")


def one_element(x: Any, index: Array) -> None:
    """A 0-d tensor has one element to select."""
    if x.ndim == 0 and index.size != 1:
        raise RuntimeError(f"index_select: a 0-d input has one element to select, the index names {index.size}")
