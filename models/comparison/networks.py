"""The networks of models/classical as rungs: trained from nothing, at a rate that the held-out examples choose.

Read before: models/classical/neural.py. Read next: rungs.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..classical.baselines import Baseline
from ..classical.convolution import ConvolutionalClassifier
from ..classical.lstm import LstmClassifier
from ..classical.lstm_crf import LstmCrfTagger
from ..classical.pipeline import Rung, whole
from .bert import STEPS


class FromNothing(Baseline):
    """A network at one rate; small sets of examples are gone through often enough for some learning.

    Where it learns from the ``whole`` training set, the epoch that is best on ``dev`` is kept: a point of the learning curve has
    no held-out examples.
    """

    def __init__(self, task: Any, kind: Any, lr: float, dev: list[Any], whole: int) -> None:
        self.task, self.kind, self.lr, self.dev, self.whole = task, kind, lr, dev, whole

    def inputs(self, examples: list[Any]) -> list[Any]:
        """What the network reads: words of sentences, or texts."""
        return [s.words for s in examples] if self.task.name == "tag" else [whole(e) for e in examples]

    def answers(self, examples: list[Any]) -> list[Any]:
        """Tags of sentences, or classes."""
        return [e.tags if self.task.name == "tag" else self.task.target(e) for e in examples]

    def fit(self, examples: list[Any]) -> Baseline:
        epochs = max(self.kind.epochs, math.ceil(STEPS / math.ceil(len(examples) / self.kind.batch_size)))
        dev = self.dev if len(examples) == self.whole else []
        self.net = self.kind(self.lr, self.task.s.seed, epochs=epochs)
        self.net.fit(self.inputs(examples), self.answers(examples), (self.inputs(dev), self.answers(dev)))
        self.parameters, self.size = self.net.parameters, self.net.size
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        if self.task.name == "tag":
            return list(self.net.predict(self.inputs(examples)))
        full = np.zeros((len(examples), len(self.task.labels)))  # a small subset may lack a label
        full[:, self.net.classes] = self.net.predict_proba(self.inputs(examples))
        return list(full)


def networks(task: Any, dev: list[Any], n: int) -> list[Rung]:
    """Those that fit the task, whose best epoch on ``dev`` is kept when they learn from all n examples."""
    kinds: dict[str, Any] = {}
    if task.name == "classify" and task.targets == "classes":
        kinds = {"convolutional network (Kim 2014)": ConvolutionalClassifier, "bidirectional LSTM": LstmClassifier}
    elif task.name == "tag":
        kinds = {"LSTM + CRF (Lample 2016)": LstmCrfTagger}
    return [
        Rung(name, lambda lr, kind=kind: FromNothing(task, kind, lr, dev, n), "rate", kind.rates)  # type: ignore[misc]
        for name, kind in kinds.items()
    ]
