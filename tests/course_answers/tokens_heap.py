"""As fast tokenizers do it: counts are kept up to date, a heap knows the best pair, and encoding keeps a heap for each word."""

import heapq
import itertools
from collections import Counter, defaultdict


def count_words(texts):
    return Counter(tuple(word.encode()) for text in texts for word in split_words(text))


def count_pairs(words):
    counts = Counter()
    for ids, n in words.items():
        for i in range(1, len(ids)):
            counts[ids[i - 1], ids[i]] += n
    return counts


def best_pair(counts):
    heap = [(-n, pair) for pair, n in counts.items() if n >= 2]
    heapq.heapify(heap)
    return heap[0][1] if heap else None


def join(ids, pair, new):
    out = []
    for i in ids:
        out.append(i)
        if len(out) > 1 and (out[-2], out[-1]) == pair and new != out[-2]:
            out[-2:] = [new]
    return tuple(out)


def train(texts, vocab_size):
    words = [[list(ids), n] for ids, n in count_words(texts).items()]
    counts, where = Counter(), defaultdict(set)
    for w, (ids, n) in enumerate(words):
        for pair in itertools.pairwise(ids):
            counts[pair] += n
            where[pair].add(w)
    heap = [(-n, pair) for pair, n in counts.items()]
    heapq.heapify(heap)
    merges = []
    while heap and 256 + len(merges) < vocab_size:
        n, pair = heapq.heappop(heap)
        if -n != counts[pair]:
            if counts[pair] > 0:
                heapq.heappush(heap, (-counts[pair], pair))
            continue
        if -n < 2:
            break
        new, changed = 256 + len(merges), set()
        for w in where.pop(pair):
            ids, times = words[w]
            for old in itertools.pairwise(ids):
                counts[old] -= times
            ids[:] = join(ids, pair, new)
            for now in itertools.pairwise(ids):
                counts[now] += times
                where[now].add(w)
                changed.add(now)
        for now in changed:
            heapq.heappush(heap, (-counts[now], now))
        merges.append(pair)
    return merges


def encode(text, merges):
    rank = {tuple(pair): i for i, pair in enumerate(merges)}
    found = []
    for word in split_words(text):
        ids = list(word.encode())
        following, before = [*range(1, len(ids)), -1], [-1, *range(len(ids) - 1)]
        heap = [(rank[pair], i, pair) for i, pair in enumerate(itertools.pairwise(ids)) if pair in rank]
        heapq.heapify(heap)

        def look(i):
            j = following[i]
            if j >= 0 and (ids[i], ids[j]) in rank:
                heapq.heappush(heap, (rank[ids[i], ids[j]], i, (ids[i], ids[j])))

        while heap:
            r, i, pair = heapq.heappop(heap)
            j = following[i]
            if ids[i] is None or j < 0 or (ids[i], ids[j]) != pair:
                continue
            ids[i], ids[j] = 256 + r, None
            following[i] = following[j]
            if following[j] >= 0:
                before[following[j]] = i
            look(i)
            if before[i] >= 0:
                look(before[i])
        found.extend(i for i in ids if i is not None)
    return found


def decode(ids, merges):
    bytes_of = dict(enumerate(bytes([i]) for i in range(256)))
    bytes_of.update((256 + i, None) for i in range(len(merges)))
    for i, (left, right) in enumerate(merges):
        bytes_of[256 + i] = bytes_of[left] + bytes_of[right]
    return b"".join(map(bytes_of.__getitem__, ids)).decode("utf-8", "replace")
