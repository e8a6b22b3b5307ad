"""The entries of ops/reductions.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from . import ALL, FLOATS, Call, Op, call
from .strategies import array, broadcastable, one_dim, reduction, shapes, some_dims

NUMBERS = (*FLOATS, "int64", "int32", "uint8")
FULL = {"min_side": 1}  # no elements, no largest one
NANS = np.array([[1.0, math.nan, 3.0], [math.nan, math.nan, 4.0], [-1.0, 2.0, 0.5]])
AFAR = {"distinct": True, **FULL}  # no ties: there the choice has a kink


def over(function: Any) -> Any:
    """NumPy's function under PyTorch's argument names."""
    return lambda x, dim=None, keepdim=False: function(x, axis=dim if x.ndim else None, keepdims=keepdim)


def with_zeros(c: Call) -> Call:
    """Some elements set to 0."""
    x = c.args[0]
    return call(np.where(np.abs(x) < 0.7, 0, x), **c.kwargs)


@st.composite
def spread(draw: Any) -> Call:
    """var, std: the dims, correction or unbiased; enough elements for a variance, that does not vanish."""
    x = draw(array(shapes(min_dims=1, min_side=2, max_side=4), distinct=True))
    options = draw(st.sampled_from([{}, {"correction": 0}, {"correction": 0.5}, {"correction": None}]))
    if draw(st.booleans()):
        dim, legacy = draw(some_dims(x.ndim)), draw(st.booleans())
        return call(x, dim, draw(st.booleans()), draw(st.booleans())) if legacy else call(x, dim=dim, **options)
    return call(x, draw(st.booleans())) if draw(st.booleans()) else call(x, **options)


@st.composite
def norms(draw: Any, orders: tuple[float, ...] = (2, 1, 3, 0.5, 1.5, -1, math.inf, -math.inf)) -> Call:
    """A norm of some order; elements differ in size, none is 0."""
    x = draw(array(shapes(min_dims=1, min_side=1), 0.3, 3, distinct=True))
    x = np.asarray(x * np.random.default_rng(x.size).choice([-1, 1], x.shape))
    order = draw(st.sampled_from(orders))
    return call(x, order, draw(some_dims(x.ndim)), draw(st.booleans()))


@st.composite
def along(draw: Any, low: float = -3, high: float = 3, distinct: bool = False, **choices: Any) -> Call:
    """f(x, dim=…)"""
    x = draw(array(shapes(), low, high, distinct=distinct))
    options = {name: draw(st.sampled_from(values)) for name, values in choices.items()}
    return call(x, dim=draw(one_dim(x.ndim)), **options)


@st.composite
def largest(draw: Any) -> Call:
    """topk(x, k, dim, largest)"""
    x = draw(array(shapes(), distinct=True))
    dim = draw(one_dim(x.ndim))
    k = draw(st.integers(0, x.shape[dim] if x.ndim else 1))
    return call(x, k, dim, draw(st.booleans()))


@st.composite
def partly_nan(draw: Any) -> Call:
    """A reduction of an array with some NaN."""
    c = draw(reduction(**FULL))
    return call(np.where(np.abs(c.args[0]) < 0.7, np.nan, c.args[0]), **c.kwargs)


@st.composite
def positions(draw: Any) -> Call:
    """argmax of distinct elements."""
    return draw(reduction(tuples=False, **AFAR))


def to_smaller() -> st.SearchStrategy[Call]:
    """sum_to_size(x, a shape that expands to x's)"""
    return broadcastable(2).flatmap(lambda s: array(np.broadcast_shapes(*s)).map(lambda x: call(x, s[0])))


OPS = [
    Op("sum", reduction(), reference=over(np.sum), dtypes=ALL),
    Op("mean", reduction(**FULL), reference=over(np.mean)),
    Op("nansum", partly_nan(), reference=over(np.nansum), second=False),  # linear
    Op("nanmean", reduction(**FULL), edges=[call(NANS), call(NANS, dim=1).upto(1), call(NANS, dim=0, keepdim=True)]),
    Op("prod", st.one_of(reduction(tuples=False), reduction(tuples=False).map(with_zeros)), reference=over(np.prod)),
    *[Op(name, spread(), dtypes=("float64", "float32")) for name in ("var", "std", "var_mean", "std_mean")],
    Op("amax", reduction(**AFAR), reference=over(np.max), dtypes=ALL),
    Op("amin", reduction(**AFAR), reference=over(np.min), dtypes=ALL),
    Op("max", reduction(tuples=False, **AFAR), dtypes=FLOATS),
    Op("min", reduction(tuples=False, **AFAR), dtypes=FLOATS),
    Op("argmax", positions(), differentiable=False, dtypes=("float64", "float32")),
    Op("argmin", positions(), differentiable=False, dtypes=("float64", "float32")),
    Op("logsumexp", reduction(none=False, **FULL)),
    Op("norm", norms((2, 1, 3, math.inf, "fro", None))),
    Op("linalg.vector_norm", norms(), covers=["vector_norm"]),
    Op("Tensor.sum_to_size", to_smaller()),
    Op("cumsum", along(), reference=lambda x, dim: np.cumsum(x, axis=dim).reshape(x.shape), dtypes=ALL),
    Op("cumprod", st.one_of(along(), along().map(with_zeros)), reference=lambda x, dim: np.cumprod(x, axis=dim).reshape(x.shape)),
    Op("sort", along(distinct=True, descending=[False, True], stable=[False, True])),
    Op("argsort", along(distinct=True, descending=[False, True]), differentiable=False, dtypes=("float64", "float32")),
    Op("topk", largest()),
    Op("any", reduction().map(with_zeros), reference=over(np.any), differentiable=False, dtypes=ALL),
    Op("all", reduction().map(with_zeros), reference=over(np.all), differentiable=False, dtypes=ALL),
    Op(
        "count_nonzero",
        reduction(keepdim=False).map(with_zeros),
        reference=lambda x, dim=None: np.count_nonzero(x, axis=dim if x.ndim else None),
        differentiable=False,
        dtypes=ALL,
    ),
]
