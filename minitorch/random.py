"""Random numbers: one seed, one stream per thread and device.

The thread that calls ``manual_seed`` continues the seed's own stream; any other thread gets its own stream, derived from
the seed, so threads never wait for or disturb each other. On a GPU the numbers come from CuPy's generator, seeded from
the CPU stream. Read before: creation.py.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import devices, dtypes
from .kernels.philox import WHOLE, Stream
from .ops._arguments import may_read, raw, shape_of, sizes_by_name
from .tensor import Tensor

__all__ = [
    "Generator",
    "bernoulli",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "set_rng_state",
]


class Generator:
    """A stream of random numbers; pass it as ``generator=`` to draw from it instead of the thread's own stream."""

    def __init__(self, device: str = "cpu", seed: Any = None) -> None:
        self.device = devices.canonical(device)
        self.manual_seed(seed)

    def manual_seed(self, seed: Any) -> Generator:
        """Restart from ``seed`` (None: from the system's entropy)."""
        self._sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        self.numpy = np.random.Generator(np.random.PCG64(self._sequence))
        self._cupy: Any = None
        self._masks: Stream | None = None
        return self

    def initial_seed(self) -> Any:
        """The seed it started from."""
        return self._sequence.entropy

    def get_state(self) -> dict[str, Any]:
        """The stream's position, as plain numbers that JSON can hold."""
        m = self._masks
        masks = {} if m is None else {"masks": [m.seed, m.calls, *(m.rows if m.rows != WHOLE else ())]}
        return {**self.numpy.bit_generator.state, **masks}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a position that get_state returned."""
        self.numpy.bit_generator.state = state
        self._cupy = None
        seed, calls, *rows = state.get("masks", (0, 0))
        self._masks = Stream(seed, calls, tuple(rows) or WHOLE) if "masks" in state else None

    def on(self, device: str | None) -> Any:
        """The array library's generator for ``device``: .random, .standard_normal, .integers."""
        if devices.canonical(device) == "cpu":
            return self.numpy
        if self._cupy is None:
            cupy = devices.module_for(device)
            self._cupy = cupy.random.Generator(cupy.random.XORWOW(int(self.numpy.integers(2**62))))
        return self._cupy

    def masks(self) -> Stream:
        """The source of dropout masks, the same on every device (kernels/philox.py)."""
        if self._masks is None:
            self._masks = Stream(int(self.numpy.integers(2**63)))
        return self._masks

    def share_masks(self, seed: tuple[int, ...], rows: tuple[int, int]) -> None:
        """Draw dropout masks as rows (first, stop) of those of a whole batch, whose stream is a function of ``seed``."""
        self._masks = Stream(Generator(seed=(*seed, 0)).masks().seed, rows=rows)


class _Streams(threading.local):
    generator: Generator | None = None
    epoch: float = -1  # when it was derived; infinite for a stream that this thread seeded itself, which never goes stale


_streams = _Streams()
_root: Any = None  # the seed of all streams
_epoch = 0  # how often it was set: streams made before are stale
_children = itertools.count()
_lock = threading.Lock()


def default_generator() -> Generator:
    """This thread's stream."""
    global _root
    if _streams.epoch < _epoch or _streams.generator is None:
        with _lock:
            if _root is None:
                _root = np.random.SeedSequence().entropy
            _streams.generator, _streams.epoch = _next_stream(), _epoch
    return _streams.generator


def _next_stream() -> Generator:
    return Generator(seed=np.random.SeedSequence(_root, spawn_key=(next(_children),)))


def manual_seed(seed: int) -> Generator:
    """Start all streams again from ``seed``: the same program then draws the same numbers.

    A thread that has called it keeps its stream when another thread calls it.
    """
    global _root, _epoch, _children
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"manual_seed: the seed must be an integer, got {type(seed).__name__}")
    with _lock:
        _root, _epoch, _children = seed % 2**64, _epoch + 1, itertools.count()
        _streams.generator, _streams.epoch = _next_stream(), math.inf
        return _streams.generator


def initial_seed() -> Any:
    """The seed that this thread's stream started from."""
    return default_generator().initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The position of this thread's stream, as plain numbers."""
    return default_generator().get_state()


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue this thread's stream from a position that get_rng_state returned."""
    default_generator().set_state(state)


@contextlib.contextmanager
def seeded(*seed: int) -> Iterator[Generator]:
    """A ``with`` block in which this thread draws from a stream of its own, a function of ``seed`` alone."""
    before = _streams.generator, _streams.epoch
    generator = _streams.generator, _streams.epoch = Generator(seed=seed), math.inf
    try:
        yield generator[0]
    finally:
        _streams.generator, _streams.epoch = before


def stream_for(array: Any, generator: Generator | None = None) -> Any:
    """The generator (NumPy's or CuPy's) that draws on ``array``'s device."""
    return (generator or default_generator()).on(devices.device_of(array))


# ------------------------------------------------------------------------------------------------ random tensors


