"""Linear algebra: matrix products of every rank.

Read before: elementwise.py, shaping.py. Read next: nn.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..devices import Array
from ._arguments import raw
from ._autocast import autocast
from ._op import op

__all__ = ["dot", "matmul"]

# --------------------------------------------------------------------------------------------- matrix products


@op(half="float32 on CPU")
def _matmul(a: Array, b: Array) -> Any:
    """a @ b.  With y = ab:  dL/da = g bᵀ,  dL/db = aᵀ g."""
    return product(a, b), (lambda g: product(g, b.mT), lambda g: product(a.mT, g))


@op(half="float32 on CPU")
def _matmul_rows(a: Array, b: Array) -> Any:
    """a @ b for a stack of matrices and one matrix: the stack is one tall matrix, so it takes one product, not many."""
    return times(a, b), (lambda g: times(g, b.mT), lambda g: product(rows(a).mT, rows(g)))


def rows(x: Array) -> Array:
    """All but the last axis laid end to end: (..., n) -> (N, n)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def product(a: Any, b: Any) -> Any:
    """a @ b by the kernel: NumPy's or, on a GPU, cuBLAS (kernels/cublas.py)."""
    return kernels.run("matmul", a, b)


def times(x: Array, matrix: Array) -> Array:
    """x @ matrix as one product: (..., n) @ (n, m) -> (..., m)."""
    return product(rows(x), matrix).reshape((*x.shape[:-1], matrix.shape[-1]))


@autocast
def matmul(input: Any, other: Any) -> Any:
    """input @ other: (..., n, k) @ (..., k, m) -> (..., n, m); leading axes broadcast, a 1-D operand is a row or a column."""
    return _any_product(input, other)


def _any_product(a: Any, b: Any) -> Any:
    _check_product("matmul", raw(a), raw(b))
    if a.ndim == 1 and b.ndim == 1:
        return _matmul(a.reshape(1, -1), b.reshape(-1, 1)).reshape(())
    if a.ndim == 1:
        return _matmul(a.reshape(1, -1), b).reshape((*b.shape[:-2], b.shape[-1]))
    if b.ndim == 1:
        return _matmul_rows(a, b.reshape(-1, 1)).reshape(a.shape[:-1])
    return (_matmul_rows if b.ndim == 2 < a.ndim else _matmul)(a, b)


def _check_product(name: str, a: Any, b: Any) -> None:
    for x in (a, b):
        if not hasattr(x, "dtype"):
            raise TypeError(f"{name}: expected two Tensors, got {type(x).__name__}; a number is multiplied with *")
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"{name}: both operands need at least 1 dimension, but have {a.ndim} and {b.ndim}; a number needs *")
    if a.dtype != b.dtype:
        raise RuntimeError(f"{name}: both operands need the same dtype, got {a.dtype} and {b.dtype}; cast one with .to(dtype)")
    if a.dtype == bool and 0 not in (*a.shape, *b.shape):
        raise NotImplementedError(f"{name}: a product of bool matrices is not defined; cast them with .to(dtype)")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise RuntimeError(
            f"{name}: shapes {tuple(a.shape)} and {tuple(b.shape)} cannot be multiplied: "
            f"the last size of the first, {a.shape[-1]}, must equal the {'second-to-last' if b.ndim > 1 else 'only'} size "
            f"of the second, {inner}"
        )
    if a.ndim > 2 and b.ndim > 2 and a.shape[:-2] != b.shape[:-2]:
        _check_batch(name, a, b)


def _check_batch(name: str, a: Any, b: Any) -> None:
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError as error:
        raise RuntimeError(
            f"{name}: the leading sizes {tuple(a.shape[:-2])} and {tuple(b.shape[:-2])} of shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)} do not broadcast: each pair must be equal or hold a 1"
        ) from error


def _check_ranks(name: str, *wanted: tuple[Any, int]) -> None:
    for x, ndim in wanted:
        if x.ndim != ndim:
            raise RuntimeError(f"{name}: expected a {ndim}-D tensor, got one of shape {tuple(x.shape)}; matmul takes any rank")


@autocast
def dot(input: Any, tensor: Any) -> Any:
    """Σ aᵢ bᵢ of two vectors."""
    _check_ranks("dot", (input, 1), (tensor, 1))
    return _any_product(input, tensor)
