"""What a pretrained model can do: sentences of the held-out text in which it finds a hidden word, and the commands to go on with.

Read before: pretraining.py.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import count
from .use import fill_mask


class Trial(NamedTuple):
    """A sentence with one word hidden, the word, and the model's three best guesses with their probabilities."""

    masked: str
    word: str
    guesses: list[tuple[str, float]]

    @property
    def found(self) -> bool:
        """Is the best guess the word?"""
        return self.guesses[0][0] == self.word


def trials(model: Any, text: Any, most: int = 120) -> list[Trial]:
    """The model's guesses in sentences from all over the held-out text, each with one word hidden."""
    tokenizer, corpus = text.tokenizer, text.valid
    found: dict[str, Trial] = {}  # each sentence once, in order
    for i, ids in suitable(corpus, most):
        tokens = [tokenizer.tokens[t] for t in ids]
        # Whole words: no piece of one, and none follows. Long ones first: they say more than "the".
        words = [k for k, token in enumerate(tokens) if token.isalnum() and not "".join(tokens[k + 1 : k + 2]).startswith("##")]
        words = [k for k in words if len(tokens[k]) > 3] or words
        if not words or tokenizer.unk_id in ids:
            continue
        place = words[i % len(words)]
        if len(tokenizer.encode_lines([tokenizer.decode(ids)])[0]) > model.config.max_position_embeddings - 2:
            continue
        masked = f"{tokenizer.decode(ids[:place])} [MASK] {tokenizer.decode(ids[place + 1 :])}".strip()
        if masked not in found:
            found[masked] = Trial(masked, tokens[place], fill_mask(model, tokenizer, masked, 3)[0])
        if len(found) == most:
            break
    return list(found.values())


def suitable(corpus: Any, most: int) -> Iterator[tuple[int, list[int]]]:
    """Sentences of 10 to 24 tokens from all over the text, then shorter ones; ``most`` of each or a few more."""
    lengths = corpus.sentences[1:] - corpus.sentences[:-1]
    good, other = (lengths >= 10) & (lengths <= 24), (lengths < 10) & (lengths > 1)
    for choice in (good.nonzero()[0], other.nonzero()[0]):
        for i in choice[:: max(1, len(choice) // most)].tolist():
            yield i, corpus.ids[corpus.sentences[i] : corpus.sentences[i + 1]].tolist()


def best(tried: list[Trial], most: int) -> list[Trial]:
    """Sentences whose hidden word was found, each word once: first the sure guesses of rare words, which say most."""
    seen = Counter(trial.word for trial in tried)
    right = sorted((trial for trial in tried if trial.found), key=lambda trial: -trial.guesses[0][1] / seen[trial.word])
    chosen: dict[str, Trial] = {}
    for trial in right:
        chosen.setdefault(trial.word, trial)
    return list(chosen.values())[:most]


def showing(tried: list[Trial], folder: Any, most: int = 5) -> str:
    """The lines that ``minitorch pretrain`` ends with."""
    right = best(tried, most)
    found = sum(trial.found for trial in tried)
    lines = [f"it finds the hidden word in {found} of {count(len(tried), 'held-out sentence')}" + (":" if right else "")]
    for trial in right:
        lines += [f"  {trial.masked}", "      " + ", ".join(f"{token} {p:.0%}" for token, p in trial.guesses)]
    masked = (right or tried or [Trial("a [MASK]", "", [])])[0].masked
    model = shlex.quote(str(folder))
    lines += ["", f"fill in a word:  minitorch fill-mask {shlex.quote(masked)} --model {model}"]
    lines += [f"fine-tune it:    minitorch finetune classify --train FILE --model {model}"]
    return "\n".join(lines)
