"""The work of a contestant: a training step of GPT. Read before: bert_job.py. Read next: gpt_minitorch.py, gpt_pytorch.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import bert_job

LR, BETAS, WEIGHT_DECAY = 1e-3, (0.9, 0.99), 0.1  # nanoGPT's for characters; no decay of biases and LayerNorm


@dataclass(frozen=True)
class GPTJob:
    """One thing to measure; as it stands here, nanoGPT's published recipe for a CPU."""

    family: ClassVar[str] = "gpt"
    layers: int = 4
    heads: int = 4
    hidden: int = 128
    length: int = 64
    batch: int = 12
    vocabulary: int = 65
    dropout: float = 0.0

    def ids(self) -> tuple[Any, Any]:
        """Tokens with the frequencies of words in a text, and those that follow: both (B, S)."""
        stretches = np.random.default_rng(1).zipf(1.3, (self.batch, self.length + 1)) % self.vocabulary
        return stretches[:, :-1].copy(), stretches[:, 1:].copy()

    def tokens(self) -> int:
        """Tokens per step."""
        return self.batch * self.length

    def operations(self) -> float:
        """Multiplications and additions in a step's matrix products: one pass forward, two backward; no table is halved."""
        H, S = self.hidden, self.length
        return 6.0 * self.tokens() * (self.layers * (12 * H * H + 2 * H * S) + H * self.vocabulary)


def initial(name: str, shape: tuple[int, ...]) -> Any:
    """The starting value of a parameter, a function of its name."""
    return np.ones(shape, np.float32) if ".ln_" in name and name.endswith("weight") else bert_job.initial(name, shape)
