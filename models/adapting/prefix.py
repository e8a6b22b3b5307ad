"""Prefix-tuning and P-tuning v2: trained keys and values in front of those of the text, in every layer.

    K = [P_K; K], V = [P_V; V]      a table (n, 2LH) for all layers: 2nLH parameters
    P = W₂ tanh(W₁ e + b₁) + b₂     with prefix_projection: e (n, H), trained through two Linear, only P is needed later

Li and Liang (2021), "Prefix-Tuning", https://arxiv.org/abs/2101.00190; Liu et al. (2021), "P-Tuning v2",
https://arxiv.org/abs/2110.07602 (the table itself is trained). The text's positions start at n, as in PEFT.
Read before: prompt.py; BertModel's past_key_values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import minitorch
from minitorch import Tensor, nn

from ..errors import BadInput
from ..generation.cache import Cache
from .base import PeftConfig, put
from .prompt import arguments, body, check_sizes, in_front


@dataclass
class PrefixTuningConfig(PeftConfig):
    """encoder_hidden_size: the width of the projection; None means H."""

    num_virtual_tokens: int = 10
    prefix_projection: bool = False
    encoder_hidden_size: int | None = None

    peft_type: ClassVar[str] = "PREFIX_TUNING"

    @property
    def rate(self) -> float:  # type: ignore[override]
        """A table learns number by number; through the projection one step moves H times as many, all the same way."""
        return 5e-4 if self.prefix_projection else 5e-3

    def __post_init__(self) -> None:
        check_sizes(self.num_virtual_tokens, self.encoder_hidden_size)

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        place, base = body(model)
        config = base.config
        H, size = config.hidden_size, 2 * config.num_hidden_layers * config.hidden_size
        projected = self.prefix_projection and not self.inference_mode
        prefix = Prefix(minitorch.randn(self.num_virtual_tokens, H if projected else size), config)
        if projected:
            width = self.encoder_hidden_size or H
            prefix.transform = nn.Sequential(nn.Linear(H, width), nn.Tanh(), nn.Linear(width, size))
        put(model, place, name, prefix)
        if not projected:
            return {"prompt_embeddings": prefix.table}
        own = {f"prompt_encoder.transform.{k}": p for k, p in prefix.transform.named_parameters()}
        return {"prompt_encoder.embedding.weight": prefix.table, **own}


class Prefix(nn.Module):
    """The table, and its keys and values for each layer."""

    def __init__(self, table: Tensor, config: Any) -> None:
        super().__init__()
        if config.extra.get("pruned_heads"):
            raise BadInput("prefixes have keys for every head of every layer, and heads of this checkpoint are pruned")
        self.table = nn.Parameter(table)
        self.layers, self.heads = config.num_hidden_layers, config.num_attention_heads
        self.transform: nn.Module | None = None

    def vectors(self) -> Tensor:
        """(n, 2LH)"""
        return self.table if self.transform is None else self.transform(self.table)

    def past_key_values(self) -> list[tuple[Tensor, Tensor]]:
        """For each layer keys and values (1, A, n, d); the table's order is layer 0 key, layer 0 value, layer 1 key, ..."""
        P = self.vectors()
        parts = P.reshape(P.shape[0], 2 * self.layers, self.heads, -1).permute(1, 2, 0, 3)  # (2L, A, n, d)
        return [(parts[2 * i][None], parts[2 * i + 1][None]) for i in range(self.layers)]

    def forward(self, layer: Any, *inputs: Any, **options: Any) -> Any:
        given = arguments(layer, inputs, options)
        pairs, past = self.past_key_values(), given.pop("past_key_values", None)
        if "use_cache" not in given:  # an encoder, which widens the mask itself
            return layer(**given, past_key_values=pairs)
        text = given["input_ids"] if given["inputs_embeds"] is None else given["inputs_embeds"]
        cache = past if isinstance(past, Cache) else Cache(past or ())
        given["attention_mask"] = in_front(given["attention_mask"], pairs[0][0].shape[2], cache, text.shape[1])
        for i, pair in enumerate(pairs if not len(cache) else ()):  # later the cache holds the prefix
            k, v = (part.expand(text.shape[0], *part.shape[1:]) for part in pair)
            cache.update(k, v, i)
        return layer(**given, past_key_values=cache)
