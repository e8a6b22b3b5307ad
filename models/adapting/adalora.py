"""AdaLoRA: LoRA in the form of a singular value decomposition, whose budget of ranks goes where it counts.

    y = W x + b + s B (E ∘ A x)      A (r, in), E (r, 1), B (out, r), s = α/(init_r + 1e-5)
    loss += w · mean over all A, B of ‖A Aᵀ - I‖, ‖Bᵀ B - I‖                      (Frobenius norms, not squared)

A triplet i is E's number i, A's row i, B's column i. Its importance is s(E) + mean s over the row + mean s over the column,
s = Ī·Ū with I = |w·∂L/∂w|, Ī ← β₁Ī + (1-β₁)I, Ū ← β₂Ū + (1-β₂)|I - Ī|. The budget b₀ = init_r · modules falls to
b₁ = target_r · modules as b₁ + (b₀ - b₁)(1 - (t - tinit)/(T - tfinal - tinit))³; the least important triplets get E = 0, and
may come back until the last phase. Zhang et al. (2023), "AdaLoRA", https://arxiv.org/abs/2303.10512.

After backward and before zero_grad, each step has to call ``model.update_and_allocate(step)``: without it nothing is pruned.
Read before: lora.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn

from ..errors import BadInput
from .base import layer_at, put
from .lora import LowRankConfig

PARTS = ("lora_A", "lora_B", "lora_E")


@dataclass
class AdaLoraConfig(LowRankConfig):
    """total_step T is required for training. The budget is full for tinit steps, and final for the last tfinal steps.

    r and init_lora_weights are PEFT's, and not read: the ranks are init_r and target_r.
    """

    target_r: int = 8
    init_r: int = 12
    tinit: int = 0
    tfinal: int = 0
    deltaT: int = 1
    beta1: float = 0.85
    beta2: float = 0.85
    orth_reg_weight: float = 0.5
    total_step: int | None = None
    r: int = 8
    init_lora_weights: bool | str = True
    rank_pattern: dict[str, list[bool]] | None = None

    peft_type: ClassVar[str] = "ADALORA"
    rate: ClassVar[float] = 6e-3  # E starts at 0 and B at 0.02: with 2e-3, MiniLM's reviews were hardly learnt in 180 steps

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.target_r <= self.init_r:
            raise BadInput(f"AdaLoRA needs 1 ≤ target_r ≤ init_r, got target_r={self.target_r} and init_r={self.init_r}")
        if self.total_step is not None and self.total_step <= self.tinit + self.tfinal:
            raise BadInput(f"total_step={self.total_step} leaves no step between tinit={self.tinit} and tfinal={self.tfinal}")

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        found = {}
        for path in self.chosen(model):
            kept = (self.rank_pattern or {}).get(f"{path}.lora_E")
            triplets = put(model, path, name, Triplets(layer_at(model, path), self.init_r if kept is None else sum(kept), self))
            found |= {f"{path}.{part}": getattr(triplets, part) for part in PARTS}
        return found


class Triplets(nn.Module):
    """The change of one layer."""

    def __init__(self, base: nn.Linear, r: int, config: AdaLoraConfig) -> None:
        super().__init__()
        self.scaling, self.dropout = config.lora_alpha / (config.init_r + 1e-5), nn.Dropout(config.lora_dropout)
        self.lora_A = nn.Parameter(minitorch.empty(r, base.in_features))
        self.lora_B = nn.Parameter(minitorch.empty(base.out_features, r))
        self.lora_E = nn.Parameter(minitorch.zeros(r, 1))
        for side in (self.lora_A, self.lora_B):
            nn.init.normal_(side, std=0.02)

    def forward(self, layer: Any, x: Tensor) -> Tensor:
        return layer(x) + F.linear(F.linear(self.dropout(x), self.lora_A * self.lora_E) * self.scaling, self.lora_B)

    def merged(self, weight: Tensor) -> Tensor:
        """W + s B (E ∘ A)."""
        with minitorch.no_grad():
            return weight + self.lora_B @ (self.lora_A * self.lora_E) * self.scaling

    def off_orthogonal(self) -> list[Tensor]:
        """‖A Aᵀ - I‖ and ‖Bᵀ B - I‖."""
        eye = minitorch.eye(self.lora_A.shape[0], dtype=self.lora_A.dtype, device=self.lora_A.device)
        return [minitorch.sqrt(((G - eye) ** 2).sum()) for G in (self.lora_A @ self.lora_A.mT, self.lora_B.mT @ self.lora_B)]


class RankAllocator:
    """The importance of every triplet, and who keeps a place in the budget."""

    def __init__(self, triplets: dict[str, Triplets], config: AdaLoraConfig) -> None:
        self.triplets, self.config = triplets, config
        self.mean: dict[str, np.ndarray] = {}
        self.spread: dict[str, np.ndarray] = {}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Ī and Ū, for a run that resumes."""
        return {kind: {k: Tensor(v) for k, v in getattr(self, kind).items()} for kind in ("mean", "spread")}

    def load_state_dict(self, state: Any) -> None:
        """Put Ī and Ū back; BadInput if they are not those of these layers."""
        like = {f"{path}.{part}": getattr(m, part) for path, m in self.triplets.items() for part in PARTS}
        for kind in ("mean", "spread"):
            found = state.get(kind) if isinstance(state, dict) else None
            values = {k: host(v) for k, v in found.items()} if isinstance(found, dict) else None
            shapes = {k: v.shape for k, v in values.items()} if values is not None else None
            if shapes not in ({}, {k: p.shape for k, p in like.items()}):
                raise BadInput("the state of AdaLoRA's budget is not that of this model")
            setattr(self, kind, values)

    def budget(self, step: int) -> int:
        """How many triplets stay at a step."""
        c = self.config
        if c.total_step is None:
            raise BadInput("AdaLoRA needs total_step, the number of steps of the training: its budget falls along it")
        first, last = c.init_r * len(self.triplets), c.target_r * len(self.triplets)
        if step <= c.tinit:
            return first
        if step > c.total_step - c.tfinal:
            return last
        left = 1 - (step - c.tinit) / (c.total_step - c.tfinal - c.tinit)
        return int((first - last) * left**3 + last)

    def update(self, step: int) -> None:
        """Ī and Ū with the gradients of this step, then E = 0 for those outside the budget."""
        c, budget = self.config, self.budget(step)
        last = (c.total_step or 0) - c.tfinal
        if step <= last:
            self.score()
        if step <= c.tinit or step >= last or step % c.deltaT == 0:
            self.mask(budget)

    def score(self) -> None:
        """Ī ← β₁Ī + (1-β₁)I, Ū ← β₂Ū + (1-β₂)|I - Ī|."""
        b1, b2 = self.config.beta1, self.config.beta2
        for path, module in self.triplets.items():
            for part in PARTS:
                w, key = getattr(module, part), f"{path}.{part}"
                if w.grad is None:
                    raise BadInput("AdaLoRA: update_and_allocate needs gradients; call it after backward and before zero_grad")
                I = np.abs(host(w) * host(w.grad))
                self.mean[key] = b1 * self.mean.get(key, 0.0) + (1 - b1) * I
                self.spread[key] = b2 * self.spread.get(key, 0.0) + (1 - b2) * np.abs(I - self.mean[key])

    def importance(self, path: str) -> np.ndarray:
        """s(E) + mean s(A's row) + mean s(B's column), for each triplet of a layer."""
        s = {part: self.mean[f"{path}.{part}"] * self.spread[f"{path}.{part}"] for part in PARTS}
        return s["lora_E"][:, 0] + s["lora_A"].mean(1) + s["lora_B"].mean(0)

    def mask(self, budget: int) -> None:
        """E = 0 for all but the most important ``budget`` triplets."""
        if not self.mean:
            return
        scores = {path: self.importance(path) for path in self.triplets}
        every = np.concatenate(list(scores.values()))
        dropped = np.zeros(len(every), bool)
        dropped[np.argsort(every, kind="stable")[: max(0, len(every) - budget)]] = True  # exactly so many, where scores tie, too
        parts = np.split(dropped, np.cumsum([len(part) for part in scores.values()])[:-1])
        with minitorch.no_grad():
            for module, out in zip(self.triplets.values(), parts, strict=True):
                module.lora_E *= Tensor(~out[:, None]).to(module.lora_E.device)


def host(t: Tensor) -> np.ndarray:
    """The numbers in the CPU's memory, where triplets are scored."""
    return t.detach().cpu().numpy()
