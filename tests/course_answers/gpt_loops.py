"""One query, one row, one candidate at a time; the cache as a list of parts."""

import math

import numpy as np


def seen_by(i, L, S, tokens):
    keys = np.arange(S - L + i + 1)
    return keys if tokens is None else keys[np.asarray(tokens)[keys].astype(bool)]


def causal_attention(q, k, v, tokens=None):
    B, A, L, d = q.shape
    S = k.shape[2]
    y = np.zeros((B, A, L, v.shape[-1]), q.dtype)
    kept = {}
    for b in range(B):
        for i in range(L):
            keys = seen_by(i, L, S, None if tokens is None else tokens[b])
            if len(keys) == 0:
                continue
            for a in range(A):
                s = k[b, a, keys] @ q[b, a, i] / math.sqrt(d)
                s = np.exp(s - s.max())
                kept[b, a, i] = keys, s / s.sum()
                y[b, a, i] = kept[b, a, i][1] @ v[b, a, keys]

    def pullback(g):
        dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
        for (b, a, i), (keys, w) in kept.items():
            dw = v[b, a, keys] @ g[b, a, i]
            ds = w * (dw - w @ dw) / math.sqrt(d)
            dq[b, a, i] = ds @ k[b, a, keys]
            dk[b, a, keys] += ds[:, None] * q[b, a, i]
            dv[b, a, keys] += w[:, None] * g[b, a, i]
        return dq, dk, dv

    return y, pullback


def positions(tokens, L):
    out = []
    for row in np.asarray(tokens).tolist():
        here, n = [], 0
        for token in row:
            here.append(n)
            n += bool(token)
        out.append(here[len(here) - L :])
    return np.array(out)


class Cache:
    def __init__(self):
        self.parts = []

    def __len__(self):
        return sum(k.shape[2] for k, _ in self.parts)

    def update(self, k, v):
        self.parts.append((k.copy(), v.copy()))
        return tuple(np.concatenate([part[j] for part in self.parts], 2) for j in (0, 1))

    def reorder(self, rows):
        self.parts = [tuple(np.stack([x[row] for row in rows]) for x in part) for part in self.parts]


def top_k(logits, k):
    def one(row):
        if k == 0 or k >= len(row):
            return row
        edge = sorted(row)[-k]
        return np.array([x if x >= edge else -math.inf for x in row], row.dtype)

    return np.apply_along_axis(one, -1, logits)


def top_p(logits, p):
    def one(row):
        e = [math.exp(x - max(row)) for x in row.tolist()]
        ids = sorted(range(len(row)), key=lambda i: (row[i], i))
        kept, total = np.full_like(row, -np.inf), 0.0
        while ids:
            i = ids.pop()
            kept[i] = row[i]
            total += e[i] / math.fsum(e)
            if total >= p and p < 1:
                break
        return kept

    return np.apply_along_axis(one, -1, logits)


class Text:
    def __init__(self, tokens, total):
        self.tokens, self.total = tokens, total


def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    running, finished = [Text([], 0.0)], []
    while len(running) > 0 and len(finished) < k:
        rows = log_p([text.tokens for text in running])
        candidates = []
        for text, row in zip(running, rows):
            for token in range(len(row)):
                if not math.isinf(row[token]):
                    candidates.append(Text([*text.tokens, token], text.total + float(row[token])))
        candidates.sort(key=lambda text: -text.total)
        running = []
        for place, text in enumerate(candidates[: 2 * k]):
            if text.tokens[-1] == end or len(text.tokens) == most:
                if place < k:
                    finished.append((text.total / math.pow(len(text.tokens), length_penalty), text.tokens))
            elif len(running) < k:
                running.append(text)
        finished = sorted(finished, key=lambda f: f[0], reverse=True)[:k]
    return finished
