"""Making tensors: from data, from a rule, like another tensor.  Random ones: random.py.

Python floats become the default dtype (float32), Python integers int64; NumPy arrays keep their dtype.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import devices, dtypes
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
    return Tensor(_array_from(data, dtype, device, copy=True)).requires_grad_(requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """``data`` as a tensor, sharing memory (and, for a Tensor, the graph) where dtype and device allow it."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return Tensor(_array_from(data, dtype, device, copy=False))


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}; minitorch.tensor(data) takes anything")
    _known(array)
    return Tensor(array)


@np.errstate(over="ignore")  # 1e39 is inf in float32
def _array_from(data: Any, dtype: Any, device: str | None, copy: bool) -> Any:
    if isinstance(data, Tensor):
        data = data.array
    elif not hasattr(data, "dtype"):
        data = _from_python(data, dtype)
    elif isinstance(data, np.generic):
        data = np.asarray(data)
    array = devices.move(data, device or devices.device_of(data))
    if dtype is not None and np.dtype(dtype) != array.dtype:
        return array.astype(dtype)
    _known(array)
    return array.copy() if copy and (array is data or array.base is not None) else array


def _from_python(data: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Nested lists of numbers, or of tensors and arrays, as one array."""
    plain = _without_tensors(data)
    try:
        array = np.asarray(plain)
    except ValueError as error:
        raise ValueError("tensor: rows of different lengths do not make a rectangular tensor; pad them first") from error
    _known(array)
    if dtype is not None and array.dtype != dtype:
        _check_fits(array, np.dtype(dtype))
        array = array.astype(dtype)
    if dtype is None and array.dtype == dtypes.float64 and not _holds_float64(plain):
        array = array.astype(dtypes.get_default_dtype())
    return array


def _check_fits(array: Any, dtype: Any) -> None:
    """Python's integers are exact, so a type too small for one of them refuses it, and NaN and infinity are none."""
    if dtypes.is_floating(dtype) or dtype == dtypes.bool_ or not array.size:
        return
    for extreme in (array.min(), array.max()):
        dtypes.number_as("tensor", extreme, dtype)


def _without_tensors(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.detach().cpu().numpy()
    return [_without_tensors(x) for x in data] if isinstance(data, list | tuple) else data


def _holds_float64(data: Any) -> bool:
    """Did the user hand over NumPy float64 values (which keep their dtype), rather than Python floats?"""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return hasattr(data, "dtype") and bool(data.dtype == dtypes.float64)


def _known(array: Any) -> None:
    if array.dtype == np.uint64:
        raise RuntimeError("a tensor cannot hold integers above 2⁶³ - 1, the largest of int64; use floats")
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(
            f"a tensor cannot hold {array.dtype} values, only numbers and booleans; "
            "for strings use a tokenizer or a table of integers"
        )


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


@np.errstate(over="ignore")
def _filled(maker: str, shape: Any, dtype: Any, device: Any, requires_grad: bool, *fill: Any) -> Tensor:
    dtype = np.dtype(dtype or dtypes.get_default_dtype())
    if any(n < 0 for n in shape):
        raise RuntimeError(f"sizes must not be negative, got {shape}")
    return Tensor(getattr(devices.module_for(device), maker)(shape, *fill, dtype=dtype)).requires_grad_(requires_grad)


@sizes_by_name("size")
def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0."""
    return _filled("zeros", shape_of(size), dtype, device, requires_grad)


@sizes_by_name("size")
def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1."""
    return _filled("ones", shape_of(size), dtype, device, requires_grad)


@sizes_by_name("size")
def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Whatever the memory held: to be overwritten."""
    return _filled("empty", shape_of(size), dtype, device, requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All ``fill_value``; its kind decides the dtype."""
    value = fill_value.item() if hasattr(fill_value, "item") else fill_value
    dtype = np.dtype(dtype or dtypes.result_type(value))
    value = dtypes.number_as("full", value, dtype)
    return _filled("full", shape_of((size,)) if not isinstance(size, int) else (size,), dtype, device, requires_grad, value)


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
    """start, start + step, ... up to but without ``end``; int64 if all three are integers.  arange(end) starts at 0."""
    start, end = (0, start) if end is None else (start, end)
    start, end, step = (x.item() if hasattr(x, "item") else x for x in (start, end, step))
    exact = all(isinstance(x, int) for x in (start, end, step))
    dtype = np.dtype(dtype or (dtypes.int64 if exact else dtypes.get_default_dtype()))
    if dtype == dtypes.bool_:
        raise NotImplementedError("arange: not defined for bool; make integers and compare them")
    if dtype == dtypes.int64 and not exact:
        start, end, step = (dtypes.number_as("arange", x, dtype) for x in (start, end, step))
    if not all(map(math.isfinite, (start, end, step))) or step == 0 or (end - start) / step < 0:
        raise RuntimeError(f"arange: from {start} to {end} in steps of {step} never arrives; check the step's sign")
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
