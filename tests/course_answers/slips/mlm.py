"""Wrong answers to assignment 'mlm' as learners write them, a cell each; each must cost points in the hidden tests."""
# ruff: noqa

import math
import numpy as np

_mlm_loss = mlm_loss


def _mask(count=lambda n, p: max(1, round(n * p)), what=None, whole=False, labels_from="ids", replace=False, allowed=True):
    def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
        masked, labels = ids.copy(), np.full(ids.shape, -100, ids.dtype)
        for row in range(len(ids)):
            places = np.flatnonzero(maskable[row]) if allowed else np.arange(ids.shape[1])
            wanted = count(len(places), probability) if len(places) else 0
            for place in rng.choice(places, wanted, replace=replace) if wanted else ():
                masked[row, place] = (what or _word)(ids[row, place], mask_id, vocab_size, rng)
                labels[row, place] = ids[row, place] if labels_from == "ids" else masked[row, place]
        if whole:
            labels = np.where(maskable, ids, -100)
        return masked, labels

    return mask_tokens


def _word(token, mask_id, size, rng, shares=(0.8, 0.9)):
    u = rng.random()
    return mask_id if u < shares[0] else rng.integers(size) if u < shares[1] else token


def _loss(n=None, dx=None, ask=None, stable=True):
    def mlm_loss(logits, labels, ignored=-100):
        size = logits.shape[-1]
        x, t = logits.reshape(-1, size), labels.reshape(-1)
        asked = np.flatnonzero(t != ignored if ask is None else ask(t, ignored))
        count = max(1, len(asked)) if n is None else n(t, asked)
        shifted = x[asked] - (x[asked].max(axis=1, keepdims=True) if stable else 0)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(asked))

        def pullback(g):
            p = np.exp(log_p)
            onehot = np.zeros_like(p)
            onehot[rows, t[asked]] = 1
            out = np.zeros_like(x)
            out[asked] = (p - onehot) * (g / count) if dx is None else dx(p, onehot, g, count)
            return out.reshape(logits.shape)

        return -log_p[rows, t[asked]].sum() / count, pullback

    return mlm_loss


def _head(dh=None, dE=None, db=None):
    def mlm_head(hidden, embeddings, bias):
        def pullback(g):
            rows, states = g.reshape(-1, g.shape[-1]), hidden.reshape(-1, hidden.shape[-1])
            return (
                g @ embeddings if dh is None else dh(g, embeddings),
                rows.T @ states if dE is None else dE(rows, states),
                rows.sum(axis=0) if db is None else db(g, rows),
            )

        return hidden @ embeddings.T + bias, pullback

    return mlm_head


# %% 5.1 rounded down
mask_tokens = _mask(count=lambda n, p: max(1, int(n * p)))

# %% 5.1 rounded up
mask_tokens = _mask(count=lambda n, p: max(1, math.ceil(n * p)))

# %% 5.1 none in a short row
mask_tokens = _mask(count=lambda n, p: round(n * p))

# %% 5.1 places with replacement
mask_tokens = _mask(replace=True)

# %% 5.1 special tokens too
mask_tokens = _mask(allowed=False)

# %% 5.1 always [MASK]
mask_tokens = _mask(what=lambda token, mask_id, size, rng: mask_id)

# %% 5.1 90 % [MASK], and never as it was
mask_tokens = _mask(what=lambda token, mask_id, size, rng: _word(token, mask_id, size, rng, (0.9, 1.0)))

# %% 5.1 80 % and 20 % random
mask_tokens = _mask(what=lambda token, mask_id, size, rng: _word(token, mask_id, size, rng, (0.8, 1.0)))

# %% 5.1 10 % of the rest
mask_tokens = _mask(
    what=lambda token, mask_id, size, rng: mask_id if rng.random() < 0.8 else rng.integers(size) if rng.random() < 0.1 else token
)

# %% 5.1 labels everywhere
mask_tokens = _mask(whole=True)

# %% 5.1 the label is the masked token
mask_tokens = _mask(labels_from="masked")


# %% 5.1 each place for itself
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    asked = (rng.random(ids.shape) < probability) & maskable
    u = rng.random(ids.shape)
    masked = np.where(asked & (u < 0.8), mask_id, ids)
    masked = np.where(asked & (u >= 0.8) & (u < 0.9), rng.integers(0, vocab_size, ids.shape), masked)
    return masked, np.where(asked, ids, -100)


