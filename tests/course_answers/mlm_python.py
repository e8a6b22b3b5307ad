"""Plain Python where it can be; the generator used in another order."""

import math

import numpy as np


def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = ids.tolist(), [[-100] * ids.shape[1] for _ in ids]
    for r in range(ids.shape[0]):
        places = [c for c in range(ids.shape[1]) if maskable[r, c]]
        if not places:
            continue
        rng.shuffle(places)
        for c in places[: max(1, round(probability * len(places)))]:
            labels[r][c] = int(ids[r, c])
            fate = int(rng.integers(10))
            if fate >= 2:
                masked[r][c] = mask_id
            elif fate == 1:
                masked[r][c] = int(rng.integers(0, vocab_size))
    return np.array(masked, dtype=ids.dtype), np.array(labels, dtype=ids.dtype)


def padding_mask(attention_mask, dtype=np.float32):
    rows = [[[[0.0 if seen else -1e30 for seen in row]]] for row in np.asarray(attention_mask).tolist()]
    return np.array(rows, dtype=dtype)


def mlm_loss(logits, labels, ignored=-100):
    keep = labels != ignored
    x, t = logits[keep], labels[keep]
    if not len(t):
        return 0.0, lambda g: logits * 0
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    picked = x - x.max(1, keepdims=True) - np.log(e.sum(1, keepdims=True))
    loss = -np.take_along_axis(picked, t[:, None], 1).mean()

    def pullback(g):
        dx = np.zeros_like(logits)
        dx[keep] = (p - np.eye(x.shape[1], dtype=x.dtype)[t]) * g / len(t)
        return dx

    return loss, pullback


def mlm_head(hidden, embeddings, bias):
    def pullback(g):
        dh = g @ embeddings
        dE = np.tensordot(g, hidden, axes=(tuple(range(g.ndim - 1)), tuple(range(g.ndim - 1))))
        return dh, dE, g.sum(axis=tuple(range(g.ndim - 1)))

    return hidden @ embeddings.swapaxes(0, 1) + bias, pullback


def floors(counts):
    values = [int(c) for c in counts]
    n = sum(values)
    return math.log(len(values)), math.log(n) - sum(c * math.log(c) for c in values if c > 0) / n
