"""torch.nn.functional: the functions that networks are made of, under PyTorch's names, arguments and defaults.

Here are the ones that models use; functional_extra.py has the others, and the argument checks are in _arguments.py. The
equations of single operations and their gradients are in ops/: nn, activations, attention, normalization, losses.
Read before: ops/nn.py, layers.py. Read next: optim/optimizer.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from .. import random as _random
from ..devices import array_module
from ..ops import layer_norm, raw
from ..ops._autocast import autocast
from ..ops.activations import gelu, linear_gelu
from ..ops.checks import refuse_integers
from ..ops.nn import linear, one_hot
from ..tensor import Tensor
from . import _arguments as check
from . import functional_extra
from ._arguments import class_targets, in_place_if, loss_function, reduced
from .functional_bags import shorten_rows as _shorten_rows
from .functional_extra import *  # noqa: F403  its __all__ is part of the one below

__all__ = [
    "binary_cross_entropy_with_logits", "cross_entropy", "dropout", "dropout_add_layer_norm", "embedding", "gelu", "layer_norm",
    "linear", "linear_gelu", "log_softmax", "mse_loss", "nll_loss", "one_hot", "relu",
    "scaled_dot_product_attention", "sigmoid", "silu", "softmax", "tanh", *functional_extra.__all__,
]  # fmt: skip

# -------------------------------------------------------------------------------------------------- activations


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0)"""
    return in_place_if(inplace, input, ops.relu(input))


def silu(input: Any, inplace: bool = False) -> Any:
    """x σ(x), also called swish"""
    return in_place_if(inplace, input, ops.extra_activations.silu(input))


def sigmoid(input: Any) -> Any:
    """σ(x) = 1/(1 + e⁻ˣ)"""
    return ops.sigmoid(input)


def tanh(input: Any) -> Any:
    """tanh x"""
    return ops.tanh(input)


def softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """eˣⁱ / Σⱼ eˣʲ along ``dim``: positive numbers that sum to 1"""
    return ops.softmax(input, check.implicit_dim("softmax", input.ndim) if dim is None else dim, dtype)


def log_softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """ln softmax(x), accurate where softmax underflows"""
    return ops.log_softmax(input, check.implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype)


# ---------------------------------------------------------------------------------------- dropout and embedding


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element becomes 0 with probability p, else x / (1 - p), which keeps the expectation. Not training: x unchanged."""
    check.check_probability(p)
    if not training or p == 0 or input.numel() == 0:
        return input
    check.check_dropout_input(input)
    return in_place_if(inplace, input, ops.nn.drop(input, keep=_keep_mask(input, input.shape, p), p=p))


def dropout_add_layer_norm(
    input: Any, residual: Any, weight: Any, bias: Any, p: float = 0.0, eps: float = 1e-5, training: bool = True
) -> Any:
    """layer_norm(residual + dropout(input)) over the last axis: the end of each half of a Transformer's layer, in one operation.

    input and residual (..., H), weight and bias (H,) or None. The numbers are those of the three functions in a row.
    """
    check.check_probability(p)
    drops = training and p > 0 and input.numel() > 0
    keep = _keep_mask(input, input.shape, p) if drops else None
    return ops.normalization.add_layer_norm(input, residual, weight, bias, eps, keep, 1 - p if drops else 1.0)


def _keep_mask(like: Any, shape: tuple[int, ...], p: float) -> Any:
    """True with probability 1 - p: this thread's next mask."""
    return ops.nn.keep_mask(raw(like), shape, p, _random.default_generator().masks())


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """weight[input]: the rows of a table (entries, size) that integers name. Row ``padding_idx`` gets no gradient.

    max_norm: rows longer than this are first shortened, in place. Gradients are dense, also with sparse=True.
    """
    padding_idx = check.row_of_table(padding_idx, weight.shape[0])
    if max_norm is not None:
        check.check_limit("embedding", "max_norm", max_norm)
        _shorten_rows(weight, raw(input), max_norm, norm_type)
    return ops.nn.embedding(input, weight, padding_idx, scale_grad_by_freq, sparse)


# ------------------------------------------------------------------------------------------------------- losses


@loss_function
def mse_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """(x - y)²; with weights the mean is Σ w(x - y)² / Σ w"""
    return reduced(check.difference("mse_loss", input, target).square(), reduction, weight)


@loss_function
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """-w (v y ln σ(x) + (1 - y) ln(1 - σ(x))), v = pos_weight; computed from ln σ(x), which cannot overflow"""
    if input.shape != target.shape:
        raise ValueError(f"Target size {tuple(target.shape)} must be the same as input size {tuple(input.shape)}")
    positive = 1 if pos_weight is None else (pos_weight - 1) * target + 1
    loss = (1 - target) * input - positive * ops.extra_activations.log_sigmoid(input)  # ln(1 - σ(x)) = ln σ(x) - x
    return reduced(loss if weight is None else loss * weight, reduction)


