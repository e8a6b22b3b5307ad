"""The encoder-decoder Transformer, from two rows of token ids to the loss, in one file.

    source ids ─ embeddings + positions ─ encoder ─ memory ──────┐
    target ids ─ embeddings + positions ─ [self-attention ─ attention to the memory ─ feed-forward] × L ─ logits ─ loss

Vaswani et al. (2017), "Attention is all you need", https://arxiv.org/abs/1706.03762. The layers, their options and the names of
their weights are the engine's and so PyTorch's (nn.Transformer); the names of inputs and results are Hugging Face's. As in
later work the layers are pre-norm, which trains with little warm-up. The encoder may be a BERT (Rothe et al., 2020).

Shapes: B sequences, S source and T target tokens, E d_model, H heads of width d = E/H, V entries of the target's vocabulary.
Read before: minitorch/nn/transformer.py. Read next: task.py, models/generation/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn

from ..bert.config import BertConfig
from ..bert.model import BertModel
from ..checkpoints.config import Config
from ..checkpoints.parts import KeysAndValues, Output
from ..checkpoints.saved import SavedModel
from ..generation.cache import Cache

IGNORED = -100  # a label that the loss leaves out: padding


@dataclass(init=False)
class Seq2SeqConfig(Config):
    """Sizes, under nn.Transformer's names, and the ids with a meaning."""

    model_type: ClassVar[str] = "minitorch-seq2seq"
    kind: ClassVar[str] = "Transformer"
    base: ClassVar[str] = "model"
    body: ClassVar[tuple[str, ...]] = ("encoder.", "decoder.", "source_embedding.", "target_embedding.")
    body_name: ClassVar[str] = "Transformer"
    layers: ClassVar[tuple[str, str]] = ("num_decoder_layers", "decoder.layers.")
    sizes: ClassVar[dict[str, tuple[str, str, int]]] = {
        "d_model": ("target_embedding.weight", "", 1),
        "target_vocab_size": ("target_embedding.weight", "", 0),
    }

    vocab_size: int = 4096  # of the source
    target_vocab_size: int = 4096
    joint: bool = True  # one vocabulary, one table of embeddings
    d_model: int = 128
    nhead: int = 4
    num_encoder_layers: int = 2
    num_decoder_layers: int = 2
    dim_feedforward: int = 512
    dropout: float = 0.1
    max_position_embeddings: int = 512
    pad_token_id: int = 0
    decoder_start_token_id: int = 1
    eos_token_id: int = 2
    encoder: dict[str, Any] | None = None  # the configuration of a BERT, if that is the encoder

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.check()
        self.check_heads("d_model", "nhead")
        if self.encoder is not None and self.encoder.get("hidden_size") != self.d_model:
            raise ValueError(f"d_model {self.d_model} must be the hidden_size of the encoder, {self.encoder.get('hidden_size')}")
        if self.joint and (self.encoder is not None or self.vocab_size != self.target_vocab_size):
            raise ValueError("a joint vocabulary needs vocab_size = target_vocab_size, and an encoder without one of its own")

    def check_memory(self) -> None:
        """Refuse sizes that cannot be meant, before memory is taken."""
        E, layers = self.d_model, self.num_encoder_layers + 2 * self.num_decoder_layers
        numbers = (self.vocab_size + self.target_vocab_size + self.max_position_embeddings) * E
        numbers += layers * (4 * E * E + 2 * E * self.dim_feedforward)
        self.refuse_beyond_memory(numbers, "vocab_size", "target_vocab_size", "d_model", "dim_feedforward", "num_decoder_layers")


def positions(length: int, size: int) -> Any:
    """Sines and cosines that tell the positions apart (section 3.5), (length, size).

    PE(p, 2i) = sin(p / 10000^(2i/E)),  PE(p, 2i+1) = cos(p / 10000^(2i/E))
    """
    rates = 10000.0 ** (-np.arange(0, size, 2) / size)
    angles = np.arange(length)[:, None] * rates  # (length, E/2)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :size].astype(np.float32)


