"""Elastic weight consolidation: weights that mattered to an old task are tied to the values they had for it.

    L(θ) + λ/2 Σ_t Σ_i F_t,i (θ_i - θ*_t,i)²         EWC: a term for every old task t; F is its Fisher information at θ*_t
    F <- γ F + F_t,  θ* <- θ*_t                      online EWC: one term, whatever the number of tasks

Kirkpatrick et al. (2017), "Overcoming catastrophic forgetting in neural networks", https://arxiv.org/abs/1612.00796, equation 3;
Schwarz et al. (2018), "Progress & compress", https://arxiv.org/abs/1805.06370, section 3. Other programs leave the ½ out, so that
their λ is half of this one. F is tiny where a model is sure of its answers: search λ on a log scale.
Read before: fisher.py, sequential.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import minitorch.nn.functional as F
from minitorch import Tensor

from ..training.loop import to_device
from ..training.states import check_like
from .fisher import fisher
from .sequential import Sequential

Term = dict[str, dict[str, Tensor]]  # "F" and "θ", each by the parameter's name


def penalty(parameters: Mapping[str, Tensor], terms: Sequence[Term], λ: float) -> Tensor | float:
    """λ/2 Σ F (θ - θ*)² over all terms and parameters."""
    total: Tensor | float = 0.0
    for term in terms:
        for name, fixed in term["θ"].items():
            change = parameters[name] - fixed
            total = total + (term["F"][name] * change * change).sum()
    return total * (λ / 2)


class EWC(Sequential):
    """kept: ``terms``, one per task learnt."""

    name = "ewc"

    def __init__(self, run: Any) -> None:
        super().__init__(run)
        self.kept: dict[str, list[Term]] = {"terms": []}
        run.stream.added = self.added

    def begin(self, i: int, trainer: Any) -> None:
        parameters, terms = self.learning(), self.kept["terms"]
        check_like(self.run.path, "terms", terms, [{"F": parameters, "θ": parameters}] * len(terms))
        for values in (values for term in terms for values in term.values()):  # a state is read to the CPU
            values.update({name: value.to(self.s.device) for name, value in values.items()})

    def added(self, model: Any, batch: dict[str, Tensor], logits: Tensor) -> Tensor | float:
        """The penalty."""
        return penalty(self.learning(), self.kept["terms"], self.s.ewc_lambda)

    def learning(self) -> dict[str, Tensor]:
        """The parameters that learn."""
        return {name: p for name, p in self.run.model.named_parameters() if p.requires_grad}

    def after(self, i: int, trainer: Any) -> None:
        θ = {name: p.detach().clone() for name, p in self.learning().items()}
        self.kept["terms"] = self.consolidated({"F": self.fisher(i, trainer), "θ": θ})

    def consolidated(self, new: Term) -> list[Term]:
        """The terms, with that of the task just learnt."""
        return [*self.kept["terms"], new]

    def fisher(self, i: int, trainer: Any) -> dict[str, Tensor]:
        """F from --fisher-examples of the task's training examples."""
        model, stream, rng = trainer.model, trainer.task, np.random.default_rng([self.s.seed, 29, i])
        chosen = [trainer.features[k] for k in rng.permutation(len(trainer.features))[: self.s.fisher_examples]]
        size = self.s.batch_size if self.s.fisher == "batched" else 1
        groups = [chosen[k : k + size] for k in range(0, len(chosen), size)]

        def log_p(features: Any) -> Tensor:
            batch = to_device(stream.batch(features, trainer.tokenizer), model, self.s.device)
            return F.log_softmax(stream.ask(model, batch)[0] + batch["shut"], dim=-1)

        model.eval()
        return fisher(log_p, ((g, [f.target for f in g]) for g in groups), self.learning(), self.s.fisher, rng)


class OnlineEWC(EWC):
    """kept: ``terms``, of which there is one."""

    name = "online-ewc"

    def consolidated(self, new: Term) -> list[Term]:
        for old in self.kept["terms"]:
            new["F"] = {name: self.s.gamma * old["F"][name] + value for name, value in new["F"].items()}
        return [new]
