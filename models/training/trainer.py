"""The loop that teaches a model from examples, in epochs, with evaluations that choose the best checkpoint.

It knows nothing of files and of no particular model: a task makes features and batches and scores predictions
(models/finetuning/tasks.py, models/seq2seq/task.py), and the run around it saves the best weights and the state.
AdamW, linear warmup and decay, clipped gradients, as in Devlin et al. (2018), appendix A.3. As in pretraining every random
choice is a function of (seed, step), so that a resumed run is bit-equal to one that never stopped.
Read before: loop.py, batches.py. Read next: models/finetuning/run.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, optim
from minitorch.optim.lr_scheduler import get_linear_schedule_with_warmup
from minitorch.parallel import Workers

from ..errors import BadInput, count
from . import ranks, states
from .batches import Batches
from .loop import Glance, clocks, decay_groups, prepare_kernels, progress, to_device
from .precision import Precision

RUNNING = 50  # steps of the mean loss on the progress bar
COUNTED = {"step": 0, "seconds": 0.0, "processor_seconds": 0.0, "recent": [], "metrics": [], "stale": 0}
REACHED = (*COUNTED, "best")  # where a trainer is
LINE = {"step": 0, "epoch": 0.0, "loss": 0.0, "lr": 0.0, "best": True}  # of the metrics, before those of the task


class Trainer:
    """The loop: a model, its batches, and the step it has reached. It knows nothing of files; the Run around it does."""

    def __init__(self, s: Any, task: Any, tokenizer: Any, model: Any, train: Sequence[Any], dev: Sequence[Any]):
        self.s, self.task, self.tokenizer, self.model = s, task, tokenizer, model
        started = clocks()
        self.features = task.features(list(train), tokenizer)
        self.seconds, self.processor_seconds = clocks() - started  # of training, evaluations included
        self.dev, self.dev_features = list(dev), task.features(list(dev), tokenizer) if dev else []
        self.batches = Batches(self.features, s.batch_size, s.seed, task.groups(self.features))
        self.steps = s.epochs * self.batches.count
        if hasattr(model, "plan"):  # an adapter that changes its shape on the way (AdaLoRA)
            model.plan(self.steps)
        groups = [group for group in decay_groups(model, s.weight_decay) if group["params"]]
        self.optimizer = optim.AdamW(groups, lr=s.lr)
        self.warmup = int(s.warmup * self.steps)
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, self.warmup, self.steps)
        self.step = self.begun = 0
        self.source = getattr(s, "model", "the model")  # of the weights with which it began
        self.precision, self.team = Precision(s.precision, s.device), ranks.Team(s)
        self.recent: list[Any] = []  # losses since the last evaluation: a number each, or its parts, unread
        self.before: list[float] = []  # some of the losses before that, so that the mean on the bar runs on
        self.metrics: list[dict[str, Any]] = []
        self.best: float | None = None
        self.stale = 0  # evaluations since the last one with a better score or a lower loss
        self.on_best: Callable[[], None] = self.keep_weights
        self.on_state: Callable[[], None] = lambda: None
        self.weights: dict[str, Tensor] = {}
        self.augment: Any = None  # changes some features of a batch (models/augmenting)
        self.adversary: Any = None  # loss and gradients of a micro-batch in another way (models/adversarial)

    @property
    def metric(self) -> str:
        """The name of the metric that chooses the checkpoint."""
        return self.s.metric or self.task.metric

    def keep_weights(self) -> None:
        """Hold the best weights so far in memory."""
        self.weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def train(self, label: str = "", shown: bool = True) -> None:
        """All remaining steps, or until --patience runs out; Ctrl-C saves a state first. ``shown``: with a bar."""
        s = self.s
        prepare_kernels(s.device)
        every = s.eval_every or self.batches.count
        bar = progress(self.steps, self.step, shown=shown)
        bar.set_description_str(label)
        order: tuple[int, Any] = (-1, None)
        glance = Glance(s.device)
        self.model.train()
        with bar, Workers(s.workers) as workers, self.team.training(self.model.parameters()):
            while self.step < self.steps and not self.is_stale:
                started = clocks()
                epoch, position = divmod(self.step, self.batches.count)
                order = order if order[0] == epoch else (epoch, self.batches.epoch(epoch))
                batch = [self.features[i] for i in order[1][position]]
                batch = batch if self.augment is None else self.augment(batch, epoch)
                self.recent.append(self.one_step(batch, workers))
                self.step += 1
                evaluated = self.step % every == 0 or self.step == self.steps
                saved = evaluated or self.step % s.save_every == 0
                self.team.meet(self.step, saved, self.optimizer)
                saved = saved or self.team.interrupted
                looked = self.team.met and glance.due(saved)
                if looked:
                    self.read()
                if evaluated:
                    self.evaluate(workers)
                self.count_cost(clocks() - started)
                if looked:
                    shown = f"loss {self.running_loss:.3f}"
                    best = "" if self.best is None else f", dev {self.metric} {self.metrics[-1]['dev_metric']:.3f}"
                    bar.set_postfix_str(shown + best, refresh=False)
                bar.update()
                if saved:
                    self.on_state()
                if self.team.interrupted:
                    raise KeyboardInterrupt

    def count_cost(self, spent: Any) -> None:
        """Add (seconds, CPU seconds)."""
        self.seconds += float(spent[0])
        self.processor_seconds += float(spent[1])

    @property
    def running_loss(self) -> float:
        """The mean loss of the last RUNNING steps, whether an evaluation lies between them or not."""
        return float(np.mean([*self.before, *self.recent][-RUNNING:]))

    @property
    def is_stale(self) -> bool:
        """Has --patience run out? Not within an epoch, or 100 steps, of the warmup or of the last gain: that could be chance."""
        if not self.s.patience or self.stale < self.s.patience or not self.settled(self.step):
            return False
        gained = self.metrics[-1 - self.stale]["step"]
        return bool(self.step - max(self.warmup, gained) >= min(self.batches.count, 100))

    @property
    def last_best(self) -> dict[str, Any]:
        """The line of the best evaluation so far."""
        return next(line for line in reversed(self.metrics) if line["best"])

    def one_step(self, features: Sequence[Any], workers: Workers) -> list[Tensor]:
        """Forward and backward over the micro-batches, clip, update; the loss of the batch, in parts that are not read yet."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer.zero_grad()
        losses = self.gradients(features, parameters, workers)
        self.precision.update(self.optimizer, parameters, self.s.clip)
        if hasattr(self.model, "update_and_allocate"):
            self.model.update_and_allocate(self.step + 1)
        self.schedule.step()
        return losses

    def gradients(self, features: Sequence[Any], parameters: Sequence[Tensor], workers: Workers) -> list[Tensor]:
        """Forward and backward over the micro-batches; their losses."""
        s = self.s
        whole = self.task.batch(features, self.tokenizer)  # so that all micro-batches are padded to one length
        rows = ranks.shares(len(features), s.workers * s.accumulate)
        micro = [rows_of(whole, len(features), first, stop) for first, stop in rows]
        weights = [self.task.weight(batch) for batch in micro]
        (total,) = self.team.totals(sum(weights))

        def part(batch: dict[str, Tensor], weight: float) -> Any:
            sent, share = to_device(batch, self.model, s.device), weight / total

            def attempt() -> tuple[Tensor, Any]:
                with self.precision.block():
                    loss, output = self.task.loss(self.model, sent)
                    return loss, output if self.adversary is None else self.task.logits(output, sent)

            if self.adversary is not None:
                loss, gradients = self.adversary(attempt, share, parameters)
                return loss, loss, gradients
            loss = attempt()[0] * share
            return self.precision.scaler.scale(loss), loss.detach()

        parts = [lambda b=b, w=w: part(b, w) for b, w in zip(micro, weights, strict=True)]
        seed = (s.seed, self.step)
        return [loss for _, loss in workers.backward(parameters, parts, seed, rows, self.team.buckets)]

    def read(self) -> None:
        """The losses since the last evaluation as numbers (a GPU may still be computing them); an error if one is not finite."""
        first = self.step - len(self.recent)
        unread = [i for i, parts in enumerate(self.recent) if not isinstance(parts, float)]
        read = self.team.losses([math.fsum(part.item() for part in self.recent[i]) for i in unread])
        for i, loss in zip(unread, read, strict=True):
            self.recent[i] = loss
            if not math.isfinite(loss):
                self.refuse_loss(loss, first + i)

    def refuse_loss(self, loss: float, step: int) -> None:
        """Stop: weights with a non-finite loss cannot learn, and must not be kept as the best."""
        lr = self.s.lr
        if step == self.begun:
            raise BadInput(f"{self.source}: the loss is {loss} before the first step: the weights are damaged")
        raise BadInput(f"the loss became {loss} at step {step}: the rate {lr} is too high here; try --lr {lr / 3:.1g}")

    # ---- the state to resume from

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, apart from settings and data."""
        reached = {name: getattr(self, name) for name in REACHED}
        return {**reached, **states.moving_parts(self.model, self.optimizer, self.schedule, self.precision.scaler)}

    def go_on_from(self, path: Path, state: dict[str, Any]) -> None:
        """Continue from a state that read_training has read."""
        if state["step"] > self.steps:
            raise BadInput(f"{path}: step {state['step']:,}, but this run has {count(self.steps, 'step')}")
        states.restore(path, state, self.model, self.optimizer, self.schedule, self.precision.scaler)
        for name in REACHED:
            setattr(self, name, state[name])
        self.begun, self.source = self.step, str(path)

    # ---- evaluation

    def answer(self, features: Sequence[Any], workers: Workers | None = None, bar: Any = None) -> tuple[list[Any], float]:
        """The rows of all features in their order, and the mean loss (nan without labels). The bar counts features."""
        self.model.eval()
        rows: dict[int, Any] = {}
        batches = Batches(features, self.s.batch_size, 0, self.task.groups(features)).epoch(0)
        labelled = bool(features) and features[0].target is not None

        def one(chosen: Any) -> tuple[float, float]:
            some = [features[i] for i in chosen]
            batch = self.task.batch(some, self.tokenizer)
            with minitorch.no_grad(), self.precision.block():
                sent = to_device(batch, self.model, self.s.device)
                loss, output = self.task.loss(self.model, sent) if labelled else (None, self.model(**sent))
            for i, row in zip(chosen, self.task.rows(output, some), strict=True):
                rows[int(i)] = row
            if bar is not None:
                bar.update(len(some))
            weight = self.task.weight(batch) if loss is not None else 0.0
            return loss.item() * weight if loss is not None else 0.0, weight

        mine = ranks.own(batches)
        sums = np.array(list(map(one, mine) if workers is None else workers.map(one, mine))).reshape(-1, 2)
        self.model.train()
        rows, (loss, weight) = ranks.merged(rows), ranks.totals(*sums.sum(0))
        return [rows[i] for i in range(len(features))], loss / weight if labelled else float("nan")

    def evaluate(self, workers: Workers | None = None) -> None:
        """One line of metrics, and the best checkpoint kept; without dev examples the last one is the best."""
        line: dict[str, Any] = {"step": self.step, "epoch": round(self.step / self.batches.count, 3)}
        line.update(loss=float(np.mean(self.recent)), lr=self.schedule.get_last_lr()[0])
        self.before, self.recent = [*self.before, *self.recent][-RUNNING:], []
        better = learning = True
        if self.dev:
            rows, loss = self.answer(self.dev_features, workers)
            if not math.isfinite(loss):
                self.refuse_loss(loss, self.step)
            scores = self.task.score(self.dev, self.task.predictions(self.dev, self.dev_features, rows))
            scores["loss"] = loss
            value = scores[self.metric]
            line.update({f"dev_{name}": x for name, x in scores.items() if isinstance(x, float)}, dev_metric=value)
            better = self.is_better(value, loss)
            learning = better or loss < min(line["dev_loss"] for line in self.metrics)  # maybe with the score on a plateau
            self.best = value if better else self.best
        self.stale = 0 if learning else self.stale + 1
        self.metrics.append({**line, "best": better})
        if better:
            self.on_best()

    def settled(self, step: int) -> bool:
        """Was the model then as small as was asked for? With AdaLoRA ranks fall away, and a checkpoint with more is not kept."""
        return not hasattr(self.model, "settled") or self.model.settled(step)

    def is_better(self, value: float, loss: float) -> bool:
        """Better than the best evaluation so far: by the metric; where that ties, as is usual on few examples, by the loss."""
        if self.best is None or not self.settled(self.last_best["step"]):
            return True
        sign = -1 if self.metric in self.task.smaller_is_better else 1
        return (sign * value, -loss) > (sign * self.best, -self.last_best["dev_loss"])

    def check_metric(self) -> None:
        """Refuse a --metric that the task does not have, before an epoch is spent."""
        if self.dev:
            few = self.dev[:2]
            features = self.task.features(few, self.tokenizer)
            rows, loss = self.answer(features)
            scores = {**self.task.score(few, self.task.predictions(few, features, rows)), "loss": loss}
            names = [name for name, x in scores.items() if isinstance(x, float)]
            if self.metric not in names:
                raise BadInput(f"--metric {self.metric}: there is no such metric for this task; there are {', '.join(names)}")
            if not math.isfinite(scores[self.metric]):
                few_ones = count(len(self.dev), "dev example")
                raise BadInput(f"--metric {self.metric} cannot be computed from {few_ones}; take another")

    def report_on(self, examples: list[Any], label: str = "") -> tuple[list[Any], dict[str, Any], Any]:
        """Predictions, scores, and the cost of answering, from text to answer: (seconds, CPU seconds)."""
        started = clocks()
        features = self.task.features(examples, self.tokenizer)
        with Workers(self.s.workers) as workers, progress(len(features), 0, "text") as bar:
            bar.set_description_str(label)
            rows, loss = self.answer(features, workers, bar)
        predictions = self.task.predictions(examples, features, rows)
        spent = clocks() - started
        return predictions, {**self.task.score(examples, predictions), "loss": loss}, spent


def rows_of(batch: dict[str, Tensor], n: int, first: int, stop: int) -> dict[str, Tensor]:
    """Examples first ... stop-1 of a batch of n; a value may have several rows for each."""
    each = {name: len(value) // n for name, value in batch.items()}
    return {name: value[first * each[name] : stop * each[name]] for name, value in batch.items()}


def read_training(path: Path, kind: str, settings: Any) -> dict[str, Any]:
    """A saved state of a trainer, of a run of this kind with settings of this class; BadInput if it is none."""
    state = states.read_state(path, COUNTED, kind, settings)
    best, lines = state.get("best"), state["metrics"]
    for i, line in enumerate(lines):
        known = {name: line.get(name) for name in LINE} if isinstance(line, dict) else line
        states.check_like(path, f"metrics.{i}", known, LINE)
        if not all(isinstance(value, float | int) for value in line.values()):
            raise BadInput(f"{path}: metrics.{i} holds more than numbers")
    states.check_lines(path, state, "recent", 0.0)
    if best is not None:
        states.check_like(path, "best", best, 0.0)
    if best is not None and "dev_metric" not in (lines or [{}])[-1]:
        raise BadInput(f"{path}: best is {best}, but no evaluation says so")
    return {**state, "best": best, "recent": [float(loss) for loss in state["recent"]]}
