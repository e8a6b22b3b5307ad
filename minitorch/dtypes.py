"""Data types: their names, the default, and the promotion of an operation's operands to one dtype.

PyTorch's rules, which differ from NumPy's: float32 is the default, an integer tensor never drags a float32 one to
float64, and Python numbers and 0-d tensors are weak: they change the *kind* of a result (bool < int < float) but not
its width. Source: https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
``bfloat16`` is float32 with 16 of its 23 bits of mantissa cut off; NumPy lacks it, so it comes from ml_dtypes, when asked for.
Read before: devices.py. Read next: grad_mode.py.
"""

from __future__ import annotations

import importlib
import math
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

DType: TypeAlias = "np.dtype[Any]"

__all__ = [
    "can_cast",
    "double",
    "finfo",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "half",
    "iinfo",
    "int16",
    "int32",
    "int64",
    "int8",
    "long",
    "promote_types",
    "result_type",
    "set_default_dtype",
    "short",
    "uint8",
]

bool_ = np.dtype("bool")
uint8, int8, int16, int32, int64 = map(np.dtype, ("uint8", "int8", "int16", "int32", "int64"))
float16, float32, float64 = map(np.dtype, ("float16", "float32", "float64"))
half, float_, double, short, int_, long = float16, float32, float64, int16, int32, int64

_default: DType = float32
_UNSIGNED = {np.dtype(f"i{n}"): np.dtype(f"u{n}") for n in (1, 2, 4, 8)}
_KIND = {"b": 0, "u": 1, "i": 1, "f": 2, "V": 2}  # "V": ml_dtypes' bfloat16 presents itself as a void type


def get_default_dtype() -> DType:
    """The dtype of a tensor made from Python floats: float32 unless set otherwise."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Make ``dtype`` (a floating type) the dtype of tensors made from Python floats."""
    global _default
    if not is_floating(np.dtype(dtype)):
        raise TypeError(f"the default dtype must be a floating type, not {np.dtype(dtype)}")
    _default = np.dtype(dtype)


def __getattr__(name: str) -> Any:
    """minitorch.bfloat16: from the package ml_dtypes, imported only when used."""
    if name != "bfloat16":
        raise AttributeError(f"module 'minitorch' has no attribute {name!r}")
    return np.dtype(_ml_dtypes().bfloat16)


def _ml_dtypes() -> Any:
    try:
        return importlib.import_module("ml_dtypes")
    except ImportError as error:
        raise RuntimeError("bfloat16 needs ml_dtypes, which NumPy and CuPy get it from: pip install ml_dtypes") from error


def is_floating(dtype: DType) -> bool:
    """True for float16, bfloat16, float32, float64."""
    return _KIND.get(dtype.kind) == 2


def promote_types(a: DType, b: DType) -> DType:
    """The narrowest type that holds both kinds: float beats int whatever the widths, as in PyTorch."""
    if is_floating(a) != is_floating(b):
        return a if is_floating(a) else b
    if a.itemsize == b.itemsize == 2 and a != b and is_floating(a):
        return float32  # float16 has the digits, bfloat16 the range
    return np.promote_types(a, b)


def result_type(*operands: Any) -> DType:
    """The dtype in which ``operands`` (arrays, Tensors, Python numbers) meet.

    Tensors with dimensions decide. A 0-d tensor, then a Python number, matters only if its kind is higher.
    """
    ranks: list[DType | None] = [None, None, None]  # with dimensions, 0-d, Python numbers
    for x in operands:
        if isinstance(x, bool | int | float):
            rank, dtype = 2, bool_ if isinstance(x, bool) else int64 if isinstance(x, int) else _default
        else:
            rank, dtype = (0 if x.ndim else 1), x.dtype
        held = ranks[rank]
        ranks[rank] = dtype if held is None else promote_types(held, dtype)
    strong, zero_d, number = ranks
    return _outrank(_outrank(strong, zero_d), number) or _default


def _outrank(strong: DType | None, weak: DType | None) -> DType | None:
    if strong is None or weak is None:
        return weak if strong is None else strong
    return promote_types(strong, weak) if _KIND[weak.kind] > _KIND[strong.kind] else strong


def can_cast(from_: DType, to: DType) -> bool:
    """Can a tensor of one dtype store results of another? Not if that lowers the kind: float → int → bool."""
    return _KIND[from_.kind] <= _KIND[to.kind]


def number_as(name: str, value: Any, dtype: DType) -> Any:
    """The plain number as a tensor of ``dtype`` stores it; an error if it does not fit. uint8 stores -1 as 255."""
    value = value.item() if isinstance(value, np.generic) else value
    if dtype == bool_:
        return bool(value)
    limits: Any = finfo(dtype) if is_floating(dtype) else iinfo(dtype)
    low, high = (-limits.max if dtype.kind == "u" and isinstance(value, int) else limits.min), limits.max
    if is_floating(dtype):
        fits = not math.isfinite(value) or low <= value <= high
    else:
        fits = math.isfinite(value) and low <= value <= high
    if not fits:
        raise RuntimeError(f"{name}: {value} does not fit into {dtype}, which holds {limits.min} to {limits.max}")
    if is_floating(dtype):
        return np.asarray(value, np.float64).astype(dtype).item()
    return int(value) % (limits.max + 1) if dtype.kind == "u" else int(value)


def finfo(dtype: Any) -> Any:
    """The limits of a floating type as plain numbers: .min, .max, .eps, .tiny, .bits."""
    dtype = np.dtype(dtype)
    limits = np.finfo(dtype) if dtype.kind == "f" else _ml_dtypes().finfo(dtype)
    names = ("min", "max", "eps", "tiny", "smallest_normal", "resolution")
    return SimpleNamespace(bits=limits.bits, **{name: float(getattr(limits, name)) for name in names})


def iinfo(dtype: Any) -> Any:
    """The limits of an integer type: .min, .max."""
    return np.iinfo(np.dtype(dtype))


def all_below(index: Any, count: int) -> bool:
    """Is every integer of the array in 0 ... count - 1?  One pass: a negative number, read without its sign, is a large one."""
    return not index.size or bool(index.view(_UNSIGNED.get(index.dtype, index.dtype)).max() < count)
