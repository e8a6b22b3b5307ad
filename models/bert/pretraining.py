"""Masked-LM pretraining: BERT's settings, model, batches and loss. The loop and all else is of every pretraining run.

Recipe: Devlin et al. (2018), section 3.1 and appendix A.2.
Read before: train_minimal.py, data.py, model.py, models/training/pretraining.py. Read next: report.py, use.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.optim.lr_scheduler import get_linear_schedule_with_warmup

from ..checkpoints.files import PRETRAINED
from ..checkpoints.saved import check_sizes
from ..text.corpus import Corpus
from ..text.prepared import IN_PYTHON, Text, prepare
from ..training.loop import decay_groups, to_device
from ..training.pretraining import PretrainingRun, PretrainingSettings
from ..training.score import Score
from ..training.settings import option
from .config import PRESETS, BertConfig
from .data import Blocks, Pairs
from .masked_rows import find_masked
from .model import BertForMaskedLM, BertForPreTraining
from .report import showing, trials

__all__ = ["Run", "Settings", "decay_groups", "prepare", "read_state", "ready"]


@dataclass
class Settings(PretrainingSettings):
    """Every choice of a run; each is an option of ``minitorch pretrain`` and a key of its TOML file."""

    corpus: list[str] = option([], "text files: one sentence per line, a blank line between documents", IN_PYTHON)
    output: str = option(PRETRAINED, "folder for the checkpoint and the run's other files")
    size: str = option("tiny", "tiny, mini, small, medium or base")
    tokenizer: str | None = option(None, "use this vocab.txt, tokenizer.json or folder instead of learning a vocabulary")
    long_length: int = option(128, "tokens per sequence in the long steps, which teach the later positions")
    long_every: int = option(10, "every n-th step has long sequences (and fewer of them); 0: no step has")
    mask_probability: float = option(0.25, "share of tokens that are masked and predicted")
    whole_word: bool = option(False, "mask all pieces of a word together")
    static_masking: bool = option(False, "use the same masks in every epoch")
    nsp: bool = option(False, "train on sentence pairs, with next-sentence prediction in addition to masked words")
    validation: float = option(0.04, "share of documents held out for validation")

    label: ClassVar[str] = "bert"
    sizes: ClassVar[Any] = PRESETS
    moving: ClassVar[tuple[str, ...]] = ("nsp", "whole_word")

    def limits(self) -> dict[str, tuple[float, float]]:
        """The least and the most that numbers may be."""
        least = 5 if self.nsp else 4  # [CLS] A [SEP], [CLS] A [SEP] B [SEP]
        return {
            **super().limits(),
            "long_every": (0, math.inf),
            "mask_probability": (1e-12, 0.999),
            **dict.fromkeys(("length", "long_length"), (least, math.inf)),
        }


# ------------------------------------------------------------------------------------------------------ the model


def configuration(settings: Settings, vocab_size: int) -> BertConfig:
    """The model's sizes, as the settings have them."""
    hidden, layers = settings.hidden, settings.layers
    heads = max(n for n in range(1, max(1, hidden // 64) + 1) if hidden % n == 0)
    other = {"hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": 4 * hidden} if hidden else {}
    return BertConfig.preset(
        settings.size,
        **other,
        **({"num_hidden_layers": layers} if layers else {}),
        vocab_size=vocab_size,
        max_position_embeddings=max(settings.length, settings.long_length if settings.long_every else 0),
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        initializer_range=settings.initializer_range,
    )


def build(settings: Settings, vocab_size: int) -> Any:
    """A fresh model of the size asked for."""
    minitorch.manual_seed(settings.seed)
    model = (BertForPreTraining if settings.nsp else BertForMaskedLM)(configuration(settings, vocab_size))
    return model.to(settings.device)


def ready(batch: dict[str, Any], model: Any, device: str) -> dict[str, Any]:
    """A batch for ``forward``, on the model's device; masked words are looked up before the copy."""
    pooled = isinstance(model, BertForPreTraining)
    return to_device({**batch, "labels": find_masked(batch["labels"], pooled)}, model, device)


def forward(model: Any, batch: dict[str, Any], masked_in_step: int, share: float) -> tuple[Tensor, Score]:
    """This micro-batch's share of the step's loss: masked words are averaged over the whole step, sentence pairs too."""
    labels = batch["labels"].labels
    masked = len(labels)
    output = model(**batch, masked_only=True)
    if masked == 0:  # with --whole-word every word may be too long to mask; the mean loss would be 0 / 0
        output.mlm_loss = output.masked_logits.sum()
    loss = output.mlm_loss * (masked / max(1, masked_in_step))
    if output.nsp_loss is not None:
        loss = loss + output.nsp_loss * share
    right = (output.masked_logits.array.argmax(-1) == labels.array).sum()
    total = output.mlm_loss.array.astype(np.float64) * masked
    return loss, Score(total, masked, right, batch["input_ids"].numel())


# -------------------------------------------------------------------------------------------------------- the run


class Run(PretrainingRun):
    """Masked words, and with --nsp sentence pairs."""

    name, settings_class, unit = "BERT", Settings, "masked word"
    baselines: ClassVar[dict[str, str]] = {"unigram": "word frequencies only", "uniform": "uniform guessing"}
    files = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
    lacking: ClassVar[dict[str, str]] = {"unigram": "the model has not even learnt word frequencies"}

    def read_text(self, resuming: bool) -> Text:
        """Sentences, in documents."""
        return prepare(self.settings, self.say, resuming, self.folder)

    def build(self) -> Any:
        """A fresh model of the size asked for."""
        return build(self.settings, len(self.text.tokenizer))

    @staticmethod
    def check_shapes(settings: Settings, shapes: dict[str, tuple[int, ...]], says: str) -> None:
        """Are they of a BERT that these settings make?"""
        check_sizes(configuration(settings, shapes.get("bert.embeddings.word_embeddings.weight", (1,))[0]), shapes, says)

    def make_schedule(self) -> Any:
        """Up in a line, down in a line."""
        return get_linear_schedule_with_warmup(self.optimizer, self.settings.warmup, self.settings.steps)

    def make_data(self) -> None:
        """Short sequences, long ones, and those held out."""
        s = self.settings
        self.train_data = self.data(self.text.train, s.length, s.batch_size, s.seed)
        self.valid_data = self.data(self.text.valid, s.length, s.batch_size, s.seed + 1, dynamic=False)
        fewer = max(1, s.batch_size * s.length // s.long_length)  # as many tokens
        self.long_data = self.data(self.text.train, s.long_length, fewer, s.seed + 2)

    def data(self, text: Corpus, length: int, batch_size: int, seed: int, dynamic: bool = True) -> Blocks | Pairs:
        """Batches of a text, as the settings want them."""
        s = self.settings
        return (Pairs if s.nsp else Blocks)(
            text, self.text.tokenizer, length, batch_size, seed,
            dynamic=dynamic and not s.static_masking, probability=s.mask_probability, whole_word=s.whole_word,
        )  # fmt: skip

    def data_of(self, step: int) -> tuple[Any, int]:
        """The batches that a step draws from, and the number of its own.

        Short sequences teach more for the same time, so only some steps have long ones.

        (Devlin et al. gave the long ones the last tenth; by then the rate is too low here for positions never seen.)
        """
        every = self.settings.long_every
        if every and step % every == every - 1:
            return self.long_data, step // every
        return self.train_data, step - step // every if every else step

    def ready(self, batch: dict[str, Any]) -> dict[str, Any]:
        """On the model's device, with the places of the masked words."""
        return ready(batch, self.model, self.settings.device)

    def predictions(self, batch: dict[str, Any]) -> int:
        """How many words are masked."""
        return len(batch["labels"].labels)

    def forward(self, batch: dict[str, Any], predicted_in_step: int, share: float) -> tuple[Tensor, Score]:
        """Masked words are averaged over the whole step, sentence pairs too."""
        return forward(self.model, batch, predicted_in_step, share)

    def showing(self) -> str:
        """Sentences in which it finds a hidden word."""
        return showing(trials(self.model, self.text), self.folder)


read_state = Run.read_state
