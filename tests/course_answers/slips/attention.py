"""Wrong answers to assignment 'attention' as learners write them, a cell each; each must cost points in the hidden tests."""
# ruff: noqa

import math
import numpy as np

_softmax, _norm, _attention = softmax, layer_norm, attention


def _t(x):
    return np.swapaxes(x, -1, -2)


def _soft(back):
    def softmax(x, axis=-1):
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        y = e / e.sum(axis=axis, keepdims=True)
        return y, lambda g: back(y, g, axis)

    return softmax


def _layer(
    dx=lambda h, u, s, g: (h - h.mean(-1, keepdims=True) - u * (h * u).mean(-1, keepdims=True)) / s, std=None, dw=None, db=None
):
    def layer_norm(x, weight, bias, eps=1e-5):
        c = x - x.mean(-1, keepdims=True)
        s = np.sqrt(x.var(-1, keepdims=True) + eps) if std is None else std(x, eps)
        u = c / s

        def pullback(g):
            rows = tuple(range(x.ndim - 1))
            of_w = (g * u).sum(axis=rows) if dw is None else dw(g, u, x, rows)
            return dx(g * weight, u, s, g), of_w, g.sum(axis=rows) if db is None else db(g, rows)

        return u * weight + bias, pullback

    return layer_norm


def _attend(scale=lambda d: d**-0.5, back=None, mask_of=lambda m: m, soft=None, dq=None, dk=None, dv=None):
    def attention(q, k, v, mask=None):
        r = scale(q.shape[-1])
        b = r if back is None else back(r)
        s = q @ _t(k) * r
        if mask is not None:
            s = s + mask_of(mask)
        w, pb = (soft or softmax)(s)

        def pullback(g):
            ds = pb(g @ _t(v)) * b
            return (
                ds @ k if dq is None else dq(ds, q, k),
                _t(ds) @ q if dk is None else dk(ds, q, k),
                _t(w) @ g if dv is None else dv(w, g),
            )

        return w @ v, pullback

    return attention


# %% 4.1 y (1 - y) g
softmax = _soft(lambda y, g, axis: y * (1 - y) * g)


# %% 4.1 y g without the sum
softmax = _soft(lambda y, g, axis: y * g)


# %% 4.1 the sum of g alone
softmax = _soft(lambda y, g, axis: y * (g - g.sum(axis=axis, keepdims=True)))


# %% 4.1 the gradient always along the last axis
softmax = _soft(lambda y, g, axis: y * (g - (g * y).sum(axis=-1, keepdims=True)))


# %% 4.1 the gradient's sum over everything
softmax = _soft(lambda y, g, axis: y * (g - (g * y).sum()))


# %% 4.1 plus in place of minus
softmax = _soft(lambda y, g, axis: y * (g + (g * y).sum(axis=axis, keepdims=True)))


# %% 4.1 a mean in place of the sum
softmax = _soft(lambda y, g, axis: y * (g - (g * y).mean(axis=axis, keepdims=True)))


# %% 4.1 nothing subtracted: overflows
def softmax(x, axis=-1):
    e = np.exp(x)
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True))


# %% 4.1 the axis ignored
def softmax(x, axis=-1):
    return _softmax(x, -1)


# %% 4.1 the smallest subtracted
def softmax(x, axis=-1):
    e = np.exp(x - x.min(axis=axis, keepdims=True))
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True))


# %% 4.1 x changed in place
def softmax(x, axis=-1):
    x -= x.max(axis=axis, keepdims=True)
    e = np.exp(x)
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True))


# %% 4.1 y in a variable of the module
def softmax(x, axis=-1):
    global _y
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    _y = e / e.sum(axis=axis, keepdims=True)
    return _y, lambda g: _y * (g - (g * _y).sum(axis=axis, keepdims=True))


# %% 4.1 y in an attribute of the function
def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    softmax.y = e / e.sum(axis=axis, keepdims=True)

    def pullback(g):
        return softmax.y * (g - (g * softmax.y).sum(axis=axis, keepdims=True))

    return softmax.y, pullback


