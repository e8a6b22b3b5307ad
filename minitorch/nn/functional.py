"""torch.nn.functional: the functions of neural networks under PyTorch's names, arguments and defaults.

Here arguments are checked and losses are composed; the equations and their gradients are in ops/nn.py.
Read before: ops/nn.py. Read next: nn/module.py.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes, ops
from .. import random as _random
from ..changes import mark_changed
from ..devices import array_module, device_of
from ..grad_mode import no_grad
from ..ops import layer_norm, raw, rms_norm
from ..ops._arguments import may_read
from ..ops._autocast import autocast
from ..ops._promotion import refuse_integers
from ..ops.activations import gelu, glu, linear_gelu, mish, softplus
from ..ops.activations import log_sigmoid as logsigmoid
from ..ops.nn import linear, one_hot
from ..tensor import Tensor

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cosine_similarity", "cross_entropy",
    "dropout", "dropout_add_layer_norm", "elu", "embedding", "gelu", "glu", "huber_loss", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "linear_gelu", "log_softmax", "logsigmoid", "mish", "mse_loss", "nll_loss", "normalize", "one_hot",
    "pad", "pairwise_distance", "relu", "rms_norm", "scaled_dot_product_attention", "sigmoid", "silu", "smooth_l1_loss",
    "softmax", "softplus", "tanh",
]  # fmt: skip

# -------------------------------------------------------------------------------------------------- activations


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0)"""
    return _perhaps_in_place(input, ops.relu(input), inplace)


def silu(input: Any, inplace: bool = False) -> Any:
    """x σ(x), also called swish"""
    return _perhaps_in_place(input, ops.activations.silu(input), inplace)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else negative_slope · x"""
    return _perhaps_in_place(input, ops.activations.leaky_relu(input, negative_slope), inplace)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else α(eˣ - 1)"""
    return _perhaps_in_place(input, ops.activations.elu(input, alpha), inplace)


def _perhaps_in_place(input: Any, result: Any, inplace: bool) -> Any:
    return input.copy_(result) if inplace else result


def sigmoid(input: Any) -> Any:
    """σ(x) = 1/(1 + e⁻ˣ)"""
    return ops.sigmoid(input)


