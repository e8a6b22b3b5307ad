"""Elementwise operations: each is its formula and its derivative.

``g`` is the gradient of the loss with respect to the result; a pullback returns g times the local derivative. Operands of
different shapes broadcast, and the engine sums the gradients back (graph.undo_broadcast), so each op is its equation.
Comparisons and logic, which have no derivative, are in comparisons.py. Read before: graph.py. Read next: reductions.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes, graph
from ..devices import Array, array_module
from . import _special, checks
from ._arguments import raw
from ._autocast import autocast
from ._op import op
from ._promotion import astype, common, floating, in_dtype_of
from .comparisons import _apply

__all__ = [
    "abs", "add", "clamp", "cos", "erf", "exp", "log", "masked_fill", "maximum", "minimum", "mul", "neg", "pow", "sigmoid",
    "sign", "sin", "sqrt", "square", "sub", "tanh", "true_divide", "where",
]  # fmt: skip


def _flat(g: Array) -> Any:
    """The pullback of a step function: it is constant between its jumps, so its gradient is 0."""
    return _apply(array_module(raw(g)).zeros_like, g)


# ------------------------------------------------------------------------------------------------- arithmetic


@op(linear=True, promote=common, half="float32 with numbers")
def _add(a: Array, b: Array) -> Any:
    """a + b"""
    return a + b, (lambda g: g, lambda g: g)


def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """input + alpha · other"""
    return _add(input, other) if alpha == 1 else _add(input, _scaled(other, alpha, input))


def _differing(operands: Any) -> Any:
    """Operands of a difference, which bools do not have."""
    checks.no_difference_of_bools(operands)
    return common(operands)


@op(linear=True, promote=_differing, half="float32 with numbers")
def _sub(a: Array, b: Array) -> Any:
    """a - b"""
    return a - b, (lambda g: g, lambda g: -g)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """input - alpha · other"""
    if alpha == 1:
        return _sub(input, other)
    checks.no_difference_of_bools((input, other))
    return _sub(input, _scaled(other, alpha, input))


def _scaled(other: Any, alpha: float, input: Any) -> Any:
    """alpha · other, in the common dtype of input and other: alpha alone never turns integers into floats."""
    dtype = dtypes.result_type(input, other)
    checks.alpha_fits(alpha, dtype)
    return astype(mul(astype(other, dtype), alpha), dtype) if hasattr(other, "dtype") else other * alpha


@op(promote=common, half="float32 with numbers")
def mul(input: Array, other: Array) -> Any:
    """a · b, whose derivatives are b and a."""
    return input * other, (lambda g: g * other, lambda g: g * input)


@op(promote=floating, half="float32 with numbers")
def true_divide(input: Array, other: Array) -> Any:
    """a / b, whose derivatives are 1/b and -a/b²."""
    y = input / other
    return y, (lambda g: g / other, lambda g: -g * y / other)


@autocast
def rdiv(input: Any, other: Any) -> Any:
    """other / input, for a number other"""
    return true_divide(other, input)


@op(linear=True)
def neg(input: Array) -> Any:
    """-x"""
    checks.no_negative_of_bools(input)
    return -input, lambda g: -g


@op
def abs(input: Array) -> Any:
    """|x|, whose derivative is sign x (0 at 0)."""
    checks.no_bools("abs", input)
    xp = array_module(input)
    return xp.abs(input), lambda g: g * sign(input)


@op(linear=True)
def sign(input: Array) -> Any:
    """-1, 0 or 1 (0 for NaN)."""
    if input.dtype == bool:
        return input.astype(bool), _flat
    return (input > 0).astype(input.dtype) - (input < 0).astype(input.dtype), _flat


# ----------------------------------------------------------------------------------------------------- powers


@op(promote=common)
def _pow(a: Array, b: Array) -> Any:
    """aᵇ, whose derivatives are b·aᵇ⁻¹ and aᵇ·ln a.  0⁰ = 1; where b = 0 or a = 0 ≤ b the result is constant in a or in b."""
    checks.no_bools("pow", a, b)
    y = a**b if dtypes.is_floating(a.dtype) else _integer_power(a, b)

    def da(g: Array) -> Any:
        flat = b == 0
        return where(flat, 0, g * b * a ** where(flat, 1, b - 1))

    def db(g: Array) -> Any:
        flat = (a == 0) & (b >= 0)
        return where(flat, 0, g * y * log(where(flat, 1, a)))

    return y, (da, db)


def _integer_power(a: Array, b: Array) -> Any:
    """aᵇ of integers; aᵇ for b < 0 is a fraction, which is 0 as an integer, unless a is 1 or -1."""
    unit = (a == 1) | (a == -1) if a.dtype.kind == "i" else a == 1
    return where((b < 0) & ~unit, 0, a ** where(b < 0, b % 2, b))


@op(half="float32")
def _pow_number(a: Array, *, exponent: float) -> Any:
    """aⁿ for a plain number n, whose derivative is n·aⁿ⁻¹ (0 for n = 0, also at a = 0)."""
    n = exponent
    y = a * a if n == 2 else a * a * a if n == 3 else a**n
    if n == 0:
        return y, lambda g: _flat(g) * y  # y = 1, but a function of a: derivatives of every order are 0, not missing
    return y, lambda g: g * (n * a ** (n - 1))


@autocast
def pow(input: Any, exponent: Any) -> Any:
    """input to the power exponent; one of them may be a number."""
    if isinstance(exponent, np.generic):
        exponent = exponent.item()
    if not isinstance(exponent, bool | int | float):
        if not hasattr(input, "dtype"):  # 2ˣ
            input = array_module(raw(exponent)).asarray(input).astype(dtypes.result_type(input, exponent))
        return _pow(input, exponent)
    if dtypes.is_floating(input.dtype):
        return _pow_number(input, exponent=exponent)
    dtype = dtypes.result_type(input, exponent)
    checks.power_is_whole(exponent, dtype)
    exponent = exponent if dtypes.is_floating(dtype) else dtypes.number_as("pow", exponent, dtype)
    return astype(_pow_number(astype(input, dtype), exponent=exponent), dtype)


def square(input: Any) -> Any:
    """x²"""
    return pow(input, 2)


@op(promote=floating)
def sqrt(input: Array) -> Any:
    """√x, whose derivative is 1/(2√x)."""
    y = array_module(input).sqrt(input)
    return y, lambda g: g / (2 * y)


# ---------------------------------------------------------------------------------- exponentials and the like


@op(promote=floating, autocast=True)
def exp(input: Array) -> Any:
    """eˣ, its own derivative."""
    y = array_module(input).exp(input)
    return y, lambda g: g * y


@op(promote=floating, autocast=True)
def log(input: Array) -> Any:
    """ln x, whose derivative is 1/x."""
    return array_module(input).log(input), lambda g: g / input


@op(promote=floating)
def tanh(input: Array) -> Any:
    """tanh x, whose derivative is 1 - tanh² x."""
    y = array_module(input).tanh(input)
    return y, lambda g: g * (1 - y * y)


@op(promote=floating, half="float32")
def sigmoid(input: Array) -> Any:
    """σ(x) = 1/(1 + e⁻ˣ), whose derivative is σ(1 - σ).  Where e⁻ˣ overflows, 1/∞ = 0 is right."""
    if isinstance(input, graph.Tensor):  # the second derivative: not through e⁻ˣ, whose ∞ would make it ∞·0
        y = sigmoid(input)
    else:
        y = 1 / (1 + array_module(input).exp(-input))
    return y, lambda g: g * (y * (1 - y))


@op(promote=floating)
def sin(input: Array) -> Any:
    """sin x, whose derivative is cos x."""
    xp = array_module(input)
    return xp.sin(input), lambda g: g * xp.cos(input)


@op(promote=floating)
def cos(input: Array) -> Any:
    """cos x, whose derivative is -sin x."""
    xp = array_module(input)
    return xp.cos(input), lambda g: -g * xp.sin(input)


@op(promote=floating)
def erf(input: Array) -> Any:
    """erf x = 2/√π ∫₀ˣ e^{-t²} dt, whose derivative is 2/√π e^{-x²}."""
    y = erf(input) if isinstance(input, graph.Tensor) else _special.erf(input)
    return y, lambda g: g * (2 / math.sqrt(math.pi) * exp(-input * input))


# ---------------------------------------------------------------------------------------------------- choices


@op(linear=True, promote=common)
def _where(a: Array, b: Array, *, condition: Array) -> Any:
    """a where the condition is True, else b: each gets the gradient where it was chosen."""
    y = in_dtype_of(array_module(condition, a, b).where(condition, a, b), a if hasattr(a, "dtype") else b)
    return y, (lambda g: where(condition, g, 0), lambda g: where(condition, 0, g))


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where condition is True, else other (tensors or numbers); alone, the indices where condition is not 0."""
    mask = raw(condition)
    if input is None and other is None:
        return tuple(graph.Tensor(i.astype(np.int64)) for i in (mask if mask.ndim else mask.reshape(1)).nonzero())
    mask = checks.condition(mask)
    if not (hasattr(input, "dtype") or hasattr(other, "dtype")):  # of two numbers one must have a dtype
        input = array_module(mask).asarray(input, dtype=dtypes.result_type(input, other))
    y = _where(input, other, condition=mask)
    return graph.Tensor(y) if isinstance(condition, graph.Tensor) and not isinstance(y, graph.Tensor) else y


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """input with value (a number, or a 0-d tensor, which gets a gradient) where mask is True; the dtype stays input's."""
    checks.fills(raw(mask), value)
    if hasattr(value, "dtype"):
        return where(mask, astype(value, input.dtype), input)
    return where(mask, dtypes.number_as("masked_fill", value, input.dtype), input)


