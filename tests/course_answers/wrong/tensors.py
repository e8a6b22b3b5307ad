"""Wrong answers to assignment 'tensors' that are easily overlooked, a cell each; every one must cost points."""
# ruff: noqa

import math, itertools, functools
import numpy as np


# %% 2.1 check total only
def offset(index, shape, strides):
    o = sum((i + n if i < 0 else i) * s for i, n, s in zip(index, shape, strides))
    if not 0 <= o < max(1, math.prod(shape)):
        raise IndexError
    return o


# %% 2.2 max
def broadcast_shape(*shapes):
    n = max(map(len, shapes))
    out = []
    for k in range(-n, 0):
        s = [x[k] for x in shapes if len(x) >= -k]
        if len({v for v in s if v != 1}) > 1:
            raise ValueError
        out.append(max(s))
    return tuple(out)


# %% 2.3 match by size (wrong axes)
def undo_broadcast(g, shape):
    g = g.copy()
    while g.ndim > len(shape):
        for i in range(g.ndim):
            if i >= len(shape) or g.shape[i] != shape[i]:
                g = g.sum(i)
                break
    for i, n in enumerate(shape):
        if n == 1:
            g = g.sum(axis=i, keepdims=True)
    return g


# %% 2.4 dtype leak for axis None
def sum_axis(x, axis=None, keepdims=False):
    def pb(g):
        if axis is None:
            return np.full(x.shape, float(np.reshape(g, -1)[0]))
        if not keepdims:
            g = np.expand_dims(g, axis)
        return np.broadcast_to(g, x.shape)

    return x.sum(axis=axis, keepdims=keepdims), pb


# %% 2.4 float sum of all
def sum_axis(x, axis=None, keepdims=False):
    def pb(g):
        if axis is not None and not keepdims:
            g = np.expand_dims(g, axis)
        return np.broadcast_to(g, x.shape)

    return (x.astype(float).sum(axis=axis, keepdims=keepdims) if axis is None else x.sum(axis=axis, keepdims=keepdims)), pb


# %% 2.4 empty
def sum_axis(x, axis=None, keepdims=False):
    def pb(g):
        if axis is not None and not keepdims:
            g = np.expand_dims(g, axis)
        return np.repeat(g, x.shape[axis], axis) if axis is not None else np.broadcast_to(g, x.shape)

    y = functools.reduce(np.add, list(np.moveaxis(x, axis, 0))) if axis is not None else x.sum(keepdims=keepdims)
    return (np.expand_dims(y, axis) if keepdims and axis is not None else y), pb


# %% 2.4 mean float64 by np.int64
def mean_axis(x, axis=None, keepdims=False):
    y, s = sum_axis(x, axis, keepdims)
    n = np.prod(x.shape) if axis is None else x.shape[axis]
    return y / n, lambda g: s(g) / n


# %% 2.4 a pullback that is right once
def sum_axis(x, axis=None, keepdims=False):
    state = {"k": keepdims}

    def pb(g):
        if axis is not None and not state["k"]:
            g = np.expand_dims(g, axis)
            state["k"] = True
        return np.broadcast_to(g, x.shape)

    return x.sum(axis=axis, keepdims=keepdims), pb


# %% 2.5 float64
def matmul(a, b):
    t = lambda z: np.swapaxes(z, -1, -2).astype(float)
    return a @ b, (lambda g: g @ t(b), lambda g: t(a) @ g)


# %% 2.5 takes the first of the batch instead of the sum
def matmul(a, b):
    t = lambda z: np.swapaxes(z, -1, -2)

    def u(g, s):
        while g.ndim > len(s):
            g = g.sum(0)
        for i, n in enumerate(s[:-2]):
            if n == 1:
                g = g[(slice(None),) * i + (slice(0, 1),)]
        return g

    return a @ b, (lambda g: u(g @ t(b), a.shape), lambda g: u(t(a) @ g, b.shape))


# %% 2.5 remembers the first g
def matmul(a, b):
    t = lambda z: np.swapaxes(z, -1, -2)
    mem = {}

    def da(g):
        mem.setdefault("g", g)
        return mem["g"] @ t(b)

    return a @ b, (da, lambda g: t(a) @ g)


# %% 2.6 += counts a repeated row once
def take_rows(table, index):
    def pb(g):
        d = np.zeros_like(table)
        d[index] += g
        return d

    return table[index], pb


# %% 2.6 no 0-d index
def take_rows(table, index):
    def pb(g):
        d = np.zeros_like(table)
        for i, k in enumerate(index.reshape(-1)):
            d[k] += g.reshape(-1, *table.shape[1:])[i]
        if index.ndim == 0:
            return d[:1]
        return d

    return table[index], pb


# %% 2.6 one dim table
def take_rows(table, index):
    def pb(g):
        d = np.zeros_like(table).reshape(len(table), -1)
        np.add.at(d, index.reshape(-1), g.reshape(index.size, -1))
        return d

    return table[index], lambda g: pb(g).reshape(table.shape) if table.ndim > 1 else pb(g)


# %% 2.6 only up to max index
def take_rows(table, index):
    def pb(g):
        d = np.zeros((index.max() + 1, *table.shape[1:]), g.dtype)
        np.add.at(d, index, g)
        return d

    return table[index], pb


# %% 2.1 fractions
def row_major_strides(shape):
    t = math.prod(shape)
    out = []
    for n in shape:
        t = t / n
        out.append(t)
    return tuple(out)


# %% 2.2 NumPy's own, by way of arrays
def broadcast_shape(*shapes):
    return np.broadcast(*[np.empty(s) for s in shapes]).shape


# %% 2.3 in place along size 1 axes
def undo_broadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for i, n in enumerate(shape):
        if n == 1 and g.shape[i] != 1:
            if g.shape[i] and g.flags.writeable:
                h = np.moveaxis(g, i, 0)
                for r in h[1:]:
                    h[0] += r
                g = np.moveaxis(h[:1], 0, i)
            else:
                g = g.sum(i, keepdims=True)
    return g


# %% 2.3 a Python number for no axes
def undo_broadcast(g, shape):
    if shape == ():
        return float(g.sum())
    while g.ndim > len(shape):
        g = g.sum(0)
    for i, n in enumerate(shape):
        if n == 1:
            g = g.sum(i, keepdims=True)
    return g


# %% 2.6 dtype of the table
def take_rows(table, index):
    def pb(g):
        out = np.zeros_like(table)
        np.add.at(out, index, g)
        return out

    return table[index], pb
