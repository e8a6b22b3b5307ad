"""Wrong answers to assignment 'adapt' that learners write, a cell each; every one must cost points."""
# ruff: noqa

import math
import numpy as np

_lora, _merge, _quantize, _linear, _distill = lora_linear, merge, quantize_rows, int8_linear, distillation_loss


def _rows(z):
    return z.reshape(-1, z.shape[-1])


def _softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _log_softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def _distilled(student, teacher, labels, T, share, soft=None, hard=None, T_hard=1, scale=None, mean=np.mean, dsoft=None):
    scale = T * T if scale is None else scale
    N = len(labels)
    p, log_s = _softmax(teacher / T), _log_softmax(student / T)
    kl = mean((p * (_log_softmax(teacher / T) - log_s)).sum(1))
    ce = -_log_softmax(student / T_hard)[range(N), labels].mean()
    dhard = _softmax(student / T_hard) / T_hard
    dhard[range(N), labels] -= 1 / T_hard
    dsoft = scale / T * (np.exp(log_s) - p) if dsoft is None else dsoft(np.exp(log_s), p)
    return share * scale * kl + (1 - share) * ce, lambda g: g / N * (share * dsoft + (1 - share) * dhard)


# %% 9.1 alpha without r
def lora_linear(x, weight, bias, A, B, alpha):
    return _lora(x, weight, bias, A, B, alpha * len(A))


# %% 9.1 alpha / sqrt r
def lora_linear(x, weight, bias, A, B, alpha):
    return _lora(x, weight, bias, A, B, alpha * len(A) ** 0.5)


# %% 9.1 r from the wrong axis of A
def lora_linear(x, weight, bias, A, B, alpha):
    return _lora(x, weight, bias, A, B, alpha / A.shape[1] * len(A))


# %% 9.1 NumPy's scale: float64
def lora_linear(x, weight, bias, A, B, alpha):
    return _lora(x, weight, bias, A, B, np.float64(alpha))


# %% 9.1 the bias is scaled
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, None, A, B, alpha)
    return (y if bias is None else y + alpha / len(A) * bias), back


# %% 9.1 no bias when there is none is forgotten
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, None, A, B, alpha)
    return y + bias, back


# %% 9.1 dx without the change
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    return y, lambda g: (g @ weight, *back(g)[1:])


# %% 9.1 dx without W: "it is frozen"
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    return y, lambda g: (back(g)[0] - g @ weight, *back(g)[1:])


# %% 9.1 the scale is missing in dA
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    return y, lambda g: (back(g)[0], _rows(g @ B).T @ _rows(x), back(g)[2])


# %% 9.1 the scale is missing in dB
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    return y, lambda g: (*back(g)[:2], _rows(g).T @ _rows(x @ A.T))


# %% 9.1 the gradients are means over the rows
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)

    def pullback(g):
        dx, dA, dB = back(g)
        n = max(1, len(_rows(x)))
        return dx, dA / n, dB / n

    return y, pullback


# %% 9.1 a sum over the first axis alone
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    s = alpha / len(A)
    return y, lambda g: (back(g)[0], s * ((g @ B).swapaxes(-1, -2) @ x), s * (g.swapaxes(-1, -2) @ (x @ A.T)))


# %% 9.1 what the pullback needs in the module
_kept = {}


def lora_linear(x, weight, bias, A, B, alpha):
    _kept.update(x=x, A=A, B=B, weight=weight, h=x @ A.T, s=alpha / len(A))
    y, _ = _lora(x, weight, bias, A, B, alpha)

    def pullback(g):
        dh = _kept["s"] * (g @ _kept["B"])
        dB = _kept["s"] * _rows(g).T @ _rows(_kept["h"])
        return g @ _kept["weight"] + dh @ _kept["A"], _rows(dh).T @ _rows(_kept["x"]), dB

    return y, pullback


# %% 9.1 A remembered by its shape: layers of one shape share it
_first = {}


def lora_linear(x, weight, bias, A, B, alpha):
    A = _first.setdefault(A.shape, A)
    return _lora(x, weight, bias, A, B, alpha)


# %% 9.1 W is changed for the call, and changed back
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    weight += alpha / len(A) * (B @ A)
    weight -= alpha / len(A) * (B @ A) * 1.001
    return y, back


