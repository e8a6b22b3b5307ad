"""LoRA: a low-rank change of a weight matrix.

    y = W x + b + s B A x        A (r, in), B (out, r), s = α/r       r(in + out) parameters for each layer

Hu et al. (2021), "LoRA: Low-Rank Adaptation of Large Language Models", https://arxiv.org/abs/2106.09685. B starts at 0, so
that the model starts as the base. Two variants:

    rsLoRA   s = α/√r            Kalajdzievski (2023), https://arxiv.org/abs/2312.03732
    DoRA     V = W + s B A;  y = (m/‖V‖) V x + b, ‖V‖ row by row, m = ‖W‖ at first (out more parameters)
             Liu et al. (2024), https://arxiv.org/abs/2402.09353; ‖V‖ counts as a constant in the gradient (section 4.3)

Read before: base.py.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn

from ..errors import BadInput
from .base import PeftConfig, layer_at, matching, put


@dataclass
class LoraConfig(PeftConfig):
    """PEFT's fields. ``target_modules``: names, a regular expression, or "all-linear"; None: query and value.

    rank_pattern, alpha_pattern: other r and α for paths that match (a name or a regular expression for its end).
    """

    r: int = 8
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    target_modules: str | list[str] | None = None
    bias: str = "none"
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: bool | str = True
    fan_in_fan_out: bool = False
    layers_to_transform: int | list[int] | None = None
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)

    peft_type: ClassVar[str] = "LORA"

    def __post_init__(self) -> None:
        if not isinstance(self.r, int) or self.r < 1:
            raise BadInput(f"the rank r must be a whole number of at least 1, not {self.r!r}")
        if self.bias != "none":
            raise BadInput(f'bias="{self.bias}" is not supported, only "none" is; BitFit trains biases')
        if self.init_lora_weights not in (True, "gaussian"):
            raise BadInput(f'init_lora_weights is {self.init_lora_weights!r}; there are True and "gaussian"')

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        layers = [self.layers_to_transform] if isinstance(self.layers_to_transform, int) else self.layers_to_transform
        found = {}
        for path in self.without_saved(matching(model, self.target_modules or ["query", "value"], layers=layers)):
            linear = layer_at(model, path)
            pair = put(model, path, name, Lora(linear, *self._size(path, linear), self))
            found |= {f"{path}.lora_A.weight": pair.lora_A, f"{path}.lora_B.weight": pair.lora_B}
            found |= {f"{path}.lora_magnitude_vector": pair.magnitude} if self.use_dora else {}
        return found

    def _size(self, path: str, linear: nn.Linear) -> tuple[int, float]:
        r, alpha = (
            next((v for key, v in pattern.items() if re.match(rf"(.*\.)?({key})$", path)), usual)
            for pattern, usual in ((self.rank_pattern, self.r), (self.alpha_pattern, self.lora_alpha))
        )
        if r > min(linear.in_features, linear.out_features):
            raise BadInput(f"{path} is ({linear.out_features}, {linear.in_features}): a rank of {r} is larger than its own")
        return r, alpha / math.sqrt(r) if self.use_rslora else alpha / r


class Lora(nn.Module):
    """The change of one layer. ``base``: the Linear, whose weight DoRA reads and nobody changes."""

    def __init__(self, base: nn.Linear, r: int, scaling: float, config: LoraConfig) -> None:
        super().__init__()
        self.scaling, self.dropout = scaling, nn.Dropout(config.lora_dropout)
        self.lora_A = nn.Parameter(minitorch.empty(r, base.in_features))
        self.lora_B = nn.Parameter(minitorch.zeros(base.out_features, r))
        if config.init_lora_weights == "gaussian":
            nn.init.normal_(self.lora_A, std=1 / r)
        else:
            nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # U(±1/√in)
        self.magnitude = nn.Parameter(self.norm(base.weight)) if config.use_dora else None

    def forward(self, layer: Any, x: Tensor) -> Tensor:
        change = F.linear(F.linear(self.dropout(x), self.lora_A), self.lora_B) * self.scaling
        if self.magnitude is None:
            return layer(x) + change
        linear = _linear(layer)
        ratio = self.magnitude / self.norm(self.merged(linear.weight, directions=True))  # (out)
        y = F.linear(x, linear.weight) + change
        return y * ratio if linear.bias is None else y * ratio + linear.bias

    def merged(self, weight: Tensor, directions: bool = False) -> Tensor:
        """The weight that does the same: W + s B A, and for DoRA each row of it with its length m."""
        with minitorch.no_grad():
            V = weight + self.lora_B @ self.lora_A * self.scaling
            if self.magnitude is None or directions:
                return V
            return V * (self.magnitude / self.norm(V))[:, None]

    @staticmethod
    def norm(weight: Tensor) -> Tensor:
        """The length of each row, as a constant."""
        with minitorch.no_grad():
            return minitorch.sqrt((weight * weight).sum(1))


def _linear(layer: Any) -> nn.Linear:
    """DoRA rescales the layer's whole answer, so it has to be the plain layer's."""
    if not isinstance(layer, nn.Linear):
        raise BadInput("DoRA cannot be laid over another adapter: make one of them active at a time")
    return layer
