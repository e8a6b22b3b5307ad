"""A stand-in for CuPy on machines without a GPU: arrays of a class of their own, kernels on tests/emulated_cuda.py.

What it is for: to run the library's code for device "cuda" and to find what CuPy would refuse. It has exactly CuPy's names
(tests/frozen/cupy_names.json), takes no NumPy arrays where CuPy takes none, never becomes one by itself, and its reductions
stay arrays. Memory is surrounded by guards and, when new, full of NaNs. It says nothing of speed or streams.

``install()`` puts it where ``import cupy`` finds it.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch.kernels import cublas

from . import emulated_cublas, emulated_cuda

NAMES = set(json.loads((Path(__file__).parent / "frozen" / "cupy_names.json").read_text())["names"])
GUARD = 0 if emulated_cuda.SANITIZE else 256


def _memory(shape: Any, dtype: Any, order: str = "C") -> tuple[np.ndarray, np.ndarray]:
    """(array, the bytes it lies in): aligned to 256 bytes where guards are, full of 0xff, which are NaNs."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    size = math.prod(shape) * dtype.itemsize
    raw = np.full(size + (2 * GUARD + 256 if GUARD else 1), 0xFF, np.uint8)
    start = (-emulated_cuda.address(raw)) % 256 + GUARD if GUARD else 0
    return np.ndarray(shape, dtype, raw, start, order=order), raw


