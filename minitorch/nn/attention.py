"""Multi-head attention (Vaswani et al., "Attention is all you need", 2017, section 3.2.2).

Each query looks at all keys and takes the average of their values, weighted by the agreement of query and key:
    Attention(Q, K, V) = softmax(Q Kᵀ / √d) V
H heads do so in parallel, each in its own space of d = embed_dim / H dimensions.
Sizes: B batch, L queries, S keys, E embed_dim, H heads, d a head's size.

A fully masked row: what does a query get that may look at no key? The weights e^s / Σ e^s depend on what the mask adds.

    who computes it                   a hidden key's score      the weights of such a query    the result
    softmax(scores), log_softmax      -∞                        NaN: 0/0, as in PyTorch        NaN
    F.scaled_dot_product_attention    -∞                        0                              0, and gradients 0
    MultiheadAttention                -∞                        0 (in PyTorch NaN, but 0       out_proj.bias
                                                                with need_weights=False)
    BERT (models/bert)                the dtype's most          uniform, 1/S: all scores are   the mean of the values
                                      negative number           that number after rounding

Read before: layers.py. Read next: transformer.py.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

from ..creation import empty, zeros, zeros_like
from ..dtypes import bool_
from ..ops import cat
from ..ops.attention import softmax_or_zero
from ..tensor import Tensor
from . import functional as F
from . import init
from ._arguments import check_mask, check_multihead
from .layers import Linear
from .module import Module
from .parameter import Parameter


class MultiheadAttention(Module):
    """Concat(head₁, ..., head_H) Wᴼ,  headᵢ = Attention(Q Wᵢ^Q, K Wᵢ^K, V Wᵢ^V).

    One matrix, in_proj_weight (3E, E), holds the projections of all heads: first the queries', then the keys', then the
    values'. With kdim or vdim there are three: q_proj_weight (E, E), k_proj_weight (E, kdim), v_proj_weight (E, vdim).
    add_bias_kv appends a learnt key and value to every sequence, add_zero_attn a zero one.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim}, num_heads={num_heads}")
        if embed_dim % num_heads:
            raise AssertionError(f"embed_dim must be divisible by num_heads, but {embed_dim} / {num_heads} is no whole number")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        packed = self.kdim == self.vdim == embed_dim
        shapes: dict[str, tuple[int, ...] | None] = {
            "q_proj_weight": None if packed else (embed_dim, embed_dim),
            "k_proj_weight": None if packed else (embed_dim, self.kdim),
            "v_proj_weight": None if packed else (embed_dim, self.vdim),
            "in_proj_weight": (3 * embed_dim, embed_dim) if packed else None,
            "in_proj_bias": (3 * embed_dim,) if bias else None,
            "bias_k": (1, 1, embed_dim) if add_bias_kv else None,
            "bias_v": (1, 1, embed_dim) if add_bias_kv else None,
        }
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else Parameter(empty(shape, device=device, dtype=dtype)))
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.constant_(self.out_proj.get_parameter("bias"), 0.0)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The attended values (L, B, E), or (B, L, E) if batch_first, or (L, E); and the weights (B, L, S) or None.

        query: (L, B, E), or (B, L, E) if batch_first, or (L, E); key and value likewise with S, kdim, vdim.
        key_padding_mask (B, S) and attn_mask (L, S) or (B·H, L, S): True hides a key (unlike in
        scaled_dot_product_attention, where True shows it), floats are added to the scores. A fully masked query
        has weights 0 and the output out_proj.bias (the table at the head of this file).
        need_weights=False is faster. average_attn_weights=False: weights of each head, (B, H, L, S).
        is_causal: a promise that attn_mask is the causal mask, so that it need not be read.
        """
        check_multihead(self, query, key, value)
        batched = query.ndim == 3
        if is_causal and attn_mask is None:
            raise RuntimeError("MultiheadAttention: is_causal is a hint about attn_mask; pass the causal mask as attn_mask too")
        q, k, v = self._project(query, key, value, batched)  # (B, L, E), (B, S, E), (B, S, E)
        k, v, added = self._append(k, v)
        sizes = (q.shape[0], self.num_heads, q.shape[1], k.shape[1] - added)
        causal = is_causal and key_padding_mask is None and not need_weights and not added
        mask = None if causal else _visible(attn_mask, key_padding_mask, sizes, added, q.dtype)
        q, k, v = (self._split_heads(x) for x in (q, k, v))  # (B, H, L or S, d)
        if need_weights:
            weights = F.dropout(_attention_weights(q, k, mask), self.dropout, self.training)
            heads = weights @ v  # (B, H, L, S) (B, H, S, d)
        else:
            heads = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0, causal)
        output = self.out_proj(heads.transpose(1, 2).reshape(sizes[0], sizes[2], self.embed_dim))  # (B, L, E)
        output = output.squeeze(0) if not batched else output if self.batch_first else output.transpose(0, 1)
        if not need_weights:
            return output, None
        weights = weights.mean(dim=1) if average_attn_weights else weights
        return output, weights if batched else weights.squeeze(0)

    def _project(self, query: Any, key: Any, value: Any, batched: bool) -> tuple[Any, Any, Any]:
        """Queries, keys and values of all heads, batch first. Self-attention needs one product instead of three."""

        def batch_first(x: Any) -> Any:
            return x.unsqueeze(0) if not batched else x if self.batch_first else x.transpose(0, 1)

        if query is key is value and self.in_proj_weight is not None:
            q, k, v = F.linear(batch_first(query), self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
            return q, k, v
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight.chunk(3)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = (None, None, None) if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (F.linear(batch_first(x), w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))
        return q, k, v

    def _append(self, k: Any, v: Any) -> tuple[Any, Any, int]:
        """Keys and values, followed by those of add_bias_kv and add_zero_attn; and the number of these."""
        batch, length, _ = k.shape
        if self.bias_k is not None:
            k = cat([k, self.bias_k.expand(batch, 1, -1)], dim=1)
            v = cat([v, self.bias_v.expand(batch, 1, -1)], dim=1)
        if self.add_zero_attn:
            nothing = zeros(batch, 1, self.embed_dim, dtype=k.dtype, device=k.device)
            k, v = cat([k, nothing], dim=1), cat([v, nothing], dim=1)
        return k, v, k.shape[1] - length

    def _split_heads(self, x: Any) -> Any:
        """(B, S, E) → (B, H, S, d)"""
        return x.reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)

    def extra_repr(self) -> str:
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


def _attention_weights(q: Any, k: Any, mask: Any) -> Any:
    """softmax(Q Kᵀ/√d + mask), (B, H, L, S); fully masked rows are 0."""
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == bool_ else scores + mask
    return softmax_or_zero(scores, axis=(3,))


def _visible(attn_mask: Any, key_padding_mask: Any, sizes: tuple[int, ...], added: int, dtype: Any) -> Any:
    """Both masks as one that broadcasts to (B, H, L, S + added): bool, True for visible keys, or floats to add.

    The ``added`` keys at the end can always be seen.
    """
    batch, heads, queries, keys = sizes
    masks = []
    if attn_mask is not None:
        check_mask("attn_mask", attn_mask, (queries, keys), (batch * heads, queries, keys))
        masks.append(attn_mask if attn_mask.ndim == 2 else attn_mask.reshape(sizes))
    if key_padding_mask is not None:
        check_mask("key_padding_mask", key_padding_mask, (batch, keys), (keys,) if batch == 1 else (batch, keys))
        masks.append(key_padding_mask.reshape(batch, 1, 1, keys))
    if added:
        masks = [F.pad(mask, (0, added)) for mask in masks]
    if all(mask.dtype == bool_ for mask in masks):
        return ~functools.reduce(operator.or_, masks) if masks else None
    return functools.reduce(operator.add, [_as_score(mask, dtype) for mask in masks])


def _as_score(mask: Any, dtype: Any) -> Any:
    """A mask as numbers to add to the scores: 0 for visible keys, -∞ for hidden ones."""
    return zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf) if mask.dtype == bool_ else mask.to(dtype)
