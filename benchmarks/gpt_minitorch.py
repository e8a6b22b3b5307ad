"""A job done by this engine, as `minitorch pretrain --model gpt` does it: one micro-batch per core."""

from __future__ import annotations

import contextlib
from typing import Any

import minitorch
import minitorch.nn.functional as F
from minitorch import kernels, nn, optim
from minitorch.parallel import Workers
from models.gpt.config import GPT2Config
from models.gpt.model import GPT2LMHeadModel
from models.training.loop import decay_groups

from .gpt_job import BETAS, LR, WEIGHT_DECAY, GPTJob, initial


def prepare(job: GPTJob, threads: int) -> None:
    """Load the CPU's compiled loops, which count as an import."""
    kernels.prepare()


class Program:
    """The model, and the orders it takes."""

    def __init__(self, job: GPTJob, threads: int) -> None:
        self.job, self.count = job, 0
        rates = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), job.dropout)
        sizes = {"n_layer": job.layers, "n_head": job.heads, "n_embd": job.hidden, "n_positions": job.length}
        self.model = GPT2LMHeadModel(GPT2Config(vocab_size=job.vocabulary, **sizes, **rates))
        for name, parameter in self.model.named_parameters():
            parameter.array[...] = initial(name, parameter.shape)
        self.parameters = list(self.model.parameters())
        self.optimizer = optim.AdamW(decay_groups(self.model, WEIGHT_DECAY), lr=LR, betas=BETAS)
        self.workers = contextlib.ExitStack().enter_context(Workers(threads))
        self.ids, self.targets = (minitorch.from_numpy(x) for x in job.ids())

    def answers(self) -> list[float]:
        """The numbers to compare: losses without dropout, before and after two updates."""
        found = [self.train(False) for _ in range(2)]
        with minitorch.no_grad():
            return [*found, self.loss(self.ids, self.targets).item()]

    def step(self) -> None:
        """What is timed."""
        self.train(True)

    def loss(self, ids: Any, targets: Any) -> Any:
        """Of the next tokens."""
        logits = self.model(ids, use_cache=False).logits  # (B, S, V)
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    def train(self, dropout: bool) -> float:
        """Forward, backward, clip, update; returns the loss."""
        self.model.train(dropout)
        self.count += 1
        n = self.workers.threads if self.job.batch % self.workers.threads == 0 else 1
        rows = self.job.batch // n
        parts = [slice(i * rows, (i + 1) * rows) for i in range(n)]
        runs = [lambda at=at: (self.loss(self.ids[at], self.targets[at]) * (1 / n), None) for at in parts]
        self.optimizer.zero_grad()
        losses = [loss for loss, _ in self.workers.backward(self.parameters, runs, seed=(self.count,))]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return float(sum(loss.item() for loss in losses))