class _Pointer:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class ndarray:
    """A NumPy array behind glass."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C") -> None:
        self._a, self._raw = _memory(shape, dtype, order)
        self.base: Any = None

    @classmethod
    def _new(cls, a: np.ndarray) -> ndarray:
        """A copy of the NumPy array in memory of its own."""
        x = cls.__new__(cls)
        keep = a.flags.f_contiguous and not a.flags.c_contiguous
        x._a, x._raw = _memory(a.shape, a.dtype, "F" if keep else "C")
        x._a[...] = a
        x.base = None
        return x

    def _view(self, a: np.ndarray) -> ndarray:
        x = type(self).__new__(type(self))
        x._a, x._raw, x.base = a, self._raw, self if self.base is None else self.base
        return x

    def _intact(self) -> bool:
        if not GUARD:
            return True
        owner = self if self.base is None else self.base
        start = emulated_cuda.address(owner._a) - emulated_cuda.address(self._raw)
        return bool((self._raw[:start] == 0xFF).all() and (self._raw[start + owner._a.nbytes :] == 0xFF).all())

    def __array__(self, *arguments: Any, **named: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
        )

    @property
    def data(self) -> Any:
        return _Pointer(emulated_cuda.address(self._a))

    @property
    def flags(self) -> Any:
        f = self._a.flags
        return types.SimpleNamespace(c_contiguous=f.c_contiguous, f_contiguous=f.f_contiguous, owndata=self.base is None)

    @property
    def device(self) -> Any:
        return Device(0)

    def get(self, *arguments: Any, **named: Any) -> np.ndarray:
        return self._a.copy()

    def __getitem__(self, index: Any) -> ndarray:
        return _wrap(self._a[_index(index)], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._a[_index(index)] = _unwrap(value)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._a)))

    def __len__(self) -> int:
        return len(self._a)

    def __bool__(self) -> bool:
        return bool(self._a)

    def __int__(self) -> int:
        return int(self._a)

    def __index__(self) -> int:
        return self._a.__index__()

    def __float__(self) -> float:
        return float(self._a)

    def __repr__(self) -> str:
        return repr(self._a)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or f"ndarray.{name}" not in NAMES:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        value = getattr(self._a, name)
        if name in ("tolist", "item"):
            return value
        if callable(value):
            return lambda *arguments, **named: _wrap(
                value(*map(_unwrap, arguments), **{k: _unwrap(v) for k, v in named.items()}), self
            )
        return _wrap(value, self) if isinstance(value, np.ndarray) else value


ndarray.__module__ = "cupy"
OPERATORS = (
    "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub rmul rtruediv rfloordiv rmod rpow rmatmul "
    "rand ror rxor eq ne lt le gt ge neg pos abs invert iadd isub imul itruediv ifloordiv imod ipow iand ior ixor"
)
for _name in OPERATORS.split():

    def _operator(self: ndarray, *others: Any, _name: str = f"__{_name}__") -> Any:
        for other in others:
            if not isinstance(other, ndarray | bool | int | float | np.generic):
                return NotImplemented
        if _name[2] == "i" and _name != "__invert__":
            result = getattr(self._a, _name)(*map(_unwrap, others))
            assert result is self._a or result is NotImplemented, _name
            return self if result is self._a else NotImplemented
        result = getattr(self._a, _name)(*map(_unwrap, others))
        if self.dtype.name == "bfloat16" and any(type(x) is float for x in others) and result.dtype != bool:
            result = result.astype(np.float32)  # for CuPy a Python number is not weak beside it
        return result if result is NotImplemented else _wrap(result, self)

    setattr(ndarray, f"__{_name}__", _operator)


def _unwrap(x: Any) -> Any:
    """What NumPy computes with; an error for what CuPy does not take."""
    if isinstance(x, ndarray):
        return x._a
    if isinstance(x, np.ndarray) and x.dtype.fields is None:
        raise TypeError(f"Unsupported type {type(x)}")
    return type(x)(map(_unwrap, x)) if type(x) in (list, tuple) else x


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    return index._a if isinstance(index, ndarray) else index


def _wrap(y: Any, of: ndarray | None = None) -> Any:
    """A result as an array of ours: a view of ``of`` if it is one, 0-d if NumPy made a scalar of it."""
    if isinstance(y, tuple | list):
        return (tuple if isinstance(y, tuple) else list)([_wrap(item, of) for item in y])
    if isinstance(y, np.ndarray):
        if of is not None and np.may_share_memory(y, of._raw):
            if y is of._a:
                return of
            offset = emulated_cuda.address(y) - emulated_cuda.address(of._raw)  # CuPy's views can all be written to
            return of._view(np.ndarray(y.shape, y.dtype, of._raw, offset, y.strides) if y.size else y)
        return ndarray._new(y)
    return ndarray._new(np.asarray(y)) if isinstance(y, np.generic | bool) else y


def _first(arguments: Any) -> ndarray | None:
    for x in arguments:
        if isinstance(x, ndarray):
            return x
    return None


def _refuse(name: str, arrays: list[ndarray]) -> None:
    """What CuPy 14 does not know of short types."""
    kinds = [x.dtype.name for x in arrays]
    if name == "add.at" and kinds[0] not in ("int32", "float16", "float32", "float64", "uint32", "uint64"):
        raise TypeError(f"cupy.add.at only supports int32, float16, float32, float64, uint32, uint64, not {kinds[0]}")
    if name in ("sort", "argsort") and "bfloat16" in kinds:
        raise NotImplementedError("Sorting arrays with dtype 'bfloat16' is not supported")
    if name in ("cumsum", "cumprod") and arrays[0].ndim == 0:
        raise ValueError("axis 0 is out of bounds for array of dimension 0")


WIDENING = ("where", "round", "tril", "triu")  # from bfloat16 to float32; others do beside a Python number


class _Function:
    """A function of CuPy's, computed by NumPy's of that name."""

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.function = name, function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if "out" in named and isinstance(named["out"], ndarray):
            self.function(*map(_unwrap, arguments), **{k: _unwrap(v) for k, v in named.items()})
            return named["out"]
        arrays = [x for x in arguments if isinstance(x, ndarray)]
        _refuse(self.name, arrays)
        with np.errstate(all="ignore"):
            y = self.function(*map(_unwrap, arguments), **{k: _unwrap(v) for k, v in named.items()})
        if arrays and getattr(y, "dtype", "") == "bfloat16":
            y = y.astype(np.float32) if self.name in WIDENING or float in map(type, arguments) else y
        return _wrap(y, _first(arguments))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or f"{self.name}.{name}" not in NAMES:
            raise AttributeError(f"cupy.{self.name} has no {name!r}")
        return _Function(f"{self.name}.{name}", getattr(self.function, name))


class _Module(types.ModuleType):
    """cupy, cupy.linalg: NumPy's functions under the names that CuPy has."""

    def __init__(self, name: str, numpy: Any, **own: Any) -> None:
        super().__init__(name)
        self._numpy, self._prefix = numpy, name.partition(".")[2]
        self.__dict__.update(own)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or ".".join(filter(None, (self._prefix, name))) not in NAMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(self._numpy, name)
        return value if isinstance(value, type | float | type(None)) or not callable(value) else _Function(name, value)


class Device:
    """The one card."""

    attributes = {"MultiProcessorCount": 2, "MaxSharedMemoryPerBlockOptin": 232448}  # noqa: RUF012
    id = 0

    def __init__(self, id: int = 0) -> None:
        if id:
            raise CUDARuntimeError(f"cudaErrorInvalidDevice: there is one emulated card, not cuda:{id}")

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def use(self) -> Device:
        return self


class CUDARuntimeError(RuntimeError):
    """CuPy's class for errors of the driver."""