@loss_function
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-Σ_c w_c q_c ln softmax(x)_c of scores x: (C), (N, C) or (N, C, d1, ...), and of class numbers or probabilities.

    target: class numbers t, (), (N) or (N, d1, ...): q is 1 at t, so the sum is -w_t ln softmax(x)_t; or q itself, in x's shape.
    label_smoothing ε replaces q by (1 - ε)q + ε/C (Szegedy et al., 2016). The mean over class numbers divides by Σ w_t of
    the targets other than ignore_index (nan if there is none), the mean over probabilities by the number of positions.
    """
    check.check_smoothing(label_smoothing)
    axis, ε = (0 if input.ndim == 1 else 1), label_smoothing
    if input.shape == target.shape:
        return _cross_entropy_of_probabilities(input, target, weight, reduction, ε, axis)
    t, w, ignored = class_targets("cross_entropy", input, target, weight, ignore_index)
    loss = _times(w, _silence(ignored, ops.losses.cross_entropy_at(input, target=t, axis=axis)))  # -w_t ln softmax(x)_t
    if ε:
        every_class = -_times_class_weights(ops.log_softmax(input, axis), weight, axis).sum(axis)  # -Σ_c w_c ln softmax(x)_c
        loss = (1 - ε) * loss + ε / input.shape[axis] * _silence(ignored, every_class)
    return _mean_over(w, ignored, loss, reduction)


def _cross_entropy_of_probabilities(x: Any, q: Any, weight: Any, reduction: str, ε: float, axis: int) -> Any:
    classes = x.shape[axis]
    check.check_class_probabilities(q, weight, classes)
    if ε:
        q = (1 - ε) * q + ε / classes
    loss = -_times_class_weights(ops.log_softmax(x, axis) * q, weight, axis).sum(axis)
    return reduced(loss, reduction)


@loss_function
def nll_loss(input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-w_t x_t of log-probabilities x: (C), (N, C) or (N, C, d1, ...) at class numbers t: (), (N) or (N, d1, ...)"""
    refuse_integers("nll_loss", input.dtype)
    t, w, ignored = class_targets("nll_loss", input, target, weight, ignore_index)
    loss = -ops.losses.pick(input, index=t, axis=0 if input.ndim == 1 else 1)
    return _mean_over(w, ignored, _times(w, _silence(ignored, loss)), reduction)


def _silence(ignored: Any, loss: Any) -> Any:
    """0 at the ignored positions, even where the loss is infinite."""
    return loss if ignored is None else loss.masked_fill(Tensor(ignored), 0)


def _times(w: Any, loss: Any) -> Any:
    return loss if w is None else loss * Tensor(w)


def _times_class_weights(x: Any, weight: Any, axis: int) -> Any:
    return x if weight is None else x * weight.reshape((-1, *(1,) * (x.ndim - axis - 1)))


def _mean_over(w: Any, ignored: Any, loss: Any, reduction: str) -> Any:
    """Reduced; the mean divides by the weights of the positions that count."""
    if reduction != "mean" or (w is None and ignored is None):
        return reduced(loss, reduction)
    return check.ratio_of_sums(loss, Tensor(~ignored if w is None else w))


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
    enable_gqa: fewer heads (dimension -3) in K and V, each shared by several of Q.
    A query that may see nothing gets 0. The table at the head of nn/attention.py compares this with softmax and BERT.
    """
    check.check_attention(query, key, value, attn_mask, is_causal)
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
    check.check_probability(dropout_p)
    mask, keep = raw(attn_mask), None
    if dropout_p:
        shapes = (*query.shape[:-1], 1), (*key.shape[:-2], 1, key.shape[-2]), () if mask is None else mask.shape
        keep = _keep_mask(query, np.broadcast_shapes(*shapes), dropout_p)
    return ops.attention.attention(query, key, value, mask=mask, keep=keep, scale=scale, keep_prob=1 - dropout_p)


def _repeat_heads(name: str, x: Any, query: Any) -> Any:
    heads, wanted = x.shape[-3], query.shape[-3]
    if wanted % heads:
        raise RuntimeError(f"enable_gqa: the {wanted} heads of the query must be a multiple of the {heads} of the {name}")
    xp = array_module(raw(x))
    return x if heads == wanted else ops.index_select(x, -3, xp.repeat(xp.arange(heads, dtype=np.int64), wanted // heads))
