"""Everything by reshape and tensordot; sorted indices for the rows."""

import itertools

import numpy as np


def row_major_strides(shape):
    products = list(itertools.accumulate(reversed(shape), lambda a, b: a * b, initial=1))
    return tuple(products[:-1][::-1])


def offset(index, shape, strides):
    index, shape = np.array(index, int), np.array(shape, int)
    if ((index >= shape) | (index < -shape)).any():
        raise IndexError("out of range")
    return int((np.where(index < 0, index + shape, index) * np.array(strides, int)).sum())


def broadcast_shape(*shapes):
    out = []
    for sizes in itertools.zip_longest(*(tuple(s)[::-1] for s in shapes), fillvalue=1):
        others = set(sizes) - {1}
        if len(others) >= 2:
            raise ValueError("sizes clash")
        out.insert(0, others.pop() if others else 1)
    return tuple(out)


def undo_broadcast(g, shape):
    padded = (1,) * (g.ndim - len(shape)) + tuple(shape)
    for axis in range(g.ndim):
        if padded[axis] == 1:
            g = np.add.reduce(g, axis=axis, keepdims=True)
    return g.reshape(shape)


def sum_axis(x, axis=None, keepdims=False):
    def pullback(g):
        g = np.asarray(g)
        if axis is not None and not keepdims:
            shape = list(x.shape)
            shape[axis] = 1
            g = g.reshape(shape)
        return g + np.zeros_like(x)

    return x.sum(axis, keepdims=keepdims), pullback


def mean_axis(x, axis=None, keepdims=False):
    y, pullback = sum_axis(x, axis, keepdims)
    n = x.size // max(1, y.size)
    return np.asarray(y / n, x.dtype), lambda g: pullback(g / n)


def matmul(a, b):
    y = a @ b

    def da(g):
        g = np.broadcast_to(g, y.shape)
        return g @ b.swapaxes(b.ndim - 1, b.ndim - 2)

    def db(g):
        axes = (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)
        return a.transpose(axes) @ g

    return y, (da, db)


def take_rows(table, index):
    flat = np.asarray(index).ravel()

    def pullback(g):
        rows = g.reshape(len(flat), -1)
        return np.stack([rows[flat == r].sum(0) for r in range(len(table))]).reshape(table.shape).astype(g.dtype)

    return table[index], pullback
