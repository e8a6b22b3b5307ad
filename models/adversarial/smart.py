"""SMART's smoothness-inducing regularisation: the answers to moved texts must stay near the answers to the texts themselves.

    θ learns from L(x) + λ max_{‖δ‖_∞ ≤ ε} ℓ(f(x), f(x + δ))
    δ ← Π(δ + η g / ‖g‖_∞),   from δ₀ ~ N(0, σ²)

ℓ is the symmetrised Kullback-Leibler divergence; of numbers the squared difference. No label takes part in it.
Jiang et al. (2020), "SMART: Robust and efficient fine-tuning for pre-trained natural language models through principled
regularized optimization", https://arxiv.org/abs/1911.03437, section 3.1 and algorithm 1. (Their second part, Bregman proximal
point optimisation, is not here.)

The paper's ε = 1e-5 and η = 1e-3 are nothing to this size of embeddings: on a fine-tuned all-MiniLM-L6-v2 they change θ's
gradient by 5e-7 of it, 0.02 and 0.02 by 8 %; 0.05 makes it 45 times as long. Read before: freelb.py. Read next: choosing.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import minitorch
from minitorch import Tensor
from minitorch.graph import grad

from .base import Game, nowhere

Mean = Callable[[Tensor], Tensor]  # of logits: softmax for one class, sigmoid for several, nothing for numbers
NOISE = 1e-5  # σ
WEIGHT = 1.0  # λ


def smart(
    game: Game, parameters: Sequence[Tensor], share: float, radius: float, steps: int, rate: float, mean: Mean
) -> tuple[Tensor, list[Any]]:
    """The loss, and the gradients of ``share`` times it."""
    loss, answers, δ = game.at(nowhere)
    δ = game.allowed(minitorch.randn_like(δ) * NOISE)
    for _ in range(steps):
        _, moved, δ = game.at(δ)
        (g,) = grad(divergence(answers.detach(), moved, mean), [δ])
        g = game.allowed(g)
        δ = (δ.detach() + rate * g / largest(g)).clamp(-radius, radius)
    _, moved, _ = game.at(δ)
    total = loss + WEIGHT * divergence(answers, moved, mean)
    return total.detach(), list(grad(total * share, parameters, allow_unused=True))


def divergence(a: Tensor, b: Tensor, mean: Mean) -> Tensor:
    """The mean over answers of Σ_c (p_c - q_c)(a_c - b_c), with p and q the means that the logits a and b stand for.

    This is KL(p‖q) + KL(q‖p): Σ (p - q)(log p - log q), where the logits' normalising terms fall out, since Σ p = Σ q.
    """
    a, b = a.float(), b.float()
    return ((mean(a) - mean(b)) * (a - b)).sum(-1).mean()


def largest(g: Tensor) -> Tensor:
    """‖g‖_∞ of each example: (B, S, H) -> (B, 1, 1)."""
    return g.abs().amax(dim=tuple(range(1, g.ndim)), keepdim=True).clamp(min=1e-30)
