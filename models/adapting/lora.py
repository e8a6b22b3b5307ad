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
from dataclasses import dataclass, field
from typing import Any, ClassVar

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn

from ..errors import BadInput, listing
from .base import TargetedConfig, expression, layer_at, put
from .bitfit import all_biased

INITS = (True, False, "gaussian", "orthogonal")


@dataclass
class LowRankConfig(TargetedConfig):
    """What LoRA and AdaLoRA share. ``bias``: train none, "all" of the encoder, or "lora_only", those of the chosen layers.

    ``layers_to_transform``: only these layers' numbers; ``layers_pattern``: the name, or names, of the list they are counted in.
    """

    lora_alpha: float = 8
    lora_dropout: float = 0.0
    bias: str = "none"
    layers_to_transform: int | list[int] | None = None
    layers_pattern: str | list[str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lora_dropout < 1:
            raise BadInput(f"lora_dropout must be at least 0 and less than 1, not {self.lora_dropout}")
        if self.bias not in ("none", "all", "lora_only"):
            raise BadInput(f'bias is {self.bias!r}; there are "none", "all" and "lora_only"')
        if self.layers_to_transform is not None and isinstance(self.target_modules, str):
            raise BadInput(
                "layers_to_transform needs a list of names as target_modules; a regular expression can name the layers"
            )

    def chosen(self, model: nn.Module) -> list[str]:
        """The paths of the layers that change."""
        numbers = [self.layers_to_transform] if isinstance(self.layers_to_transform, int) else self.layers_to_transform
        stacks = [self.layers_pattern] if isinstance(self.layers_pattern, str) else self.layers_pattern
        return self.targets(model, numbers or None, "|".join(stacks or [r"[^.]*"]))

    def biased(self, model: nn.Module) -> list[str]:
        if self.bias == "all":
            return self.without_saved(all_biased(model))
        return [p for p in self.chosen(model) if layer_at(model, p).bias is not None] if self.bias == "lora_only" else []


@dataclass
class LoraConfig(LowRankConfig):
    """PEFT's fields. ``lora_bias``: B has a bias. rank_pattern, alpha_pattern: other r and α for paths that match (a name, or a
    regular expression for its end).
    """

    r: int = 8
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False
    init_lora_weights: bool | str = True
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)

    peft_type: ClassVar[str] = "LORA"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.r, int) or self.r < 1:
            raise BadInput(f"the rank r must be a whole number of at least 1, not {self.r!r}")
        if self.init_lora_weights not in INITS:
            others = "others change the base's own weights, or need data"
            raise BadInput(f"init_lora_weights is {self.init_lora_weights!r}; there are {listing(map(repr, INITS))}: {others}")
        if self.use_dora and self.lora_bias:
            raise BadInput("use_dora and lora_bias exclude each other: DoRA's length is that of a weight's row")

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        found = {}
        for path in self.chosen(model):
            linear = layer_at(model, path)
            pair = put(model, path, name, Lora(linear, *self._size(path, linear), self))
            found |= {f"{path}.lora_A.weight": pair.lora_A, f"{path}.lora_B.weight": pair.lora_B}
            found |= {f"{path}.lora_magnitude_vector": pair.magnitude} if self.use_dora else {}
            found |= {f"{path}.lora_B.bias": pair.bias} if self.lora_bias else {}
        return found

    def _size(self, path: str, linear: nn.Linear) -> tuple[int, float]:
        r, alpha = (
            next((v for key, v in pattern.items() if expression(rf"(.*\.)?({key})$").match(path)), usual)
            for pattern, usual in ((self.rank_pattern, self.r), (self.alpha_pattern, self.lora_alpha))
        )
        if r < 1:
            raise BadInput(f"{path}: the rank must be at least 1, not {r}")
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
        self.bias = nn.Parameter(minitorch.zeros(base.out_features)) if config.lora_bias else None
        self.start(config.init_lora_weights, r)
        self.magnitude = nn.Parameter(self.norm(base.weight)) if config.use_dora else None

    def start(self, how: bool | str, r: int) -> None:
        """The first A and B; unless B = 0, the model does not start as the base."""
        if how == "gaussian":
            nn.init.normal_(self.lora_A, std=1 / r)
        elif how == "orthogonal":  # A's rows and B's columns from the halves of one orthogonal matrix, so that B A = 0
            halves = nn.init.orthogonal_(minitorch.empty(r, r))
            with minitorch.no_grad():
                for side, half in ((self.lora_A, halves[0::2]), (self.lora_B.mT, halves[1::2])):
                    side.copy_(half.mT @ minitorch.randn(half.shape[0], side.shape[1]) / 10)
        else:
            for side in (self.lora_A,) if how else (self.lora_A, self.lora_B):
                nn.init.kaiming_uniform_(side, a=math.sqrt(5))  # U(±1/√in)

    def forward(self, layer: Any, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.scaling
        change = F.linear(F.linear(self.dropout(x), self.lora_A) * self.scaling, self.lora_B, bias)
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

    def merged_bias(self, bias: Tensor) -> Tensor:
        """b + s b_B."""
        return bias if self.bias is None else bias + self.bias * self.scaling

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
