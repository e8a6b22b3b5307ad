"""Pretraining, whatever the model: from a prepared text to a checkpoint. Settings, loop, validation, state, files.

Baselines tell learning from standing still: ln V (uniform guessing), the unigram entropy (frequencies only) and for a model that
reads forwards the bigram entropy (the token before only). A model whose loss stays there has learnt no language.

Every random choice is a function of (seed, step), so a resumed run is bit-equal to one that never stopped.
AdamW: Loshchilov and Hutter (2017). Read before: score.py, loop.py, states.py. Read next: models/bert/pretraining.py,
models/gpt/pretraining.py.
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
from typing import Any, ClassVar

import minitorch
from minitorch import Tensor, optim
from minitorch.files import write_text
from minitorch.parallel import Rows, Workers

from ..checkpoints.files import MODEL_FILES
from ..errors import BadInput, count
from ..reading import named_tensors
from ..text.prepared import IN_PYTHON, Text
from . import ranks, states
from .loop import Glance, GraphedStep, available_cores, decay_groups, prepare_kernels, progress
from .precision import Precision
from .runs import STATE
from .score import Score
from .settings import TrainingSettings, flag, option

KEPT = (STATE, *MODEL_FILES)  # a run that has one of these is not overwritten


@dataclass
class PretrainingSettings(TrainingSettings):
    """Choices of every run; each is an option of ``minitorch pretrain`` and a key of its TOML file. A model adds its own."""

    label: ClassVar[str]  # what --model calls the model
    sizes: ClassVar[Any] = ()  # what --size may be
    moving: ClassVar[tuple[str, ...]] = ()  # settings with which shapes change from step to step, as no CUDA graph's can

    corpus: list[str] = option([], "text files", IN_PYTHON)
    output: str = option("runs/pretrain", "folder for the checkpoint and the run's other files")
    size: str = option("tiny", "the model's size")
    layers: int = option(0, "layers; 0: as --size has it")
    hidden: int = option(0, "hidden size (the feed-forward layer follows, and BERT's heads); 0: as --size has it")
    vocab_size: int = option(2048, "pieces in the vocabulary learnt from the text")
    tokenizer: str | None = option(None, "use this tokenizer instead of learning a vocabulary")
    length: int = option(32, "tokens per sequence")
    batch_size: int = option(64, "sequences per step")
    steps: int = option(3000, "training steps (weight updates)")
    lr: float = option(2e-3, "highest learning rate")
    warmup: int = option(100, "steps to reach the highest rate, which then falls")
    beta2: float = option(0.98, "AdamW's β₂, the decay of its mean of squared gradients")
    dropout: float = option(0.0, "dropout rate, everywhere; the published one is 0.1")
    initializer_range: float = option(0.02, "standard deviation of the initial weights")
    validation: float = option(0.04, "share of the text held out for validation")
    eval_every: int = option(300, "steps from one validation to the next")
    save_every: int = option(1000, "steps from one saved state to the next")
    cuda_graph: bool = option(False, "on a GPU: forward and backward pass as one CUDA graph (not yet run on a real GPU)")

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is computed."""
        self.check_values(**self.limits())
        if self.size not in self.sizes:
            raise BadInput(f"--size must be one of {', '.join(self.sizes)}, not {self.size!r}")
        if self.cuda_graph and (
            self.device == "cpu" or self.precision == "fp16" or any(getattr(self, name) for name in self.moving)
        ):
            fixed = f", fixed shapes ({', '.join(f'no {flag(name)}' for name in self.moving)})" if self.moving else ""
            raise BadInput(f"--cuda-graph needs a GPU{fixed} and a --precision other than fp16")
        if self.cuda_graph and ranks.size() > 1:
            raise BadInput("--cuda-graph is for one process: its numbers are recorded, and those of other ranks change")
        if ranks.size() == 1 and self.batch_size % (self.accumulate * self.workers):
            raise BadInput(
                f"--batch-size {self.batch_size} does not divide into {self.accumulate} micro-batches on {self.workers} threads"
            )

    def limits(self) -> dict[str, tuple[float, float]]:
        """The least and the most that numbers may be."""
        return {
            **dict.fromkeys(("vocab_size", "steps", "eval_every", "length"), (1, math.inf)),
            **dict.fromkeys(("layers", "hidden", "warmup"), (0, math.inf)),
            "validation": (1e-12, 0.999),
            **dict.fromkeys(("beta2", "dropout"), (0, 0.999999)),
            "initializer_range": (1e-12, 1e12),
        }

    @property
    def workers(self) -> int:
        """How many micro-batches run at the same time."""
        if self.device != "cpu":
            return 1
        share = self.batch_size // ranks.size()
        return self.threads or max(n for n in range(1, available_cores() + 1) if n == 1 or share % (n * self.accumulate) == 0)


