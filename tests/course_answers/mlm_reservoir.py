"""Reservoir sampling, log-sum-exp, a gradient that is made at once."""

import math

import numpy as np


def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = ids.copy(), np.full(ids.shape, -100, dtype=ids.dtype)
    for r in range(len(ids)):
        left = int(maskable[r].sum())
        need = max(1, round(left * probability)) if left else 0
        for c in range(ids.shape[1]):
            if not maskable[r, c]:
                continue
            if rng.random() * left < need:
                need -= 1
                labels[r, c] = ids[r, c]
                u = rng.integers(10)
                if u < 8:
                    masked[r, c] = mask_id
                elif u == 8:
                    masked[r, c] = rng.integers(0, vocab_size)
            left -= 1
    return masked, labels


def padding_mask(attention_mask, dtype=np.float32):
    low = np.finfo(dtype).min / 2
    return np.expand_dims((1.0 - attention_mask.astype(dtype)) * low, (1, 2)).astype(dtype)


def mlm_loss(logits, labels, ignored=-100):
    where = np.nonzero(labels != ignored)
    k = len(where[0])
    d = np.zeros(logits.shape, logits.dtype)
    if not k:
        return np.float64(0), lambda g: d * g
    rows = logits[where]
    t = labels[where]
    lse = np.logaddexp.reduce(rows, axis=-1)
    p = np.exp(rows - lse[:, None])
    p[np.arange(k), t] -= 1
    d[where] = p
    return np.mean(lse - rows[np.arange(k), t]), lambda g: d * (g / k)


def mlm_head(hidden, embeddings, bias):
    y = np.tensordot(hidden, embeddings, axes=(-1, -1))
    y += bias

    def pb(g):
        ax = tuple(range(g.ndim - 1))
        return np.dot(g, embeddings), np.tensordot(g, hidden, axes=(ax, ax)), np.sum(g, axis=ax)

    return y, pb


def floors(counts):
    total = sum(int(c) for c in counts)
    return math.log(len(counts)), sum(c / total * math.log(total / c) for c in map(int, counts) if c)
