"""einsum: a sum of products, spelt by naming the axes; it is a matrix product after some rearranging.

Nothing in the engine needs it. Read before: linalg.py.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from ..devices import Array
from ._arguments import raw
from ._autocast import autocast
from ._op import op
from .extra_shaping import diagonal
from .linalg import matmul
from .shaping import permute

__all__ = ["einsum"]

Label = Hashable  # the name of an axis in einsum: a letter, or -1, -2, ... for those under an ellipsis, from the right


@autocast
def einsum(equation: Any, *operands: Any) -> Any:
    """A sum of products, written with named axes: ``einsum("bik,bkj->bij", a, b)`` is a batched matrix product.

    Axes of one name are multiplied element by element, axes that the output does not name are summed. A name twice in one
    operand means its diagonal; "..." stands for any axes, which broadcast. Without "->" the output has the names that
    occur once, in alphabetical order. The sublist form ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` is accepted too.
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
    """Multiply the operands from left to right, summing over each name as soon as nothing later needs it."""
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
    """Rearranged as one batched matrix product: (batch, I, K) @ (batch, K, J), K being the summed axes."""
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
        left = [(n, name) for n, name in zip(x.shape, names, strict=True) if n == size[name]]
        pieces[i] = (x.reshape(tuple(n for n, _ in left)), [name for _, name in left])
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
    """One name per axis: the letters, and numbers from -1 down for the axes that "..." covers."""
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
