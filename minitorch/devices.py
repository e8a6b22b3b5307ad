"""Devices: which array library an array belongs to, and moving arrays between them.

An array is a NumPy array (device "cpu") or a CuPy array (device "cuda:0", "cuda:1", ...). CuPy is imported only when
somebody asks for "cuda". A string will do for any device argument. Read before: nothing. Read next: dtypes.py.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray; neither type covers the other

recording = False  # is a CUDA graph being recorded (cuda.py)?

_NUMPY = (np.ndarray, np.generic, int, float, type(None))

CUPY_MISSING = (
    'device "cuda" needs CuPy, which is not installed: pip install "cupy-cuda13x[ctk]" (CUDA 13) or "cupy-cuda12x[ctk]" (CUDA '
    "12), and an NVIDIA GPU with its driver; `minitorch doctor` says what this machine has"
)


class device(str):
    """A tensor's device: ``device("cuda:1")`` or ``device("cuda", 1)``, a string that knows its type and its index.

    type: "cpu" or "cuda".  index: the GPU's number; None if not given, as in "cuda".
    PyTorch's device equals devices only; this one also equals its string: ``x.device == "cpu"``.
    """

    type: str
    index: int | None  # type: ignore[assignment]  # hides str.index

    def __new__(cls, type: str, index: int | None = None) -> device:
        """RuntimeError for an unknown type, a wrong index, or an index given twice."""
        kind, colon, number = str(type).partition(":")
        if index is not None:
            if colon:
                raise RuntimeError(f'device: "{type}" names an index already, and index={index} is given too; give one of them')
            if index < 0:
                raise RuntimeError(f"device: the index must not be negative, got {index}")
            colon, number = ":", str(index)
        if kind not in ("cpu", "cuda") or (colon and not number.isdecimal()):
            raise RuntimeError(f'unknown device "{type}": use "cpu", "cuda" or "cuda:N"')
        self = super().__new__(cls, f"{kind}:{int(number)}" if colon else kind)
        self.type, self.index = kind, int(number) if colon else None
        return self

    def __repr__(self) -> str:
        return f"device(type='{self.type}'{'' if self.index is None else f', index={self.index}'})"


CPU = device("cpu")
_gpu = functools.cache(functools.partial(device, "cuda"))


def cupy() -> ModuleType:
    """The CuPy module, or an error that says how to get it."""
    try:
        return importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        raise RuntimeError(CUPY_MISSING) from error
    except ImportError as error:
        raise RuntimeError(f'device "cuda": CuPy does not import ({error}); `minitorch doctor` says why') from error


def cupy_with_a_gpu() -> ModuleType:
    """CuPy, if it finds a GPU."""
    library = cupy()
    try:
        library.cuda.runtime.getDeviceCount()
    except library.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f'device "cuda": CuPy finds no usable GPU ({error}); `minitorch doctor` says what to do') from error
    return library


def cuda_is_available() -> bool:
    """True if CuPy is installed and finds at least one GPU with a working driver."""
    try:
        return bool(cupy().cuda.runtime.getDeviceCount())
    except Exception:  # CuPy raises its own classes for a missing or outdated driver; each means "no"
        return False


def is_cupy(x: Any) -> bool:
    """Does the object come from CuPy? Asked of its type's name, so that CuPy need not be imported."""
    return type(x).__module__.partition(".")[0] == "cupy"


def array_module(*operands: Any) -> Any:
    """The library whose functions apply to the operands: numpy, cupy, or minitorch.ops if one is a Tensor.

    All three use the same names (exp, where, sum(axis=, keepdims=), ...), so one formula serves all three (graph.op).
    """
    library: Any = np
    for x in operands:
        if isinstance(x, _NUMPY):
            continue
        if is_cupy(x):
            library = cupy()
        elif hasattr(x, "__array_namespace__"):
            return x.__array_namespace__()  # a Tensor: the same functions, recorded in the graph
        else:
            raise TypeError(f"expected a Tensor, got {type(x).__name__}; make a tensor of it: minitorch.tensor(x)")
    return library


def device_of(array: Array) -> device:
    """ "cpu" for a NumPy array, "cuda:0" for a CuPy array on GPU 0."""
    return CPU if isinstance(array, _NUMPY) else _gpu(array.device.id)


def module_for(device: str | None) -> ModuleType:
    """The array library that makes arrays on ``device`` (None means "cpu")."""
    target = canonical(device)
    return np if target == "cpu" else _on_gpu(target)


def _on_gpu(device: str) -> ModuleType:
    """CuPy, with that GPU current in this thread: CuPy computes on the current GPU, wherever the operands are."""
    library = cupy_with_a_gpu()
    library.cuda.Device(int(device.partition(":")[2])).use()
    return library


def canonical(where: Any) -> str:
    """ "cpu" (for None too), or "cuda:N" with the GPU's number; anything else is an error."""
    if where is None or where == "cpu":
        return "cpu"
    target = device(where)
    return "cpu" if target.type == "cpu" else f"cuda:{target.index or 0}"


def move(array: Array, device: str | None) -> Array:
    """``array`` on ``device``: ``array`` itself if already there, else a copy."""
    target = canonical(device)
    if target == device_of(array):
        return array
    if recording:
        raise RuntimeError(
            "a copy between CPU and GPU cannot be part of a CUDA graph: copy first, into a tensor that the graph reads"
        )
    if target == "cpu":
        return array.get()
    return _on_gpu(target).array(array)
