"""Assignment 4: softmax, LayerNorm and attention, with their gradients. The handout is README.md.

All on NumPy arrays. A function returns (y, pullback); the pullback takes g = dL/dy and returns the gradients of the inputs.
float32 in, float32 out. Neither the function nor its pullback changes an argument.
"""

import numpy as np

# ------------------------------------------------------------------------------------------------------- Task 4.1


def softmax(x, axis=-1):
    """yᵢ = eˣⁱ / Σⱼ eˣʲ along the axis, and the pullback g -> dx.

    Right for scores of any size, and for -inf (whose y is 0) unless the whole row is -inf.
    """
    ### BEGIN SOLUTION 4.1: softmax, and dx = y (g - Σ g y)
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    y = e / e.sum(axis=axis, keepdims=True)
    return y, lambda g: y * (g - (g * y).sum(axis=axis, keepdims=True))
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 4.2


def layer_norm(x, weight, bias, eps=1e-5):
    """y = x̂ · weight + bias with x̂ = (x - mean) / √(var + eps) along the last axis, and the pullback g -> (dx, dw, db).

    x (..., H), weight (H,), bias (H,); var is the mean of (x - mean)². dw and db have the shape (H,).
    """
    ### BEGIN SOLUTION 4.2: layer_norm, with the three terms of dx
    centred = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    unit = centred / std

    def pullback(g):
        h = g * weight
        dx = (h - h.mean(axis=-1, keepdims=True) - unit * (h * unit).mean(axis=-1, keepdims=True)) / std
        rows = tuple(range(x.ndim - 1))
        return dx, (g * unit).sum(axis=rows), g.sum(axis=rows)

    return unit * weight + bias, pullback
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 4.3


def split_heads(x, heads):
    """(B, S, H) -> (B, heads, S, d) with d = H / heads: head number a gets the columns a·d to (a+1)·d of every token."""
    ### BEGIN SOLUTION 4.3: split_heads, a reshape and an exchange of axes
    batch, length, size = x.shape
    return x.reshape(batch, length, heads, size // heads).swapaxes(1, 2)
    ### END SOLUTION


def merge_heads(x):
    """(B, heads, S, d) -> (B, S, heads · d): undo split_heads."""
    ### BEGIN SOLUTION 4.3: merge_heads, the way back
    batch, heads, length, size = x.shape
    return x.swapaxes(1, 2).reshape(batch, length, heads * size)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 4.4


def attention(q, k, v, mask=None):
    """softmax(q kᵀ/√d + mask) v, and the pullback g -> (dq, dk, dv).

    q (..., L, d), k (..., S, d), v (..., S, e) -> (..., L, e), with equal leading axes. mask, if given, broadcasts to
    (..., L, S): 0 for a visible key, a large negative number or -inf for a hidden one. It needs no gradient.
    """
    ### BEGIN SOLUTION 4.4: attention, forwards and backwards
    scale = float(1 / np.sqrt(q.shape[-1]))
    scores = q @ k.swapaxes(-1, -2) * scale
    if mask is not None:
        scores = scores + mask
    weights, softmax_pullback = softmax(scores)

    def pullback(g):
        dscores = softmax_pullback(g @ v.swapaxes(-1, -2)) * scale
        return dscores @ k, dscores.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ g

    return weights @ v, pullback
    ### END SOLUTION
