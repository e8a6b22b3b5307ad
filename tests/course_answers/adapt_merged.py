"""LoRA by way of the gradient of the merged weight; the product through float64; classes in place of closures."""

import numpy as np


class _Lora:
    def __init__(self, x, weight, A, B, s):
        self.x, self.weight, self.A, self.B, self.s = x, weight, A, B, s

    def __call__(self, g):
        whole = self.weight + self.s * np.matmul(self.B, self.A)
        rows, back = np.atleast_2d(self.x), np.atleast_2d(g)
        rows, back = rows.reshape(-1, rows.shape[-1]), back.reshape(-1, back.shape[-1])
        change = self.s * np.matmul(back.T, rows)  # the gradient of B A
        return np.matmul(g, whole), np.matmul(self.B.T, change), np.matmul(change, self.A.T)


def lora_linear(x, weight, bias, A, B, alpha):
    s = alpha / np.shape(A)[0]
    y = np.matmul(x, np.transpose(merge(weight, A, B, alpha)))
    y = y if bias is None else np.add(y, bias)
    return y, _Lora(x, weight, A, B, s)


def merge(weight, A, B, alpha):
    return np.add(weight, np.matmul(B, A) * (alpha / np.shape(A)[0]))


def unmerge(weight, A, B, alpha):
    return np.subtract(weight, np.matmul(B, A) * (alpha / np.shape(A)[0]))


def quantize_rows(weight):
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127
    scale = np.where(scale, scale, np.ones_like(scale))
    return np.floor(weight / scale + 0.5).astype(np.int8), scale.ravel()


def dequantize_rows(q, scale):
    return (q.T * scale).T


def int8_product(a, b):
    return np.rint(a.astype(np.float64) @ b.T.astype(np.float64)).astype(np.int32)


def int8_linear(x, q, scale, bias):
    x_q, s_x = quantize_rows(np.reshape(x, (-1, np.shape(x)[-1])))
    y = int8_product(x_q, q) * np.outer(s_x, scale)
    if bias is not None:
        y = y + bias
    return y.astype(np.float32).reshape(np.shape(x)[:-1] + (len(q),))


def distillation_loss(student, teacher, labels, T, share):
    rows = range(len(labels))
    log_p, log_q, log_hard = (z - np.logaddexp.reduce(z, axis=1, keepdims=True) for z in (teacher / T, student / T, student))
    kl = np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=-1))
    ce = -np.mean(log_hard[rows, labels])

    def pullback(g):
        soft = np.exp(log_q) - np.exp(log_p)
        hard = np.exp(log_hard)
        np.subtract.at(hard, (rows, labels), 1)
        return (soft * (share * T) + hard * (1 - share)) * (g / len(labels))

    return kl * T**2 * share + ce * (1 - share), pullback
