"""One training step of BERT's masked-LM pretraining, with this engine and as a lean PyTorch program: the same computations.

Forward at all positions, the vocabulary projection at the masked ones alone, backward, clipping, AdamW. Weights, ids and
labels are functions of the names and of fixed seeds, so both programs start from the same numbers, and without dropout
must find the same loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .bert_job import initial

SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "base": (12, 768)}  # layers, hidden size


@dataclass
class Job:
    """What is to be computed."""

    size: str = "tiny"
    batch: int = 32
    length: int = 128
    vocabulary: int = 8192
    dropout: float = 0.1
    device: str = "cpu"
    precision: str = "float32"  # or tf32, bf16, fp16

    @property
    def masked(self) -> int:
        """Masked positions in a sequence."""
        return round(0.15 * self.length)

    def data(self) -> tuple[Any, Any]:
        """ids and labels (B, S), the labels -100 where nothing is masked."""
        rng = np.random.default_rng(1)
        ids = rng.zipf(1.3, (self.batch, self.length)) % self.vocabulary
        labels = np.full(ids.shape, -100)
        for row in range(self.batch):
            at = rng.permutation(self.length)[: self.masked]
            labels[row, at] = ids[row, at]
        return ids, labels


class Minitorch:
    """With this engine: a micro-batch a core, as `minitorch pretrain` does it; on a card one, perhaps as a CUDA graph."""

    def __init__(self, job: Job, threads: int, how: str = "") -> None:
        import minitorch
        from minitorch import optim
        from minitorch.parallel import Workers
        from models.bert.config import BertConfig
        from models.bert.model import BertForMaskedLM, Masked, places
        from models.bert.precision import Precision
        from models.bert.training import GraphedStep

        p = {"hidden_dropout_prob": job.dropout, "attention_probs_dropout_prob": job.dropout}
        self.model = BertForMaskedLM(BertConfig.preset(job.size, vocab_size=job.vocabulary, **p))
        for name, parameter in self.model.named_parameters():
            parameter.array[...] = initial(name, parameter.shape)
        self.model.to(job.device)
        ids, labels = job.data()
        self.device, self.precision = job.device, Precision(job.precision, job.device)
        self.batch: dict[str, Any] = {"input_ids": minitorch.from_numpy(ids), "labels": minitorch.from_numpy(labels)}
        if job.device != "cpu":  # where the masked words are is found on the host
            self.batch["labels"] = Masked(self.batch["labels"], *places(self.batch["labels"]))
            self.batch = {name: value.to(job.device) for name, value in self.batch.items()}
        self.parameters = list(self.model.parameters())
        self.optimizer = optim.AdamW(self.parameters, lr=1e-4)
        self.workers, self.count = Workers(threads), 0
        self.workers.__enter__()
        self.gradients = GraphedStep(self.add_gradients, self.parameters) if how == "graph" else self.add_gradients

    def loss(self) -> float:
        """Without dropout."""
        import minitorch

        self.model.eval()
        with minitorch.no_grad(), self.precision.block():
            return self.model(**self.batch).loss.item()

    def step(self) -> None:
        """Forward, backward, update."""
        from models.bert.pretraining import split

        self.model.train()
        self.count += 1
        n = self.workers.threads
        self.gradients(split(self.batch, n) if n > 1 else [self.batch])
        self.precision.update(self.optimizer, self.parameters, 1.0)

    def add_gradients(self, micro: list[dict[str, Any]]) -> None:
        """Of the micro-batches."""

        def part(batch: dict[str, Any]) -> tuple[Any, None]:
            with self.precision.block():
                loss = self.model(**batch).loss * (1 / len(micro))
            return self.precision.scaler.scale(loss), None

        self.optimizer.zero_grad()
        self.workers.backward(self.parameters, [lambda b=b: part(b) for b in micro], seed=(self.count,))

    def wait(self) -> None:
        """Until the card has done all."""
        import minitorch

        if self.device != "cpu":
            minitorch.cuda.synchronize()

    def peak_bytes(self) -> int:
        """What the pools took from the card: they give nothing back."""
        from minitorch import devices

        graphs = getattr(self.gradients, "graphs", {}).values()
        pools = [devices.cupy().get_default_memory_pool(), *(graph[0]._pool for graph in graphs)]
        return sum(pool.total_bytes() for pool in pools)


class PyTorch:
    """The leanest eager program: functions, fused where PyTorch has them fused, no module in between."""

    def __init__(self, job: Job, threads: int, how: str = "") -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("high" if job.precision == "tf32" else "highest")
        self.job, self.torch = job, torch
        layers, H = SIZES[job.size]
        shapes = {
            "bert.embeddings.word_embeddings.weight": (job.vocabulary, H),
            "bert.embeddings.position_embeddings.weight": (512, H),
            "bert.embeddings.token_type_embeddings.weight": (2, H),
            **{f"bert.embeddings.LayerNorm.{x}": (H,) for x in ("weight", "bias")},
            "cls.predictions.bias": (job.vocabulary,),
            **{f"cls.predictions.transform.LayerNorm.{x}": (H,) for x in ("weight", "bias")},
            "cls.predictions.transform.dense.weight": (H, H),
            "cls.predictions.transform.dense.bias": (H,),
        }
        dense = {"attention.output.dense": (H, H), "intermediate.dense": (4 * H, H), "output.dense": (H, 4 * H)}
        dense |= {f"attention.self.{x}": (H, H) for x in ("query", "key", "value")}
        for i in range(layers):
            for name, (n, m) in dense.items():
                shapes |= {f"bert.encoder.layer.{i}.{name}.weight": (n, m), f"bert.encoder.layer.{i}.{name}.bias": (n,)}
            for name in ("attention.output.LayerNorm", "output.LayerNorm"):
                shapes |= {f"bert.encoder.layer.{i}.{name}.{x}": (H,) for x in ("weight", "bias")}
        self.p = {
            name: torch.tensor(initial(name, shape), device=job.device, requires_grad=True) for name, shape in shapes.items()
        }
        ids, labels = job.data()
        self.ids, labels = torch.tensor(ids, device=job.device), torch.tensor(labels, device=job.device).reshape(-1)
        self.at = (labels != -100).nonzero()[:, 0]
        self.target = labels[self.at]
        self.optimizer = torch.optim.AdamW(list(self.p.values()), lr=1e-4, fused=True)
        self.half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(job.precision)
        self.scaler = torch.amp.GradScaler(job.device, enabled=job.precision == "fp16")
        self.run = torch.compile(self.forward) if how == "compiled" else self.forward

    def block(self) -> Any:
        """Mixed precision, if asked for."""
        return self.torch.autocast(self.job.device, dtype=self.half, enabled=self.half is not None)

    def forward(self, p_drop: float) -> Any:
        """The loss."""
        F, p, (B, S) = self.torch.nn.functional, self.p, self.ids.shape
        layers, H = SIZES[self.job.size]

        def linear(x: Any, name: str) -> Any:
            return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

        def norm(x: Any, name: str) -> Any:
            return F.layer_norm(x, (H,), p[f"{name}.LayerNorm.weight"], p[f"{name}.LayerNorm.bias"], 1e-12)

        e = "bert.embeddings"
        x = F.embedding(self.ids, p[f"{e}.word_embeddings.weight"], padding_idx=0)
        x = x + p[f"{e}.token_type_embeddings.weight"][0] + p[f"{e}.position_embeddings.weight"][:S]
        x = F.dropout(norm(x, e), p_drop)
        for i in range(layers):
            a = f"bert.encoder.layer.{i}"
            q, k, v = (
                linear(x, f"{a}.attention.self.{n}").view(B, S, H // 64, 64).transpose(1, 2) for n in ("query", "key", "value")
            )
            c = F.scaled_dot_product_attention(q, k, v, dropout_p=p_drop).transpose(1, 2).reshape(B, S, H)
            x = norm(F.dropout(linear(c, f"{a}.attention.output.dense"), p_drop) + x, f"{a}.attention.output")
            h = linear(F.gelu(linear(x, f"{a}.intermediate.dense")), f"{a}.output.dense")
            x = norm(F.dropout(h, p_drop) + x, f"{a}.output")
        h = x.reshape(B * S, H)[self.at]
        h = norm(F.gelu(linear(h, "cls.predictions.transform.dense")), "cls.predictions.transform")
        logits = F.linear(h, p[f"{e}.word_embeddings.weight"], p["cls.predictions.bias"])
        return F.cross_entropy(logits, self.target)

    def loss(self) -> float:
        """Without dropout."""
        with self.torch.no_grad(), self.block():
            return float(self.forward(0.0))

    def step(self) -> None:
        """Forward, backward, update."""
        self.optimizer.zero_grad()
        with self.block():
            loss = self.run(self.job.dropout)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        self.torch.nn.utils.clip_grad_norm_(self.p.values(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def wait(self) -> None:
        """Until the card has done all."""
        if self.job.device != "cpu":
            self.torch.cuda.synchronize()

    def peak_bytes(self) -> int:
        """What its allocator took from the card at most."""
        return int(self.torch.cuda.max_memory_reserved())
