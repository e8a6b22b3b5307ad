"""In place, but not in blocks; the slope by another form of the formula: ½ + t (½ + x (1 - t) ...), with sigmoid."""

import math

import numpy as np


def gelu(x):
    c = math.sqrt(2 / math.pi)
    u = c * (x + 0.044715 * x**3)
    t = np.tanh(u)
    return 0.5 * x * (1 + t), 0.5 + 0.5 * t + 0.5 * x * (1 - t**2) * (c + 3 * 0.044715 * c * x**2)


def blocks(n, size):
    parts, start = [], 0
    while start < n:
        stop = start + size if start + size < n else n
        parts.append(slice(start, stop))
        start = stop
    return parts


def fast_gelu(x):
    c = math.sqrt(2 / math.pi)
    s = np.asarray(x * x)
    t = np.asarray(s * (0.044715 * c))
    t += c
    t *= x
    np.tanh(t, out=t)
    s *= 3 * 0.044715 * c
    s += c
    s *= x
    slope = np.asarray(1 - t * t)
    slope *= s
    t += 1
    slope += t
    slope *= 0.5
    t *= x
    t *= 0.5
    return t, slope


def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    u = g - m
    u *= 1 - beta1
    m += u
    np.multiply(g, g, out=u)
    u -= v
    u *= 1 - beta2
    v += u
    np.sqrt(v, out=u)
    root = math.sqrt(1 - beta2**t)
    u += eps * root
    np.divide(m, u, out=u)
    u *= lr * root / (1 - beta1**t)
    p -= u
