"""Linear algebra: matrix products of every rank, and einsum, which is one of them after some rearranging.

Read before: elementwise.py, shaping.py. Read next: nn.py.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..devices import Array
from ..dtypes import is_floating
from ._arguments import one_dim, raw
from ._autocast import autocast
from ._op import op
from .elementwise import mul
from .reductions import _sum, vector_norm
from .shaping import diagonal, permute

__all__ = [
    "addmm",
    "addmv",
    "baddbmm",
    "bmm",
    "dot",
    "einsum",
    "inner",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "trace",
    "vdot",
]

Label = Hashable  # the name of an axis in einsum: a letter, or -1, -2, ... for those under an ellipsis, from the right

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
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices, (n, k) @ (k, m) -> (n, m)."""
    _check_ranks("mm", (input, 2), (mat2, 2))
    return matmul(input, mat2)


@autocast
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two equally long stacks of matrices, (B, n, k) @ (B, k, m) -> (B, n, m)."""
    _check_ranks("bmm", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: the batches must be equally long, got shapes {tuple(input.shape)} and {tuple(mat2.shape)}")
    return matmul(input, mat2)


@autocast
def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector, (n, k) @ (k,) -> (n,)."""
    _check_ranks("mv", (input, 2), (vec, 1))
    return _any_product(input, vec)


@autocast
def dot(input: Any, tensor: Any) -> Any:
    """Σ aᵢ bᵢ of two vectors."""
    _check_ranks("dot", (input, 1), (tensor, 1))
    return _any_product(input, tensor)


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
    _check_ranks("outer", (input, 1), (vec2, 1))
    return mul(input.reshape(-1, 1), vec2)


@autocast
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (mat1 @ mat2)"""
    return _add_scaled(input, mm(mat1, mat2), beta, alpha)


@autocast
def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (mat @ vec)"""
    return _add_scaled(input, mv(mat, vec), beta, alpha)


@autocast
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """beta · input + alpha · (batch1 @ batch2)"""
    return _add_scaled(input, bmm(batch1, batch2), beta, alpha)


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


@autocast
def trace(input: Any) -> Any:
    """The sum of a matrix's diagonal."""
    _check_ranks("trace", (input, 2))
    if input.dtype == bool:
        raise NotImplementedError("trace: not defined for bool tensors; make numbers of them first: x.int()")
    return _sum(diagonal(input), axis=(0,), keepdims=False)


def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """linalg.norm: √Σx² (ord None, or "fro" for matrices), or the vector norm that ord names, over one dim or all."""
    matrix = len(dim) == 2 if isinstance(dim, list | tuple) else dim is None and A.ndim == 2
    if ord == "fro" or ord is None:
        ord = 2
    elif matrix:
        raise NotImplementedError(
            f"linalg.norm: of the matrix norms only Frobenius' is here, not {ord!r}; vector_norm takes any ord"
        )
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def _add_scaled(input: Any, product: Any, beta: float, alpha: float) -> Any:
    if not is_floating(input.dtype):
        beta, alpha = int(beta), int(alpha)  # a number takes the tensors' dtype, here too
    product = product if alpha == 1 else product * alpha
    return product if beta == 0 else input * beta + product  # beta 0 means that input, even a NaN in it, does not count


# ------------------------------------------------------------------------------------------------------ einsum


@autocast
def einsum(equation: Any, *operands: Any) -> Any:
    """Sum of products, spelt by naming the axes: ``einsum("bik,bkj->bij", a, b)`` is a batched matrix product.

    Axes of one name are multiplied element by element, axes that the output does not name are summed. A name twice in one
    operand means its diagonal; "..." stands for any axes, which broadcast. Without "->" the output names, in alphabetical
    order, what occurs once. The sublist form ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` is accepted too.
    """
    if isinstance(equation, list | tuple):
        raise TypeError('einsum: the equation comes first: einsum("ij,jk->ik", a, b)')
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    if len({x.dtype for x in operands}) > 1:
        raise RuntimeError(
            f"einsum: the operands need one dtype, got {', '.join(str(x.dtype) for x in operands)}; cast with .to(dtype)"
        )
    terms, output = _parse(equation, operands)
    return _contract_all(_tidy(operands, terms, output), output)


def _contract_all(pieces: list[tuple[Any, list[Label]]], output: list[Label]) -> Any:
    """Multiply the operands from left to right, summing each name away as soon as nothing later needs it."""
    x, names = pieces[0]
    for i, (y, others) in enumerate(pieces[1:], 2):
        needed = {*output, *(name for _, later in pieces[i:] for name in later)}
        out = [name for name in dict.fromkeys(names + others) if name in needed]
        x = _contract(x, y, left=names, right=others, out=out)
        names = out
    return permute(x, [names.index(name) for name in output])


@op
def _contract(a: Array, b: Array, *, left: list[Label], right: list[Label], out: list[Label]) -> Any:
    """The einsum of two operands. Its gradients are einsums too, with the roles exchanged: "ik,kj->ij" has
    dL/da = "ij,kj->ik" of g and b,  dL/db = "ij,ik->kj" of g and a."""
    da = lambda g: _contract(g, b, left=out, right=right, out=left)  # noqa: E731
    db = lambda g: _contract(g, a, left=out, right=left, out=right)  # noqa: E731
    return _product(a, b, left, right, out), (da, db)