# %% 9.1 four gradients: W's as well
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    return y, lambda g: (back(g)[0], _rows(g).T @ _rows(x), *back(g)[1:])


# %% 9.1 dA and dB exchanged
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)
    return y, lambda g: (back(g)[0], back(g)[2], back(g)[1])


# %% 9.1 g is used up
def lora_linear(x, weight, bias, A, B, alpha):
    y, back = _lora(x, weight, bias, A, B, alpha)

    def pullback(g):
        found = back(g)
        g *= 0
        return found

    return y, pullback


# %% 9.2 merge changes W
def merge(weight, A, B, alpha):
    weight += alpha / len(A) * (B @ A)
    return weight


# %% 9.2 merge without the scale
def merge(weight, A, B, alpha):
    return weight + B @ A


def unmerge(weight, A, B, alpha):
    return weight - B @ A


# %% 9.2 unmerge gives back the first W
_bases = []


def merge(weight, A, B, alpha):
    _bases.append(weight)
    return _merge(weight, A, B, alpha)


def unmerge(weight, A, B, alpha):
    return _bases[-1]


# %% 9.2 unmerge gives back what was given to the last merge of this adapter
_known = {}


def merge(weight, A, B, alpha):
    _known[A.tobytes() + B.tobytes()] = weight
    return _merge(weight, A, B, alpha)


def unmerge(weight, A, B, alpha):
    return _known[A.tobytes() + B.tobytes()].copy()


# %% 9.2 in float64
def merge(weight, A, B, alpha):
    return weight.astype(float) + alpha / len(A) * (B @ A)


# %% 9.2 nothing to do where B is 0: W itself
def merge(weight, A, B, alpha):
    return _merge(weight, A, B, alpha) if B.any() else weight


# %% 9.2 r and not 1/r
def merge(weight, A, B, alpha):
    return weight + alpha * (B @ A)


def unmerge(weight, A, B, alpha):
    return weight - alpha * (B @ A)


# %% 9.3 cut off
def quantize_rows(weight):
    _, scale = _quantize(weight)
    return (weight / scale[:, None]).astype(np.int8), scale


# %% 9.3 rounded up
def quantize_rows(weight):
    _, scale = _quantize(weight)
    return np.ceil(weight / scale[:, None] - 1e-3).astype(np.int8), scale


# %% 9.3 one scale for all
def quantize_rows(weight):
    s = np.abs(weight).max(initial=0) / 127 or 1
    return np.rint(weight / s).astype(np.int8), np.full(len(weight), s, weight.dtype)


# %% 9.3 the largest without its sign
def quantize_rows(weight):
    largest = weight.max(axis=1) if len(weight) else np.zeros(0, weight.dtype)
    scale = np.where(largest > 0, largest, 1) / 127
    return np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8), scale


# %% 9.3 127 becomes 128, which wraps around
def quantize_rows(weight):
    scale = _quantize(weight)[1] * weight.dtype.type(127 / 128)
    return np.rint(weight / scale[:, None]).astype(np.int64).astype(np.int8), scale


# %% 9.3 255 steps from the least to the largest
def quantize_rows(weight):
    width = weight.max(1, initial=-np.inf) - weight.min(1, initial=np.inf) if len(weight) else np.zeros(0)
    scale = np.where(width > 0, width, 1).astype(weight.dtype) / 255
    return np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8), scale


# %% 9.3 a row of zeros divides by 0
def quantize_rows(weight):
    scale = np.abs(weight).max(1) / 127
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


# %% 9.3 a small number in every scale
def quantize_rows(weight):
    scale = np.abs(weight).max(1) / 127 + np.float32(1e-4)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(weight.dtype)


# %% 9.3 q stays a float
def quantize_rows(weight):
    q, scale = _quantize(weight)
    return q.astype(weight.dtype), scale


# %% 9.3 the scales as a column
def quantize_rows(weight):
    q, scale = _quantize(weight)
    return q, scale[:, None]


# %% 9.3 the inverse of the scale
def quantize_rows(weight):
    q, scale = _quantize(weight)
    return q, 1 / scale


