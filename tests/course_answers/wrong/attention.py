"""Wrong answers to assignment 'attention' that are easily overlooked, a cell each; every one must cost points."""
# ruff: noqa

import math
import numpy as np

_norm = layer_norm


# %% 4.1 global max
def softmax(x, axis=-1):
    e = np.exp(x - x.max())
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True))


# %% 4.1 float64 leak in pullback
def softmax(x, axis=-1):
    e = np.exp(x.astype(float) - x.max(axis=axis, keepdims=True))
    y = e / e.sum(axis=axis, keepdims=True)
    return y.astype(x.dtype), lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True))


# %% 4.1 y consumed by the pullback
def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    y = e / e.sum(axis=axis, keepdims=True)

    def pb(g):
        s = (g * y).sum(axis=axis, keepdims=True)
        np.multiply(y, g - s, out=y)
        return y

    return y, pb


# %% 4.2 one-pass variance
def layer_norm(x, weight, bias, eps=1e-5):
    m = x.mean(-1, keepdims=True)
    s = np.sqrt(np.maximum((x * x).mean(-1, keepdims=True) - m * m, 0) + eps)
    u = (x - m) / s

    def pb(g):
        h = g * weight
        ax = tuple(range(x.ndim - 1))
        return (h - h.mean(-1, keepdims=True) - u * (h * u).mean(-1, keepdims=True)) / s, (g * u).sum(ax), g.sum(ax)

    return u * weight + bias, pb


# %% 4.2 another eps for constant rows
def layer_norm(x, weight, bias, eps=1e-5):
    c = x - x.mean(-1, keepdims=True)
    v = x.var(-1, keepdims=True)
    s = np.sqrt(v + np.where(v > 0, eps, 1.0).astype(x.dtype))
    u = c / s

    def pb(g):
        h = g * weight
        ax = tuple(range(x.ndim - 1))
        return (h - h.mean(-1, keepdims=True) - u * (h * u).mean(-1, keepdims=True)) / s, (g * u).sum(ax), g.sum(ax)

    return u * weight + bias, pb


# %% 4.2 unbiased
def layer_norm(x, weight, bias, eps=1e-5):
    c = x - x.mean(-1, keepdims=True)
    s = np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps)
    u = c / s

    def pb(g):
        h = g * weight
        ax = tuple(range(x.ndim - 1))
        return (h - h.mean(-1, keepdims=True) - u * (h * u).mean(-1, keepdims=True)) / s, (g * u).sum(ax), g.sum(ax)

    return u * weight + bias, pb


# %% 4.2 eps outside root
def layer_norm(x, weight, bias, eps=1e-5):
    c = x - x.mean(-1, keepdims=True)
    s = np.sqrt(x.var(-1, keepdims=True)) + eps
    u = c / s

    def pb(g):
        h = g * weight
        ax = tuple(range(x.ndim - 1))
        return (h - h.mean(-1, keepdims=True) - u * (h * u).mean(-1, keepdims=True)) / s, (g * u).sum(ax), g.sum(ax)

    return u * weight + bias, pb


# %% 4.3 strided heads
def split_heads(x, heads):
    B, S, H = x.shape
    return x.reshape(B, S, H // heads, heads).transpose(0, 3, 1, 2)


def merge_heads(x):
    B, A, S, d = x.shape
    return x.transpose(0, 2, 3, 1).reshape(B, S, A * d)


# %% 4.4 mask after softmax
def attention(q, k, v, mask=None):
    r = q.shape[-1] ** -0.5
    w, b = softmax(q @ k.swapaxes(-1, -2) * r)
    keep = 1.0 if mask is None else np.exp(mask)

    def pb(g):
        ds = b((g @ v.swapaxes(-1, -2)) * keep) * r
        return ds @ k, ds.swapaxes(-1, -2) @ q, (w * keep).swapaxes(-1, -2) @ g

    return (w * keep) @ v, pb


# %% 4.4 mask leaks float64
def attention(q, k, v, mask=None):
    r = q.shape[-1] ** -0.5
    s = q @ k.swapaxes(-1, -2) * r
    if mask is not None:
        s = s + np.asarray(mask, np.float64)
    w, b = softmax(s)

    def pb(g):
        ds = b(g @ v.swapaxes(-1, -2)) * r
        return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g

    return w @ v, pb


# %% 4.4 scale from v
def attention(q, k, v, mask=None):
    r = v.shape[-1] ** -0.5
    s = q @ k.swapaxes(-1, -2) * r
    if mask is not None:
        s = s + mask
    w, b = softmax(s)

    def pb(g):
        ds = b(g @ v.swapaxes(-1, -2)) * r
        return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g

    return w @ v, pb


# %% 4.4 np.sqrt leak
def attention(q, k, v, mask=None):
    r = np.sqrt(q.shape[-1])
    s = q @ k.swapaxes(-1, -2) / r
    if mask is not None:
        s = s + mask
    w, b = softmax(s)

    def pb(g):
        ds = b(g @ v.swapaxes(-1, -2)) / r
        return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g

    return w @ v, pb


# %% 4.2 unit from y, which a weight of 0 forbids
def layer_norm(x, weight, bias, eps=1e-5):
    y, pb = _norm(x, weight, bias, eps)

    def b(g):
        u = (y - bias) / weight
        return pb(g)[0], (g * u).reshape(-1, x.shape[-1]).sum(0), pb(g)[2]

    return y, b
