"""Batch normalisation as layers, which remember mean and variance for evaluation.

Read before: layers.py (LayerNorm), ops/batch_norm.py.
"""

from __future__ import annotations

from typing import Any

from ..creation import ones, zeros
from ..dtypes import int64
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _BatchNorm(Module):
    dims: tuple[int, ...]  # how many dimensions an input may have
    expected: str

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name in ("weight", "bias"):
            self.register_parameter(name, Parameter(ones(num_features, device=device, dtype=dtype)) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("running_var", ones(num_features, device=device, dtype=dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype=int64, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the statistics forgotten."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Any:
        if input.ndim not in self.dims:
            raise ValueError(f"{type(self).__name__}: expected {self.expected}, got shape {input.shape}")
        momentum, tracked = self.momentum, self.training and self.num_batches_tracked is not None
        if tracked:
            self.num_batches_tracked += 1
            if momentum is None:  # the mean over all batches so far
                momentum = 1 / self.num_batches_tracked.item()
        by_batch = self.training or self.running_mean is None
        running = (None, None) if self.training and not self.track_running_stats else (self.running_mean, self.running_var)
        return F.batch_norm(input, running[0], running[1], self.weight, self.bias, by_batch, momentum or 0.0, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """y = (x - mean) / √(var + eps) · weight + bias per feature (Ioffe and Szegedy, 2015).  (N, C) or (N, C, L), unchanged

    In training mean and variance are the batch's, and the running ones move towards them by ``momentum`` (None: their plain
    mean over all batches); in evaluation the running ones count. track_running_stats=False: always the batch's.
    """

    dims, expected = (2, 3), "2D or 3D input, (N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images: one mean and variance per channel.  (N, C, H, W), unchanged"""

    dims, expected = (4,), "4D input, (N, C, H, W)"
