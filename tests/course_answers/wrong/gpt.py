"""Wrong answers to assignment 'gpt' that learners write, a cell each; every one must cost points."""
# ruff: noqa

import numpy as np

_attention, _positions, _top_k, _top_p, _beams = causal_attention, positions, top_k, top_p, beam_search


def _softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _sees(q, k, tokens, first=None, less=False):
    L, S = q.shape[2], k.shape[2]
    first = S - L if first is None else first
    place = np.arange(first, first + L)[:, None]
    sees = place > np.arange(S) if less else place >= np.arange(S)
    return sees if tokens is None else sees & (np.asarray(tokens) != 0)[:, None, None]


def _attend(q, k, v, sees, scale=None, dscale=None, hide=None, jacobian=None, zero=True):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    dscale = scale if dscale is None else dscale
    scores = q @ k.swapaxes(-1, -2) * scale
    scores = np.where(sees, scores, np.finfo(q.dtype).min) if hide is None else hide(scores, sees)
    w = _softmax(scores)
    w = w * sees if zero else w

    def pullback(g):
        dw = g @ v.swapaxes(-1, -2)
        ds = (w * (dw - (dw * w).sum(-1, keepdims=True)) if jacobian is None else jacobian(w, dw)) * dscale
        return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ g

    return w @ v, pullback


def _nucleus(logits, p, keep, larger_first=True, prob=None):
    if p >= 1:
        return logits
    order = np.argsort(logits, axis=-1, kind="stable")[..., ::-1] if larger_first else np.argsort(-logits, axis=-1, kind="stable")
    x = np.take_along_axis(logits, order, -1)
    q = _softmax(x) if prob is None else prob(x)
    kept = keep(q, np.cumsum(q, -1), p)
    out = logits.copy()
    np.put_along_axis(out, order, np.where(kept, x, -np.inf), -1)
    return out


def _first(kept):
    kept[..., 0] = True
    return kept


def _search(
    log_p, k, most, end, penalty, *, score=None, width=2, place_matters=True, stop=None, sort=True, cut=True, at_most=True
):
    score = score or (lambda total, tokens: total / len(tokens) ** penalty)
    running, finished = [(0.0, [])], []
    while running and not (stop(finished, running) if stop else len(finished) >= k):
        rows = np.asarray(log_p([tokens for _, tokens in running]))
        sums = np.array([total for total, _ in running])[:, None] + rows
        found, texts = [], [tokens for _, tokens in running]
        for place, at in enumerate(np.argsort(-sums, axis=None, kind="stable")[: width * k]):
            row, token = divmod(int(at), sums.shape[1])
            total, tokens = float(sums[row, token]), [*texts[row], token]
            if total == -np.inf:
                continue
            if token != end and len(tokens) < most:
                found.append((total, tokens))
            elif (place < k or not place_matters) and (token == end or at_most):
                finished.append((score(total, tokens), tokens))
        if sort:
            finished.sort(key=lambda text: -text[0])
        if cut:
            finished = finished[:k]
        running = found[:k]
    return finished


# %% 8.1 no mask at all
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, np.ones((q.shape[2], k.shape[2]), bool))


# %% 8.1 looks ahead in place of back
def causal_attention(q, k, v, tokens=None):
    L, S = q.shape[2], k.shape[2]
    return _attend(q, k, v, np.arange(S - L, S)[:, None] <= np.arange(S))


# %% 8.1 a token does not see itself
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens, less=True))


# %% 8.1 new tokens counted from 0
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens, first=0))


# %% 8.1 tril of a square, cut at the wrong side
def causal_attention(q, k, v, tokens=None):
    S = k.shape[2]
    return _attend(
        q, k, v, np.tri(S, dtype=bool)[: q.shape[2]] & (True if tokens is None else (np.asarray(tokens) != 0)[:, None, None])
    )


# %% 8.1 padding is seen
def causal_attention(q, k, v, tokens=None):
    return _attention(q, k, v)


# %% 8.1 padding hides queries and not keys
def causal_attention(q, k, v, tokens=None):
    sees = _sees(q, k, None)
    if tokens is not None:
        sees = sees & (np.asarray(tokens)[:, None, -q.shape[2] :, None] != 0)
    return _attend(q, k, v, sees)


# %% 8.1 padding hides queries, too
def causal_attention(q, k, v, tokens=None):
    y, pb = _attention(q, k, v, tokens)
    if tokens is None:
        return y, pb
    keep = (np.asarray(tokens)[:, None, -q.shape[2] :, None] != 0).astype(q.dtype)
    return y * keep, lambda g: pb(g * keep)


