"""NumPy: all words in one array with a gap between them, pairs as single numbers."""

import numpy as np

GAP = -1


def count_words(texts):
    words = {}
    for text in texts:
        for word in split_words(text):
            key = tuple(np.frombuffer(word.encode(), np.uint8).tolist())
            words.setdefault(key, 0)
            words[key] += 1
    return words


def count_pairs(words):
    lines = [np.array([*ids, GAP]) for ids in words]
    if not lines:
        return {}
    stream = np.concatenate(lines)
    weight = np.repeat(np.array(list(words.values())), [len(line) for line in lines])
    left, right, n = stream[:-1], stream[1:], weight[:-1]
    real = (left != GAP) & (right != GAP)
    pairs, at = np.unique(np.stack([left[real], right[real]], 1), axis=0, return_inverse=True)
    sums = np.zeros(len(pairs), np.int64)
    np.add.at(sums, at.reshape(-1), n[real])
    return {(int(a), int(b)): int(s) for (a, b), s in zip(pairs, sums)}


def best_pair(counts):
    most = max(counts.values(), default=0)
    return None if most < 2 else sorted(pair for pair in counts if counts[pair] == most)[0]


def join(ids, pair, new):
    ids = np.asarray(ids, np.int64)
    hits = np.flatnonzero((ids[:-1] == pair[0]) & (ids[1:] == pair[1]))
    kept, last = [], -2
    for hit in hits:
        if hit > last + 1:
            kept.append(hit)
            last = hit
    out = ids.copy()
    out[kept] = new
    return tuple(np.delete(out, np.array(kept, np.int64) + 1).tolist())


def train(texts, vocab_size):
    words = count_words(texts)
    merges = []
    for new in range(256, vocab_size):
        pair = best_pair(count_pairs(words))
        if pair is None:
            return merges
        merges += [pair]
        words = {join(ids, pair, new): n for ids, n in words.items()}
    return merges


def encode(text, merges):
    parts = [()]
    for word in split_words(text):
        ids = tuple(word.encode())
        for new, pair in enumerate(merges, 256):
            ids = join(ids, pair, new)
        parts.append(ids)
    return [int(i) for i in np.concatenate(parts)]


def decode(ids, merges):
    def spell(i):
        if i < 256:
            return [i]
        left, right = merges[i - 256]
        return spell(left) + spell(right)

    return np.array([b for i in ids for b in spell(int(i))], np.uint8).tobytes().decode(errors="replace")
