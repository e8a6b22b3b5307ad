"""torch.linalg's names for functions of ops/: norms and the matrix product.  Read before: ops/linalg.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .ops._arguments import numpy_names
from .ops.extra_reductions import vector_norm
from .ops.linalg import matmul

__all__ = ["matmul", "norm", "vector_norm"]


@numpy_names
def norm(A: Any, ord: Any = None, dim: int | Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """vector_norm of A along one dim or of a 1-D A; over two dims the Frobenius norm of the matrices, (Σ|a|²)^½."""
    if isinstance(dim, Sequence) and len(dim) == 1:
        dim = dim[0]
    matrix = A.ndim != 1 if dim is None else not isinstance(dim, int)
    if ord not in (None, "fro") and matrix:
        raise NotImplementedError(f'linalg.norm: of matrices only the Frobenius norm (ord=None or "fro") is offered, not {ord!r}')
    if ord == "fro" and not matrix:
        raise RuntimeError('linalg.norm: "fro" is a norm of matrices; a vector has ord=2')
    return vector_norm(A, 2 if ord in (None, "fro") else ord, dim, keepdim, dtype=dtype)
