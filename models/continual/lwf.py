"""Learning without forgetting: on the new task's texts the model should go on answering the old questions as it did.

    L = CE(new labels) + α KL(q ‖ p),   q = softmax(z_old / T), p = softmax(z / T)       over the outputs of old tasks alone

z_old are the logits of the model before the new task, on the new task's examples; no old example is kept. In --setting task each
old head has a KL of its own; in the others the old outputs have one together. As in Avalanche there is no factor T².
Li and Hoiem (2016), "Learning without forgetting", https://arxiv.org/abs/1606.09282, section 3. Read before: sequential.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor
from minitorch.parallel import Workers

from ..errors import BadInput
from .sequential import Sequential


def distance(old: Tensor, new: Tensor, columns: Any, T: float) -> Tensor:
    """KL(softmax(old / T) ‖ softmax(new / T)) over some columns of logits (B, C), the mean of the batch."""
    log_q, log_p = (F.log_softmax(z[:, columns] / T, dim=-1) for z in (old, new))  # (B, columns)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()


class LwF(Sequential):
    """kept: while a task is learnt, ``old``, the logits (N, outputs) that its N examples got before."""

    name = "lwf"

    def __init__(self, run: Any) -> None:
        super().__init__(run)
        run.stream.added = self.added

    def begin(self, i: int, trainer: Any) -> None:
        n, outputs = len(trainer.features), len(self.run.stream.outputs)
        if i > 0 and "old" not in self.kept:
            self.kept["old"] = minitorch.tensor(self.recorded(trainer))
        if i > 0 and tuple(self.kept["old"].shape) != (n, outputs):
            raise BadInput("the old answers of the saved state are of other examples; start again with --overwrite")
        for f in trainer.features if i > 0 else ():
            f.extra.old = self.kept["old"].numpy()[f.example]

    def recorded(self, trainer: Any) -> Any:
        """The logits of all outputs, shut or not."""
        stream, shut = self.run.stream, self.run.stream.shut
        stream.shut = np.zeros_like(shut)
        with Workers(self.s.workers) as workers:
            rows, _ = trainer.answer(trainer.features, workers)
        stream.shut = shut
        return np.stack(rows).astype(np.float32)

    def added(self, model: Any, batch: dict[str, Tensor], logits: Tensor) -> Tensor | float:
        """α KL, of each head of old tasks."""
        i, own = len(self.run.R), self.run.stream.own
        if "old" not in batch:
            return 0.0
        tasks = self.run.order[:i]
        heads = [own[t] for t in tasks] if self.s.setting == "task" else [own[tasks].any(0)]
        total: Tensor | float = 0.0
        for head in heads:
            total = total + distance(batch["old"], logits, np.flatnonzero(head), self.s.temperature)
        return total * self.s.lwf_alpha

    def after(self, i: int, trainer: Any) -> None:
        self.kept = {}
