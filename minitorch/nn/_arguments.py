"""Checks of the arguments of nn's functions and modules, each with its error, and the meaning of ``reduction``.

Nothing here computes a layer or a loss; look here when you meet an error. Read before: ops/_arguments.py.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import dtypes
from ..devices import array_module
from ..ops import raw
from ..ops._arguments import may_read
from ..ops._autocast import autocast
from ..ops.checks import refuse_integers

# ------------------------------------------------------------------------------------------------------- losses


def loss_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a loss: it obeys autocast, and PyTorch's deprecated switches get an error that names ``reduction``."""
    cast = autocast(function)

    @functools.wraps(function)
    def call(*inputs: Any, **named: Any) -> Any:
        refuse_deprecated(function.__name__, named)
        return cast(*inputs, **named)

    return call


def refuse_deprecated(name: str, named: dict[str, Any]) -> None:
    """No size_average, no reduce: PyTorch deprecated both in 2018."""
    for old in ("size_average", "reduce"):
        if old in named:
            raise TypeError(f"{name}: {old} is deprecated in PyTorch and refused here; say reduction='mean', 'sum' or 'none'")


def check_reduction(reduction: str, also: Sequence[str] = ()) -> None:
    """One of "none", "mean", "sum", or of ``also``."""
    if reduction not in ("none", "mean", "sum", *also):
        raise ValueError(f"{reduction!r} is not a reduction: use 'none', 'mean' or 'sum'")


def reduced(loss: Any, reduction: str, weight: Any = None) -> Any:
    """The loss of each element (none), their sum, or their mean; with weights w the mean is Σ w·loss / Σ w."""
    check_reduction(reduction)
    if weight is not None:
        if weight.shape != loss.shape:
            raise ValueError(f"the weights' shape {tuple(weight.shape)} must be the loss's, {tuple(loss.shape)}")
        loss = loss * weight
    if reduction == "mean":
        return loss.mean() if weight is None else ratio_of_sums(loss, weight)
    return loss.sum() if reduction == "sum" else loss


def ratio_of_sums(loss: Any, weight: Any) -> Any:
    """Σ loss / Σ w (or / w, a number), in float32 for half precision, into which neither sum need fit."""
    wide = dtypes.promote_types(loss.dtype, dtypes.float32)
    return (loss.to(wide).sum() / (weight.to(wide).sum() if hasattr(weight, "dtype") else weight)).to(loss.dtype)


def difference(name: str, input: Any, target: Any, integers: bool = False) -> Any:
    """x - y; shapes that differ are broadcast, with a warning. An integer result is an error, except with ``integers``."""
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: the target's shape {tuple(target.shape)} differs from the input's {tuple(input.shape)}; they are "
            "broadcast, which is rarely meant",
            UserWarning,
            stacklevel=5,  # the caller of the loss: two decorators lie between
        )
    d = input - target
    if not integers:
        refuse_integers(name, d.dtype)
    return d


def check_probabilities(name: str, input: Any, target: Any) -> None:
    """Binary cross entropy: two tensors of one shape, all values in [0, 1]."""
    if input.shape != target.shape:
        raise ValueError(f"{name}: target {tuple(target.shape)} and input {tuple(input.shape)} must have one shape")
    for which, x in (("input", input), ("target", target)):
        if may_read(x) and not bool(((x.array >= 0) & (x.array <= 1)).all()):
            raise RuntimeError(f"{name}: the {which} must be probabilities, in [0, 1]; scores need the _with_logits loss")


# ------------------------------------------------------------------------------------------------ cross entropy


def check_smoothing(label_smoothing: float) -> None:
    """A share of the probability."""
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")


def class_targets(name: str, input: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any, Any]:
    """Class numbers, checked: the targets (0 where ignored), their weights (None: all 1), which are ignored (None: none)."""
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
    if may_read(t) and not dtypes.all_below(t, classes):
        bad = int(t.min()) if t.min() < 0 else int(t.max())
        raise IndexError(f"Target {bad} is out of bounds: {name} got {classes} classes, numbered 0 to {classes - 1}")
    weights = None if weight is None else raw(weight)[t]
    if weights is not None and ignored is not None:
        weights = weights * ~ignored
    return t, weights, ignored


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
    _check_weight_count(name, weight, classes)
    if weight.dtype != dtype:
        raise RuntimeError(f"{name}: the weight must have the input's dtype {dtype}, got {weight.dtype}; cast it with .to(dtype)")
    if weight.requires_grad:
        raise RuntimeError(f"{name}: the class weights are constants here; pass weight.detach()")


