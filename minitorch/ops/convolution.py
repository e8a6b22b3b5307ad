"""Convolutions of one and two dimensions: a matrix product with the windows of the input.

Element k of every window is one strided slice of the input: a handful of slices, stacked, is the matrix of all windows
(im2col; Chellapilla, Puri and Simard, 2006). Its transpose adds the windows' gradients back into those slices.
Read before: nn.py. Read next: pooling.py, which reduces the same windows.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any

from ..devices import Array, array_module
from . import checks
from ._autocast import autocast
from ._op import op
from .linalg import matmul_kernel
from .nn import pad_constant
from .shaping import contiguous, reshape, transpose

Sizes = tuple[int, ...]  # one number per dimension of the image or of the sequence

# ------------------------------------------------------------------------------------------------------ windows


def places(size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> list[tuple[Any, ...]]:
    """For each element of a window, row by row: the slice that has this element of all windows, for x[places[k]]."""
    counts = windows_along(size, kernel, stride, dilation)
    along = [
        [slice(d * i, d * i + s * (n - 1) + 1, s) for i in range(k)]
        for k, s, d, n in zip(kernel, stride, dilation, counts, strict=True)
    ]
    return [(..., *spot) for spot in itertools.product(*along)]


def windows_along(size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    """How many windows fit: L = ⌊(S - d (K - 1) - 1)/s⌋ + 1 in each dimension."""
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation, strict=True))


@op(linear=True)
def windows(x: Array, *, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """Row k holds element k of every window: (C, N, *S) -> (C, K, N, *L)."""
    how: Any = {"kernel": kernel, "stride": stride, "dilation": dilation}
    size = tuple(x.shape[2:])
    columns = array_module(x).stack([x[place] for place in places(size, **how)], axis=1)
    return columns, lambda g: add_windows(g, size=size, **how)


@op(linear=True)
def add_windows(g: Array, *, size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """The transpose of windows: each element is the sum over the windows that it lies in.  (C, K, N, *L) -> (C, N, *S)"""
    how: Any = {"kernel": kernel, "stride": stride, "dilation": dilation}
    x = array_module(g).zeros((g.shape[0], g.shape[2], *size), g.dtype)
    for k, place in enumerate(places(size, **how)):
        x[place] += g[:, k]
    return x, lambda h: windows(h, **how)


# -------------------------------------------------------------------------------------------------- convolution


@op(half="float32 on CPU")
def _convolution(x: Array, weight: Array, *, groups: int, stride: Sizes, dilation: Sizes) -> Any:
    """y = W X of the windows X.  dL/dX = Wᵀ g, added back into x;  dL/dW = g Xᵀ.  (C, N, *S), (O, C/G, *K) -> (O, N, *L)"""
    (c, n), (o, inside), kernel = x.shape[:2], weight.shape[:2], tuple(weight.shape[2:])
    how: Any = {"kernel": kernel, "stride": stride, "dilation": dilation}
    size, many, k = tuple(x.shape[2:]), windows_along(tuple(x.shape[2:]), kernel, stride, dilation), math.prod(kernel)
    X = windows(x, **how).reshape(groups, inside * k, n * math.prod(many))  # (G, C/G·K, N·L)
    W = weight.reshape(groups, o // groups, inside * k)

    def rows(g: Array) -> Any:
        return g.reshape(groups, o // groups, n * math.prod(many))

    def dx(g: Array) -> Any:
        product = matmul_kernel if o > groups else operator.mul  # a column times a row: BLAS is slow at that
        return add_windows(product(W.mT, rows(g)).reshape(c, k, n, *many), size=size, **how)

    return matmul_kernel(W, X).reshape(o, n, *many), (dx, lambda g: matmul_kernel(rows(g), X.mT).reshape(o, inside, *kernel))


@autocast
def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """y[o, l] = b[o] + Σ_c Σ_k W[o, c, k] x[c, s l + d k - p]: (N, C, S) or (C, S), W (O, C/groups, K) -> (N, O, L).

    s is the stride, d the dilation, p the padding: zeros on either side; "same" makes L = S, "valid" is 0. With ``groups``
    output channel o sees the channels of its own group. Strictly it is a cross-correlation: the kernel is not turned round.
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@autocast
def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """conv1d's sum over two dimensions: x (N, C, H, W) or (C, H, W), W (O, C/groups, KH, KW) -> (N, O, H', W').

    stride, padding and dilation are one number, or one for each dimension.
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def _convolve(name: str, dims: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    stride, dilation = per_dimension(name, "stride", stride, dims), per_dimension(name, "dilation", dilation, dims)
    _check(name, dims, x, weight, bias, stride, dilation, groups)
    kernel = tuple(weight.shape[2:])
    pairs = _padding(name, padding, kernel, stride, dilation)
    if any(map(any, pairs)):
        x = pad_constant(x, pairs={x.ndim - dims + i: pair for i, pair in enumerate(pairs)}, value=0)
    size = tuple(x.shape[x.ndim - dims :])
    if min(windows_along(size, kernel, stride, dilation)) < 1:
        raise RuntimeError(
            f"{name}: a window of {kernel} (dilation {dilation}) does not fit into the padded input of {size}: "
            "kernel size can't be greater than the input; pad more, or use a smaller kernel"
        )
    batch = x if x.ndim == dims + 2 else reshape(x, (1, *x.shape))
    y = _convolution(contiguous(transpose(batch, 0, 1)), weight, groups=groups, stride=stride, dilation=dilation)
    if bias is not None:
        y = y + reshape(bias, (-1, *(1,) * (dims + 1)))
    y = contiguous(transpose(y, 0, 1))
    return y if x.ndim == dims + 2 else reshape(y, y.shape[1:])


def per_dimension(name: str, what: str, value: Any, dims: int, least: int = 1) -> Sizes:
    """One number per dimension: 2 and (2,) mean (2, 2)."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    if len(numbers) not in (1, dims):
        raise RuntimeError(f"{name}: {what} must be one number or {dims}, one per dimension; got {value}")
    if min(numbers) < least:
        raise RuntimeError(f"{name}: {what} must be {'positive' if least else 'no negative number'}, got {value}")
    return numbers * dims if len(numbers) == 1 else numbers


