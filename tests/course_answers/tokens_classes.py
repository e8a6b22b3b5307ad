"""Words as objects, pairs as a class that knows its order, decoding byte by byte on a stack."""

import dataclasses
import functools


@functools.total_ordering
@dataclasses.dataclass(frozen=True)
class Candidate:
    count: int
    pair: tuple

    def __lt__(self, other):
        if self.count != other.count:
            return self.count < other.count
        return self.pair[0] > other.pair[0] or (self.pair[0] == other.pair[0] and self.pair[1] > other.pair[1])


def neighbours(ids):
    return [(ids[i], ids[i + 1]) for i in range(len(ids) - 1)]


def count_words(texts):
    words = {}
    everything = [word for text in texts for word in split_words(text)]
    for word in sorted(set(everything)):
        words[tuple(b for b in word.encode("utf8"))] = everything.count(word)
    return words


def count_pairs(words):
    counts = {}
    for ids in words:
        for pair in neighbours(ids):
            if pair not in counts:
                counts[pair] = 0
            counts[pair] = counts[pair] + words[ids]
    return counts


def best_pair(counts):
    best = None
    for pair in counts:
        here = Candidate(counts[pair], pair)
        if here.count >= 2 and (best is None or best < here):
            best = here
    return best.pair if best else None


def join(ids, pair, new):
    if len(ids) < 2:
        return tuple(ids)
    result, rest = (), tuple(ids)
    while rest:
        if rest[:2] == pair:
            result, rest = result + (new,), rest[2:]
        else:
            result, rest = result + rest[:1], rest[1:]
    return result


class Word:
    def __init__(self, ids, count):
        self.ids, self.count = ids, count


def train(texts, vocab_size):
    words = [Word(ids, n) for ids, n in count_words(texts).items()]
    merges = []
    while len(merges) + 256 < vocab_size:
        counts = {}
        for word in words:
            for pair in neighbours(word.ids):
                counts[pair] = counts.get(pair, 0) + word.count
        pair = best_pair(counts)
        if not pair:
            break
        for word in words:
            word.ids = join(word.ids, pair, 256 + len(merges))
        merges.append(pair)
    return merges


def encode(text, merges):
    order = list(map(tuple, merges))
    out = []
    for word in split_words(text):
        ids = list(word.encode())
        while True:
            here = set(neighbours(ids))
            pair = next((p for p in order if p in here), None)
            if pair is None:
                break
            at = neighbours(ids).index(pair)
            ids[at : at + 2] = [256 + order.index(pair)]
        out.extend(ids)
    return out


def decode(ids, merges):
    out, stack = bytearray(), list(reversed(ids))
    while stack:
        i = stack.pop()
        if i < 256:
            out.append(i)
        else:
            left, right = merges[i - 256]
            stack += [right, left]
    return str(out, "utf-8", "replace")
