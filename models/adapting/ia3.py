"""IA3: learned factors for keys, values and the feed-forward layer's inner activations.

    keys, values   y = l ∘ (W x + b)        l (out, 1)
    feed-forward   y = W (l ∘ x) + b        l (1, in)       2H + I parameters for each encoder layer, or 3H + I as PEFT counts

Liu et al. (2022), "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
https://arxiv.org/abs/2205.05638. Each l starts at 1. PEFT's default ["output.dense"] also matches attention.output.dense;
the paper's own set is PAPER below.
Read before: base.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import minitorch
from minitorch import Tensor, nn

from .base import TargetedConfig, fits, layer_at, put

PAPER = {
    "target_modules": r".*(self\.key|self\.value|layer\.\d+\.output\.dense)",
    "feedforward_modules": r".*layer\.\d+\.output\.dense",
}


@dataclass
class IA3Config(TargetedConfig):
    """target_modules: the layers; feedforward_modules: those among them whose input is scaled, not their output."""

    feedforward_modules: str | list[str] | None = None
    init_ia3_weights: bool = True

    peft_type: ClassVar[str] = "IA3"
    rate: ClassVar[float] = 1e-2
    usual: ClassVar[list[str]] = ["key", "value", "output.dense", "c_attn", "mlp.c_proj"]

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        found = {}
        inputs = ["output.dense", "mlp.c_proj"] if self.feedforward_modules is None else self.feedforward_modules
        for path in self.targets(model):
            factors = put(model, path, name, Factors(layer_at(model, path), fits(path, inputs)))
            found[f"{path}.ia3_l"] = factors.ia3_l
        return found


class Factors(nn.Module):
    """One vector l."""

    def __init__(self, base: nn.Linear, of_input: bool) -> None:
        super().__init__()
        shape = (1, base.in_features) if of_input else (base.out_features, 1)
        self.of_input, self.ia3_l = of_input, nn.Parameter(minitorch.ones(*shape))

    def forward(self, layer: Any, x: Tensor) -> Tensor:
        l = self.ia3_l.reshape(-1)
        return layer(x * l) if self.of_input else layer(x) * l

    def merged(self, weight: Tensor) -> Tensor:
        """diag(l) W or W diag(l); the bias of a scaled output is scaled too (see merged_bias)."""
        return weight * self.ia3_l

    def merged_bias(self, bias: Tensor) -> Tensor:
        """l ∘ b where the output is scaled."""
        return bias if self.of_input else bias * self.ia3_l.reshape(-1)
