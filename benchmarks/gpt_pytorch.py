"""The same job as the leanest PyTorch program that a good user would write: functions, fused where that is faster.

Queries, keys and values in one product; scaled_dot_product_attention with is_causal (with dropout, whose path is slow on a CPU,
attention is written out); fused AdamW; subnormal numbers flushed to zero. The weights have Hugging Face's names.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .gpt_job import BETAS, LR, WEIGHT_DECAY, GPTJob, initial


def prepare(job: GPTJob, threads: int) -> None:
    """Settings for the whole process, which does nothing else."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def shapes_of(job: GPTJob) -> dict[str, tuple[int, ...]]:
    """The parameters by name."""
    H, norms = job.hidden, ["transformer.ln_f"]
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (job.vocabulary, H), "wpe.weight": (job.length, H)}
    shapes = {f"transformer.{name}": shape for name, shape in shapes.items()}
    for i in range(job.layers):
        h = f"transformer.h.{i}"
        norms += [f"{h}.ln_1", f"{h}.ln_2"]
        dense = {"attn.c_attn": (3 * H, H), "attn.c_proj": (H, H), "mlp.c_fc": (4 * H, H), "mlp.c_proj": (H, 4 * H)}
        for name, (n, m) in dense.items():
            shapes |= {f"{h}.{name}.weight": (n, m), f"{h}.{name}.bias": (n,)}
    return shapes | {f"{norm}.{x}": (H,) for norm in norms for x in ("weight", "bias")}


class Program:
    """The parameters, and the orders the program takes."""

    def __init__(self, job: GPTJob, threads: int) -> None:
        self.job = job
        self.p = {name: torch.tensor(initial(name, shape), requires_grad=True) for name, shape in shapes_of(job).items()}
        groups = [
            {"params": [p for p in self.p.values() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in self.p.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, fused=True)
        self.ids, self.targets = (torch.tensor(x) for x in job.ids())

    def linear(self, x: Any, name: str) -> Any:
        """x Wᵀ + b"""
        return F.linear(x, self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def norm(self, x: Any, name: str) -> Any:
        """Layer norm."""
        return F.layer_norm(x, x.shape[-1:], self.p[f"{name}.weight"], self.p[f"{name}.bias"], 1e-5)

    def attention(self, x: Any, h: str, p_drop: float) -> Any:
        """(B, S, H) -> (B, S, H)"""
        B, S, H = x.shape
        A = self.job.heads
        q, k, v = self.linear(x, f"{h}.attn.c_attn").view(B, S, 3, A, H // A).permute(2, 0, 3, 1, 4).unbind(0)
        if p_drop:
            later = torch.full((S, S), -torch.inf).triu(1)
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + later
            c = F.dropout(torch.softmax(scores, -1), p_drop) @ v
        else:
            c = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return drop(self.linear(c.transpose(1, 2).reshape(B, S, H), f"{h}.attn.c_proj"), p_drop)

    def loss(self, p_drop: float) -> Any:
        """Of the next tokens."""
        t = "transformer"
        x = F.embedding(self.ids, self.p[f"{t}.wte.weight"]) + self.p[f"{t}.wpe.weight"][: self.ids.shape[1]]
        x = drop(x, p_drop)
        for i in range(self.job.layers):
            h = f"{t}.h.{i}"
            x = x + self.attention(self.norm(x, f"{h}.ln_1"), h, p_drop)
            wide = F.gelu(self.linear(self.norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc"), approximate="tanh")
            x = x + drop(self.linear(wide, f"{h}.mlp.c_proj"), p_drop)
        logits = F.linear(self.norm(x, f"{t}.ln_f"), self.p[f"{t}.wte.weight"])
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), self.targets.view(-1))

    def answers(self) -> list[float]:
        """Losses without dropout before and after two updates."""
        found = [self.train(0.0) for _ in range(2)]
        with torch.no_grad():
            return [*found, self.loss(0.0).item()]

    def step(self) -> None:
        """What is timed."""
        self.train(self.job.dropout)

    def train(self, p_drop: float) -> float:
        """Forward, backward, clip, update; returns the loss."""
        self.optimizer.zero_grad()
        loss = self.loss(p_drop)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.p.values(), 1.0)
        self.optimizer.step()
        return float(loss.item())


def drop(x: Any, p: float) -> Any:
    """Dropout."""
    return F.dropout(x, p) if p else x
