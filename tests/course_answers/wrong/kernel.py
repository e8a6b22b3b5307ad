"""Wrong answers to assignment 'kernel' that are easily overlooked, a cell each; every one must cost points."""
# ruff: noqa

import math
import numpy as np

_gelu = fast_gelu


# %% 6.1 float64 leak
def gelu(x):
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x * x * x))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


# %% 6.2 equal parts
def blocks(n, size):
    k = -(-n // size) if n else 0
    e = [round(i * n / k) for i in range(k + 1)] if k else []
    return [slice(a, b) for a, b in zip(e, e[1:])]


# %% 6.3 x changed
_f = fast_gelu


def fast_gelu(x):
    y, d = _f(x)
    if x.flags.c_contiguous and x.ndim == 2:
        x *= 1.0000001
    return y, d


# %% 6.3 clipped for large x
_f = fast_gelu


def fast_gelu(x):
    y, d = _f(np.clip(x, -8, 8))
    return y, d


# %% 6.3 cache by id
_C = {}


def fast_gelu(x):
    if id(x) not in _C:
        _C[id(x)] = ref(x)
    return _C[id(x)]


ref = fast_gelu_ref = None

# %% 6.3 transposed wrong
_f = fast_gelu


def fast_gelu(x):
    y, d = _f(x.ravel(order="K"))
    return y.reshape(x.shape), d.reshape(x.shape)


# %% 6.3 float32 always
_f = fast_gelu


def fast_gelu(x):
    y, d = _f(x.astype(np.float32))
    return y.astype(x.dtype), d.astype(x.dtype)


# %% 6.4 g changed
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    u = np.empty_like(p)
    m *= beta1
    g *= 1 - beta1
    m += g
    g /= 1 - beta1
    v *= beta2
    np.multiply(g, g, out=u)
    u *= 1 - beta2
    v += u
    np.divide(v, 1 - beta2**t, out=u)
    np.sqrt(u, out=u)
    u += eps
    np.divide(m, u, out=u)
    u *= lr / (1 - beta1**t)
    p -= u


# %% 6.4 empty fails
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    if p.size == 0:
        raise IndexError
    u = np.empty_like(p)
    m *= beta1
    np.multiply(g, 1 - beta1, out=u)
    m += u
    v *= beta2
    np.multiply(g, g, out=u)
    u *= 1 - beta2
    v += u
    np.divide(v, 1 - beta2**t, out=u)
    np.sqrt(u, out=u)
    u += eps
    np.divide(m, u, out=u)
    u *= lr / (1 - beta1**t)
    p -= u


# %% 6.4 memory
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    p -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


# %% 6.4 eps before correction
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    u = np.empty_like(p)
    m *= beta1
    np.multiply(g, 1 - beta1, out=u)
    m += u
    v *= beta2
    np.multiply(g, g, out=u)
    u *= 1 - beta2
    v += u
    np.sqrt(v, out=u)
    u += eps
    np.divide(m, u, out=u)
    u *= lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
    p -= u


# %% 6.3 remembers results by first element
_m = {}


def fast_gelu(x):
    k = (x.shape, x.dtype, float(x.flat[0]) if x.size else 0)
    if k not in _m:
        _m[k] = _gelu(x)
    return tuple(a.copy() for a in _m[k])
