"""Normalisation: layer norm, alone and after a residual connection, and RMS norm, each with its gradient.

Where an argument repeats along an axis (a bias), its gradient is returned before the sum over that axis: the engine undoes
broadcasting.
Read before: attention.py. Read next: losses.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import Array, array_module
from ..kernels import kernel
from ._autocast import autocast
from ._op import op
from .nn import drop_kernel

__all__ = ["layer_norm", "rms_norm"]


@kernel
def layer_norm_kernel(x: Array, weight: Array, bias: Array, axis: tuple[int, ...], eps: float) -> Any:
    """y = x̂ w + b, x̂ = (x - mean) r, r = 1 / √(var + eps); also mean and r."""
    xp = array_module(x, weight, bias)
    mean = xp.mean(x, axis=axis, keepdims=True)
    centred = x - mean
    r = 1 / xp.sqrt(xp.mean(centred * centred, axis=axis, keepdims=True) + eps)
    y = centred * r
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, r


@kernel
def layer_norm_backward(g: Array, x: Array, weight: Array, mean: Array, r: Array, axis: tuple[int, ...]) -> Any:
    """With h = g w:  dx = r (h - mean h - x̂ mean(h x̂)),  dw = g x̂,  db = g.

    x̂ is computed again: two quick passes instead of a saved array.
    """
    xp = array_module(g, x, weight)
    unit = (x - mean) * r
    h = g if weight is None else g * weight
    along = xp.mean(h * unit, axis=axis, keepdims=True)
    dx = (h - xp.mean(h, axis=axis, keepdims=True) - unit * along) * r
    return dx, None if weight is None else g * unit, g


@op(floats_only=True, half="float32 on CPU")
def _layer_norm(x: Array, weight: Array, bias: Array, *, axis: tuple[int, ...], eps: float) -> Any:
    """y = x̂ w + b, x̂ = (x - mean) / √(var + eps).  With h = g w:  dL/dx = (h - mean h - x̂ mean(h x̂)) / √(var + eps)."""
    y, mean, rstd = layer_norm_kernel(x, weight, bias, axis, eps)
    return y, lambda g: layer_norm_backward(g, x, weight, mean, rstd, axis)


@autocast
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(x - mean)/√(var + eps) · weight + bias, over the last axes, whose sizes are ``normalized_shape`` (arXiv 1607.06450)."""
    axis = _last_axes("layer_norm", input, normalized_shape, weight, bias)
    return _layer_norm(input, weight, bias, axis=axis, eps=eps)


def _last_axes(name: str, input: Any, normalized_shape: Any, weight: Any, bias: Any) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape:
        raise RuntimeError(f"{name}: normalized_shape needs at least one size, got {normalized_shape}")
    if input.shape[-len(shape) :] != shape:
        raise RuntimeError(
            f"{name}: normalized_shape {shape} must be the last sizes of the input, whose shape is {tuple(input.shape)}"
        )
    for what, x in (("weight", weight), ("bias", bias)):
        if x is None:
            continue
        if x.shape != shape:
            raise RuntimeError(f"{name}: the {what} must have shape {shape}, as normalized_shape says, got {tuple(x.shape)}")
        if x.dtype != input.dtype and input.dtype.itemsize != 2:
            raise RuntimeError(f"{name}: the {what} is {x.dtype}, the input {input.dtype}; cast one with .to(dtype)")
    return tuple(range(input.ndim - len(shape), input.ndim))


# ----------------------------------------------------------------------------- the end of half a Transformer layer


@kernel(parts=(layer_norm_kernel, drop_kernel))
def add_norm(x: Array, residual: Array, weight: Array, bias: Array, keep: Array, keep_prob: float, eps: float) -> Any:
    """y = layer_norm(z), z = residual + drop(x), over the last axis; also ẑ = (z - mean) r, and r."""
    z = residual + (x if keep is None else drop_kernel(x, keep, keep_prob))
    y, mean, r = layer_norm_kernel(z, weight, bias, (z.ndim - 1,), eps)
    return y, (z - mean) * r, r


@kernel(parts=(layer_norm_backward, drop_kernel))
def add_norm_backward(g: Array, unit: Array, weight: Array, r: Array, keep: Array, keep_prob: float) -> Any:
    """dz as in layer_norm, whose x̂ is ẑ here:  dx = drop(dz),  dresidual = dz,  dw = g ẑ,  db = g."""
    mean = r * 0  # of ẑ, whose own r is 1
    dz, dw, db = layer_norm_backward(g, unit, weight, mean, mean + 1, (unit.ndim - 1,))
    dz = dz * r
    return (dz if keep is None else drop_kernel(dz, keep, keep_prob)), dz, dw, db


@op(floats_only=True, half="float32 on CPU")
def _add_norm(x: Array, residual: Array, weight: Array, bias: Array, *, keep: Array | None, keep_prob: float, eps: float) -> Any:
    """y = layer_norm(residual + dropout(x)): ``keep`` marks the elements of x to keep, divided by ``keep_prob``."""
    y, unit, rstd = add_norm(x, residual, weight, bias, keep, keep_prob, eps)
    return y, lambda g: add_norm_backward(g, unit, weight, rstd, keep, keep_prob)


@autocast
def add_layer_norm(
    input: Any, residual: Any, weight: Any, bias: Any, eps: float, keep: Array | None = None, keep_prob: float = 1.0
) -> Any:
    """layer_norm(residual + dropout(input)) over the last axis in one operation, which saves one array of that size."""
    _last_axes("add_layer_norm", residual, (input.shape[-1],), weight, bias)
    return _add_norm(input, residual, weight, bias, keep=keep, keep_prob=keep_prob, eps=eps)


# -------------------------------------------------------------------------------------------------------- RMS norm


@op(floats_only=True, half="float32")
def _rms_norm(x: Array, weight: Array, *, axis: tuple[int, ...], eps: float | None) -> Any:
    """y = x̂ w, x̂ = x / √(mean x² + eps).  With h = g w:  dL/dx = (h - x̂ mean(h x̂)) / √(mean x² + eps)."""
    xp = array_module(x, weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    rstd = 1 / xp.sqrt(xp.mean(x * x, axis=axis, keepdims=True) + eps)
    y = x * rstd if weight is None else x * rstd * weight

    def pullback(g: Array) -> Any:
        unit = x * rstd
        h = g if weight is None else g * weight
        dx = (h - unit * xp.mean(h * unit, axis=axis, keepdims=True)) * rstd
        return dx, None if weight is None else g * unit

    return y, pullback


@autocast
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x/√(mean x² + eps) · weight, over the last axes; eps None is the dtype's own (arXiv 1910.07467)."""
    return _rms_norm(input, weight, axis=_last_axes("rms_norm", input, normalized_shape, weight, None), eps=eps)
