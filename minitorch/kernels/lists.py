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
    """The Euclidean norm of all numbers of all arrays: √Σ‖a‖², on the device of the first."""
    home, xp = device_of(arrays[0]), array_module(arrays[0])
    wide = [a.astype(np.float32) if a.dtype.itemsize == 2 else a for a in arrays]  # squares of float16 overflow at 256
    squares = [move(array_module(a).sum(a * a), home) for a in wide]
    return xp.sqrt(xp.sum(xp.stack(squares)))


@kernel
def scale_all(arrays: list[Array], factor: Array) -> None:
    """a ← factor · a"""
    for a in arrays:
        a *= move(factor, device_of(a)).astype(a.dtype)


@kernel
def add_all(arrays: list[Array], terms: list[list[Array]]) -> None:
    """a ← a + b₁ + b₂ + ..., in this order, with separate terms for each array."""
    for a, bs in zip(arrays, terms, strict=True):
        for b in bs:
            a += b
