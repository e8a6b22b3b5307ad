"""Activations that BERT does not use: SiLU, softplus, log-sigmoid, leaky relu, ELU, Mish, GLU. Look them up.

Read before: activations.py.
"""

from __future__ import annotations

from typing import Any

from .. import graph
from ..devices import Array, array_module
from ._arguments import one_dim
from ._autocast import autocast
from ._op import in_floats, op
from .elementwise import sigmoid


@op(floats_only=True, half="float32")
def silu(input: Array) -> Any:
    """x σ(x), whose derivative is σ(1 + x(1 - σ))."""
    x, s = input, sigmoid(input)
    return x * s, lambda g: g * (s * (x * (1 - s) + 1))


@op(floats_only=True, half="float32")
def _softplus(x: Array, *, beta: float, threshold: float) -> Any:
    """ln(1 + eᵝˣ)/β, whose derivative is σ(βx); for βx > threshold it equals x in all digits."""
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


@op(floats_only=True, half="float32")
def _leaky_relu(x: Array, *, slope: float) -> Any:
    """x where x > 0, else slope · x; the derivative, 1 or slope, is constant, but as a Tensor a function of x."""
    factor = array_module(x).where(x > 0, x.dtype.type(1), x.dtype.type(slope))
    return x * factor, lambda g: g * (factor * x**0 if isinstance(x, graph.Tensor) else factor)


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
