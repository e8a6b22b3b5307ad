"""The hidden tests of assignment 7."""

import numpy as np

from models.course.testing import close, task
from models.course.tiny_tokens import library_ids, library_merges, same_ids

TEXTS = [
    "she sells sea shells by the sea shore; the shells she sells are sea shells",
    "aaaa aaa aaaaa aa aaaaaaaa AAAA",
    "",
    "über übung trübe, Größe größer am größten — größer als groß",
    "一二三一二三 一二 三一二\n\n    x = x1 + x_1 * 3.14\r\n\tx  +=  1   ",
    "\x00\x00\x00 🙂🙂🙂 👩‍🔬👩‍🔬 I'm, I'll, we're, don't; '' ''s",
]


def rows(counts):
    """A dict as rows: the number of ids, the ids, the count; sorted."""
    return [n for key in sorted(tuple(key) for key in counts) for n in (len(key), *key, int(counts[key]))]


@task("7.1", points=2)
def words_of_many_scripts(m):
    """Spaces, digits, signs, other scripts, an empty text, no text at all."""
    return {
        "words": rows(m.count_words(TEXTS)),
        "one text twice": rows(m.count_words(["a b a", "a b a"])),
        "no text": len(m.count_words([])),
        "an empty text": len(m.count_words([""])),
    }


def true_words(texts):
    """Each word by the pattern that GPT-2 published, its marks written out for Python."""
    import re
    from collections import Counter

    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
    return Counter(tuple(word.encode()) for text in texts for word in re.findall(pattern, text))


@words_of_many_scripts.expects
def _():
    return {
        "words": same_ids(rows(true_words(TEXTS))),
        "one text twice": same_ids(rows({(97,): 2, (32, 98): 2, (32, 97): 2})),
        "no text": 0,
        "an empty text": 0,
    }


def random_words():
    rng = np.random.default_rng(1)
    return {tuple(rng.integers(0, 5, n).tolist()): int(rng.integers(1, 9)) for n in (1, 2, 3, 5, 8, 8, 13, 40)}


@task("7.1", points=1)
def pairs_of_random_words(m):
    """Words of 1 to 40 ids, large ids, and nothing at all."""
    words = random_words()
    return {
        "pairs": rows(m.count_pairs(words)),
        "large ids": rows(m.count_pairs({(70_000, 256, 70_000): 1_000_000})),
        "no word": len(m.count_pairs({})),
        "words afterwards": rows(words),
    }


@pairs_of_random_words.expects
def _():
    counts = {}
    for ids, n in random_words().items():
        for i in range(len(ids) - 1):
            counts[ids[i], ids[i + 1]] = counts.get((ids[i], ids[i + 1]), 0) + n
    return {
        "pairs": same_ids(rows(counts)),
        "large ids": same_ids(rows({(70_000, 256): 1_000_000, (256, 70_000): 1_000_000})),
        "no word": 0,
        "words afterwards": same_ids(rows(random_words())),
    }


COUNTS = (
    {(300, 2): 7, (2, 300): 7, (2, 299): 7, (1, 500): 6},
    {(10, 9): 2, (9, 10): 2},
    {(5, 5): 1, (4, 4): 1},
    {(3, 4): 2},
    {(2, 1000): 3, (10, 1): 3, (100, 1): 3},
)


@task("7.2", points=2)
def ties_of_all_kinds(m):
    """Numbers are compared as numbers; nothing to choose from gives None."""
    found = {f"of {counts}": m.best_pair(counts) for counts in COUNTS}
    return found | {"of nothing": m.best_pair({}), "counts afterwards": [n for c in COUNTS for n in rows(c)]}


@ties_of_all_kinds.expects
def _():
    best = ((2, 299), (9, 10), None, (3, 4), (2, 1000))
    found = {f"of {counts}": pair and same_ids(pair) for counts, pair in zip(COUNTS, best)}
    return found | {"of nothing": None, "counts afterwards": same_ids([n for c in COUNTS for n in rows(c)])}


JOINS = (
    ((), (1, 2)),
    ((1,), (1, 2)),
    ((1, 2), (1, 2)),
    ((1, 2, 2, 1, 1, 2), (1, 2)),
    ((7, 7, 7, 7), (7, 7)),
    ((7, 7, 7, 7, 7), (7, 7)),
    ((1, 7, 7, 7, 1, 7, 7), (7, 7)),
    ((1, 12, 1, 2), (1, 2)),
    ((11, 2, 1, 22), (1, 2)),
    ((3, 1, 2, 3), (1, 2)),
)


@task("7.2", points=1)
def joins_of_all_kinds(m):
    """Nothing, one id, runs, the pair at either end, the same digits in other numbers; a list stays as it was."""
    found = {f"{pair} in {ids}": list(m.join(ids, pair, 300)) for ids, pair in JOINS}
    given = [1, 2, 3, 1, 2]
    return found | {"of a list": list(m.join(given, (1, 2), 400)), "the list afterwards": given}


@joins_of_all_kinds.expects
def _():
    right = ((), (1,), (300,), (300, 2, 1, 300), (300, 300), (300, 300, 7), (1, 300, 7, 1, 300), (1, 12, 300), (11, 2, 1, 22),
             (3, 300, 3))  # fmt: skip
    found = {f"{pair} in {ids}": same_ids(joined) for (ids, pair), joined in zip(JOINS, right)}
    return found | {"of a list": same_ids([400, 3, 400]), "the list afterwards": same_ids([1, 2, 3, 1, 2])}


