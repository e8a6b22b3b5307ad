"""Assignment 8: GPT: attention that never looks ahead, the cache, and how the next token is chosen. The handout is README.md.

Sizes: B texts, A heads, d numbers per head, L new tokens out of S in all, V tokens in the vocabulary, R rows of logits.
float32 in, float32 out. No function changes an argument.
"""

import numpy as np

# ------------------------------------------------------------------------------------------------------- Task 8.1


def causal_attention(q, k, v, tokens=None):
    """softmax(q kᵀ/√d) v where no token sees a later one, and the pullback g -> (dq, dk, dv).

    q (B, A, L, d) is of the last L of the S tokens that k (B, A, S, d) and v (B, A, S, e) are of: query i sees the keys 0 to
    S - L + i. tokens (B, S), if given, is 1 at a token and 0 at padding, which nobody sees. A query that sees nothing gives 0
    and passes no gradient. The result is (B, A, L, e), right for scores of any size.
    """
    ### BEGIN SOLUTION 8.1: causal_attention, forwards and backwards
    L, S = q.shape[2], k.shape[2]
    sees = np.arange(S - L, S)[:, None] >= np.arange(S)  # (L, S)
    if tokens is not None:
        sees = sees & (np.asarray(tokens) != 0)[:, None, None]  # (B, 1, L, S)
    scale = q.shape[-1] ** -0.5
    scores = np.where(sees, q @ k.swapaxes(2, 3) * scale, np.finfo(q.dtype).min)  # (B, A, L, S)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True)) * sees
    total = e.sum(axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)

    def pullback(g):
        dweights = g @ v.swapaxes(2, 3)
        dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True)) * scale
        return dscores @ k, dscores.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ g

    return weights @ v, pullback
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 8.2


def positions(tokens, L):
    """The positions of the last L tokens of each text, whole numbers (B, L): how many tokens stand before each in its text.

    tokens (B, S) is 1 at a token and 0 at padding, which does not count. What stands at padding itself is any number from 0
    to S - 1: nobody looks.
    """
    ### BEGIN SOLUTION 8.2: positions, tokens counted from the left
    before = np.cumsum(np.asarray(tokens) != 0, axis=1) - 1
    return np.maximum(before, 0)[:, before.shape[1] - L :]
    ### END SOLUTION


class Cache:
    """The keys and values that one attention layer has made of the tokens so far. len(cache) is the number of these tokens."""

    def __init__(self):
        ### BEGIN SOLUTION 8.2: Cache, which is empty at first
        self.keys = self.values = None
        ### END SOLUTION

    def __len__(self):
        ### BEGIN SOLUTION 8.2: Cache, how many tokens it holds
        return 0 if self.keys is None else self.keys.shape[2]
        ### END SOLUTION

    def update(self, k, v):
        """Keep keys (B, A, L, d) and values (B, A, L, e) of L new tokens; return all so far, (B, A, S, d) and (B, A, S, e)."""
        ### BEGIN SOLUTION 8.2: Cache.update, the new ones behind the old ones
        if self.keys is None:
            self.keys, self.values = k, v
        else:
            self.keys = np.concatenate([self.keys, k], axis=2)
            self.values = np.concatenate([self.values, v], axis=2)
        return self.keys, self.values
        ### END SOLUTION

    def reorder(self, rows):
        """From now on text i continues what text rows[i] was. The list may repeat texts, and be longer or shorter than before."""
        ### BEGIN SOLUTION 8.2: Cache.reorder, keys and values of these texts
        self.keys, self.values = self.keys[rows], self.values[rows]
        ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 8.3


def top_k(logits, k):
    """In each row (..., V) the k largest logits stay, and -inf takes the place of the others.

    Logits as large as the smallest of the k stay, too. k = 0 means no limit; with k of V or more all stay.
    """
    ### BEGIN SOLUTION 8.3: top_k, and all that tie with the last
    V = logits.shape[-1]
    smallest = np.sort(logits)[..., V - min(k or V, V), None]
    return np.where(logits < smallest, -np.inf, logits)
    ### END SOLUTION


def top_p(logits, p):
    """In each row (..., V) the fewest tokens stay whose probabilities, the largest first, add up to p or more; others get -inf.

    The probabilities are softmax(logits). With p = 1 all stay, with p = 0 one, the most probable. Of equally probable tokens the
    one with the larger id comes first.
    """
    ### BEGIN SOLUTION 8.3: top_p, the smallest set that holds p
    if p >= 1:
        return logits
    order = np.argsort(logits, kind="stable")[..., ::-1]  # the most probable first, of equals the larger id
    x = np.take_along_axis(logits, order, -1)
    e = np.exp(x - x[..., :1])
    before = np.cumsum(e, axis=-1) - e  # what is more probable than each, times the sum of all e
    out = before >= p * e.sum(axis=-1, keepdims=True)
    out[..., 0] = False
    kept = logits.copy()
    np.put_along_axis(kept, order, np.where(out, -np.inf, x), -1)
    return kept
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 8.4


def beam_search(log_p, k, most, end=None, length_penalty=1.0):
    """The k best texts that a search with k beams finds, the best first: a list of (score, tokens), tokens a list of ids.

    log_p(texts) asks the model: for R texts, lists of ids, it gives the log-probabilities (R, V) of the token that follows.
    The search starts from the one empty text, [[]]. Then, in each round:

    - Of all continuations of the running texts by one token, take the 2k with the largest sum of log-probabilities (of equal
      ones the earlier text first, then the smaller id; -inf is no continuation).
    - Those that end (their last token is ``end``, or they have ``most`` tokens) are finished if they are among the first k of
      the 2k; otherwise they are dropped. Their score is sum / n ** length_penalty, n tokens with ``end`` counted. The k best
      finished texts are kept (of equal ones the earlier).
    - Of those that do not end, the first k run on, in this order.

    The search is over when k texts are finished or none runs on.
    """
    ### BEGIN SOLUTION 8.4: beam_search, 2k candidates, finished ones and running ones
    running, finished = [(0.0, [])], []
    while running and len(finished) < k:
        sums = np.array([total for total, _ in running])[:, None] + log_p([tokens for _, tokens in running])  # (R, V)
        best = np.argsort(-sums, axis=None, kind="stable")[: 2 * k]
        found, running = [], [tokens for _, tokens in running]
        for place, at in enumerate(best):
            row, token = divmod(int(at), sums.shape[1])
            total, tokens = float(sums[row, token]), [*running[row], token]
            if total == -np.inf:
                continue
            if token != end and len(tokens) < most:
                found.append((total, tokens))
            elif place < k:
                finished.append((total / len(tokens) ** length_penalty, tokens))
        finished = sorted(finished, key=lambda text: -text[0])[:k]
        running = found[:k]
    return finished
    ### END SOLUTION
