"""FreeLB: K steps of the attack, and the model learns from every one of them, since its gradients are there anyway.

    δ₀ = u m / √(n H),  u uniform in [-1, 1], n the example's words
    θ learns from (1/K) Σ_k L(x + δ_k),   δ_{k+1} = Π_{‖δ‖ ≤ ε}(δ_k + α g_k / ‖g_k‖₂)

Zhu et al. (2020), "FreeLB: Enhanced adversarial training for natural language understanding", https://arxiv.org/abs/1909.11764,
algorithm 1 and its code. It costs K ordinary steps. Read before: pgd.py. Read next: smart.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minitorch
from minitorch import Tensor

from .base import Game, Start, added, project, unit

SIZE = 0.6  # m, of the first perturbation


def freelb(
    game: Game, parameters: Sequence[Tensor], share: float, radius: float, steps: int, rate: float
) -> tuple[Tensor, list[Any]]:
    """The loss, and the gradients of ``share`` times it."""

    def start(x: Tensor, mask: Tensor) -> Tensor:
        n = mask.sum(dim=(1, 2), keepdim=True).clamp(min=1.0)  # (B, 1, 1)
        before = minitorch.get_rng_state()
        u = 2 * minitorch.rand_like(x) - 1
        minitorch.set_rng_state(before)  # or the dropout masks of this pass would be others than those of the next
        return project(u * mask * (SIZE / (n * x.shape[-1]).sqrt()), radius)

    δ: Tensor | Start = start
    total: Any = 0.0
    gradients: list[Any] = [None] * len(parameters)
    for _ in range(steps):
        loss, _, δ = game.at(δ)
        more, g = game.gradients(loss * (share / steps), parameters, δ)
        gradients, total = added(gradients, more), total + loss.detach()
        δ = project(δ.detach() + rate * unit(g), radius)
    return total / steps, gradients
