"""CUDA kernels that compute each element alone: GELU, with the bias before it, and dropout.

Memory limits such kernels: their time is the number of arrays read or written. Every thread takes four neighbours in one
access of 16 bytes, so that enough bytes are in flight at any time.
Read before: launch.py. Read next: rows.py.
"""

from __future__ import annotations

from typing import Any

from ...devices import Array, cupy
from ..philox import Key
from .launch import THREADS, compact, compiled, ctype, dropout, groups, launch, one_type

SOURCE = r"""
// x Φ(x) and Φ(x) + x φ(x), or the form with tanh: see ops/activations.py
__device__ inline void gelu_at(float x, float& y, float& slope) {
#if TANH
    const float c = 0.7978845608f;  // √(2/π)
    float t = tanhf(x * (c + 0.044715f * c * x * x));
    y = 0.5f * x * (1 + t);
    slope = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * (c + 3 * 0.044715f * c * x * x);
#else
    float cdf = 0.5f * (1 + erff(x * 0.7071067812f));
    y = x * cdf;
    slope = cdf + x * 0.3989422804f * expf(-0.5f * x * x);
#endif
}

extern "C" __global__ void gelu(const T* x, T* y, T* slope, int n) {
    Place at = place(1, n);
    if (!at.inside) return;
    float v[4], d[4];
    load4(v, x, at.c, n);
    for (int k = 0; k < 4; k++) gelu_at(v[k], v[k], d[k]);
    store4(v, y, at.c, n);
    store4(d, slope, at.c, n);
}

extern "C" __global__ void bias_gelu(const T* x, const W* bias, T* y, int rows, int n) {
    Place at = place(rows, n);
    if (!at.inside) return;
    float v[4], b[4], unused;
    load4(v, x + at.row * n, at.c, n);
    load4(b, bias, at.c, n);
    for (int k = 0; k < 4; k++) gelu_at(v[k] + b[k], v[k], unused);
    store4(v, y + at.row * n, at.c, n);
}

extern "C" __global__ void bias_gelu_backward(const T* g, const T* x, const W* bias, T* dx, int rows, int n) {
    Place at = place(rows, n);
    if (!at.inside) return;
    float v[4], b[4], d[4], unused, slope;
    load4(d, g + at.row * n, at.c, n);
    load4(v, x + at.row * n, at.c, n);
    load4(b, bias, at.c, n);
    for (int k = 0; k < 4; k++) {
        gelu_at(v[k] + b[k], unused, slope);
        d[k] *= slope;
    }
    store4(d, dx + at.row * n, at.c, n);
}

extern "C" __global__ void drop(const T* x, T* y, const Dropout mask, int rows, int n) {
    Place at = place(rows, n);
    if (!at.inside) return;
    float v[4];
    load4(v, x + at.row * n, at.c, n);
    drop4(v, mask, at.row, at.c, n);
    store4(v, y + at.row * n, at.c, n);
}
"""


def gelu(x: Array) -> Any:
    """Reads x once, writes value and slope."""
    return _gelu(x, 0)


def gelu_tanh(x: Array) -> Any:
    """gelu_tanh, as gelu."""
    return _gelu(x, 1)


def _gelu(x: Array, tanh: int) -> Any:
    if not one_type(x) or not 0 < x.size < 2**31:
        return NotImplemented
    x = compact(x)
    y, slope = cupy().empty_like(x), cupy().empty_like(x)
    launch(compiled(SOURCE, "gelu", T=ctype(x), W=ctype(x), TANH=tanh), groups(1, x.size), THREADS, x, y, slope, x.size)
    return y, slope


def bias_gelu(x: Array, bias: Array, tanh: bool) -> Any:
    """Reads x, writes y.  Saves x and the bias, which exist anyway, and no slope."""
    if not one_type(x) or not one_type(bias) or not x.size or x.shape[-1:] != bias.shape:
        return NotImplemented
    x, bias = compact(x), compact(bias)
    y, n = cupy().empty_like(x), x.shape[-1]
    kernel = compiled(SOURCE, "bias_gelu", T=ctype(x), W=ctype(bias), TANH=int(tanh))
    launch(kernel, groups(x.size // n, n), THREADS, x, bias, y, x.size // n, n)
    return y, (x, bias, tanh)


def bias_gelu_backward(g: Array, saved: Any) -> Any:
    """Computes the slope again: reads two arrays, writes one."""
    if type(saved) is not tuple:
        return NotImplemented
    x, bias, tanh = saved
    g, dx, n = compact(g.astype(x.dtype, copy=False)), cupy().empty_like(x), x.shape[-1]
    kernel = compiled(SOURCE, "bias_gelu_backward", T=ctype(x), W=ctype(bias), TANH=int(tanh))
    launch(kernel, groups(x.size // n, n), THREADS, g, x, bias, dx, x.size // n, n)
    return dx


def drop(x: Array, keep: Any, keep_prob: float) -> Any:
    """drop with a mask that the kernel computes: reads x, writes y, stores no mask."""
    if type(keep) is not Key or not one_type(x) or not x.size or x.shape != keep.shape:
        return NotImplemented
    x = compact(x)
    y, (rows, n) = cupy().empty_like(x), keep.rows
    kernel = compiled(SOURCE, "drop", T=ctype(x), W=ctype(x), TANH=0)
    launch(kernel, groups(rows, n), THREADS, x, y, dropout(keep, keep_prob), rows, n)
    return y


def keep_mask(like: Array, shape: tuple[int, ...], p: float, stream: Any) -> Any:
    """The key from which kernels compute the mask: no memory, no launch."""
    return stream.key(tuple(shape), p)
