"""Fill in five masked words of the held-out text with a pretrained model.

Read before: pretraining.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .use import fill_mask


def filled_masks(model: Any, text: Any, count: int = 5) -> list[str]:
    """Sentences of the held-out text with one word masked, and the model's three best guesses."""
    tokenizer, corpus = text.tokenizer, text.valid
    lines: dict[str, None] = {}  # each once, in order
    for i, ids in suitable(corpus):
        tokens = [tokenizer.tokens[t] for t in ids]
        # Whole words: no piece of one, and none follows. Long ones first: they say more than "the".
        words = [k for k, token in enumerate(tokens) if token.isalnum() and not "".join(tokens[k + 1 : k + 2]).startswith("##")]
        words = [k for k in words if len(tokens[k]) > 3] or words
        if not words:
            continue
        place = words[i % len(words)]
        if len(tokenizer.encode_lines([tokenizer.decode(ids)])[0]) > model.config.max_position_embeddings - 2:
            continue
        masked = f"{tokenizer.decode(ids[:place])} [MASK] {tokenizer.decode(ids[place + 1 :])}".strip()
        guesses = ", ".join(f"{token} {p:.0%}" for token, p in fill_mask(model, tokenizer, masked, 3)[0])
        lines[f"  {masked}\n      {guesses}   (the text has: {tokens[place]})"] = None
        if len(lines) == count:
            break
    return list(lines)


def suitable(corpus: Any) -> Iterator[tuple[int, list[int]]]:
    """Sentences of 10 to 24 tokens from all over the text, then shorter ones."""
    lengths = corpus.sentences[1:] - corpus.sentences[:-1]
    good, other = (lengths >= 10) & (lengths <= 24), (lengths < 10) & (lengths > 1)
    for choice in (good.nonzero()[0], other.nonzero()[0]):
        for i in choice[:: max(1, len(choice) // 20)].tolist():
            yield i, corpus.ids[corpus.sentences[i] : corpus.sentences[i + 1]].tolist()