def _product(a: Array, b: Array, left: list[Label], right: list[Label], out: list[Label]) -> Array:
    """Rearranged as one batched matrix product: (batch, I, K) @ (batch, K, J), K being what is summed."""
    size = dict(zip(left + right, a.shape + b.shape, strict=True))
    batch = [name for name in left if name in right and name in out]
    K = [name for name in left if name in right and name not in out]
    I, J = [name for name in left if name not in right], [name for name in right if name not in left]

    def arranged(x: Array, names: list[Label], *groups: list[Label]) -> Array:
        shape = tuple(math.prod(size[name] for name in group) for group in groups)
        return permute(x, [names.index(name) for group in groups for name in group]).reshape(shape)

    if K:
        y = matmul(arranged(a, left, batch, I, K), arranged(b, right, batch, K, J))
    else:  # nothing to sum
        y = arranged(a, left, batch, I, []) * arranged(b, right, batch, [], J)
    y = y.reshape(tuple(size[name] for name in batch + I + J))
    return permute(y, [(batch + I + J).index(name) for name in out])


def _tidy(operands: Sequence[Any], terms: list[list[Label]], output: list[Label]) -> list[tuple[Any, list[Label]]]:
    """Operands whose names are all different, all needed elsewhere, and of one size each.

    Repeated names become diagonals, axes of size 1 that broadcast are dropped, names that occur nowhere else are summed.
    """
    size: dict[Label, int] = {}
    pieces: list[tuple[Any, list[Label]]] = []
    for i, (x, names) in enumerate(zip(operands, terms, strict=True)):
        x, names = _diagonals(x, names)
        for n, name in zip(x.shape, names, strict=True):
            if n != size.setdefault(name, n) and 1 not in (n, size[name]):
                raise RuntimeError(
                    f"einsum: subscript {name if isinstance(name, str) else '...'} has size {n} for operand {i}, "
                    f"which does not broadcast with the {size[name]} seen before"
                )
            size[name] = n if size[name] == 1 else size[name]
        pieces.append((x, names))
    for i, (x, names) in enumerate(pieces):
        kept = [(n, name) for n, name in zip(x.shape, names, strict=True) if n == size[name]]
        pieces[i] = (x.reshape(tuple(n for n, _ in kept)), [name for _, name in kept])
    for i, (x, names) in enumerate(pieces):
        needed = {*output, *(name for j, (_, others) in enumerate(pieces) if j != i for name in others)}
        alone = tuple(k for k, name in enumerate(names) if name not in needed)
        if alone:
            pieces[i] = (x.sum(alone), [name for name in names if name in needed])
    return pieces


def _diagonals(x: Any, names: list[Label]) -> tuple[Any, list[Label]]:
    while len(set(names)) < len(names):
        i, j = next((i, j) for j in range(len(names)) for i in range(j) if names[i] == names[j])
        if x.shape[i] != x.shape[j]:
            raise RuntimeError(f"einsum: subscript {names[i]} is repeated, but its sizes {x.shape[i]} and {x.shape[j]} differ")
        x, names = diagonal(x, 0, i, j), [name for k, name in enumerate(names) if k not in (i, j)] + [names[i]]
    return x, names


def _parse(equation: str, operands: Sequence[Any]) -> tuple[list[list[Label]], list[Label]]:
    """The names of each operand's axes, and of the output's."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    spelt = left.split(",")
    if len(spelt) != len(operands):
        raise RuntimeError(f'einsum: "{equation}" has subscripts for {len(spelt)} operands, but got {len(operands)}')
    terms = [_names(term, x.ndim, f"operand {i}") for i, (term, x) in enumerate(zip(spelt, operands, strict=True))]
    every = [name for names in terms for name in names]
    ellipsis = sorted({name for name in every if isinstance(name, int)})
    if not arrow:
        return terms, [*ellipsis, *sorted(name for name in every if isinstance(name, str) and every.count(name) == 1)]
    output = _names(right, len(right.replace("...", "")) + len(ellipsis) * ("..." in right), "the output")
    for name in output:
        if output.count(name) > 1 or name not in every:
            problem = "appears more than once in the output" if name in every else "does not appear in any operand"
            raise RuntimeError(f'einsum: output subscript {name} {problem} in "{equation}"')
    return terms, output


def _names(term: str, ndim: int, what: str) -> list[Label]:
    """One name an axis: the letters, and numbers from -1 down for the axes that "..." covers."""
    head, dots, tail = term.partition("...")
    for letter in head + tail:
        if not (letter.isascii() and letter.isalpha()):
            raise RuntimeError(f'einsum: invalid subscript "{letter}" in "{term}": names are letters, and "..." once')
    covered = ndim - len(head + tail)
    if covered < 0 or (covered and not dots):
        raise RuntimeError(
            f'einsum: {what} has {ndim} dimensions, "{term}" names {len(head + tail)}{"" if dots else " and has no ellipsis"}'
        )
    return [*head, *range(-covered, 0), *tail]


def _from_sublists(arguments: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]) as ("AB,BC->AC", (a, b))."""

    def spell(sublist: Sequence[Any]) -> str:
        if any(i is not Ellipsis and not 0 <= int(i) < 52 for i in sublist):
            raise ValueError(f"einsum: subscripts in a sublist must be in 0 ... 51, got {list(sublist)}")
        return "".join("..." if i is Ellipsis else chr(ord("A") + int(i) if i < 26 else ord("a") + int(i) - 26) for i in sublist)

    output = "->" + spell(arguments[-1]) if len(arguments) % 2 else ""
    pairs = arguments[: len(arguments) // 2 * 2]
    return ",".join(spell(raw(names)) for names in pairs[1::2]) + output, tuple(pairs[::2])
