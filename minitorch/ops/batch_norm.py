"""Batch normalisation of one batch (Ioffe and Szegedy, 2015): layer norm's equations over the batch's axes, per channel.

Read before: normalization.py. nn/functional_extra.py adds the running statistics.
"""

from __future__ import annotations

from typing import Any

from ..devices import Array
from ..kernels import reference
from ._op import op


@op(floats_only=True, half="float32")
def normalize_batch(x: Array, weight: Array, bias: Array, *, axis: tuple[int, ...], eps: float) -> Any:
    """y = x̂ w + b, x̂ = (x - mean) / √(var + eps), mean and var over ``axis``; w and b have size 1 there, or are None.

    The definitions of layer norm's kernel hold for any axes; its fast forms know last axes only.
    """
    y, mean, r = reference.layer_norm(x, weight, bias, axis, eps)
    return y, lambda g: reference.layer_norm_backward(g, x, weight, mean, r, axis)
