"""Other spellings of a word: with a typing error (two letters swapped, one left out, doubled or replaced), in other capitals.

Who makes them: models/comparison/noise.py (how much do they cost?), models/attacking (which one costs the answer?).
"""

from __future__ import annotations

from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD = r"[^\W\d_]{3,}"  # words that are long enough for one


def typo(word: str, rng: Any) -> str:
    """One error, never at the first letter."""
    i, way = int(rng.integers(1, len(word))), int(rng.integers(4))
    if way == 0 and i + 1 < len(word):
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if way == 1:
        return word[:i] + word[i + 1 :]
    if way == 2:
        return word[:i] + word[i] + word[i:]
    return word[:i] + LETTERS[int(rng.integers(26))] + word[i + 1 :]


def like(word: str, other: str) -> str:
    """``other`` with capitals where ``word`` has them: at the start, or everywhere."""
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[0].upper() + other[1:] if word[:1].isupper() else other
