"""From pieces back to words: which place of a model's input belongs to which word of the text.

    "It is unbelievable."  ->  [CLS] it is un ##bel ##ie ##va ##ble . [SEP]     words: It, is, unbelievable, "."

A task cuts texts in its own way: windows, ends left out, marks put in. The Tracer is a tokenizer that gives the task numbers in
place of ids, and so finds each piece again in what the task makes of them.
Read before: models/text/words.py. Read next: subject.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..text.words import split_words

CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")  # each sign a word


@dataclass(frozen=True)
class Word:
    """A word and what stands between it and the word before."""

    text: str
    before: str = ""


class Tracer:
    """A tokenizer whose ids are numbers of pieces, counted from the size of the vocabulary; smaller ids are special tokens."""

    def __init__(self, tokenizer: Any, one_word: bool = False) -> None:
        """one_word: each text is a word."""
        self.tokenizer, self.one_word = tokenizer, one_word
        self.segments: list[list[Word]] = []
        self.pieces: list[tuple[int, int, int]] = []  # id, segment, word in it (-1: none)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)

    @property
    def plain(self) -> Tracer:
        """What encodes single texts."""
        return self

    def encode_lines(self, lines: Sequence[str], special: bool = True) -> list[list[int]]:
        """The numbers of each text's pieces."""
        return [self.encode(line).ids for line in lines]

    def encode(self, text: str, add_special_tokens: bool = False) -> Any:
        """Numbers and offsets of a text's pieces."""
        encoding = self.tokenizer.plain.encode(text, add_special_tokens=False)
        return SimpleNamespace(ids=self.trace(text, encoding.ids, encoding.offsets), offsets=encoding.offsets)

    def trace(self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
        """Remember a text and its pieces; their numbers."""
        first = len(self.tokenizer) + len(self.pieces)
        if self.one_word:
            self.segments = self.segments or [[]]
            self.segments[0].append(Word(text, " "))
            owners = [len(self.segments[0]) - 1] * len(ids)
        else:
            words, owners = words_of(text, offsets)
            self.segments.append(words)
        segment = len(self.segments) - 1
        self.pieces += [(i, segment, word) for i, word in zip(ids, owners, strict=True)]
        return list(range(first, first + len(ids)))

    def placed(self, numbers: Sequence[int]) -> tuple[list[int], list[Word], list[int]]:
        """Of a feature made of numbers: its ids, the words of its texts in the feature's order, and each place's word or -1."""
        base = len(self.tokenizer)
        found = [(n, -1, -1) if n < base else self.pieces[n - base] for n in numbers]
        order = list(dict.fromkeys(segment for _, segment, _ in found if segment >= 0))
        words: list[Word] = []
        number: dict[tuple[int, int], int] = {(-1, -1): -1}
        for segment in order:
            number |= {(segment, -1): -1} | {(segment, w): len(words) + w for w in range(len(self.segments[segment]))}
            own = self.segments[segment]
            words += own if segment == order[0] or not own else [Word(own[0].text, f" ⏐ {own[0].before}"), *own[1:]]
        return [i for i, _, _ in found], words, [number[segment, word] for _, segment, word in found]


def words_of(text: str, offsets: Sequence[tuple[int, int]]) -> tuple[list[Word], list[int]]:
    """The words of a text, and for each piece (first character, one past the last) its word. No word is smaller than a piece."""
    owner, at = np.full(len(text), -1), 0
    for n, word in enumerate(part for whole in split_words(text) for part in CJK.findall(whole)):
        at = text.index(word, at)
        owner[at : at + len(word)] = n
        at += len(word)
    for a, b in offsets:
        inside = np.unique(owner[a:b])
        if (inside >= 0).sum() > 1:
            owner[np.isin(owner, inside[inside >= 0])] = inside.max()
    names = list(dict.fromkeys(owner[owner >= 0].tolist()))
    number = {name: i for i, name in enumerate(names)}
    words, end = [], 0
    for name in names:
        places = np.flatnonzero(owner == name)
        words.append(Word(text[places[0] : places[-1] + 1], text[end : places[0]]))
        end = int(places[-1]) + 1
    last = [owner[a:b][owner[a:b] >= 0][-1:] for a, b in offsets]
    return words, [number[int(own[0])] if len(own) else -1 for own in last]
