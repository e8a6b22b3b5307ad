"""What an attack may put in a word's place.

Typing errors leave the meaning to a human reader: Gao et al. (2018), "Black-box generation of adversarial text sequences to evade
deep learning classifiers" (DeepWordBug), https://arxiv.org/abs/1801.04354, section 3.2. Neighbours of the embedding mostly do,
but not always (good, bad): read the examples. Read before: models/text/typos.py. Read next: attack.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..bert.neighbours import Neighbours
from ..errors import BadInput
from ..text.typos import WORD, typo
from ..text.wordlist import Wordlist

TRIES = 12  # typing errors drawn for a word; some are the same
WAYS = ("typos", "neighbours")
TURNING = {"not", "never", "none", "nor", "nothing", "nobody", "without", "cannot", "hardly"}  # without them a text means another
Change = Callable[[str, Any], list[str]]  # a word and a generator of random numbers -> what may stand in its place


def make_change(way: str, wordlist: str, model: Any, tokenizer: Any) -> Change:
    """By the name of --with, or a --wordlist."""
    if wordlist:
        words: Any = Wordlist(wordlist)
    elif way == "typos":
        return lambda word, rng: [t for t in dict.fromkeys(typo(word, rng) for _ in range(TRIES)) if t != word]
    elif way == "neighbours":
        words = Neighbours(model, tokenizer)
    else:
        raise BadInput(f"--with must be one of {', '.join(WAYS)}, not {way!r}")
    return lambda word, rng: [] if word.lower() in TURNING else words(word)


def places(text: str) -> list[tuple[int, int]]:
    """Where the words are that may be changed: of three letters or more, and not part of one with an apostrophe (don't)."""
    return [m.span() for m in re.finditer(rf"(?<![\w'’]){WORD}(?![\w'’])", text)]


def changed(text: str, spans: list[tuple[int, int]], new: dict[int, str]) -> str:
    """The text with some of its spans replaced, by their numbers."""
    parts, at = [], 0
    for i, word in sorted(new.items()):
        parts += [text[at : spans[i][0]], word]
        at = spans[i][1]
    return "".join([*parts, text[at:]])
