"""The kernels' definitions: plain array code that runs on NumPy, on CuPy and on Tensors.

Where an argument repeats along an axis (a bias), its gradient is returned before the sum over that axis: broadcasting is
undone by the engine.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import kernels
from ..devices import Array, array_module

# -------------------------------------------------------------------------------------------------- activations


def gelu(x: Any) -> tuple[Any, Any]:
    """x Φ(x) and its derivative Φ(x) + x φ(x); Φ and φ are the normal distribution and its density.

    Hendrycks and Gimpel (2016), "Gaussian error linear units", https://arxiv.org/abs/1606.08415.
    """
    from ..ops.elementwise import erf

    cdf = (erf(x * math.sqrt(0.5)) + 1) * 0.5
    density = array_module(x).exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return x * cdf, cdf + x * density


def gelu_tanh(x: Any) -> tuple[Any, Any]:
    """½x(1 + tanh u) with u = √(2/π)(x + 0.044715 x³), and its derivative ½(1 + tanh u) + ½x(1 - tanh² u) u'."""
    c = math.sqrt(2 / math.pi)
    t = array_module(x).tanh(x * (x * x * (0.044715 * c) + c))
    slope = (t + 1) * 0.5 + x * (1 - t * t) * (x * x * (3 * 0.044715 * c) + c) * 0.5
    return x * (t + 1) * 0.5, slope


def bias_gelu(x: Any, bias: Any, tanh: bool) -> tuple[Any, Any]:
    """gelu(x + b) or gelu_tanh(x + b), and what the gradient needs: the slope."""
    return kernels.run("gelu_tanh" if tanh else "gelu", x + bias)  # type: ignore[no-any-return]


def bias_gelu_backward(g: Any, kept: Any) -> Any:
    """dx = g · slope; the bias's gradient is its sum over the rows."""
    return g * kept


# ------------------------------------------------------------------------------------------------------- linear


def matmul(a: Any, b: Any) -> Any:
    """a @ b"""
    return a @ b


def linear(x: Array, weight: Array, bias: Array) -> Any:
    """x Wᵀ + b, all leading axes of x laid end to end as rows."""
    from ..ops.linalg import times

    y = times(x, weight.mT)
    return y if bias is None else y + bias


def sum_rows(g: Array) -> Any:
    """The gradient of what was added to every row; the engine sums it."""
    return g


# ------------------------------------------------------------------------------------------------------ softmax


def softmax(x: Array, axis: tuple[int, ...], empty: bool = False) -> Any:
    """yᵢ = eˣⁱ / Σⱼ eˣʲ.  Subtracting the largest x changes nothing but that no power overflows.

    empty: where every x is -inf (nothing may be attended to) the result is 0, and not NaN.
    """
    xp = array_module(x)
    peak = peak_of(x, axis)
    if empty:
        peak = array_module(peak).where(peak == -math.inf, 0, peak).astype(peak.dtype, copy=False)  # CuPy widens bfloat16
    e = xp.exp(x - peak)
    s = xp.sum(e, axis=axis, keepdims=True)
    return e / (s + (s == 0) if empty else s)


def softmax_backward(g: Array, y: Array, axis: tuple[int, ...]) -> Any:
    """dL/dx = y (g - Σ g y)."""
    return y * (g - array_module(g, y).sum(g * y, axis=axis, keepdims=True))


def peak_of(x: Array, axis: tuple[int, ...]) -> Any:
    """The largest value along the axis, as a constant: no result depends on it but for rounding."""
    from ..ops import raw

    x = raw(x)
    return array_module(x).amax(x, axis=axis, keepdims=True) if x.size else x


# ---------------------------------------------------------------------------------------------------- attention


def attention(q: Array, k: Array, v: Array, mask: Array, keep: Array, scale: float, share: float) -> Any:
    """softmax(Q Kᵀ·scale + mask) V, and the softmax; of its weights only those that ``keep`` names count, divided by ``share``.

    Q (..., L, d), K (..., S, d), V (..., S, e) -> (..., L, e).  A query that may see nothing (all -inf) gets 0.
    Vaswani et al. (2017), "Attention is all you need", https://arxiv.org/abs/1706.03762, equation 1.
    """
    scores = kernels.run("matmul", q * scale, k.mT)
    scores = scores if mask is None else scores + mask
    weights = softmax(scores, (scores.ndim - 1,), empty=True)
    return kernels.run("matmul", _kept(weights, keep, share), v), weights


