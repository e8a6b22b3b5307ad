"""Matrix products on an NVIDIA GPU: cuBLAS, called directly.

CuPy's ``@`` calls cuBLAS too, but it multiplies stacks of float16 matrices as float32 and bfloat16 not at all, copies
transposed matrices of a stack, and refuses every call while a CUDA graph is recorded
(https://github.com/cupy/cupy/issues/6290). The one function used here can be recorded: NVIDIA's documentation excludes only
functions that return numbers to the CPU, and requires a separate workspace. The tensor cores multiply 16-bit floats and sum
in float32; for float32 see set_float32_matmul_precision.
https://docs.nvidia.com/cuda/cublas/#cublasgemmstridedbatchedex, #cuda-graphs-support
Read before: kernels/__init__.py.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import itertools
import math
import os
import threading
from typing import Any

import numpy as np

from .. import devices
from ..devices import Array

TYPES = {"float16": 2, "bfloat16": 14, "float32": 0, "float64": 1}  # cudaDataType_t
COMPUTE = {"highest": 68, "high": 77, "medium": 75}  # cublasComputeType_t: 32F, 32F_FAST_TF32, 32F_FAST_16BF
COMPUTE_64F = 70
WORKSPACE = 32 << 20  # bytes: NVIDIA's recommendation for Hopper; older GPUs need less

_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """How a GPU multiplies float32 matrices: "highest" as float32; "high" with factors cut to TF32 (10 bits of mantissa), which
    tensor cores multiply several times as fast; "medium" with factors cut to bfloat16. Sums are float32. The CPU ignores it."""
    global _precision
    if precision not in COMPUTE:
        raise RuntimeError(f'set_float32_matmul_precision: "highest", "high" (TF32) or "medium", not {precision!r}')
    _precision = precision


def get_float32_matmul_precision() -> str:
    """The setting of set_float32_matmul_precision: "highest" by default."""
    return _precision


def matmul(a: Array, b: Array) -> Array:
    """a @ b: (..., n, k) @ (..., k, m) -> (..., n, m). CuPy multiplies operands that are not floats of one dtype."""
    xp = devices.array_module(a)
    if type(a) is not type(b) or a.dtype != b.dtype or a.dtype.name not in TYPES or min(a.ndim, b.ndim) < 2:
        return a @ b
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
    y = xp.empty((*lead, n, m), a.dtype)
    if 0 in (y.size, k):
        y.fill(0)
        return y
    (a, trans_a, lda, step_a), (b, trans_b, ldb, step_b) = _operand(xp, a, lead), _operand(xp, b, lead)
    double = a.dtype.name == "float64"
    one, zero = ((ctypes.c_double if double else ctypes.c_float)(x) for x in (1, 0))
    kind, single = TYPES[a.dtype.name], a.dtype.name == "float32"
    compute = COMPUTE_64F if double else COMPUTE[_precision if single else "highest"]
    with xp.cuda.Device(a.device.id):
        _check(  # cuBLAS stores by columns: its yᵀ = bᵀ aᵀ is y = a b by rows
            _library().cublasGemmStridedBatchedEx(
                _handle(xp), trans_b, trans_a, m, n, k, ctypes.byref(one), b.data.ptr, kind, ldb, step_b,
                a.data.ptr, kind, lda, step_a, ctypes.byref(zero), y.data.ptr, kind, m, n * m, math.prod(lead), compute, -1,
            )
        )  # fmt: skip
    return y


def _operand(xp: Any, x: Array, lead: tuple[int, ...]) -> tuple[Array, int, int, int]:
    """The array, or a copy that cuBLAS can read; 1 if it is transposed; the distances between rows and between matrices."""
    r, c = x.shape[-2:]
    strides = [s // x.itemsize for s in x.strides]
    step = _step(x.shape[:-2], strides[:-2], lead)
    down, right = strides[-2:]
    if step is not None and (right == 1 or c == 1) and (r == 1 or down >= c):
        return x, 0, max(down if r > 1 else c, c), step
    if step is not None and (down == 1 or r == 1) and (c == 1 or right >= r):
        return x, 1, max(right if c > 1 else r, r), step
    whole = x if step is not None else xp.broadcast_to(x, (*lead, r, c))
    return _operand(xp, xp.ascontiguousarray(whole), lead)


def _step(shape: tuple[int, ...], strides: list[int], lead: tuple[int, ...]) -> int | None:
    """Elements from one matrix of a stack to the next, if constant; 0 if one matrix serves for all."""
    strides = [0] * (len(lead) - len(shape)) + [0 if n == 1 else s for n, s in zip(shape, strides, strict=True)]
    axes = [(n, s) for n, s in zip(lead, strides, strict=True) if n > 1]
    if not axes:
        return 0
    for (_, outer), (n, inner) in itertools.pairwise(axes):
        if outer != n * inner:
            return None
    return axes[-1][1] if axes[-1][1] >= 0 else None


# ---------------------------------------------------------------------------------------------------- the library


@functools.cache
def _library() -> Any:
    """libcublas, the one that CuPy has loaded into this process."""
    importlib.import_module("cupy.cublas")  # finds and loads it, also if pip installed it
    major = devices.cupy().cuda.runtime.runtimeGetVersion() // 1000
    library = ctypes.CDLL(f"cublas64_{major}.dll" if os.name == "nt" else f"libcublas.so.{major}")
    i, p, long = ctypes.c_int, ctypes.c_void_p, ctypes.c_longlong
    library.cublasGemmStridedBatchedEx.argtypes = [
        p, i, i, i, i, i, p, p, i, i, long, p, i, i, long, p, p, i, i, long, i, i, i,
    ]  # fmt: skip
    library.cublasSetStream_v2.argtypes = [p, p]
    library.cublasSetWorkspace_v2.argtypes = [p, p, ctypes.c_size_t]
    return library


class _Handles(threading.local):
    """cuBLAS's state, one per thread and GPU: [handle, stream, workspace]."""

    def __init__(self) -> None:
        self.of_device: dict[int, list[Any]] = {}


_handles = _Handles()


def _handle(xp: Any) -> Any:
    """This thread's handle for the current GPU, on the current stream."""
    device, stream = xp.cuda.runtime.getDevice(), xp.cuda.get_current_stream().ptr
    held = _handles.of_device.get(device)
    if held is None:
        pointer = ctypes.c_void_p()
        _check(_library().cublasCreate_v2(ctypes.byref(pointer)))
        held = _handles.of_device[device] = [pointer, None, xp.cuda.memory.Memory(WORKSPACE)]
    if held[1] != stream:  # setting the stream removes the workspace
        _check(_library().cublasSetStream_v2(held[0], stream))
        _check(_library().cublasSetWorkspace_v2(held[0], held[2].ptr, WORKSPACE))
        held[1] = stream
    return held[0]


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"cuBLAS refused a matrix product with status {status} (cublasStatus_t); is the GPU's memory full?")
