"""Kernels on many arrays at once (all gradients of a model), defined here: their norm, scaling them, adding to them.

Read before: dispatch.py. Read next: cpu.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import Array, array_module, device_of, move
from .dispatch import kernel


@kernel
def norm_all(arrays: list[Array]) -> Any:
    """The Euclidean norm of all numbers of all arrays: s √Σ‖a/s‖², on the device of the first.

    s is the largest |number|: without it the squares of numbers above 1e19 would overflow, and those below 1e-22 vanish.
    """
    home, xp = device_of(arrays[0]), array_module(arrays[0])
    wide = [a.astype(np.float32) if a.dtype.itemsize == 2 else a for a in arrays if a.size]
    if not wide:
        return xp.zeros((), np.promote_types(arrays[0].dtype, np.float32))
    s = xp.amax(xp.stack([move(array_module(a).amax(abs(a)), home) for a in wide]))
    s = xp.where(xp.isfinite(s) & (s > 0), s, xp.ones_like(s))
    parts = [a / move(s, device_of(a)) for a in wide]
    return s * xp.sqrt(xp.sum(xp.stack([move(array_module(a).sum(a * a), home) for a in parts])))


@kernel
def scale_all(arrays: list[Array], factor: Array) -> None:
    """a ← factor · a; a factor too small for float16 still multiplies its arrays."""
    for a in arrays:
        a[...] = a * move(factor, device_of(a)).astype(np.promote_types(a.dtype, np.float32))


@kernel
def add_all(arrays: list[Array], terms: list[list[Array]]) -> None:
    """a ← a + b₁ + b₂ + ..., in this order, with separate terms for each array."""
    for a, bs in zip(arrays, terms, strict=True):
        for b in bs:
            a += b
