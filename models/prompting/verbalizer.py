"""A verbalizer: which words stand for which class, and the class's score from theirs.

Schick and Schütze (2021), section 3 (mean of logits); Schick, Schmid and Schütze (2020), "Automatically identifying words that
can serve as labels for few-shot text classification", https://arxiv.org/abs/2010.13641, and Gao et al. (2021), section 5.1
(words found from examples).
Read before: template.py. Read next: calibration.py, cloze.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..errors import BadInput, count, listing
from ..finetuning.labels import names_in
from ..text.tokenizer import Tokenizer

RULES = ("mean", "sum")
EXAMPLE = "great:positive,terrible:negative"


class Verbalizer:
    """``Verbalizer({"positive": ["great"], "negative": ["terrible"]}, tokenizer)(logits)``: (B, V) -> class logits (B, C).

    rule "mean": the mean of a class's logits. rule "sum": log Σ exp of them, so that softmax over the classes gives the sum of
    its words' probabilities, as a share; of sets of unequal size it favours the larger.
    """

    def __init__(self, words: dict[str, list[str]], tokenizer: Tokenizer, rule: str = "mean") -> None:
        self.words, self.rule = words, rule
        self.ids = {label: [piece_of(word, tokenizer) for word in some] for label, some in words.items()}
        owner: dict[int, tuple[str, str]] = {}
        for label, ids in self.ids.items():
            for word, i in zip(words[label], ids, strict=True):
                other, first = owner.setdefault(i, (label, word))
                if other != label:
                    both = f"{word!r}" if first == word else f"{first!r} and {word!r}, one piece of this vocabulary,"
                    raise BadInput(f"--words: {both} cannot stand for both {other} and {label}: give each class words of its own")

    def __call__(self, logits: Tensor) -> Tensor:
        own = (minitorch.index_select(logits, 1, minitorch.tensor(ids).to(logits.device)) for ids in self.ids.values())
        return minitorch.stack([x.mean(-1) if self.rule == "mean" else minitorch.logsumexp(x, -1) for x in own], -1)


def parse_words(text: str) -> dict[str, list[str]]:
    """label -> words of "word:label,word:label,..."; a label may have several words."""
    words: dict[str, list[str]] = {}
    for part in names_in(text):
        word, _, label = (x.strip() for x in part.partition(":"))
        if not word or not label:
            raise BadInput(f"--words: {part!r} is not word:label, as in {EXAMPLE}")
        words.setdefault(label, [])
        words[label] += [word] * (word not in words[label])
    if len(words) < 2:
        raise BadInput(f"--words names one class alone, {next(iter(words))!r}; there must be two, as in {EXAMPLE}")
    return words


def piece_of(word: str, tokenizer: Tokenizer) -> int:
    """The id of a word that is one piece; BadInput names its pieces if it has several."""
    ids = tokenizer.encode_lines([word], special=False)[0]
    if len(ids) == 1 and ids[0] != tokenizer.unk_id:
        return ids[0]
    cure = "take another word, or --words auto with --train FILE finds some"
    if len(ids) > 1 and tokenizer.unk_id not in ids:
        pieces = listing([tokenizer.tokens[i] for i in ids], 8)
        raise BadInput(
            f"--words: {word!r} is {count(len(ids), 'piece')} of this vocabulary ({pieces}), and [MASK] is one; {cure}"
        )
    raise BadInput(f"--words: {word!r} is not in the vocabulary of this model; {cure}")


def find_words(
    mean_log_p: np.ndarray[Any, Any], labels: list[str], tokenizer: Tokenizer, k: int = 3, plausible: int = 100
) -> dict[str, list[str]]:
    """k words per class. mean_log_p (C, V): the mean of log p(w | x) at the mask, over the examples x of each class.

    Of the ``plausible`` most probable words of a class (Gao et al.) those count that are likelier there than in any other class;
    the k with the highest likelihood ratio of the class against the rest are taken (Schick et al., section 4).
    """
    C = len(labels)
    ratio = mean_log_p - (mean_log_p.sum(0) - mean_log_p) / (C - 1)  # (C, V)
    whole = [i for i, token in enumerate(tokenizer.tokens) if token.isalpha() and (len(token) > 1 or not token.isascii())]
    whole = [
        i for i, ids in zip(whole, tokenizer.encode_lines([tokenizer.tokens[i] for i in whole], special=False)) if ids == [i]
    ]
    words = {}
    for c, label in enumerate(labels):
        likely = sorted(whole, key=lambda i: -mean_log_p[c, i])
        own = [i for i in likely[:plausible] if ratio[:, i].argmax() == c] or [i for i in likely if ratio[:, i].argmax() == c]
        if not own:
            raise BadInput(f"--words auto: no word is likelier in {label!r} than in another class; give words, word:label,...")
        words[label] = [tokenizer.tokens[i] for i in sorted(own, key=lambda i: -ratio[c, i])[:k]]
    return words
