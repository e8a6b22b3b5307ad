"""Wrong answers to assignment 'kernel' as learners write them, a cell each; each must cost points in the hidden tests."""
# ruff: noqa

import math
import numpy as np

_fast, _plain, _adam = fast_gelu, gelu, fast_adam
C = math.sqrt(2 / math.pi)


def _slope(x, c=C, cube=3 * 0.044715, square=True, first=1.0, half=0.5):
    t = np.tanh(C * (x + 0.044715 * x * x * x))
    inner = 1 - t * t if square else 1 - t
    return 0.5 * x * (1 + t), 0.5 * (1 + t) * first + half * x * inner * c * (1 + cube * x * x)


def _steps(m_hat=True, v_hat=True, inside=False, sign=-1, square=lambda g: g * g, keep=True, swap=False):
    def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
        if swap:
            beta1, beta2 = beta2, beta1
        m[...] = beta1 * m + (1 - beta1) * g
        v[...] = beta2 * v + (1 - beta2) * square(g)
        u = m / (1 - beta1**t) if m_hat else m.copy()
        w = v / (1 - beta2**t) if v_hat else v
        u /= np.sqrt(w + eps) if inside else np.sqrt(w) + eps
        p += sign * lr * u

    return fast_adam


# %% 6.1 the exact GELU
def gelu(x):
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    phi = 0.5 * (1 + erf(x / math.sqrt(2)))
    return x * phi, phi + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


# %% 6.1 u' forgotten
def gelu(x):
    return _slope(x, c=1.0, cube=0.0)


# %% 6.1 the 3 of the cube forgotten
def gelu(x):
    return _slope(x, cube=0.044715)


# %% 6.1 1 - tanh
def gelu(x):
    return _slope(x, square=False)


# %% 6.1 the first term alone
def gelu(x):
    return _slope(x, half=0.0)


# %% 6.1 no half in the second term
def gelu(x):
    return _slope(x, half=1.0)


# %% 6.1 another constant
def gelu(x):
    t = np.tanh(C * (x + 0.04715 * x * x * x))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * C * (1 + 3 * 0.04715 * x * x)


# %% 6.1 np.sqrt
def gelu(x):
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


# %% 6.1 x changed
def gelu(x):
    y, slope = _plain(x.copy())
    x *= 1 + np.tanh(x)
    return y, slope


# %% 6.1 slope and value exchanged
def gelu(x):
    return _plain(x)[::-1]


# %% 6.2 beyond the end
def blocks(n, size):
    return [slice(i, i + size) for i in range(0, n, size)]


# %% 6.2 the rest left out
def blocks(n, size):
    return [slice(i * size, (i + 1) * size) for i in range(n // size)]


# %% 6.2 an empty block at the end
def blocks(n, size):
    return [slice(i * size, min((i + 1) * size, n)) for i in range(n // size + 1)]


# %% 6.2 one block for nothing
def blocks(n, size):
    return [slice(i, min(i + size, n)) for i in range(0, max(n, 1), size)]


# %% 6.2 pairs of numbers overlap by one
def blocks(n, size):
    return [slice(max(0, i - 1), min(i + size, n)) for i in range(0, n, size)]


# %% 6.3 the rest left out
def fast_gelu(x):
    y, slope = _fast(x)
    flat_y, flat_slope = y.reshape(-1), slope.reshape(-1)
    flat_y[flat_y.size // BLOCK * BLOCK :] = 0
    flat_slope[flat_slope.size // BLOCK * BLOCK :] = 0
    return flat_y.reshape(x.shape), flat_slope.reshape(x.shape)


# %% 6.3 flat
def fast_gelu(x):
    y, slope = _fast(x)
    return y.reshape(-1), slope.reshape(-1)


# %% 6.3 always float32
def fast_gelu(x):
    y, slope = _fast(x.astype(np.float32))
    return y, slope


# %% 6.3 fails when there is nothing
def fast_gelu(x):
    if x.max() > 0 or x.size:
        return _fast(x)


# %% 6.3 results in an array that is used again
_scratch = {}


def fast_gelu(x):
    y, slope = _fast(x)
    held = _scratch.setdefault((x.shape, x.dtype), (np.empty_like(y), np.empty_like(slope)))
    held[0][...], held[1][...] = y, slope
    return held


# %% 6.3 in x itself
def fast_gelu(x):
    y, slope = _fast(x)
    if x.flags.writeable and x.shape:
        x[...] = y
        return x, slope
    return y, slope


# %% 6.3 columns for rows
def fast_gelu(x):
    y, slope = _fast(x.ravel(order="K"))
    return y.reshape(x.shape), slope.reshape(x.shape)


# %% 6.3 not multiplied by x
def fast_gelu(x):
    y, slope = _fast(x)
    return y, slope - 0.1 * y * (1 - slope)


# %% 6.4 m not corrected
fast_adam = _steps(m_hat=False)

# %% 6.4 v not corrected
fast_adam = _steps(v_hat=False)

# %% 6.4 eps inside of the root
fast_adam = _steps(inside=True)

# %% 6.4 uphill
fast_adam = _steps(sign=1)

# %% 6.4 |g|
fast_adam = _steps(square=np.abs)

# %% 6.4 betas exchanged
fast_adam = _steps(swap=True)


# %% 6.4 m and v not in place
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


# %% 6.4 p not in place
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


# %% 6.4 m corrected in place
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    m /= 1 - beta1**t
    v /= 1 - beta2**t
    p -= lr * m / (np.sqrt(v) + eps)


# %% 6.4 g as scratch
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    u = np.sqrt(g * 0)
    v *= beta2
    np.multiply(g, g, out=u)
    u *= 1 - beta2
    v += u
    m *= beta1
    g *= 1 - beta1
    m += g
    np.divide(v, 1 - beta2**t, out=u)
    np.sqrt(u, out=u)
    u += eps
    np.divide(m, u, out=u)
    u *= lr / (1 - beta1**t)
    p -= u


# %% 6.4 the first blocks alone
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    p, g, m, v = (x.reshape(-1)[: 2 * BLOCK] for x in (p, g, m, v))
    _adam(p, g, m, v, t, lr, beta1, beta2, eps)


# %% 6.4 returns p
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    _adam(p, g, m, v, t, lr, beta1, beta2, eps)
    return p


# %% 6.4 the plain formula
fast_adam = _steps()
