"""Fine-tuning a BERT so that a question's vector lies near its answer's, with the other answers of the batch as wrong ones.

Reimers and Gurevych (2019), "Sentence-BERT", https://arxiv.org/abs/1908.10084; the loss is that of Henderson et al. (2017),
"Efficient natural language response suggestion", section 4.4. Without labels: Gao et al. (2021), "SimCSE",
https://arxiv.org/abs/2104.08821, equation 4, where a text's own second reading, with another dropout mask, is its partner.
Read before: search.py. Read next: desk_command.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor, optim
from minitorch.nn.utils import clip_grad_norm_

from ..bert.use import mean_pooled, to_device
from ..errors import BadInput
from ..training.loop import progress

TEMPERATURE = 0.05


def in_batch_loss(a: Tensor, b: Tensor, entry: Any) -> Tensor:
    """-ln softmax over j of aᵢ·bⱼ/τ, at j = i; a, b (B, H) of length 1. Rows of the same entry (B,) are no wrong answers."""
    scores = a @ b.T / TEMPERATURE  # (B, B)
    same = (entry[:, None] == entry[None, :]) & ~np.eye(len(entry), dtype=bool)
    bias = minitorch.tensor(np.where(same, -np.inf, 0).astype(np.float32)).to(a.device)
    return F.cross_entropy(scores + bias, minitorch.arange(len(entry)).to(a.device))


def tune(
    model: Any, tokenizer: Any, first: Sequence[str], second: Sequence[str], entry: Any, lr: float, epochs: int, batch_size: int,
    length: int, seed: int,
) -> None:  # fmt: skip
    """Train the model, in place, on pairs of texts; ``first`` and ``second`` may be the same texts (SimCSE)."""
    rng = np.random.default_rng(seed)
    minitorch.manual_seed(seed)
    optimizer = optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    steps = epochs * max(1, len(first) // batch_size)

    def read(texts: Sequence[str], rows: Any) -> Tensor:
        return mean_pooled(model, to_device(tokenizer.tensors([texts[i] for i in rows], max_length=length), model))

    model.train()
    with progress(steps, 0) as bar:
        for step in range(steps):
            at = step % max(1, len(first) // batch_size) * batch_size
            if at == 0:
                order = rng.permutation(len(first))
            rows = order[at : at + batch_size]
            optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
            loss = in_batch_loss(read(first, rows), read(second, rows), entry[rows])
            optimizer.zero_grad()
            loss.backward()
            norm = clip_grad_norm_(model.parameters(), 1.0)
            if not np.isfinite(float(norm.item())):
                raise BadInput(f"the gradient became NaN or infinite in step {step + 1}: --lr {lr:g} is too high")
            optimizer.step()
            bar.set_postfix_str(f"loss {loss.item():.3f}")
            bar.update()
    model.eval()