# %% 5.1 15 % of the row, not of the maskable
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    length = ids.shape[1]
    return _mask(count=lambda n, p: min(n, max(1, round(length * p))))(ids, maskable, mask_id, vocab_size, rng, probability)


# %% 5.1 ids changed
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = _mask()(ids, maskable, mask_id, vocab_size, rng, probability)
    ids[...] = masked
    return ids, labels


# %% 5.1 a generator of its own
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    return _mask()(ids, maskable, mask_id, vocab_size, np.random.default_rng(0), probability)


# %% 5.1 0 for -100
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = _mask()(ids, maskable, mask_id, vocab_size, rng, probability)
    return masked, np.where(labels == -100, 0, labels)


# %% 5.1 the first places
def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = ids.copy(), np.full(ids.shape, -100, ids.dtype)
    for row in range(len(ids)):
        places = np.flatnonzero(maskable[row])
        for place in places[: max(1, round(len(places) * probability)) if len(places) else 0]:
            labels[row, place] = ids[row, place]
            masked[row, place] = _word(ids[row, place], mask_id, vocab_size, rng)
    return masked, labels


# %% 5.2 the wrong way round
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask)[:, None, None, :] == 0, 0, np.finfo(dtype).min).astype(dtype)


# %% 5.2 -inf
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask)[:, None, None, :] == 0, -np.inf, 0).astype(dtype)


# %% 5.2 the sign
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask)[:, None, None, :] == 0, 1e9, 0).astype(dtype)


# %% 5.2 0 and 1
def padding_mask(attention_mask, dtype=np.float32):
    return np.asarray(attention_mask)[:, None, None, :].astype(dtype)


# %% 5.2 no axes for heads and queries
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask) == 0, np.finfo(dtype).min, 0).astype(dtype)


# %% 5.2 an axis too few
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask)[:, None, :] == 0, np.finfo(dtype).min, 0).astype(dtype)


# %% 5.2 queries hidden in place of keys
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask)[:, None, :, None] == 0, np.finfo(dtype).min, 0).astype(dtype)


# %% 5.2 float64 always
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask)[:, None, None, :] == 0, -1e9, 0.0)


# %% 5.2 float32 always
def padding_mask(attention_mask, dtype=np.float32):
    return np.where(np.asarray(attention_mask)[:, None, None, :] == 0, -1e9, 0.0).astype(np.float32)


# %% 5.3 a mean over all
mlm_loss = _loss(n=lambda t, asked: len(t))

# %% 5.3 a sum
mlm_loss = _loss(n=lambda t, asked: 1)

# %% 5.3 overflows
mlm_loss = _loss(stable=False)

# %% 5.3 the gradient not divided
mlm_loss = _loss(dx=lambda p, onehot, g, count: (p - onehot) * g)

# %% 5.3 the gradient divided by n twice
mlm_loss = _loss(dx=lambda p, onehot, g, count: (p - onehot) * (g / count / count))

# %% 5.3 g forgotten
mlm_loss = _loss(dx=lambda p, onehot, g, count: (p - onehot) / count)

# %% 5.3 onehot - softmax
mlm_loss = _loss(dx=lambda p, onehot, g, count: (onehot - p) * (g / count))

# %% 5.3 softmax alone
mlm_loss = _loss(dx=lambda p, onehot, g, count: p * (g / count))

# %% 5.3 the whole derivative of softmax
mlm_loss = _loss(dx=lambda p, onehot, g, count: p * (p - onehot) * (g / count))

# %% 5.3 -100 for every ignored
mlm_loss = _loss(ask=lambda t, ignored: t != -100)

# %% 5.3 ignored by sign
mlm_loss = _loss(ask=lambda t, ignored: t >= 0)


# %% 5.3 nothing asked gives nan
def mlm_loss(logits, labels, ignored=-100):
    return _loss(n=lambda t, asked: np.float64(len(asked)))(logits, labels, ignored)


