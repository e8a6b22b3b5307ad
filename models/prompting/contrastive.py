"""The alternative without words: vectors of texts that training draws together within a class and apart between classes.

Tunstall et al. (2022), "Efficient few-shot learning without prompts" (SetFit), https://arxiv.org/abs/2209.11055: an encoder is
trained on pairs of texts, then a logistic regression on its vectors. It needs no masked-LM head.
Read before: models/bert/use.py, models/finetuning/classify.py. Read next: curve.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..bert.model import BertModel
from ..bert.use import mean_pooled
from ..finetuning.classify import Classify
from ..finetuning.tasks import Task
from ..training.trainer import Trainer


def pair_loss(z: Tensor, labels: Tensor) -> Tensor:
    """Mean of (zᵢ·zⱼ - [yᵢ = yⱼ])² over the pairs i < j of a batch; z (B, H) has length 1, so the product is the cosine.

    SetFit draws as many pairs of one class as of two. Here all pairs of a batch count, and each of the two kinds for a half.
    """
    first, second = np.triu_indices(len(z), 1)
    y = labels.cpu().numpy()
    alike = (y[first] == y[second]).astype(np.float32)  # (pairs,)
    weight = alike / max(1, alike.sum()) + (1 - alike) / max(1, (1 - alike).sum())
    cosine = (z @ z.T).reshape(-1)[minitorch.tensor(first * len(z) + second).to(z.device)]
    error = (cosine - minitorch.tensor(alike).to(z.device)) ** 2
    return (error * minitorch.tensor(weight / max(1, weight.sum())).to(z.device)).sum()


class Contrastive(Classify):
    """Texts and classes as pairs for an encoder without a head."""

    kind = BertModel

    def config(self) -> dict[str, Any]:
        return {"add_pooling_layer": False}

    def batch(self, features: Any, tokenizer: Any) -> dict[str, Tensor]:
        return Task.batch(self, features, tokenizer)  # all tokens' states, for their mean

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        z = mean_pooled(model, {name: value for name, value in batch.items() if name != "labels"})
        return pair_loss(z, batch["labels"]), z

    def rows(self, output: Any, features: Any) -> list[Any]:
        return list(output.cpu().numpy())


class Vectors:
    """The columns of classical.baselines.Linear: an encoder's vectors of the examples."""

    parameters = size = 0

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def transform(self, examples: list[Any]) -> np.ndarray[Any, Any]:
        """(N, H)"""
        t = self.trainer
        rows, _ = t.answer(t.task.features(examples, t.tokenizer))
        return (np.stack(rows) - self.mean) / self.unit

    def fit(self, examples: list[Any], y: Any = None, make: Any = None) -> np.ndarray[Any, Any]:
        """The same, and remember their mean and spread: rows become about as long as TF-IDF's. (BERT's vectors are all alike.)"""
        self.mean, self.unit = 0.0, 1.0
        z = self.transform(examples)
        self.mean = z.mean(0)
        self.unit = np.sqrt(((z - self.mean) ** 2).sum(1).mean()) or 1.0
        return (z - self.mean) / self.unit
