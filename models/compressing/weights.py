"""Pruning single weights of the encoder's matrices: those that are small, or those that training moves towards 0.

    magnitude    score |w|: Han et al. (2015), https://arxiv.org/abs/1506.02626, section 3
    movement     score S = -Σ w · ∂L/∂w over the steps, where ∂L/∂w passes straight through the mask, so that a weight may come
                 back: Sanh, Wolf and Rush (2020), https://arxiv.org/abs/2005.07683, section 4
    schedule     s_t = s (1 - (1 - t/T)³): Zhu and Gupta (2017), https://arxiv.org/abs/1710.01878, section 3

Zeros make a dense product neither faster nor smaller; the file shrinks under gzip alone. Embeddings, biases and LayerNorm stay.
Read before: models/training/trainer.py. Read next: training.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.parallel import Workers

from ..training.trainer import Trainer
from .heads import encoder

RISING = 0.7  # of the steps the share rises; in the others what is left recovers


def cubic(t: float, T: float, share: float) -> float:
    """The share that is pruned at step t: fast at first, share at T and later."""
    return share * (1 - (1 - min(1.0, t / max(T, 1e-9))) ** 3)


def kept(scores: dict[str, Any], share: float, scope: str = "matrix") -> dict[str, Any]:
    """Masks: 0 at the lowest scores, a share of each matrix or (scope "model") of all together."""
    if scope == "model":
        whole = mask_of(np.concatenate([s.reshape(-1) for s in scores.values()]), share)
        ends = np.cumsum([s.size for s in scores.values()])[:-1]
        return {name: part.reshape(scores[name].shape) for name, part in zip(scores, np.split(whole, ends), strict=True)}
    return {name: mask_of(s, share) for name, s in scores.items()}


def mask_of(scores: Any, share: float) -> Any:
    """0 at the round(share n) lowest of n scores, 1 elsewhere."""
    mask = np.ones(scores.size, np.float32)
    n = round(share * scores.size)
    if n:
        mask[np.argpartition(scores.reshape(-1), n - 1)[:n]] = 0
    return mask.reshape(scores.shape)


def matrices(model: Any) -> dict[str, Any]:
    """The encoder's weight matrices by name."""
    return {name: p for name, p in encoder(model).encoder.named_parameters() if p.ndim == 2}


class Pruner:
    """The masks of a model while it trains. The weights behind them are kept, so that they can come back."""

    def __init__(self, model: Any, by: str, share: float, scope: str, seed: int = 0) -> None:
        self.weights, self.by, self.share, self.scope = matrices(model), by, share, scope
        self.dense = {name: p.array.copy() for name, p in self.weights.items()}
        rng = np.random.default_rng([seed, 13])
        start = (lambda shape: rng.random(shape)) if by == "random" else np.zeros
        self.scores = {name: start(p.shape).astype(np.float32) for name, p in self.weights.items()}
        self.masks = {name: np.ones(p.shape, np.float32) for name, p in self.weights.items()}

    def prune(self, share: float) -> None:
        """Put zeros at the lowest scores."""
        scores = {name: np.abs(w) for name, w in self.dense.items()} if self.by == "magnitude" else self.scores
        self.masks = kept(scores, share, self.scope)
        self.put({name: w * self.masks[name] for name, w in self.dense.items()})

    def put(self, values: dict[str, Any]) -> None:
        """These values into the model."""
        with minitorch.no_grad():
            for name, value in values.items():
                self.weights[name].copy_(minitorch.tensor(value))

    def before_update(self) -> None:
        """After the backward pass: S -= w · ∂L/∂w; masked weights do not learn; the optimiser gets those behind the masks."""
        for name, p in self.weights.items():
            if p.grad is not None:
                if self.by == "movement":
                    self.scores[name] -= self.dense[name] * p.grad.numpy()
                p.grad = Tensor(p.grad.numpy() * self.masks[name])
        self.put(self.dense)

    def after_update(self, share: float) -> None:
        """What the optimiser made of the weights, with zeros in it."""
        self.dense = {name: p.array.copy() for name, p in self.weights.items()}
        self.prune(share)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {kind: {n: minitorch.tensor(v) for n, v in getattr(self, kind).items()} for kind in ("dense", "scores", "masks")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for kind in ("dense", "scores", "masks"):
            setattr(self, kind, {name: state[kind][name].numpy().copy() for name in self.weights})


class Gradual(Trainer):
    """Training in which the share of zeros rises."""

    pruner: Pruner

    def share(self, step: int) -> float:
        """Of zeros after a step."""
        return cubic(step, RISING * self.steps, self.pruner.share)

    def gradients(self, features: Sequence[Any], parameters: Sequence[Tensor], workers: Workers) -> list[Tensor]:
        losses = super().gradients(features, parameters, workers)
        self.pruner.before_update()
        return losses

    def one_step(self, features: Sequence[Any], workers: Workers) -> list[Tensor]:
        losses = super().one_step(features, workers)
        self.pruner.after_update(self.share(self.step + 1))
        return losses

    def settled(self, step: int) -> bool:
        """Only a model with all its zeros may be kept as the best."""
        return step >= RISING * self.steps
