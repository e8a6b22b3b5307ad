"""Embeddings of some words that an adapter trains and brings along: new words, such as a task's markers.

    E(i) = the adapter's own row, if i is one of its n words; the base's otherwise        n H parameters

PEFT's ``trainable_token_indices``. New words need a row in the base, which its ``resize_token_embeddings`` makes; which numbers
stand there does not matter. Read before: base.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minitorch
from minitorch import Tensor, nn

from ..errors import BadInput, listing
from .base import paths, put

PLACES = ("word_embeddings", "wte")  # of BERT, of GPT-2


def attach(model: nn.Module, name: str, indices: Sequence[int] | None) -> dict[str, nn.Parameter]:
    """Put the rows into the model under a name; their name in a file, or nothing if there are none."""
    if not indices:
        return {}
    path = next((path for path in paths(model) if path.rpartition(".")[2] in PLACES), "")
    if not path:
        raise BadInput(f"trainable_token_indices: this model has no {listing(PLACES)}")
    table = paths(model)[path]
    if any(not isinstance(i, int) or not 0 <= i < table.weight.shape[0] for i in indices):
        cure = "resize_token_embeddings makes room for new words"
        raise BadInput(f"trainable_token_indices: {list(indices)} are not all within 0 to {table.weight.shape[0] - 1}; {cure}")
    if any(layer is not table and getattr(layer, "weight", None) is table.weight for layer in paths(model).values()):
        raise BadInput(f"trainable_token_indices: the head computes with {path}, too, where the base's rows would stay")
    own = put(model, path, name, Tokens(table.weight, indices))
    return {f"{path}.token_adapter.trainable_tokens_delta": own.rows}


class Tokens(nn.Module):
    """The rows of some words."""

    def __init__(self, weight: Tensor, indices: Sequence[int]) -> None:
        super().__init__()
        self.indices = minitorch.tensor(list(indices))
        self.rows = nn.Parameter(weight.detach()[self.indices])

    def forward(self, layer: Any, ids: Tensor) -> Tensor:
        x, indices = layer(ids), self.indices.to(ids.device)  # (B, S, H)
        own = (ids[..., None] == indices).astype(x.dtype)  # (B, S, n)
        return x * (1 - own.sum(-1, keepdim=True)) + own @ self.rows

    def merged(self, weight: Tensor) -> Tensor:
        """The table with these rows."""
        new = weight.detach().clone()
        new[self.indices.to(weight.device)] = self.rows.detach()
        return new
