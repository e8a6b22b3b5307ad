"""BERT as a rung that answers with a word: "{text} It was [MASK]." with words for each class that are found from the examples.

Read before: models/prompting/cloze.py. Read next: rungs.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..classical.baselines import Baseline
from ..prompting.cloze import Cloze
from ..prompting.cloze import Settings as PromptSettings
from ..prompting.use import Prompt, fit, like
from .bert import STEPS
from .settings import Problem


class ClozeRung(Baseline):
    """The whole masked LM, fine-tuned on the class words at the mask (Gao et al., 2021)."""

    def __init__(self, problem: Problem, lr: float) -> None:
        self.p, self.lr = problem, lr

    def fit(self, examples: list[Any]) -> Baseline:
        s, task = self.p.s, self.p.task
        pair = "{text} {pair} It was [MASK]." if task.columns["pair"] else "{text} It was [MASK]."
        steps = max(STEPS, s.epochs * math.ceil(len(examples) / s.batch_size))
        shared = ("model", "length", "truncate", "batch_size", "weight_decay", "clip", "dropout", "warmup")
        shared = (*shared, "threads", "seed", "device")
        asked = PromptSettings(
            words="auto", template=pair, steps=steps, lr=self.lr, **{name: getattr(s, name) for name in shared}
        )
        reader = Cloze(asked)
        reader.remember({**task.facts(), "words": {}, "pool": []})
        found = Prompt.untrained(asked, reader, examples).task  # its words, from these examples alone
        self.words = found.label_words
        self.prompt = Prompt(fit(asked, like(Cloze, found), examples, self.lr, "", False))
        self.parameters = self.prompt.trainer.model.num_parameters()
        self.size = 4 * self.parameters
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        p = self.prompt.probabilities(examples)  # (n, C), the classes in the order of the prompt's labels
        order = [self.prompt.task.labels.index(label) for label in self.p.task.labels]
        return list(np.asarray(p)[:, order])

    def weights_of_words(self) -> list[str]:
        """The words that stand for the classes."""
        return ["words at the mask: " + "; ".join(f"{label}: {', '.join(words)}" for label, words in self.words.items())]
