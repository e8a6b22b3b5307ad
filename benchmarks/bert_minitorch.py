"""A job done by this engine, as the `minitorch` command does it: a micro-batch a core, batches trimmed to their longest."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import minitorch
from minitorch import nn, optim
from minitorch.checkpoint import checkpoint
from minitorch.parallel import Workers
from models.bert.config import BertConfig
from models.bert.model import BertForMaskedLM, BertForSequenceClassification
from models.bert.training import decay_groups

from .bert_job import CLASSES, WEIGHT_DECAY, Job, choose_threads, initial


class Program:
    """The model, and what is asked of it."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job, self.batches, self.threads = job, job.batches(), threads
        layers, _ = job.shape
        rates = {"hidden_dropout_prob": job.dropout, "attention_probs_dropout_prob": job.dropout}
        kind: Any = BertForMaskedLM if job.task == "pretrain" else BertForSequenceClassification
        config = BertConfig.preset(job.size, vocab_size=job.vocabulary, num_hidden_layers=layers, num_labels=CLASSES, **rates)
        config.max_position_embeddings = max(512, job.length)
        self.model = kind(config)
        for name, parameter in self.model.named_parameters():
            parameter.array[...] = initial(name, parameter.shape)
        self.inputs = [self.tensors(batch) for batch in self.batches]
        self.model.eval()
        self.count = 0
        if job.task != "infer":
            self.parameters = list(self.model.parameters())
            self.optimizer = optim.AdamW(decay_groups(self.model, WEIGHT_DECAY), lr=1e-4)
            self.workers = contextlib.ExitStack().enter_context(Workers(threads))
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
            given["rows"] = minitorch.zeros(len(batch["ids"]), 1, dtype=minitorch.int64)
        if "mask" in batch:
            given["attention_mask"] = minitorch.from_numpy(batch["mask"])
        return given

    def answers(self) -> list[float]:
        """What every contestant must find: losses without dropout before and after two updates; or the scores."""
        if self.job.task == "infer":
            choose_threads(self.step, lambda n: threadpool_limits(n, user_api="blas"), self.threads)
            return [float(x) for x in self.scores().reshape(-1)]
        found = [self.train(dropout=False) for _ in range(2)]
        with minitorch.no_grad():
            return [*found, sum(self.model(**b).loss.item() for b in self.inputs)]

    def step(self) -> None:
        """What is timed."""
        if self.job.task == "infer":
            self.scores()
        else:
            self.train(dropout=True)

    def scores(self) -> Any:
        """Of the classes, for one sentence."""
        with minitorch.no_grad():
            return self.model(**self.inputs[0]).logits.numpy()

    def train(self, dropout: bool) -> float:
        """Forward, backward, clip, update, for every batch; the sum of their losses."""
        self.model.train(dropout)
        total = 0.0
        only = {"masked_only": True} if self.job.task == "pretrain" and self.job.asked_only else {}
        for batch in self.inputs:
            parts = micro_batches(batch, self.workers.threads)
            self.optimizer.zero_grad()
            self.count += 1
            runs = [lambda b=b, share=share: (self.model(**b, **only).loss * share, None) for b, share in parts]
            total += sum(loss.item() for loss, _ in self.workers.backward(self.parameters, runs, seed=(self.count,)))
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
        self.model.eval()
        return total


class Piece(nn.Module):
    """Some layers, of which only what goes in is kept."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Any, mask: Any, output_attentions: bool, rows: Any = None) -> tuple[Any, None]:
        """As a layer does it."""
        return checkpoint(self.run, x, mask, rows), None

    def run(self, x: Any, mask: Any, rows: Any) -> Any:
        """The layers one after the other; the last one at ``rows`` alone."""
        for i, layer in enumerate(self.layers, 1):
            x, _ = layer(x, mask, False, rows if i == len(self.layers) else None)
        return x


def micro_batches(batch: dict[str, Any], n: int) -> list[tuple[dict[str, Any], float]]:
    """Slices of a batch, each without the columns that are padding in all its rows, and its share of the rows."""
    found = []
    for rows in np.array_split(np.arange(len(batch["input_ids"])), n):
        part = {name: value[int(rows[0]) : int(rows[-1]) + 1] for name, value in batch.items()}
        if "attention_mask" in part:
            longest = int(part["attention_mask"].array.sum(1).max())
            part |= {name: part[name][:, :longest] for name in ("input_ids", "attention_mask")}
        found.append((part, len(rows) / len(batch["input_ids"])))
    return found