class RawKernel:
    """A kernel of a module; what it is called with is checked against its signature."""

    def __init__(self, source: str, name: str) -> None:
        self.source, self.name, self.max_dynamic_shared_size_bytes = source, name, 48 << 10

    def __call__(self, grid: tuple, block: tuple, arguments: tuple, *, shared_mem: int = 0, stream: Any = None) -> None:
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDARuntimeError("CUDA_ERROR_INVALID_VALUE: more shared memory than max_dynamic_shared_size_bytes")
        if any(a is None for a in arguments):
            raise TypeError(f"{self.name}: CuPy passes no address for a None, the kernel reads whatever lies there; pass NULL")
        passed = [(emulated_cuda.address(a._a), a.dtype) if isinstance(a, ndarray) else a for a in arguments]
        emulated_cuda.launch(self.source, self.name, grid, block, passed, shared_mem)
        for a in arguments:
            if isinstance(a, ndarray) and not a._intact():
                raise RuntimeError(f"{self.name} wrote beyond an array of shape {a.shape}")


class RawModule:
    """Source of kernels."""

    def __init__(self, code: str, options: tuple = (), **named: Any) -> None:
        self.code = code.encode("ascii").decode()  # CuPy writes it to a file in the locale's encoding

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self.code, name)


class Generator:
    """cupy.random.Generator: NumPy's, its arrays moved."""

    def __init__(self, bit_generator: Any) -> None:
        self._numpy = np.random.Generator(np.random.PCG64(bit_generator))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._numpy, name)
        return lambda *arguments, **named: _wrap(np.asarray(method(*arguments, **named)))


def _array(x: Any, dtype: Any = None, copy: bool = True, order: str = "K", **named: Any) -> ndarray:
    if isinstance(x, ndarray) and not copy and (dtype is None or x.dtype == dtype):
        return x
    if isinstance(x, list | tuple) and any(isinstance(item, ndarray) for item in x):
        x = np.stack([np.asarray(_unwrap(item)) for item in x])
    return ndarray._new(np.array(x._a if isinstance(x, ndarray) else x, dtype=dtype))


def _asarray(x: Any, dtype: Any = None, **named: Any) -> ndarray:
    return _array(x, dtype, copy=False)


def _ascontiguousarray(x: Any, dtype: Any = None) -> ndarray:
    if isinstance(x, ndarray) and x._a.flags.c_contiguous and (dtype is None or x.dtype == dtype):
        return x
    return ndarray._new(np.ascontiguousarray(_unwrap(x), dtype))


def _empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def _empty_like(x: ndarray, dtype: Any = None, **named: Any) -> ndarray:
    return ndarray(x.shape, x.dtype if dtype is None else dtype)


def _special(function: Any) -> Any:
    """Of cupyx.scipy.special, which makes float64 of float16 and float32 of bfloat16."""
    wider = {"float16": "float64", "bfloat16": "float32"}
    return lambda x: ndarray._new(np.vectorize(function, otypes=[wider.get(x.dtype.name, x.dtype.name)])(x._a))


def install() -> None:
    """Make ``import cupy`` find the stand-in."""
    quiet = types.SimpleNamespace(synchronize=lambda: None, ptr=0)
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=CUDARuntimeError, getDevice=lambda: 0)
    memory = types.SimpleNamespace(Memory=lambda size: _Pointer(0))
    cublas._library = emulated_cublas.Library
    cublas._handles = cublas._Handles()
    cuda = types.SimpleNamespace(
        runtime=runtime, memory=memory, Device=Device, get_current_stream=lambda: quiet, is_available=lambda: True
    )
    own = {
        "ndarray": ndarray, "array": _array, "asarray": _asarray, "ascontiguousarray": _ascontiguousarray, "empty": _empty,
        "empty_like": _empty_like, "RawModule": RawModule, "cuda": cuda, "__version__": "0 (emulated)",
        "asnumpy": lambda x: x.get() if isinstance(x, ndarray) else np.asarray(x),
        "random": types.SimpleNamespace(Generator=Generator, XORWOW=lambda seed: seed),
    }  # fmt: skip
    cupy = _Module("cupy", np, **own)
    cupy.linalg = _Module("cupy.linalg", np.linalg)  # type: ignore[attr-defined]
    special = types.ModuleType("cupyx.scipy.special")
    special.erf, special.erfc = _special(math.erf), _special(math.erfc)  # type: ignore[attr-defined]
    sys.modules.update({"cupy": cupy, "cupyx": types.ModuleType("cupyx"), "cupyx.scipy": types.ModuleType("cupyx.scipy")})
    sys.modules["cupyx.scipy.special"] = special


@contextlib.contextmanager
def card() -> Iterator[Any]:
    """CuPy, for a ``with`` block: the real one where it has a card, else the stand-in; skips the test where neither can be."""
    if minitorch.cuda_is_available():
        yield minitorch.devices.cupy()
        return
    if emulated_cuda.compiler() is None:
        pytest.skip("no GPU, and no g++ to emulate one with")
    names = ["cupy", "cupyx", "cupyx.scipy", "cupyx.scipy.special"]
    before = {name: sys.modules.get(name) for name in names}
    install()
    try:
        yield sys.modules["cupy"]
    finally:
        for name in names:
            sys.modules.pop(name)
        sys.modules.update({name: module for name, module in before.items() if module is not None})