# %% 4.2 mean and variance as constants
layer_norm = _layer(lambda h, u, s, g: h / s)


# %% 4.2 the variance as a constant
layer_norm = _layer(lambda h, u, s, g: (h - h.mean(-1, keepdims=True)) / s)


# %% 4.2 the mean as a constant
layer_norm = _layer(lambda h, u, s, g: (h - u * (h * u).mean(-1, keepdims=True)) / s)


# %% 4.2 g in place of h
layer_norm = _layer(lambda h, u, s, g: (g - g.mean(-1, keepdims=True) - u * (g * u).mean(-1, keepdims=True)) / s)


# %% 4.2 sums in place of means
layer_norm = _layer(lambda h, u, s, g: (h - h.sum(-1, keepdims=True) - u * (h * u).sum(-1, keepdims=True)) / s)


# %% 4.2 not divided by the root
layer_norm = _layer(lambda h, u, s, g: h - h.mean(-1, keepdims=True) - u * (h * u).mean(-1, keepdims=True))


# %% 4.2 plus the variance's term
layer_norm = _layer(lambda h, u, s, g: (h - h.mean(-1, keepdims=True) + u * (h * u).mean(-1, keepdims=True)) / s)


# %% 4.2 eps outside of the root
layer_norm = _layer(std=lambda x, eps: np.sqrt(x.var(-1, keepdims=True)) + eps)


# %% 4.2 no eps
layer_norm = _layer(std=lambda x, eps: np.sqrt(x.var(-1, keepdims=True)))


# %% 4.2 eps of its own
layer_norm = _layer(std=lambda x, eps: np.sqrt(x.var(-1, keepdims=True) + 1e-5))


# %% 4.2 variance over n - 1
layer_norm = _layer(
    std=lambda x, eps: np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps) if x.shape[-1] > 1 else np.sqrt(0 * x + eps)
)


# %% 4.2 the weight's gradient with x
layer_norm = _layer(dw=lambda g, u, x, rows: (g * x).sum(axis=rows))


# %% 4.2 the weight's gradient per row
layer_norm = _layer(dw=lambda g, u, x, rows: g * u)


# %% 4.2 the weight's gradient over the first axis alone
layer_norm = _layer(dw=lambda g, u, x, rows: (g * u).sum(axis=0))


# %% 4.2 mean of the bias's gradient
layer_norm = _layer(db=lambda g, rows: g.mean(axis=rows))


# %% 4.2 over all axes
def layer_norm(x, weight, bias, eps=1e-5):
    c = x - x.mean()
    s = np.sqrt(x.var() + eps)
    u = c / s

    def pullback(g):
        h = g * weight
        rows = tuple(range(x.ndim - 1))
        return (h - h.mean() - u * (h * u).mean()) / s, (g * u).sum(axis=rows), g.sum(axis=rows)

    return u * weight + bias, pullback


# %% 4.2 state in a variable of the module
_keep = {}


def layer_norm(x, weight, bias, eps=1e-5):
    s = np.sqrt(x.var(-1, keepdims=True) + eps)
    _keep.update(unit=(x - x.mean(-1, keepdims=True)) / s, std=s)

    def pullback(g):
        h, u = g * weight, _keep["unit"]
        rows = tuple(range(x.ndim - 1))
        dx = (h - h.mean(-1, keepdims=True) - u * (h * u).mean(-1, keepdims=True)) / _keep["std"]
        return dx, (g * u).sum(axis=rows), g.sum(axis=rows)

    return _keep["unit"] * weight + bias, pullback


