"""Softmax apart, masks with -inf, float64 within; the cache as one array of keys and values; a search by recursion."""

import numpy as np


def softmax(x):
    top = x.max(-1, keepdims=True)
    e = np.exp(x - np.where(np.isfinite(top), top, 0))
    total = e.sum(-1, keepdims=True)
    return np.divide(e, total, out=np.zeros_like(e), where=total > 0)


def causal_attention(q, k, v, tokens=None):
    dtype = q.dtype
    Q, K, V = (x.astype(np.float64) for x in (q, k, v))
    place = np.arange(K.shape[2])
    bias = np.where(place[None, :] > place[-Q.shape[2] :, None], -np.inf, 0.0)[None, None]
    if tokens is not None:
        bias = np.minimum(bias, np.where(np.asarray(tokens), 0.0, -np.inf)[:, None, None])
    r = Q.shape[-1] ** -0.5
    W = softmax(Q @ K.transpose(0, 1, 3, 2) * r + bias)

    def pullback(g):
        G = g.astype(np.float64)
        dW = G @ V.transpose(0, 1, 3, 2)
        dS = W * dW - W * (W * dW).sum(-1, keepdims=True)
        return (
            (dS @ K * r).astype(dtype),
            (dS.transpose(0, 1, 3, 2) @ Q * r).astype(dtype),
            (W.transpose(0, 1, 3, 2) @ G).astype(dtype),
        )

    return (W @ V).astype(dtype), pullback


def positions(tokens, L):
    real = np.asarray(tokens).astype(int)
    S = real.shape[1]
    earlier = np.tri(S, S, -1, dtype=int)
    return (real @ earlier.T)[:, S - L :]


class Cache:
    def __init__(self):
        self.kept, self.d = None, 0

    def __len__(self):
        return self.kept.shape[2] if self.kept is not None else 0

    def update(self, k, v):
        self.d = k.shape[-1]
        new = np.concatenate([k, v], axis=-1)
        self.kept = new if self.kept is None else np.append(self.kept, new, axis=2)
        return np.split(self.kept, [self.d], axis=-1)

    def reorder(self, rows):
        self.kept = self.kept[np.array(rows, dtype=int)]


def top_k(logits, k):
    if k == 0:
        return logits
    larger = (logits[..., None, :] > logits[..., :, None]).sum(-1)
    return np.where(larger < k, logits, -np.inf).astype(logits.dtype)


def top_p(logits, p):
    if p >= 1:
        return logits
    P = softmax(logits.astype(np.float64))
    ids = np.arange(P.shape[-1])
    first = (logits[..., None, :] > logits[..., :, None]) | (
        (logits[..., None, :] == logits[..., :, None]) & (ids[None, :] > ids[:, None])
    )
    before = (first * P[..., None, :]).sum(-1)
    return np.where((before < p - 1e-15) | ~first.any(-1), logits, -np.inf).astype(logits.dtype)


def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    def rounds(texts, sums, finished):
        if not texts or len(finished) == k:
            return finished
        total = np.add(log_p(texts), np.reshape(sums, (-1, 1)))
        order = sorted(np.ndindex(total.shape), key=lambda at: -total[at])[: 2 * k]
        order = [at for at in order if np.isfinite(total[at])]
        grown = [(float(total[row, token]), texts[row] + [token]) for row, token in order]
        over = [token == end or len(text) == most for (_, token), (_, text) in zip(order, grown)]
        ended = [(s / len(text) ** length_penalty, text) for (s, text), o in list(zip(grown, over))[:k] if o]
        kept = [found for found, o in zip(grown, over) if not o][:k]
        best = sorted(finished + ended, key=lambda found: -found[0])[:k]
        return rounds([text for _, text in kept], [s for s, _ in kept], best)

    return rounds([[]], [0.0], [])
