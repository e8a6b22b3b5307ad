"""A stand-in for cuBLAS, on the processor: what minitorch/kernels/cublas.py asks of it, by NVIDIA's documentation."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

import minitorch
from minitorch.kernels import cublas

from .emulated_cuda import many

NUMPY = {code: name for name, code in cublas.TYPES.items()}


class Library:
    """cublasGemmStridedBatchedEx by its documentation: C = op(A) op(B), all matrices in columns, ``step`` elements apart."""

    calls: list[dict[str, Any]]
    streams: list[Any]

    def __init__(self) -> None:
        self.calls, self.streams = [], []

    def cublasCreate_v2(self, pointer: Any) -> int:
        return 0

    def cublasSetStream_v2(self, handle: Any, stream: int) -> int:
        self.streams.append(stream)
        return 0

    def cublasSetWorkspace_v2(self, handle: Any, pointer: int, size: int) -> int:
        assert size >= 4 << 20
        return 0

    def cublasGemmStridedBatchedEx(
        self, handle, trans_a, trans_b, m, n, k, alpha, A, kind, lda, step_a, B, kind_b, ldb, step_b, beta, C, kind_c, ldc,
        step_c, count, compute, algorithm,
    ):  # fmt: skip
        assert kind == kind_b == kind_c
        number = ctypes.c_double if kind == 1 else ctypes.c_float
        assert (alpha._obj.value, beta._obj.value, type(alpha._obj)) == (1, 0, number)
        self.calls.append({"count": count, "compute": compute, "kind": kind, "trans": (trans_a, trans_b)})
        for i in range(count):
            a = columns(A, kind, (k, m) if trans_a else (m, k), lda, i * step_a)
            b = columns(B, kind, (n, k) if trans_b else (k, n), ldb, i * step_b)
            c = columns(C, kind, (m, n), ldc, i * step_c)
            wide = np.float64 if kind == 1 else np.float32
            c[...] = ((a.T if trans_a else a).astype(wide) @ (b.T if trans_b else b).astype(wide)).astype(c.dtype)
        return 0


def columns(pointer: int, kind: int, shape: tuple[int, int], ld: int, offset: int) -> Any:
    """The matrix of that shape whose columns begin ``ld`` elements apart."""
    assert ld >= max(1, shape[0]), "cuBLAS refuses a leading dimension below the number of rows"
    dtype = np.dtype(getattr(minitorch, NUMPY[kind]))
    size = offset + (shape[1] - 1) * ld + shape[0]
    memory = np.frombuffer(many(ctypes.c_char, size * dtype.itemsize).from_address(pointer), dtype)
    return np.lib.stride_tricks.as_strided(memory[offset:], shape, (dtype.itemsize, ld * dtype.itemsize))
