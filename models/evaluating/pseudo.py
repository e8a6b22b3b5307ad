"""Pseudo-perplexity under BERT: each token is masked in turn and guessed from all others, on both sides.

It is no perplexity: the guesses do not multiply to a probability of the text, and a token that sees both sides is easier to
guess. It compares BERTs with each other, never BERT with GPT. Salazar, Liang, Nguyen and Kirchhoff (2020), "Masked language model
scoring", https://arxiv.org/abs/1910.14659, equation 2. Every token costs a pass over its window.
Read before: perplexity.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..errors import BadInput
from .perplexity import Perplexity, windows

ROWS = 32


def pseudo(
    model: Any, tokenizer: Any, text: str, length: int, stride: int, progress: Callable[[Sequence[Any]], Iterable[Any]] = iter
) -> Perplexity:
    """Σ -ln p of a text's tokens, each masked in turn. length counts [CLS] and [SEP], which stand around each window."""
    ids = np.array(tokenizer.encode_lines([text], special=False)[0], np.int64)
    if not len(ids):
        raise BadInput("the text has no token")
    total = 0.0
    parts = [
        (begin, end, at, min(at + ROWS, last))
        for begin, end, first, last in windows(len(ids), length - 2, stride, middle=True)
        for at in range(first, last, ROWS)
    ]
    with minitorch.no_grad():
        for begin, end, first, last in progress(parts):
            rows = np.tile(np.array([tokenizer.cls_id, *ids[begin:end], tokenizer.sep_id]), (last - first, 1))  # (rows, S)
            places = np.arange(first, last)[:, None] - begin + 1  # [CLS] stands before the window
            np.put_along_axis(rows, places, tokenizer.mask_id, 1)
            at, wanted = Tensor(places).to(device_of(model)), Tensor(ids[first:last]).to(device_of(model))
            hidden = model.bert(Tensor(rows).to(device_of(model)), rows=at).last_hidden_state[:, 0]  # (rows, H)
            total += float(F.cross_entropy(model.cls.predictions(hidden), wanted, reduction="sum").item())
    if not np.isfinite(total):
        raise BadInput("the model's answers are NaN or infinite, so its weights are damaged")
    method = f"pseudo-perplexity, each token masked in turn, windows of {length}, {stride} apart"
    return Perplexity(total, len(ids), len(text), len(text.encode()), method)


def device_of(model: Any) -> str:
    """Where its weights are."""
    return str(next(iter(model.parameters())).device)
