"""A job done by this engine, as the `minitorch` command does it: one micro-batch per core, batches trimmed to their longest.

On a GPU the batch stays whole, its masked words are located before it is sent, and no step reads a loss back.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import minitorch
from minitorch import devices, kernels, nn, optim
from minitorch.parallel import Workers
from minitorch.utils.checkpoint import checkpoint
from models.bert.config import BertConfig
from models.bert.masked_rows import first_alone
from models.bert.model import BertForMaskedLM, BertForSequenceClassification
from models.bert.pretraining import ready
from models.training.loop import GraphedStep, decay_groups
from models.training.precision import Precision

from .bert_job import CLASSES, WEIGHT_DECAY, Job, choose_threads, initial


def prepare(job: Job, threads: int) -> None:
    """Load the CPU's compiled loops, which count as an import."""
    if job.device == "cpu":
        kernels.prepare()


class Program:
    """The model, and the orders it takes."""

    def __init__(self, job: Job, threads: int, how: str = "") -> None:
        """how: "graph" for a CUDA graph of forward and backward pass."""
        self.job, self.batches, self.threads = job, job.batches(), threads
        layers, _ = job.shape
        rates = {"hidden_dropout_prob": job.dropout, "attention_probs_dropout_prob": job.dropout}
        kind: Any = BertForMaskedLM if job.task == "pretrain" else BertForSequenceClassification
        config = BertConfig.preset(job.size, vocab_size=job.vocabulary, num_hidden_layers=layers, num_labels=CLASSES, **rates)
        config.max_position_embeddings = max(512, job.length)
        self.model = kind(config)
        for name, parameter in self.model.named_parameters():
            parameter.array[...] = initial(name, parameter.shape)
        self.model.to(job.device)
        self.inputs = [self.tensors(batch) for batch in self.batches]
        self.model.eval()
        self.count = 0
        if job.task != "infer":
            self.parameters = list(self.model.parameters())
            self.optimizer = optim.AdamW(decay_groups(self.model, WEIGHT_DECAY), lr=1e-4)
            self.workers = contextlib.ExitStack().enter_context(Workers(threads))
            self.precision = Precision(job.precision, job.device)
        self.graphed = GraphedStep(lambda batches: self.gradients([(b, 1.0) for b in batches]), self.parameters) if how else None
        if job.pieces:
            encoder = self.model.bert.encoder
            parts = np.array_split(np.arange(layers), job.pieces)
            encoder.layer = nn.ModuleList([Piece([encoder.layer[i] for i in part]) for part in parts])

    def tensors(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The model's arguments."""
        given = {"input_ids": minitorch.from_numpy(batch["ids"])}
        if self.job.task != "infer":
            given["labels"] = minitorch.from_numpy(batch["labels"])
        if self.job.asked_only and self.job.task != "pretrain":
            given["rows"] = first_alone(len(batch["ids"]))
        if "mask" in batch:
            given["attention_mask"] = minitorch.from_numpy(batch["mask"])
        return given if self.job.device == "cpu" else ready(given, self.model, self.job.device)

    def answers(self) -> list[float]:
        """The numbers to compare: losses without dropout, before and after two updates; or the scores."""
        if self.job.task == "infer":
            choose_threads(self.step, lambda n: threadpool_limits(n, user_api="blas"), self.threads)
            return [float(x) for x in self.scores().reshape(-1)]
        found = [sum(loss.item() for loss in self.train(dropout=False)) for _ in range(2)]
        with minitorch.no_grad(), self.precision.block():
            return [*found, sum(self.model(**b).loss.item() for b in self.inputs)]

    def step(self) -> None:
        """What is timed."""
        if self.job.task == "infer":
            self.scores()
        else:
            self.train(dropout=True)

    def scores(self) -> Any:
        """The scores of the classes for one sentence."""
        with minitorch.no_grad():
            return self.model(**self.inputs[0]).logits.numpy()

    def train(self, dropout: bool) -> list[Any]:
        """Forward, backward, clip, update for every batch; returns the losses of their parts, which add up to a batch's."""
        self.model.train(dropout)
        losses = []
        for batch in self.inputs:
            self.count += 1
            if self.graphed is not None:
                losses += self.graphed([batch])
            else:
                losses += self.gradients(micro_batches(batch, self.workers.threads))
            self.precision.update(self.optimizer, self.parameters, 1.0)
        self.model.eval()
        return losses

    def gradients(self, parts: list[tuple[dict[str, Any], float]]) -> list[Any]:
        """Forward and backward for the parts of a batch; returns their losses."""
        only = {"masked_only": True} if self.job.task == "pretrain" and self.job.asked_only else {}

        def run(batch: dict[str, Any], share: float) -> tuple[Any, Any]:
            with self.precision.block():
                loss = self.model(**batch, **only).loss * share
            return self.precision.scaler.scale(loss), loss.detach()

        self.optimizer.zero_grad()
        runs = [lambda part=part: run(*part) for part in parts]
        return [loss for _, loss in self.workers.backward(self.parameters, runs, seed=(self.count,))]

    def wait(self) -> None:
        """Wait until the GPU has finished."""
        if self.job.device != "cpu":
            minitorch.cuda.synchronize()

    def gpu_memory(self) -> int:
        """Bytes that the pools took from the GPU; they give nothing back."""
        graphs = self.graphed.graphs.values() if self.graphed else ()
        pools = [devices.cupy().get_default_memory_pool(), *(graph[0]._pool for graph in graphs)]
        return sum(pool.total_bytes() for pool in pools)


class Piece(nn.Module):
    """Some layers, of which only what goes in is kept."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Any, mask: Any, output_attentions: bool, rows: Any = None, past: Any = None) -> tuple[Any, None]:
        """As a layer does it."""
        return checkpoint(self.run, x, mask, rows), None

    def run(self, x: Any, mask: Any, rows: Any) -> Any:
        """The layers one after the other; the last one at ``rows`` alone."""
        for i, layer in enumerate(self.layers, 1):
            x, _ = layer(x, mask, False, rows if i == len(self.layers) else None)
        return x


def micro_batches(batch: dict[str, Any], n: int) -> list[tuple[dict[str, Any], float]]:
    """Slices of a batch, each without columns that are all padding, and each one's share of the rows."""
    if n == 1 and "attention_mask" not in batch:
        return [(batch, 1.0)]
    found = []
    for rows in np.array_split(np.arange(len(batch["input_ids"])), n):
        part = {name: value[int(rows[0]) : int(rows[-1]) + 1] for name, value in batch.items()}
        if "attention_mask" in part:
            longest = int(part["attention_mask"].array.sum(1).max())
            part |= {name: part[name][:, :longest] for name in ("input_ids", "attention_mask")}
        found.append((part, len(rows) / len(batch["input_ids"])))
    return found
