"""Initialising weights: each function fills a tensor in place, outside of any graph, and returns it.

The aim of Glorot's and He's rules: a layer y = W x should preserve the variance of its inputs in the forward pass (fan_in
terms per sum) and of the gradients in the backward pass (fan_out terms). Read before: module.py.
"""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from ..devices import array_module
from ..grad_mode import no_grad
from ..ops import raw
from ..random import Generator, rand, randn
from ..tensor import Tensor

_here = threading.local()


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Within it, in this thread, uniform_ and normal_ leave tensors as they are (nn.utils.skip_init)."""
    before, _here.skipped = getattr(_here, "skipped", False), True
    try:
        yield
    finally:
        _here.skipped = before


def _fill(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return tensor.copy_(values) if isinstance(values, Tensor) else tensor.fill_(values)


def _like(draw: Any, tensor: Tensor, generator: Generator | None) -> Tensor:
    return draw(tensor.shape, dtype=tensor.dtype, device=tensor.device, generator=generator)  # type: ignore[no-any-return]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in [a, b)."""
    return tensor if getattr(_here, "skipped", False) else _fill(tensor, _like(rand, tensor, generator) * (b - a) + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal of the given mean and standard deviation."""
    return tensor if getattr(_here, "skipped", False) else _fill(tensor, _like(randn, tensor, generator) * std + mean)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> Tensor:
    """Normal, restricted to [a, b] by rejection: numbers outside are drawn again."""
    low, high = (a - mean) / std, (b - mean) / std  # as multiples of the standard deviation
    if low > high:
        raise ValueError(f"trunc_normal_: the interval [a, b] must not be empty, but a is {a} and b is {b}")
    z = _truncated(tensor, low, high, generator)
    return _fill(tensor, Tensor(array_module(z).clip(z * std + mean, a, b)))


def _truncated(tensor: Tensor, low: float, high: float, generator: Generator | None) -> Any:
    """Standard normal numbers in [low, high], as an array of the tensor's shape.

    If the interval covers much of the normal density, proposals are normal; in a narrow interval or a tail they are uniform
    and accepted with probability φ(z)/φ(peak).
    """
    peak = min(max(0.0, low), high)  # where the density is largest
    bell = peak == 0 and high - low > 1
    edge = math.sqrt(peak * peak + 80)  # beyond, the density is e⁻⁴⁰ of the peak's
    low, high = max(low, -edge), min(high, edge)

    def propose(n: int) -> tuple[Any, Any]:
        z = raw((randn if bell else rand)(n, device=tensor.device, generator=generator))
        if bell:
            return z, (z >= low) & (z <= high)
        z = low + (high - low) * z
        u = raw(rand(n, device=tensor.device, generator=generator))
        return z, u <= array_module(z).exp((peak * peak - z * z) / 2)

    z, good = propose(tensor.numel())
    while not good.all():
        missing = ~good
        z[missing], good[missing] = propose(int(missing.sum()))
    return z.reshape(tensor.shape)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """All ``val``."""
    return _fill(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """All 1."""
    return _fill(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """All 0."""
    return _fill(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: the layer passes on as much of its input as fits."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: only tensors with 2 dimensions are supported, this one has shape {tensor.shape}")
    return _fill(tensor, Tensor(array_module(tensor.array).eye(*tensor.shape, dtype=tensor.dtype)))


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """The number of inputs per output of a weight (out, in, *kernel), and of outputs per input."""
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out need a weight with at least 2 dimensions, this one has shape {tensor.shape}")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor on the weights that makes up for the loss of standard deviation in the nonlinearity."""
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, float | int | None):
            raise ValueError(f"calculate_gain: the negative slope must be a number, got {param!r}")
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity in gains:
        return gains[nonlinearity]
    if nonlinearity in ("linear", "sigmoid", *(f"conv{t}{n}d" for n in (1, 2, 3) for t in ("", "_transpose"))):
        return 1.0
    known = "linear, sigmoid, tanh, relu, leaky_relu, selu"
    raise ValueError(f"calculate_gain: unsupported nonlinearity {nonlinearity!r}; known: {known}")


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in ±√3·σ with σ = gain·√(2 / (fan_in + fan_out)): variance kept on average both ways (Glorot and Bengio, 2010)."""
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with σ = gain·√(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """σ = gain/√fan, which keeps the variance through layers of rectifiers; None for a tensor without elements."""
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f'mode must be "fan_in" (keep the forward variance) or "fan_out" (the backward one), not {mode!r}')
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode.lower() == "fan_in" else fan_out)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Uniform in ±√3·σ with σ = gain/√fan (He et al., 2015); ``a`` is the leaky rectifier's negative slope."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else uniform_(tensor, -math.sqrt(3.0) * std, math.sqrt(3.0) * std, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Normal with σ = gain/√fan (He et al., 2015); ``a`` is the leaky rectifier's negative slope."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Rows or columns, whichever are fewer, are orthogonal and of length ``gain`` (Saxe et al., 2013)."""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: only tensors with 2 or more dimensions are supported, this one has shape {tensor.shape}")
    if tensor.numel() == 0:
        return tensor
    xp = array_module(tensor.array)
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    tall = raw(randn(max(rows, columns), min(rows, columns), device=tensor.device, generator=generator))
    q, r = xp.linalg.qr(tall)
    q = q * xp.sign(xp.diagonal(r))  # without the sign q would not be uniformly distributed
    return _fill(tensor, Tensor((q if rows >= columns else q.T).reshape(tensor.shape) * gain))
