"""Bottleneck adapters: two small layers with a nonlinearity between, added to what passes.

    g(h) = h + W_u σ(W_d h + b_d) + b_u             W_d (m, H), W_u (H, m); 2Hm + m + H parameters for each place

    Houlsby    y = LayerNorm(x + g(h))                         after attention and after the feed-forward layer
    Pfeiffer   z = LayerNorm(h + x); y = LayerNorm(g'(z) + h + x), g' without its own h, after the feed-forward layer alone

Houlsby et al. (2019), "Parameter-Efficient Transfer Learning for NLP", https://arxiv.org/abs/1902.00751;
Pfeiffer et al. (2020), "AdapterFusion", https://arxiv.org/abs/2005.00247. Names of files are AdapterHub's
(adapter_down, adapter_up). Read before: base.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import minitorch.nn.functional as F
from minitorch import Tensor, nn

from ..errors import BadInput
from .base import PeftConfig, layer_at, matching, put

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "gelu": F.gelu, "swish": F.silu, "silu": F.silu, "tanh": F.tanh,
}  # fmt: skip


@dataclass
class BottleneckConfig(PeftConfig):
    """``style``: "houlsby" or "pfeiffer". ``bottleneck`` m: None means H/16. ``non_linearity``: relu, gelu or swish.

    ``leave_out``: numbers of encoder layers that get no adapter.
    """

    style: str = "pfeiffer"
    bottleneck: int | None = None
    non_linearity: str | None = None
    leave_out: list[int] = field(default_factory=list)

    peft_type: ClassVar[str] = "BOTTLENECK"

    def __post_init__(self) -> None:
        if self.style not in ("houlsby", "pfeiffer"):
            raise BadInput(f'style "{self.style}" is unknown; there are houlsby and pfeiffer')
        if self.bottleneck is not None and not 1 <= self.bottleneck <= 2**20:
            raise BadInput(f"bottleneck, the width of the adapter, must be from 1 to {2**20:,}, not {self.bottleneck}")
        self.non_linearity = self.non_linearity or ("swish" if self.style == "houlsby" else "relu")
        if self.non_linearity not in NONLINEARITIES:
            raise BadInput(f'non_linearity "{self.non_linearity}" is unknown; there are {", ".join(NONLINEARITIES)}')

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        houlsby, found = self.style == "houlsby", {}
        left_out = rf"(?!({'|'.join(map(str, self.leave_out))})\.)" if self.leave_out else ""
        for dense in matching(model, rf".*\.layer\.{left_out}\d+\.{'(attention.)?' if houlsby else ''}output\.dense"):
            size, output = layer_at(model, dense).out_features, dense.removesuffix(".dense")
            adapter = (Houlsby if houlsby else Pfeiffer)(size, self.size(size), self)
            put(model, dense if houlsby else output, name, adapter)
            for part, own in (("adapter_down.0", adapter.down), ("adapter_up", adapter.up)):
                found |= {f"{output}.adapters.{name}.{part}.{k}": p for k, p in own.named_parameters()}
        return found

    def size(self, hidden: int) -> int:
        """m, for layers of a width."""
        return self.bottleneck or max(1, hidden // 16)


class Bottleneck(nn.Module):
    """W_u σ(W_d h + b_d) + b_u, near zero at first: N(0, 0.02), biases 0."""

    def __init__(self, size: int, m: int, config: BottleneckConfig) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(size, m), nn.Linear(m, size)
        self.activation = NONLINEARITIES[config.non_linearity or "relu"]
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def through(self, h: Tensor) -> Tensor:
        """The change."""
        return self.up(self.activation(self.down(h)))


class Houlsby(Bottleneck):
    """Around the Linear whose output enters the sum x + h."""

    def forward(self, layer: Any, x: Tensor) -> Tensor:
        h = layer(x)
        return h + self.through(h)


class Pfeiffer(Bottleneck):
    """Around BertSelfOutput, since it needs h, x and the LayerNorm twice."""

    def forward(self, layer: Any, h: Tensor, x: Tensor) -> Tensor:
        if not hasattr(layer, "LayerNorm"):
            raise BadInput("a Pfeiffer adapter cannot be laid over another one: make one of them active at a time")
        total = layer.dropout(layer.dense(h)) + x
        return layer.LayerNorm(self.through(layer.LayerNorm(total)) + total)
