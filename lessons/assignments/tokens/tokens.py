"""Assignment 7: byte-pair encoding: learning pieces of words, and text to ids and back. The handout is README.md.

A token is a number, its id. The ids 0 to 255 are the bytes. Every merge makes one more token: merges[i] = (left, right) are
the ids of two neighbours, and together they are the token 256 + i. No function changes an argument.
"""

import itertools
import re

# GPT-2's rule for words. A word carries the space before it, and the words of a text, put together, are the text.
WORDS = r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"


def split_words(text):
    """The words of a text, in order: "I'm 20, too" -> ["I", "'m", " 20", ",", " too"]. This one is given."""
    return re.findall(WORDS, text)


# ------------------------------------------------------------------------------------------------------- Task 7.1


def count_words(texts):
    """How often each word stands in the texts (a list of strings): a dict from the word's UTF-8 bytes to a whole number.

    The bytes are a tuple of ids: "to" is (116, 111), "é" is (195, 169).
    """
    ### BEGIN SOLUTION 7.1: count_words, the words of all texts as bytes
    words = {}
    for text in texts:
        for word in split_words(text):
            ids = tuple(word.encode("utf-8"))
            words[ids] = words.get(ids, 0) + 1
    return words
    ### END SOLUTION


def count_pairs(words):
    """How often each pair of ids stands side by side: a dict from (left, right) to a whole number.

    words: a dict from tuples of ids to how often each occurs, as count_words returns it. A pair counts at each place where it
    stands, so (7, 7, 7) has (7, 7) twice.
    """
    ### BEGIN SOLUTION 7.1: count_pairs, each place as often as its word occurs
    counts = {}
    for ids, n in words.items():
        for pair in itertools.pairwise(ids):
            counts[pair] = counts.get(pair, 0) + n
    return counts
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 7.2


def best_pair(counts):
    """The most frequent pair of a dict from pairs to counts. None if no pair occurs at least twice.

    Ties: of equally frequent pairs the one with the smallest left id, and of those the one with the smallest right id.
    """
    ### BEGIN SOLUTION 7.2: best_pair, the largest count, then the smallest ids
    best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
    return best if best is not None and counts[best] > 1 else None
    ### END SOLUTION


def join(ids, pair, new):
    """ids as a tuple in which new stands wherever pair stood, from left to right: (7, 7, 7) with (7, 7) is (new, 7)."""
    ### BEGIN SOLUTION 7.2: join, from left to right
    joined, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        joined.append(new if found else ids[i])
        i += 2 if found else 1
    return tuple(joined)
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 7.3


def train(texts, vocab_size):
    """Learn merges until there are vocab_size tokens, the 256 bytes included, or until no pair occurs twice.

    The most frequent pair of neighbours within words becomes a token, is joined everywhere, and pairs are counted again. The
    result is the list of merges, pairs of ids; merges[i] makes the token 256 + i.
    """
    ### BEGIN SOLUTION 7.3: train, count, choose, join, again and again
    words, merges = count_words(texts), []
    while 256 + len(merges) < vocab_size:
        pair = best_pair(count_pairs(words))
        if pair is None:
            break
        words = {join(ids, pair, 256 + len(merges)): n for ids, n in words.items()}
        merges.append(pair)
    return merges
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 7.4


def encode(text, merges):
    """The ids of a text, a list: in each word the merges are applied in the order in which they were learned.

    Of all pairs that stand in the word, the one that was learned first is joined, and again, until none of them is a merge.
    """
    ### BEGIN SOLUTION 7.4: encode, the earliest merge first
    rank = {pair: i for i, pair in enumerate(merges)}
    found = []
    for word in split_words(text):
        ids = tuple(word.encode("utf-8"))
        while known := [rank[pair] for pair in itertools.pairwise(ids) if pair in rank]:
            first = min(known)
            ids = join(ids, merges[first], 256 + first)
        found += ids
    return found
    ### END SOLUTION


# ------------------------------------------------------------------------------------------------------- Task 7.5


def decode(ids, merges):
    """The text of a list of ids. Bytes that are no UTF-8 become "�", as bytes.decode(errors="replace") does it."""
    ### BEGIN SOLUTION 7.5: decode, the bytes of all tokens together
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return b"".join([tokens[i] for i in ids]).decode("utf-8", errors="replace")
    ### END SOLUTION
