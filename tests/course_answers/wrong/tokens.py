"""Wrong answers to assignment 'tokens' that learners write, a cell each; every one must cost points."""
# ruff: noqa

import re

_train, _encode, _decode, _join = train, encode, decode, join


def _pairs(ids):
    return list(zip(ids, ids[1:]))


def _learn(texts, vocab_size, words=None, best=best_pair, least=2, size=lambda merges: 256 + len(merges)):
    words, merges = dict(words or count_words(texts)), []
    while size(merges) < vocab_size:
        pair = best(count_pairs(words))
        if pair is None:
            break
        words = {join(ids, pair, 256 + len(merges)): n for ids, n in words.items()}
        merges.append(pair)
    return merges


# %% 7.1 code points in place of bytes
def count_words(texts):
    words = {}
    for text in texts:
        for word in split_words(text):
            ids = tuple(map(ord, word))
            words[ids] = words.get(ids, 0) + 1
    return words


# %% 7.1 words by split(), which drops the spaces
def count_words(texts):
    words = {}
    for text in texts:
        for word in text.split():
            ids = tuple(word.encode())
            words[ids] = words.get(ids, 0) + 1
    return words


# %% 7.1 each text starts anew
def count_words(texts):
    for text in texts:
        words = {}
        for word in split_words(text):
            ids = tuple(word.encode())
            words[ids] = words.get(ids, 0) + 1
    return words


# %% 7.1 a different word counts once
def count_words(texts):
    return {tuple(word.encode()): 1 for text in texts for word in split_words(text)}


# %% 7.1 a dict that lives on from call to call
def count_words(texts, words={}):
    for text in texts:
        for word in split_words(text):
            ids = tuple(word.encode())
            words[ids] = words.get(ids, 0) + 1
    return words


# %% 7.1 lower case
def count_words(texts):
    words = {}
    for text in texts:
        for word in split_words(text.lower()):
            ids = tuple(word.encode())
            words[ids] = words.get(ids, 0) + 1
    return words


# %% 7.1 ASCII alone
def count_words(texts):
    words = {}
    for text in texts:
        for word in split_words(text):
            ids = tuple(word.encode("ascii", "ignore"))
            words[ids] = words.get(ids, 0) + 1
    return words


# %% 7.1 pairs once in a word
def count_pairs(words):
    counts = {}
    for ids, n in words.items():
        for pair in set(zip(ids, ids[1:])):
            counts[pair] = counts.get(pair, 0) + n
    return counts


# %% 7.1 pairs without the count of the word
def count_pairs(words):
    counts = {}
    for ids in words:
        for pair in zip(ids, ids[1:]):
            counts[pair] = counts.get(pair, 0) + 1
    return counts


# %% 7.1 pairs in either order
def count_pairs(words):
    counts = {}
    for ids, n in words.items():
        for pair in zip(ids, ids[1:]):
            pair = tuple(sorted(pair))
            counts[pair] = counts.get(pair, 0) + n
    return counts


# %% 7.1 pairs that do not overlap
def count_pairs(words):
    counts = {}
    for ids, n in words.items():
        i = 0
        while i < len(ids) - 1:
            pair = ids[i], ids[i + 1]
            counts[pair] = counts.get(pair, 0) + n
            i += 2 if ids[i] == ids[i + 1] else 1
    return counts


# %% 7.1 pairs from one word into the next
def count_pairs(words):
    counts = {}
    stream = [i for ids, n in words.items() for _ in range(min(n, 50)) for i in ids]
    for pair in zip(stream, stream[1:]):
        counts[pair] = counts.get(pair, 0) + 1
    return counts


# %% 7.2 the first of the most frequent
def best_pair(counts):
    best = max(counts, key=counts.get, default=None)
    return best if best is not None and counts[best] > 1 else None


# %% 7.2 the largest of the most frequent
def best_pair(counts):
    n, best = max(((n, pair) for pair, n in counts.items()), default=(0, None))
    return best if n > 1 else None


# %% 7.2 ties by the right id first
def best_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], pair[1], pair[0]), default=None)
    return best if best is not None and counts[best] > 1 else None


# %% 7.2 ties by the left id alone
def best_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], pair[0]), default=None)
    return best if best is not None and counts[best] > 1 else None


# %% 7.2 ties by the ids as text
def best_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], str(pair)), default=None)
    return best if best is not None and counts[best] > 1 else None


