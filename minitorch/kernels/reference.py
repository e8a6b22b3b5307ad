"""The kernels' definitions: plain array code that runs on NumPy, on CuPy and on Tensors."""

from __future__ import annotations

import math
from typing import Any

from ..devices import array_module


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
