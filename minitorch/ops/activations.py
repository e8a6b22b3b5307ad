"""Activations: relu, GELU and their kin, each with its gradient.

A kernel (``@kernel``) is the definition that the fast implementations of kernels/cpu.py and kernels/cuda/ must agree with.
Read before: elementwise.py, kernels/dispatch.py. Read next: attention.py.
"""

from __future__ import annotations

import math
from typing import Any

from ..devices import Array, array_module, device_of
from ..kernels import kernel
from ._arguments import one_dim, raw
from ._autocast import autocast
from ._op import in_floats, op
from .elementwise import erf, sigmoid
from .nn import linear, sum_rows

__all__ = ["relu"]


@op(linear=True)  # piecewise: the mask is all that the gradient needs, and the mask's own derivative is 0
def _relu(x: Array) -> Any:
    """max(x, 0), whose derivative is 1 where x > 0, else 0."""
    y = array_module(x).maximum(x, x.dtype.type(0))
    return y, lambda g: g * (y != 0)  # != and not >, so that a NaN stays one


def relu(input: Any) -> Any:
    """max(x, 0)"""
    if input.dtype == bool:
        raise RuntimeError("relu: a bool tensor has no sign; cast it with .to(dtype)")
    return _relu(input)


# ------------------------------------------------------------------------------------------------------------ GELU


@kernel
def gelu_kernel(x: Any) -> tuple[Any, Any]:
    """x Φ(x) and its derivative Φ(x) + x φ(x); Φ and φ are the normal distribution and its density.

    Hendrycks and Gimpel (2016), "Gaussian error linear units", https://arxiv.org/abs/1606.08415.
    """
    cdf = (erf(x * math.sqrt(0.5)) + 1) * 0.5
    density = array_module(x).exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return x * cdf, cdf + x * density


@kernel
def gelu_tanh(x: Any) -> tuple[Any, Any]:
    """½x(1 + tanh u) with u = √(2/π)(x + 0.044715 x³), and its derivative ½(1 + tanh u) + ½x(1 - tanh² u) u'."""
    c = math.sqrt(2 / math.pi)
    t = array_module(x).tanh(x * (x * x * (0.044715 * c) + c))
    slope = (t + 1) * 0.5 + x * (1 - t * t) * (x * x * (3 * 0.044715 * c) + c) * 0.5
    return x * (t + 1) * 0.5, slope


@op(floats_only=True, half="float32 on CPU")
def _gelu(x: Array) -> Any:
    """x Φ(x), Φ the normal distribution function.  The derivative, kept by the forward pass, is Φ(x) + x φ(x), φ its density."""
    y, slope = gelu_kernel(x)
    return y, lambda g: g * slope


@op(floats_only=True, half="float32 on CPU")
def _gelu_tanh(x: Array) -> Any:
    """½x(1 + tanh u) with u = √(2/π)(x + 0.044715 x³).  The derivative is ½(1 + tanh u) + ½x(1 - tanh² u) u'."""
    y, slope = gelu_tanh(x)
    return y, lambda g: g * slope


def gelu(input: Any, *, approximate: str = "none") -> Any:
    """x Φ(x), or with approximate="tanh" Hendrycks and Gimpel's formula for it (arXiv 1606.08415)."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f'gelu: approximate must be "none" or "tanh", not {approximate!r}')
    return _gelu(input) if approximate == "none" else _gelu_tanh(input)


@kernel(parts=(gelu_kernel, gelu_tanh))
def bias_gelu(x: Any, bias: Any, tanh: bool) -> tuple[Any, Any]:
    """gelu(x + b) or gelu_tanh(x + b), and what the gradient needs: the slope."""
    return (gelu_tanh if tanh else gelu_kernel)(x + bias)  # type: ignore[no-any-return]


@kernel
def bias_gelu_backward(g: Any, saved: Any) -> Any:
    """dx = g · slope; the bias's gradient is its sum over the rows."""
    return g * saved


