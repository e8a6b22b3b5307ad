"""Masked-LM pretraining, from a prepared text to a checkpoint: settings, model, training loop, validation.

Two baselines tell learning from standing still: ln V (uniform guessing) and the unigram entropy (word frequencies only). A
model whose loss stays at the second has learnt no language.

Every random choice is a function of (seed, step), so a resumed run is bit-equal to one that never stopped.
Recipe: Devlin et al. (2018), section 3.1 and appendix A.2; AdamW by Loshchilov and Hutter (2017).
Read before: train_minimal.py, data.py, model.py. Read next: pretrain_command.py, use.py.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, optim
from minitorch.files import write_text
from minitorch.optim.lr_scheduler import get_linear_schedule_with_warmup
from minitorch.parallel import Workers

from ..checkpoints.files import MODEL_FILES, PRETRAINED
from ..checkpoints.saved import check_sizes
from ..errors import BadInput, count
from ..reading import named_tensors
from ..text.corpus import Corpus
from ..text.prepared import IN_PYTHON, prepare
from ..training import states
from ..training.loop import (
    Glance,
    GraphedStep,
    available_cores,
    between_steps,
    decay_groups,
    prepare_kernels,
    progress,
    to_device,
)
from ..training.precision import Precision
from ..training.runs import STATE
from ..training.settings import TrainingSettings, option
from .config import PRESETS, BertConfig
from .data import Blocks, Pairs
from .masked_rows import find_masked
from .model import BertForMaskedLM, BertForPreTraining
from .score import Score

KEPT = (STATE, *MODEL_FILES)  # a run that has one of these is not overwritten
NUMBERS = ("loss", "accuracy", "valid_loss", "valid_accuracy", "unigram_baseline", "uniform_baseline", "lr")
LINE = {"step": 0, **dict.fromkeys(NUMBERS, 0.0), "tokens_per_second": 0}  # of the metrics: see Run.note


@dataclass
class Settings(TrainingSettings):
    """Every choice of a run; each is an option of ``minitorch pretrain`` and a key of its TOML file."""

    corpus: list[str] = option([], "text files: one sentence per line, a blank line between documents", IN_PYTHON)
    output: str = option(PRETRAINED, "folder for the checkpoint and the run's other files")
    size: str = option("tiny", "tiny, mini, small, medium or base")
    layers: int = option(0, "encoder layers; 0: as --size has it")
    hidden: int = option(0, "hidden size (heads and feed-forward layer follow); 0: as --size has it")
    vocab_size: int = option(2048, "pieces in the vocabulary learnt from the text")
    tokenizer: str | None = option(None, "use this vocab.txt, tokenizer.json or folder instead of learning a vocabulary")
    length: int = option(32, "tokens per sequence")
    batch_size: int = option(64, "sequences per step")
    long_length: int = option(128, "tokens per sequence in the long steps, which teach the later positions")
    long_every: int = option(10, "every n-th step has long sequences (and fewer of them); 0: no step has")
    steps: int = option(3000, "training steps (weight updates)")
    lr: float = option(2e-3, "highest learning rate")
    warmup: int = option(100, "steps to reach the highest rate, which then falls linearly to 0")
    beta2: float = option(0.98, "AdamW's β₂, the decay of its mean of squared gradients")
    dropout: float = option(0.0, "dropout rate, everywhere; BERT's own is 0.1")
    initializer_range: float = option(0.02, "standard deviation of the initial weights")
    mask_probability: float = option(0.25, "share of tokens that are masked and predicted")
    whole_word: bool = option(False, "mask all pieces of a word together")
    static_masking: bool = option(False, "use the same masks in every epoch")
    nsp: bool = option(False, "train on sentence pairs, with next-sentence prediction in addition to masked words")
    validation: float = option(0.04, "share of documents held out for validation")
    eval_every: int = option(300, "steps from one validation to the next")
    save_every: int = option(1000, "steps from one saved state to the next")
    cuda_graph: bool = option(False, "on a GPU: forward and backward pass as one CUDA graph (not yet run on a real GPU)")

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is computed."""
        self.check_values(
            **dict.fromkeys(("vocab_size", "steps", "eval_every"), (1, math.inf)),
            **dict.fromkeys(("layers", "hidden", "warmup", "long_every"), (0, math.inf)),
            **dict.fromkeys(("mask_probability", "validation"), (1e-12, 0.999)),
            **dict.fromkeys(("beta2", "dropout"), (0, 0.999999)),
            initializer_range=(1e-12, 1e12),
            **dict.fromkeys(("length", "long_length"), (5 if self.nsp else 4, math.inf)),  # [CLS] A [SEP], [CLS] A [SEP] B [SEP]
        )
        if self.size not in PRESETS:
            raise BadInput(f"--size must be one of {', '.join(PRESETS)}, not {self.size!r}")
        if self.cuda_graph and (self.device == "cpu" or self.precision == "fp16" or self.whole_word or self.nsp):
            raise BadInput("--cuda-graph needs a GPU, fixed shapes (no --nsp, no --whole-word) and a --precision other than fp16")
        if self.batch_size % (self.accumulate * self.workers):
            raise BadInput(
                f"--batch-size {self.batch_size} does not divide into {self.accumulate} micro-batches on {self.workers} threads"
            )

    @property
    def workers(self) -> int:
        """How many micro-batches run at the same time."""
        if self.device != "cpu":
            return 1
        return self.threads or max(n for n in range(1, available_cores() + 1) if self.batch_size % (n * self.accumulate) == 0)


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


