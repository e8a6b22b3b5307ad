"""Activations: relu and GELU, each with its gradient. Others: extra_activations.py.

A kernel (``@kernel``) is the definition that the fast implementations of kernels/loops/, cpu.py and cuda/ must agree with.
Read before: nn.py, kernels/dispatch.py. Read next: attention.py.
"""

from __future__ import annotations

import math
from typing import Any

from .. import graph
from ..devices import Array, array_module
from ..kernels import hand_for, kernel
from ._arguments import raw
from ._op import op
from .elementwise import erf
from .nn import linear, sum_rows

__all__ = ["relu"]


@op(idempotent=True)
def _relu(x: Array) -> Any:
    """max(x, 0), whose derivative is 1 where x > 0, else 0: a constant, but as a Tensor a function of x."""
    y = array_module(x).maximum(x, x.dtype.type(0))
    if isinstance(x, graph.Tensor):
        return y, lambda g: g * ((y != 0) * x**0)
    return y, lambda g: g * (y != 0)  # != rather than >, so that NaN stays NaN


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
    """x Φ(x), Φ the normal distribution function.  The derivative, saved by the forward pass, is Φ(x) + x φ(x), φ its density."""
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
    """gelu(x + b) or gelu_tanh(x + b), and the slope for the gradient."""
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
    """gelu(linear(input, weight, bias)).  A kernel of GELU that adds the bias, where there is one, saves a pass over memory."""
    if bias is None or not hasattr(hand_for(raw(input)), "bias_gelu"):
        return gelu(linear(input, weight, bias), approximate=approximate)
    h = linear(input, weight)
    return _bias_gelu(h, bias, tanh=approximate == "tanh")
