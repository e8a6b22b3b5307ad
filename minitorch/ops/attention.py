"""Softmax and attention, each with its gradient.

``axis`` is a tuple, () for a 0-d tensor.
Read before: activations.py, linalg.py. Read next: normalization.py.
"""

from __future__ import annotations

import math
from typing import Any

from ..devices import Array, array_module
from ..kernels import kernel
from ._arguments import numpy_names, one_dim, raw
from ._autocast import autocast
from ._op import op
from ._promotion import astype
from .linalg import matmul_kernel
from .nn import drop_kernel

__all__ = ["log_softmax", "softmax"]


@kernel
def softmax_kernel(x: Array, axis: tuple[int, ...], empty: bool = False) -> Any:
    """yᵢ = eˣⁱ / Σⱼ eˣʲ.  Subtracting the largest x leaves y unchanged and keeps the powers from overflowing.

    empty: where every x is -inf (nothing may be attended to) the result is 0, not NaN.
    """
    xp = array_module(x)
    peak = peak_of(x, axis)
    if empty:
        peak = array_module(peak).where(peak == -math.inf, 0, peak).astype(peak.dtype, copy=False)  # CuPy widens bfloat16
    e = xp.exp(x - peak)
    s = xp.sum(e, axis=axis, keepdims=True)
    return e / (s + (s == 0) if empty else s)


@kernel
def softmax_backward(g: Array, y: Array, axis: tuple[int, ...]) -> Any:
    """dL/dx = y (g - Σ g y)."""
    return y * (g - array_module(g, y).sum(g * y, axis=axis, keepdims=True))


def peak_of(x: Array, axis: tuple[int, ...]) -> Any:
    """The largest value along the axis, as a constant: results depend on it only by rounding."""
    x = raw(x)
    return array_module(x).amax(x, axis=axis, keepdims=True) if x.size else x


@op(floats_only=True, half="float32 on CPU")
def _softmax(x: Array, *, axis: tuple[int, ...]) -> Any:
    """yᵢ = eˣⁱ / Σⱼ eˣʲ.  dL/dx = y (g - Σ g y)."""
    y = softmax_kernel(x, axis)
    return y, lambda g: softmax_backward(g, y, axis)


@op(floats_only=True, half="float32 on CPU")
def softmax_or_zero(x: Array, *, axis: tuple[int, ...]) -> Any:
    """Softmax for attention: where every score is -inf (nothing may be attended to) the result is 0, not NaN."""
    y = softmax_kernel(x, axis, empty=True)
    return y, lambda g: softmax_backward(g, y, axis)


@op(floats_only=True, half="float32")
def _log_softmax(x: Array, *, axis: tuple[int, ...]) -> Any:
    """yᵢ = xᵢ - ln Σⱼ eˣʲ.  dL/dx = g - eʸ Σ g."""
    xp = array_module(x)
    shifted = x - peak_of(x, axis)
    y = shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))
    return y, lambda g: g - xp.exp(y) * xp.sum(g, axis=axis, keepdims=True)


@autocast
@numpy_names
def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """eˣⁱ / Σⱼ eˣʲ along ``dim``: positive numbers that sum to 1; NaN where all are -∞ (see the table in nn/attention.py)."""
    return _softmax(input if dtype is None else astype(input, dtype), axis=_along(input, dim))


@autocast
@numpy_names
def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """ln softmax(x) = xᵢ - ln Σⱼ eˣʲ along ``dim``, accurate where softmax underflows to 0."""
    return _log_softmax(input if dtype is None else astype(input, dtype), axis=_along(input, dim))


def _along(input: Any, dim: int) -> tuple[int, ...]:
    d = one_dim(dim, input.ndim)
    return (d,) if input.ndim else ()


# ------------------------------------------------------------------------------------------------------- attention


INSIDE = (matmul_kernel, softmax_kernel, softmax_backward, drop_kernel)


@kernel(parts=INSIDE)
def attention_kernel(q: Array, k: Array, v: Array, mask: Array, keep: Array, scale: float, keep_prob: float) -> Any:
    """y = P̃ V with the weights P = softmax(Q Kᵀ·scale + mask) and P̃ = dropout(P); also P.

    Q (..., L, d), K (..., S, d), V (..., S, e) -> (..., L, e).  ``keep`` (..., L, S) marks the weights that dropout keeps,
    divided by ``keep_prob``.  A query whose keys are all masked (-inf) gets 0.
    Vaswani et al. (2017), "Attention is all you need", https://arxiv.org/abs/1706.03762, equation 1.
    """
    scores = matmul_kernel(q * scale, k.mT)  # (..., L, S)
    scores = scores if mask is None else scores + mask
    weights = softmax_kernel(scores, (scores.ndim - 1,), empty=True)
    return matmul_kernel(_dropped(weights, keep, keep_prob), v), weights


@kernel(parts=INSIDE)
def attention_backward(
    g: Array, q: Array, k: Array, v: Array, mask: Array, keep: Array, scale: float, keep_prob: float, y: Array, weights: Array
) -> tuple[Any, Any, Any]:
    """dV = P̃ᵀ g,  dP = dropout(g Vᵀ),  dS = P (dP - Σ dP P),  dQ = dS K · scale,  dK = dSᵀ Q · scale.

    The fast kernels use y: Σ dP P over a row of the wide table (L, S) equals Σ g y over a row of the narrow y (Dao et al.,
    2022, "FlashAttention", https://arxiv.org/abs/2205.14135, appendix B). Without a saved P they compute it again.
    """
    dweights = _dropped(matmul_kernel(g, v.mT), keep, keep_prob)
    dscores = softmax_backward(dweights, weights, (weights.ndim - 1,))
    dq, dk = matmul_kernel(dscores, k) * scale, matmul_kernel(dscores.mT, q * scale)
    return dq, dk, matmul_kernel(_dropped(weights, keep, keep_prob).mT, g)


def _dropped(x: Array, keep: Array, keep_prob: float) -> Any:
    return x if keep is None else drop_kernel(x, keep, keep_prob)


@op(floats_only=True, half="float32 on CPU")
def attention(q: Array, k: Array, v: Array, *, mask: Array | None, keep: Array | None, scale: float, keep_prob: float) -> Any:
    """softmax(Q Kᵀ·scale + mask) V with dropout on the weights.  It saves at most one table (L, S): the weights."""
    y, weights = attention_kernel(q, k, v, mask, keep, scale, keep_prob)
    return y, lambda g: attention_backward(g, q, k, v, mask, keep, scale, keep_prob, y, weights)
