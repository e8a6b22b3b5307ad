"""Functions of torch.nn.functional that no training here needs: here for completeness, exported by functional.py.

Read before: functional.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes, ops
from ..devices import array_module
from ..grad_mode import mode, no_grad
from ..ops import raw
from ..ops import rms_norm as rms_norm
from ..ops._arguments import may_read
from ..ops._autocast import autocast
from ..ops._op import in_float32, in_floats
from ..ops.batch_norm import normalize_batch
from ..ops.convolution import conv1d as conv1d
from ..ops.convolution import conv2d as conv2d
from ..ops.extra_activations import glu as glu
from ..ops.extra_activations import log_sigmoid as logsigmoid
from ..ops.extra_activations import mish as mish
from ..ops.extra_activations import softplus as softplus
from ..ops.pooling import adaptive_avg_pool1d as adaptive_avg_pool1d
from ..ops.pooling import adaptive_avg_pool2d as adaptive_avg_pool2d
from ..ops.pooling import adaptive_max_pool1d as adaptive_max_pool1d
from ..ops.pooling import adaptive_max_pool2d as adaptive_max_pool2d
from ..ops.pooling import avg_pool1d as avg_pool1d
from ..ops.pooling import avg_pool2d as avg_pool2d
from ..ops.pooling import max_pool1d as max_pool1d
from ..ops.pooling import max_pool2d as max_pool2d
from ._arguments import (
    check_batch_norm,
    check_padding,
    check_probabilities,
    check_reduction,
    difference,
    in_place_if,
    loss_function,
    padding_pairs,
    ratio_of_sums,
    reduced,
)
from .functional_bags import embedding_bag as embedding_bag

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "avg_pool1d", "avg_pool2d",
    "batch_norm", "binary_cross_entropy", "conv1d", "conv2d", "cosine_embedding_loss", "cosine_similarity", "elu",
    "embedding_bag", "glu", "huber_loss", "kl_div", "l1_loss", "leaky_relu", "logsigmoid", "max_pool1d", "max_pool2d",
    "mish", "normalize", "pad", "pairwise_distance", "rms_norm", "smooth_l1_loss", "softplus",
]  # fmt: skip

# -------------------------------------------------------------------------------------------------- activations


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else negative_slope · x"""
    return in_place_if(inplace, input, ops.extra_activations.leaky_relu(input, negative_slope))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else α(eˣ - 1)"""
    return in_place_if(inplace, input, ops.extra_activations.elu(input, alpha))


# ------------------------------------------------------------------------------------------------------- losses


@loss_function
def l1_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """|x - y|; with weights the mean is Σ w|x - y| / Σ w"""
    return reduced(difference("l1_loss", input, target, integers=True).abs(), reduction, weight)


@loss_function
def smooth_l1_loss(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """½(x - y)²/β where |x - y| < β, else |x - y| - ½β"""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    d = difference("smooth_l1_loss", input, target)
    return reduced(d.abs() if beta == 0 else in_float32(lambda d: ops.extra_losses.huber(d, delta=beta) / beta, d), reduction)


@loss_function
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """½(x - y)² where |x - y| ≤ δ, else δ(|x - y| - ½δ)"""
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}")
    loss = ops.extra_losses.huber(difference("huber_loss", input, target), delta=delta)
    return reduced(loss if weight is None else loss * weight, reduction)  # not over Σ w, unlike l1_loss and mse_loss


@loss_function
def binary_cross_entropy(input: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """-w (y ln p + (1 - y) ln(1 - p)) of probabilities p; logarithms below -100 count as -100"""
    check_probabilities("binary_cross_entropy", input, target)
    loss = ops.extra_losses.bernoulli_entropy(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


@loss_function
def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """y (ln y - x) of log-probabilities x; log_target: y is given as ln y. "batchmean" is the sum over the batch size."""
    check_reduction(reduction, also=("batchmean",))
    if reduction == "mean":
        warnings.warn("kl_div: 'mean' divides by all elements; 'batchmean' is the mathematical KL divergence", stacklevel=4)
    loss = target.exp() * (target - input) if log_target else ops.xlogy(target, target) - target * input
    if reduction == "batchmean":
        return ratio_of_sums(loss, input.shape[0]) if input.ndim else loss.sum()
    return reduced(loss, reduction)


@loss_function
def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0, *, reduction: str = "mean") -> Any:
    """1 - cos(x₁, x₂) where the target is 1, max(0, cos(x₁, x₂) - margin) where it is -1"""
    cosine = _cosine_with_eps(input1, input2)
    loss = ops.where(target == 1, 1 - cosine, 0) + ops.where(target == -1, (cosine - margin).clamp(min=0), 0)
    return reduced(loss, reduction)


@in_floats
def _cosine_with_eps(a: Any, b: Any) -> Any:
    """a·b / √((‖a‖² + ε²)(‖b‖² + ε²)) along the last dimension, ε = 1e-6: each vector is divided by its length with ε."""

    def unit(x: Any) -> Any:
        return x / ops.norm(ops.cat([x, x.new_full((*x.shape[:-1], 1), 1e-6)], -1), 2, -1, keepdim=True)

    return (unit(a) * unit(b)).sum(-1)


# --------------------------------------------------------------------------------------------------- similarity


@autocast
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x₁·x₂ / (max(‖x₁‖, eps) max(‖x₂‖, eps)) along ``dim`` of the broadcast operands"""
    dtype = dtypes.result_type(x1, x2)
    if not dtypes.is_floating(dtype):
        raise RuntimeError(f"cosine_similarity: the operands must be floating, their common dtype is {dtype}")
    x1, x2 = ops.broadcast_tensors(x1.to(dtype), x2.to(dtype))
    return in_float32(lambda a, b: ((a / _length(a, dim, eps)) * (b / _length(b, dim, eps))).sum(dim), x1, x2)


