"""What GPT-2's checkpoints have of their own: transposed weights, stored masks, a tied head.

Read before: ../checkpoints/saved.py, ../bert/weights.py.
"""

from __future__ import annotations

import re
from typing import ClassVar

from minitorch import Tensor, no_grad

from ..checkpoints.saved import SavedModel
from .config import GPT2Config

TRANSPOSED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")  # stored (in, out) by Hugging Face's Conv1D, (out, in) in nn.Linear
MASKS = re.compile(r"\.attn\.(bias|masked_bias)$")  # old files hold the causal mask; attn.c_attn.bias is a weight


class SavedGPT(SavedModel):
    """A GPT-2 that is saved to, and loaded from, a folder."""

    config: GPT2Config
    config_class = GPT2Config
    tied: ClassVar = {"lm_head.weight": "transformer.wte.weight"}
    not_missed = re.compile(r"^lm_head\.")

    def to_file(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hugging Face's layout."""
        return transposed(state)

    def from_file(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """This model's layout, and no masks."""
        return transposed({name: value for name, value in weights.items() if not MASKS.search(name)})


def transposed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Conv1D's matrices to nn.Linear's, or back."""
    with no_grad():
        return {name: w.mT.contiguous() if TRANSPOSED.search(name) and w.ndim == 2 else w for name, w in weights.items()}
