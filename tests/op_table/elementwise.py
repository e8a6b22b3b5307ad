"""The entries of ops/elementwise.py."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minitorch

from . import ALL, FLOATS, INTEGERS, Call, Op, call
from .strategies import array, binary, booleans, broadcastable, integers, unary

NUMBERS = (*FLOATS, "int64", "int32", "uint8")  # all but bool
KINKS = [n + 0.5 for n in range(-4, 4)]  # of round; those of floor, ceil and trunc are the integers
WHOLE = list(range(-4, 5))
SPECIAL = np.array([math.nan, math.inf, -math.inf, 1.5])
POSITIVE = unary(0.2, 4)


def over_numbers(function: Any) -> Any:
    """A function of Python floats as a reference for arrays."""
    return np.vectorize(function, otypes=[float])


@st.composite
def number_first(draw: Any, low: float = -3, high: float = 3) -> Call:
    """f(number, x)"""
    return call(draw(st.sampled_from([2, 0.5, 3.0])), draw(array(draw(broadcastable(1))[0], low, high)))


@st.composite
def power(draw: Any) -> Call:
    """f(x, exponent): a positive base for any exponent, whole exponents for any base."""
    if draw(st.booleans()):
        return draw(binary(0.3, 2.5, second=(-2.5, 2.5, ())))
    x = draw(array(draw(broadcastable(1))[0], -2, 2, avoid=[0]))
    return call(x, draw(st.sampled_from([0, 1, 2, 3, 4, -1, -2, 2.0, -3.0])))


@st.composite
def limits(draw: Any) -> Call:
    """clamp(x, min, max) with numbers or tensors, one or both; no x equals a limit."""
    *others, shape = draw(broadcastable(3))
    x = draw(array(np.broadcast_shapes(*others, shape)))
    x = np.asarray(np.rint(x) + 0.4 * (x - np.rint(x)))
    low, high = -1.5, 1.5
    if draw(st.booleans()):
        low, high = (sign * (np.asarray(np.rint(draw(array(s, 0, 2)))) + 0.5) for s, sign in zip(others, (-1, 1), strict=True))
        low, high = np.asarray(low), np.asarray(high)
    which = draw(st.sampled_from(["both", "min", "max"]))
    named = {"min": low} if which == "min" else {"max": high} if which == "max" else {"min": low, "max": high}
    return call(x, **named)


@st.composite
def one_limit(draw: Any) -> Call:
    """clamp_min(x, limit) with a number or a tensor that no x equals."""
    return draw(binary(apart=True))


@st.composite
def choice(draw: Any) -> Call:
    """where(condition, x, y) with tensors and numbers."""
    condition, a, b = draw(broadcastable(3))
    mask, x, y = draw(booleans(condition)), draw(array(a)), draw(array(b))
    kind = draw(st.sampled_from(["tensors", "tensors", "number", "same"]))
    return call(mask, x, 0.5 if kind == "number" else x if kind == "same" else y)


@st.composite
def filled(draw: Any) -> Call:
    """masked_fill(x, mask, value) with a number or a 0-d tensor."""
    mask, shape = draw(broadcastable(2))
    value = draw(st.sampled_from([0.0, -2, 1.5])) if draw(st.booleans()) else draw(array(()))
    return call(draw(array(shape)), draw(booleans(mask)), value)


@st.composite
def way(draw: Any) -> Call:
    """lerp(x, y, weight) with a number or a tensor."""
    a, b, w = draw(broadcastable(3))
    x, y = draw(array(a)), draw(array(b))
    if draw(st.booleans()):
        return call(x, np.broadcast_to(y, np.broadcast_shapes(a, b)).copy(), 0.3)
    return call(x, y, draw(array(w, 0, 1)))


def products(low: float) -> st.SearchStrategy[Call]:
    """f(x, y, z[, value=0.5]), z from ``low`` on."""
    drawn = broadcastable(3).flatmap(lambda s: st.tuples(array(s[0]), array(s[1]), array(s[2], low, 3)))
    return st.tuples(drawn, st.sampled_from([{}, {"value": 0.5}])).map(lambda c: call(*c[0], **c[1]))


@st.composite
def comparable(draw: Any, **options: Any) -> Call:
    """f(x, y) with some elements equal."""
    a, b = draw(broadcastable(2))
    return call(np.asarray(np.rint(draw(array(a)))), np.asarray(np.rint(draw(array(b)))), **options)


@st.composite
def bits(draw: Any) -> Call:
    """f(x, y) of booleans or of integers."""
    a, b = draw(broadcastable(2))
    if draw(st.booleans()):
        return call(draw(booleans(a)), draw(booleans(b)))
    return call(draw(integers(a, -9, 9)), draw(integers(b, -9, 9)))


@st.composite
def special(draw: Any) -> Call:
    """f(x) where some elements are NaN or infinite."""
    x = draw(array(draw(broadcastable(1))[0], strided=False))
    odd = np.random.default_rng(x.size).choice([math.nan, math.inf, -math.inf, 1.0, 0.0], x.shape)
    return call(np.where(x > 0, odd, x))


def rounded_down(torch: Any) -> Any:
    """torch.floor_divide has no gradient; this is the same with one."""
    return partial(torch.div, rounding_mode="floor")


def as_tensor(library: Any) -> Any:
    """equal returns a bool, which the tests want in a tensor."""
    return lambda x, y: library.tensor(library.equal(x, y))


def step(name: str, kinks: list[float], **fields: Any) -> Op:
    """A rounding: its derivative is 0."""
    return Op(name, unary(avoid=kinks), reference=getattr(np, name), dtypes=NUMBERS, **fields)


def comparison(name: str, reference: Any, *covers: str) -> Op:
    """A comparison: no gradient."""
    return Op(name, st.one_of(comparable(), binary()), reference=reference, covers=covers, differentiable=False, dtypes=ALL)


OPS = [
    Op("add", binary(), reference=np.add, dtypes=ALL),
    Op("sub", binary(alpha=[2, 0.5]), covers=["subtract"], dtypes=FLOATS),
    Op("rsub", binary(), reference=lambda x, y: y - x),
    Op("mul", binary(), reference=np.multiply, covers=["multiply"], dtypes=ALL),
    Op("div", binary(second=(0.4, 3, ())), covers=["divide"], reference=np.divide, dtypes=FLOATS),
    Op("true_divide", binary(-3, 3, avoid=[0]), reference=np.divide),
    Op("operator.truediv", number_first(0.5, 3), reference=np.divide),
    Op("operator.sub", number_first(), reference=np.subtract),
    Op("operator.pow", number_first(), reference=np.power),
    Op("floor_divide", binary(2.1, 2.9, second=(1.6, 1.9, ())), torch=rounded_down, reference=np.floor_divide),
    Op("remainder", binary(2.1, 2.9, second=(1.6, 1.9, ()), numbers=False), reference=np.remainder),
    Op("neg", unary(), reference=np.negative, covers=["negative", "positive"], dtypes=NUMBERS),  # positive(x) is x
    Op("abs", unary(avoid=[0]), reference=np.abs, covers=["absolute"], dtypes=NUMBERS),
    Op("sign", unary(avoid=[0]), reference=np.sign, dtypes=ALL),
    Op("pow", power(), reference=np.power, covers=["float_power"]),  # which is pow in float64, whatever comes in
    Op("square", unary(), reference=np.square, dtypes=ALL),
    Op("sqrt", POSITIVE, reference=np.sqrt, dtypes=ALL),
    Op("rsqrt", POSITIVE, reference=lambda x: x**-0.5, dtypes=ALL),
    Op("reciprocal", POSITIVE, reference=lambda x: 1 / x, dtypes=ALL),
    Op("exp", unary(), reference=np.exp, dtypes=ALL),
    Op("exp2", unary(), reference=np.exp2, dtypes=ALL),
    Op("expm1", unary(), reference=np.expm1, dtypes=ALL),
    Op("log", POSITIVE, reference=np.log, dtypes=ALL),
    Op("log2", POSITIVE, reference=np.log2, dtypes=ALL),
    Op("log10", POSITIVE, reference=np.log10, dtypes=ALL),
    Op("log1p", unary(-0.8, 4), reference=np.log1p, dtypes=FLOATS),
    Op("tanh", unary(), reference=np.tanh, dtypes=ALL),
    Op("sigmoid", unary(-6, 6), reference=lambda x: 1 / (1 + np.exp(-x)), dtypes=ALL),
    Op("sin", unary(), reference=np.sin, dtypes=ALL),
    Op("cos", unary(), reference=np.cos, dtypes=ALL),
    Op("tan", unary(-1.2, 1.2), reference=np.tan, dtypes=ALL),
    Op("sinh", unary(), reference=np.sinh, dtypes=ALL),
    Op("cosh", unary(), reference=np.cosh, dtypes=ALL),
    Op("erf", unary(), reference=over_numbers(math.erf), dtypes=ALL),
    Op("erfc", unary(), reference=over_numbers(math.erfc), dtypes=ALL),
    Op("where", choice(), reference=np.where),
    Op("masked_fill", filled(), reference=lambda x, mask, value: np.where(mask, value, x)),
    Op("maximum", binary(apart=True, numbers=False), reference=np.maximum, dtypes=ALL),
    Op("minimum", binary(apart=True, numbers=False), reference=np.minimum, dtypes=ALL),
    Op("clamp", limits(), reference=lambda x, min=None, max=None: np.clip(x, min, max), covers=["clip"]),
    Op("clamp_min", one_limit(), reference=np.maximum),
    Op("clamp_max", one_limit(), reference=np.minimum),
    Op("addcmul", products(-3), reference=lambda x, y, z, value=1: x + value * y * z),
    Op("addcdiv", products(0.5), reference=lambda x, y, z, value=1: x + value * y / z),
    Op("lerp", way(), reference=lambda x, y, w: x + w * (y - x)),
    Op("nan_to_num", unary(), edges=[call(SPECIAL).upto(1), call(SPECIAL, 1.0, 2.0, -3.0).upto(1), call(np.arange(3))]),
    step("floor", WHOLE),
    step("ceil", WHOLE),
    step("trunc", WHOLE),
    Op("round", unary(avoid=KINKS), reference=np.round, dtypes=NUMBERS),
    Op("frac", unary(avoid=WHOLE), reference=lambda x: x - np.trunc(x)),
    comparison("eq", np.equal),
    comparison("ne", np.not_equal, "not_equal"),
    comparison("lt", np.less, "less"),
    comparison("le", np.less_equal, "less_equal"),
    comparison("gt", np.greater, "greater"),
    comparison("ge", np.greater_equal, "greater_equal"),
    Op("equal", comparable(), torch=as_tensor, function=as_tensor(minitorch), reference=np.array_equal, differentiable=False),
    Op("isclose", comparable(rtol=0.3), covers=["allclose"], differentiable=False),
    *[Op(name, special(), reference=getattr(np, name), differentiable=False) for name in ("isnan", "isinf", "isfinite")],
    *[Op(name, special(), reference=getattr(np, name), differentiable=False) for name in ("isposinf", "isneginf")],
    Op("logical_not", comparable().map(lambda c: call(c.args[0])), reference=np.logical_not, differentiable=False, dtypes=ALL),
    *[
        Op(f"logical_{name}", comparable(), reference=getattr(np, f"logical_{name}"), differentiable=False, dtypes=ALL)
        for name in ("and", "or", "xor")
    ],
    *[
        Op(f"bitwise_{name}", bits(), reference=getattr(np, f"bitwise_{name}"), differentiable=False, dtypes=INTEGERS)
        for name in ("and", "or", "xor")
    ],
    Op("bitwise_not", bits().map(lambda c: call(c.args[0])), reference=np.invert, differentiable=False, dtypes=INTEGERS),
]
