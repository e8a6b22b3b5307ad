"""Assignment 6: kernels that are right first, and then fast. The handout is README.md.

All on NumPy arrays of float32 or float64; the results have the dtype of x.
"""

import math

import numpy as np

BLOCK = 1 << 14  # elements: a few such blocks of float32 fit into a core's cache

# ------------------------------------------------------------------------------------------------------- Task 6.1


def gelu(x):
    """½x(1 + tanh u) with u = √(2/π)(x + 0.044715 x³), and its slope ½(1 + tanh u) + ½x(1 - tanh² u)u', of the shape of x.

    Plain array code: the definition, and the reference for the fast version.
    """
    ### BEGIN SOLUTION 6.1: gelu, the definition and its slope
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x * x * x))
    slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
    return 0.5 * x * (1 + t), slope
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 6.2


def blocks(n, size):
    """A list of slices that cut n elements into blocks of ``size``, in order; the last may be shorter; n may be 0."""
    ### BEGIN SOLUTION 6.2: blocks, from the first to the last
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 6.3


def fast_gelu(x):
    """The same as gelu, for x of any shape and size, and at least 1.1 times as fast as plain array code.

    x may be empty, have no axes, or be a view such as a transpose; do not change it. Return two new arrays.
    """
    ### BEGIN SOLUTION 6.3: fast_gelu, in blocks and in place
    c = math.sqrt(2 / math.pi)
    flat = x.reshape(-1)
    y, slope = np.empty(flat.shape, x.dtype), np.empty(flat.shape, x.dtype)
    scratch = np.empty((2, min(BLOCK, flat.size)), x.dtype)
    for part in blocks(flat.size, BLOCK):
        a, b = flat[part], slope[part]
        s, t = scratch[:, : a.size]
        np.multiply(a, a, out=s)
        np.multiply(s, 0.044715 * c, out=t)
        t += c
        t *= a
        np.tanh(t, out=t)
        s *= 3 * 0.044715 * c
        s += c
        s *= a
        np.multiply(t, t, out=b)
        np.subtract(1, b, out=b)
        b *= s
        t += 1
        b += t
        b *= 0.5
        t *= a
        np.multiply(t, 0.5, out=y[part])
    return y.reshape(x.shape), slope.reshape(x.shape)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 6.4


def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    """One step of Adam, in place, for C-contiguous arrays of one shape; returns nothing.

    m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  p ← p - lr · m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + eps).  g is not changed; t counts from 1.
    At any time, all new arrays together may hold at most 1.5 times as many bytes as p.
    """
    ### BEGIN SOLUTION 6.4: fast_adam, with one scratch array
    p, g, m, v = (x.reshape(-1, order="A") for x in (p, g, m, v))  # views, of arrays in Fortran's order too
    scratch = np.empty(min(BLOCK, p.size), p.dtype)
    root = math.sqrt(1 - beta2**t)
    for part in blocks(p.size, BLOCK):
        a, b = m[part], v[part]
        u = scratch[: a.size]
        np.multiply(g[part], 1 - beta1, out=u)
        a *= beta1
        a += u
        np.multiply(g[part], g[part], out=u)
        u *= 1 - beta2
        b *= beta2
        b += u
        np.sqrt(b, out=u)
        u *= 1 / root
        u += eps
        np.divide(a, u, out=u)
        u *= lr / (1 - beta1**t)
        p[part] -= u
    ### END SOLUTION
