"""The visible tests of assignment 7. Each runs with your module m; below it stands what should come out.

They are here to be read: `minitorch course check` runs the original ones, whatever is written here.
"""

import numpy as np

from models.course.testing import close, task
from models.course.tiny_tokens import LINES, VOCABULARY, library_ids, library_merges, losses_on, same_ids


def ids(text):
    """The bytes of a word, as a tuple."""
    return tuple(text.encode("utf-8"))


@task("7.1", points=1)
def words_of_two_texts(m):
    """Words carry their space, and "é" is two bytes."""
    words = m.count_words(["to be or not to be", "to é"])
    return {
        "'to' at the front of a text": words.get(ids("to"), 0),
        "' to' with its space": words.get(ids(" to"), 0),
        "' be'": words.get(ids(" be"), 0),
        "' é', the bytes 32 195 169": words.get(ids(" é"), 0),
        "different words": len(words),
    }


@words_of_two_texts.expects
def _():
    return {
        "'to' at the front of a text": close(2, because="both texts begin with it"),
        "' to' with its space": close(1, because="a word carries the space before it: split_words, not text.split()"),
        "' be'": 2,
        "' é', the bytes 32 195 169": close(1, because="a word is its UTF-8 bytes, not the code points of its characters"),
        "different words": 6,
    }


@task("7.1", points=1)
def pairs_of_three_words(m):
    """A word that occurs three times and holds a pair twice counts it six times."""
    counts = m.count_pairs({(1, 2, 1, 2): 3, (2, 1): 1, (7, 7, 7): 1, (5,): 9})
    pairs = {f"{pair}": counts.get(pair, 0) for pair in ((1, 2), (2, 1), (7, 7))}
    return pairs | {"different pairs": len(counts)}


@pairs_of_three_words.expects
def _():
    return {
        "(1, 2)": close(6, because="3 words with 2 places each"),
        "(2, 1)": close(4, because="(2, 1) is another pair than (1, 2), and pairs lie within a word"),
        "(7, 7)": close(2, because="(7, 7, 7) has the pair at two places, and they overlap"),
        "different pairs": 3,
    }


@task("7.2", points=2)
def the_best_pair(m):
    """The most frequent one; of equally frequent ones the smallest left id, then the smallest right id."""
    return {
        "most frequent": m.best_pair({(1, 1): 2, (9, 9): 5, (2, 2): 4}),
        "a tie": m.best_pair({(9, 1): 4, (5, 8): 4, (5, 7): 4, (6, 0): 4, (0, 0): 3}),
        "a tie of 9 and 10": m.best_pair({(10, 3): 2, (9, 3): 2}),
        "no pair occurs twice": m.best_pair({(1, 2): 1, (3, 4): 1}),
        "no pair at all": m.best_pair({}),
    }


@the_best_pair.expects
def _():
    tie = {
        "the pair that came first, or the largest": [9, 1],
        "the smallest left id without a look at the right one": [5, 8],
        "the smallest right id": [6, 0],
        "the smallest pair, however often it occurs": [0, 0],
    }
    return {
        "most frequent": same_ids([9, 9]),
        "a tie": same_ids([5, 7], tie),
        "a tie of 9 and 10": same_ids([9, 3], {"ids compared as text, or the pair that came first": [10, 3]}),
        "no pair occurs twice": None,
        "no pair at all": None,
    }


@task("7.2", points=1)
def pairs_joined(m):
    """From left to right, wherever the pair stands."""
    return {
        "(1, 2) in 1 2 3 1 2": list(m.join((1, 2, 3, 1, 2), (1, 2), 256)),
        "(7, 7) in 7 7 7": list(m.join((7, 7, 7), (7, 7), 256)),
        "(1, 2) in 2 1": list(m.join((2, 1), (1, 2), 256)),
    }


@pairs_joined.expects
def _():
    run = {"an id that is joined twice": [256, 256], "joining from the right": [7, 256], "losing the last id": [256]}
    return {
        "(1, 2) in 1 2 3 1 2": same_ids([256, 3, 256], {"joining only the first place": [256, 3, 1, 2]}),
        "(7, 7) in 7 7 7": same_ids([256, 7], run),
        "(1, 2) in 2 1": same_ids([2, 1], {"a pair in either order": [256]}),
    }


