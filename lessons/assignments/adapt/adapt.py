"""Assignment 9: LoRA, weights of eight bits, and distillation. The handout is README.md.

All on NumPy arrays. float32 in, float32 out; no function and no pullback changes an argument. A weight W is (out, in).
"""

import numpy as np

# ------------------------------------------------------------------------------------------------------- Task 9.1


def lora_linear(x, weight, bias, A, B, alpha):
    """y = x Wᵀ + b + (α/r) x Aᵀ Bᵀ, and the pullback g -> (dx, dA, dB).

    x (..., in), weight W (out, in), bias b (out,) or None, A (r, in), B (out, r); y (..., out). W and b are frozen: they
    get no gradient. x may have any number of axes, one as well; alpha is a Python number.
    """
    ### BEGIN SOLUTION 9.1: lora_linear, the frozen layer and a low-rank change
    scale = alpha / len(A)
    inner = x @ A.T  # (..., r)
    y = x @ weight.T + scale * (inner @ B.T)

    def pullback(g):
        dinner = scale * (g @ B)  # (..., r)
        flat_x, flat_g = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        dA = dinner.reshape(-1, len(A)).T @ flat_x
        dB = scale * (flat_g.T @ inner.reshape(-1, len(A)))
        return g @ weight + dinner @ A, dA, dB

    return y if bias is None else y + bias, pullback
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 9.2


def merge(weight, A, B, alpha):
    """The one weight that does the same as W with its change: a new array (out, in) of W's dtype."""
    ### BEGIN SOLUTION 9.2: merge, W + (α/r) B A
    return weight + alpha / len(A) * (B @ A)
    ### END SOLUTION


def unmerge(weight, A, B, alpha):
    """Take the change out of a merged weight, and no other that was merged before or after it: a new array."""
    ### BEGIN SOLUTION 9.2: unmerge, the way back
    return weight - alpha / len(A) * (B @ A)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 9.3


def quantize_rows(weight):
    """W ≈ scale ∘ q, a scale for each row: q (out, in) of int8 between -127 and 127, scale (out,) of W's dtype.

    The largest number of a row, by its absolute value, becomes 127 or -127; the others are rounded to the nearest whole
    number. A row of zeros has q = 0 and some scale above 0.
    """
    ### BEGIN SOLUTION 9.3: quantize_rows, max|w| / 127 for each row
    largest = np.abs(weight).max(axis=1)
    scale = np.where(largest > 0, largest, 1) / 127
    return np.rint(weight / scale[:, None]).astype(np.int8), scale
    ### END SOLUTION


def dequantize_rows(q, scale):
    """scale ∘ q: (out, in) of scale's dtype."""
    ### BEGIN SOLUTION 9.3: dequantize_rows, each row times its scale
    return q * scale[:, None]
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 9.4


def int8_product(a, b):
    """a bᵀ, exact to the last digit, of int32: a (n, in) and b (out, in) of int8 -> (n, out). ``in`` is at most 100,000."""
    ### BEGIN SOLUTION 9.4: int8_product, whose sums need more than eight bits
    return a.astype(np.int32) @ b.T  # b is widened along with a
    ### END SOLUTION


def int8_linear(x, q, scale, bias):
    """x Wᵀ + b with W ≈ scale ∘ q, computed from whole numbers: y = s_x ∘ (x_q qᵀ) ∘ scale + b, of x's dtype.

    x (..., in) is quantised too, each row (the last axis) with a scale s_x of its own. q (out, in) and scale (out,) are
    quantize_rows's; bias (out,) or None; y (..., out).
    """
    ### BEGIN SOLUTION 9.4: int8_linear, both scales after the product
    x_q, s_x = quantize_rows(x.reshape(-1, x.shape[-1]))
    y = (s_x[:, None] * int8_product(x_q, q) * scale).astype(x.dtype)
    y = y.reshape(*x.shape[:-1], len(q))
    return y if bias is None else y + bias
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 9.5


def distillation_loss(student, teacher, labels, T, share):
    """share · T² KL(p_teacher ‖ p_student) + (1 - share) · cross entropy, and the pullback g -> dstudent.

    student, teacher (N, C): logits; labels (N,): the right classes. p = softmax(logits / T) in the first term, which is the
    mean over N of Σ p_teacher (log p_teacher - log p_student); the second is -log softmax(student)[label], without T, and a
    mean over N, too. The teacher needs no gradient. Right for logits of any size: a class that the teacher gives probability
    0 adds nothing. g is a Python number.
    """
    ### BEGIN SOLUTION 9.5: distillation_loss, soft and hard targets

    def log_softmax(z):
        z = z - z.max(axis=1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    n = np.arange(len(labels))
    log_s, log_t, log_hard = log_softmax(student / T), log_softmax(teacher / T), log_softmax(student)
    p_t = np.exp(log_t)
    soft = T * T * (p_t * (log_t - log_s)).sum(axis=1).mean()
    hard = -log_hard[n, labels].mean()

    def pullback(g):
        dhard = np.exp(log_hard)
        dhard[n, labels] -= 1
        return g / len(labels) * (share * T * (np.exp(log_s) - p_t) + (1 - share) * dhard)

    return float(share * soft + (1 - share) * hard), pullback
    ### END SOLUTION
