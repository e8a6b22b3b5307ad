"""All rows at once by ranks of random keys; log-sum-exp; matrix products on flattened rows."""

import numpy as np


def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    n = maskable.sum(1)
    wanted = np.where(n > 0, np.maximum(1, np.rint(n * probability)), 0)
    keys = np.where(maskable, rng.random(ids.shape), 2.0)
    chosen = (keys.argsort(1).argsort(1) < wanted[:, None]) & maskable
    u = rng.random(ids.shape)
    masked = np.where(chosen & (u < 0.8), mask_id, ids)
    masked = np.where(chosen & (u > 0.9), rng.integers(vocab_size, size=ids.shape), masked)
    return masked, np.where(chosen, ids, -100)


def padding_mask(attention_mask, dtype=np.float32):
    seen = np.asarray(attention_mask).astype(dtype)
    return ((1 - seen) * np.finfo(dtype).min).reshape(len(seen), 1, 1, -1)


def mlm_loss(logits, labels, ignored=-100):
    flat, t = logits.reshape(-1, logits.shape[-1]), labels.ravel()
    places = [i for i in range(len(t)) if t[i] != ignored]
    total = 0.0
    for i in places:
        peak = flat[i].max()
        total += peak + np.log(np.exp(flat[i] - peak).sum()) - flat[i, t[i]]
    count = max(len(places), 1)

    def pullback(g):
        dx = np.zeros(flat.shape, flat.dtype)
        for i in places:
            e = np.exp(flat[i] - flat[i].max())
            dx[i] = e / e.sum()
            dx[i, t[i]] -= 1
        return (dx * (g / count)).reshape(logits.shape)

    return total / count, pullback


def mlm_head(hidden, embeddings, bias):
    H, V = hidden.shape[-1], len(bias)

    def pullback(g):
        G, X = g.reshape(-1, V), hidden.reshape(-1, H)
        return (G @ embeddings).reshape(hidden.shape), (X.T @ G).T, np.ones(len(G), g.dtype) @ G

    return np.matmul(hidden, embeddings.T) + bias, pullback


def floors(counts):
    p = np.asarray(counts, float) / np.sum(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(p.size), -np.nansum(p * np.log(p))