def heads(attention: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """(B, S, E) -> (B, H, S, d)"""
    return x.reshape(*x.shape[:2], attention.num_heads, attention.head_dim).transpose(1, 2)


def keys_and_values(attention: nn.MultiheadAttention, x: Tensor) -> KeysAndValues:
    """Of a sequence (B, S, E), each (B, H, S, d): the last two thirds of the attention's packed projection."""
    E = attention.embed_dim
    k, v = F.linear(x, attention.in_proj_weight[E:], attention.in_proj_bias[E:]).chunk(2, dim=-1)
    return heads(attention, k), heads(attention, v)


def attend(
    attention: nn.MultiheadAttention, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, tables: list[Any] | None
) -> Tensor:
    """softmax(Q Kᵀ/√d + mask) V of all heads, projected: (B, H, T, d), (B, H, S, d) -> (B, T, E). Weights go to ``tables``."""
    p = attention.dropout if attention.training else 0.0
    if tables is None:
        x = F.scaled_dot_product_attention(q, k, v, mask, p, causal)  # (B, H, T, d)
    else:
        scores = q @ k.mT * attention.head_dim**-0.5  # (B, H, T, S)
        tables.append(F.softmax(scores if mask is None else scores.masked_fill(~mask, -math.inf), dim=-1))
        x = tables[-1] @ v
    return attention.out_proj(x.transpose(1, 2).reshape(q.shape[0], q.shape[2], attention.embed_dim))


class EncoderDecoderCache(Cache):
    """Keys and values of the target's tokens so far, and of the source, which are made once a sentence."""

    def __init__(self, source: Sequence[KeysAndValues]) -> None:
        super().__init__()
        self.source = Cache(source)

    def reorder(self, rows: Any) -> None:
        """Both: from here on row i continues what row rows[i] had."""
        super().reorder(rows)
        self.source.reorder(rows)


class DecoderLayer(nn.TransformerDecoderLayer):
    """nn.TransformerDecoderLayer, pre-norm, that can go on from the keys and values of earlier tokens.

    x += attention(norm1 x),  x += attention(norm2 x, memory),  x += feed-forward(norm3 x)
    """

    def forward(  # type: ignore[override]
        self, x: Tensor, source: KeysAndValues, seen: Tensor | None, layer: int, cache: Cache | None, tables: list[Any] | None
    ) -> Tensor:
        """x (B, T, E); the source's keys and values (B, H, S, d), and which of them may be seen, bool (B, 1, 1, S).

        ``cache`` has, and gets, the target's keys and values. ``tables`` gets what each token attends to in the source.
        """
        own, cross = self.self_attn, self.multihead_attn
        q, k, v = (heads(own, t) for t in F.linear(self.norm1(x), own.in_proj_weight, own.in_proj_bias).chunk(3, dim=-1))
        if cache is not None:
            k, v = cache.update(k, v, layer)  # (B, H, n + T, d)
        T, n = x.shape[1], k.shape[2] - x.shape[1]
        before = minitorch.tensor(np.tri(T, n + T, n, dtype=bool)).to(x.device) if n and T > 1 else None
        x = x + self.dropout1(attend(own, q, k, v, before, not n, None))  # a token sees those before it and itself
        q = heads(cross, F.linear(self.norm2(x), cross.in_proj_weight[: cross.embed_dim], cross.in_proj_bias[: cross.embed_dim]))
        x = x + self.dropout2(attend(cross, q, *source, seen, False, tables))
        return x + self._ff_block(self.norm3(x))


class Decoder(nn.Module):
    """The stack of layers and a last norm, under nn.TransformerDecoder's names."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(*layer_of(config), **PRE_NORM) for _ in range(config.num_decoder_layers)])
        self.norm = nn.LayerNorm(config.d_model)


PRE_NORM: dict[str, Any] = {"batch_first": True, "norm_first": True}


def layer_of(config: Seq2SeqConfig) -> tuple[int, int, int, float]:
    """The sizes of a layer, in the order of its arguments."""
    return config.d_model, config.nhead, config.dim_feedforward, config.dropout


class Seq2SeqTransformer(SavedModel):
    """Encoder, decoder, and the target's embeddings, which are also the projection to the vocabulary (section 3.4)."""

    config: Seq2SeqConfig
    config_class = Seq2SeqConfig

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__(config)
        E = config.d_model
        self.target_embedding = nn.Embedding(config.target_vocab_size, E)
        if config.encoder is None:
            layer = nn.TransformerEncoderLayer(*layer_of(config), **PRE_NORM)
            self.encoder: Any = nn.TransformerEncoder(layer, config.num_encoder_layers, nn.LayerNorm(E))
            self.source_embedding = None if config.joint else nn.Embedding(config.vocab_size, E)
        self.decoder = Decoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("positions", minitorch.tensor(positions(config.max_position_embeddings, E)), persistent=False)
        for p in self.parameters():  # as nn.Transformer begins
            if p.ndim > 1:
                nn.init.xavier_uniform_(p)
        for table in filter(None, (self.target_embedding, getattr(self, "source_embedding", None))):
            nn.init.normal_(table.weight, std=E**-0.5)  # times √E: the size of the positions
        if config.encoder is not None:
            self.encoder = BertModel(BertConfig.from_dict(config.encoder), add_pooling_layer=False)

    def tie_weights(self) -> None:
        """Nothing to do: what is shared is one module."""

    def embed(self, table: nn.Embedding, ids: Tensor, first: int = 0) -> Tensor:
        """√E · embedding + position: (B, T) -> (B, T, E); the positions begin at ``first``."""
        end = first + ids.shape[1]
        if end > len(self.positions):
            raise ValueError(
                f"a sequence of {end} tokens is longer than the {len(self.positions)} positions of this model; cut it, or make a "
                "model with a larger max_position_embeddings"
            )
        return self.dropout(table(ids) * self.config.d_model**0.5 + self.positions[first:end])

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The memory: (B, S) -> (B, S, E). attention_mask: 1 for tokens, 0 for padding."""
        self.check_ids(input_ids)
        if self.config.encoder is not None:
            return self.encoder(input_ids, attention_mask).last_hidden_state
        x = self.embed(self.source_embedding or self.target_embedding, input_ids)
        return self.encoder(x, src_key_padding_mask=None if attention_mask is None else attention_mask == 0)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        encoder_outputs: Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        use_cache: bool = False,
        output_attentions: bool = False,
    ) -> Output:
        """Source ids (B, S) and target ids (B, T) -> logits (B, T, V); with ``labels`` (B, T) the mean loss, -100 left out.

        decoder_input_ids: the labels, shifted right behind the start token, unless given (teacher forcing).
        encoder_outputs: the memory, where the source has been encoded. past_key_values: what an earlier call with use_cache
        returned; then decoder_input_ids are the new tokens alone. output_attentions: also cross_attentions, (B, H, T, S) a layer.
        """
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("give decoder_input_ids, or labels, which make them")
            decoder_input_ids = self.shift_right(labels)
        cache = past_key_values
        sources: Any = None if cache is None else cache.source
        if cache is None:
            memory = self.encode(input_ids, attention_mask) if encoder_outputs is None else encoder_outputs
            sources = [keys_and_values(layer.multihead_attn, memory) for layer in self.decoder.layers]
            cache = EncoderDecoderCache(sources) if use_cache else None
        seen = None if attention_mask is None else (attention_mask != 0)[:, None, None, :]  # (B, 1, 1, S)
        x = self.embed(self.target_embedding, decoder_input_ids, 0 if cache is None else len(cache))
        tables: list[Tensor] | None = [] if output_attentions else None
        for i, layer in enumerate(self.decoder.layers):
            x = layer(x, sources[i], seen, i, cache, tables)  # (B, T, E)
        logits = F.linear(self.decoder.norm(x), self.target_embedding.weight)  # (B, T, V)
        loss = None if labels is None else F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        return Output(loss=loss, logits=logits, past_key_values=cache, cross_attentions=tables and tuple(tables))

    def shift_right(self, labels: Tensor) -> Tensor:
        """What the decoder reads to predict the labels: the start token, then all labels but the last; -100 is padding."""
        start = minitorch.full((labels.shape[0], 1), self.config.decoder_start_token_id, dtype=labels.dtype, device=labels.device)
        shifted = minitorch.cat([start, labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == IGNORED, self.config.pad_token_id)
