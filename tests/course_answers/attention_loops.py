"""One row at a time."""

import numpy as np


def softmax(x, axis=-1):
    y = np.apply_along_axis(lambda row: np.exp(row - row.max()) / np.exp(row - row.max()).sum(), axis, x).astype(x.dtype)
    return y, lambda g: y * g - y * (y * g).sum(axis, keepdims=True)


def layer_norm(x, weight, bias, eps=1e-5):
    unit, std = np.empty_like(x), np.empty(x.shape[:-1], x.dtype)
    for at in np.ndindex(x.shape[:-1]):
        row = x[at]
        std[at] = np.sqrt(row.var() + eps)
        unit[at] = (row - row.mean()) / std[at]

    def pullback(g):
        dx, dw, db = np.empty_like(x), np.zeros_like(weight), np.zeros_like(bias)
        for at in np.ndindex(x.shape[:-1]):
            h, u = g[at] * weight, unit[at]
            dx[at] = (h - h.mean() - u * (h @ u) / len(u)) / std[at]
            dw += g[at] * u
            db += g[at]
        return dx, dw, db

    return unit * weight + bias, pullback


def split_heads(x, heads):
    B, S, H = x.shape
    out = np.empty((B, heads, S, H // heads), x.dtype)
    for a in range(heads):
        out[:, a] = x[:, :, a * (H // heads) : (a + 1) * (H // heads)]
    return out


def merge_heads(x):
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def attention(q, k, v, mask=None):
    front = q.shape[:-2]
    scale = q.dtype.type(q.shape[-1]) ** q.dtype.type(-0.5)
    weights = np.empty((*q.shape[:-1], k.shape[-2]), q.dtype)
    full = None if mask is None else np.broadcast_to(mask, weights.shape)
    y = np.empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    for at in np.ndindex(front):
        scores = q[at] @ k[at].T * scale
        weights[at] = softmax(scores if full is None else scores + full[at])[0]
        y[at] = weights[at] @ v[at]

    def pullback(g):
        dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
        for at in np.ndindex(front):
            dw = g[at] @ v[at].T
            ds = weights[at] * (dw - (weights[at] * dw).sum(1, keepdims=True)) * scale
            dq[at], dk[at], dv[at] = ds @ k[at], ds.T @ q[at], weights[at].T @ g[at]
        return dq, dk, dv

    return y, pullback
