"""Elementwise operations for completeness: division with rounding, relatives of exp and log, combinations, names.

Nothing here is needed to understand the engine: look up what you need. Read before: elementwise.py.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from .. import dtypes, graph
from ..devices import Array, array_module
from . import _special, checks
from ._arguments import may_read, raw
from ._autocast import autocast
from ._op import in_float32, op
from ._promotion import astype, common, floating, in_dtype_of
from .comparisons import _apply, _bits, eq, ge, gt, isnan, le, lt, ne
from .elementwise import _at_least, _at_most, _flat, abs, add, clamp, exp, mul, neg, pow, sub, true_divide, where

__all__ = [
    "absolute", "addcdiv", "addcmul", "allclose", "bitwise_xor", "ceil", "clamp_max", "clamp_min", "clip", "cosh", "div",
    "divide", "equal", "erfc", "exp2", "expm1", "float_power", "floor", "floor_divide", "frac", "greater", "greater_equal",
    "isclose", "isinf", "isneginf", "isposinf", "lerp", "less", "less_equal", "log10", "log1p", "log2", "logical_and",
    "logical_or", "logical_xor", "multiply", "nan_to_num", "negative", "not_equal", "positive", "reciprocal", "remainder",
    "round", "rsqrt", "rsub", "sinh", "subtract", "tan", "trunc",
]  # fmt: skip

# ---------------------------------------------------------------------------------------- division and rounding


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """input / other; with rounding_mode "trunc" or "floor" the integer part, which is constant between its jumps."""
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "trunc":
        return _trunc_divide(input, other)
    if rounding_mode == "floor":
        return _floor_divide(input, other)
    raise RuntimeError(f'div: rounding_mode must be None, "trunc" or "floor", not {rounding_mode!r}')


@op(linear=True, promote=common)
def _floor_divide(a: Array, b: Array) -> Any:
    """⌊a / b⌋, a step function."""
    _refuse_zero("floor_divide", a, b)
    return a // b, (_flat, _flat)


@op(linear=True, promote=common)
def _trunc_divide(a: Array, b: Array) -> Any:
    """a / b rounded towards zero, a step function."""
    _refuse_zero("div", a, b)
    if not _integers(a, b):
        return array_module(a, b).trunc(a / b), (_flat, _flat)
    q = a // b  # rounded down: one too low where it is negative and inexact
    return q + ((q < 0) & (q * b != a)).astype(q.dtype), (_flat, _flat)


def floor_divide(input: Any, other: Any) -> Any:
    """⌊input / other⌋"""
    return _floor_divide(input, other)


@op(promote=common)
def remainder(input: Array, other: Array) -> Any:
    """a - b·⌊a/b⌋, with the sign of b: derivatives 1 and -⌊a/b⌋."""
    if not isinstance(other, graph.Tensor):
        _refuse_zero("remainder", input, other)
    return input % other, (lambda g: g, lambda g: -g * (input // other))


def _integers(*operands: Any) -> bool:
    return all(hasattr(x, "dtype") and x.dtype.kind in "iu" for x in operands)


def _refuse_zero(name: str, a: Array, b: Array) -> None:
    """Floats have inf and nan for a division by zero, integers nothing."""
    checks.no_bools(name, a, b)
    if _integers(a, b) and may_read(b) and (b == 0).any():
        raise RuntimeError(f"{name}: integer division by zero")


def _rounded(x: Array, function: str, *arguments: Any) -> Any:
    checks.no_bools(function, x)
    return +x if x.dtype.kind in "iu" else in_dtype_of(getattr(array_module(x), function)(x, *arguments), x)


@op(linear=True)
def floor(input: Array) -> Any:
    """⌊x⌋, the next integer below."""
    return _rounded(input, "floor"), _flat


@op(linear=True)
def ceil(input: Array) -> Any:
    """⌈x⌉, the next integer above."""
    return _rounded(input, "ceil"), _flat


@op(linear=True)
def trunc(input: Array) -> Any:
    """The integer part: rounded towards zero."""
    return _rounded(input, "trunc"), _flat


@op(linear=True)
def _round(x: Array, *, decimals: int) -> Any:
    return _rounded(x, "round", decimals), _flat


def round(input: Any, *, decimals: int = 0) -> Any:
    """Rounded to ``decimals`` digits after the point; halves go to the even neighbour."""
    if decimals and not dtypes.is_floating(input.dtype):
        raise NotImplementedError(f"round: {input.dtype} has no decimals; make the input floating: x.float()")
    return _round(input, decimals=decimals)


@op(linear=True, floats_only=True, half="float32")
def frac(input: Array) -> Any:
    """The fractional part x - trunc x, whose derivative is 1."""
    return input - array_module(input).trunc(input), lambda g: g


# ---------------------------------------------------------------------------- powers, exponentials and the like


def float_power(input: Any, exponent: Any) -> Any:
    """input to the power exponent, in float64"""
    return pow(*[astype(x, dtypes.float64) if hasattr(x, "dtype") else x for x in (input, exponent)])


@op(promote=floating, autocast=True)
def rsqrt(input: Array) -> Any:
    """1/√x, whose derivative is -1/(2x√x)."""
    y = 1 / array_module(input).sqrt(input)
    return y, lambda g: g * (-0.5 * y * y * y)


@op(promote=floating, autocast=True)
def reciprocal(input: Array) -> Any:
    """1/x, whose derivative is -1/x²."""
    y = 1 / input
    return y, lambda g: -g * (y * y)


@op(promote=floating)
def exp2(input: Array) -> Any:
    """2ˣ, whose derivative is 2ˣ ln 2."""
    y = array_module(input).exp2(input)
    return y, lambda g: g * (y * math.log(2))


@op(promote=floating, autocast=True)
def expm1(input: Array) -> Any:
    """eˣ - 1, accurate for small x."""
    y = array_module(input).expm1(input)
    return y, lambda g: g * (y + 1)


@op(promote=floating, autocast=True)
def log2(input: Array) -> Any:
    """log₂ x = ln x / ln 2"""
    return array_module(input).log2(input), lambda g: g / (input * math.log(2))


@op(promote=floating, autocast=True)
def log10(input: Array) -> Any:
    """log₁₀ x = ln x / ln 10"""
    return array_module(input).log10(input), lambda g: g / (input * math.log(10))


@op(promote=floating, autocast=True)
def log1p(input: Array) -> Any:
    """ln(1 + x), accurate for small x."""
    return array_module(input).log1p(input), lambda g: g / (input + 1)


@op(promote=floating, autocast=True)
def tan(input: Array) -> Any:
    """tan x, whose derivative is 1 + tan² x."""
    y = array_module(input).tan(input)
    return y, lambda g: g * (1 + y * y)


@op(promote=floating, autocast=True)
def sinh(input: Array) -> Any:
    """sinh x = (eˣ - e⁻ˣ)/2, whose derivative is cosh x."""
    xp = array_module(input)
    return xp.sinh(input), lambda g: g * xp.cosh(input)


@op(promote=floating, autocast=True)
def cosh(input: Array) -> Any:
    """cosh x = (eˣ + e⁻ˣ)/2, whose derivative is sinh x."""
    xp = array_module(input)
    return xp.cosh(input), lambda g: g * xp.sinh(input)


@op(promote=floating)
def erfc(input: Array) -> Any:
    """1 - erf x"""
    y = erfc(input) if isinstance(input, graph.Tensor) else _special.erfc(input)
    return y, lambda g: g * (-2 / math.sqrt(math.pi) * exp(-input * input))


# ------------------------------------------------------------------------------------------------- combinations


def clamp_min(input: Any, min: Any) -> Any:
    """input, but at least min"""
    return _at_least(input, min)


def clamp_max(input: Any, max: Any) -> Any:
    """input, but at most max"""
    return _at_most(input, max)


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """other - alpha · input"""
    return sub(other, input, alpha=alpha)


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight · (end - input), between input and end. All floats, of one dtype."""
    for name, x in (("input", input), ("end", end), ("weight", weight)):
        if name != "weight" or getattr(x, "ndim", False):
            _refuse_other("lerp", name, x, input.dtype)
    return in_float32(lambda a, b, w: add(a, mul(w, sub(b, a))), input, end, weight)


