"""PGD, projected gradient descent: K small steps, each back into the ball of radius ε.

    δ ← Π_{‖δ‖ ≤ ε}(δ + α g / ‖g‖₂),   g = ∇_δ L(x + δ)
    θ learns from ½ L(x) + ½ L(x + δ_K)

The gradients of θ on the way are not used. Madry et al. (2018), section 2.1; on embeddings with the L2 norm as in fgm.py.
Read before: fgm.py. Read next: freelb.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minitorch import Tensor

from .base import Game, added, nowhere, project, unit


def pgd(
    game: Game, parameters: Sequence[Tensor], share: float, radius: float, steps: int, rate: float
) -> tuple[Tensor, list[Any]]:
    """The loss, and the gradients of ``share`` times it."""
    clean, _, δ = game.at(nowhere)
    gradients, g = game.gradients(clean * (share / 2), parameters, δ)
    for k in range(1, steps + 1):
        moved, _, δ = game.at(project(δ.detach() + rate * unit(g), radius))
        more, g = game.gradients(moved * (share / 2), parameters if k == steps else [], δ)
    return (clean + moved).detach() / 2, added(gradients, more)
