"""The sigmoid form, results that serve as scratch, blocks with small temporaries."""

import math

import numpy as np


def gelu(x):
    c = 2 * math.sqrt(2 / math.pi)
    with np.errstate(over="ignore"):
        s = 1 / (1 + np.exp(-c * (x + 0.044715 * x * x * x)))
    return x * s, s + x * s * (1 - s) * c * (1 + 3 * 0.044715 * x * x)


def blocks(n, size):
    out, i = [], 0
    while i < n:
        j = i + size if i + size < n else n
        out.append(slice(i, j, None))
        i = j
    return out


def fast_gelu(x):
    f = x.reshape(-1)
    y, d = np.empty(f.shape, x.dtype), np.empty(f.shape, x.dtype)
    c = math.sqrt(2 / math.pi)

    def work(part):
        a, b, t = f[part], d[part], y[part]
        np.square(a, out=b)
        np.multiply(b, 0.044715 * c, out=t)
        np.tanh(np.multiply(np.add(t, c, out=t), a, out=t), out=t)
        np.multiply(np.add(np.multiply(b, 3 * 0.044715 * c, out=b), c, out=b), a, out=b)
        b *= 1 - t * t
        t += 1
        b += t
        b *= 0.5
        t *= a
        t *= 0.5

    for part in blocks(f.size, 1 << 14):
        work(part)
    return y.reshape(x.shape), d.reshape(x.shape)


def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    P, G, M, V = (np.ravel(z) for z in (p, g, m, v))
    for s in blocks(P.size, 5000):
        M[s] = beta1 * M[s] + (1 - beta1) * G[s]
        V[s] = beta2 * V[s] + (1 - beta2) * G[s] ** 2
        P[s] -= lr * (M[s] / (1 - beta1**t)) / ((V[s] / (1 - beta2**t)) ** 0.5 + eps)
