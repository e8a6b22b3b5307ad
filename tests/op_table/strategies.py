"""Hypothesis strategies that the op table is written with.

Hypothesis chooses shapes, layouts, arguments and a seed; NumPy fills the arrays from the seed, which is fast and still
shrinks to small shapes. Values are float64 within a domain, kept away from kinks and poles, where central differences lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from . import Call

MARGIN = 0.05  # how far values stay from a kink


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes from 0-d up; size-0 dimensions included unless min_side is 1 (now and then: most shapes have elements)."""
    usual = st.lists(st.integers(max(min_side, 1), max_side), min_size=min_dims, max_size=max_dims).map(tuple)
    if min_side > 0:
        return usual
    with_empty = st.lists(st.integers(0, max_side), min_size=min_dims, max_size=max_dims).map(tuple)
    return st.one_of(usual, usual, usual, with_empty)


def broadcastable(n: int = 2, max_dims: int = 3, max_side: int = 4) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
    """``n`` shapes that broadcast with each other: 0-d, sizes 1 and sometimes size-0 dimensions included."""

    def pairs(min_side: int) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
        return mutually_broadcastable_shapes(num_shapes=n, max_dims=max_dims, min_side=min_side, max_side=max_side).map(
            lambda drawn: tuple(drawn.input_shapes)
        )

    return st.one_of(pairs(1), pairs(1), pairs(1), pairs(0))