# %% 8.1 NaN where nothing is seen
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), hide=lambda s, sees: np.where(sees, s, -np.inf), zero=False)


# %% 8.1 the mean of all where nothing is seen
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), zero=False)


# %% 8.1 weights hidden after the softmax
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), hide=lambda s, sees: s)


# %% 8.1 a mask of -100
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), hide=lambda s, sees: s - 100 * ~sees, zero=False)


# %% 8.1 hidden scores are 0
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), hide=lambda s, sees: s * sees, zero=False)


# %% 8.1 a softmax that overflows
def causal_attention(q, k, v, tokens=None):
    sees = _sees(q, k, tokens)
    e = np.exp(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5) * sees
    total = e.sum(-1, keepdims=True)
    w = e / np.where(total == 0, 1, total)
    return w @ v, _attention(q, k, v, tokens)[1]


# %% 8.1 no scale
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), scale=1.0)


# %% 8.1 1/d
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), scale=1 / q.shape[-1])


# %% 8.1 the scale of the values
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), scale=v.shape[-1] ** -0.5)


# %% 8.1 no scale on the way back
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), dscale=1.0)


# %% 8.1 the scale twice on the way back
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), dscale=1 / q.shape[-1])


# %% 8.1 softmax as if each weight depended on its own score alone
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), jacobian=lambda w, dw: w * (1 - w) * dw)


# %% 8.1 softmax without its sum
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), jacobian=lambda w, dw: w * dw)


# %% 8.1 a NumPy number as scale
def causal_attention(q, k, v, tokens=None):
    return _attend(q, k, v, _sees(q, k, tokens), scale=1 / np.sqrt(q.shape[-1]))


# %% 8.1 a float64 mask
def causal_attention(q, k, v, tokens=None):
    bias = lambda s, sees: s + np.where(sees, np.float64(0), -1e30)
    return _attend(q, k, v, _sees(q, k, tokens), hide=bias)


# %% 8.1 float64 on the way back
def causal_attention(q, k, v, tokens=None):
    y, pb = _attention(q, k, v, tokens)
    return y, lambda g: tuple(np.asarray(x, np.float64) for x in pb(g))


# %% 8.1 what the pullback needs in a variable of the module
def causal_attention(q, k, v, tokens=None):
    global _kept
    y, _kept = _attention(q, k, v, tokens)
    return y, lambda g: _kept(g)


# %% 8.1 a pullback for one use
def causal_attention(q, k, v, tokens=None):
    y, pb = _attention(q, k, v, tokens)
    once = [pb]
    return y, lambda g: once.pop()(g)


# %% 8.1 scales q in place
def causal_attention(q, k, v, tokens=None):
    q *= q.shape[-1] ** -0.5
    return _attend(q, k, v, _sees(q, k, tokens), scale=1.0)


# %% 8.1 dk and dv exchanged
def causal_attention(q, k, v, tokens=None):
    y, pb = _attention(q, k, v, tokens)

    def pullback(g):
        dq, dk, dv = pb(g)
        return dq, dv, dk

    return y, pullback


# %% 8.2 positions count padding
def positions(tokens, L):
    S = tokens.shape[1]
    return np.broadcast_to(np.arange(S - L, S), (len(tokens), L))


# %% 8.2 positions from 0 in each call
def positions(tokens, L):
    return _positions(tokens[:, -L:], L)


# %% 8.2 positions from 1
def positions(tokens, L):
    return np.cumsum(tokens != 0, axis=1)[:, -L:]


# %% 8.2 positions of -1 at padding
def positions(tokens, L):
    return (np.cumsum(tokens != 0, axis=1) - 1)[:, -L:]


# %% 8.2 positions by the number of padding in front
def positions(tokens, L):
    S = tokens.shape[1]
    front = (np.asarray(tokens) == 0).sum(1, keepdims=True)
    return np.maximum(np.arange(S) - front, 0)[:, -L:]


# %% 8.2 positions as floats
def positions(tokens, L):
    return _positions(tokens, L).astype(np.float32)


# %% 8.2 positions of the first tokens
def positions(tokens, L):
    return _positions(tokens, tokens.shape[1])[:, :L]


