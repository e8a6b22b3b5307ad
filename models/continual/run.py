"""One strategy on the tasks in one order, with one seed: learn, measure all tasks, go on; a state to resume from.

Read before: sequential.py, models/training/trainer.py. Read next: report.py.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minitorch
from minitorch.parallel import Workers

from ..errors import BadInput
from ..finetuning.trainer import make_model
from ..training.loop import clocks
from ..training.runs import STATE
from ..training.states import check_like
from ..training.trainer import Trainer, read_training
from .adapters import Adapters
from .ewc import EWC, OnlineEWC
from .joint import Joint
from .lwf import LwF
from .metrics import transfer
from .replay import Replay
from .sequential import Sequential
from .settings import Settings
from .stream import Data, Stream

KINDS: dict[str, type[Sequential]] = {k.name: k for k in (Sequential, EWC, OnlineEWC, Replay, LwF, Adapters, Joint)}
NEVER = 1 << 40  # steps from one evaluation to the next: tasks are measured when they are learnt


class Learner(Trainer):
    """A trainer whose batches get a strategy's rows added, and which chooses no checkpoint: the last one counts."""

    def __init__(self, strategy: Sequential, *parts: Any) -> None:
        super().__init__(*parts)
        self.strategy = strategy
        self.on_best = lambda: None

    def one_step(self, features: Any, workers: Workers) -> Any:
        return super().one_step([*features, *self.strategy.more(self.step)], workers)


class Run:
    """A strategy's way through the tasks. ``key``: (strategy, seed, order), in words."""

    def __init__(
        self,
        s: Settings,
        stream: Stream,
        data: Data,
        strategy: str,
        seed: int,
        order: list[int],
        folder: Path,
        say: Callable[[str], None] = print,
    ) -> None:
        self.all, self.s, self.data, self.order, self.path = s, s.of(strategy, seed), data, order, folder / STATE
        self.s.eval_every = NEVER
        self.key = key_of(strategy, seed, order)
        self.stream = copy.copy(stream)
        self.stream.s = self.s
        self.tokenizer, self.model = make_model(self.s, self.stream, say)
        self.strategy = KINDS[strategy](self)
        self.tests = [self.stream.features(items, self.tokenizer) for items in data.test]
        self.b: list[float] = []
        self.R: list[list[float]] = []
        self.cost, self.peak = clocks() * 0, 0
        self.state: dict[str, Any] = {}  # to go on from

    def go(self, label: str) -> dict[str, Any]:
        """Everything; the record of the run."""
        parts = self.strategy.parts()
        while len(self.R) < len(parts):
            i = len(self.R)
            name = "all tasks" if len(parts[i]) > 1 else f"{self.data.names[parts[i][0]]} ({i + 1} of {len(parts)})"
            trainer = self.prepared(parts, i)
            trainer.train(f"{label}: {name}")
            self.charge(lambda: self.strategy.after(i, trainer))  # noqa: B023
            self.cost += trainer.seconds, trainer.processor_seconds
            self.R.append(self.measured(trainer))
        T, one = len(self.order), {"accuracy": sum(self.R[-1]) / len(self.order)}
        return {
            "strategy": self.strategy.name, "seed": self.s.seed, "order": self.order, "b": self.b, "R": self.R,
            **(transfer(self.R, self.b) if len(self.R) == T else one),
            "seconds": float(self.cost[0]), "cpu_seconds": float(self.cost[1]), "bytes": self.peak,
        }  # fmt: skip

    def prepared(self, parts: list[list[int]], i: int) -> Learner:
        """The trainer of part i, at its start or where the state left it."""
        self.strategy.before(i)
        self.stream.open([])
        items = [item for task in parts[i] for item in self.data.train[task]]
        trainer = Learner(self.strategy, self.s, self.stream, self.tokenizer, self.model, items, [])
        trainer.on_state = lambda: self.save(trainer)
        if self.state:
            trainer.go_on_from(self.path, self.state)
            for name, allocator in self.allocators().items():
                allocator.load_state_dict(self.state.get("allocators", {}).get(name))
        elif i == 0:
            self.b = self.measured(trainer)
        self.stream.open([task for part in parts[: i + 1] for task in part])
        self.charge(lambda: self.strategy.begin(i, trainer))
        if not self.state:
            self.save(trainer)
        self.state = {}
        return trainer

    def charge(self, work: Callable[[], None]) -> None:
        """Do a strategy's own work: its time counts, and the bytes that it then keeps."""
        started = clocks()
        work()
        self.cost = self.cost + clocks() - started
        self.peak = max(self.peak, self.strategy.size())

    def measured(self, trainer: Learner) -> list[float]:
        """The share of right answers on each task, in the order of the run."""
        with Workers(self.s.workers) as workers:
            rows = [self.strategy.answer(trainer, self.tests[task], workers) for task in self.order]
        return [self.stream.right(self.tests[task], found) for task, found in zip(self.order, rows, strict=True)]

    def save(self, trainer: Learner) -> None:
        """All that the next step depends on, in one file that is complete or absent."""
        state = {"settings": dataclasses.asdict(self.all), "sha256": self.data.sha256, "run": self.key, **self.reached()}
        state["allocators"] = {name: allocator.state_dict() for name, allocator in self.allocators().items()}
        minitorch.save({**state, **trainer.state()}, self.path)

    def allocators(self) -> dict[str, Any]:
        """Those of AdaLoRA, an adapter's each."""
        return getattr(self.model, "allocators", {})

    def reached(self) -> dict[str, Any]:
        """The run's own part of the state."""
        cost = [float(self.cost[0]), float(self.cost[1])]
        return {"b": self.b, "R": self.R, "cost": cost, "peak": self.peak, "kept": self.strategy.kept}

    def go_on(self, state: dict[str, Any]) -> None:
        """Continue from a state of this run."""
        row = [0.0] * len(self.order)
        learnt = state["R"] if isinstance(state.get("R"), list) else []
        like = {"b": row, "R": [row] * min(len(learnt), len(self.strategy.parts()) - 1), "cost": [0.0, 0.0], "peak": 0}
        check_like(self.path, "run", {name: state.get(name) for name in like}, like)
        kept = state.get("kept")
        if not isinstance(kept, dict) or kept.keys() - {"old"} != self.strategy.kept.keys():
            raise BadInput(f"{self.path}: its kept is not what the strategy {self.strategy.name} keeps")
        self.b, self.R, self.cost, self.peak = state["b"], learnt, clocks() * 0 + state["cost"], state["peak"]
        self.strategy.kept, self.state = kept, state


def key_of(strategy: str, seed: int, order: list[int]) -> str:
    """A run's name in the record."""
    return f"{strategy}, seed {seed}, order {' '.join(str(task + 1) for task in order)}"


def read_state(path: Path) -> dict[str, Any]:
    """The state that Run.save wrote; or the short one of a sequence between two runs."""
    state = minitorch.load(path)
    return state if isinstance(state, dict) and state.get("run") == "" else read_training(path, "continual-learning", Settings)
