"""One key after the other, as in Flash attention; double precision within; the chain rule step by step."""

import math

import numpy as np


def softmax(x, axis=-1):
    z = x.astype(np.float64)
    z = z - z.max(axis, keepdims=True)
    e = np.exp(z)
    y = e / e.sum(axis, keepdims=True)

    def pb(g):
        h = g.astype(np.float64)
        return (y * (h - (h * y).sum(axis, keepdims=True))).astype(g.dtype)

    return y.astype(x.dtype), pb


def layer_norm(x, weight, bias, eps=1e-5):
    H = x.shape[-1]
    c = x - x.sum(-1, keepdims=True) / H
    var = (c * c).sum(-1, keepdims=True) / H
    s = np.sqrt(var + eps)
    u = c / s

    def pb(g):
        du = g * weight
        ds = -(du * c).sum(-1, keepdims=True) / s**2
        dvar = ds * 0.5 / s
        dc = du / s + 2 * c * dvar / H
        dx = dc - dc.sum(-1, keepdims=True) / H
        dw, db = g * u, g
        while dw.ndim > 1:
            dw, db = dw.sum(0), db.sum(0)
        return dx, dw, db

    return u * weight + bias, pb


def split_heads(x, heads):
    d = x.shape[2] // heads
    return np.stack([x[..., a * d : (a + 1) * d] for a in range(heads)], axis=1)


def merge_heads(x):
    return np.concatenate(list(np.moveaxis(x, 1, 0)), axis=-1)


def attention(q, k, v, mask=None):
    r = 1 / math.sqrt(q.shape[-1])
    S = k.shape[-2]
    m = np.full((*q.shape[:-1], 1), -np.inf, q.dtype)
    l = np.zeros_like(m)
    acc = np.zeros((*q.shape[:-1], v.shape[-1]), q.dtype)
    M = None if mask is None else np.broadcast_to(mask, (*q.shape[:-1], S))

    def score(j):
        s = (q * k[..., j : j + 1, :]).sum(-1, keepdims=True) * r
        return s if M is None else s + M[..., j : j + 1]

    for j in range(S):
        s = score(j)
        new = np.maximum(m, s)
        safe = np.where(np.isfinite(new), new, 0).astype(q.dtype)
        a, p = np.exp(m - safe), np.exp(s - safe)
        l, acc, m = l * a + p, acc * a + p * v[..., j : j + 1, :], new
    y = acc / l

    def pb(g):
        dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
        D = (g * y).sum(-1, keepdims=True)
        for j in range(S):
            p = np.exp(score(j) - m) / l
            dv[..., j, :] = (p * g).sum(-2)
            ds = p * ((g * v[..., j : j + 1, :]).sum(-1, keepdims=True) - D) * r
            dq += ds * k[..., j : j + 1, :]
            dk[..., j, :] = (ds * q).sum(-2)
        return dq, dk, dv

    return y, pb