@task("7.3", points=2)
def the_merges_of_the_handout(m):
    """low, low, lower, lowest: four merges, and then no pair occurs twice."""
    text = "low low lower lowest"
    return {
        "merges": m.train([text], 1000),
        "with 258 tokens": m.train([text], 258),
        "of two sentences": m.train(["a. a. a.", "b"], 1000),
    }


@the_merges_of_the_handout.expects
def _():
    merges = [(108, 111), (256, 119), (32, 257), (258, 101)]
    slips = {
        "a token for a pair that occurs once": [*merges, (259, 114), (259, 115)],
        "the larger pair of two equally frequent ones": [(111, 119), (108, 256), (32, 257), (258, 101)],
        "counting once, and not again after each merge": [(108, 111), (111, 119), (32, 108), (119, 101)],
    }
    few = {"a vocab_size without the 256 bytes": merges, "one merge too few": merges[:1], "one merge too many": merges[:3]}
    words = {"pairs across the border of two words": [(97, 46), (32, 256)]}
    return {
        "merges": same_ids(merges, slips),
        "with 258 tokens": same_ids(merges[:2], few),
        "of two sentences": same_ids([(32, 97)], words),
    }


@task("7.4", points=2)
def merges_in_their_order(m):
    """With bc learned before ab, abc is a + bc; a new token may be joined again; pairs lie within words."""
    merges = [(98, 99), (97, 98), (99, 32), (256, 256)]
    return {f"{text}": m.encode(text, merges) for text in ("abc", "ab", "bcbc", "c c", "é ")}


@merges_in_their_order.expects
def _():
    abc = {
        "the longest token, or the first merge, from the left": [257, 99],
        "a text that no merge was applied to": [97, 98, 99],
    }
    return {
        "abc": same_ids([97, 256], abc),
        "ab": same_ids([257]),
        "bcbc": same_ids([259], {"not looking again after a merge": [256, 256]}),
        "c c": same_ids([99, 32, 99], {"a merge across the border of two words": [258, 99], "losing the space": [99, 99]}),
        "é ": same_ids([195, 169, 32], {"a code point in place of bytes": [233, 32], "losing the space": [195, 169]}),
    }


@task("7.5", points=2)
def there_and_back(m):
    """A character in two tokens, a token of a token, bytes that are no text, and a text of many scripts."""
    merges = [(226, 130), (97, 98), (256, 172)]
    return {
        "e2 82 · ac": m.decode([256, 172], merges),
        "(e2 82) ac": m.decode([258], merges),
        "e2 82 alone": m.decode([257, 256, 257], merges),
        "a text": m.decode(list(TEXT.encode()), []),
    }


TEXT = "Größe 東京 🙂\r\n\tx  = 'naïve' \n"


@there_and_back.expects
def _():
    parts = {"decoding each token on its own": "\ufffd\ufffd", "a character for each byte": "\xe2\x82\xac"}
    half = {"ignoring what is no text": "abab"}
    return {
        "e2 82 · ac": close("€", slips=parts),
        "(e2 82) ac": close("€", slips={"the parts of a token taken for bytes": "\ufffd"} | parts),
        "e2 82 alone": close("ab\ufffdab", slips=half),
        "a text": TEXT,
    }


@task("7.5", points=3)
def bert_pretrains_on_your_tokens(m):
    """You learn merges, encode a text and read it back; BERT pretrains on it: all as with the library's tokenizer."""
    m.decode([], [])
    merges = m.train(LINES, VOCABULARY)
    lines = [m.encode(line, merges) for line in LINES]
    back = [m.decode(line, merges) == right for line, right in zip(lines, LINES)]
    return {
        "merges": merges,
        "ids of the text": [i for line in lines for i in line],
        "lines that come back": sum(map(bool, back)),
        "the losses of 6 steps": losses_on(lines),
    }


@bert_pretrains_on_your_tokens.expects
def _():
    merges = library_merges(LINES, VOCABULARY)
    encode = library_ids(merges)
    lines = [encode(line) for line in LINES]
    return {
        "merges": same_ids(merges),
        "ids of the text": same_ids(np.concatenate(lines)),
        "lines that come back": len(LINES),
        "the losses of 6 steps": close(losses_on(lines), 1e-3),
    }