# %% 8.2 one store for all caches
class Cache:
    keys, values = [], []

    def __init__(self):
        pass

    def __len__(self):
        return sum(k.shape[2] for k in self.keys)

    def update(self, k, v):
        self.keys.append(k)
        self.values.append(v)
        return np.concatenate(self.keys, 2), np.concatenate(self.values, 2)

    def reorder(self, rows):
        self.keys[:] = [k[rows] for k in self.keys]
        self.values[:] = [v[rows] for v in self.values]


# %% 8.2 the new ones alone come back
class Cache(Cache):
    def update(self, k, v):
        super().update(k, v)
        return k, v


# %% 8.2 the new ones in front
class Cache(Cache):
    def update(self, k, v):
        if self.keys is None:
            self.keys, self.values = k, v
        else:
            self.keys, self.values = np.concatenate([k, self.keys], 2), np.concatenate([v, self.values], 2)
        return self.keys, self.values


# %% 8.2 keys and values exchanged
class Cache(Cache):
    def update(self, k, v):
        return super().update(k, v)[::-1]


# %% 8.2 the length counts calls
class Cache(Cache):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def update(self, k, v):
        self.calls += 1
        return super().update(k, v)

    def __len__(self):
        return self.calls


# %% 8.2 the length is the number of texts
class Cache(Cache):
    def __len__(self):
        return 0 if self.keys is None else len(self.keys)


# %% 8.2 reorder forgets the values
class Cache(Cache):
    def reorder(self, rows):
        self.keys = self.keys[rows]
        self.values = (
            self.values[list(range(len(rows)))]
            if len(rows) <= len(self.values)
            else np.resize(self.values, (len(rows), *self.values.shape[1:]))
        )


# %% 8.2 reorder keeps the order
class Cache(Cache):
    def reorder(self, rows):
        rows = sorted(rows)
        self.keys, self.values = self.keys[rows], self.values[rows]


# %% 8.2 reorder goes the other way
class Cache(Cache):
    def reorder(self, rows):
        back = np.argsort(rows, kind="stable")
        back = back if len(set(rows)) == len(self.keys) == len(rows) else rows
        self.keys, self.values = self.keys[back], self.values[back]


# %% 8.2 reorder text by text in place
class Cache(Cache):
    def reorder(self, rows):
        keys = np.resize(self.keys, (len(rows), *self.keys.shape[1:]))
        values = np.resize(self.values, (len(rows), *self.values.shape[1:]))
        for i, row in enumerate(rows):
            keys[i], values[i] = keys[row % len(keys)], values[row % len(keys)]
        self.keys, self.values = keys, values


# %% 8.2 reorder of the heads
class Cache(Cache):
    def reorder(self, rows):
        self.keys, self.values = (
            self.keys[:, [r % self.keys.shape[1] for r in rows]],
            self.values[:, [r % self.values.shape[1] for r in rows]],
        )


# %% 8.2 a store in float64
class Cache(Cache):
    def update(self, k, v):
        keys, values = super().update(k, v)
        return keys.astype(float), values.astype(float)


# %% 8.2 a room that is too small
class Cache:
    def __init__(self):
        self.n, self.k, self.v = 0, None, None

    def __len__(self):
        return self.n

    def update(self, k, v):
        if self.k is None:
            self.k = np.zeros((*k.shape[:2], 6, k.shape[3]), k.dtype)
            self.v = np.zeros((*v.shape[:2], 6, v.shape[3]), v.dtype)
        n = self.n
        self.k[:, :, n : n + k.shape[2]] = k[:, :, : max(0, 6 - n)]
        self.v[:, :, n : n + k.shape[2]] = v[:, :, : max(0, 6 - n)]
        self.n = min(6, n + k.shape[2])
        return self.k[:, :, : self.n], self.v[:, :, : self.n]

    def reorder(self, rows):
        self.k, self.v = self.k[rows], self.v[rows]


# %% 8.2 one token at a time
class Cache(Cache):
    def update(self, k, v):
        if self.keys is not None:
            k, v = k[:, :, -1:], v[:, :, -1:]
        return super().update(k, v)


# %% 8.2 values with the size of the keys
class Cache(Cache):
    def update(self, k, v):
        super().update(k, v)
        return self.keys, self.values[..., : self.keys.shape[-1]]


# %% 8.3 exactly k, whatever ties
def top_k(logits, k):
    V = logits.shape[-1]
    if k == 0 or k >= V:
        return logits
    order = np.argsort(-logits, axis=-1, kind="stable")[..., k:]
    out = logits.copy()
    np.put_along_axis(out, order, -np.inf, -1)
    return out