def tanh(input: Any) -> Any:
    """tanh x"""
    return ops.tanh(input)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """eˣⁱ / Σⱼ eˣʲ along ``dim``: positive numbers that sum to 1"""
    return ops.softmax(input, _implicit_dim("softmax", input.ndim) if dim is None else dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """ln softmax(x), accurate where softmax underflows"""
    return ops.log_softmax(input, _implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype)


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(f"{name}: leaving dim out is deprecated; say dim=-1 or whichever you mean", UserWarning, stacklevel=3)
    return 0 if ndim in (0, 1, 3) else 1  # PyTorch's choice, of old


# ---------------------------------------------------------------------------------------- dropout and embedding


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element 0 with probability p, else divided by 1 - p, so that the expectation stays; not training: unchanged."""
    _check_probability(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"dropout: the result is floating and the input {input.dtype}; make the input floating: x.float()")
    return _perhaps_in_place(input, ops.nn.drop(input, keep=_keep_mask(input, input.shape, p), p=p), inplace)


def dropout_add_layer_norm(
    input: Any, residual: Any, weight: Any, bias: Any, p: float = 0.0, eps: float = 1e-5, training: bool = True
) -> Any:
    """layer_norm(residual + dropout(input)) over the last axis: the end of each half of a Transformer's layer, in one operation.

    input and residual (..., H), weight and bias (H,) or None. The same numbers as the three functions one after the other give.
    """
    _check_probability(p)
    drops = training and p > 0 and input.numel() > 0
    keep = _keep_mask(input, input.shape, p) if drops else None
    return ops.normalization.add_layer_norm(input, residual, weight, bias, eps, keep, 1 - p if drops else 1.0)


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _keep_mask(like: Any, shape: tuple[int, ...], p: float) -> Any:
    like = raw(like)
    return ops.nn.keep_mask(like, shape, p, _random.default_generator().masks(device_of(like)))


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """The rows of ``weight`` (entries, size) that the integers in ``input`` name; row ``padding_idx`` gets no gradient.

    With max_norm the rows taken are first shortened, in place, to that length. Gradients are dense, also with sparse=True.
    """
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise AssertionError(f"embedding: padding_idx {padding_idx} must be a row of the table, which has {weight.shape[0]}")
        padding_idx %= weight.shape[0]
    if max_norm is not None:
        _shorten_rows(weight, raw(input), max_norm, norm_type)
    return ops.nn.embedding(input, weight, padding_idx, scale_grad_by_freq, sparse)


def _shorten_rows(weight: Tensor, index: Any, max_norm: float, norm_type: float) -> None:
    xp = array_module(weight.array)
    taken = xp.unique(index)
    with no_grad():
        norm = raw(ops.norm(Tensor(weight.array[taken]), norm_type, 1, keepdim=True))
    weight.array[taken] *= xp.where(norm > max_norm, max_norm / (norm + 1e-7), 1).astype(weight.dtype)
    mark_changed(weight.array)


# ------------------------------------------------------------------------------------------------------- losses


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def _reduction(reduction: str, size_average: bool | None, reduce: bool | None, also: Sequence[str] = ()) -> str:
    """The reduction that PyTorch's two old switches mean, if given; else what ``reduction`` says."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum", *also):
        raise ValueError(f"{reduction!r} is not a reduction: use 'none', 'mean' or 'sum'")
    return reduction


def _pair(name: str, input: Any, target: Any) -> None:
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: the target's shape {tuple(target.shape)} differs from the input's {tuple(input.shape)}; they are "
            "broadcast, which is rarely meant",
            UserWarning,
            stacklevel=4,
        )


@autocast
def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """(x - y)²; with weights the mean is Σ w(x - y)² / Σ w"""
    reduction = _reduction(reduction, size_average, reduce)
    _pair("mse_loss", input, target)
    return _weighted((_difference("mse_loss", input, target)).square(), weight, reduction)


@autocast
def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """|x - y|"""
    reduction = _reduction(reduction, size_average, reduce)
    _pair("l1_loss", input, target)
    return _weighted((input - target).abs(), weight, reduction)


@autocast
def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """½(x - y)²/β where |x - y| < β, else |x - y| - ½β"""
    reduction = _reduction(reduction, size_average, reduce)
    _pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    d = _difference("smooth_l1_loss", input, target)
    return _reduced(d.abs() if beta == 0 else ops.losses.huber(d, delta=beta) / beta, reduction)


@autocast
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """½(x - y)² where |x - y| ≤ δ, else δ(|x - y| - ½δ)"""
    reduction = _reduction(reduction, None, None)
    _pair("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}")
    loss = ops.losses.huber(_difference("huber_loss", input, target), delta=delta)
    return _reduced(loss if weight is None else loss * weight, reduction)  # and not over Σ w, as the two losses above


def _difference(name: str, input: Any, target: Any) -> Any:
    d = input - target
    refuse_integers(name, d.dtype)
    return d


def _weighted(loss: Any, weight: Any, reduction: str) -> Any:
    if weight is None:
        return _reduced(loss, reduction)
    if weight.shape != loss.shape:
        raise ValueError(f"the weights' shape {tuple(weight.shape)} must be the loss's, {tuple(loss.shape)}")
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else _reduced(loss, reduction)