def _check_weight_count(name: str, weight: Any, classes: int) -> None:
    if tuple(weight.shape) != (classes,):
        raise RuntimeError(f"{name}: the weight must hold one number for each of {classes} classes, got {tuple(weight.shape)}")


def check_class_probabilities(target: Any, weight: Any, classes: int) -> None:
    """Cross entropy with a distribution as the target."""
    if not dtypes.is_floating(target.dtype):
        raise RuntimeError(
            f"cross_entropy: a target of the input's shape is probabilities, which must be floating, got {target.dtype}"
        )
    if weight is not None:
        _check_weight_count("cross_entropy", weight, classes)


# ------------------------------------------------------------------------------- activations, dropout, embedding


def in_place_if(inplace: bool, input: Any, result: Any) -> Any:
    """The result, or with ``inplace`` the input holding it."""
    return input.copy_(result) if inplace else result


def implicit_dim(name: str, ndim: int) -> int:
    """The dimension PyTorch takes where none is given, with its warning."""
    warnings.warn(f"{name}: leaving dim out is deprecated; say dim=-1 or whichever you mean", UserWarning, stacklevel=3)
    return 0 if ndim in (0, 1, 3) else 1


def check_probability(p: float) -> None:
    """Dropout's p."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def check_dropout_input(input: Any) -> None:
    """Floating, because dropout divides it by 1 - p."""
    if not dtypes.is_floating(input.dtype):
        raise RuntimeError(f"dropout: the result is floating and the input {input.dtype}; make the input floating: x.float()")


def row_of_table(padding_idx: int | None, rows: int) -> int | None:
    """padding_idx counted from the front."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"embedding: padding_idx {padding_idx} must be a row of the table, which has {rows}")
    return padding_idx % rows


def check_limit(function: str, name: str, value: float) -> None:
    """A length or size to stay below."""
    if not value >= 0:
        raise ValueError(f"{function}: {name} must not be negative, got {value}; a negative limit would turn the numbers round")


def check_batch_norm(input: Any, per_channel: Mapping[str, Any], training: bool) -> None:
    """Batch norm: one number per channel, dimension 1, in each tensor; in training at least two numbers to take a mean of."""
    if input.ndim < 2:
        raise RuntimeError(f"batch_norm: expected an input of shape (N, C, ...), got {tuple(input.shape)}")
    refuse_integers("batch_norm", input.dtype)
    channels = input.shape[1]
    if training and input.numel() == channels:
        raise ValueError(f"batch_norm: expected more than 1 value per channel when training, got shape {tuple(input.shape)}")
    for name, x in per_channel.items():
        if x is None and name.startswith("running") and not training:
            raise RuntimeError(f"batch_norm: {name} must be defined in evaluation mode; with training=True it may be None")
        if x is not None and tuple(x.shape) != (channels,):
            raise RuntimeError(f"batch_norm: {name} should have shape ({channels},), the channels; got {tuple(x.shape)}")
        if x is not None and x.dtype != input.dtype and input.dtype.itemsize != 2:
            raise RuntimeError(f"batch_norm: {name} is {x.dtype}, the input {input.dtype}; cast one with .to(dtype)")


# ------------------------------------------------------------------------------------------------------ padding