# %% 5.3 log of softmax, clipped
def mlm_loss(logits, labels, ignored=-100):
    size = logits.shape[-1]
    x, t = logits.reshape(-1, size), labels.reshape(-1)
    asked = np.flatnonzero(t != ignored)
    n, rows = max(1, len(asked)), np.arange(len(asked))
    e = np.exp(x[asked] - x[asked].max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return -np.log(np.maximum(p[rows, t[asked]], 1e-12)).sum() / n, _mlm_loss(logits, labels, ignored)[1]


# %% 5.3 the gradient of places that nobody asks for
def mlm_loss(logits, labels, ignored=-100):
    loss, _ = _mlm_loss(logits, labels, ignored)
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    n = max(1, int((labels != ignored).sum()))

    def pullback(g):
        out = p.copy()
        at = np.nonzero(labels != ignored)
        out[(*at, labels[at])] -= 1
        return out * (g / n)

    return loss, pullback


# %% 5.3 the softmax in a variable of the module
def mlm_loss(logits, labels, ignored=-100):
    global _p
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    _p = e / e.sum(axis=-1, keepdims=True)
    at = np.nonzero(labels != ignored)
    n = max(1, len(at[0]))

    def pullback(g):
        out = np.zeros_like(_p)
        out[at] = _p[at]
        out[(*at, labels[at])] -= 1
        return out * (g / n)

    return _mlm_loss(logits, labels, ignored)[0], pullback


# %% 5.3 labels in a variable of the module
_labels = {}


def mlm_loss(logits, labels, ignored=-100):
    _labels["now"] = labels
    return _mlm_loss(logits, labels, ignored)[0], lambda g: _mlm_loss(logits, _labels["now"], ignored)[1](g)


# %% 5.4 g Eᵀ where it fits
mlm_head = _head(dh=lambda g, E: g @ E * 0.5)

# %% 5.4 dE transposed
mlm_head = _head(dE=lambda rows, states: states.T @ rows)

# %% 5.4 dE a mean over the tokens
mlm_head = _head(dE=lambda rows, states: rows.T @ states / len(rows))

# %% 5.4 dbias a mean
mlm_head = _head(db=lambda g, rows: rows.mean(axis=0))

# %% 5.4 dbias over the first axis alone
mlm_head = _head(db=lambda g, rows: g.sum(axis=0))

# %% 5.4 dbias per token
mlm_head = _head(db=lambda g, rows: g)


# %% 5.4 no bias
def mlm_head(hidden, embeddings, bias):
    return hidden @ embeddings.T, _head()(hidden, embeddings, bias)[1]


# %% 5.4 the last token alone
def mlm_head(hidden, embeddings, bias):
    y, back = _head()(hidden, embeddings, bias)

    def pullback(g):
        dh, dE, db = back(g)
        return dh, g.reshape(-1, g.shape[-1])[-1:].T @ hidden.reshape(-1, hidden.shape[-1])[-1:], db

    return y, pullback


# %% 5.4 hidden in a variable of the module
def mlm_head(hidden, embeddings, bias):
    global _hidden, _embeddings
    _hidden, _embeddings = hidden, embeddings

    def pullback(g):
        rows, states = g.reshape(-1, g.shape[-1]), _hidden.reshape(-1, _hidden.shape[-1])
        return g @ _embeddings, rows.T @ states, rows.sum(axis=0)

    return hidden @ embeddings.T + bias, pullback


# %% 5.4 the gradients add up over the calls
_dE = {}


def mlm_head(hidden, embeddings, bias):
    y, back = _head()(hidden, embeddings, bias)

    def pullback(g):
        dh, dE, db = back(g)
        _dE[dE.shape] = _dE.get(dE.shape, 0) + dE
        return dh, _dE[dE.shape], db

    return y, pullback


# %% 5.5 to the base 2
def floors(counts):
    p = np.asarray(counts)[np.asarray(counts) > 0] / np.sum(counts)
    return math.log2(len(counts)), float(-(p * np.log2(p)).sum())


# %% 5.5 0 · ln 0
def floors(counts):
    p = np.asarray(counts) / np.sum(counts)
    return math.log(len(counts)), float(-(p * np.log(p)).sum())


# %% 5.5 the seen words alone
def floors(counts):
    counts = np.asarray(counts)[np.asarray(counts) > 0]
    p = counts / counts.sum()
    return math.log(len(counts)), float(-(p * np.log(p)).sum())


# %% 5.5 the sign
def floors(counts):
    p = np.asarray(counts)[np.asarray(counts) > 0] / np.sum(counts)
    return math.log(len(counts)), float((p * np.log(p)).sum())


# %% 5.5 the mean of -ln p over words
def floors(counts):
    p = np.asarray(counts)[np.asarray(counts) > 0] / np.sum(counts)
    return math.log(len(counts)), float(-np.log(p).mean())


# %% 5.5 ln of the number of tokens
def floors(counts):
    p = np.asarray(counts)[np.asarray(counts) > 0] / np.sum(counts)
    return math.log(np.sum(counts)), float(-(p * np.log(p)).sum())