def _refuse_other(function: str, name: str, x: Any, dtype: dtypes.DType) -> None:
    checks.refuse_integers(function, dtype)
    if x.dtype != dtype:
        raise RuntimeError(f"{function}: the input is {dtype}, {name} is {x.dtype}; they must be of one dtype: use .to(dtype)")


@autocast
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value · tensor1 · tensor2"""
    checks.no_bools("addcmul", input, tensor1, tensor2)
    if not dtypes.is_floating(dtypes.result_type(input, tensor1, tensor2)):
        value = int(value)  # a number takes the tensors' dtype
    return in_float32(lambda a, b, c: add(a, mul(b, c), alpha=value), input, tensor1, tensor2)


@autocast
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """input + value · tensor1 / tensor2, one of the two floating"""
    if not any(dtypes.is_floating(x.dtype) for x in (tensor1, tensor2)):
        raise RuntimeError("addcdiv: divides floats, not integers by integers; make one floating: tensor1.float()")
    return in_float32(lambda a, b, c: add(a, div(b, c), alpha=value), input, tensor1, tensor2)


def nan_to_num(input: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """NaN and the infinities replaced by numbers: by default ±∞ become the largest and smallest of the dtype."""
    if not dtypes.is_floating(input.dtype):
        return input
    largest = dtypes.finfo(input.dtype).max
    y = where(isnan(input), 0.0 if nan is None else nan, input)
    y = where(isposinf(input), largest if posinf is None else posinf, y)
    return where(isneginf(input), -largest if neginf is None else neginf, y)


def positive(input: Any) -> Any:
    """x itself"""
    if input.dtype == bool:
        raise RuntimeError("positive: not defined for bool tensors; make numbers of them first: x.int()")
    return input


# ---------------------------------------------------------------------------------------- comparisons and logic


def equal(input: Any, other: Any) -> bool:
    """Have both the same shape and the same elements? (eq compares elementwise.)"""
    return input.shape == other.shape and bool(raw(eq(input, other)).all())


def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """|input - other| ≤ atol + rtol · |other|, elementwise"""
    if not (hasattr(input, "dtype") and hasattr(other, "dtype")):
        raise TypeError("isclose: expected two Tensors; make one of a number: minitorch.tensor(x)")
    if input.dtype != other.dtype:
        raise RuntimeError(f"isclose: both must have one dtype, they are {input.dtype} and {other.dtype}; use x.to(y.dtype)")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: rtol and atol must not be negative, they are {rtol} and {atol}")
    return _apply(_isclose, input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


def _isclose(a: Array, b: Array, rtol: float, atol: float, equal_nan: bool) -> Any:
    xp = array_module(a)
    x, y = (a, b) if a.dtype.kind == "f" else (a.astype(float), b.astype(float))
    difference = xp.abs(x - y)
    close = (a == b) | (xp.isfinite(difference) & (difference <= atol + xp.abs(rtol * y)))
    return close | (xp.isnan(x) & xp.isnan(y)) if equal_nan else close


def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Are all elements close (see isclose)?"""
    return bool(raw(isclose(input, other, rtol, atol, equal_nan)).all())


def isinf(input: Any) -> Any:
    """Where is it infinite, of either sign?"""
    return _apply(array_module(raw(input)).isinf, input)


def isposinf(input: Any) -> Any:
    """Where is it +∞?"""
    return _apply(operator.eq, input, math.inf)


def isneginf(input: Any) -> Any:
    """Where is it -∞?"""
    return _apply(operator.eq, input, -math.inf)


def logical_and(input: Any, other: Any) -> Any:
    """Are both different from zero?"""
    return _apply(array_module(raw(input), raw(other)).logical_and, input, other)


def logical_or(input: Any, other: Any) -> Any:
    """Is one of them different from zero?"""
    return _apply(array_module(raw(input), raw(other)).logical_or, input, other)


def logical_xor(input: Any, other: Any) -> Any:
    """Is exactly one of them different from zero?"""
    return _apply(array_module(raw(input), raw(other)).logical_xor, input, other)


def bitwise_xor(input: Any, other: Any) -> Any:
    """input ^ other, of bools or of the bits of integers"""
    return _apply(operator.xor, *_bits(input, other), promote=True)


# ----------------------------------------------------------------------------------- the same under other names

absolute, subtract, multiply, divide, negative, clip = abs, sub, mul, div, neg, clamp
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge
