"""Wrong answers to assignment 'tensors' as learners write them, a cell each; each must cost points in the hidden tests."""
# ruff: noqa

import math
import numpy as np

_sum, _mean, _rows = sum_axis, mean_axis, take_rows


def _t(x):
    return np.swapaxes(x, -1, -2)


# %% 2.1 from the first axis
def row_major_strides(shape):
    strides, step = [], 1
    for n in shape:
        strides.append(step)
        step *= n
    return tuple(strides)


# %% 2.1 in bytes
def row_major_strides(shape):
    return np.empty(shape).strides


# %% 2.1 the product with the own size
def row_major_strides(shape):
    return tuple(math.prod(shape[i:]) for i in range(len(shape)))


# %% 2.1 no negative index
def offset(index, shape, strides):
    for i, n in zip(index, shape):
        if i >= n:
            raise IndexError("out of range")
    return sum(i * s for i, s in zip(index, strides))


# %% 2.1 no IndexError
def offset(index, shape, strides):
    return sum((i % n) * s for i, n, s in zip(index, shape, strides)) if 0 not in shape else 0


# %% 2.1 row-major whatever the strides
def offset(index, shape, strides):
    return int(np.ravel_multi_index(tuple(i + n if i < 0 else i for i, n in zip(index, shape)), shape)) if shape else 0


# %% 2.2 aligned at the front
def broadcast_shape(*shapes):
    n = max(map(len, shapes))
    out = []
    for axis in range(n):
        sizes = {s[axis] for s in shapes if len(s) > axis} - {1}
        if len(sizes) > 1:
            raise ValueError("do not fit")
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


# %% 2.2 the last axis alone is compared
def broadcast_shape(*shapes):
    sizes = {s[-1] for s in shapes if s} - {1}
    if len(sizes) > 1:
        raise ValueError("do not fit")
    n = max(map(len, shapes))
    return tuple(max(s[a] for s in shapes if len(s) >= -a) for a in range(-n, 0))


# %% 2.2 the largest size, without a check
def broadcast_shape(*shapes):
    n = max(map(len, shapes))
    return tuple(max(s[a] for s in shapes if len(s) >= -a) for a in range(-n, 0))


# %% 2.2 two shapes only
def broadcast_shape(*shapes):
    a, b = shapes[0], shapes[-1]
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b)
    if any(x != y and 1 not in (x, y) for x, y in zip(a, b)):
        raise ValueError("do not fit")
    return tuple(y if x == 1 else x for x, y in zip(a, b))


# %% 2.2 the first of them decides
def broadcast_shape(*shapes):
    n = max(map(len, shapes))
    full = [(1,) * (n - len(s)) + tuple(s) for s in shapes]
    out = list(full[0])
    for s in full[1:]:
        for i, size in enumerate(s):
            if size not in (1, out[i]):
                if out[i] != 1:
                    raise ValueError("do not fit")
                out[i] = size
            elif size == 1:
                out[i] = 1 if out[i] == 0 else out[i]
    return tuple(out)


# %% 2.3 extra axes alone
def undo_broadcast(g, shape):
    return g.sum(axis=tuple(range(g.ndim - len(shape))))


# %% 2.3 axes of 1 alone
def undo_broadcast(g, shape):
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True) if g.ndim == len(shape) else g.sum(axis=0)


# %% 2.3 axes of 1 dropped
def undo_broadcast(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1))


# %% 2.3 a mean
def undo_broadcast(g, shape):
    g = g.mean(axis=tuple(range(g.ndim - len(shape)))) if g.ndim > len(shape) else g
    return g.mean(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


# %% 2.3 a sum over the first axis
def undo_broadcast(g, shape):
    return g.sum(axis=0) if g.shape != tuple(shape) else g


# %% 2.3 a reshape of the total
def undo_broadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=-1)
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


# %% 2.3 axes counted before the extra ones go
def undo_broadcast(g, shape):
    axes = tuple(i for i, n in enumerate(shape) if n == 1)
    g = g.sum(axis=axes, keepdims=True)
    return g.sum(axis=tuple(range(g.ndim - len(shape))))


# %% 2.3 in float64
def undo_broadcast(g, shape):
    g = g.astype(float).sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


# %% 2.4 the axis is not put back
def sum_axis(x, axis=None, keepdims=False):
    return x.sum(axis=axis, keepdims=keepdims), lambda g: np.broadcast_to(g, x.shape)


# %% 2.4 keepdims ignored
def sum_axis(x, axis=None, keepdims=False):
    def pullback(g):
        return np.broadcast_to(g if axis is None else np.expand_dims(g, axis), x.shape)

    return x.sum(axis=axis, keepdims=keepdims), pullback


# %% 2.4 the gradient keeps the small shape
def sum_axis(x, axis=None, keepdims=False):
    return x.sum(axis=axis, keepdims=keepdims), lambda g: g