def _padding(name: str, padding: Any, kernel: Sizes, stride: Sizes, dilation: Sizes) -> list[tuple[int, int]]:
    """(before, after) in each dimension. "same" shares d (K - 1) out; an odd one goes to the end."""
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        if max(stride) > 1:
            raise RuntimeError(f'{name}: padding="same" is for stride 1, got stride {stride}; give the padding as a number')
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(n // 2, n - n // 2) for n in totals]
    if isinstance(padding, str):
        raise RuntimeError(f'{name}: padding must be a number, "same" or "valid", got {padding!r}')
    return [(n, n) for n in per_dimension(name, "padding", padding, len(kernel), least=0)]


def _check(name: str, dims: int, x: Any, weight: Any, bias: Any, stride: Sizes, dilation: Sizes, groups: int) -> None:
    shape, wanted = tuple(weight.shape), f"(out, in / groups, {'kernel' if dims == 1 else 'height, width'})"
    if weight.ndim != dims + 2 or shape[0] == 0 or 0 in shape[2:]:
        raise RuntimeError(f"{name}: the weight must have the sizes {wanted}, none of them 0; got shape {shape}")
    if x.ndim not in (dims + 1, dims + 2):
        batch = "(C, S) or (N, C, S)" if dims == 1 else "(C, H, W) or (N, C, H, W)"
        raise RuntimeError(f"{name}: expected an input of shape {batch}, got {tuple(x.shape)}")
    if groups < 1 or shape[0] % groups:
        raise RuntimeError(f"{name}: groups must divide the {shape[0]} output channels of the weight {shape}, got {groups}")
    if 0 in x.shape[x.ndim - dims :]:
        raise RuntimeError(f"{name}: only the batch or the channels may be empty, got an input of shape {tuple(x.shape)}")
    channels = x.shape[x.ndim - dims - 1]
    if channels != shape[1] * groups:
        raise RuntimeError(
            f"{name}: a weight of shape {shape} with groups={groups} expects {shape[1] * groups} input channels, but the input "
            f"{tuple(x.shape)} has {channels}"
        )
    if bias is not None and tuple(bias.shape) != shape[:1]:
        raise RuntimeError(
            f"{name}: the bias must have shape ({shape[0]},), one number per output channel; got {tuple(bias.shape)}"
        )
    dtypes = [str(a.dtype) for a in (x, weight, bias) if a is not None]
    if len(set(dtypes)) > 1:
        raise RuntimeError(f"{name}: input, weight and bias need the same dtype, got {', '.join(dtypes)}; cast with .to(dtype)")
    checks.no_bools(name, x)