def _draw(method: str, shape: tuple[int, ...], dtype: Any, device: Any, generator: Any, requires_grad: bool) -> Tensor:
    dtype = np.dtype(dtype or dtypes.get_default_dtype())
    if not dtypes.is_floating(dtype):
        raise NotImplementedError(f"random numbers of type {dtype}: rand and randn draw floats; randint draws integers")
    stream = (generator or default_generator()).on(device)
    exact = dtype in (dtypes.float32, dtypes.float64)  # the generators draw these two
    array = getattr(stream, method)(shape, dtype=dtype if exact else dtypes.float32)
    return Tensor(array if exact else array.astype(dtype)).requires_grad_(requires_grad)


@sizes_by_name("size")
def rand(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return _draw("random", shape_of(size), dtype, device, generator, requires_grad)


@sizes_by_name("size")
def randn(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, generator: Generator | None = None
) -> Tensor:
    """Normal numbers of mean 0 and variance 1."""
    return _draw("standard_normal", shape_of(size), dtype, device, generator, requires_grad)


def rand_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1) in the shape, dtype and device of ``input``."""
    return rand(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def randn_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers in the shape, dtype and device of ``input``."""
    return randn(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def randint(
    low: int = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high): randint(high, size) or randint(low, high, size)."""
    if size is None or high is None:
        low, high, size = 0, (low if high is None or size is None else high), (size if size is not None else high)
    if high <= low:
        raise RuntimeError(f"randint: the range must not be empty, but low is {low} and high is {high}")
    dtype = np.dtype(dtype or dtypes.int64)
    for x in (low, high - 1):
        if int(dtypes.number_as("randint", x, dtype)) != x and not dtypes.is_floating(dtype):
            raise RuntimeError(f"randint: {x} does not fit into {dtype}")
    array = (generator or default_generator()).on(device).integers(low, high, size=tuple(size))
    return Tensor(array.astype(dtype)).requires_grad_(requires_grad)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The integers 0 ... n-1 in random order (drawn on the CPU, so that every device gets the same one)."""
    if n < 0:
        raise RuntimeError(f"randperm: n must not be negative, got {n}")
    dtypes.number_as("randperm", max(n - 1, 0), np.dtype(dtype or dtypes.int64))
    order = (generator or default_generator()).numpy.permutation(n).astype(dtype or dtypes.int64)
    return Tensor(devices.move(order, device))


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Normal numbers of the given mean and standard deviation (numbers, or tensors that fix the shape)."""
    if bool((raw(std) < 0) if not hasattr(std, "shape") else (raw(std) < 0).any()):
        raise RuntimeError(f"normal: the standard deviation must not be negative, got {std}")
    decides = mean if hasattr(mean, "dtype") else std
    if hasattr(decides, "dtype") and not dtypes.is_floating(decides.dtype):
        raise NotImplementedError(f"normal is not defined for {decides.dtype}; make mean and std floating: x.float()")
    device = device or getattr(mean, "device", None) or getattr(std, "device", None)
    shape = tuple(size) if size is not None else np.broadcast_shapes(getattr(mean, "shape", ()), getattr(std, "shape", ()))
    return Tensor(raw(randn(shape, dtype=dtype, device=device, generator=generator) * std + mean))


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` gives for the element, else 0; with p, 1 with probability p everywhere."""
    if p is None and not dtypes.is_floating(input.dtype):
        raise NotImplementedError(f"bernoulli: probabilities are floats, not {input.dtype}; use x.float()")
    if may_read(input) and not bool(((input.array >= 0) & (input.array <= 1)).all() if p is None else 0 <= p <= 1):
        raise RuntimeError("bernoulli: probabilities lie between 0 and 1")
    uniform = stream_for(input.array, generator).random(input.shape, dtype=dtypes.float64)
    return Tensor((uniform < (input.array if p is None else p)).astype(input.dtype))


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """Indices drawn from each row of ``input`` in proportion to its (non-negative) weights.

    Without replacement by the exponential race: the k smallest of Exp(1)/weight (Efraimidis and Spirakis, 2006).
    """
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"multinomial: the weights are floats, not {input.dtype}; use x.float()")
    if num_samples <= 0 or input.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: draws at least 1 sample from a vector or from rows, got {num_samples}, {input.ndim}-d")
    xp = devices.array_module(input.array)
    p = input.array.astype(dtypes.float64)
    if may_read(p) and not bool((xp.isfinite(p) & (p >= 0)).all() and (p.sum(-1) > 0).all()):
        raise RuntimeError("multinomial: the weights of a row must be finite, not negative, and not all of them 0")
    stream = stream_for(input.array, generator)
    if not replacement:
        if num_samples > (p > 0).sum(-1).min():
            raise RuntimeError(f"multinomial: cannot draw {num_samples} different indices, fewer have a positive weight")
        with np.errstate(divide="ignore"):
            race = -xp.log1p(-stream.random(p.shape)) / p
        return Tensor(xp.argsort(race, axis=-1)[..., :num_samples].astype(dtypes.int64))
    edges = xp.cumsum(p / p.sum(-1, keepdims=True), axis=-1)
    u = stream.random((*p.shape[:-1], num_samples))
    index = (u[..., None] >= edges[..., None, :]).sum(-1)
    return Tensor(xp.minimum(index, math.prod(p.shape[-1:]) - 1).astype(dtypes.int64))
