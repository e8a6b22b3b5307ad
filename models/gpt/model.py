"""GPT-2, from token ids to the loss, in one file.

    ids ─ embeddings ─ [x + attention(LN x) ─ x + feed-forward(LN x)] × L ─ LN ─ logits ─ loss

Radford, Wu, Child, Luan, Amodei and Sutskever (2019), "Language Models are Unsupervised Multitask Learners", section 2.3.
Three things set it apart from BERT (../bert/model.py, of which this reads as a variant): a token sees only itself and those
before it; LayerNorm stands before each part and not after its sum, so that x flows from the first layer to the last untouched;
the head is the table of embeddings and nothing more. Parameter names, arguments and outputs are Hugging Face's.

Shapes: B sequences, S new tokens each, n tokens in the cache, H hidden size, A heads of width d = H/A, I = 4H, V vocabulary size.
Read before: config.py, ../bert/model.py. Read next: weights.py, decoding.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, nn
from minitorch.nn.fused import activated
from minitorch.ops import may_read

from ..checkpoints.parts import KeysAndValues, Output, activation
from ..generation.cache import Cache
from .config import GPT2Config
from .decoding import generate_ids
from .weights import SavedGPT


class PreTrained(SavedGPT):
    """Shared by both classes: initial weights and the tied head. Loading and saving are in weights.py."""

    def initialize(self) -> None:
        """N(0, σ = initializer_range), biases 0, LayerNorm 1 and 0; what is added to x has σ / √(2L): x sums 2L of them."""
        std = self.config.initializer_range
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, std=std / math.sqrt(2 * self.config.n_layer))
            elif name.endswith("bias"):
                nn.init.zeros_(p)
            elif p.ndim == 2:
                nn.init.normal_(p, std=std)
        self.tie_weights()

    def tie_weights(self) -> None:
        """The vocabulary projection is the table of token embeddings."""
        if hasattr(self, "lm_head") and self.config.tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight


class GPT2Attention(nn.Module):
    """Each token's query meets the keys up to its own, and weighs the values: softmax(Q Kᵀ/√d + mask) V, in A heads at once."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        H = config.n_embd
        self.heads, self.layer = config.n_head, layer
        self.c_attn = nn.Linear(H, 3 * H)  # queries, keys and values in one product
        self.c_proj = nn.Linear(H, H)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(
        self, x: Tensor, mask: Tensor | None, output_attentions: bool, cache: Cache | None
    ) -> tuple[Tensor, Tensor | None]:
        B, S, H = x.shape
        qkv = self.c_attn(x).reshape(B, S, 3, self.heads, H // self.heads)  # (B, S, 3H) -> (B, S, 3, A, d)
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))  # (B, A, S, d)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)  # (B, A, n + S, d)
        if output_attentions:
            scores = q @ k.mT * (H // self.heads) ** -0.5  # (B, A, S, n + S)
            probabilities = self.attn_dropout(F.softmax(scores if mask is None else scores + mask, dim=-1))
            context = probabilities @ v  # (B, A, S, d)
        else:  # the same in one operation, which need not keep the (S, n + S) tables
            probabilities = None
            context = F.scaled_dot_product_attention(q, k, v, mask, self.attn_dropout.p if self.training else 0.0)
        context = context.transpose(1, 2).reshape(B, S, H)
        return self.resid_dropout(self.c_proj(context)), probabilities


class GPT2MLP(nn.Module):
    """The feed-forward layer: H -> I, the activation, I -> H."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, config.intermediate_size)
        self.c_proj = nn.Linear(config.intermediate_size, config.n_embd)
        self.act = activation(config.activation_function, "activation_function")
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(activated(self.c_fc, self.act, x)))  # (B, S, H) -> (B, S, I) -> (B, S, H)


class GPT2Block(nn.Module):
    """One layer: attention, then the feed-forward layer, each added to x."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = GPT2Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = GPT2MLP(config)

    def forward(
        self, x: Tensor, mask: Tensor | None, output_attentions: bool, cache: Cache | None
    ) -> tuple[Tensor, Tensor | None]:
        seen, probabilities = self.attn(self.ln_1(x), mask, output_attentions, cache)
        x = x + seen  # (B, S, H)
        return x + self.mlp(self.ln_2(x)), probabilities


class GPT2Model(PreTrained):
    """The decoder itself: hidden states for every token."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([GPT2Block(config, i) for i in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.initialize()

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | Sequence[KeysAndValues] | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """ids (B, S) -> last_hidden_state (B, S, H), and with use_cache past_key_values, to be given with the next tokens.

        attention_mask: (B, n + S), 1 for a token and 0 for padding, on either side; the cache's tokens count.
        position_ids: (B, S); left out, tokens are counted, padding is not.
        output_hidden_states adds the L+1 layers' states (the last after ln_f), output_attentions the (B, A, S, n + S) tables.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds, one of them and not both")
        if input_ids is not None:
            self.check_ids(input_ids)
            inputs_embeds = self.wte(input_ids)  # (B, S, H)
        assert inputs_embeds is not None
        config = self.config
        wants_attentions = config.output_attentions if output_attentions is None else output_attentions
        wants_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        cache = past_key_values if isinstance(past_key_values, Cache) else Cache(past_key_values or ())
        keeps = config.use_cache if use_cache is None else use_cache
        S, n = inputs_embeds.shape[1], len(cache)
        if position_ids is None:
            position_ids = self.positions(attention_mask, S, n).to(inputs_embeds.device)  # (1 or B, S)
        x = self.drop(inputs_embeds + self.wpe(position_ids))  # (B, S, H)
        mask = causal_mask(attention_mask, S, n, x)
        states, attentions = [x], []
        for block in self.h:
            x, probabilities = block(x, mask, wants_attentions, cache if keeps or n else None)
            states.append(x)
            attentions.append(probabilities)
        states[-1] = self.ln_f(x)
        output = Output(
            last_hidden_state=states[-1],
            past_key_values=cache if keeps else None,
            hidden_states=tuple(states) if wants_states else None,
            attentions=tuple(attentions) if wants_attentions else None,
        )
        return output.to_tuple() if return_dict is False else output

    def positions(self, attention_mask: Tensor | None, S: int, n: int) -> Tensor:
        """n, n+1, ..., n+S-1; with a mask the number of tokens before each, so that a text counts from 0 wherever it stands."""
        if n + S > self.config.n_positions:
            raise ValueError(
                f"a sequence of {n + S} tokens is longer than the {self.config.n_positions} positions of this model; "
                "truncate it, or make a model with a larger n_positions"
            )
        if attention_mask is None:
            return minitorch.arange(n, n + S)[None]  # (1, S)
        return ((attention_mask != 0).long().cumsum(-1) - 1).clamp(min=0)[:, -S:]  # (B, S)


def causal_mask(attention_mask: Tensor | None, S: int, n: int, x: Tensor) -> Tensor | None:
    """What is added to the scores: 0 where a token may look, and elsewhere (later tokens, padding) the most negative number.

    (S, n + S), with padding (B, 1, S, n + S). Finite, so that padding before a text gives uniform weights and no NaN.
    """
    if attention_mask is not None and tuple(attention_mask.shape) != (x.shape[0], n + S):
        raise ValueError(
            f"attention_mask must be (batch, tokens) = {(x.shape[0], n + S)}, got {tuple(attention_mask.shape)}"
            + f"; it also covers the {n} tokens of the cache" * (n > 0)
        )
    padded = attention_mask is not None and not (may_read(attention_mask) and bool((attention_mask.array != 0).all()))
    if S == 1 and not padded:
        return None
    sees = minitorch.arange(n, n + S, device=x.device)[:, None] >= minitorch.arange(n + S, device=x.device)  # (S, n + S)
    if padded and attention_mask is not None:
        sees = sees & (attention_mask != 0)[:, None, None]  # (B, 1, S, n + S)
    return minitorch.where(sees, minitorch.zeros((), dtype=x.dtype, device=x.device), float(minitorch.finfo(x.dtype).min))


class GPT2LMHeadModel(PreTrained):
    """Guess the next token, at every token."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.initialize()

    def forward(self, *inputs: Any, labels: Tensor | None = None, **options: Any) -> Any:
        """labels (B, S): the ids themselves, -100 where the loss ignores them; the token before each one has to guess it."""
        return_dict = options.pop("return_dict", None)
        decoded = self.transformer(*inputs, **options)
        logits = self.lm_head(decoded.last_hidden_state)  # (B, S, V)
        loss = None
        if labels is not None:
            nothing = minitorch.full((labels.shape[0], 1), -100, dtype=labels.dtype, device=labels.device)  # follows the last
            wanted = minitorch.cat([labels[:, 1:], nothing], dim=1)  # (B, S)
            loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1))
        output = Output(
            loss=loss,
            logits=logits,
            past_key_values=decoded.past_key_values,
            hidden_states=decoded.hidden_states,
            attentions=decoded.attentions,
        )
        return output.to_tuple() if return_dict is False else output

    def generate(self, input_ids: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        """Prompts (B, S) and what follows them; arguments and meaning are Hugging Face's (decoding.py)."""
        return generate_ids(self, input_ids, attention_mask, **options)