@op(floats_only=True, half="float32 on CPU")
def _bias_gelu(x: Array, bias: Array, *, tanh: bool) -> Any:
    """gelu(x + b), b being added to every row."""
    y, saved = bias_gelu(x, bias, tanh)

    def pullback(g: Array) -> Any:
        dx = bias_gelu_backward(g, saved)
        return dx, sum_rows(dx)

    return y, pullback


def linear_gelu(input: Any, weight: Any, bias: Any = None, *, approximate: str = "none") -> Any:
    """gelu(linear(input, weight, bias)).  On a GPU the bias is added inside of GELU's kernel: one pass over memory less."""
    if bias is None or device_of(raw(input)) == "cpu":
        return gelu(linear(input, weight, bias), approximate=approximate)
    h = linear(input, weight)
    return _bias_gelu(h, bias, tanh=approximate == "tanh")


# -------------------------------------------------------------------------------------- smooth and leaky relatives


@op(floats_only=True, half="float32")
def silu(input: Array) -> Any:
    """x σ(x), whose derivative is σ(1 + x(1 - σ))."""
    x, s = input, sigmoid(input)
    return x * s, lambda g: g * (s * (x * (1 - s) + 1))


@op(floats_only=True, half="float32")
def _softplus(x: Array, *, beta: float, threshold: float) -> Any:
    """ln(1 + eᵝˣ)/β, whose derivative is σ(βx); beyond βx > threshold it is x to all digits."""
    xp = array_module(x)
    z = x * beta
    y = xp.where(z > threshold, x, xp.log1p(xp.exp(xp.where(z > threshold, 0, z))) / beta)
    return y, lambda g: xp.where(z >= threshold, g, g * sigmoid(z))


@autocast
def softplus(input: Any, beta: float = 1, threshold: float = 20) -> Any:
    """ln(1 + eᵝˣ)/β, a smooth relu; x itself where βx > threshold."""
    return _softplus(input, beta=beta, threshold=threshold)


@op(floats_only=True, half="float32")
def log_sigmoid(input: Array) -> Any:
    """ln σ(x) = min(x, 0) - ln(1 + e^-|x|), whose derivative is σ(-x)."""
    x, xp = input, array_module(input)
    return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x))), lambda g: g * sigmoid(-x)


@op(linear=True, floats_only=True, half="float32")
def _leaky_relu(x: Array, *, slope: float) -> Any:
    """x where x > 0, else slope · x."""
    factor = array_module(x).where(x > 0, x.dtype.type(1), x.dtype.type(slope))
    return x * factor, lambda g: g * factor


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where x > 0, else negative_slope · x"""
    return _leaky_relu(input, slope=negative_slope)


@op(floats_only=True, half="float32")
def _elu(x: Array, *, alpha: float) -> Any:
    """x where x > 0, else α(eˣ - 1), whose derivative is αeˣ."""
    xp = array_module(x)
    below = xp.where(x <= 0, x, 0)
    return xp.where(x <= 0, xp.expm1(below) * alpha, x), lambda g: g * xp.where(x <= 0, xp.exp(below) * alpha, 1)


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else α(eˣ - 1)"""
    return _elu(input, alpha=alpha)


def mish(input: Any) -> Any:
    """x tanh(ln(1 + eˣ))"""
    return input * array_module(input).tanh(_softplus(input, beta=1, threshold=20))


def glu(input: Any, dim: int = -1) -> Any:
    """a σ(b), a and b being the halves of the input along ``dim``."""
    return _glu(input, dim=dim)


@in_floats
def _glu(input: Any, *, dim: int) -> Any:
    d = one_dim(dim, input.ndim)
    if input.ndim == 0 or input.shape[d] % 2:
        raise RuntimeError(f"glu: the size along dim {dim} must be even to be halved, got shape {tuple(input.shape)}")
    n = input.shape[d] // 2
    before = (slice(None),) * d
    return input[(*before, slice(n))] * sigmoid(input[(*before, slice(n, None))])
