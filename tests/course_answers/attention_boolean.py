"""The mask as a choice, hidden or not, in place of a sum; weights by a quotient of exponentials of differences."""

import math

import numpy as np


def softmax(x, axis=-1):
    shifted = x - np.max(x, axis=axis, keepdims=True)
    y = np.exp(shifted)
    y /= np.sum(y, axis=axis, keepdims=True)

    def pullback(g):
        gy = g * y
        return gy - y * gy.sum(axis=axis, keepdims=True)

    return y, pullback


def layer_norm(x, weight, bias, eps=1e-5):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    inverse = (var + eps) ** -0.5
    unit = (x - mean) * inverse

    def pullback(g):
        size = x.shape[-1]
        h, rows = g * weight, g.reshape(-1, size)
        dx = inverse * (h - h.sum(-1, keepdims=True) / size - unit * (h * unit).sum(-1, keepdims=True) / size)
        return dx, (rows * unit.reshape(-1, size)).sum(0), rows.sum(0)

    return weight * unit + bias, pullback


def split_heads(x, heads):
    return np.stack(np.split(x, heads, axis=-1), axis=1)


def merge_heads(x):
    return np.concatenate([x[:, head] for head in range(x.shape[1])], axis=-1)


def attention(q, k, v, mask=None):
    root = math.sqrt(q.shape[-1])
    kT, vT = np.swapaxes(k, -1, -2), np.swapaxes(v, -1, -2)
    scores = (q / root) @ kT
    if mask is not None:
        hidden = np.broadcast_to(mask < -1, scores.shape)
        scores = np.where(hidden, scores.dtype.type(-np.inf), scores)
    weights, back = softmax(scores)

    def pullback(g):
        dscores = back(g @ vT)
        if mask is not None:
            dscores = np.where(hidden, scores.dtype.type(0), dscores)
        return dscores @ k / root, np.swapaxes(dscores, -1, -2) @ q / root, np.swapaxes(weights, -1, -2) @ g

    return weights @ v, pullback
