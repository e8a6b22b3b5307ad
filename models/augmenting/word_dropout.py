"""Word dropout: each word is hidden behind [MASK] with probability α, all its pieces; what is left must do.

The number of pieces stays, so that the labels of words and the ends of answers stay in their places: it suits every task.
Bowman et al. (2016), "Generating sentences from a continuous space", https://arxiv.org/abs/1511.06349, section 3.1 (there with
an unknown word). Read before: eda.py. Read next: masked_lm.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..text.tokenizer import Tokenizer


def hidden(ids: Sequence[int], tokenizer: Tokenizer, keep: set[int], rng: Any, α: float = 0.1) -> list[int]:
    """The ids with some words hidden; tokens of ``keep`` ([CLS], [SEP], marks) stay."""
    result, hide = [], False
    for i in ids:
        if not tokenizer.tokens[i].startswith(tokenizer.prefix):  # a word begins
            hide = bool(rng.random() < α)
        result.append(tokenizer.mask_id if hide and i not in keep else i)
    return result
