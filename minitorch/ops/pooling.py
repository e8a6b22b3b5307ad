"""Pooling: the largest element or the mean of every window, each with its gradient.

Read before: convolution.py, which says where the windows' elements are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes, graph
from ..devices import Array, array_module
from . import reductions
from ._arguments import raw
from ._op import in_floats, op
from .checks import refuse_integers
from .convolution import Sizes, per_dimension, places
from .extra_elementwise import div
from .indexing import gather, narrow
from .nn import pad_constant
from .shaping import stack

# ------------------------------------------------------------------------------------------ sums and choices


@op(linear=True)
def _sum_windows(x: Array, *, kernel: Sizes, stride: Sizes) -> Any:
    """The sum of every window: (..., *S) -> (..., *L)."""
    how: Any = {"kernel": kernel, "stride": stride}
    size = tuple(x.shape[x.ndim - len(kernel) :])
    slices = places(size, **how, dilation=(1,) * len(kernel))
    y = x[slices[0]].copy()
    for place in slices[1:]:
        y += x[place]
    return y, lambda g: _spread_windows(g, size=size, **how)


@op(linear=True)
def _spread_windows(g: Array, *, size: Sizes, kernel: Sizes, stride: Sizes) -> Any:
    """The transpose of the sum: every element of a window gets the window's number."""
    how: Any = {"kernel": kernel, "stride": stride}
    x = array_module(g).zeros((*g.shape[: g.ndim - len(size)], *size), g.dtype)
    for place in places(size, **how, dilation=(1,) * len(kernel)):
        x[place] += g
    return x, lambda h: _sum_windows(h, **how)


