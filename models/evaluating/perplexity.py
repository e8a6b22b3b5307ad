"""Perplexity: how many equally probable choices a model is left with, on average, at each token (or character, or byte).

    perplexity = exp(-(1/N) Σ ln p(token))

Models cut text into different tokens, so that figures per token compare only models with one tokenizer; figures per character and
per byte share the same Σ ln p out over the text itself, and compare any two that have read it in the same way.
Read next: sliding.py, pseudo.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Perplexity:
    """A sum of -ln p over a text, and the text's sizes."""

    nats: float
    tokens: int
    characters: int
    bytes: int
    method: str  # how each token was guessed

    def per(self, unit: str) -> float:
        """Nats per token, character or byte ("tokens", "characters", "bytes")."""
        return self.nats / max(1, getattr(self, unit))

    def perplexity(self, unit: str) -> float:
        """e to the nats per unit."""
        nats = self.per(unit)
        return math.exp(nats) if nats < 700 else math.inf


def windows(n: int, length: int, stride: int, middle: bool = False) -> Iterator[tuple[int, int, int, int]]:
    """(begin, end, first, last): the model sees tokens begin ... end-1 and guesses first ... last-1 of them.

    Windows of ``length`` tokens, ``stride`` apart; each token is guessed once. What is guessed stands at the end of its window
    (the text before it is seen), or with ``middle`` in the middle (the text on both sides).
    """
    if not middle:
        for begin in range(0, max(1, n - length + stride), stride):
            end = min(begin + length, n)
            yield begin, end, 0 if begin == 0 else end_before(begin, length, stride), end
        return
    for first in range(0, n, stride):
        begin = max(0, min(first - (length - stride) // 2, n - length))
        yield begin, min(begin + length, n), first, min(first + stride, n)


def end_before(begin: int, length: int, stride: int) -> int:
    """Where the window before the one at ``begin`` ended."""
    return begin - stride + length
