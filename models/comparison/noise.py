"""Typing errors, to see what they cost each rung: two letters swapped, one left out, one doubled, one replaced.

Read next: contest.py.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

LEVELS = (0.1, 0.3)  # shares of words with an error
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def with_typos(task: Any, examples: list[Any], share: float, seed: int) -> list[Any] | None:
    """Copies whose words are misspelt with this probability; of a question its words alone; None where it makes no sense."""
    fields = {"classify": ("text", "pair"), "tag": ("words",), "qa": ("question",), "choice": ("text", "lead")}.get(task.name, ())
    if not fields:
        return None
    rng = np.random.default_rng([seed, 13, round(1000 * share)])

    def spoilt(value: Any) -> Any:
        if isinstance(value, list):
            return [spoilt(word) for word in value]
        return value and re.sub(r"[^\W\d_]{3,}", lambda m: typo(m[0], rng) if rng.random() < share else m[0], value)

    return [dataclasses.replace(e, **{name: spoilt(getattr(e, name)) for name in fields}) for e in examples]


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