# ------------------------------------------------------------------------------------------------------------ a run


class PretrainingRun:
    """A run: its text, model, optimiser and batches, and the step it has reached. A model's own kind says what follows here."""

    name: str  # of the model, for the user
    settings_class: Any
    baselines: dict[str, str]  # the best one first: its name in metrics.jsonl and in Text, and what it knows
    unit: str  # what is predicted
    files: tuple[str, ...]  # of the checkpoint
    last_batches = 40  # the most that the last validation reads
    eps = 1e-6  # AdamW's ε
    lacking: dict[str, str]  # of a baseline: what a model that stays above it has not learnt

    def read_text(self, resuming: bool) -> Text:
        """The prepared text."""
        raise NotImplementedError

    def build(self) -> Any:
        """A fresh model of the size asked for, on its device."""
        raise NotImplementedError

    @staticmethod
    def check_shapes(settings: Any, shapes: dict[str, tuple[int, ...]], says: str) -> None:
        """Raise BadInput if weights of these shapes are not of a model that the settings make; ``says`` begins the message."""
        raise NotImplementedError

    def make_schedule(self) -> Any:
        """The learning rate, step by step."""
        raise NotImplementedError

    def make_data(self) -> None:
        """self.train_data and self.valid_data, with ``batch(step)``, ``batch_size`` and ``count``, their number of examples."""
        raise NotImplementedError

    def data_of(self, step: int) -> tuple[Any, int]:
        """The batches that a step draws from, and the number of its own."""
        raise NotImplementedError

    def batch(self, step: int) -> dict[str, Tensor]:
        """The batch of a step."""
        data, number = self.data_of(step)
        return data.batch(number)  # type: ignore[no-any-return]

    def ready(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch for ``forward``, on the model's device."""
        raise NotImplementedError

    def predictions(self, batch: dict[str, Any]) -> int:
        """How many tokens a batch that is ready predicts."""
        raise NotImplementedError

    def forward(self, batch: dict[str, Any], predicted_in_step: int, share: float) -> tuple[Tensor, Score]:
        """This micro-batch's part of the step's loss, which is a mean over all that the step predicts. share: of its rows."""
        raise NotImplementedError

    def __init__(
        self, settings: Any, say: Callable[[str], None] = print, resuming: bool = False, folder: Path | None = None
    ) -> None:
        settings.check()
        settings.threads = settings.workers  # saved, so that a run resumed on another machine sums in the same order
        self.settings, self.say = settings, ranks.quiet(say)
        self.folder = folder or Path(settings.output)
        self.text = ranks.first_before_others(lambda first: self.read_text(resuming or not first))
        self.model = self.build()
        self.optimizer = optim.AdamW(
            decay_groups(self.model, settings.weight_decay), lr=settings.lr, betas=(0.9, settings.beta2), eps=self.eps
        )
        self.schedule = self.make_schedule()
        self.make_data()
        self.precision = Precision(settings.precision, settings.device)
        self.team = ranks.Team(settings)
        self.gradients = self.add_gradients
        if settings.cuda_graph:
            self.gradients = GraphedStep(self.add_gradients, list(self.model.parameters()))
        self.step, self.begun = 0, -1  # begun: where it resumed
        self.metrics: list[dict[str, Any]] = []
        self.recent: list[Score] = []  # of the last 50 steps
        self.unread = 0  # how many recent losses are not yet read back from the GPU

    @functools.cached_property
    def levels(self) -> dict[str, float]:
        """The baselines' losses, in nats per prediction."""
        return {name: getattr(self.text, name) for name in self.baselines}

    # ----------------------------------------------------------------------------------------------------- the loop

    def train(self) -> None:
        """All remaining steps; Ctrl-C saves a checkpoint first."""
        s = self.settings
        prepare_kernels(s.device)
        levels = ", ".join(f"{level:.2f}" for level in reversed(self.levels.values()))
        bar = progress(s.steps, self.step)
        glance, started, tokens = Glance(s.device), time.perf_counter(), 0
        with bar, Workers(s.workers) as workers, self.team.training(self.model.parameters()):
            if not self.step:
                self.note_beginning(workers)
            while self.step < s.steps:
                self.recent = [*self.recent[-49:], self.one_step(workers)]
                self.step += 1
                self.unread += 1
                tokens += self.recent[-1].tokens
                bar.update()
                evaluated = self.step % min(s.eval_every, max(1, s.steps // 8)) == 0 or self.step == s.steps  # 8 points at least
                saved = self.step % s.save_every == 0
                self.team.meet(self.step, evaluated or saved, self.optimizer)
                saved = saved or self.team.interrupted
                if self.team.met and glance.due(evaluated or saved):
                    score = self.read()
                    speed = ranks.size() * tokens / (time.perf_counter() - started)
                    bar.set_postfix_str(
                        f"loss {score.mean_loss:.3f} (baselines {levels}), right {score.accuracy:.1%}, {speed:,.0f} tokens/s",
                        refresh=False,
                    )
                    if evaluated:
                        most = self.last_batches if self.step == s.steps else 40
                        self.note(score, self.evaluate(self.valid_data, workers, most), speed)
                    if saved:
                        self.save_state()
                    started, tokens = time.perf_counter(), 0
                if self.team.interrupted:
                    raise KeyboardInterrupt

    def note_beginning(self, workers: Workers) -> None:
        """The losses before the first step, where the curve begins: of the first batch, and on the held-out text."""
        self.note(self.evaluate(self.train_data, workers, 1), self.evaluate(self.valid_data, workers), speed=0.0)

    def evaluate(self, data: Any, workers: Workers, most: int = 40) -> Score:
        """Loss and accuracy: every example once (at most ``most`` batches), on the held-out text always the same ones."""
        self.model.eval()
        batches = max(1, min(most, math.ceil(data.count / data.batch_size)))

        def one(step: int) -> Score:
            batch = self.ready(data.batch(step))
            with minitorch.no_grad(), self.precision.block():
                return self.forward(batch, 1, 1.0)[1]

        scores = workers.map(one, ranks.own(range(batches)))
        total = functools.reduce(Score.add, scores, Score()).read()
        self.model.train()
        return Score.summed([total])[0]

    def read(self) -> Score:
        """The sums of the last steps as numbers; an error if a loss is not finite."""
        unread = min(self.unread, len(self.recent))
        first, new = self.step - unread, len(self.recent) - unread
        self.recent[new:] = Score.summed([score.read() for score in self.recent[new:]])
        for step, score in enumerate(self.recent[new:], first):
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

    def one_step(self, workers: Workers) -> Score:
        """Forward and backward over the micro-batches, clip, update. On a GPU the host waits for none of it."""
        s, self.workers = self.settings, workers
        data, number = self.data_of(self.step)
        self.examples = data.batch_size
        self.rows = ranks.shares(self.examples, s.workers * s.accumulate)
        first = self.rows[0][0] if self.rows else 0
        batch = data.batch(number, (first, self.rows[-1][1] if self.rows else 0))
        if self.team.local_steps > 1:
            self.examples = sum(stop - first for first, stop in self.rows)
        cut = [{name: value[a - first : b - first] for name, value in batch.items()} for a, b in self.rows]
        total = self.gradients([self.ready(part) for part in cut])
        self.precision.update(self.optimizer, list(self.model.parameters()), s.clip)
        self.schedule.step()
        return dataclasses.replace(total, loss=total.loss * 1, right=total.right * 1)  # copies: a graph writes there again

    def add_gradients(self, micro: list[dict[str, Any]]) -> Score:
        """The gradients of a step's micro-batches."""
        predicted = int(self.team.totals(sum(self.predictions(batch) for batch in micro))[0])

        def part(batch: dict[str, Any], rows: Rows) -> tuple[Tensor, Score]:
            with self.precision.block():
                loss, score = self.forward(batch, predicted, (rows[1] - rows[0]) / self.examples)
            return self.precision.scaler.scale(loss), score

        self.optimizer.zero_grad()
        parts = [lambda b=b, r=r: part(b, r) for b, r in zip(micro, self.rows, strict=True)]
        seed = (self.settings.seed, self.step)
        results = self.workers.backward(list(self.model.parameters()), parts, seed, self.rows, self.team.buckets)
        return functools.reduce(Score.add, (score for _, score in results), Score())

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
                **{f"{name}_baseline": level for name, level in self.levels.items()},
                "lr": self.schedule.get_last_lr()[0],
                "tokens_per_second": round(speed),
            }
        )
        if ranks.is_first():
            write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self.metrics))

    # ------------------------------------------------------------------------------------------------- checkpoints

    def save_state(self) -> None:
        """All that the next step depends on, in one file that is complete or absent."""
        ranks.by_first(self.write_state)

    def write_state(self) -> None:
        """The same, by the rank that writes."""
        state = {
            "settings": dataclasses.asdict(self.settings),
            "sha256": self.text.found["sha256"],
            "ranks": ranks.size(),
            "step": self.step,
            "metrics": self.metrics,
            "recent": [dataclasses.astuple(score) for score in self.recent],
            **states.moving_parts(self.model, self.optimizer, self.schedule, self.precision.scaler),
        }
        minitorch.save(state, self.folder / STATE)

    @classmethod
    def read_state(cls, path: Path) -> dict[str, Any]:
        """The state that save_state wrote: of a run with these settings, as large, with a line for each evaluation."""
        state = states.read_state(path, {"step": 0, "metrics": [], "recent": []}, "pretraining", cls.settings_class)
        settings, step = cls.settings_class(**state["settings"]), state["step"]
        numbers = ("loss", "accuracy", "valid_loss", "valid_accuracy", *(f"{name}_baseline" for name in cls.baselines), "lr")
        states.check_lines(path, state, "metrics", {"step": 0, **dict.fromkeys(numbers, 0.0), "tokens_per_second": 0})
        states.check_lines(path, state, "recent", dataclasses.astuple(Score()))
        if step > settings.steps or (step == settings.steps and not state["metrics"]):
            raise BadInput(f"{path}: step {step:,} of {settings.steps:,}, after {count(len(state['metrics']), 'evaluation')}")
        shapes = {name: tuple(value.shape) for name, value in named_tensors(state["model"])}
        cls.check_shapes(settings, shapes, f"{path}: its settings say")
        return state

    def load_state(self) -> None:
        """Continue where save_state was last called."""
        path = self.folder / STATE
        state = self.read_state(path)
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

    # ------------------------------------------------------------------------------------------------ for the user

    def showing(self) -> str:
        """What the model can do, and the commands to go on with."""
        raise NotImplementedError