def normalize(input: Any, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Any:
    """x / max(‖x‖ₚ, eps) along ``dim``"""

    def unit(x: Any) -> Any:
        return x / ops.norm(x, p, dim, keepdim=True).clamp(min=eps)

    return unit(input) if mode.autocast else in_float32(unit, input)  # eps is 0 in float16; autocast's norm is float32


def _length(x: Any, dim: int, eps: float) -> Any:
    """‖x‖, at least eps. As in PyTorch the limit has no gradient, so it is added as a constant."""
    norm = ops.norm(x, 2, dim, keepdim=True)
    missing = (eps - norm.detach()).clamp(min=0)
    return norm + missing if not may_read(missing) or bool((missing.array > 0).any()) else norm


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """‖x₁ - x₂ + eps‖ₚ along the last dimension"""
    return ops.norm(x1 - x2 + eps, p, -1, keepdim=keepdim)


# ------------------------------------------------------------------------------------------------------ padding


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Add elements around: pad = (before, after) of the last dimension, then of the one before it, ...; negative numbers cut.

    constant: filled with ``value`` (0); reflect: mirrored at the edge element; replicate: the edge element repeated;
    circular: continued from the other end. These three pad the last 1, 2 or 3 dimensions of an input with one or two more.
    """
    pairs = padding_pairs(input, pad)  # dimension -> (before, after)
    check_padding(input, pairs, mode, value)
    if mode == "constant":
        return ops.nn.pad_constant(input, pairs=pairs, value=value or 0) if pairs else input.clone()
    for dim, (before, after) in pairs.items():
        input = ops.index_select(input, dim, _padded_positions(input, dim, before, after, mode))
    return input


def _padded_positions(input: Any, dim: int, before: int, after: int, mode: str) -> Any:
    """Which element stands at each place of the padded dimension."""
    size, most = input.shape[dim], max(before, after)
    left = size + min(before, 0) + min(after, 0)  # after cutting
    if most > 0 and ((mode == "reflect" and most >= size) or (mode == "circular" and (most > size or left <= 0))):
        raise RuntimeError(f'pad: "{mode}" cannot take {most} elements from dimension {dim} of shape {tuple(input.shape)}')
    positions, kept = np.arange(size, dtype=np.int64), slice(max(-before, 0), size - max(-after, 0))
    around: Any = (max(before, 0), max(after, 0))
    if mode == "circular":  # repeats what is left after cutting; the other modes see the whole
        positions = np.pad(positions[kept], around, mode="wrap")
    else:
        positions = np.pad(positions, around, mode="reflect" if mode == "reflect" else "edge")
        positions = positions[kept.start : len(positions) - max(-after, 0)]
    return array_module(raw(input)).asarray(positions)


# ------------------------------------------------------------------------------------------- batch normalisation


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x - mean)/√(var + eps) · weight + bias per channel, x (N, C, ...): by the batch's statistics, else by the running ones.

    In training the running ones, where given, become (1 - momentum) running + momentum batch; their variance is the unbiased
    one. source: arXiv 1502.03167, algorithms 1 and 2
    """
    shape, axis = (-1, *(1,) * (input.ndim - 2)), (0, *range(2, input.ndim))
    check_batch_norm(input, {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}, training)
    scale, shift = (None if x is None else x.reshape(shape) for x in (weight, bias))
    if not training:
        unit = (input - running_mean.reshape(shape)) / (running_var.reshape(shape) + eps).sqrt()
        y = unit if scale is None else unit * scale
        return (y if shift is None else y + shift).to(input.dtype)
    if input.numel() == 0:
        return input * 1
    if running_mean is not None:
        with no_grad():
            wide = input.detach().to(dtypes.promote_types(input.dtype, dtypes.float32))
            running_mean.copy_((1 - momentum) * running_mean + momentum * wide.mean(axis))
            running_var.copy_((1 - momentum) * running_var + momentum * ops.var(wide, axis))
    return normalize_batch(input, scale, shift, axis=axis, eps=eps)
