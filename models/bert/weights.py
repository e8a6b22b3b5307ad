"""What BERT's checkpoints have of their own: old names of weights, tied weights, and a vocabulary that grows.

Loading and saving are SavedModel's. Read before: ../checkpoints/saved.py. Read next: use.py.
"""

from __future__ import annotations

import re
from typing import ClassVar

import minitorch
from minitorch import Tensor, nn

from ..checkpoints.saved import SavedModel
from .config import BertConfig


class SavedBert(SavedModel):
    """A BERT that is saved to, and loaded from, a folder."""

    config: BertConfig
    config_class = BertConfig
    tied: ClassVar = {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.weight_scale": "bert.embeddings.word_embeddings.weight_scale",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }
    # Often in a file but unused by the class that reads it: pretraining heads, pooler, position ids (stored by old versions).
    not_missed = re.compile(r"^(cls\.|(bert\.)?pooler\.)|position_ids$")

    def resize_token_embeddings(self, new_num_tokens: int) -> nn.Module:
        """Word embeddings, and the vocabulary's projection, for as many tokens: ``len(tokenizer)`` after add_tokens.

        New rows are N(0, initializer_range), as BERT's first ones were; new biases are 0. Make the optimiser after this.
        """
        table, old = getattr(self, "bert", self).embeddings.word_embeddings, self.config.vocab_size
        head = getattr(getattr(self, "cls", None), "predictions", None)
        self.config = BertConfig.from_dict({**self.config.to_dict(), "vocab_size": new_num_tokens})  # or an error
        getattr(self, "bert", self).config = self.config

        def resized(rows: Tensor, std: float) -> nn.Parameter:
            new = std * minitorch.randn(max(0, new_num_tokens - old), *rows.shape[1:], device=rows.device, dtype=rows.dtype)
            with minitorch.no_grad():
                return nn.Parameter(minitorch.cat([rows[:new_num_tokens], new]))

        table.weight, table.num_embeddings = resized(table.weight, self.config.initializer_range), new_num_tokens
        if head is not None:
            head.decoder.weight = resized(head.decoder.weight, self.config.initializer_range)
            head.bias = head.decoder.bias = resized(head.bias, 0.0)
        self.tie_weights()
        return table

    def from_file(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Old names to new ones: gamma and beta are weight and bias of a LayerNorm."""
        new = {"gamma": "weight", "beta": "bias"}
        return {re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda old: new[old[0]], name): w for name, w in weights.items()}
