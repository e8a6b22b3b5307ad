"""Row by row, and term by term."""

import math

import numpy as np


def lora_linear(x, weight, bias, A, B, alpha):
    s = alpha / A.shape[0]
    out, r = B.shape
    y = np.zeros(x.shape[:-1] + (out,), x.dtype)
    for at in np.ndindex(x.shape[:-1]):
        y[at] = weight @ x[at] + s * (B @ (A @ x[at]))
        if bias is not None:
            y[at] += bias

    def pullback(g):
        dx, dA, dB = np.zeros_like(x), np.zeros_like(A), np.zeros_like(B)
        for at in np.ndindex(x.shape[:-1]):
            back = s * (B.T @ g[at])
            dx[at] = weight.T @ g[at] + A.T @ back
            for k in range(r):
                dA[k] += back[k] * x[at]
                dB[:, k] += s * g[at] * (A[k] @ x[at])
        return dx, dA, dB

    return y, pullback


def merge(weight, A, B, alpha):
    new = weight.copy()
    for k in range(len(A)):
        new += alpha / len(A) * np.outer(B[:, k], A[k])
    return new


def unmerge(weight, A, B, alpha):
    return merge(weight, A, B, -alpha)


def quantize_rows(weight):
    q = np.zeros(weight.shape, np.int8)
    scale = np.ones(len(weight), weight.dtype)
    for i, row in enumerate(weight):
        largest = max(abs(float(v)) for v in row)
        if largest > 0:
            scale[i] = largest / 127
            for j, value in enumerate(row):
                steps = float(value) / largest * 127
                q[i, j] = math.floor(abs(steps) + 0.5) * (1 if steps > 0 else -1)
    return q, scale


def dequantize_rows(q, scale):
    return np.array([row * s for row, s in zip(q, scale)], scale.dtype).reshape(q.shape)


def int8_product(a, b):
    found = np.zeros((len(a), len(b)), np.int32)
    for i in range(len(a)):
        for j in range(len(b)):
            found[i, j] = np.sum(a[i].astype(np.int32) * b[j].astype(np.int32))
    return found


def int8_linear(x, q, scale, bias):
    y = np.zeros(x.shape[:-1] + (len(q),), x.dtype)
    for at in np.ndindex(x.shape[:-1]):
        whole, s = quantize_rows(x[at][None])
        y[at] = s[0] * int8_product(whole, q)[0] * scale
        if bias is not None:
            y[at] = y[at] + bias
    return y


def distillation_loss(student, teacher, labels, T, share):
    def probabilities(z):
        e = np.exp(z - np.max(z))
        return e / np.sum(e)

    def log_probabilities(z):
        return z - np.max(z) - np.log(np.sum(np.exp(z - np.max(z))))

    N, loss, slope = len(labels), 0.0, np.zeros_like(student)
    for i in range(N):
        p, log_p, log_q = probabilities(teacher[i] / T), log_probabilities(teacher[i] / T), log_probabilities(student[i] / T)
        for c in range(len(p)):
            if p[c] > 0:
                loss += share * T * T * float(p[c]) * float(log_p[c] - log_q[c]) / N
        loss -= (1 - share) * float(log_probabilities(student[i])[labels[i]]) / N
        hard = probabilities(student[i])
        hard[labels[i]] -= 1
        slope[i] = (share * T * (probabilities(student[i] / T) - p) + (1 - share) * hard) / N

    def pullback(g):
        return g * slope

    return loss, pullback
