"""Products and norms for completeness: matmul for operands of given ranks, tensordot, trace, matrix norms.

Nothing here is needed to understand the engine: look up what you need. Read before: linalg.py, which has matmul.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..devices import device_of
from . import checks
from ._arguments import one_dim, raw
from ._autocast import autocast
from ._op import in_float32
from .elementwise import mul
from .extra_einsum import Label, _contract
from .extra_shaping import diagonal
from .linalg import _any_product, dot, matmul, rows
from .reductions import _sum

__all__ = ["addmm", "addmv", "baddbmm", "bmm", "inner", "mm", "mv", "outer", "tensordot", "trace", "vdot"]

# -------------------------------------------------------------------------------------- products of given ranks


@autocast
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices, (n, k) @ (k, m) -> (n, m)."""
    checks.ranks("mm", (input, 2), (mat2, 2))
    return matmul(input, mat2)


@autocast
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two equally long stacks of matrices, (B, n, k) @ (B, k, m) -> (B, n, m)."""
    checks.ranks("bmm", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: the batches must be equally long, got shapes {tuple(input.shape)} and {tuple(mat2.shape)}")
    return matmul(input, mat2)


@autocast
def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector, (n, k) @ (k,) -> (n,)."""
    checks.ranks("mv", (input, 2), (vec, 1))
    return _any_product(input, vec)


@autocast
def vdot(input: Any, other: Any) -> Any:
    """dot; they differ for complex numbers only."""
    return dot(input, other)


@autocast
def inner(input: Any, other: Any) -> Any:
    """Products summed over the last axis of both: (..., k), (..., k) -> (... of the first, ... of the second)."""
    if input.ndim == 0 or other.ndim == 0:
        return mul(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: the last sizes must be equal, got shapes {tuple(input.shape)} and {tuple(other.shape)}")
    return matmul(rows(input), rows(other).mT).reshape((*input.shape[:-1], *other.shape[:-1]))


def outer(input: Any, vec2: Any) -> Any:
    """aᵢ bⱼ of two vectors: (n,), (m,) -> (n, m)."""
    checks.ranks("outer", (input, 1), (vec2, 1))
    return mul(input.reshape(-1, 1), vec2)


@autocast
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (mat1 @ mat2)"""
    return _add_scaled(mm, input, mat1, mat2, beta, alpha)


@autocast
def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (mat @ vec)"""
    return _add_scaled(mv, input, mat, vec, beta, alpha)


@autocast
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (batch1 @ batch2)"""
    return _add_scaled(bmm, input, batch1, batch2, beta, alpha)


def _add_scaled(product: Callable[..., Any], input: Any, a: Any, b: Any, beta: float, alpha: float) -> Any:
    if not dtypes.is_floating(input.dtype):
        beta, alpha = int(beta), int(alpha)  # a number takes the tensors' dtype, here too

    def combined(input: Any, a: Any, b: Any) -> Any:
        ab = product(a, b) if alpha == 1 else product(a, b) * alpha
        return ab if beta == 0 else input * beta + ab  # beta = 0 ignores input, even a NaN in it

    on_cpu = device_of(raw(input)) == "cpu"  # where products of half precision are computed in float32 anyway
    return in_float32(combined, input, a, b) if on_cpu and input.dtype == a.dtype == b.dtype else combined(input, a, b)


@autocast
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Products summed over the last ``dims`` axes of a and the first of b, or over the axes in dims = (of a, of b)."""
    if isinstance(dims, int) and not 0 <= dims <= min(a.ndim, b.ndim):
        raise RuntimeError(f"tensordot: dims={dims} of tensors with {a.ndim} and {b.ndim} dimensions; neither has more to sum")
    ours, theirs = (range(a.ndim - dims, a.ndim), range(dims)) if isinstance(dims, int) else dims
    ours, theirs = [one_dim(i, a.ndim) for i in ours], [one_dim(i, b.ndim) for i in theirs]
    if len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs):
        raise RuntimeError(f"tensordot: a dimension is named twice in {dims}")
    fit = len(ours) == len(theirs)
    for i, j in zip(ours, theirs, strict=False):
        fit = fit and (a.shape[i] == b.shape[j] or 1 in (a.shape[i], b.shape[j]))
        a = a.sum(i, keepdim=True, dtype=a.dtype) if a.shape[i] != 1 == b.shape[j] else a  # Σₖ aₖ·b: the 1 is repeated
        b = b.sum(j, keepdim=True, dtype=b.dtype) if b.shape[j] != 1 == a.shape[i] else b
    if not fit:
        raise RuntimeError(
            f"tensordot: the sizes along {ours} of {tuple(a.shape)} and {theirs} of {tuple(b.shape)} must be equal"
        )
    left: list[Label] = list(range(a.ndim))
    right: list[Label] = [ours[theirs.index(i)] if i in theirs else a.ndim + i for i in range(b.ndim)]
    out = [i for i in left if i not in ours] + [i for i in right if i not in ours]
    return _contract(a, b, left=left, right=right, out=out)


# ----------------------------------------------------------------------------------------------------- matrices


@autocast
def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal."""
    checks.ranks("trace", (input, 2))
    checks.no_bools("trace", input)
    return _sum(diagonal(input), axis=(0,), keepdims=False)
