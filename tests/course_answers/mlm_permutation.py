"""Places by permutation, fates by one draw a row, a full softmax, einsum."""

import math

import numpy as np


def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    masked, labels = np.array(ids), np.full_like(ids, -100)
    for i, row in enumerate(maskable):
        places = rng.permutation(np.nonzero(row)[0])
        n = len(places)
        places = places[: max(min(n, 1), round(n * probability))]
        labels[i, places] = ids[i, places]
        fate = rng.choice(["mask", "random", "keep"], len(places), p=[0.8, 0.1, 0.1])
        masked[i, places[fate == "mask"]] = mask_id
        masked[i, places[fate == "random"]] = rng.integers(0, vocab_size, int((fate == "random").sum()))
    return masked, labels


def padding_mask(attention_mask, dtype=np.float32):
    mask = np.zeros(attention_mask.shape, dtype)
    mask[np.asarray(attention_mask) == 0] = -1e9
    return mask[:, np.newaxis, np.newaxis]


def mlm_loss(logits, labels, ignored=-100):
    V = logits.shape[-1]
    asked = labels != ignored
    n = int(asked.sum())
    z = logits - logits.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    onehot = (np.where(asked, labels, -1)[..., None] == np.arange(V)).astype(logits.dtype)
    loss = -(onehot * log_p).sum() / n if n else 0.0

    def pullback(g):
        if n == 0:
            return np.zeros(logits.shape, logits.dtype)
        return ((np.exp(log_p) - onehot) * asked[..., None] * (g / n)).astype(logits.dtype)

    return loss, pullback


def mlm_head(hidden, embeddings, bias):
    def pullback(g):
        rows = g.reshape(-1, g.shape[-1])
        return (
            np.einsum("...v,vh->...h", g, embeddings),
            np.einsum("nv,nh->vh", rows, hidden.reshape(len(rows), -1)),
            np.einsum("nv->v", rows),
        )

    return np.einsum("...h,vh->...v", hidden, embeddings) + bias, pullback


def floors(counts):
    total = float(sum(counts))
    return math.log(len(counts)), sum(-c / total * math.log(c / total) for c in counts if c)
