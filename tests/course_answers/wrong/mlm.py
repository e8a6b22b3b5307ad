"""Wrong answers to assignment 'mlm' that are easily overlooked, a cell each; every one must cost points."""
# ruff: noqa

import math
import numpy as np


def _mask(ids, maskable, mask_id, vocab_size, rng, k, what):
    masked, labels = ids.copy(), np.full(ids.shape, -100, ids.dtype)
    for r in range(len(ids)):
        places = np.flatnonzero(maskable[r])
        n = k(len(places))
        for c in rng.choice(places, n, replace=False) if n else ():
            labels[r, c] = ids[r, c]
            masked[r, c] = what(ids[r, c], mask_id, vocab_size, rng)
    return masked, labels


def _w(i, m, v, rng):
    u = rng.random()
    return m if u < 0.8 else rng.integers(v) if u < 0.9 else i


def _k(p):
    return lambda n: max(1, round(n * p)) if n else 0


def _loss(logits, labels, ignored, stable=True, mean="asked", gmask=True, keep=None):
    V = logits.shape[-1]
    x = logits.reshape(-1, V)
    t = labels.reshape(-1)
    asked = t != ignored if keep is None else keep(t)
    z = x - x.max(1, keepdims=True) if stable else x
    e = np.exp(z)
    p = e / e.sum(1, keepdims=True)
    n = max(1, asked.sum()) if mean == "asked" else len(t) if mean == "all" else 1
    tt = np.where(asked, t, 0)
    r = np.arange(len(t))
    loss = -(np.log(p[r, tt]) * asked).sum() / n

    def pb(g):
        d = p.copy()
        d[r, tt] -= 1
        if gmask:
            d *= asked[:, None]
        return (d * (g / n)).astype(logits.dtype).reshape(logits.shape)

    return loss, pb


def _right(logits, labels, ignored=-100):
    V = logits.shape[-1]
    x, t = logits.reshape(-1, V), labels.reshape(-1)
    a = np.flatnonzero(t != ignored)
    n = max(1, len(a))
    r = np.arange(len(a))
    z = x[a] - x[a].max(1, keepdims=True)
    lp = z - np.log(np.exp(z).sum(1, keepdims=True))

    def grad(g):
        p = np.exp(lp)
        p[r, t[a]] -= 1
        d = np.zeros_like(x)
        d[a] = p * (g / n)
        return d.reshape(logits.shape)

    return -lp[r, t[a]].sum() / n, grad


# %% 5.1 exact counts
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = ids.copy(), np.full(ids.shape, -100, ids.dtype)
    for r in range(len(ids)):
        places = np.flatnonzero(maskable[r])
        n = _k(probability)(len(places))
        ch = rng.choice(places, n, replace=False) if n else []
        for j, c in enumerate(ch):
            labels[r, c] = ids[r, c]
            if j < round(0.8 * n):
                masked[r, c] = mask_id
            elif j < round(0.9 * n):
                masked[r, c] = rng.integers(vocab_size)
    return masked, labels


# %% 5.1 cyclic span
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = ids.copy(), np.full(ids.shape, -100, ids.dtype)
    for r in range(len(ids)):
        places = np.flatnonzero(maskable[r])
        n = _k(probability)(len(places))
        s = rng.integers(len(places)) if n else 0
        for c in np.roll(places, s)[:n]:
            labels[r, c] = ids[r, c]
            masked[r, c] = _w(ids[r, c], mask_id, vocab_size, rng)
    return masked, labels


# %% 5.1 random token one per row
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = ids.copy(), np.full(ids.shape, -100, ids.dtype)
    for r in range(len(ids)):
        places = np.flatnonzero(maskable[r])
        n = _k(probability)(len(places))
        tok = rng.integers(vocab_size)
        for c in rng.choice(places, n, replace=False) if n else ():
            labels[r, c] = ids[r, c]
            u = rng.random()
            if u < 0.8:
                masked[r, c] = mask_id
            elif u < 0.9:
                masked[r, c] = tok
    return masked, labels


# %% 5.1 special masked
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    return _mask(ids, np.ones_like(maskable), mask_id, vocab_size, rng, _k(probability), _w)


# %% 5.1 shares of a share
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    return _mask(
        ids,
        maskable,
        mask_id,
        vocab_size,
        rng,
        _k(probability),
        lambda i, m, v, r: m if r.random() < 0.8 else r.integers(v) if r.random() < 0.1 else i,
    )


# %% 5.1 labels only where changed
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    m, l = _mask(ids, maskable, mask_id, vocab_size, rng, _k(probability), _w)
    return m, np.where(m != ids, l, -100)


# %% 5.2 -10000 of old BERT
def padding_mask(attention_mask, dtype=np.float32):
    return ((1 - attention_mask[:, None, None, :]) * -10000.0).astype(dtype)


# %% 5.3 mean over all
def mlm_loss(logits, labels, ignored=-100):
    return _loss(logits, labels, ignored, mean="all")


# %% 5.3 labels >= 0
def mlm_loss(logits, labels, ignored=-100):
    return _loss(logits, labels, ignored, keep=lambda t: t >= 0)


# %% 5.3 the logarithm of softmax plus a little
def mlm_loss(logits, labels, ignored=-100):
    V = logits.shape[-1]
    x = logits.reshape(-1, V)
    t = labels.reshape(-1)
    a = np.flatnonzero(t != ignored)
    e = np.exp(x[a] - x[a].max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    n = max(1, len(a))
    r = np.arange(len(a))

    def pb(g):
        d = np.zeros_like(x)
        q = p.copy()
        q[r, t[a]] -= 1
        d[a] = q * (g / n)
        return d.reshape(logits.shape)

    return -np.log(p[r, t[a]] + 1e-12).sum() / n, pb


# %% 5.3 per sequence mean
def mlm_loss(logits, labels, ignored=-100):
    if logits.ndim < 3:
        return _right(logits, labels, ignored)
    parts = [_right(a, b, ignored) for a, b in zip(logits, labels)]
    k = len(parts)
    return sum(p[0] for p in parts) / k, lambda g: np.stack([p[1](g / k) for p in parts])


# %% 5.4 accumulates dE
def mlm_head(hidden, embeddings, bias):
    dE = np.zeros_like(embeddings)

    def pb(g):
        nonlocal dE
        G, Hh = g.reshape(-1, g.shape[-1]), hidden.reshape(-1, hidden.shape[-1])
        dE += G.T @ Hh
        return g @ embeddings, dE, G.sum(0)

    return hidden @ embeddings.T + bias, pb


# %% 5.5 zero words out of V
def floors(counts):
    c = np.asarray(counts)
    c = c[c > 0]
    p = c / c.sum()
    return math.log(len(c)), float(-(p * np.log(p)).sum())