# %% 8.3 k different values
def top_k(logits, k):
    if k == 0 or k >= logits.shape[-1]:
        return logits
    out = np.full_like(logits, -np.inf)
    for at in np.ndindex(logits.shape[:-1]):
        kept = np.isin(logits[at], np.unique(logits[at])[-k:])
        out[at] = np.where(kept, logits[at], -np.inf)
    return out


# %% 8.3 k = 0 leaves nothing
def top_k(logits, k):
    return _top_k(logits, k) if k else np.full_like(logits, -np.inf)


# %% 8.3 k beyond the vocabulary is an error
def top_k(logits, k):
    if k == 0:
        return logits
    edge = np.partition(logits, -k, axis=-1)[..., -k, None]
    return np.where(logits < edge, -np.inf, logits)


# %% 8.3 k + 1
def top_k(logits, k):
    return _top_k(logits, k and k + 1)


# %% 8.3 the k smallest
def top_k(logits, k):
    return -_top_k(-logits, k)


# %% 8.3 larger than the last of the k
def top_k(logits, k):
    if k == 0 or k >= logits.shape[-1]:
        return logits
    edge = np.sort(logits, axis=-1)[..., -k, None]
    return np.where(logits <= edge, -np.inf, logits) if k > 1 else _top_k(logits, k)


# %% 8.3 zeros in place of -inf
def top_k(logits, k):
    out = _top_k(logits, k)
    return np.where(np.isinf(out), 0, out)


# %% 8.3 k over all rows
def top_k(logits, k):
    if k == 0 or k >= logits.shape[-1]:
        return logits
    return np.where(logits < np.sort(logits, axis=None)[-k], -np.inf, logits)


# %% 8.3 changes the logits
def top_k(logits, k):
    logits[...] = _top_k(logits, k)
    return logits


# %% 8.3 float64
def top_k(logits, k):
    return _top_k(logits.astype(float), k)


# %% 8.3 rows of a table alone
def top_k(logits, k):
    return (
        np.stack([_top_k(row, k) for row in logits])
        if logits.ndim == 2
        else _top_k(logits.reshape(1, -1), k).reshape(logits.shape)
    )


# %% 8.3 a sum below p
def top_p(logits, p):
    return _nucleus(logits, p, lambda q, c, p: _first(c <= p))


# %% 8.3 no token left
def top_p(logits, p):
    return _nucleus(logits, p, lambda q, c, p: c - q < p)


# %% 8.3 more than p
def top_p(logits, p):
    return _nucleus(logits, p, lambda q, c, p: _first(c - q <= p) if p else _first(c < 0))


# %% 8.3 the smaller ids first
def top_p(logits, p):
    return _nucleus(logits, p, lambda q, c, p: _first(c - q < p), larger_first=False)


# %% 8.3 all that tie with the last
def top_p(logits, p):
    out = _top_p(logits, p)
    edge = np.where(np.isfinite(out), out, np.inf).min(-1, keepdims=True)
    return np.where(logits < edge, -np.inf, logits)


# %% 8.3 each token with a probability of p or more
def top_p(logits, p):
    q = _softmax(logits)
    return np.where((q >= p) | (q == q.max(-1, keepdims=True)), logits, -np.inf).astype(logits.dtype)


# %% 8.3 logits added up in place of probabilities
def top_p(logits, p):
    return _nucleus(logits, p, lambda q, c, p: _first(c - q < p), prob=lambda x: np.where(np.isfinite(x), x, 0))


# %% 8.3 a softmax that overflows
def top_p(logits, p):
    return _nucleus(logits, p, lambda q, c, p: _first(c - q < p), prob=lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True))


# %% 8.3 decided in order and not put back
def top_p(logits, p):
    if p >= 1:
        return logits
    x = -np.sort(-logits, -1)
    q = _softmax(x)
    return np.where(_first(np.cumsum(q, -1) - q < p), logits, -np.inf).astype(logits.dtype)


# %% 8.3 the sorted logits come out
def top_p(logits, p):
    if p >= 1:
        return logits
    x = -np.sort(-logits, -1)
    q = _softmax(x)
    return np.where(_first(np.cumsum(q, -1) - q < p), x, -np.inf).astype(logits.dtype)


# %% 8.3 new logits for what stays
def top_p(logits, p):
    out = _top_p(logits, p)
    with np.errstate(divide="ignore"):
        return np.log(_softmax(out)).astype(logits.dtype)