def padding_pairs(input: Any, pad: Sequence[int]) -> dict[int, tuple[int, int]]:
    """dimension -> (before, after), of a flat list that starts at the last dimension."""
    widths = [int(n) for n in pad]
    if len(widths) % 2 or len(widths) > 2 * input.ndim:
        raise RuntimeError(
            f"pad: needs two widths per dimension, for at most {input.ndim} dimensions; got {len(widths)}: {tuple(widths)}"
        )
    return {input.ndim - 1 - i: (widths[2 * i], widths[2 * i + 1]) for i in range(len(widths) // 2)}


def check_padding(input: Any, pairs: dict[int, tuple[int, int]], mode: str, value: Any) -> None:
    """PyTorch's rules for pad: how far to cut, and what each mode allows."""
    for dim, (before, after) in pairs.items():
        if input.shape[dim] + before + after < 0:
            raise RuntimeError(f"pad: dimension {dim} of size {input.shape[dim]} cannot be cut by {(before, after)}")
    if mode == "constant":
        return
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


# ---------------------------------------------------------------------------------------------------- attention


def check_attention(query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool) -> None:
    """scaled_dot_product_attention: dimensions, dtypes, and at most one mask."""
    name = "scaled_dot_product_attention"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(f"{name}: query, key and value need at least 2 dimensions, got {query.ndim}, {key.ndim}, {value.ndim}")
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(f"{name}: query, key and value need the same dtype, got {query.dtype}, {key.dtype}, {value.dtype}")
    if attn_mask is not None and is_causal:
        raise RuntimeError(f"{name}: an explicit attn_mask should not be set when is_causal=True; put both into one mask")
    if attn_mask is not None and attn_mask.dtype not in (dtypes.bool_, dtypes.float32, query.dtype):
        raise RuntimeError(f"{name}: the mask must be bool or {query.dtype} as the query, got {attn_mask.dtype}")


def check_multihead(module: Any, query: Any, key: Any, value: Any) -> None:
    """MultiheadAttention's inputs: one batch or one sequence each, with the sizes the module was made for."""
    if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
        raise AssertionError(
            "MultiheadAttention: query, key and value must all have 3 dimensions (a batch) or all 2 (one sequence), "
            f"got shapes {query.shape}, {key.shape}, {value.shape}"
        )
    for name, x, size in (("query", query, module.embed_dim), ("key", key, module.kdim), ("value", value, module.vdim)):
        if x.shape[-1] != size:
            raise AssertionError(f"MultiheadAttention: the last size of {name} must be {size}, got shape {x.shape}")
    if key.shape[:-1] != value.shape[:-1]:
        raise AssertionError(f"key {key.shape} and value {value.shape} may differ in their last size only")
    batch = 0 if module.batch_first else 1
    if query.ndim == 3 and query.shape[batch] != key.shape[batch]:
        raise RuntimeError(f"query {query.shape} and key {key.shape} must have the same batch size, at dimension {batch}")


def check_mask(name: str, mask: Any, *shapes: tuple[int, ...]) -> None:
    """MultiheadAttention's masks: one of these shapes, bool or floating."""
    if mask.shape not in shapes:
        expected = " or ".join(map(str, dict.fromkeys(shapes)))
        error = RuntimeError if name == "attn_mask" and mask.ndim in (2, 3) else AssertionError  # PyTorch's
        raise error(f"MultiheadAttention: the {name} has shape {mask.shape}, but should have {expected}")
    if mask.dtype != dtypes.bool_ and not mask.is_floating_point():
        raise AssertionError(f"MultiheadAttention: the {name} must be bool or floating, got {mask.dtype}; use mask.bool()")


# --------------------------------------------------------------------------------------- registering in a Module


def check_begun(module: Any, name: str) -> None:
    """Module.__init__ has run, so there is a place to register ``name``."""
    if "_kinds" not in module.__dict__:
        raise AttributeError(
            f"cannot assign '{name}' before Module.__init__() call: "
            f"{type(module).__name__}.__init__ must begin with super().__init__(), which makes the place to register it"
        )


def check_name(module: Any, kind: str, name: str) -> None:
    """The name is a string without dots, and the module does not use it for something else."""
    check_begun(module, name)
    if not isinstance(name, str):
        raise TypeError(f"a {kind}'s name must be a string, got {type(name).__name__}")
    if "." in name or name == "":
        raise KeyError(f"a {kind}'s name must not be empty or contain a dot, which separates levels of the tree: '{name}'")
    if hasattr(module, name) and module._kinds.get(name) != kind:
        raise KeyError(f"attribute '{name}' already exists in {type(module).__name__}")


def check_member(kind: str, name: str, value: Any, expected: type) -> None:
    """The member is of its kind's class, or None."""
    if value is not None and not isinstance(value, expected):
        cure = "; wrap it: Parameter(x)" if kind == "parameter" else ""
        kind = "child" if kind == "module" else kind
        raise TypeError(f"{kind} '{name}' must be a {expected.__name__} or None, got {type(value).__name__}{cure}")
