"""np.nditer for the blocks; sigmoid instead of tanh in the definition: ½(1 + tanh u) = σ(2u)."""

import math

import numpy as np


def gelu(x):
    c = 2 * math.sqrt(2 / math.pi)
    z = c * (x + 0.044715 * x * x * x)
    with np.errstate(over="ignore"):
        s = 1 / (1 + np.exp(-z))
    return x * s, s + x * s * (1 - s) * c * (1 + 3 * 0.044715 * x * x)


def blocks(n, size):
    edges = [*range(0, n, size), n]
    return [slice(edges[i], edges[i + 1]) for i in range(len(edges) - 1)]


def fast_gelu(x):
    x = np.asarray(x)
    y, slope = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    if not x.size:
        return y, slope
    c = math.sqrt(2 / math.pi)
    flags = ["external_loop", "buffered", "zerosize_ok"]
    with np.nditer([x, y, slope], flags, [["readonly"], ["writeonly"], ["writeonly"]], buffersize=16384) as it:
        for a, b, d in it:
            s = a * a
            t = 0.044715 * c * s
            t += c
            t *= a
            np.tanh(t, out=t)
            s *= 3 * 0.044715 * c
            s += c
            s *= a
            np.multiply(t, t, out=d)
            np.subtract(1, d, out=d)
            d *= s
            t += 1
            d += t
            d *= 0.5
            t *= a
            np.multiply(t, 0.5, out=b)
    return y, slope


def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    p, g, m, v = np.ravel(p), np.ravel(g), np.ravel(m), np.ravel(v)
    u = np.empty(min(len(p), 1 << 13), p.dtype)
    for start in range(0, len(p), 1 << 13):
        part = slice(start, start + (1 << 13))
        w = u[: len(p[part])]
        np.subtract(g[part], m[part], out=w)
        w *= 1 - beta1
        m[part] += w
        np.square(g[part], out=w)
        w -= v[part]
        w *= 1 - beta2
        v[part] += w
        np.divide(v[part], 1 - beta2**t, out=w)
        np.sqrt(w, out=w)
        w += eps
        np.divide(m[part], w, out=w)
        w *= lr / (1 - beta1**t)
        np.subtract(p[part], w, out=p[part])
