"""The same job as the leanest PyTorch program that a good user would write: functions, fused where that is faster.

Each choice was the fastest of those tried on a CPU:
- queries, keys and values in one product;
- with dropout, attention written out (5 % less time: scaled_dot_product_attention takes its slow path there, though not on a
  GPU); without dropout, scaled_dot_product_attention;
- fused AdamW (a third of foreach's time), inference_mode, and subnormal numbers flushed to zero.
On a GPU it also runs compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .bert_job import CLASSES, WEIGHT_DECAY, Job, choose_threads, initial


def prepare(job: Job, threads: int) -> None:
    """Settings for the whole process, which does nothing else."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if job.precision == "tf32":
        torch.set_float32_matmul_precision("high")


def shapes_of(job: Job) -> dict[str, tuple[int, ...]]:
    """The parameters by Hugging Face's names."""
    layers, H = job.shape
    e, c = "bert.embeddings", "cls.predictions"
    shapes: dict[str, tuple[int, ...]] = {
        f"{e}.word_embeddings.weight": (job.vocabulary, H), f"{e}.position_embeddings.weight": (max(512, job.length), H),
        f"{e}.token_type_embeddings.weight": (2, H), f"{e}.LayerNorm.weight": (H,), f"{e}.LayerNorm.bias": (H,),
    }  # fmt: skip
    dense = {f"attention.self.{x}": (H, H) for x in ("query", "key", "value")}
    dense |= {"attention.output.dense": (H, H), "intermediate.dense": (4 * H, H), "output.dense": (H, 4 * H)}
    for i in range(layers):
        for name, (n, m) in dense.items():
            shapes |= {f"bert.encoder.layer.{i}.{name}.weight": (n, m), f"bert.encoder.layer.{i}.{name}.bias": (n,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"bert.encoder.layer.{i}.{name}.{x}": (H,) for x in ("weight", "bias")}
    if job.task == "pretrain":
        shapes |= {f"{c}.bias": (job.vocabulary,), f"{c}.transform.dense.weight": (H, H), f"{c}.transform.dense.bias": (H,)}
        return shapes | {f"{c}.transform.LayerNorm.{x}": (H,) for x in ("weight", "bias")}
    shapes |= {"bert.pooler.dense.weight": (H, H), "bert.pooler.dense.bias": (H,)}
    return shapes | {"classifier.weight": (CLASSES, H), "classifier.bias": (CLASSES,)}


class Program:
    """The parameters, and the orders the program takes."""

    def __init__(self, job: Job, threads: int, how: str = "") -> None:
        """how: "compiled" for torch.compile; else eager."""
        self.job, self.threads = job, threads
        start = {name: initial(name, shape) for name, shape in shapes_of(job).items()}
        for i in range(job.shape[0]):
            for kind in ("weight", "bias"):
                a = f"bert.encoder.layer.{i}.attention.self"
                start[f"{a}.qkv.{kind}"] = np.concatenate([start.pop(f"{a}.{x}.{kind}") for x in ("query", "key", "value")])
        self.p = {name: torch.tensor(x, device=job.device, requires_grad=True) for name, x in start.items()}
        self.batches = [self.tensors(batch) for batch in job.batches()]
        if job.task != "infer":
            exempt = {name for name in self.p if name.endswith(".bias") or "LayerNorm" in name}
            groups = [
                {"params": [p for name, p in self.p.items() if name not in exempt], "weight_decay": WEIGHT_DECAY},
                {"params": [p for name, p in self.p.items() if name in exempt], "weight_decay": 0.0},
            ]
            self.optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True)
        self.half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(job.precision)
        self.scaler = torch.amp.GradScaler(job.device, enabled=job.precision == "fp16")
        self.run = torch.compile(self.forward) if how else self.forward

    def tensors(self, batch: dict[str, Any]) -> dict[str, Any]:
        """ids and labels, the places of the masked words, and the additive mask."""
        found = {name: torch.tensor(x, device=self.job.device) for name, x in batch.items()}
        if self.job.task == "pretrain":
            flat = found["labels"].reshape(-1)
            found["at"] = (flat != -100).nonzero()[:, 0]
            found["labels"] = flat[found["at"]]
        elif self.job.asked_only:
            found["at"] = torch.arange(len(found["ids"]), device=self.job.device) * found["ids"].shape[1]
        if "mask" in found:
            found["mask"] = (1.0 - found["mask"].float())[:, None, None, :] * torch.finfo(torch.float32).min
        return found

    def linear(self, x: Any, name: str) -> Any:
        """x Wᵀ + b"""
        return F.linear(x, self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def norm(self, x: Any, name: str) -> Any:
        """Layer norm."""
        return F.layer_norm(x, x.shape[-1:], self.p[f"{name}.LayerNorm.weight"], self.p[f"{name}.LayerNorm.bias"], 1e-12)

    def embed(self, ids: Any, p_drop: float) -> Any:
        """(B, S) -> (B, S, H)"""
        e = "bert.embeddings"
        x = F.embedding(ids, self.p[f"{e}.word_embeddings.weight"], padding_idx=0)
        x = x + (self.p[f"{e}.token_type_embeddings.weight"][0] + self.p[f"{e}.position_embeddings.weight"][: ids.shape[1]])
        return drop(self.norm(x, e), p_drop)

    def layer(self, x: Any, i: int, mask: Any, p_drop: float, at: Any = None) -> Any:
        """(B, S, H) -> (B, S, H); with ``at`` (B·P,), only at these tokens: (B, P, H)."""
        B, S, H = x.shape
        a = f"bert.encoder.layer.{i}"
        weight, bias = self.p[f"{a}.attention.self.qkv.weight"], self.p[f"{a}.attention.self.qkv.bias"]
        if at is None:
            q, k, v = F.linear(x, weight, bias).view(B, S, 3, H // 64, 64).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            k, v = F.linear(x, weight[H:], bias[H:]).view(B, S, 2, H // 64, 64).permute(2, 0, 3, 1, 4).unbind(0)
            x = x.reshape(B * S, H)[at].view(B, -1, H)
            q = F.linear(x, weight[:H], bias[:H]).view(B, -1, H // 64, 64).transpose(1, 2)
        c = attention(q, k, v, mask, p_drop).transpose(1, 2).reshape(B, -1, H)
        x = self.norm(drop(self.linear(c, f"{a}.attention.output.dense"), p_drop) + x, f"{a}.attention.output")
        h = self.linear(F.gelu(self.linear(x, f"{a}.intermediate.dense")), f"{a}.output.dense")
        return self.norm(drop(h, p_drop) + x, f"{a}.output")

    def forward(self, batch: dict[str, Any], p_drop: float) -> Any:
        """The loss; for inference, the scores."""
        x, mask, layers = self.embed(batch["ids"], p_drop), batch.get("mask"), self.job.shape[0]
        only = batch["at"] if self.job.asked_only else None
        for i in range(layers):
            x = self.layer(x, i, mask, p_drop, only if i == layers - 1 else None)
        if self.job.task == "pretrain":
            h = x.reshape(-1, x.shape[-1])
            h = h if only is not None else h[batch["at"]]
            h = self.norm(F.gelu(self.linear(h, "cls.predictions.transform.dense")), "cls.predictions.transform")
            scores = F.linear(h, self.p["bert.embeddings.word_embeddings.weight"], self.p["cls.predictions.bias"])
        else:
            scores = self.linear(drop(torch.tanh(self.linear(x[:, 0], "bert.pooler.dense")), p_drop), "classifier")
        return scores if self.job.task == "infer" else F.cross_entropy(scores, batch["labels"])

    def answers(self) -> list[float]:
        """Losses without dropout before and after two updates; or the scores."""
        if self.job.task == "infer":
            choose_threads(self.step, torch.set_num_threads, self.threads)
            return [float(x) for x in self.scores().reshape(-1)]
        found = [sum(loss.item() for loss in self.train(0.0)) for _ in range(2)]
        with torch.no_grad(), self.block():
            return [*found, sum(self.forward(b, 0.0).item() for b in self.batches)]

    def step(self) -> None:
        """What is timed."""
        if self.job.task == "infer":
            self.scores()
        else:
            self.train(self.job.dropout)

    def scores(self) -> Any:
        """The scores of the classes for one sentence."""
        with torch.inference_mode():
            return self.forward(self.batches[0], 0.0).numpy()

    def train(self, p_drop: float) -> list[Any]:
        """Forward, backward, clip, update for every batch; returns their losses."""
        losses = []
        for batch in self.batches:
            self.optimizer.zero_grad()
            with self.block():
                loss = self.run(batch, p_drop)
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.p.values(), 1.0)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            losses.append(loss.detach())
        return losses

    def block(self) -> Any:
        """Mixed precision, if asked for."""
        return torch.autocast(self.job.device, dtype=self.half, enabled=self.half is not None)

    def wait(self) -> None:
        """Wait until the GPU has finished."""
        if self.job.device != "cpu":
            torch.cuda.synchronize()

    def gpu_memory(self) -> int:
        """The most bytes that the allocator took from the GPU."""
        return int(torch.cuda.max_memory_reserved())


def drop(x: Any, p: float) -> Any:
    """Dropout."""
    return F.dropout(x, p) if p else x


def attention(q: Any, k: Any, v: Any, mask: Any, p_drop: float) -> Any:
    """softmax(Q Kᵀ/√d + mask) V"""
    if not p_drop or q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, mask, p_drop)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return drop(torch.softmax(scores if mask is None else scores + mask, -1), p_drop) @ v