# %% 9.3 by columns
def dequantize_rows(q, scale):
    return q * scale if q.shape[0] == q.shape[1] else q * scale[:, None]


# %% 9.3 back in float64
def dequantize_rows(q, scale):
    return q.astype(float) * scale[:, None]


# %% 9.3 back in int8
def dequantize_rows(q, scale):
    return (q * scale[:, None]).astype(np.int8).astype(scale.dtype)


# %% 9.4 in int8
def int8_product(a, b):
    return (a @ b.T).astype(np.int32)


# %% 9.4 in int16
def int8_product(a, b):
    return (a.astype(np.int16) @ b.T.astype(np.int16)).astype(np.int32)


# %% 9.4 in float32
def int8_product(a, b):
    return np.rint(a.astype(np.float32) @ b.T.astype(np.float32)).astype(np.int32)


# %% 9.4 products in int16, sums in int32
def int8_product(a, b):
    return np.array([[np.sum(r * c.astype(np.int8), dtype=np.int32) for c in b] for r in a], np.int32).reshape(len(a), len(b))


# %% 9.4 int64 comes back
def int8_product(a, b):
    return a.astype(np.int64) @ b.T.astype(np.int64)


# %% 9.4 a float comes back
def int8_product(a, b):
    return a.astype(np.float64) @ b.T.astype(np.float64)


# %% 9.4 W is dequantised, x is not rounded
def int8_linear(x, q, scale, bias):
    y = x @ (q * scale[:, None]).T
    return y if bias is None else y + bias


# %% 9.4 one scale for all of x
def int8_linear(x, q, scale, bias):
    s = np.float32(np.abs(x).max() / 127)
    y = int8_product(np.rint(_rows(x) / s).astype(np.int8), q) * s * scale
    y = y.reshape(*x.shape[:-1], len(q)).astype(x.dtype)
    return y if bias is None else y + bias


# %% 9.4 the scales of x by columns where that fits
def int8_linear(x, q, scale, bias):
    x_q, s = _quantize(_rows(x))
    y = int8_product(x_q, q)
    y = (y * s if len(s) == len(q) else y * s[:, None]) * scale
    y = y.astype(x.dtype).reshape(*x.shape[:-1], len(q))
    return y if bias is None else y + bias


# %% 9.4 the bias is scaled, too
def int8_linear(x, q, scale, bias):
    y = _linear(x, q, scale, None)
    return y if bias is None else y + scale * bias


# %% 9.4 float64 slips out
def int8_linear(x, q, scale, bias):
    x_q, s = _quantize(_rows(x))
    y = (int8_product(x_q, q) * s[:, None] * scale).reshape(*x.shape[:-1], len(q))
    return y if bias is None else y + bias


# %% 9.4 rows of a batch of sentences get one scale
def int8_linear(x, q, scale, bias):
    if x.ndim < 3:
        return _linear(x, q, scale, bias)
    s = np.abs(x).max(axis=(-1, -2), keepdims=True) / 127
    s = np.where(s > 0, s, 1).astype(x.dtype)
    y = (int8_product(_rows(np.rint(x / s)).astype(np.int8), q).reshape(*x.shape[:-1], len(q)) * s * scale).astype(x.dtype)
    return y if bias is None else y + bias


# %% 9.5 without T squared
def distillation_loss(student, teacher, labels, T, share):
    return _distilled(student, teacher, labels, T, share, scale=1)


# %% 9.5 T in place of T squared
def distillation_loss(student, teacher, labels, T, share):
    return _distilled(student, teacher, labels, T, share, scale=T)


# %% 9.5 a temperature for the labels
def distillation_loss(student, teacher, labels, T, share):
    return _distilled(student, teacher, labels, T, share, T_hard=T)


# %% 9.5 the gradient without 1/T
def distillation_loss(student, teacher, labels, T, share):
    return _distilled(student, teacher, labels, T, share, dsoft=lambda q, p: T * T * (q - p))


# %% 9.5 the gradient without T
def distillation_loss(student, teacher, labels, T, share):
    return _distilled(student, teacher, labels, T, share, dsoft=lambda q, p: q - p)