@autocast
def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-w (y ln p + (1 - y) ln(1 - p)), logarithms limited to -100 and more; p in [0, 1]"""
    reduction = _reduction(reduction, size_average, reduce)
    if input.shape != target.shape:
        raise ValueError(f"binary_cross_entropy: target {tuple(target.shape)} and input {tuple(input.shape)} must have one shape")
    for name, x in (("input", input), ("target", target)):
        if may_read(x) and not bool(((x.array >= 0) & (x.array <= 1)).all()):
            raise RuntimeError(
                f"binary_cross_entropy: the {name} must be probabilities, in [0, 1]; scores need the _with_logits loss"
            )
    loss = ops.losses.bernoulli_entropy(input, target)
    return _reduced(loss if weight is None else loss * weight, reduction)


@autocast
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """-w (v y ln σ(x) + (1 - y) ln(1 - σ(x))), v = pos_weight; from ln σ(x) directly, so that nothing overflows"""
    reduction = _reduction(reduction, size_average, reduce)
    if input.shape != target.shape:
        raise ValueError(f"Target size {tuple(target.shape)} must be the same as input size {tuple(input.shape)}")
    positive = 1 if pos_weight is None else (pos_weight - 1) * target + 1
    loss = (1 - target) * input - positive * ops.activations.log_sigmoid(input)  # ln(1 - σ(x)) = ln σ(x) - x
    return _reduced(loss if weight is None else loss * weight, reduction)


@autocast
def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """y (ln y - x), x being log-probabilities; log_target: y is given as ln y. "batchmean" is the sum over the batch size."""
    reduction = _reduction(reduction, size_average, reduce, also=("batchmean",))
    if reduction == "mean":
        warnings.warn("kl_div: 'mean' divides by all elements; 'batchmean' is the mathematical KL divergence", stacklevel=2)
    loss = target.exp() * (target - input) if log_target else ops.xlogy(target, target) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.ndim else loss.sum()
    return _reduced(loss, reduction)


# ------------------------------------------------------------------------------------------------ cross entropy


@autocast
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-Σ_c w_c q_c ln softmax(x)_c of scores x: (C), (N, C) or (N, C, d1, ...).

    target: class numbers, (), (N) or (N, d1, ...): q is 1 at the class; or probabilities q in the shape of x.
    label_smoothing ε replaces q by (1 - ε)q + ε/C. The mean over class numbers divides by the sum of their weights, those
    equal to ignore_index not counted (nan if nothing is left); over probabilities by the number of positions.
    """
    reduction = _reduction(reduction, size_average, reduce)
    axis = 0 if input.ndim == 1 else 1
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
    if input.shape == target.shape:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis)
    index, share, ignored = _class_indices("cross_entropy", input, target, weight, ignore_index)
    loss = _at_positions(ops.losses.cross_entropy_at(input, target=index, axis=axis), share, ignored)
    if label_smoothing == 0:
        return _mean_of(loss, share, ignored, reduction)
    smooth = -_weigh_classes(ops.log_softmax(input, axis), weight, axis).sum(axis)
    smooth = smooth if ignored is None else smooth.masked_fill(Tensor(ignored), 0)
    mixed = loss * (1 - label_smoothing) + smooth * (label_smoothing / input.shape[axis])
    return _mean_of(mixed, share, ignored, reduction)


