"""Assignment 5: masking, the loss of the masked language model, and its head. The handout is README.md.

All on NumPy arrays. A function with a pullback returns (y, pullback), and the pullback takes g = dL/dy. Change no argument.
Sizes: B sequences, S tokens, H hidden size, V vocabulary size.
"""

import math

import numpy as np

# ------------------------------------------------------------------------------------------------------- Task 5.1


def mask_tokens(ids, maskable, mask_id, vocab_size, rng, probability=0.15):
    """BERT's masking: (masked ids, labels), both (B, S), integers like ids.

    In a row with n maskable positions (maskable is a bool array (B, S)) choose round(n · probability) of them at random, at
    least 1 if n > 0. labels: the original token at a chosen position, -100 elsewhere. masked: at a chosen position mask_id
    with probability 0.8, one of the vocab_size tokens at random with 0.1, the original with 0.1, drawn independently for
    each position; elsewhere the original. All randomness comes from the NumPy Generator rng.
    """
    ### BEGIN SOLUTION 5.1: mask_tokens, 15 % of the places: 80 % [MASK], 10 % random, 10 % as they are
    masked, labels = ids.copy(), np.full(ids.shape, -100, ids.dtype)
    for row in range(len(ids)):
        places = np.flatnonzero(maskable[row])
        wanted = max(1, round(len(places) * probability)) if len(places) else 0
        for place in rng.choice(places, wanted, replace=False):
            labels[row, place] = ids[row, place]
            u = rng.random()
            if u < 0.8:
                masked[row, place] = mask_id
            elif u < 0.9:
                masked[row, place] = rng.integers(vocab_size)
    return masked, labels
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 5.2


def padding_mask(attention_mask, dtype=np.float32):
    """The mask added to attention's scores, (B, 1, 1, S): 0 where attention_mask (B, S) is 1, hugely negative where it is 0.

    Hugely negative: at most -1e9, and finite, so that a row with everything hidden gives no NaN. In the given dtype.
    """
    ### BEGIN SOLUTION 5.2: padding_mask, 0 or the most negative number
    hidden = np.asarray(attention_mask)[:, None, None, :] == 0
    return np.where(hidden, np.finfo(dtype).min, np.dtype(dtype).type(0))
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 5.3


def mlm_loss(logits, labels, ignored=-100):
    """The mean of -ln softmax(logits)[label] over positions whose label is not ``ignored``, and the pullback g -> dlogits.

    logits (..., V), labels (...). Right for scores of any size. If there is no such position, loss and gradient are 0.
    g is a number; dlogits has the shape and the dtype of logits.
    """
    ### BEGIN SOLUTION 5.3: mlm_loss, and dx = g (softmax(x) - onehot) / places
    size = logits.shape[-1]
    x, t = logits.reshape(-1, size), labels.reshape(-1)
    asked = np.flatnonzero(t != ignored)
    n = max(1, len(asked))
    shifted = x[asked] - x[asked].max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(asked))
    loss = -log_p[rows, t[asked]].sum() / n

    def pullback(g):
        p = np.exp(log_p)
        p[rows, t[asked]] -= 1
        dx = np.zeros_like(x)
        dx[asked] = p * (g / n)
        return dx.reshape(logits.shape)

    return loss, pullback
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 5.4


def mlm_head(hidden, embeddings, bias):
    """The scores of all words, hidden Eᵀ + bias, and the pullback g -> (dhidden, dE, dbias).

    hidden (..., H), embeddings E (V, H), bias (V,) -> (..., V): the word embeddings themselves are the projection.
    """

    ### BEGIN SOLUTION 5.4: mlm_head, the tied projection
    def pullback(g):
        rows, states = g.reshape(-1, g.shape[-1]), hidden.reshape(-1, hidden.shape[-1])
        return g @ embeddings, rows.T @ states, rows.sum(axis=0)

    return hidden @ embeddings.T + bias, pullback
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 5.5


def floors(counts):
    """Two baselines in nats, (uniform, unigram): ln V for uniform guessing, -Σ p ln p for guessing by word frequencies p.

    counts: the number of occurrences of each of the V words, integers, some perhaps 0.
    """
    ### BEGIN SOLUTION 5.5: floors, ln V and the entropy
    counts = np.asarray(counts)
    p = counts[counts > 0] / counts.sum()
    return math.log(len(counts)), float(-(p * np.log(p)).sum())
    ### END SOLUTION