@op(promote=common)
def maximum(input: Array, other: Array) -> Any:
    """The larger of a and b; where they are equal each gets half of the gradient. A NaN wins."""
    y = array_module(input, other).maximum(input, other)
    return y, (lambda g: _to_chosen(g, input == other, input < other), lambda g: _to_chosen(g, input == other, other < input))


@op(promote=common)
def minimum(input: Array, other: Array) -> Any:
    """The smaller of a and b; where they are equal each gets half of the gradient. A NaN wins."""
    y = array_module(input, other).minimum(input, other)
    return y, (lambda g: _to_chosen(g, input == other, input > other), lambda g: _to_chosen(g, input == other, other > input))


def _to_chosen(g: Array, tie: Array, lost: Array) -> Any:
    """The gradient of one operand: g if it was chosen, g/2 in a tie, 0 otherwise."""
    return where(lost, 0, where(tie, g / 2, g))


@op(promote=common)
def _at_least(x: Array, low: Array) -> Any:
    """max(x, low): x gets the gradient where x ≥ low, low elsewhere."""
    checks.no_bool_limit(x, low)
    y = array_module(x, low).maximum(x, low)
    return y, (lambda g: where(x >= low, g, 0), lambda g: where(x < low, g, 0))


@op(promote=common)
def _at_most(x: Array, high: Array) -> Any:
    """min(x, high): x gets the gradient where x ≤ high, high elsewhere."""
    checks.no_bool_limit(x, high)
    y = array_module(x, high).minimum(x, high)
    return y, (lambda g: where(x <= high, g, 0), lambda g: where(x > high, g, 0))


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """input limited to [min, max], numbers or tensors; max wins where min > max."""
    checks.limits(input, min, max)
    if min is not None:
        input = _at_least(input, min)
    return input if max is None else _at_most(input, max)
