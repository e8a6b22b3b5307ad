"""Making arrays: from Python data, or filled by a rule. creation.py and Tensor.new_zeros wrap them in tensors.

Read before: dtypes.py. Read next: creation.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import devices, dtypes, graph
from .devices import Array
from .ops._arguments import shape_of


@np.errstate(over="ignore")  # 1e39 is inf in float32
def array_from(data: Any, dtype: Any, device: str | None, copy: bool = True) -> Array:
    """``data`` (number, nested lists, array, Tensor) on a device: a copy, or its own memory where possible."""
    if isinstance(data, graph.Tensor):
        data = data.array
    elif not hasattr(data, "dtype"):
        data = _from_python(data, dtype)
    elif isinstance(data, np.generic):
        data = np.asarray(data)
    array = devices.move(data, device or devices.device_of(data))
    if dtype is not None and np.dtype(dtype) != array.dtype:
        return array.astype(dtype)
    check_kind(array)
    return array.copy() if copy and (array is data or array.base is not None) else array


def _from_python(data: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Nested lists of numbers, or of tensors and arrays, as one array."""
    plain = _without_tensors(data)
    try:
        array = np.asarray(plain)
    except ValueError as error:
        raise ValueError("tensor: rows of different lengths do not make a rectangular tensor; pad them first") from error
    check_kind(array)
    if dtype is not None and array.dtype != dtype:
        _check_fits(array, np.dtype(dtype))
        array = array.astype(dtype)
    if dtype is None and array.dtype.kind in "if" and not _has_dtype(plain):
        array = array.astype(dtypes.int64 if array.dtype.kind == "i" else dtypes.get_default_dtype(), copy=False)
    return array


def _check_fits(array: Any, dtype: Any) -> None:
    """Python's integers are exact, so a dtype too small for one is an error, and so are NaN and infinity."""
    if dtypes.is_floating(dtype) or dtype == dtypes.bool_ or not array.size:
        return
    for extreme in (array.min(), array.max()):
        dtypes.number_as("tensor", extreme, dtype)


def _without_tensors(data: Any) -> Any:
    if isinstance(data, graph.Tensor):
        return data.detach().cpu().numpy()
    return [_without_tensors(x) for x in data] if isinstance(data, list | tuple) else data


def _has_dtype(data: Any) -> bool:
    """Did the user pass NumPy's values, which keep their dtype, rather than Python's, which have the default one?"""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return hasattr(data, "dtype")


def check_kind(array: Any) -> None:
    """Refuse an array of a dtype that no tensor can have."""
    if array.dtype == np.uint64:
        raise RuntimeError("a tensor cannot hold integers above 2⁶³ - 1, the largest of int64; use floats")
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(
            f"a tensor cannot hold {array.dtype} values, only numbers and booleans; "
            "for strings use a tokenizer or a table of integers"
        )


@np.errstate(over="ignore")
def filled(maker: str, shape: tuple[int, ...], *fill: Any, dtype: Any, device: Any) -> Array:
    """``maker`` (zeros, ones, empty, full) of the device's array library; None means the default dtype."""
    if any(n < 0 for n in shape):
        raise RuntimeError(f"sizes must not be negative, got {shape}")
    return getattr(devices.module_for(device), maker)(shape, *fill, dtype=np.dtype(dtype or dtypes.get_default_dtype()))


def full(size: Any, fill_value: Any, dtype: Any, device: Any) -> Array:
    """All ``fill_value``; its kind decides the dtype if none is given."""
    value = fill_value.item() if hasattr(fill_value, "item") else fill_value
    dtype = np.dtype(dtype or dtypes.result_type(value))
    shape = (size,) if isinstance(size, int) else shape_of((size,))
    return filled("full", shape, dtypes.number_as("full", value, dtype), dtype=dtype, device=device)
