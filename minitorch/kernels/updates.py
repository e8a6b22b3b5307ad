"""Adam's arithmetic on one array, in place: optim/adam.py defines its kernel by it, cpu.py runs it in blocks.

Read before: dispatch.py.
"""

from __future__ import annotations

import math
from typing import Any

from ..devices import Array, array_module


def adam(p: Array, g: Array, m: Array, v: Array, largest: Array | None, t: int | None, lr: float, betas: Any, eps: float) -> None:
    """Adam's arithmetic, all in place, with one scratch array u.  t None: no bias correction."""
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
