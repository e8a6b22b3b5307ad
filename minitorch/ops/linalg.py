"""Linear algebra: matrix products of every rank.

Read before: indexing.py. Read next: nn.py.
"""

from __future__ import annotations

import math
from typing import Any

from ..devices import Array
from ..kernels import kernel
from . import checks
from ._arguments import raw
from ._autocast import autocast
from ._op import op

__all__ = ["dot", "matmul"]

# --------------------------------------------------------------------------------------------- matrix products


@op(half="float32 on CPU")
def _matmul(a: Array, b: Array) -> Any:
    """a @ b.  With y = ab:  dL/da = g bᵀ,  dL/db = aᵀ g."""
    return matmul_kernel(a, b), (lambda g: matmul_kernel(g, b.mT), lambda g: matmul_kernel(a.mT, g))


@op(half="float32 on CPU")
def _matmul_rows(a: Array, b: Array) -> Any:
    """a @ b for a stack of matrices and one matrix: the stack counts as one tall matrix, so one product is enough."""
    return times(a, b), (lambda g: times(g, b.mT), lambda g: matmul_kernel(rows(a).mT, rows(g)))


def rows(x: Array) -> Array:
    """All axes except the last as one: (..., n) -> (N, n)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@kernel
def matmul_kernel(a: Any, b: Any) -> Any:
    """a @ b: NumPy's or, on a GPU, cuBLAS (kernels/cublas.py)."""
    return a @ b


def times(x: Array, matrix: Array) -> Array:
    """x @ matrix as one product: (..., n) @ (n, m) -> (..., m)."""
    return matmul_kernel(rows(x), matrix).reshape((*x.shape[:-1], matrix.shape[-1]))


@autocast
def matmul(input: Any, other: Any) -> Any:
    """input @ other: (..., n, k) @ (..., k, m) -> (..., n, m); leading axes broadcast, a 1-D operand is a row or a column."""
    return _any_product(input, other)


def _any_product(a: Any, b: Any) -> Any:
    checks.product("matmul", raw(a), raw(b))
    if a.ndim == 1 and b.ndim == 1:
        return _matmul(a.reshape(1, -1), b.reshape(-1, 1)).reshape(())
    if a.ndim == 1:
        return _matmul(a.reshape(1, -1), b).reshape((*b.shape[:-2], b.shape[-1]))
    if b.ndim == 1:
        return _matmul_rows(a, b.reshape(-1, 1)).reshape(a.shape[:-1])
    return (_matmul_rows if b.ndim == 2 < a.ndim else _matmul)(a, b)


@autocast
def dot(input: Any, tensor: Any) -> Any:
    """Σ aᵢ bᵢ of two vectors."""
    checks.ranks("dot", (input, 1), (tensor, 1))
    return _any_product(input, tensor)
