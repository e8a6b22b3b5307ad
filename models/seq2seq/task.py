"""Sequence to sequence as a task of the common training loop: settings, features, batches, teacher forcing, scores.

    pairs ─ features (ids of both sides) ─ batches ─ model ─ rows (right tokens, or a text) ─ scores

Teacher forcing: the decoder reads the right target, one token behind, and predicts each next token. Label smoothing (Szegedy et
al., 2016; Vaswani et al., 2017, section 5.4) acts in training alone, so that losses on held-out pairs can be compared.
Read before: vocabulary.py, models/training/trainer.py. Read next: run.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..errors import BadInput
from ..text.tables import delimiter_of
from ..training.settings import TrainingSettings, flag, option
from .model import IGNORED
from .pairs import Pair
from .scores import METRICS, TOKENIZERS, scores
from .vocabulary import KINDS, OWN, Vocabulary, padded
from .writing import write_ids

COMPARE = ("all", "baselines", "none")
STEPS = 1500  # what a small set of pairs takes
FORCED = ("loss", "accuracy")  # metrics of the right target's tokens, without writing a text


@dataclass
class Settings(TrainingSettings):
    """Every choice of a run; each is an option of ``minitorch seq2seq`` and a key of its TOML file."""

    train: str = option("", "file of pairs to learn from: TSV, CSV or JSONL", "docstrings of this Python installation")
    dev: str = option("", "file that chooses the best checkpoint", "a share of --train is held out for that")
    test: str = option("", "file for the final report, used for nothing else", "the report is on the dev pairs")
    output: str = option("runs/seq2seq", "folder for the checkpoint, the report and the run's other files")
    init_encoder: str = option("", "folder of a BERT that the encoder starts from", "both sides start at random")
    # columns of the files
    source: str = option("", "column of the source", "source, text, article, ..., or the first of two")
    target: str = option("", "column of the target", "target, summary, title, ..., or the second of two")
    columns: str = option("", "column names, joined by commas, if the first line does not name them", "source,target")
    delimiter: str = option("", "separator: tab, comma, semicolon, bar, space, or a sign", "found")
    encoding: str = option("utf-8", "encoding of the files")
    # vocabularies and sizes
    tokenizer: str = option("auto", "bpe (pieces of words), characters, or auto: characters where most words occur only once")
    vocab_size: int = option(0, "bpe: pieces in a vocabulary, at most", "5 √(words in the training pairs), 500 at least")
    joint: bool = option(True, "one vocabulary for both sides (never with --init-encoder: the BERT brings the source's)")
    length: int = option(0, "longest source, in pieces; more is cut off at its end", "128, or the BERT's limit if that is less")
    target_length: int = option(128, "longest target, in pieces, to learn and to write")
    hidden: int = option(0, "width of the model", "128; with --init-encoder that of the BERT")
    layers: int = option(2, "layers of the decoder, and of the encoder")
    heads: int = option(4, "attention heads")
    # training
    batch_size: int = option(64, "pairs per step")
    epochs: int = option(0, "times through the training pairs", f"what makes {STEPS:,} steps, 5 at least")
    lr: float = option(2e-3, "highest learning rate")
    warmup: float = option(0.1, "share of the steps to reach the highest rate, which then falls linearly to 0")
    label_smoothing: float = option(0.1, "share of the target spread over the whole vocabulary")
    metric: str = option("loss", f"best checkpoint by this: {', '.join((*FORCED, *METRICS))} (a tie: by the loss)")
    patience: int = option(0, "stop after this many evaluations (an epoch, or 100 steps, at least) without a gain; 0: never")
    save_every: int = option(500, "steps from one saved state to the next (each evaluation saves one, too)")
    validation: float = option(0.1, "share of --train to hold out if --dev is not given; 0: none, keep the last checkpoint")
    # the report
    num_beams: int = option(4, "width of the beam search in the report; 1: greedy alone")
    length_penalty: float = option(1.0, "divide a beam's log-probability by its length to this power; above 0 favours long texts")
    bleu_tokenizer: str = option("13a", f"how BLEU cuts words: {', '.join(TOKENIZERS)}")
    compare: str = option("all", "all (with --init-encoder also the same model from random weights), baselines or none")

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is read."""
        self.check_values(
            **dict.fromkeys(("layers", "heads", "num_beams"), (1, math.inf)),
            **dict.fromkeys(("length", "hidden", "vocab_size", "epochs", "patience"), (0, math.inf)),
            target_length=(4, math.inf),
            **dict.fromkeys(("warmup", "label_smoothing", "validation"), (0, 0.999)),
            length_penalty=(-100, 100),
        )
        if 0 < self.vocab_size < OWN + 257:
            raise BadInput(f"--vocab-size must be at least {OWN + 257}, for the 256 bytes and 5 ids with a meaning")
        choices = {"tokenizer": ("auto", *KINDS), "compare": COMPARE, "bleu_tokenizer": TOKENIZERS, "metric": (*FORCED, *METRICS)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BadInput(f"{flag(name)} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        if 0 < self.length < 4:
            raise BadInput(f"--length must be at least 4, not {self.length}: the end of a text takes a place, too")
        delimiter_of(self.delimiter)


@dataclass
class Feature:
    """One pair as ids."""

    example: int  # whose
    ids: list[int]
    target: list[int] | None  # with its END; None of a source alone

    @property
    def size(self) -> int:
        """Tokens, to put pairs of equal length into one batch."""
        return len(self.ids) + len(self.target or ())


class Seq2Seq:
    """What the training loop asks of a task."""

    name = "seq2seq"
    metric = "loss"
    smaller_is_better = ("loss",)

    def __init__(self, settings: Settings, vocabularies: tuple[Vocabulary, Vocabulary]) -> None:
        self.s, self.vocabularies = settings, vocabularies
        self.cut: dict[str, tuple[int, int]] = {}  # of the last features: how many were too long, and the longest

    def features(self, examples: Sequence[Pair], vocabularies: tuple[Vocabulary, Vocabulary]) -> list[Feature]:
        """The ids of both sides; ``cut`` remembers what was too long."""
        source, target = vocabularies
        rows, sizes = source.encode([p.source for p in examples], self.s.length)
        self.cut = {"source": (sum(n > self.s.length for n in sizes), max(sizes, default=0))}
        if not (labelled := any(p.target for p in examples)):
            return [Feature(i, ids, None) for i, ids in enumerate(rows)]
        targets, sizes = target.encode([p.target for p in examples], self.s.target_length)
        self.cut["target"] = (sum(n > self.s.target_length for n in sizes), max(sizes, default=0))
        return [Feature(i, ids, row if labelled else None) for i, (ids, row) in enumerate(zip(rows, targets, strict=True))]

    def groups(self, features: Sequence[Feature]) -> None:
        """Any features may share a batch."""

    def batch(self, features: Sequence[Feature], vocabularies: tuple[Vocabulary, Vocabulary]) -> dict[str, Tensor]:
        """The model's arguments: input_ids and attention_mask (B, S), labels (B, T)."""
        ids, mask = vocabularies[0].batch([f.ids for f in features])
        batch = {"input_ids": ids, "attention_mask": mask}
        if features[0].target is not None:
            batch["labels"] = minitorch.from_numpy(padded([f.target or [] for f in features], IGNORED))
        return batch

    def weight(self, batch: dict[str, Tensor]) -> float:
        """Over how many tokens the mean loss of a micro-batch is taken."""
        return float((batch["labels"].numpy() != IGNORED).sum())

    def loss(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """-Σ q ln p of the mean target token, smoothed in training; and in evaluation what ``rows`` needs."""
        labels = batch["labels"]
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        logits = model(**inputs, decoder_input_ids=model.shift_right(labels)).logits  # (B, T, V)
        smoothing = self.s.label_smoothing if model.training else 0.0
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), label_smoothing=smoothing)
        if model.training:
            return loss, None
        right = ((logits.argmax(-1) == labels).sum(-1), (labels != IGNORED).sum(-1))
        texts = None
        if self.s.metric in METRICS:
            found = write_ids(model, inputs["input_ids"], inputs.get("attention_mask"), max_new_tokens=self.s.target_length)
            texts = [self.vocabularies[1].decode(ids) for ids in found]
        return loss, (right, texts)

    def rows(self, output: Any, features: Sequence[Feature]) -> list[Any]:
        """Of each feature: (right tokens, tokens, the text that the model writes or None)."""
        (right, of), texts = output
        return list(zip(right.tolist(), of.tolist(), texts or [None] * len(features), strict=True))

    def predictions(self, examples: Sequence[Pair], features: Sequence[Feature], rows: Sequence[Any]) -> list[Any]:
        """The rows themselves: every pair is one feature."""
        return list(rows)

    def score(self, examples: Sequence[Pair], predictions: Sequence[Any]) -> dict[str, float]:
        """Accuracy of the next token and, if one of them chooses the checkpoint, all METRICS."""
        sums = np.array([row[:2] for row in predictions]).sum(0)
        found = {"accuracy": float(sums[0] / sums[1])}
        if predictions[0][2] is not None:
            answers: dict[str, list[str]] = {}
            for p in examples:
                answers.setdefault(p.source, []).append(p.target)
            found |= scores([row[2] for row in predictions], [answers[p.source] for p in examples], self.s.bleu_tokenizer)
        return found
