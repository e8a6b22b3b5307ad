"""FGM, the fast gradient method: one step of length ε along the gradient.

    δ = ε g / ‖g‖₂,   g = ∇_x L(x)
    θ learns from ½ L(x) + ½ L(x + δ)

Miyato, Dai and Goodfellow (2017), "Adversarial training methods for semi-supervised text classification",
https://arxiv.org/abs/1605.07725, eq. 6: δ for each example, on its embeddings. The loss is Goodfellow et al.'s (2015), section 5,
with α = ½: Miyato's sum halved, so that learning rate and clipping mean what they mean without an adversary.
Read before: base.py. Read next: pgd.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minitorch import Tensor

from .base import Game, added, nowhere, unit


def fgm(game: Game, parameters: Sequence[Tensor], share: float, radius: float, **_: Any) -> tuple[Tensor, list[Any]]:
    """The loss, and the gradients of ``share`` times it."""
    clean, _, δ = game.at(nowhere)
    gradients, g = game.gradients(clean * (share / 2), parameters, δ)
    moved, _, δ = game.at(radius * unit(g))
    more, _ = game.gradients(moved * (share / 2), parameters, δ)
    return (clean + moved).detach() / 2, added(gradients, more)