@st.composite
def array(
    draw: Any,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] = (),
    low: float = -3,
    high: float = 3,
    avoid: Sequence[float] = (),
    distinct: bool = False,
    strided: bool = True,
) -> np.ndarray:
    """A float64 array with values in (low, high), at least MARGIN from each of ``avoid``.

    distinct: no two values closer than a good part of their mean distance (sort, max, median).
    strided:  sometimes transposed, every second element of a larger array, or broadcast (stride 0; not if distinct).
    """
    if isinstance(shape, st.SearchStrategy):
        shape = draw(shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    size = int(np.prod(shape))
    if distinct:
        steps = rng.permutation(size) + rng.uniform(0.2, 0.8, size)
        values = low + (high - low) * steps.reshape(shape) / max(size, 1)
    else:
        values = rng.uniform(low, high, shape)
    values = np.asarray(values)
    for kink in avoid:
        away = values - kink
        near = np.abs(away) < MARGIN
        values = np.where(near, kink + np.where(away < 0, -1, 1) * (MARGIN + np.abs(away)), values)
    return laid_out(values, draw(st.sampled_from(LAYOUTS if not distinct else LAYOUTS[:-1]))) if strided else values


LAYOUTS = ("contiguous", "contiguous", "transposed", "every second", "expanded")


def laid_out(values: np.ndarray, layout: str) -> np.ndarray:
    """The same values (but for "expanded") in another memory layout."""
    if values.ndim == 0 or layout == "contiguous":
        return values
    if layout == "transposed":
        return np.asfortranarray(values)
    if layout == "every second":
        larger = np.zeros((*values.shape[:-1], 2 * values.shape[-1]))
        larger[..., ::2] = values
        return larger[..., ::2]
    return np.broadcast_to(values[:1], values.shape).view()  # "expanded": all along dim 0 are one memory cell


@st.composite
def integers(draw: Any, shape: Any, low: int, high: int, dtype: str = "int64") -> np.ndarray:
    """An integer array with values low … high - 1 (indices, class numbers)."""
    if isinstance(shape, st.SearchStrategy):
        shape = draw(shape)
    return np.random.default_rng(draw(st.integers(0, 2**16))).integers(low, high, shape).astype(dtype).reshape(shape)


@st.composite
def booleans(draw: Any, shape: Any) -> np.ndarray:
    """A boolean array (masks)."""
    if isinstance(shape, st.SearchStrategy):
        shape = draw(shape)
    return np.asarray(np.random.default_rng(draw(st.integers(0, 2**16))).random(shape) < 0.5)


def one_dim(ndim: int) -> st.SearchStrategy[int]:
    """A dimension, counted from the front or, negative, from the back; a 0-d tensor has the dimension 0 (or -1)."""
    n = max(ndim, 1)
    return st.integers(-n, n - 1)


@st.composite
def some_dims(draw: Any, ndim: int, none: bool = True, min_size: int = 1) -> Any:
    """What a reduction takes: a dimension, a tuple of different ones (some negative), or None if ``none``."""
    choice = draw(st.sampled_from(["one", "tuple", "none"] if none else ["one", "tuple"]))
    if choice == "none":
        return None
    if choice == "one" or ndim == 0:
        return draw(one_dim(ndim))
    dims = draw(st.lists(st.integers(0, ndim - 1), min_size=min_size, unique=True))
    return tuple(d - ndim if draw(st.booleans()) else d for d in dims)


# ---------------------------------------------------------------------------------------------------- whole calls


@st.composite
def _options(draw: Any, choices: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """Keyword arguments, each absent or one of its choices."""
    drawn = {}
    for name, values in choices.items():
        if draw(st.booleans()):
            drawn[name] = draw(st.sampled_from(list(values)))
    return drawn


@st.composite
def unary(
    draw: Any,
    low: float = -3,
    high: float = 3,
    avoid: Sequence[float] = (),
    shape: st.SearchStrategy[tuple[int, ...]] | None = None,
    distinct: bool = False,
    **choices: Sequence[Any],
) -> Call:
    """f(x, option=…): ``choices`` are keyword arguments with the values to try, each sometimes left out."""
    x = draw(array(shapes() if shape is None else shape, low, high, avoid, distinct))
    return Call((x,), draw(_options(choices)))


@st.composite
def binary(
    draw: Any,
    low: float = -3,
    high: float = 3,
    avoid: Sequence[float] = (),
    second: tuple[float, float, Sequence[float]] | None = None,
    apart: bool = False,
    twice: bool = True,
    numbers: bool = True,
    **choices: Sequence[Any],
) -> Call:
    """f(x, y): broadcast pairs, sometimes a Python number for y, sometimes the same tensor twice.

    second: (low, high, avoid) of y where they differ from x's.  apart: no x equals a y (maximum, comparisons); then
    never the same twice.  twice, numbers: may those two cases be drawn?
    """
    first, other = draw(broadcastable(2))
    options = draw(_options(choices))
    kinds = ["pair"] * 4 + ["same"] * (twice and not apart and second is None) + ["number"] * numbers
    kind = draw(st.sampled_from(kinds))
    x = draw(array(first, low, high, avoid))
    if kind == "same":
        return Call((x, x), options)
    y = draw(array(() if kind == "number" else other, *(second or (low, high, avoid))))
    if apart:
        x, y = _off_grid(x, 0.0), _off_grid(y, 0.5)
    return Call((x, float(y) if kind == "number" else y), options)


def _off_grid(values: np.ndarray, offset: float) -> np.ndarray:
    """Values within 0.2 of the grid k + offset: those of offset 0 and those of offset ½ never meet."""
    grid = np.rint(values)
    return np.asarray(grid + offset + 0.4 * (values - grid))


@st.composite
def reduction(
    draw: Any,
    low: float = -3,
    high: float = 3,
    avoid: Sequence[float] = (),
    tuples: bool = True,
    none: bool = True,
    min_side: int = 0,
    min_dims: int = 0,
    distinct: bool = False,
    keepdim: bool = True,
    **choices: Sequence[Any],
) -> Call:
    """f(x), f(x, dim=…), f(x, dim=…, keepdim=…) with one dimension, tuples, None.

    min_side=1 for what has no value over an empty dimension (max); none=False where dim must be given (cumsum, softmax).
    """
    x = draw(array(shapes(min_dims=min_dims, min_side=min_side), low, high, avoid, distinct))
    options = draw(_options(choices))
    if none and draw(st.booleans()):
        return Call((x,), options)
    options["dim"] = draw(some_dims(x.ndim, none=none and tuples)) if tuples else draw(one_dim(x.ndim))
    if keepdim and draw(st.booleans()):
        options["keepdim"] = draw(st.booleans())
    return Call((x,), options)
