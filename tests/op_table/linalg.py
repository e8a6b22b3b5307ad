"""The entries of ops/linalg.py: products of every rank, and einsum."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from . import Call, Op, call
from .strategies import array, broadcastable, shapes, unary

side = st.integers(0, 3)


@st.composite
def products(draw: Any) -> Call:
    """a @ b: vectors, matrices and stacks whose leading sizes broadcast; now and then a square matrix with itself."""
    if draw(st.integers(0, 7)) == 0:
        n = draw(side)
        a = draw(array((n, n)))
        return call(a, a)
    n, k, m = draw(side), draw(side), draw(side)
    left, right = draw(broadcastable(2, max_dims=2, max_side=3))
    a_shape = (k,) if draw(st.integers(0, 4)) == 0 else (*left, n, k)
    b_shape = (k,) if draw(st.integers(0, 4)) == 0 else (*right, k, m)
    return call(draw(array(a_shape)), draw(array(b_shape)))


@st.composite
def fixed(draw: Any, *letters: str, **choices: Any) -> Call:
    """Arrays of the given shapes, spelt in letters that stand for one size each: fixed("nk", "km") is for mm."""
    size = {letter: draw(side) for letter in "bnkm"}
    arrays = [draw(array(tuple(size[letter] for letter in word))) for word in letters]
    return call(*arrays, **{name: draw(st.sampled_from(values)) for name, values in choices.items() if draw(st.booleans())})


@st.composite
def contractions(draw: Any) -> Call:
    """One to three operands with names from "abcd" (repeated ones are diagonals), sizes 1 that broadcast, any output."""
    terms = [draw(st.lists(st.sampled_from("abcd"), max_size=3)) for _ in range(draw(st.integers(1, 3)))]
    size = {name: draw(st.integers(0, 3)) for name in "abcd"}
    operands = []
    for names in terms:
        thin = {name for name in names if draw(st.integers(0, 9)) == 0}
        operands.append(draw(array(tuple(1 if name in thin else size[name] for name in names))))
    equation = ",".join("".join(names) for names in terms)
    if draw(st.booleans()):
        present = sorted({name for names in terms for name in names})
        order = draw(st.permutations(present)) if present else []
        equation += "->" + "".join(order[: draw(st.integers(0, len(order)))])
    return call(equation, *operands)


@st.composite
def tensordots(draw: Any) -> Call:
    """tensordot over the last and first axes, or over named ones."""
    shared = draw(shapes(max_dims=2, max_side=3))
    a = draw(array(draw(shapes(max_dims=1, max_side=3)) + shared))
    b = draw(array(shared + draw(shapes(max_dims=1, max_side=3))))
    n = len(shared)
    pairs = (list(range(a.ndim - n, a.ndim)), list(range(n)))
    return call(a, b, n if draw(st.booleans()) else pairs)


SCALES = {"beta": [0.5, 1, 2], "alpha": [0.5, 1, 2]}

OPS = [
    Op("matmul", products(), reference=np.matmul, covers=["operator.matmul"]),
    Op("mm", fixed("nk", "km"), reference=np.matmul),
    Op("bmm", fixed("bnk", "bkm"), reference=np.matmul),
    Op("mv", fixed("nk", "k"), reference=np.matmul),
    Op("dot", fixed("k", "k"), reference=np.dot, covers=["vdot"]),
    Op("inner", fixed("bnk", "mk"), reference=np.inner),
    Op("outer", fixed("n", "m"), reference=np.outer),
    Op("addmm", fixed("nm", "nk", "km", **SCALES)),
    Op("addmv", fixed("n", "nk", "k", **SCALES)),
    Op("baddbmm", fixed("bnm", "bnk", "bkm", **SCALES)),
    Op("tensordot", tensordots(), reference=np.tensordot),
    Op("trace", fixed("nk"), reference=np.trace),
    Op("einsum", contractions()),
    Op("linalg.norm", unary(0.2, 3, shape=shapes(min_dims=1, max_dims=2, min_side=1))),
]
