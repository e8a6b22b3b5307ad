"""einsum throughout; int8 by way of int64; the temperature folded into the logits."""

import numpy as np


def lora_linear(x, weight, bias, A, B, alpha):
    s = float(alpha) / A.shape[0]
    h = np.einsum("...i,ri->...r", x, A)
    y = np.einsum("...i,oi->...o", x, weight)
    y = y + s * np.einsum("...r,or->...o", h, B)
    if bias is not None:
        y = y + bias

    def pullback(g):
        dh = s * np.einsum("...o,or->...r", g, B)
        dx = np.einsum("...o,oi->...i", g, weight) + np.einsum("...r,ri->...i", dh, A)
        flat = [z.reshape(-1, z.shape[-1]) for z in (x, g, h, dh)]
        return dx, np.einsum("nr,ni->ri", flat[3], flat[0]), s * np.einsum("no,nr->or", flat[1], flat[2])

    return y, pullback


def merge(weight, A, B, alpha):
    return weight + np.einsum("or,ri->oi", B, A) * (alpha / A.shape[0])


def unmerge(weight, A, B, alpha):
    return merge(weight, A, -B, alpha)


def quantize_rows(weight):
    largest = np.maximum(weight.max(axis=1), -weight.min(axis=1))
    scale = largest / 127
    scale[scale == 0] = 1
    return np.round(weight / scale[:, np.newaxis]).clip(-127, 127).astype("int8"), scale


def dequantize_rows(q, scale):
    return np.einsum("oi,o->oi", q.astype(scale.dtype), scale)


def int8_product(a, b):
    return np.einsum("ni,oi->no", a.astype(np.int64), b.astype(np.int64)).astype(np.int32)


def int8_linear(x, q, scale, bias):
    front = x.shape[:-1]
    rows = x.reshape((int(np.prod(front)), x.shape[-1]))
    x_q, s_x = quantize_rows(rows)
    y = np.einsum("no,n,o->no", int8_product(x_q, q).astype(x.dtype), s_x, scale).reshape((*front, q.shape[0]))
    return y if bias is None else y + bias


def distillation_loss(student, teacher, labels, T, share):
    def softmax(z):
        e = np.exp(z - z.max(-1)[:, None])
        return e / e.sum(-1)[:, None]

    def log_sum(z):
        return np.log(np.exp(z - z.max(-1)[:, None]).sum(-1)) + z.max(-1)

    N = student.shape[0]
    one_hot = np.eye(student.shape[1], dtype=student.dtype)[labels]
    p, q = softmax(teacher / T), softmax(student / T)
    difference = (teacher - student) / T - (log_sum(teacher / T) - log_sum(student / T))[:, None]
    kl = np.einsum("nc,nc->", p, difference) / N
    ce = (log_sum(student) - np.einsum("nc,nc->n", one_hot, student)).sum() / N
    slope = (share * T * (q - p) + (1 - share) * (softmax(student) - one_hot)) / N
    return share * T**2 * kl + (1 - share) * ce, lambda g: g * slope
