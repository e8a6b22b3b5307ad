"""One micro-batch under attack: its passes with perturbations δ of the word embeddings.

    min_θ E max_{‖δ‖ ≤ ε} L(x + δ, y; θ)

x (B, S, H) are the word embeddings, before positions, segments and LayerNorm are added. Each example has a δ of its own, 0 at
padding and special tokens, so that nothing depends on which examples share a batch. Norms are over an example's (S, H).
With the unit "deviation" the perturbation is σ δ, σ the root mean square of the numbers in the example's own embeddings: a radius
then means the same whatever the size of a model's embeddings. (Miyato et al., 2017, section 3, normalise them for that reason.)
Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks", https://arxiv.org/abs/1706.06083, eq. 2.1.
Read next: fgm.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import minitorch
from minitorch import Tensor, nn
from minitorch.graph import grad

LEAST = 1e-8  # a gradient's norm below which it has no direction (as in FreeLB's code)
Start = Callable[[Tensor, Tensor], Tensor]  # the first δ, made of x (B, S, H) and the mask (B, S, 1)
Attempt = Callable[[], tuple[Tensor, Tensor]]  # one forward pass: the mean loss, and the logits


def unit(g: Tensor) -> Tensor:
    """g / ‖g‖₂, each example (the first dimension) for itself."""
    return g / norm(g).clamp(min=LEAST)


def project(δ: Tensor, radius: float) -> Tensor:
    """The nearest δ with ‖δ‖₂ ≤ radius, each example for itself."""
    return δ * (radius / norm(δ).clamp(min=LEAST)).clamp(max=1.0)


def norm(g: Tensor) -> Tensor:
    """‖g‖₂ of each example: (B, ...) -> (B, 1, ...)."""
    return (g * g).sum(dim=tuple(range(1, g.ndim)), keepdim=True).sqrt()


def nowhere(x: Tensor, mask: Tensor) -> Tensor:
    """δ = 0"""
    return minitorch.zeros_like(x)


class Words:
    """The word embeddings of a model, to which δ is added while this thread attacks."""

    def __init__(self, model: nn.Module, special: Sequence[int], unit: str = "1") -> None:
        self.unit = unit
        layer = next(module for name, module in model.named_modules() if name.endswith("word_embeddings"))
        layer.register_forward_hook(self.moved)
        self.special = minitorch.tensor(sorted(set(special)))
        self.here = threading.local()  # micro-batches run on several threads

    def moved(self, layer: nn.Module, inputs: tuple[Tensor, ...], x: Tensor) -> Tensor | None:
        """x + σ δ"""
        game: Game | None = getattr(self.here, "game", None)
        if game is None:
            return None
        if game.mask is None:
            special = (inputs[0][..., None] == self.special.to(x.device)).any(-1)  # (B, S)
            game.mask = 1 - special[..., None].astype(x.dtype)
            if self.unit == "deviation":
                game.σ = deviation(x.detach(), game.mask)
        δ = game.δ(x, game.mask) if callable(game.δ) else game.δ
        game.δ = δ.detach().requires_grad_()
        return x + (game.δ if game.σ is None else game.σ * game.δ)


def deviation(x: Tensor, mask: Tensor) -> Tensor:
    """The root mean square of each example's numbers: x (B, S, H), mask (B, S, 1) -> (B, 1, 1)."""
    n = mask.sum(dim=(1, 2), keepdim=True).clamp(min=1.0) * x.shape[-1]
    return ((x * mask) ** 2).sum(dim=(1, 2), keepdim=True).div(n).sqrt()


class Game:
    """The passes of one micro-batch. All of them have the dropout masks of the first (FreeLB, section 3.3)."""

    def __init__(self, words: Words, attempt: Attempt) -> None:
        self.words, self.attempt = words, attempt
        self.δ: Tensor | Start = nowhere
        self.mask: Tensor | None = None  # (B, S, 1): 0 at padding and special tokens
        self.σ: Tensor | None = None  # (B, 1, 1): the unit of δ, unless it is 1
        self.random = minitorch.get_rng_state()

    def at(self, δ: Tensor | Start) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss, logits, and the δ (B, S, H) to differentiate by, at x + δ."""
        self.δ, self.words.here.game = δ, self
        minitorch.set_rng_state(self.random)
        try:
            loss, logits = self.attempt()
        finally:
            self.words.here.game = None
        return loss, logits, self.δ

    def gradients(self, loss: Tensor, parameters: Sequence[Tensor], δ: Tensor) -> tuple[list[Tensor | None], Tensor]:
        """Those of the parameters, and that of δ where δ may be."""
        *gradients, g = grad(loss, [*parameters, δ], allow_unused=True)
        return gradients, self.allowed(g)

    def allowed(self, δ: Tensor) -> Tensor:
        """0 at padding and special tokens."""
        return δ.detach() * self.mask


def added(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> list[Any]:
    """The sums of two lists of gradients."""
    return [b if a is None else a if b is None else a + b for a, b in zip(first, second, strict=True)]
