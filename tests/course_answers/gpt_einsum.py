"""einsum, a mask that is added, a cache with room to spare, sorting with argsort, beams as a heap of tuples."""

import heapq

import numpy as np


def causal_attention(q, k, v, tokens=None):
    L, S, d = q.shape[2], k.shape[2], q.shape[3]
    hidden = np.triu(np.ones((L, S), bool), S - L + 1)[None, None]
    if tokens is not None:
        hidden = hidden | (np.asarray(tokens) == 0)[:, None, None, :]
    scores = np.einsum("bald,basd->bals", q, k) / float(np.sqrt(d))
    scores = np.where(hidden, q.dtype.type(-1e30), scores)
    nothing = np.broadcast_to(hidden, scores.shape).all(-1, keepdims=True)
    w = np.exp(scores - scores.max(-1, keepdims=True))
    w = w / w.sum(-1, keepdims=True)
    w = np.where(nothing, 0, w).astype(q.dtype)

    def pullback(g):
        dw = np.einsum("bale,base->bals", g, v)
        ds = w * (dw - np.einsum("bals,bals->bal", w, dw)[..., None]) / float(np.sqrt(d))
        return np.einsum("bals,basd->bald", ds, k), np.einsum("bals,bald->basd", ds, q), np.einsum("bals,bale->base", w, g)

    return np.einsum("bals,base->bale", w, v), pullback


def positions(tokens, L):
    seen = np.asarray(tokens, dtype=np.int64)
    return (seen.cumsum(axis=-1) - seen)[:, seen.shape[1] - L :]


class Cache:
    def __init__(self):
        self.n = 0
        self.room = None

    def __len__(self):
        return self.n

    def update(self, k, v):
        end = self.n + k.shape[2]
        if self.room is None or end > self.room[0].shape[2]:
            room = tuple(np.zeros((x.shape[0], x.shape[1], 2 * end, x.shape[3]), x.dtype) for x in (k, v))
            for new, old in zip(room, self.room or ()):
                new[:, :, : self.n] = old[:, :, : self.n]
            self.room = room
        for kept, new in zip(self.room, (k, v)):
            kept[:, :, self.n : end] = new
        self.n = end
        return self.room[0][:, :, :end], self.room[1][:, :, :end]

    def reorder(self, rows):
        self.room = tuple(x.take(rows, axis=0) for x in self.room)


def top_k(logits, k):
    if not 0 < k < logits.shape[-1]:
        return logits.copy()
    edge = -np.partition(-logits, k - 1, axis=-1)[..., k - 1 : k]
    out = logits.copy()
    out[logits < edge] = -np.inf
    return out


def top_p(logits, p):
    if p == 1:
        return logits
    V = logits.shape[-1]
    out = []
    for row in logits.reshape(-1, V):
        ids = np.lexsort((np.arange(V), row))[::-1]
        prob = np.exp(row[ids].astype(np.float64) - row.max())
        total = np.cumsum(prob / prob.sum())
        n = min(V, 1 + int(np.searchsorted(total, p, side="left")))
        kept = np.full(V, -np.inf)
        kept[ids[:n]] = row[ids[:n]]
        out.append(kept)
    return np.array(out, logits.dtype).reshape(logits.shape)


def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    running, done = [((), 0.0)], []
    for n in range(1, most + 1):
        rows = log_p([list(text) for text, _ in running])
        every = ((-(total + x), i, t) for i, (_, total) in enumerate(running) for t, x in enumerate(np.asarray(rows)[i].tolist()))
        best = heapq.nsmallest(2 * k, (c for c in every if c[0] < float("inf")))
        following = []
        for place, (minus, i, t) in enumerate(best):
            text = (*running[i][0], t)
            if (end is not None and t == end) or n == most:
                if place < k:
                    done.append((-minus * n**-length_penalty, list(text)))
            else:
                following.append((text, -minus))
        done.sort(key=lambda found: found[0], reverse=True)
        del done[k:]
        running = following[:k]
        if len(done) == k or not running:
            break
    return done
