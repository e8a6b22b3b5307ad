"""Loops over elements and matrices; every pullback already has the input's shape."""

import numpy as np


def row_major_strides(shape):
    return tuple(s // 8 for s in np.lib.stride_tricks.as_strided(np.empty(1), shape).strides) if 0 else _strides(shape)


def _strides(shape):
    result = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        result[i] = result[i + 1] * shape[i + 1]
    return tuple(result)


def offset(index, shape, strides):
    if any(i >= n or i < -n for i, n in zip(index, shape)):
        raise IndexError(index)
    return sum((i + n if i < 0 else i) * s for i, n, s in zip(index, shape, strides))


def broadcast_shape(*shapes):
    result = ()
    for shape in shapes:
        result = _two(result, tuple(shape))
    return result


def _two(a, b):
    a, b = (1,) * (len(b) - len(a)) + a, (1,) * (len(a) - len(b)) + b
    if any(m != n and 1 not in (m, n) for m, n in zip(a, b)):
        raise ValueError(f"{a} and {b}")
    return tuple(n if m == 1 else m for m, n in zip(a, b))


def undo_broadcast(g, shape):
    front = g.ndim - len(shape)
    axes = tuple(range(front)) + tuple(front + i for i in range(len(shape)) if shape[i] == 1)
    return np.sum(g, axis=axes).reshape(shape) if axes else g


def sum_axis(x, axis=None, keepdims=False):
    y = (
        np.add.reduce(x, axis=axis, keepdims=keepdims)
        if axis is not None
        else x.reshape(-1).sum().reshape((1,) * x.ndim * keepdims)
    )
    if axis is None:
        return y, lambda g: np.full(x.shape, np.reshape(g, ()), dtype=np.asarray(g).dtype)
    axis = axis % x.ndim

    def pullback(g):
        g = g if keepdims else np.stack([g], axis)
        return np.repeat(g, x.shape[axis], axis)

    return y, pullback


def mean_axis(x, axis=None, keepdims=False):
    share = x.dtype.type(1 / (x.size if axis is None else x.shape[axis]))
    y, pullback = sum_axis(x * share, axis, keepdims)
    return y, lambda g: pullback(g) * share


def matmul(a, b):
    def da(g):
        full = np.matmul(g, np.moveaxis(b, -1, -2))
        return undo_broadcast(full, a.shape)

    def db(g):
        full = np.matmul(np.moveaxis(a, -1, -2), g)
        return undo_broadcast(full, b.shape)

    return np.matmul(a, b), (da, db)


def take_rows(table, index):
    def pullback(g):
        grad = np.zeros(table.shape, g.dtype)
        for at in np.ndindex(np.shape(index)):
            grad[index[at]] += g[at]
        return grad

    return np.array(table)[np.asarray(index)], pullback
