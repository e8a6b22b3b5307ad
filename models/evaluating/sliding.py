"""Perplexity under GPT: each token is guessed from those before it, in windows that slide over the text.

As Hugging Face documents it ("Perplexity of fixed-length models"): windows of the model's length, ``stride`` apart, and each
token is counted once, where it has the most text before it. With a small stride every token sees nearly a whole window, for more
work. There each window's mean counts as often as it has tokens, but one; here the sum is exact.
Read before: perplexity.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F

from ..errors import BadInput
from .perplexity import Perplexity, windows

LOGITS = 1 << 24  # numbers at once: 64 MB


def sliding(
    model: Any, tokenizer: Any, text: str, length: int, stride: int, progress: Callable[[Sequence[Any]], Iterable[Any]] = iter
) -> Perplexity:
    """Σ -ln p of a text's tokens, of all but the first, which has none before it."""
    ids = np.array(tokenizer.encode_lines([text], special=False)[0], np.int64)
    if len(ids) < 2:
        raise BadInput(f"perplexity needs two tokens, of which the first is given; this text has {len(ids)}")
    total = 0.0
    with minitorch.no_grad():
        for begin, end, first, last in progress(list(windows(len(ids), length, stride))):
            seen = minitorch.from_numpy(ids[begin:end][None]).to(model.lm_head.weight.device)
            hidden = model.transformer(seen, use_cache=False).last_hidden_state[0]  # (S, H)
            most = max(1, LOGITS // model.config.vocab_size)
            for at in range(max(first, 1), last, most):
                wanted = seen[0, at - begin : min(at + most, last) - begin]  # the tokens at, at + 1, ...
                logits = model.lm_head(hidden[at - 1 - begin : at - 1 - begin + len(wanted)])  # (wanted, V)
                total += float(F.cross_entropy(logits, wanted, reduction="sum").item())
    if not np.isfinite(total):
        raise BadInput("the model's answers are NaN or infinite, so its weights are damaged")
    given = tokenizer.decode(ids[:1].tolist(), skip_special_tokens=False)
    characters, size = len(text) - len(given), len(text.encode()) - len(given.encode())
    method = f"each token but the first from those before it, windows of {length}, {stride} apart"
    return Perplexity(total, len(ids) - 1, characters, size, method)