# %% 2.4 ones for g
def sum_axis(x, axis=None, keepdims=False):
    return x.sum(axis=axis, keepdims=keepdims), lambda g: np.ones_like(x)


# %% 2.4 the mean's gradient is not divided
def mean_axis(x, axis=None, keepdims=False):
    return x.mean(axis=axis, keepdims=keepdims), _sum(x, axis, keepdims)[1]


# %% 2.4 always divided by the size of all
def mean_axis(x, axis=None, keepdims=False):
    y, spread = _sum(x, axis, keepdims)
    return x.mean(axis=axis, keepdims=keepdims), lambda g: spread(g) / x.size


# %% 2.4 always divided by the first axis
def mean_axis(x, axis=None, keepdims=False):
    y, spread = _sum(x, axis, keepdims)
    return x.mean(axis=axis, keepdims=keepdims), lambda g: spread(g) / x.shape[0]


# %% 2.4 divided twice
def mean_axis(x, axis=None, keepdims=False):
    y, spread = _mean(x, axis, keepdims)
    n = x.size if axis is None else x.shape[axis]
    return y, lambda g: spread(g) / n


# %% 2.4 n as a NumPy number of float64
def mean_axis(x, axis=None, keepdims=False):
    y, spread = _sum(x, axis, keepdims)
    n = np.float64(x.size if axis is None else x.shape[axis])
    return y / n, lambda g: spread(g) / n


# %% 2.4 the shape in a variable of the module
_shape = {}


def sum_axis(x, axis=None, keepdims=False):
    _shape.update(x=x, axis=axis)

    def pullback(g):
        g = g if axis is None or keepdims else np.expand_dims(g, axis)
        return np.ones_like(_shape["x"]) * g * (_shape["x"] == x).all()

    return x.sum(axis=axis, keepdims=keepdims), pullback


# %% 2.5 the transposes forgotten
def matmul(a, b):
    return a @ b, (lambda g: g @ b if g.shape[-1] == b.shape[-2] else g @ _t(b), lambda g: _t(a) @ g)


# %% 2.5 .T turns all axes
def matmul(a, b):
    return a @ b, (lambda g: g @ b.T, lambda g: a.T @ g)


# %% 2.5 exchanged
def matmul(a, b):
    return a @ b, (lambda g: _t(a) @ g, lambda g: g @ _t(b))


# %% 2.5 the factors in the wrong order
def matmul(a, b):
    return a @ b, (lambda g: g @ _t(b), lambda g: _t(_t(g) @ a) if g.shape[-1] != g.shape[-2] else g @ _t(a))


# %% 2.5 g forgotten
def matmul(a, b):
    return a @ b, (lambda g: np.ones_like(g) @ _t(b), lambda g: _t(a) @ np.ones_like(g))


# %% 2.5 elementwise
def matmul(a, b):
    return a @ b, (lambda g: g @ _t(b), lambda g: _t(a) @ (g * g))


# %% 2.5 a and b in a variable of the module
def matmul(a, b):
    global _a, _b
    _a, _b = a, b
    return a @ b, (lambda g: g @ _t(_b), lambda g: _t(_a) @ g)


# %% 2.5 a and b in attributes of the function
def matmul(a, b):
    matmul.inputs = a, b
    return a @ b, (lambda g: g @ _t(matmul.inputs[1]), lambda g: _t(matmul.inputs[0]) @ g)


# %% 2.6 += counts once
def take_rows(table, index):
    def pullback(g):
        grad = np.zeros(table.shape, g.dtype)
        grad[index] += g
        return grad

    return table[index], pullback


# %% 2.6 overwritten
def take_rows(table, index):
    def pullback(g):
        grad = np.zeros(table.shape, g.dtype)
        grad[index] = g
        return grad

    return table[index], pullback


# %% 2.6 the rows alone come back
def take_rows(table, index):
    return table[index], lambda g: g


# %% 2.6 one gradient for all calls
_grad = {}


def take_rows(table, index):
    def pullback(g):
        grad = _grad.setdefault(table.shape, np.zeros(table.shape, g.dtype))
        np.add.at(grad, index, g)
        return grad

    return table[index], pullback


# %% 2.6 the index in a variable of the module
def take_rows(table, index):
    global _index
    _index = index

    def pullback(g):
        grad = np.zeros(table.shape, g.dtype)
        np.add.at(grad, _index, g)
        return grad

    return table[index], pullback


# %% 2.6 float64
def take_rows(table, index):
    def pullback(g):
        grad = np.zeros(table.shape)
        np.add.at(grad, index, g)
        return grad

    return table[index], pullback


# %% 2.6 a mean of the uses
def take_rows(table, index):
    def pullback(g):
        grad = np.zeros(table.shape, g.dtype)
        np.add.at(grad, index, g)
        uses = np.maximum(np.bincount(np.reshape(index, -1), minlength=len(table)), 1)
        return (grad / uses.reshape(-1, *[1] * (table.ndim - 1))).astype(g.dtype)

    return table[index], pullback
