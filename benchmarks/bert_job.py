"""The work of a contestant: a step of BERT's pretraining or fine-tuning, or the answer for one sentence.

Weights, ids and labels follow from names and fixed seeds. So every program starts from the same numbers, and without dropout all
must find the same losses. Read next: bert_minitorch.py, bert_pytorch.py.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

SIZES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "base": (12, 768)}  # layers, hidden size
CLASSES = 2
WEIGHT_DECAY = 0.01  # not on biases and LayerNorm


@dataclass(frozen=True)
class Job:
    """One thing to measure."""

    family: ClassVar[str] = "bert"  # its programs are bert_minitorch.py and bert_pytorch.py
    task: str = "pretrain"  # pretrain: masked words; finetune: one class per sequence; infer: the same without a gradient
    size: str = "tiny"
    batch: int = 32
    length: int = 128
    vocabulary: int = 8192
    dropout: float = 0.1
    asked_only: bool = True  # both programs compute the last layer only where it is needed (masked words, [CLS])
    lengths: str = "full"  # or "mixed": sentences of 5 to `length` tokens, 4 batches per step; or "grouped": sorted by length
    layers: int = 0  # 0: as many as the size has
    pieces: int = 0  # activation checkpointing: number of pieces of the encoder; 0: none
    device: str = "cpu"
    precision: str = "float32"  # or tf32, bf16, fp16

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, hidden size."""
        layers, H = SIZES[self.size]
        return self.layers or layers, H

    @property
    def masked(self) -> int:
        """Masked words in a sequence."""
        return round(0.15 * self.length)

    def batches(self) -> list[dict[str, Any]]:
        """Arrays: ids (B, S); labels (B, S), -100 where no word is masked, or (B,); mask (B, S) if there is padding."""
        rng = np.random.default_rng(1)
        if self.lengths == "full":
            ids = self.words(rng, self.batch)
            labels = self.masked_labels(rng, ids) if self.task == "pretrain" else rng.integers(0, CLASSES, self.batch)
            return [{"ids": ids, "labels": labels}]
        sizes = self.sizes(rng)
        ids, labels = self.words(rng, len(sizes)), rng.integers(0, CLASSES, len(sizes))
        order = np.argsort(sizes, kind="stable") if self.lengths == "grouped" else np.arange(len(sizes))
        found = []
        for i in range(0, len(sizes), self.batch):
            rows = order[i : i + self.batch]
            mask = (np.arange(sizes[rows].max()) < sizes[rows, None]).astype(np.int64)
            found.append({"ids": ids[rows, : mask.shape[1]] * mask, "labels": labels[rows], "mask": mask})
        return found

    def words(self, rng: Any, n: int) -> Any:
        """Ids with the frequencies of words in a text; none is 0, the id of padding."""
        return 1 + rng.zipf(1.3, (n, self.length)) % (self.vocabulary - 1)

    def masked_labels(self, rng: Any, ids: Any) -> Any:
        """-100 everywhere, and the word itself at the masked places."""
        labels = np.full(ids.shape, -100)
        for row in range(len(ids)):
            at = rng.permutation(self.length)[: self.masked]
            labels[row, at] = ids[row, at]
        return labels

    def sizes(self, rng: Any) -> Any:
        """Lengths of the sentences of four batches: half have at most 40 tokens, some are cut, as in a corpus of reviews."""
        return np.clip(rng.lognormal(np.log(40), 0.7, 4 * self.batch), 5, self.length).astype(int)

    def tokens(self) -> int:
        """Tokens per step, padding not counted."""
        return sum(int(b["mask"].sum()) if "mask" in b else b["ids"].size for b in self.batches())

    def operations(self) -> float:
        """Multiplications and additions in a step's matrix products, without padding: one pass forward, two backward."""
        layers, H = self.shape
        products = 0.0
        for batch in self.batches():
            lengths = batch["mask"].sum(1) if "mask" in batch else np.full(len(batch["ids"]), batch["ids"].shape[1])
            tokens, pairs = float(lengths.sum()), float((lengths**2).sum())
            products += layers * (12 * H * H * tokens + 2 * H * pairs)
            if self.task == "pretrain":
                asked = (batch["labels"] != -100).sum(1)
                products += float(asked.sum()) * (H * H + H * self.vocabulary)
            else:
                asked = np.ones(len(lengths))
                products += len(lengths) * (H * H + H * CLASSES)
            if self.asked_only:  # queries, their products, the output and feed-forward products of the last layer
                products -= float((lengths - asked).sum() * 10 * H * H + ((lengths - asked) * lengths).sum() * 2 * H)
        return products * (2.0 if self.task == "infer" else 6.0)


def initial(name: str, shape: tuple[int, ...]) -> Any:
    """The starting value of a parameter, a function of its name."""
    if "LayerNorm.weight" in name:
        return np.ones(shape, np.float32)
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32) * np.float32(0.02)


def choose_threads(step: Callable[[], Any], use: Callable[[int], Any], threads: int) -> None:
    """One thread or all, whichever answers one sentence sooner: for small products, waiting costs more than it gains."""
    best = {}
    for n in (1, threads):
        use(n)
        times = []
        for _ in range(12):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        best[n] = sorted(times)[4]
    use(min(best, key=lambda n: best[n]))