# %% 7.2 ties by the larger of the two ids
def best_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], max(pair), pair), default=None)
    return best if best is not None and counts[best] > 1 else None


# %% 7.2 a pair that occurs once
def best_pair(counts):
    return min(counts, key=lambda pair: (-counts[pair], pair), default=None)


# %% 7.2 three times at least
def best_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
    return best if best is not None and counts[best] > 2 else None


# %% 7.2 nothing to choose from is an error
def best_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], pair))
    return best if counts[best] > 1 else None


# %% 7.2 takes the pair out of the counts
def best_pair(counts):
    best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
    return best if best is not None and counts.pop(best) > 1 else None


# %% 7.2 joins the first place alone
def join(ids, pair, new):
    for i in range(len(ids) - 1):
        if tuple(ids[i : i + 2]) == pair:
            return (*ids[:i], new, *ids[i + 2 :])
    return tuple(ids)


# %% 7.2 joins from the right
def join(ids, pair, new):
    return _join(tuple(ids)[::-1], pair[::-1], new)[::-1]


# %% 7.2 an id is joined twice
def join(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            out.append(new)
            i += 2 if tuple(ids[i + 1 : i + 3]) != pair else 1
        else:
            out.append(ids[i])
            i += 1
    return tuple(out)


# %% 7.2 the last id is lost
def join(ids, pair, new):
    out, i = [], 0
    while i < len(ids) - 1:
        if tuple(ids[i : i + 2]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return tuple(out)


# %% 7.2 skips the id after a place without the pair
def join(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            out.append(new)
        else:
            out.extend(ids[i : i + 2])
        i += 2
    return tuple(out)


# %% 7.2 joins digits of a text
def join(ids, pair, new):
    text = " ".join(map(str, ids)).replace("%d %d" % pair, str(new))
    return tuple(int(i) for i in text.split())


# %% 7.2 changes a list
def join(ids, pair, new):
    if not isinstance(ids, list):
        return _join(ids, pair, new)
    i = 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) == pair:
            ids[i : i + 2] = [new]
        i += 1
    return tuple(ids)


# %% 7.3 counts once and takes the most frequent pairs
def train(texts, vocab_size):
    counts = count_pairs(count_words(texts))
    ranked = sorted((pair for pair in counts if counts[pair] > 1), key=lambda pair: (-counts[pair], pair))
    return ranked[: max(0, vocab_size - 256)]


# %% 7.3 vocab_size merges
def train(texts, vocab_size):
    return _learn(texts, vocab_size, size=len)


# %% 7.3 one merge too many
def train(texts, vocab_size):
    return _learn(texts, vocab_size, size=lambda merges: 255 + len(merges))


# %% 7.3 one merge too few
def train(texts, vocab_size):
    return _learn(texts, vocab_size, size=lambda merges: 257 + len(merges))


# %% 7.3 the whole text is one word
def train(texts, vocab_size):
    return _learn(texts, vocab_size, {tuple(text.encode()): 1 for text in texts})


# %% 7.3 the texts are one text
def train(texts, vocab_size):
    return _train([" ".join(texts)], vocab_size)


# %% 7.3 empties the list of texts
def train(texts, vocab_size):
    words = []
    while texts:
        words.append(texts.pop())
    return _train(words, vocab_size)


# %% 7.3 stops at the first tie
def train(texts, vocab_size):
    def best(counts):
        pair = best_pair(counts)
        return pair if pair and list(counts.values()).count(counts[pair]) == 1 else None

    return _learn(texts, vocab_size, best=best)


# %% 7.3 raises when nothing is left
def train(texts, vocab_size):
    def best(counts):
        pair = best_pair(counts)
        if pair is None:
            raise ValueError("nothing left to merge")
        return pair

    return _learn(texts, vocab_size, best=best)


# %% 7.3 ids from 257 on
def train(texts, vocab_size):
    return [(l + (l > 255), r + (r > 255)) for l, r in _train(texts, vocab_size)]


# %% 7.3 the result of the first call is kept
def train(texts, vocab_size, kept=[]):
    if not kept:
        kept.append(_train(texts, vocab_size))
    return kept[0][: max(0, vocab_size - 256)]


# %% 7.4 the longest token from the left
def encode(text, merges):
    tokens = [bytes([i]) for i in range(256)]
    for l, r in merges:
        tokens.append(tokens[l] + tokens[r])
    number = {token: i for i, token in reversed(list(enumerate(tokens)))}
    out = []
    for word in split_words(text):
        rest = word.encode()
        while rest:
            n = next(n for n in range(len(rest), 0, -1) if rest[:n] in number)
            out.append(number[rest[:n]])
            rest = rest[n:]
    return out


# %% 7.4 the first pair from the left that is a merge
def encode(text, merges):
    rank = {pair: 256 + i for i, pair in enumerate(merges)}
    out = []
    for word in split_words(text):
        ids = tuple(word.encode())
        while pair := next((p for p in zip(ids, ids[1:]) if p in rank), None):
            ids = join(ids, pair, rank[pair])
        out += ids
    return out


# %% 7.4 the pair that occurs most often in the word
def encode(text, merges):
    rank = {pair: 256 + i for i, pair in enumerate(merges)}
    out = []
    for word in split_words(text):
        ids = tuple(word.encode())
        while known := [p for p in zip(ids, ids[1:]) if p in rank]:
            pair = max(known, key=lambda p: (known.count(p), -rank[p]))
            ids = join(ids, pair, rank[pair])
        out += ids
    return out


# %% 7.4 the last merge first
def encode(text, merges):
    out = []
    for word in split_words(text):
        ids = tuple(word.encode())
        for new in range(255 + len(merges), 255, -1):
            ids = join(ids, merges[new - 256], new)
        out += ids
    return out


# %% 7.4 merges across words
def encode(text, merges):
    ids = tuple(text.encode())
    for new, pair in enumerate(merges, 256):
        ids = join(ids, pair, new)
    return list(ids)


# %% 7.4 each pair of the word once
def encode(text, merges):
    rank = {pair: 256 + i for i, pair in enumerate(merges)}
    out = []
    for word in split_words(text):
        ids = tuple(word.encode())
        for pair in sorted({p for p in zip(ids, ids[1:]) if p in rank}, key=rank.get):
            ids = join(ids, pair, rank[pair])
        out += ids
    return out


# %% 7.4 ranks of the first call
def encode(text, merges, kept={}):
    kept.setdefault("merges", list(merges))
    return _encode(text, kept["merges"])


# %% 7.4 words of text.split()
def encode(text, merges):
    return [i for word in text.split() for i in _encode(word, merges)]


# %% 7.4 sorts the merges
def encode(text, merges):
    merges.sort()
    return _encode(text, merges)


# %% 7.4 code points
def encode(text, merges):
    out = []
    for word in split_words(text):
        ids = tuple(map(ord, word))
        for new, pair in enumerate(merges, 256):
            ids = join(ids, pair, new)
        out += ids
    return out


# %% 7.5 each token on its own
def decode(ids, merges):
    return "".join(_decode([i], merges) for i in ids)


# %% 7.5 bytes as characters
def decode(ids, merges):
    tokens = [chr(i) for i in range(256)]
    for l, r in merges:
        tokens.append(tokens[l] + tokens[r])
    return "".join(tokens[i] for i in ids)


# %% 7.5 strict
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for l, r in merges:
        tokens.append(tokens[l] + tokens[r])
    return b"".join(tokens[i] for i in ids).decode()


# %% 7.5 ignores what is no text
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for l, r in merges:
        tokens.append(tokens[l] + tokens[r])
    return b"".join(tokens[i] for i in ids).decode(errors="ignore")


# %% 7.5 spaces between the tokens
def decode(ids, merges):
    return " ".join(_decode([i], merges) for i in ids)


# %% 7.5 strips the text
def decode(ids, merges):
    return _decode(ids, merges).strip()


# %% 7.5 takes the ids away
def decode(ids, merges):
    out = []
    while ids:
        out.append(ids.pop(0))
    return _decode(out, merges)


# %% 7.5 one step back alone
def decode(ids, merges):
    out = b""
    for i in ids:
        pair = (i,) if i < 256 else merges[i - 256]
        out += b"".join(bytes([p]) if p < 256 else b"" for p in pair)
    return out.decode(errors="replace")


# %% 7.5 tokens of the first merges
def decode(ids, merges, kept=[]):
    kept[:] = kept or [_decode([i], merges) for i in range(256 + len(merges))]
    return "".join(kept[i] for i in ids)


# %% 7.5 universal newlines
def decode(ids, merges):
    return _decode(ids, merges).replace("\r\n", "\n")
