"""The methods by the names of ``minitorch finetune --augment``, and the copies that they make in each epoch.

Read before: the methods' own files. Read next: models/finetuning/run.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..bert.neighbours import Neighbours
from ..errors import BadInput, no_such_method
from ..text.wordlist import Wordlist
from .eda import edited, kinds_of
from .masked_lm import Guesses
from .synonyms import Fitting
from .word_dropout import hidden

METHODS = {"eda": (9, 0.1), "dropout": (1, 0.1), "mlm": (1, 0.15)}  # copies of an example, share of its words


def check(s: Any) -> None:
    """Fill in --augment-copies and --augment-rate of settings ``s``; BadInput for those that cannot work."""
    given = [name for name in ("augment_copies", "augment_rate", "wordlist") if getattr(s, name) not in (None, "")]
    if not s.augment:
        if given:
            raise BadInput(f"--{given[0].replace('_', '-')} is a setting of --augment METHOD, which is not given")
        return
    if s.augment not in METHODS:
        raise BadInput(no_such_method("--augment", s.augment, METHODS))
    if s.wordlist and s.augment == "dropout":
        raise BadInput("--wordlist has words to put in each other's place; --augment dropout only hides words")
    for name, value in zip(("augment_copies", "augment_rate"), METHODS[s.augment], strict=True):
        if getattr(s, name) is None:
            setattr(s, name, value)
    if not 1 <= s.augment_copies <= 1000:
        raise BadInput(f"--augment-copies must be from 1 to 1000, not {s.augment_copies}")
    if not 0 < s.augment_rate < 1:
        raise BadInput(f"--augment-rate, a share of the words, must be between 0 and 1, not {s.augment_rate}")


class Augmenter:
    """Puts the copies of an epoch in the place of features: those of examples n, n+1, ... when there are n of them.

    The examples stand 1 + copies times in a row; the first time they stay. Each copy is a function of (seed, epoch, its place),
    so that neither batches nor threads matter, and a resumed run goes on with the same.
    """

    def __init__(self, s: Any, task: Any, tokenizer: Any, model: Any, examples: Sequence[Any]) -> None:
        self.s, self.task, self.tokenizer, self.examples = s, task, tokenizer, list(examples)
        if s.augment == "dropout":
            special = (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id)
            self.keep = {*special, *(tokenizer.vocabulary[word] for word in task.words)}
            return
        self.refuse_others()
        source: Any = Wordlist(s.wordlist) if s.wordlist else Neighbours(model, tokenizer)
        self.labels = [task.target(e) if task.targets == "classes" else None for e in examples]
        self.fitting = Fitting(source, [e.text for e in examples], self.labels)
        if s.augment == "mlm":
            self.guesses = Guesses(s.model, self.fitting, s.device, s.augment_rate)

    def refuse_others(self) -> None:
        """Changed words leave the label of one text as it is, mostly; not those of words, pairs, places or choices."""
        kind = "pairs of texts" if self.task.name == "classify" and self.task.columns.get("pair") else self.task.name
        if kind != "classify":
            raise BadInput(
                f"--augment {self.s.augment} changes words, and with them the right answers of {kind}; it is for classifying "
                "single texts. --augment dropout hides words and leaves all others in their places"
            )

    def __call__(self, features: Sequence[Any], epoch: int) -> list[Any]:
        """The features of a batch, the copies among them as they are in this epoch."""
        return [self.copy(f, epoch) if f.example >= len(self.examples) else f for f in features]

    def copy(self, f: Any, epoch: int) -> Any:
        """A changed copy of the feature's example; the example itself where the change leaves nothing to read."""
        copy, i = divmod(f.example, len(self.examples))
        rng = np.random.default_rng([self.s.seed, 17, epoch, f.example])
        if self.s.augment == "dropout":
            return self.without_words(f, rng)
        e, label = self.examples[i], self.labels[i]
        if self.s.augment == "mlm":
            text = self.guesses(e.text, label, rng)
        else:
            order = kinds_of(self.s.augment_copies, np.random.default_rng([self.s.seed, 17, epoch, i]))
            synonyms = self.fitting.source if self.s.wordlist else lambda word: self.fitting(word, label)
            text = edited(e.text, order[copy - 1], synonyms, rng, self.s.augment_rate)
        if not any(self.tokenizer.encode_lines([text], special=False)):
            return f
        (new,) = self.task.features([dataclasses.replace(e, text=text)], self.tokenizer)
        return new

    def without_words(self, f: Any, rng: Any) -> Any:
        """Word dropout; of a choice in each of its texts."""

        def hide(ids: Sequence[int]) -> list[int]:
            return hidden(ids, self.tokenizer, self.keep, rng, self.s.augment_rate)

        if self.task.name == "choice":
            return dataclasses.replace(f, extra=[(hide(ids), types) for ids, types in f.extra])
        return dataclasses.replace(f, ids=hide(f.ids))