# %% 8.3 p = 1 drops what rounding drops
def top_p(logits, p):
    return np.where(np.isfinite(_nucleus(logits, min(p, 1 - 1e-3), lambda q, c, p: _first(c - q < p))), logits, -np.inf).astype(
        logits.dtype
    )


# %% 8.3 changes the logits in top_p
def top_p(logits, p):
    logits[...] = _top_p(logits, p)
    return logits


# %% 8.4 greedy
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, 1, most, end, length_penalty) * k


# %% 8.4 no length penalty
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, k, most, end, 0.0)


# %% 8.4 a factor in place of a power
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, score=lambda s, t: s / (len(t) * length_penalty or 1))


# %% 8.4 multiplies by the length
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, k, most, end, -length_penalty)


# %% 8.4 a length without the end
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, score=lambda s, t: s / max(1, len(t) - (t[-1] == end)) ** length_penalty)


# %% 8.4 k candidates
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, width=1)


# %% 8.4 any candidate may end
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, place_matters=False)


# %% 8.4 stops at the first end
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, stop=lambda f, r: len(f) > 0)


# %% 8.4 runs to the end
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, stop=lambda f, r: False)


# %% 8.4 finished texts in the order in which they ended
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, sort=False)


# %% 8.4 more than k finished
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, cut=False)


# %% 8.4 texts that do not end are dropped
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, at_most=False)


# %% 8.4 the best text alone
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, k, most, end, length_penalty)[:1]


# %% 8.4 the end is taken off
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    found = _beams(log_p, k, most, end, length_penalty)
    return [(score, tokens[:-1] if tokens[-1] == end else tokens) for score, tokens in found]


# %% 8.4 token 0 ends without an end
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, k, most, end or 0, length_penalty)


# %% 8.4 one token too many
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, k, most + 1, end, length_penalty)


# %% 8.4 an end by its truth
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, k, most, end or None, length_penalty)


# %% 8.4 the worst first
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(log_p, k, most, end, length_penalty)[::-1]


# %% 8.4 each text gives one continuation
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    def one(texts):
        rows = np.array(log_p(texts))
        if len(texts) > 1:
            rows[rows < rows.max(-1, keepdims=True)] = -np.inf
        return rows

    return _beams(one, k, most, end, length_penalty)


# %% 8.4 the log of the last token alone
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    running, finished = [[]], []
    while running and len(finished) < k:
        rows = np.asarray(log_p(running))
        order = np.argsort(-rows, axis=None, kind="stable")[: 2 * k]
        found = []
        for place, at in enumerate(order):
            row, token = divmod(int(at), rows.shape[1])
            tokens = [*running[row], token]
            if np.isinf(rows[row, token]):
                continue
            if token != end and len(tokens) < most:
                found.append(tokens)
            elif place < k:
                finished.append((float(rows[row, token]) / len(tokens) ** length_penalty, tokens))
        finished = sorted(finished, key=lambda f: -f[0])[:k]
        running = found[:k]
    return finished


# %% 8.4 scores with the penalty decide which texts run on
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    running, finished = [(0.0, [])], []
    while running and len(finished) < k:
        rows = np.asarray(log_p([t for _, t in running]))
        n = len(running[0][1]) + 1
        sums = (np.array([s for s, _ in running])[:, None] + rows) / n**length_penalty
        texts, found = [t for _, t in running], []
        for place, at in enumerate(np.argsort(-sums, axis=None, kind="stable")[: 2 * k]):
            row, token = divmod(int(at), sums.shape[1])
            total, tokens = float(sums[row, token]), [*texts[row], token]
            if np.isinf(total):
                continue
            if token != end and n < most:
                found.append((total, tokens))
            elif place < k:
                finished.append((total, tokens))
        finished = sorted(finished, key=lambda f: -f[0])[:k]
        running = found[:k]
    return finished


# %% 8.4 -inf is a continuation
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _beams(lambda texts: np.maximum(log_p(texts), -1e4), k, most, end, length_penalty)


# %% 8.4 equal texts: the later first
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    def turned(texts):
        return np.asarray(log_p([[V - 1 - t for t in text] for text in texts]))[:, ::-1]

    V = np.asarray(log_p([[]])).shape[1]
    found = _beams(turned, k, most, None if end is None else V - 1 - end, length_penalty)
    return [(score, [V - 1 - t for t in tokens]) for score, tokens in found]


# %% 8.4 all running texts end when one does
def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    return _search(log_p, k, most, end, length_penalty, stop=lambda f, r: len(f) >= k or (f and f[0][0] > r[0][0]))