def attention_backward(
    g: Array, q: Array, k: Array, v: Array, mask: Array, keep: Array, scale: float, share: float, y: Array, weights: Array
) -> tuple[Any, Any, Any]:
    """With P the weights, M the mask of dropout over its share and P̃ = P M, so that y = P̃ V:

    dV = P̃ᵀ g,  dP = (g Vᵀ) M,  dS = P (dP - Σ dP P) = P̃ (g Vᵀ) - P Σ g y,  dQ = dS K · scale,  dK = dSᵀ Q · scale.
    A row's sum runs over the narrow y instead of the wide table: Dao et al. (2022), "FlashAttention",
    https://arxiv.org/abs/2205.14135, appendix B.  Who does not keep the weights (a GPU) finds them again from the mask.
    """
    kept = _kept(weights, keep, share)
    xp = array_module(g, y)
    product = functools.partial(kernels.run, "matmul")
    ds = kept * product(g, v.mT) - weights * xp.sum(g * y, axis=y.ndim - 1, keepdims=True)
    return product(ds, k) * scale, product(ds.mT, q * scale), product(kept.mT, g)


def _kept(x: Array, keep: Array, share: float) -> Any:
    return x if keep is None else drop(x, keep, share)


# ---------------------------------------------------------------------------------------------------- layer norm


def layer_norm(x: Array, weight: Array, bias: Array, axis: tuple[int, ...], eps: float) -> Any:
    """y = x̂ w + b, x̂ = (x - mean) r, r = 1 / √(var + eps); with it mean and r."""
    xp = array_module(x, weight, bias)
    mean = xp.mean(x, axis=axis, keepdims=True)
    centred = x - mean
    r = 1 / xp.sqrt(xp.mean(centred * centred, axis=axis, keepdims=True) + eps)
    y = centred * r
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, r


def layer_norm_backward(g: Array, x: Array, weight: Array, mean: Array, r: Array, axis: tuple[int, ...]) -> Any:
    """With h = g w:  dx = r (h - mean h - x̂ mean(h x̂)),  dw = g x̂,  db = g.

    x̂ is computed again: two quick passes instead of a kept array.
    """
    xp = array_module(g, x, weight)
    unit = (x - mean) * r
    h = g if weight is None else g * weight
    along = xp.mean(h * unit, axis=axis, keepdims=True)
    dx = (h - xp.mean(h, axis=axis, keepdims=True) - unit * along) * r
    return dx, None if weight is None else g * unit, g


def add_norm(x: Array, residual: Array, weight: Array, bias: Array, keep: Array, share: float, eps: float) -> Any:
    """y = layer_norm(z), z = residual + drop(x), over the last axis; with it ẑ = (z - mean) r, and r."""
    z = residual + (x if keep is None else kernels.run("drop", x, keep, share))
    y, mean, r = kernels.run("layer_norm", z, weight, bias, (z.ndim - 1,), eps)
    return y, (z - mean) * r, r


def add_norm_backward(g: Array, unit: Array, weight: Array, r: Array, keep: Array, share: float) -> Any:
    """dz as in layer_norm, whose x̂ is ẑ here:  dx = drop(dz),  dresidual = dz,  dw = g ẑ,  db = g."""
    mean = r * 0  # of ẑ, whose own r is 1
    dz, dw, db = kernels.run("layer_norm_backward", g, unit, weight, mean, mean + 1, (unit.ndim - 1,))
    dz = dz * r
    return (dz if keep is None else kernels.run("drop", dz, keep, share)), dz, dw, db


# ------------------------------------------------------------------------------------------------ cross entropy


def cross_entropy(x: Array, target: Array, axis: int) -> Any:
    """-ln softmax(x)ₜ = ln Σⱼ eˣʲ - xₜ at each position; with it the largest x and the sum s of the powers beside it."""
    from ..ops.nn import pick

    xp = array_module(x)
    peak = peak_of(x, (axis,))
    s = xp.sum(xp.exp(x - peak), axis=axis, keepdims=True)
    return xp.log(s).reshape(target.shape) - pick(x - peak, index=target, axis=axis), peak, s


