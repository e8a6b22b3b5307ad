"""Causal pretraining: GPT's settings, model, batches and loss. The loop and all else is of every pretraining run.

Each token is guessed from those before it. Radford et al. (2018), "Improving language understanding by generative pre-training",
equation 1; the recipe (AdamW with β₂ 0.99, weight decay 0.1, cosine) is that of Karpathy's nanoGPT for small texts.
Read before: model.py, data.py, models/training/pretraining.py. Read next: report.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor
from minitorch.optim.lr_scheduler import LambdaLR

from ..checkpoints.saved import check_sizes
from ..errors import BadInput
from ..text.prepared import IN_PYTHON, Text, prepare
from ..text.stream import Stream
from ..training.loop import to_device
from ..training.pretraining import PretrainingRun, PretrainingSettings
from ..training.score import Score
from ..training.settings import option
from .config import PRESETS, GPT2Config
from .data import Stretches
from .model import GPT2LMHeadModel
from .report import showing
from .weights import TRANSPOSED


@dataclass
class Settings(PretrainingSettings):
    """Every choice of a run; each is an option of ``minitorch pretrain --model gpt`` and a key of its TOML file."""

    corpus: list[str] = option([], "text files, taken as they are: spaces and line ends count", IN_PYTHON)
    output: str = option("runs/gpt", "folder for the checkpoint and the run's other files")
    size: str = option("nano", "nano, mini, medium or small (GPT-2's own smallest)")
    heads: int = option(0, "attention heads; 0: as --size has it")
    tokenizer: str | None = option(
        "bpe", "bpe (learnt from the text), characters, or a tokenizer.json or folder with one of them"
    )
    length: int = option(64, "tokens per sequence, and the most that the model reads")
    batch_size: int = option(16, "sequences per step")
    steps: int = option(2500, "training steps (weight updates)")
    min_lr: float = option(0.05, "the rate at the end, as a share of the highest; it falls along a cosine")
    beta2: float = option(0.99, "AdamW's β₂, the decay of its mean of squared gradients")
    weight_decay: float = option(0.1, "AdamW's weight decay; biases and LayerNorm have none")
    validation: float = option(0.05, "share of the text held out for validation: its end")
    eval_every: int = option(250, "steps from one validation to the next")

    label: ClassVar[str] = "gpt"
    sizes: ClassVar[Any] = PRESETS

    def limits(self) -> dict[str, tuple[float, float]]:
        """The least and the most that numbers may be."""
        return {**super().limits(), "heads": (0, math.inf), "min_lr": (0, 1)}

    def check(self) -> None:
        """As for every run; and the heads must share out the hidden size."""
        super().check()
        if not self.tokenizer:
            raise BadInput("--tokenizer must be bpe, characters or a path")
        try:
            configuration(self, 1)
        except ValueError as error:
            raise BadInput(f"--hidden, --heads: {error}") from error


# ------------------------------------------------------------------------------------------------------ the model


def configuration(settings: Settings, vocab_size: int, **more: Any) -> GPT2Config:
    """The model's sizes, as the settings have them."""
    asked = {"n_layer": settings.layers, "n_embd": settings.hidden, "n_head": settings.heads}
    rates = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), settings.dropout)
    return GPT2Config.preset(
        settings.size,
        **{name: value for name, value in asked.items() if value},
        **rates,
        vocab_size=vocab_size,
        n_positions=settings.length,
        initializer_range=settings.initializer_range,
        **more,
    )


# -------------------------------------------------------------------------------------------------------- the run


class Run(PretrainingRun):
    """The next token, at every token."""

    name, settings_class, unit = "GPT", Settings, "token"
    baselines: ClassVar[dict[str, str]] = {
        "bigram": "the token before only",
        "unigram": "token frequencies only",
        "uniform": "uniform guessing",
    }
    last_batches, eps = 2000, 1e-8
    files = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    lacking: ClassVar[dict[str, str]] = {
        "bigram": "the model knows less than which token follows which",
        "unigram": "the model has not even learnt token frequencies",
    }

    def read_text(self, resuming: bool) -> Text:
        """A stream of tokens."""
        return prepare(self.settings, self.say, resuming, self.folder, Stream)

    def build(self) -> Any:
        """A fresh model of the size asked for."""
        s, tokenizer = self.settings, self.text.tokenizer
        minitorch.manual_seed(s.seed)
        special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        return GPT2LMHeadModel(configuration(s, len(tokenizer), **special)).to(s.device)

    @staticmethod
    def check_shapes(settings: Settings, shapes: dict[str, tuple[int, ...]], says: str) -> None:
        """Are they of a GPT that these settings make?"""
        in_files = {name: shape[::-1] if TRANSPOSED.search(name) else shape for name, shape in shapes.items()}
        check_sizes(configuration(settings, shapes.get("transformer.wte.weight", (1,))[0]), in_files, says)

    def make_schedule(self) -> Any:
        """Up in a line, down along half a wave of the cosine, to --min-lr."""
        s = self.settings

        def factor(t: int) -> float:
            if t < s.warmup:
                return t / s.warmup
            done = min(1.0, (t - s.warmup) / max(1, s.steps - s.warmup))
            return s.min_lr + (1 - s.min_lr) * 0.5 * (1 + math.cos(math.pi * done))

        return LambdaLR(self.optimizer, factor)

    def make_data(self) -> None:
        """Stretches from anywhere; and the held-out text, of which all but the last validation read some."""
        s = self.settings
        self.train_data = Stretches(self.text.train.ids, s.length, s.batch_size, s.seed)
        self.valid_data = Stretches(self.text.valid.ids, s.length, s.batch_size, s.seed, at_random=False)

    def data_of(self, step: int) -> tuple[Any, int]:
        """The batches that a step draws from, and the number of its own."""
        return self.train_data, step

    def ready(self, batch: dict[str, Any]) -> dict[str, Any]:
        """On the model's device."""
        return to_device(batch, self.model, self.settings.device)

    def predictions(self, batch: dict[str, Any]) -> int:
        """Every token has a target."""
        return int(batch["targets"].numel())

    def forward(self, batch: dict[str, Any], predicted_in_step: int, share: float) -> tuple[Tensor, Score]:
        """The mean loss of this micro-batch, times its share of the step's tokens."""
        targets = batch["targets"].reshape(-1)  # (B S,)
        logits = self.model(batch["input_ids"], use_cache=False).logits  # (B, S, V)
        logits = logits.reshape(-1, logits.shape[-1])  # (B S, V)
        loss, n = F.cross_entropy(logits, targets), len(targets)
        right = (logits.array.argmax(-1) == targets.array).sum()
        return loss * (n / predicted_in_step), Score(loss.array.astype(np.float64) * n, n, right, n)

    def showing(self) -> str:
        """Text of its own."""
        return showing(self.model, self.text, self.folder, self.settings.seed)