@task("7.3", points=3)
def merges_of_many_scripts(m):
    """Until no pair occurs twice, and with fewer tokens; the same from texts in another order, and a second time."""
    texts = list(TEXTS)
    return {
        "all merges": m.train(texts, 5000),
        "40 merges": m.train(texts, 296),
        "of texts turned round": m.train(texts[::-1], 5000),
        "texts afterwards": texts == TEXTS,
    }


@merges_of_many_scripts.expects
def _():
    merges = library_merges(TEXTS, 5000)
    return {
        "all merges": same_ids(merges),
        "40 merges": same_ids(merges[:40]),
        "of texts turned round": same_ids(merges),
        "texts afterwards": True,
    }


@task("7.3", points=1)
def when_training_ends(m):
    """Nothing to learn, fewer tokens than bytes, one pair short, ties all the way."""
    return {
        "no text": m.train([], 300),
        "no pair twice": m.train(["abc"], 300),
        "256 tokens": m.train(["aa aa aa"], 256),
        "10 tokens": m.train(["aa aa aa"], 10),
        "257 tokens": m.train(["aa aa aa"], 257),
        "ties": m.train(["dcba dcba"], 300),
    }


@when_training_ends.expects
def _():
    return {
        "no text": same_ids([]),
        "no pair twice": same_ids([]),
        "256 tokens": same_ids([]),
        "10 tokens": same_ids([]),
        "257 tokens": same_ids([(97, 97)]),
        "ties": same_ids([(98, 97), (99, 256), (100, 257)]),
    }


# Merges that no training gave: with them the earliest pair is neither the first, nor the longest, nor the most frequent.
ODD = [(99, 100), (97, 98), (98, 99), (257, 256), (258, 100), (32, 97), (97, 97), (262, 97), (262, 262), (195, 164)]
WORDS = ("abcd", "bcd", "abc", "aabcd", " abcd", " aaaaa", "aaaa", "aaaaaaa", "ä ä", "", "d", "cdcd abab", "a a", "\x00ab")


@task("7.4", points=3)
def merges_that_compete(m):
    """Runs, words that begin with a space, pairs that are made by joining, an empty text, no merges."""
    merges = list(ODD)
    found = {f"ids of {word!r}": m.encode(word, merges) for word in WORDS}
    return found | {"no merges": m.encode("ab é", []), "merges afterwards": merges, "a long word": m.encode("a" * 301, merges)}


def true_ids(word, merges):
    """Merge after merge over the whole word: each of them finds only parts that were learned before it."""
    ids = list(word)
    for new, pair in enumerate(merges, 256):
        i = 0
        while i < len(ids) - 1:
            if (ids[i], ids[i + 1]) == pair:
                ids[i : i + 2] = [new]
            i += 1
    return ids


@merges_that_compete.expects
def _():
    found = {f"ids of {word!r}": same_ids([i for w in true_words([word]) for i in true_ids(w, ODD)]) for word in WORDS}
    found["ids of 'ä ä'"] = same_ids([265, 32, 265])
    found["ids of 'cdcd abab'"] = same_ids([256, 256, 32, 257, 257])
    long = same_ids(true_ids(b"a" * 301, ODD))
    return found | {"no merges": same_ids([97, 98, 32, 195, 169]), "merges afterwards": same_ids(ODD), "a long word": long}


@task("7.4", points=2)
def ids_of_many_scripts(m):
    """With merges of a training, as the library encodes; two lists of merges in turn."""
    merges = library_merges(TEXTS, 5000)
    found = {}
    for i, text in enumerate(TEXTS):
        found |= {f"text {i}": m.encode(text, merges), f"text {i}, 10 merges": m.encode(text, merges[:10])}
    return found


@ids_of_many_scripts.expects
def _():
    merges = library_merges(TEXTS, 5000)
    many, few = library_ids(merges), library_ids(merges[:10])
    found = {}
    for i, text in enumerate(TEXTS):
        found |= {f"text {i}": same_ids(many(text)), f"text {i}, 10 merges": same_ids(few(text))}
    return found


BYTES = ([], [255], [195], [195, 40], [240, 159, 146], [226, 130, 97], [237, 160, 128], [0, 97, 0], [128, 195, 169, 128])


@task("7.5", points=2)
def bytes_that_are_no_text(m):
    """Half characters, bytes that no text has, merges of merges, an id more than once."""
    found = {f"bytes {ids}": m.decode(ids, []) for ids in BYTES}
    merges = [(240, 159), (256, 153), (257, 130), (32, 258)]
    ids = [259, 258, 97, 257, 130, 256]
    return found | {"🙂 in pieces": m.decode(ids, merges), "ids afterwards": ids, "merges afterwards": merges}


@bytes_that_are_no_text.expects
def _():
    found = {f"bytes {ids}": bytes(ids).decode(errors="replace") for ids in BYTES}
    merges = [(240, 159), (256, 153), (257, 130), (32, 258)]
    afterwards = {"ids afterwards": same_ids([259, 258, 97, 257, 130, 256]), "merges afterwards": same_ids(merges)}
    return found | {"🙂 in pieces": " 🙂🙂a🙂\ufffd"} | afterwards


@task("7.5", points=2)
def round_trips(m):
    """Every text comes back, to the last space."""
    merges = library_merges(TEXTS, 5000)
    m.decode([], merges)
    found = {f"text {i}": m.decode(m.encode(text, merges), merges) == text for i, text in enumerate(TEXTS)}
    every = "".join(map(chr, [*range(1, 0x300), *range(0x2000, 0x2070), *range(0xFFF0, 0x10010), 0x10FFFF]))
    found |= {"many characters": m.decode(m.encode(every, merges), merges) == every}
    return found


@round_trips.expects
def _():
    return {f"text {i}": close(True, because="a text must come back as it was") for i in range(len(TEXTS))} | {
        "many characters": True
    }
