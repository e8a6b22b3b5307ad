"""BitFit: only the biases learn.

    every *.bias of the encoder and its pooler, and the head: L(7H + I) + 2H parameters

Ben Zaken, Ravfogel and Goldberg (2021), "BitFit", https://arxiv.org/abs/2106.10199. The model reads its biases in many places,
some of them fused, so a bias of one's own takes the base's place while the adapter is active, and gives it back after.
Read before: base.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minitorch import nn

from .base import PeftConfig, head_names, paths


@dataclass
class BitFitConfig(PeftConfig):
    """No settings of its own."""

    peft_type: ClassVar[str] = "BITFIT"
    rate: ClassVar[float] = 2e-3

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        return {}

    def biased(self, model: nn.Module) -> list[str]:
        return self.without_saved(all_biased(model))


def all_biased(model: nn.Module) -> list[str]:
    """The layers of the encoder that have a bias."""
    heads = tuple(f"{name}." for name in head_names(model))
    return [
        path
        for path, layer in paths(model).items()
        if isinstance(getattr(layer, "bias", None), nn.Parameter) and not f"{path}.".startswith(heads)
    ]