def split(batch: dict[str, Tensor], parts: int) -> list[dict[str, Tensor]]:
    """Equal slices of a batch."""
    n = len(next(iter(batch.values()))) // parts
    return [{name: value[i * n : (i + 1) * n] for name, value in batch.items()} for i in range(parts)]


def evaluate(model: Any, data: Blocks | Pairs, workers: Workers, device: str, precision: Precision, most: int = 40) -> Score:
    """Loss and accuracy: every block once (at most ``most`` batches), on the held-out text always with the same masks."""
    model.eval()
    batches = max(1, min(most, math.ceil(data.count / data.batch_size)))

    def one(step: int) -> Score:
        batch = ready(data.batch(step), model, device)
        with minitorch.no_grad(), precision.block():
            return forward(model, batch, 1, 1.0)[1]

    total = functools.reduce(Score.add, workers.map(one, range(batches)))
    model.train()
    return total.read()


# ------------------------------------------------------------------------------------------------------- the loop


def read_state(path: Path) -> dict[str, Any]:
    """The state that Run.save_state wrote: a state of a run with these settings, as large, with a line for each evaluation."""
    state = states.read_state(path, {"step": 0, "metrics": [], "recent": []}, "pretraining", Settings)
    settings, step = Settings(**state["settings"]), state["step"]
    states.check_lines(path, state, "metrics", LINE)
    states.check_lines(path, state, "recent", dataclasses.astuple(Score()))
    if step > settings.steps or (step == settings.steps and not state["metrics"]):
        raise BadInput(f"{path}: step {step:,} of {settings.steps:,}, after {count(len(state['metrics']), 'evaluation')}")
    shapes = {name: tuple(value.shape) for name, value in named_tensors(state["model"])}
    config = configuration(settings, shapes.get("bert.embeddings.word_embeddings.weight", (1,))[0])
    check_sizes(config, shapes, f"{path}: its settings say")
    return state