@op(linear=True)
def _pick(x: Array, *, which: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Of every window its element number ``which``."""
    how: Any = {"which": which, "kernel": kernel, "stride": stride, "dilation": dilation}
    size, xp = tuple(x.shape[x.ndim - len(kernel) :]), array_module(x)
    y = xp.zeros(which.shape, x.dtype)
    for k, place in enumerate(places(size, kernel, stride, dilation)):
        xp.copyto(y, x[place], where=which == k)
    return y, lambda g: _put(g, size=size, **how)


@op(linear=True)
def _put(g: Array, *, which: Array, size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """The transpose of the choice: zeros, to which g is added where _pick took its elements."""
    x = array_module(g).zeros((*g.shape[: g.ndim - len(size)], *size), g.dtype)
    for k, place in enumerate(places(size, kernel, stride, dilation)):
        x[place] += g * (which == k)
    return x, lambda h: _pick(h, which=which, kernel=kernel, stride=stride, dilation=dilation)


# ----------------------------------------------------------------------------------------------------- windows


class Windows:
    """The arguments of a pooling, checked: kernel, stride, padding, dilation as tuples, and the whole padding, ``pairs``.

    ceil_mode: a window that begins inside the input (or its left padding) counts even if it ends outside.
    """

    def __init__(
        self, name: str, dims: int, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
    ) -> None:
        self.kernel = per_dimension(name, "kernel_size", kernel, dims)
        self.stride = self.kernel if stride is None or stride in ((), []) else per_dimension(name, "stride", stride, dims)
        self.padding = per_dimension(name, "padding", padding, dims, least=0)
        self.dilation = per_dimension(name, "dilation", dilation, dims)
        check_rank(name, dims, x)
        self.size, self.first = tuple(x.shape[x.ndim - dims :]), x.ndim - dims
        self.counts: Sizes = ()
        self.pairs: dict[int, tuple[int, int]] = {}
        for i, (n, k, s, p, d) in enumerate(zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)):
            reach = d * (k - 1) + 1
            if p > reach // 2:
                raise RuntimeError(f"{name}: padding should be at most half of the kernel's size, {reach}; got {p}")
            count = (n + 2 * p - reach + (s - 1 if ceil_mode else 0)) // s + 1
            count -= bool(ceil_mode and (count - 1) * s >= n + p)
            if count < 1:
                raise RuntimeError(f"{name}: a window of {self.kernel} does not fit into the input of {self.size}, padding {p}")
            self.counts += (count,)
            self.pairs[self.first + i] = p, max((count - 1) * s + reach - n - p, -p)

    def padded(self, x: Any, value: float) -> Any:
        """x with ``value`` around it, and without what no window reaches."""
        return pad_constant(x, pairs=self.pairs, value=value) if any(map(any, self.pairs.values())) else x


def check_rank(name: str, dims: int, x: Any) -> None:
    """One image (C, *S) or a batch (N, C, *S); only the batch may be empty."""
    if x.ndim not in (dims + 1, dims + 2) or 0 in x.shape[x.ndim - dims - 1 :]:
        batch = "(C, S) or (N, C, S)" if dims == 1 else "(C, H, W) or (N, C, H, W)"
        raise RuntimeError(f"{name}: expected an input of shape {batch}, where only N may be 0; got {tuple(x.shape)}")


# -------------------------------------------------------------------------------------------------- the largest


def max_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest element of each window: (N, C, S) or (C, S) -> (N, C, L). The stride is by default the window's size.

    The first of equal elements has the gradient; a NaN wins. return_indices: also where in the input each element was.
    """
    refuse_integers("max_pool1d", input.dtype)
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """max_pool1d over two dimensions: (N, C, H, W) or (C, H, W). An index counts the elements of an image, row by row."""
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(
    name: str, dims: int, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, where: bool
) -> Any:
    w = Windows(name, dims, x, kernel, stride, padding, dilation, ceil)
    how: Any = {"kernel": w.kernel, "stride": w.stride, "dilation": w.dilation}
    smallest = -math.inf if dtypes.is_floating(x.dtype) else np.iinfo(x.dtype).min
    x = w.padded(x, smallest)
    which = largest(raw(x), w, smallest)
    y = _pick(x, which=which, **how)
    return (y, graph.Tensor(_positions(which, w))) if where else y


def largest(x: Array, w: Windows, smallest: float) -> Array:
    """The number, in its window, of each window's largest element; of an element of the padding only if it is larger."""
    xp, slices = array_module(x), places(x.shape[w.first :], w.kernel, w.stride, w.dilation)
    inside = xp.pad(xp.ones(w.size, bool), [(p, max(after, 0)) for p, after in w.pairs.values()])
    first = xp.stack([inside[place[1:]][tuple(map(slice, w.counts))] for place in slices]).argmax(0)  # of the input's own
    which = xp.broadcast_to(first, (*x.shape[: w.first], *w.counts)).copy()
    best = xp.full(which.shape, smallest, x.dtype)
    for k, place in enumerate(slices):
        better = (x[place] > best) | (x[place] != x[place])  # NaN
        xp.copyto(best, x[place], where=better)
        xp.copyto(which, k, where=better)
    return which


def _positions(which: Array, w: Windows) -> Array:
    """Where element ``which`` of each window lies in the input, whose elements are counted row by row."""
    xp, flat, rest = array_module(which), 0, which
    for i in reversed(range(len(w.size))):
        starts = xp.arange(w.counts[i]).reshape(-1, *(1,) * (len(w.size) - 1 - i)) * w.stride[i] - w.padding[i]
        flat = flat + (starts + rest % w.kernel[i] * w.dilation[i]) * math.prod(w.size[i + 1 :])
        rest = rest // w.kernel[i]
    return xp.asarray(flat, np.int64)


# ----------------------------------------------------------------------------------------------------- the mean


def avg_pool1d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Any:
    """The mean of each window: (N, C, S) or (C, S) -> (N, C, L). count_include_pad: the zeros of the padding count, too."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """avg_pool1d over two dimensions: (N, C, H, W) or (C, H, W). divisor_override: divide the sums by this."""
    if divisor_override == 0:
        raise RuntimeError("avg_pool2d: divisor must be not zero")
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _avg_pool(
    name: str, dims: int, x: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, with_padding: bool, divisor: int | None
) -> Any:
    w = Windows(name, dims, x, kernel, stride, padding, 1, ceil)
    number: Any = divisor
    if divisor is None:
        xp = array_module(raw(x))
        number = xp.ones((), np.int64)
        for n, k, s, p, count in zip(w.size, w.kernel, w.stride, w.padding, w.counts, strict=True):
            start = xp.arange(count) * s - p
            end = xp.minimum(start + k, n + (p if with_padding else 0))
            number = number[..., None] * (end - (start if with_padding else xp.maximum(start, 0)))
        number = graph.Tensor(number.astype(x.dtype))

    def mean(x: Any) -> Any:
        total = _sum_windows(w.padded(x, 0), kernel=w.kernel, stride=w.stride)
        return div(total, number, rounding_mode=None if dtypes.is_floating(x.dtype) else "trunc")

    return in_floats(mean, floats_only=False)(x)


# ----------------------------------------------------------------------------- as many windows as are asked for


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """L means: element i is that of x[⌊i S / L⌋ ... ⌈(i + 1) S / L⌉ - 1].  (N, C, S) or (C, S) -> (N, C, L)"""
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """adaptive_avg_pool1d along both dimensions; a size of None stays as it is.  (N, C, H, W) or (C, H, W)"""
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of the windows of adaptive_avg_pool1d; return_indices: also where they are."""
    y, index = _adaptive_max("adaptive_max_pool1d", 1, input, output_size)
    return (y, index) if return_indices else y


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of the windows of adaptive_avg_pool2d; an index counts the elements of an image, row by row."""
    y, index = _adaptive_max("adaptive_max_pool2d", 2, input, output_size)
    return (y, index) if return_indices else y


def _adaptive_avg(name: str, dims: int, x: Any, output_size: Any) -> Any:
    sizes = _output_sizes(name, dims, x, output_size)

    def mean(x: Any) -> Any:
        for dim, size in enumerate(sizes, x.ndim - dims):  # a window's mean is the mean of the means of its rows
            x = stack([reductions.mean(part, dim) for _, part in _parts(x, dim, size)], dim) if size else narrow(x, dim, 0, 0)
        return x

    return in_floats(mean)(x)


def _adaptive_max(name: str, dims: int, x: Any, output_size: Any) -> tuple[Any, Any]:
    refuse_integers(name, x.dtype)
    sizes, width, index = _output_sizes(name, dims, x, output_size), x.shape[-1], None
    for dim, size in reversed(list(enumerate(sizes, x.ndim - dims))):  # first within rows, so the first of equal ones is kept
        found = [(start, *reductions.max(part, dim)) for start, part in _parts(x, dim, size)]
        x = stack([y for _, y, _ in found], dim) if found else narrow(x, dim, 0, 0)
        here = stack([start + i for start, _, i in found], dim) if found else x.long()
        index = here if index is None else here * width + gather(index, dim, here)
    return x, index


def _output_sizes(name: str, dims: int, x: Any, output_size: Any) -> list[int]:
    check_rank(name, dims, x)
    sizes = (output_size,) * dims if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(sizes) != dims:
        raise RuntimeError(f"{name}: output_size must be one number or {dims}, one per dimension; got {output_size}")
    if any(size is not None and size < 0 for size in sizes):
        raise RuntimeError(f"{name}: output_size must not be negative, got {output_size}")
    return [n if size is None else size for size, n in zip(sizes, x.shape[x.ndim - dims :], strict=True)]


def _parts(x: Any, dim: int, size: int) -> list[tuple[int, Any]]:
    """``size`` windows along ``dim``, each with its start; neighbours share an element where the size does not divide."""
    n = x.shape[dim]
    bounds = [(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]
    return [(a, narrow(x, dim, a, b - a)) for a, b in bounds]
