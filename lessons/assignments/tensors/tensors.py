"""Assignment 2: arrays, broadcasting, and the gradients of a few operations. The handout is README.md.

An operation takes arrays and returns (y, pullback); a pullback turns g, the gradient of the loss along y, into the gradient
along an input. With two inputs the second value is a tuple of two pullbacks. Change no argument; a pullback may be called
more than once; float32 in means float32 out.
"""

import numpy as np

# ------------------------------------------------------------------------------------------------------- Task 2.1


def row_major_strides(shape):
    """The distance in elements between neighbours along each axis, in an array without gaps: a tuple of integers.

    (2, 3, 4) -> (12, 4, 1)
    """
    ### BEGIN SOLUTION 2.1: row_major_strides, from the last axis to the first
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))
    ### END SOLUTION


def offset(index, shape, strides):
    """The position in memory, counted in elements, of the element with this index; IndexError if there is none.

    index has one integer per axis; a negative one counts from the end of the axis.
    """
    ### BEGIN SOLUTION 2.1: offset, the sum of index · stride
    position = 0
    for i, size, stride in zip(index, shape, strides):
        if not -size <= i < size:
            raise IndexError(f"index {i} is out of range for an axis of size {size}")
        position += (i % size) * stride
    return position
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 2.2


def broadcast_shape(*shapes):
    """The common shape to which arrays of the given shapes broadcast, as a tuple; ValueError if they do not fit.

    There is at least one shape. (2, 1, 4), (3, 1) -> (2, 3, 4)
    """
    ### BEGIN SOLUTION 2.2: broadcast_shape, aligned at the last axis
    ndim = max(map(len, shapes))
    result = []
    for axis in range(-ndim, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            raise ValueError(f"shapes {shapes} do not fit along axis {axis}")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 2.3


def undo_broadcast(g, shape):
    """The gradient along a value of ``shape`` that was broadcast to g.shape: g summed where the value was repeated."""
    ### BEGIN SOLUTION 2.3: undo_broadcast, a sum over the repeated axes
    extra = g.ndim - len(shape)
    g = g.sum(axis=tuple(range(extra)))
    axes = tuple(i for i, size in enumerate(shape) if size == 1)
    return g.sum(axis=axes, keepdims=True)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 2.4


def sum_axis(x, axis=None, keepdims=False):
    """Σ x along an axis (an integer, or None: over all elements), and its pullback.

    The pullback's result has x's shape.
    """
    ### BEGIN SOLUTION 2.4: sum_axis, whose gradient is g for every summand
    y = x.sum(axis=axis, keepdims=keepdims)

    def pullback(g):
        if axis is not None and not keepdims:
            g = np.expand_dims(g, axis)
        return np.broadcast_to(g, x.shape)

    return y, pullback
    ### END SOLUTION


def mean_axis(x, axis=None, keepdims=False):
    """The mean of x along an axis (an integer, or None: over all elements), and its pullback. The dtype is x's."""
    ### BEGIN SOLUTION 2.4: mean_axis, the sum divided by the number of summands
    total, spread = sum_axis(x, axis, keepdims)
    n = x.size if axis is None else x.shape[axis]
    return total / n, lambda g: spread(g) / n
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 2.5


def matmul(a, b):
    """a b, and the pullbacks for a and b: a (..., n, k), b (..., k, m) -> (..., n, m).

    The leading axes may be broadcast. The pullbacks may leave that to undo_broadcast: their results are right if
    undo_broadcast(result, shape of the input) is.
    """
    ### BEGIN SOLUTION 2.5: matmul, with da = g bᵀ and db = aᵀ g
    return a @ b, (lambda g: g @ np.swapaxes(b, -1, -2), lambda g: np.swapaxes(a, -1, -2) @ g)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 2.6


def take_rows(table, index):
    """The rows of a table (rows, ...) with the numbers in ``index`` (integers, of any shape), and its pullback.

    The pullback's result has the table's shape and g's dtype: the embedding's gradient.
    """

    ### BEGIN SOLUTION 2.6: take_rows, whose gradient adds up what a row was used for
    def pullback(g):
        grad = np.zeros(table.shape, g.dtype)
        np.add.at(grad, index, g)
        return grad

    return table[index], pullback
    ### END SOLUTION