class Run:
    """A pretraining run: its text, model, optimiser and batches, and the step it has reached."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None] = print, resuming: bool = False, folder: Path | None = None
    ) -> None:
        settings.check()
        settings.threads = settings.workers  # saved, so that a run resumed on another machine sums in the same order
        self.settings, self.say = settings, say
        self.folder = folder or Path(settings.output)
        self.text = prepare(settings, say, resuming, self.folder)
        self.model = build(settings, len(self.text.tokenizer))
        self.optimizer = optim.AdamW(
            decay_groups(self.model, settings.weight_decay), lr=settings.lr, betas=(0.9, settings.beta2), eps=1e-6
        )
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, settings.warmup, settings.steps)
        self.train_data = self.data(self.text.train, settings.length, settings.batch_size, settings.seed)
        self.valid_data = self.data(self.text.valid, settings.length, settings.batch_size, settings.seed + 1, dynamic=False)
        fewer = max(1, settings.batch_size * settings.length // settings.long_length)  # as many tokens
        self.long_data = self.data(self.text.train, settings.long_length, fewer, settings.seed + 2)
        self.precision = Precision(settings.precision, settings.device)
        self.gradients = self.add_gradients
        if settings.cuda_graph:
            self.gradients = GraphedStep(self.add_gradients, list(self.model.parameters()))
        self.step, self.begun = 0, -1  # begun: where it resumed
        self.metrics: list[dict[str, Any]] = []
        self.recent: list[Score] = []  # of the last 50 steps
        self.unread = 0  # how many recent losses are not yet read back from the GPU

    def train(self) -> None:
        """All remaining steps; Ctrl-C saves a checkpoint first."""
        s = self.settings
        prepare_kernels(s.device)
        unigram, uniform = self.text.unigram, self.text.uniform
        bar = progress(s.steps, self.step)
        glance, started, tokens = Glance(s.device), time.perf_counter(), 0
        with bar, Workers(s.workers) as workers, between_steps() as interrupt:
            if not self.step:
                self.note_beginning(workers)
            while self.step < s.steps:
                self.recent = [*self.recent[-49:], self.one_step(workers)]
                self.step += 1
                self.unread += 1
                tokens += self.recent[-1].tokens
                bar.update()
                evaluated = self.step % min(s.eval_every, max(1, s.steps // 8)) == 0 or self.step == s.steps  # 8 points at least
                saved = interrupt.is_set() or self.step % s.save_every == 0
                if glance.due(evaluated or saved):
                    score = self.read()
                    speed = tokens / (time.perf_counter() - started)
                    bar.set_postfix_str(
                        f"loss {score.mean_loss:.3f} (baselines {uniform:.2f}, {unigram:.2f}), "
                        f"right {score.accuracy:.1%}, {speed:,.0f} tokens/s",
                        refresh=False,
                    )
                    if evaluated:
                        self.note(score, evaluate(self.model, self.valid_data, workers, s.device, self.precision), speed)
                    if saved:
                        self.save_state()
                    started, tokens = time.perf_counter(), 0
                if interrupt.is_set():
                    raise KeyboardInterrupt

    def note_beginning(self, workers: Workers) -> None:
        """The losses before the first step, where the curve begins: of the first batch, and on the held-out text."""
        before = [(self.train_data, 1), (self.valid_data, 40)]
        scores = [evaluate(self.model, data, workers, self.settings.device, self.precision, most) for data, most in before]
        self.note(*scores, speed=0.0)

    def read(self) -> Score:
        """The sums of the last steps as numbers; an error if a loss is not finite."""
        self.recent = [score.read() for score in self.recent]
        first = self.step - min(self.unread, len(self.recent))
        for step, score in enumerate(self.recent[len(self.recent) - (self.step - first) :], first):
            self.check_loss(score.loss, step)
        self.unread = 0
        return functools.reduce(Score.add, self.recent)

    def check_loss(self, loss: float, step: int) -> None:
        """Stop where the loss is not finite: such weights cannot learn, and must not be saved."""
        if not math.isfinite(loss) and step == self.begun:
            raise BadInput(f"{self.folder / STATE}: the loss is {loss} after it: the weights there are damaged")
        if not math.isfinite(loss):
            lr = self.settings.lr
            raise BadInput(f"the loss became {loss} at step {step}: the rate {lr} is too high here; try --lr {lr / 3:.1g}")

    def data(self, text: Corpus, length: int, batch_size: int, seed: int, dynamic: bool = True) -> Blocks | Pairs:
        """Batches of a text, as the settings want them."""
        s = self.settings
        return (Pairs if s.nsp else Blocks)(
            text, self.text.tokenizer, length, batch_size, seed,
            dynamic=dynamic and not s.static_masking, probability=s.mask_probability, whole_word=s.whole_word,
        )  # fmt: skip

    def batch(self, step: int) -> dict[str, Tensor]:
        """The batch of a step.  Short sequences teach more for the same time, so only some steps have long ones.

        (Devlin et al. gave the long ones the last tenth; by then the rate is too low here for positions never seen.)
        """
        every = self.settings.long_every
        if every and step % every == every - 1:
            return self.long_data.batch(step // every)
        return self.train_data.batch(step - step // every if every else step)

    def one_step(self, workers: Workers) -> Score:
        """Forward and backward over the micro-batches, clip, update. On a GPU the host waits for none of it."""
        s, self.workers = self.settings, workers
        batch = self.batch(self.step)
        parts = split(batch, math.gcd(len(batch["labels"]), s.workers * s.accumulate))
        total = self.gradients([ready(part, self.model, s.device) for part in parts])
        self.precision.update(self.optimizer, list(self.model.parameters()), s.clip)
        self.schedule.step()
        return dataclasses.replace(total, loss=total.loss * 1, right=total.right * 1)  # copies: a graph writes there again

    def add_gradients(self, micro: list[dict[str, Any]]) -> Score:
        """The gradients of a step's micro-batches."""
        masked = sum(len(batch["labels"].labels) for batch in micro)

        def part(batch: dict[str, Any]) -> tuple[Tensor, Score]:
            with self.precision.block():
                loss, score = forward(self.model, batch, masked, 1 / len(micro))
            return self.precision.scaler.scale(loss), score

        self.optimizer.zero_grad()
        parts = [lambda b=b: part(b) for b in micro]
        results = self.workers.backward(list(self.model.parameters()), parts, seed=(self.settings.seed, self.step))
        return functools.reduce(Score.add, (score for _, score in results))

    def note(self, train: Score, valid: Score, speed: float) -> None:
        """One line of metrics.jsonl."""
        self.check_loss(valid.loss, self.step)
        self.metrics.append(
            {
                "step": self.step,
                "loss": train.mean_loss,
                "accuracy": train.accuracy,
                "valid_loss": valid.mean_loss,
                "valid_accuracy": valid.accuracy,
                "unigram_baseline": self.text.unigram,
                "uniform_baseline": self.text.uniform,
                "lr": self.schedule.get_last_lr()[0],
                "tokens_per_second": round(speed),
            }
        )
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self.metrics))

    # ------------------------------------------------------------------------------------------------- checkpoints

    def save_state(self) -> None:
        """All that the next step depends on, in one file that is complete or absent."""
        state = {
            "settings": dataclasses.asdict(self.settings),
            "sha256": self.text.found["sha256"],
            "step": self.step,
            "metrics": self.metrics,
            "recent": [dataclasses.astuple(score) for score in self.recent],
            **states.moving_parts(self.model, self.optimizer, self.schedule, self.precision.scaler),
        }
        minitorch.save(state, self.folder / STATE)

    def load_state(self) -> None:
        """Continue where save_state was last called."""
        path = self.folder / STATE
        state = read_state(path)
        if state["sha256"] != self.text.found["sha256"]:
            raise BadInput(f"{path}: that run used another text (sha256 {state['sha256'][:16]}); give it the same --corpus")
        states.restore(path, state, self.model, self.optimizer, self.schedule, self.precision.scaler)
        self.step = self.begun = state["step"]
        self.metrics, self.recent = state["metrics"], [Score(*sums) for sums in state["recent"]]

    def finish(self) -> None:
        """The checkpoint in Hugging Face's layout with its tokenizer, and the settings and text of the run."""
        self.model.eval()
        self.model.save_pretrained(self.folder)
        self.text.tokenizer.save_pretrained(self.folder)
        record = {**dataclasses.asdict(self.settings), "sha256": self.text.found["sha256"], "minitorch": minitorch.__version__}
        write_text(self.folder / "run.json", json.dumps(record, indent=2) + "\n")