@autocast
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-w_t x_t of log-probabilities x: (C), (N, C) or (N, C, d1, ...) at class numbers t: (), (N) or (N, d1, ...)"""
    reduction = _reduction(reduction, size_average, reduce)
    refuse_integers("nll_loss", input.dtype)
    index, share, ignored = _class_indices("nll_loss", input, target, weight, ignore_index)
    loss = -ops.losses.pick(input, index=index, axis=0 if input.ndim == 1 else 1)
    return _mean_of(_at_positions(loss, share, ignored), share, ignored, reduction)


def _class_indices(name: str, input: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any, Any]:
    """The targets (0 where ignored), their weights (None: all 1), and where they are ignored (None: nowhere); checked."""
    t = raw(target)
    if input.ndim == 0:
        raise ValueError(f"{name}: the input needs a dimension of classes, it has shape ()")
    classes = input.shape[0 if input.ndim == 1 else 1]
    _check_target_shape(name, input, t)
    if t.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(f"{name}: class numbers must be int64 (or uint8), got {t.dtype}; convert them with .long()")
    if weight is not None:
        _check_class_weights(name, weight, classes, input.dtype)
    t = t.reshape(()) if input.ndim == 1 else t
    ignored = t == ignore_index
    if may_read(t) and not ignored.any():
        ignored = None
    else:
        t = array_module(t).where(ignored, 0, t)
    if t.size and may_read(t) and (int(t.min()) < 0 or int(t.max()) >= classes):
        bad = int(t.min()) if t.min() < 0 else int(t.max())
        raise IndexError(f"Target {bad} is out of bounds: {name} got {classes} classes, numbered 0 to {classes - 1}")
    share = None if weight is None else raw(weight)[t]
    if share is not None and ignored is not None:
        share = share * ~ignored
    return t, share, ignored


def _check_target_shape(name: str, input: Any, target: Any) -> None:
    wanted = () if input.ndim == 1 else (input.shape[0], *input.shape[2:])
    if tuple(target.shape) == wanted or (input.ndim == 1 and target.shape == (1,)):
        return
    if input.ndim == 2 and target.ndim > 1:
        raise RuntimeError(
            f"{name}: 0D or 1D target tensor expected for an input of shape {tuple(input.shape)}, got {tuple(target.shape)}"
        )
    kind = RuntimeError if target.ndim and input.ndim > 1 and target.shape[0] == input.shape[0] else ValueError
    raise kind(f"{name}: for an input of shape {tuple(input.shape)} expected target size {wanted}, got {tuple(target.shape)}")


def _check_class_weights(name: str, weight: Any, classes: int, dtype: Any) -> None:
    if tuple(weight.shape) != (classes,):
        raise RuntimeError(f"{name}: the weight must hold one number for each of {classes} classes, got {tuple(weight.shape)}")
    if weight.dtype != dtype:
        raise RuntimeError(f"{name}: the weight must have the input's dtype {dtype}, got {weight.dtype}; cast it with .to(dtype)")
    if weight.requires_grad:
        raise RuntimeError(f"{name}: the class weights are constants here; pass weight.detach()")


def _at_positions(loss: Any, share: Any, ignored: Any) -> Any:
    """Each position's loss times its weight; 0 where it is ignored, also if it is infinite there."""
    loss = loss if ignored is None else loss.masked_fill(Tensor(ignored), 0)
    return loss if share is None else loss * Tensor(share)


def _mean_of(loss: Any, share: Any, ignored: Any, reduction: str) -> Any:
    """Reduced; the mean is over the weights of the positions that count."""
    if reduction != "mean" or (share is None and ignored is None):
        return _reduced(loss, reduction)
    total = (~ignored).sum() if share is None else share.sum()
    return loss.sum() / Tensor(array_module(total).asarray(total, dtype=loss.dtype))


