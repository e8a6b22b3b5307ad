"""Losses: the loss functions of functional.py as modules that remember their settings.

``reduction`` is "mean", "sum" or "none". Class and element weights are buffers: they move and are saved with the module.
Read before: functional.py. Losses that neither models nor lessons use are in extra.py.
"""

from __future__ import annotations

from typing import Any, Self

from ..tensor import Tensor
from . import functional as F
from ._arguments import check_reduction, refuse_deprecated
from .module import Module


class Loss(Module):
    """The base of all losses: the reduction, and an error for PyTorch's deprecated switches."""

    def __new__(cls, *args: Any, **named: Any) -> Self:
        refuse_deprecated(cls.__name__, named)
        return super().__new__(cls)

    def __init__(self, reduction: str) -> None:
        super().__init__()
        check_reduction(reduction, also=("batchmean",))
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(Loss):
    """(x - y)²"""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Any:
        return F.mse_loss(input, target, reduction=self.reduction)


class CrossEntropyLoss(Loss):
    """-ln softmax(x)[target] of raw scores (N, C, ...) and class numbers (N, ...) or probabilities (N, C, ...)."""

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Any:
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class BCEWithLogitsLoss(Loss):
    """-(t ln σ(x) + (1 - t) ln(1 - σ(x))) of raw scores and targets in [0, 1]; pos_weight multiplies the first term."""

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Tensor | None = None) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Any:
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )
