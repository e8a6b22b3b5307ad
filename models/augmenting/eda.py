"""EDA: four edits of a text that mostly leave its label as it is.

    SR  n words, each replaced by a synonym wherever it stands        RS  n times two words change places
    RI  n times a synonym of some word at some place                  RD  each word left out with probability α

n = max(1, int(α · words)). Wei and Zou (2019), "EDA: Easy data augmentation techniques for boosting performance on text
classification tasks", https://arxiv.org/abs/1901.11196, section 2. Digits, apostrophes and punctuation stay, which the authors'
code strips; words are cut at spaces. Read before: synonyms.py. Read next: word_dropout.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .synonyms import WORD

Synonyms = Callable[[str], list[str]]
KINDS = ("SR", "RI", "RS", "RD")


def edits(words: int, α: float) -> int:
    """How many words an edit changes."""
    return max(1, int(α * words))


def kinds_of(num_aug: int, rng: Any) -> list[str]:
    """The edits of ``num_aug`` copies: int(num_aug/4) + 1 of each kind, shuffled, cut to as many as are wanted."""
    kinds = [kind for kind in KINDS for _ in range(num_aug // 4 + 1)]
    return [kinds[i] for i in rng.permutation(len(kinds))[:num_aug]]


def edited(text: str, kind: str, synonyms: Synonyms, rng: Any, α: float = 0.1) -> str:
    """One copy of the text."""
    words = text.split()
    n = edits(len(words), α)
    if kind == "SR":
        words = replaced(words, n, synonyms, rng)
    elif kind == "RI":
        words = inserted(words, n, synonyms, rng)
    elif kind == "RS":
        words = swapped(words, n, rng)
    else:
        kept = [word for word in words if rng.random() >= α]
        words = kept or [words[rng.integers(len(words))]]
    return " ".join(words)


def core(word: str) -> str:
    """The word without the punctuation around it: "film," is film."""
    found = WORD.search(word)
    return found[0] if found else ""


def able(words: list[str], synonyms: Synonyms, rng: Any) -> list[str]:
    """The words that have a synonym and mean something by themselves, each once, in random order."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS as small

    different = [word for word in dict.fromkeys(map(core, words)) if word and word.lower() not in small and synonyms(word)]
    return [different[i] for i in rng.permutation(len(different))]


def replaced(words: list[str], n: int, synonyms: Synonyms, rng: Any) -> list[str]:
    """SR"""
    new = {word: choice(synonyms(word), rng) for word in able(words, synonyms, rng)[:n]}
    return [word.replace(core(word), new[core(word)], 1) if core(word) in new else word for word in words]


def inserted(words: list[str], n: int, synonyms: Synonyms, rng: Any) -> list[str]:
    """RI"""
    words, sources = list(words), able(words, synonyms, rng)
    for _ in range(n if sources else 0):
        word = sources[rng.integers(len(sources))]
        words.insert(int(rng.integers(len(words) + 1)), choice(synonyms(word.lower()) or synonyms(word), rng))
    return words


def swapped(words: list[str], n: int, rng: Any) -> list[str]:
    """RS: two words that differ, as long as there are two."""
    words = list(words)
    for _ in range(n):
        i = int(rng.integers(len(words)))
        others = [j for j, word in enumerate(words) if word != words[i]]
        if others:
            j = others[rng.integers(len(others))]
            words[i], words[j] = words[j], words[i]
    return words


def choice(words: list[str], rng: Any) -> str:
    """One of them."""
    return words[rng.integers(len(words))]
