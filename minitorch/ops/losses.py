"""The cores of the losses, each with its gradient: cross entropy, Huber, binary cross entropy, x ln y.

nn/functional.py reduces them over the batch, under PyTorch's signatures.
Read before: normalization.py. Read next: tensor.py.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..devices import Array, array_module
from ..kernels import kernel
from ._arguments import raw
from ._op import op
from ._promotion import floating, in_dtype_of
from .attention import peak_of
from .indexing import pick_along, place_along
from .shaping import unsqueeze

__all__ = ["xlogy"]


def pick(x: Any, *, index: Array, axis: int) -> Any:
    """One value along ``axis`` for each position of the others: (..., C, ...) -> (...)."""
    return pick_along(x, index=unsqueeze(index, axis), axis=axis).reshape(index.shape)


def place(x: Any, *, index: Array, axis: int, size: int) -> Any:
    """Each value at its index along a new ``axis`` of zeros, (...) -> (..., C, ...): the transpose of pick."""
    return place_along(unsqueeze(x, axis), index=unsqueeze(index, axis), axis=axis, size=size)


# --------------------------------------------------------------------------------------------------- cross entropy


@kernel
def cross_entropy_kernel(x: Array, target: Array, axis: int) -> Any:
    """-ln softmax(x)ₜ = ln Σⱼ eˣʲ - xₜ at each position; also the largest x and s = Σⱼ eˣʲ⁻ᵐᵃˣ."""
    xp = array_module(x)
    peak = peak_of(x, (axis,))
    s = xp.sum(xp.exp(x - peak), axis=axis, keepdims=True)
    return xp.log(s).reshape(target.shape) - pick(x - peak, index=target, axis=axis), peak, s


@kernel
def cross_entropy_backward(g: Array, x: Array, target: Array, axis: int, peak: Array, s: Array) -> Any:
    """dL/dx = g (softmax(x) - onehot(t)).  softmax, eˣ/s, is computed again: of arrays as large as x only x is saved."""
    factor = array_module(x).exp(x - peak) * (g.reshape(s.shape) / s)
    return factor - place(g, index=target, axis=axis, size=x.shape[axis])


@op(floats_only=True, half="float32 on CPU")
def cross_entropy_at(x: Array, *, target: Array, axis: int) -> Any:
    """-ln softmax(x)ₜ = ln Σⱼ eˣʲ - xₜ at each position.  dL/dx = g (softmax(x) - onehot(t)).

    Of arrays as large as x only x is saved: softmax, eˣ over the sum s, is computed again from it.
    """
    loss, peak, s = cross_entropy_kernel(x, target, axis)
    return loss, lambda g: cross_entropy_backward(g, x, target, axis, peak, s)


# ---------------------------------------------------------------------------------------------------------- others


@op(floats_only=True, half="float32")
def huber(d: Array, *, delta: float) -> Any:
    """½d² for |d| ≤ δ, otherwise the straight line δ(|d| - ½δ): c(d - ½c) with c = d limited to ±δ, its derivative."""
    xp = array_module(d)
    c = xp.where(xp.abs(d) >= delta, xp.sign(d) * delta, d)
    return c * (d - c * 0.5), lambda g: g * c


@op(floats_only=True, half="float32")
def bernoulli_entropy(p: Array, y: Array) -> Any:
    """-(y ln p + (1 - y) ln(1 - p)), logarithms at least -100.  dL/dp = g (p - y)/(p(1 - p)),  dL/dy = g (ln(1 - p) - ln p)."""
    xp = array_module(p, y)
    log_p, log_q = xp.log(p), xp.log1p(-p)
    dp = lambda g: g * (p - y) / xp.maximum(p * (1 - p), 1e-12)  # noqa: E731
    return -(y * xp.maximum(log_p, -100.0) + (1 - y) * xp.maximum(log_q, -100.0)), (dp, lambda g: g * (log_q - log_p))


def xlogy(input: Any, other: Any) -> Any:
    """x ln y, and 0 where x is 0; one of the two may be a number."""
    if not hasattr(input, "dtype"):
        input = _as_met_by(other, input)
    return _xlogy(input, other if hasattr(other, "dtype") else _as_met_by(input, other))


def _as_met_by(x: Any, number: Any) -> Array:
    """The number as an array, in the dtype in which it meets x."""
    dtype = dtypes.result_type(x, number)
    return array_module(raw(x)).asarray(number, dtype if dtypes.is_floating(dtype) else dtypes.get_default_dtype())


@op(promote=floating)
def _xlogy(x: Array, y: Array) -> Any:
    """x ln y, and 0 where x is 0.  The derivatives are ln y and x/y."""
    xp, like = array_module(x, y), x if hasattr(x, "dtype") else y
    zero = xp.logical_and(x == 0, xp.logical_not(xp.isnan(y)))

    def dx(g: Array) -> Array:
        flat = xp.logical_and(x == 0, y <= 0)
        return in_dtype_of(xp.where(flat, 0, g * xp.log(in_dtype_of(xp.where(flat, 1, y), like))), like)

    return in_dtype_of(xp.where(zero, 0, x * xp.log(in_dtype_of(xp.where(zero, 1, y), like))), like), (dx, lambda g: g * x / y)
