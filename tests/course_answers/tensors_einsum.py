"""einsum, loops over axes, onehot matrices."""

import math

import numpy as np


def row_major_strides(shape):
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def offset(index, shape, strides):
    total = 0
    for axis in range(len(shape)):
        i = index[axis] + (shape[axis] if index[axis] < 0 else 0)
        if i < 0 or i >= shape[axis]:
            raise IndexError("no such element")
        total += i * strides[axis]
    return total


def broadcast_shape(*shapes):
    n = max(len(s) for s in shapes)
    padded = [(1,) * (n - len(s)) + tuple(s) for s in shapes]
    out = []
    for sizes in zip(*padded):
        size = 1
        for s in sizes:
            if size == 1:
                size = s
            elif s not in (1, size):
                raise ValueError("they do not fit")
        out.append(size)
    return tuple(out)


def undo_broadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and g.shape[axis] != 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


def sum_axis(x, axis=None, keepdims=False):
    def pullback(g):
        full = list(x.shape)
        for a in range(x.ndim) if axis is None else [axis]:
            full[a] = 1
        return np.ones_like(x) * np.reshape(g, full)

    return np.sum(x, axis, keepdims=keepdims), pullback


def mean_axis(x, axis=None, keepdims=False):
    y = np.mean(x, axis=axis, keepdims=keepdims)

    def pullback(g):
        back = sum_axis(x, axis, keepdims)[1](g)
        return back * (y.size / x.size)

    return y, pullback


def matmul(a, b):
    y = np.einsum("...ik,...kj->...ij", a, b)
    return y, (lambda g: np.einsum("...ij,...kj->...ik", g, b), lambda g: np.einsum("...ik,...ij->...kj", a, g))


def take_rows(table, index):
    def pullback(g):
        onehot = (np.arange(len(table))[:, None] == np.reshape(index, (1, -1))).astype(g.dtype)
        return (onehot @ g.reshape(onehot.shape[1], -1)).reshape(table.shape)

    return np.take(table, index, axis=0), pullback
