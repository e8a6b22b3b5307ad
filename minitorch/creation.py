"""Making tensors: from data, from a rule, like another tensor.  Random ones: random.py.

Python floats become the default dtype (float32), Python integers int64; NumPy arrays keep their dtype.
Read before: arrays.py. Read next: random.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import arrays, devices, dtypes
from .ops._arguments import shape_of, sizes_by_name
from .tensor import Tensor

__all__ = [
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "is_floating_point",
    "is_tensor",
    "linspace",
    "numel",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def tensor(data: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A copy of ``data`` (number, nested lists, NumPy or CuPy array, Tensor) as a new leaf tensor."""
    return Tensor(arrays.array_from(data, dtype, device, copy=True)).requires_grad_(requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """``data`` as a tensor, sharing memory (and, for a Tensor, the graph) where dtype and device allow it."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return Tensor(arrays.array_from(data, dtype, device, copy=False))


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}; minitorch.tensor(data) takes anything")
    arrays.check_kind(array)
    return Tensor(array)


def is_tensor(obj: Any) -> bool:
    """Is it a Tensor?"""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Is its dtype a floating one, which can carry a gradient?"""
    return input.is_floating_point()


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


# ------------------------------------------------------------------------------------------------- from a rule


@sizes_by_name("size")
def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0."""
    return Tensor(arrays.filled("zeros", shape_of(size), dtype=dtype, device=device)).requires_grad_(requires_grad)


@sizes_by_name("size")
def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1."""
    return Tensor(arrays.filled("ones", shape_of(size), dtype=dtype, device=device)).requires_grad_(requires_grad)


@sizes_by_name("size")
def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uninitialised memory, to be overwritten."""
    return Tensor(arrays.filled("empty", shape_of(size), dtype=dtype, device=device)).requires_grad_(requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All ``fill_value``; its kind decides the dtype."""
    return Tensor(arrays.full(size, fill_value, dtype, device)).requires_grad_(requires_grad)


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0, in the shape, dtype and device of ``input``."""
    return zeros(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1, in the shape, dtype and device of ``input``."""
    return ones(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uninitialised, in the shape, dtype and device of ``input``."""
    return empty(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All ``fill_value``, in the shape, dtype and device of ``input``."""
    dtype, device = dtype or input.dtype, device or input.device
    return full(input.shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def arange(
    start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, ..., without ``end``; int64 if all three are integers.  arange(end) starts at 0."""
    start, end = (0, start) if end is None else (start, end)
    start, end, step = (x.item() if hasattr(x, "item") else x for x in (start, end, step))
    exact = all(isinstance(x, int) for x in (start, end, step))
    dtype = np.dtype(dtype or (dtypes.int64 if exact else dtypes.get_default_dtype()))
    if dtype == dtypes.bool_:
        raise NotImplementedError("arange: not defined for bool; make integers and compare them")
    if dtype == dtypes.int64 and not exact:
        start, end, step = (dtypes.number_as("arange", x, dtype) for x in (start, end, step))
    if not all(map(math.isfinite, (start, end, step))) or step == 0 or (end - start) / step < 0:
        raise RuntimeError(f"arange: from {start} to {end} in steps of {step} never ends; check the step's sign")
    count = math.ceil((end - start) / step)
    if not dtypes.is_floating(dtype):
        start, step = (int(x) for x in (start, step))
    values = (start + step * np.arange(count, dtype=np.float64 if dtypes.is_floating(dtype) else np.int64)).astype(dtype)
    return Tensor(devices.move(values, device)).requires_grad_(requires_grad)


@np.errstate(over="ignore")
def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``steps`` evenly spaced numbers, both ends included."""
    start, end = (float(x) for x in (start, end))
    dtype = np.dtype(dtype or dtypes.get_default_dtype())
    if dtype == dtypes.bool_ and steps > 1:
        raise NotImplementedError("linspace: not defined for bool; make numbers and compare them")
    if steps < 0:
        raise RuntimeError(f"linspace: the number of steps must not be negative, got {steps}")
    if not dtypes.is_floating(dtype):
        start, end = (dtypes.number_as("linspace", int(x), dtype) for x in (start, end))
    values = np.linspace(start, end, steps)
    values = (np.trunc(values) if not dtypes.is_floating(dtype) else values).astype(dtype)
    return Tensor(devices.move(values, device)).requires_grad_(requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    if n < 0 or (m or 0) < 0:
        raise RuntimeError(f"eye: sizes must not be negative, got {n} and {m}")
    dtype = np.dtype(dtype or dtypes.get_default_dtype())
    return Tensor(devices.module_for(device).eye(n, m, dtype=dtype)).requires_grad_(requires_grad)