def cross_entropy_backward(g: Array, x: Array, target: Array, axis: int, peak: Array, s: Array) -> Any:
    """dL/dx = g (softmax(x) - onehot(t)).  softmax, eˣ/s, is computed again: nothing of the size of x is kept but x."""
    from ..ops.nn import place

    share = array_module(x).exp(x - peak) * (g.reshape(s.shape) / s)
    return share - place(g, index=target, axis=axis, size=x.shape[axis])


# ----------------------------------------------------------------------------------------- dropout and embedding


def drop(x: Array, keep: Array, share: float) -> Any:
    """x where ``keep`` is True, divided by the share that is kept so that the expectation stays x; 0 elsewhere."""
    return x * (keep * x.dtype.type(1 / share if share else 0))


def keep_mask(like: Array, shape: tuple[int, ...], p: float, stream: Any) -> Any:
    """True with probability 1 - p; ``stream`` is the generator of random numbers of the library that ``like`` is of."""
    return stream.random(shape, dtype="float32") >= p


def add_rows(g: Array, index: Array, count: int) -> Any:
    """``count`` rows of zeros, to which g's rows are added at ``index``."""
    xp = array_module(g)
    total = xp.zeros((count, *g.shape[index.ndim :]), g.dtype)
    xp.add.at(total, index, g)  # and not total[index] += g, which counts a repeated index once
    return total


# --------------------------------------------------------------------------------------------------------- Adam


def adam(p: Array, g: Array, m: Array, v: Array, largest: Array | None, t: int | None, lr: float, betas: Any, eps: float) -> None:
    """Adam's arithmetic, all in place: one scratch array u, however long the formula.  t None: no bias correction."""
    xp = array_module(p)
    beta1, beta2 = betas
    u = xp.empty_like(m)
    xp.subtract(g, m, out=u)  # m += (1 - β₁)(g - m)
    u *= 1 - beta1
    m += u
    v *= beta2  # v = β₂v + (1 - β₂)g²
    xp.multiply(g, g, out=u)
    u *= 1 - beta2
    v += u
    if largest is not None:
        xp.maximum(largest, v, out=largest)
        v = largest
    root = 1.0 if t is None else math.sqrt(1 - beta2**t)  # √v̂ = √v / root
    xp.sqrt(v, out=u)
    u += eps * root
    xp.divide(m, u, out=u)
    u *= lr * root / (1 if t is None else 1 - beta1**t)
    p -= u


# --------------------------------------------------------------------------------- all parameters, or gradients, at once


def adam_all(
    ps: list[Array], gs: list[Array], ms: list[Array], vs: list[Array], largest: list[Array] | None,
    ts: list[int] | None, lr: float, betas: Any, eps: float, shrink: float,
) -> None:  # fmt: skip
    """adam for many parameters; first p ← shrink · p, the decay that AdamW keeps out of the gradient."""
    for i, p in enumerate(ps):
        if shrink != 1:
            p *= shrink
        t, most = None if ts is None else ts[i], None if largest is None else largest[i]
        kernels.run("adam", p, gs[i], ms[i], vs[i], most, t, lr, betas, eps)


def norm_all(arrays: list[Array]) -> Any:
    """The Euclidean norm of all numbers of all arrays: √Σ‖a‖², on the device of the first."""
    from ..devices import device_of, move

    home, xp = device_of(arrays[0]), array_module(arrays[0])
    wide = [a.astype(np.float32) if a.dtype.itemsize == 2 else a for a in arrays]  # squares of float16 overflow at 256
    squares = [move(array_module(a).sum(a * a), home) for a in wide]
    return xp.sqrt(xp.sum(xp.stack(squares)))


def scale_all(arrays: list[Array], factor: Array) -> None:
    """a ← factor · a"""
    from ..devices import device_of, move

    for a in arrays:
        a *= move(factor, device_of(a)).astype(a.dtype)


def add_all(arrays: list[Array], terms: list[list[Array]]) -> None:
    """a ← a + b₁ + b₂ + ..., in this order, each array with terms of its own."""
    for a, bs in zip(arrays, terms, strict=True):
        for b in bs:
            a += b
