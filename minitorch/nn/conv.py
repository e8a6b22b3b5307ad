"""Convolution and pooling as layers.  Read before: layers.py, ops/convolution.py (the equations), ops/pooling.py."""

from __future__ import annotations

import math
from typing import Any

from ..creation import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _Conv(Module):
    """What both convolutions share: weight (out, in / groups, *kernel) and bias (out), uniform in ±1/√(in / groups · |kernel|).

    padding_mode: what stands around the input, "zeros", "reflect", "replicate" or "circular" (functional.pad).
    """

    dims: int

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        sizes = [x if isinstance(x, tuple) else (x,) * self.dims for x in (kernel_size, stride, dilation)]
        self.kernel_size, self.stride, self.dilation = sizes
        self.padding = padding if isinstance(padding, str | tuple) else (padding,) * self.dims
        self.padding_mode = padding_mode
        self._check()
        self.weight = Parameter(empty(out_channels, in_channels // groups, *self.kernel_size, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def _check(self) -> None:
        name, modes = type(self).__name__, ("zeros", "reflect", "replicate", "circular")
        for what, n in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if self.groups < 1 or n % self.groups:
                raise ValueError(f"{name}: {what}, {n}, must be divisible by groups, a positive integer; got {self.groups}")
        if isinstance(self.padding, str) and self.padding not in ("same", "valid"):
            raise ValueError(f'{name}: padding must be a number, "same" or "valid", got {self.padding!r}')
        if self.padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f'{name}: padding="same" is for stride 1, got {self.stride}; give the padding as a number')
        if self.padding_mode not in modes:
            raise ValueError(f"{name}: padding_mode must be one of {', '.join(modes)}; got {self.padding_mode!r}")

    def reset_parameters(self) -> None:
        """Draw new weights."""
        if self.weight.numel():
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # gain √(2/6), so the bound is 1/√fan_in
            if self.bias is not None:
                bound = 1 / math.sqrt(self.weight.numel() / self.out_channels)
                init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros" and padding != "valid":
            input, padding = F.pad(input, self._around(), mode=self.padding_mode), "valid"
        convolve = F.conv1d if self.dims == 1 else F.conv2d
        return convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _around(self) -> list[int]:
        """(before, after) of each dimension, the last one first, as functional.pad wants it."""
        if isinstance(self.padding, tuple):
            return [n for n in reversed(self.padding) for _ in ("before", "after")]
        totals = [d * (k - 1) for d, k in zip(reversed(self.dilation), reversed(self.kernel_size), strict=True)]
        return [n for total in totals for n in (total // 2, total - total // 2)]

    def extra_repr(self) -> str:
        ones, shown = (1,) * self.dims, [f"{self.in_channels}, {self.out_channels}"]
        shown += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        shown += [f"padding={self.padding}"] * (self.padding != (0,) * self.dims)
        shown += [f"dilation={self.dilation}"] * (self.dilation != ones) + [f"groups={self.groups}"] * (self.groups != 1)
        shown += ["bias=False"] * (self.bias is None) + [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros")
        return ", ".join(shown)


class Conv1d(_Conv):
    """Every output channel is a weighted sum over a window of positions and all channels.  (N, C, S) -> (N, O, L)

    weight: (out_channels, in_channels / groups, kernel_size), bias: (out_channels).
    """

    dims = 1


class Conv2d(_Conv):
    """Conv1d for images: a window has height and width.  (N, C, H, W) -> (N, O, H', W')"""

    dims = 2


# ------------------------------------------------------------------------------------------------------- pooling


class _Windows(Module):
    """The window of a pooling: its size, stride and padding, and whether the last one may reach over the end (ceil_mode)."""

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Windows):
    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation, self.return_indices = dilation, return_indices

    def forward(self, input: Tensor) -> Any:
        pool = F.max_pool1d if isinstance(self, MaxPool1d) else F.max_pool2d
        return pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )  # not PyTorch's order of __init__, but of its functions

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(_MaxPool):
    """The largest element of each window of positions.  (N, C, S) -> (N, C, L)"""


class MaxPool2d(_MaxPool):
    """The largest element of each window of an image.  (N, C, H, W) -> (N, C, H', W')"""


class AvgPool1d(_Windows):
    """The mean of each window of positions.  (N, C, S) -> (N, C, L)"""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Any:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool2d(AvgPool1d):
    """The mean of each window of an image.  (N, C, H, W) -> (N, C, H', W')"""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Any:
        how = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override)
        return F.avg_pool2d(input, *how)


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """The means of ``output_size`` windows, whatever the input's length.  (N, C, S) -> (N, C, output_size)"""

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """The same for images; of (height, width) one may be None, which keeps it.  (N, C, H, W) -> (N, C, *output_size)"""

    def forward(self, input: Tensor) -> Any:
        return F.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        pool = F.adaptive_max_pool1d if isinstance(self, AdaptiveMaxPool1d) else F.adaptive_max_pool2d
        return pool(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """The largest elements of ``output_size`` windows.  (N, C, S) -> (N, C, output_size)"""


class AdaptiveMaxPool2d(_AdaptiveMax):
    """The same for images; of (height, width) one may be None, which keeps it.  (N, C, H, W) -> (N, C, *output_size)"""