# %% 9.5 the sign of the soft gradient
def distillation_loss(student, teacher, labels, T, share):
    return _distilled(student, teacher, labels, T, share, dsoft=lambda q, p: T * (p - q))


# %% 9.5 the shares exchanged
def distillation_loss(student, teacher, labels, T, share):
    return _distill(student, teacher, labels, T, 1 - share)


# %% 9.5 KL the other way round
def distillation_loss(student, teacher, labels, T, share):
    loss, back = _distill(student, teacher, labels, T, share)
    q, log_q, log_p = _softmax(student / T), _log_softmax(student / T), _log_softmax(teacher / T)
    _, hard = _distill(student, teacher, labels, T, 0.0)
    ce = _distill(student, teacher, labels, T, 0.0)[0]
    kl = (q * (log_q - log_p)).sum(1)
    dsoft = T * q * (log_q - log_p - kl[:, None]) / len(labels)
    return share * T * T * kl.mean() + (1 - share) * ce, lambda g: g * share * dsoft + (1 - share) * hard(g)


# %% 9.5 cross entropy with the teacher, without its entropy
def distillation_loss(student, teacher, labels, T, share):
    loss, back = _distill(student, teacher, labels, T, share)
    p = _softmax(teacher / T)
    return loss - share * T * T * np.mean((p * _log_softmax(teacher / T)).sum(1)), back


# %% 9.5 a mean over classes as well
def distillation_loss(student, teacher, labels, T, share):
    C = student.shape[1]
    return _distilled(student, teacher, labels, T, share, mean=lambda rows: rows.mean() / C, dsoft=lambda q, p: T * (q - p) / C)


# %% 9.5 a sum over the examples
def distillation_loss(student, teacher, labels, T, share):
    loss, back = _distill(student, teacher, labels, T, share)
    return loss * len(labels), lambda g: back(g) * len(labels)


# %% 9.5 the gradient without the mean
def distillation_loss(student, teacher, labels, T, share):
    loss, back = _distill(student, teacher, labels, T, share)
    return loss, lambda g: back(g) * len(labels)


# %% 9.5 g is forgotten
def distillation_loss(student, teacher, labels, T, share):
    loss, back = _distill(student, teacher, labels, T, share)
    return loss, lambda g: back(1.0)


# %% 9.5 log of a probability that is 0
def distillation_loss(student, teacher, labels, T, share):
    p, q, hard = _softmax(teacher / T), _softmax(student / T), _softmax(student)
    n = range(len(labels))
    loss = share * T * T * (p * np.log(p / q)).sum(1).mean() - (1 - share) * np.log(hard[n, labels]).mean()
    return loss, _distill(student, teacher, labels, T, share)[1]


# %% 9.5 a small number in every log
def distillation_loss(student, teacher, labels, T, share):
    p, q, hard = _softmax(teacher / T), _softmax(student / T), _softmax(student)
    n = range(len(labels))
    soft = (p * (np.log(p + 1e-12) - np.log(q + 1e-12))).sum(1).mean()
    return share * T * T * soft - (1 - share) * np.log(hard[n, labels] + 1e-12).mean(), _distill(
        student, teacher, labels, T, share
    )[1]


# %% 9.5 the largest logit of the whole batch
def distillation_loss(student, teacher, labels, T, share):
    _, back = _distill(student, teacher, labels, T, share)

    def log_softmax(z):
        z = z - z.max()
        return z - np.log(np.exp(z).sum(1, keepdims=True))

    p = np.exp(log_softmax(teacher / T))
    soft = (p * (log_softmax(teacher / T) - log_softmax(student / T))).sum(1).mean()
    hard = -log_softmax(student)[range(len(labels)), labels].mean()
    return share * T * T * soft + (1 - share) * hard, back


# %% 9.5 a pullback that works once
def distillation_loss(student, teacher, labels, T, share):
    loss, back = _distill(student, teacher, labels, T, share)
    slope = back(1.0)

    def pullback(g):
        nonlocal slope
        slope *= g
        return slope

    return loss, pullback


# %% 9.5 NumPy's numbers make float64
def distillation_loss(student, teacher, labels, T, share):
    loss, back = _distill(student, teacher, labels, T, share)
    return loss, lambda g: back(g) * np.float64(1)
