"""The core of cross entropy, with its gradient. Other losses: extra_losses.py.

nn/functional.py reduces them over the batch, under PyTorch's signatures.
Read before: normalization.py. Read next: tensor.py.
"""

from __future__ import annotations

from typing import Any

from ..devices import Array, array_module
from ..kernels import kernel
from ._op import op
from .attention import peak_of
from .indexing import pick_along, place_along
from .shaping import unsqueeze


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