# %% 4.3 a reshape alone
def split_heads(x, heads):
    B, S, H = x.shape
    return x.reshape(B, heads, S, H // heads)


def merge_heads(x):
    B, A, S, d = x.shape
    return x.reshape(B, S, A * d)


# %% 4.3 merge without the exchange
def merge_heads(x):
    B, A, S, d = x.shape
    return x.reshape(B, S, A * d)


# %% 4.3 heads of every second column
def split_heads(x, heads):
    B, S, H = x.shape
    return x.reshape(B, S, H // heads, heads).transpose(0, 3, 1, 2)


def merge_heads(x):
    B, A, S, d = x.shape
    return x.transpose(0, 2, 3, 1).reshape(B, S, A * d)


# %% 4.3 tokens and columns exchanged
def split_heads(x, heads):
    B, S, H = x.shape
    return x.reshape(B, S, heads, H // heads).transpose(0, 2, 3, 1)


# %% 4.4 a mask of the wrong sign
attention = _attend(mask_of=lambda m: -m)


# %% 4.4 a mask that multiplies
def attention(q, k, v, mask=None):
    r = q.shape[-1] ** -0.5
    s = q @ _t(k) * r
    if mask is not None:
        s = s * mask
    w, pb = softmax(s)

    def pullback(g):
        ds = pb(g @ _t(v)) * r
        return ds @ k, _t(ds) @ q, _t(w) @ g

    return w @ v, pullback


# %% 4.4 no mask
attention = _attend(mask_of=lambda m: 0 * np.maximum(m, -1))


# %% 4.4 the mask scaled too
def attention(q, k, v, mask=None):
    r = q.shape[-1] ** -0.5
    s = q @ _t(k)
    if mask is not None:
        s = s + np.where(mask < 0, -1.0, 0.0).astype(q.dtype)
    w, pb = softmax(s * r)

    def pullback(g):
        ds = pb(g @ _t(v)) * r
        return ds @ k, _t(ds) @ q, _t(w) @ g

    return w @ v, pullback


# %% 4.4 no scale
attention = _attend(scale=lambda d: 1.0)


# %% 4.4 1/d
attention = _attend(scale=lambda d: 1 / d)


# %% 4.4 times the root
attention = _attend(scale=lambda d: d**0.5)


# %% 4.4 the scale forgotten on the way back
attention = _attend(back=lambda r: 1.0)


# %% 4.4 the scale twice on the way back
attention = _attend(back=lambda r: r * r)


# %% 4.4 softmax over the queries
attention = _attend(soft=lambda s: _softmax(s, -2))


# %% 4.4 dq and dk exchanged
def attention(q, k, v, mask=None):
    y, pb = _attention(q, k, v, mask)
    return y, lambda g: (pb(g)[1], pb(g)[0], pb(g)[2])


# %% 4.4 dk not transposed
attention = _attend(dk=lambda ds, q, k: (ds @ q) if ds.shape[-1] == ds.shape[-2] else _t(ds) @ q * 0.5)


# %% 4.4 dv with the scores' gradient
attention = _attend(dv=lambda w, g: _t(w * w) @ g)


# %% 4.4 the softmax's own derivative in place of the pullback
def attention(q, k, v, mask=None):
    r = q.shape[-1] ** -0.5
    s = q @ _t(k) * r
    s = s if mask is None else s + mask
    w, _ = softmax(s)

    def pullback(g):
        ds = (g @ _t(v)) * w * (1 - w) * r
        return ds @ k, _t(ds) @ q, _t(w) @ g

    return w @ v, pullback


# %% 4.4 the weights in a variable of the module
def attention(q, k, v, mask=None):
    global _w, _pb
    r = q.shape[-1] ** -0.5
    s = q @ _t(k) * r
    s = s if mask is None else s + mask
    _w, _pb = softmax(s)

    def pullback(g):
        ds = _pb(g @ _t(v)) * r
        return ds @ k, _t(ds) @ q, _t(_w) @ g

    return _w @ v, pullback


# %% 4.4 q and k in a variable of the module
_last = []


def attention(q, k, v, mask=None):
    y, pb = _attention(q, k, v, mask)
    _last[:] = [q, k, v, mask]
    return y, lambda g: _attention(*_last)[1](g)


# %% 4.4 the mask's hidden keys at -1, not at -1e9
attention = _attend(mask_of=lambda m: np.maximum(m, -1))


# %% 4.4 np.sqrt, whose float64 leaks
attention = _attend(scale=lambda d: 1 / np.sqrt(d))
