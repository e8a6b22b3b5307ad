"""embedding_bag: the rows of a table summed, averaged or maximised per bag of indices, as a text is of its words.

Exported by functional.py. Read before: ops/nn.py (embedding). Read next: bags.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes, ops
from ..changes import mark_changed
from ..devices import Array, array_module
from ..grad_mode import no_grad
from ..ops import raw
from ..ops.nn import _add_rows as add_rows
from ..ops.nn import embedding
from ..tensor import Tensor
from ._arguments import check_limit


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """The sum, mean or maximum of the rows weight[input] of each bag: (B, size).

    input: (B, n), a bag per row; or (N,), bag b beginning at offsets[b] (include_last_offset: the last one is only an end).
    per_sample_weights, of input's shape: factors of the rows, for "sum". Row ``padding_idx`` does not count. An empty bag is 0.
    """
    _check(mode, input, weight, per_sample_weights, scale_grad_by_freq, padding_idx)
    bag, count = _bags(raw(input), offsets, include_last_offset)
    index, factor = raw(input).reshape(-1), None if per_sample_weights is None else per_sample_weights.reshape(-1)
    kept = bag < count
    if padding_idx is not None:
        kept &= index != padding_idx % len(weight)
    if not kept.all():
        index, bag, factor = index[kept], bag[kept], None if factor is None else factor[Tensor(kept)]
    if max_norm is not None:
        check_limit("embedding_bag", "max_norm", max_norm)
        shorten_rows(weight, index, max_norm, norm_type)
    rows = embedding(Tensor(index), weight, None, scale_grad_by_freq)  # (N, size)
    if mode == "max":
        return _largest(rows, bag, count)
    total = add_rows(rows if factor is None else rows * factor.unsqueeze(-1), index=bag, count=count)
    if mode == "sum":
        return total
    sizes = array_module(bag).bincount(bag, minlength=count).clip(1)
    return total / Tensor(sizes[:, None].astype(total.dtype))


def shorten_rows(weight: Tensor, index: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows of ``index`` that are longer than max_norm down to it, in place."""
    xp = array_module(weight.array)
    taken = xp.unique(index)
    with no_grad():
        norm = raw(ops.norm(Tensor(weight.array[taken]), norm_type, 1, keepdim=True))
    weight.array[taken] *= xp.where(norm > max_norm, max_norm / (norm + 1e-7), 1).astype(weight.dtype)
    mark_changed(weight.array)


def _bags(index: Array, offsets: Any, include_last: bool) -> tuple[Array, int]:
    """The number of each index's bag, and how many bags there are; what lies behind the last bag has a higher number."""
    xp = array_module(index)
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: with a 2D input every row is a bag: leave offsets out")
        return xp.repeat(xp.arange(index.shape[0]), index.shape[1]), index.shape[0]
    if index.ndim != 1 or offsets is None or offsets.ndim != 1:
        raise ValueError(
            f"embedding_bag: the input must be 2D, a bag per row, or 1D with 1D offsets; got shape {index.shape} and "
            f"{'no offsets' if offsets is None else f'offsets of shape {tuple(offsets.shape)}'}"
        )
    starts = raw(offsets).astype(np.int64)
    first, last = (int(starts[0]), int(starts[-1])) if starts.size else (0, 0)
    if first != 0 or last > index.size or bool((xp.diff(starts) < 0).any()) or (include_last and not starts.size):
        raise RuntimeError(
            f"embedding_bag: offsets must begin with 0, not decrease and not exceed {index.size}; got {starts.tolist()}"
        )
    bag = xp.searchsorted(starts, xp.arange(index.size), side="right") - 1
    return (bag if starts.size else bag * 0 + 1), len(starts) - include_last


def _largest(rows: Any, bag: Array, count: int) -> Any:
    """The maximum of each bag, 0 of an empty one: the rows as a table of bags, short ones filled with -inf."""
    xp = array_module(bag)
    sizes = xp.bincount(bag, minlength=count)
    longest = max(1, int(sizes.max(initial=0)))
    table = xp.full((count, longest), len(bag))  # the row of -inf
    table[bag, xp.arange(len(bag)) - (xp.cumsum(sizes) - sizes)[bag]] = xp.arange(len(bag))
    filled = ops.cat([rows, rows.new_full((1, rows.shape[1]), -math.inf)])
    spread = ops.index_select(filled, 0, Tensor(table.reshape(-1))).reshape(count, longest, rows.shape[1])
    return ops.max(spread, 1).values.masked_fill(Tensor(sizes == 0).unsqueeze(-1), 0)


def _check(mode: str, input: Any, weight: Any, factors: Any, by_frequency: bool, padding_idx: int | None) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f'embedding_bag: mode has to be "sum", "mean" or "max", got {mode!r}')
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"embedding_bag: indices must be int64 or int32, got {input.dtype}; convert them with .long()")
    if mode == "max" and by_frequency:
        raise ValueError("embedding_bag: scale_grad_by_freq is for sum and mean, not for max")
    if factors is not None and mode != "sum":
        raise NotImplementedError(f'embedding_bag: per_sample_weights are for mode "sum" only, got {mode!r}')
    if factors is not None and tuple(factors.shape) != tuple(input.shape):
        raise ValueError(
            f"embedding_bag: per_sample_weights {tuple(factors.shape)} must have the input's shape {tuple(input.shape)}"
        )
    if padding_idx is not None and not -len(weight) <= padding_idx < len(weight):
        raise RuntimeError(f"embedding_bag: padding_idx {padding_idx} must be a row of the table, which has {len(weight)}")