def _soft_cross_entropy(input: Any, target: Any, weight: Any, reduction: str, smoothing: float, axis: int) -> Any:
    """Cross entropy with a distribution as the target."""
    if not dtypes.is_floating(target.dtype):
        raise RuntimeError(
            f"cross_entropy: a target of the input's shape is probabilities, which must be floating, got {target.dtype}"
        )
    classes = input.shape[axis]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"cross_entropy: the weight must hold one number for each of {classes} classes, got {tuple(weight.shape)}"
        )
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    loss = -_weigh_classes(ops.log_softmax(input, axis) * target, weight, axis).sum(axis)
    if reduction == "mean" and input.numel():
        return loss.sum() / (input.numel() // classes)
    return _reduced(loss, reduction)


def _weigh_classes(x: Any, weight: Any, axis: int) -> Any:
    return x if weight is None else x * weight.reshape((-1, *(1,) * (x.ndim - axis - 1)))


# --------------------------------------------------------------------------------------------------- similarity


def normalize(input: Any, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """x / max(‖x‖ₚ, eps) along ``dim``"""
    norm = ops.norm(input, p, dim, keepdim=True)
    return input / norm.clamp(min=eps)


@autocast
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x₁·x₂ / (max(‖x₁‖, eps) max(‖x₂‖, eps)) along ``dim`` of the broadcast operands"""
    dtype = dtypes.result_type(x1, x2)
    if not dtypes.is_floating(dtype):
        raise RuntimeError(f"cosine_similarity: the operands must be floating, their common dtype is {dtype}")
    x1, x2 = ops.broadcast_tensors(x1.to(dtype), x2.to(dtype))
    return ((x1 / _length(x1, dim, eps)) * (x2 / _length(x2, dim, eps))).sum(dim)


def _length(x: Any, dim: int, eps: float) -> Any:
    """‖x‖, at least eps. As in PyTorch the limit is no part of the gradient, so it is added as a constant."""
    norm = ops.norm(x, 2, dim, keepdim=True)
    missing = (eps - norm.detach()).clamp(min=0)
    return norm + missing if not may_read(missing) or bool((missing.array > 0).any()) else norm


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """‖x₁ - x₂ + eps‖ₚ along the last dimension"""
    return ops.norm(x1 - x2 + eps, p, -1, keepdim=keepdim)


@autocast
def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """1 - cos(x₁, x₂) where the target is 1, max(0, cos(x₁, x₂) - margin) where it is -1"""
    reduction = _reduction(reduction, size_average, reduce)
    a, b = input1, input2
    norms = ((a * a).sum(-1) + 1e-12) * ((b * b).sum(-1) + 1e-12)
    cosine = (a * b).sum(-1) / norms.sqrt()
    loss = ops.where(target == 1, 1 - cosine, 0) + ops.where(target == -1, (cosine - margin).clamp(min=0), 0)
    return _reduced(loss, reduction)


# ------------------------------------------------------------------------------------------------------ padding


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """More elements around: pad = (before, after) of the last dimension, then of the one before it, ...; negative ones cut.

    constant: filled with ``value`` (0); reflect: mirrored at the edge element; replicate: the edge element repeated;
    circular: from the other end. These three pad 1, 2 or 3 last dimensions of inputs that have one or two more.
    """
    widths = [int(n) for n in pad]
    if len(widths) % 2 or len(widths) > 2 * input.ndim:
        raise RuntimeError(
            f"pad: needs two widths a dimension, of at most {input.ndim} dimensions; got {len(widths)}: {tuple(widths)}"
        )
    pairs = {input.ndim - 1 - i: (widths[2 * i], widths[2 * i + 1]) for i in range(len(widths) // 2)}
    for dim, (before, after) in pairs.items():
        if input.shape[dim] + before + after < 0:
            raise RuntimeError(f"pad: dimension {dim} of size {input.shape[dim]} cannot be cut by {(before, after)}")
    if mode == "constant" and not widths:
        return input.clone()
    if mode == "constant":
        return ops.nn.pad_constant(input, pairs=pairs, value=value or 0)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f'pad: mode must be "constant", "reflect", "replicate" or "circular", not {mode!r}')
    if value:
        raise RuntimeError(f'pad: mode "{mode}" takes no value; only "constant" does')
    if input.ndim - len(pairs) not in (1, 2) or not 1 <= len(pairs) <= 3:
        raise NotImplementedError(
            f'pad: "{mode}" pads the last 1, 2 or 3 dimensions of an input that has one or two more; '
            f"got {len(pairs)} of shape {tuple(input.shape)}"
        )
    result = [n + sum(pairs.get(dim, ())) for dim, n in enumerate(input.shape)]
    if mode != "circular" and 0 in (*input.shape[input.ndim - len(pairs) - 1 :], *result[input.ndim - len(pairs) - 1 :]):
        raise RuntimeError(
            f'pad: "{mode}" needs sizes of at least 1 before and after, got {tuple(input.shape)} and {tuple(result)}'
        )
    for dim, (before, after) in pairs.items():
        input = ops.index_select(input, dim, _padded_positions(input, dim, before, after, mode))
    return input


def _padded_positions(input: Any, dim: int, before: int, after: int, mode: str) -> Any:
    """Which element each place of the padded dimension shows."""
    size, most = input.shape[dim], max(before, after)
    left = size + min(before, 0) + min(after, 0)  # after cutting
    if most > 0 and ((mode == "reflect" and most >= size) or (mode == "circular" and (most > size or left <= 0))):
        raise RuntimeError(f'pad: "{mode}" cannot take {most} elements from dimension {dim} of shape {tuple(input.shape)}')
    positions, kept = np.arange(size), slice(max(-before, 0), size - max(-after, 0))
    around: Any = (max(before, 0), max(after, 0))
    if mode == "circular":  # goes around in what is left after cutting; the others look at the whole
        positions = np.pad(positions[kept], around, mode="wrap")
    else:
        positions = np.pad(positions, around, mode="reflect" if mode == "reflect" else "edge")
        positions = positions[kept.start : len(positions) - max(-after, 0)]
    return array_module(raw(input)).asarray(positions)


# ---------------------------------------------------------------------------------------------------- attention


@autocast
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(Q Kᵀ/√E + mask) V: Q (..., L, E), K (..., S, E), V (..., S, Ev) -> (..., L, Ev)  (arXiv 1706.03762, eq. 1).

    A bool mask (..., L, S) is True where attention is allowed, a float one is added. is_causal: query i sees keys 0 ... i.
    A query that may see nothing gets 0. enable_gqa: fewer heads (dimension -3) in K and V, each shared by several of Q.
    """
    _check_attention(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        key, value = _repeat_heads("key", key, query), _repeat_heads("value", value, query)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if is_causal:
        xp = array_module(raw(query))
        attn_mask = Tensor(xp.tri(query.shape[-2], key.shape[-2], dtype=bool))
    if attn_mask is not None and attn_mask.dtype == bool:
        attn_mask = ops.where(attn_mask, 0.0, -math.inf).astype(query.dtype)
    if attn_mask is not None and attn_mask.requires_grad:  # learnt: its gradient is the whole (L, S) table
        weights = ops.attention.softmax_or_zero((query * scale) @ key.mT + attn_mask, axis=(max(query.ndim, key.ndim) - 1,))
        return dropout(weights, dropout_p) @ value
    _check_probability(dropout_p)
    mask, keep = raw(attn_mask), None
    if dropout_p:
        shapes = (*query.shape[:-1], 1), (*key.shape[:-2], 1, key.shape[-2]), () if mask is None else mask.shape
        keep = _keep_mask(query, np.broadcast_shapes(*shapes), dropout_p)
    return ops.attention.attention(query, key, value, mask=mask, keep=keep, scale=scale, keep_prob=1 - dropout_p)


def _check_attention(query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool) -> None:
    name = "scaled_dot_product_attention"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(f"{name}: query, key and value need at least 2 dimensions, got {query.ndim}, {key.ndim}, {value.ndim}")
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(f"{name}: query, key and value need the same dtype, got {query.dtype}, {key.dtype}, {value.dtype}")
    if attn_mask is not None and is_causal:
        raise RuntimeError(f"{name}: an explicit attn_mask should not be set when is_causal=True; put both into one mask")
    if attn_mask is not None and attn_mask.dtype not in (dtypes.bool_, dtypes.float32, query.dtype):
        raise RuntimeError(f"{name}: the mask must be bool or {query.dtype} as the query, got {attn_mask.dtype}")


def _repeat_heads(name: str, x: Any, query: Any) -> Any:
    heads, wanted = x.shape[-3], query.shape[-3]
    if wanted % heads:
        raise RuntimeError(f"enable_gqa: the {wanted} heads of the query must be a multiple of the {heads} of the {name}")
    xp = array_module(raw(x))
    return x if heads == wanted else ops.index_select(x, -3, xp.repeat(xp.arange(heads), wanted // heads))
