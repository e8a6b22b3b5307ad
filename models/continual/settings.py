"""The settings of ``minitorch continual``.

Read before: models/finetuning/tasks.py. Read next: stream.py.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from inspect import get_annotations
from itertools import permutations
from typing import Any

import numpy as np

from ..adapting.choosing import METHODS, OPTIONS, config_for
from ..errors import BadInput, suggestion
from ..finetuning.tasks import Settings as FinetuneSettings
from ..training.settings import flag, option
from .fisher import KINDS

SETTINGS = ("domain", "task", "class")
STRATEGIES = ("sequential", "ewc", "online-ewc", "replay", "lwf", "adapters", "joint")
USED = (  # of finetune's own settings; it may get others, which mean nothing here
    "model", "text", "pair", "label", "columns", "delimiter", "targets", "min_examples", "encoding", "length", "truncate",
    "epochs", "warmup", "freeze", "rank", "alpha", "adapt_layers", "bottleneck", "virtual_tokens", "save_every",
)  # fmt: skip


@dataclass
class Settings(FinetuneSettings):
    """Those of ``minitorch finetune`` that classify one task after another, and these."""

    tasks: list[str] = option([], "files with the tasks' examples, in the order to learn them", "Python's documentation")
    test: list[str] = option([], "files to measure the tasks on, as many, in the same order", "a share of each task")  # type: ignore[assignment]
    setting: str = option("domain", "tasks share their labels (domain), are named at test (task), or bring new classes (class)")
    strategy: list[str] = option(["all"], f"all, or some of {', '.join(STRATEGIES)}", "all")
    orders: int = option(1, "orders of the tasks to average over: as given, then every task first in turn, then random ones")
    seeds: int = option(1, "how many seeds to average over, from --seed on")
    validation: float = option(0.2, "share of each task to hold out and measure on, if there is no --test")
    examples: int = option(0, "learn from at most this many examples of a task; 0: all")
    test_examples: int = option(0, "measure on at most this many of a task; 0: all")
    memory: int = option(200, "replay: examples that it keeps, of all tasks together")
    ewc_lambda: float = option(1e6, "ewc: λ, the weight of the penalty λ/2 Σ F (θ - θ*)²", "1e6")
    gamma: float = option(0.9, "online-ewc: γ of F <- γ F + the new task's F")
    fisher: str = option("sampled", f"ewc: how F is estimated: {', '.join(KINDS)}")
    fisher_examples: int = option(200, "ewc: training examples of a task that F is estimated from")
    lwf_alpha: float = option(1.0, "lwf: α, the weight of KL(old answers ‖ new answers)")
    temperature: float = option(2.0, "lwf: T, by which logits are divided first")
    adapt: str = option("lora", f"adapters: their method: {', '.join(METHODS)}")
    adapter_lr: float = option(None, "adapters: highest learning rate", "one that suits the method")
    lr: float = option(None, "highest learning rate of all other strategies", "5e-5")
    save: list[str] = option([], "keep the models of these strategies, as the first seed and order leave them, for predict")
    output: str = option("runs/continual", "folder for the report, the pictures and the state to resume from")

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is read."""
        super().check()
        self.check_values(
            **dict.fromkeys(("memory", "fisher_examples"), (1, math.inf)),
            **dict.fromkeys(("orders", "seeds"), (1, 1000)),
            **dict.fromkeys(("examples", "test_examples"), (0, math.inf)),
            **dict.fromkeys(("ewc_lambda", "lwf_alpha"), (0, 1e15)),
            gamma=(0, 1),
            temperature=(1e-3, 1e3),
            validation=(0.01, 0.9),
            adapter_lr=(1e-12, 1e12),
        )
        for name, allowed in (("setting", SETTINGS), ("fisher", KINDS)):
            if getattr(self, name) not in allowed:
                raise BadInput(f"{flag(name)} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        self.strategy = chosen_strategies("strategy", self.strategy)
        self.check_save()
        if self.test and not self.tasks:
            raise BadInput("--test needs --tasks: the examples to learn from")

    def check_save(self) -> None:
        """Strategies that run, and that end with one model."""
        one = [name for name in self.strategy if name != "adapters"]
        self.save = one if "all" in self.save else chosen_strategies("save", self.save) if self.save else []
        if "adapters" in self.save:
            raise BadInput("--save adapters: an adapter per task is no model that answers alone; `finetune --adapt` trains one")
        if absent := [name for name in self.save if name not in self.strategy]:
            raise BadInput(f"--save {absent[0]}: --strategy does not run it; it runs {', '.join(self.strategy)}")

    def check_adapt(self) -> None:
        """The rates, if none are given."""
        suits = config_for(self).rate
        self.lr = 5e-5 if self.lr is None else self.lr
        self.adapter_lr = suits if self.adapter_lr is None else self.adapter_lr

    def of(self, strategy: str, seed: int) -> Settings:
        """The settings of one run: --adapt and its options are for the adapters alone, --freeze for the others."""
        if strategy == "adapters":
            return dataclasses.replace(self, seed=self.seed + seed, lr=self.adapter_lr, freeze=0)
        plain = {name: getattr(FinetuneSettings, name) for name in ("adapt", *OPTIONS)}
        return dataclasses.replace(self, seed=self.seed + seed, **plain)


OTHERS = get_annotations(FinetuneSettings).keys() - get_annotations(Settings).keys() - set(USED)
UNUSED = ("eval_every", "wire", "local_steps", *OTHERS)


def chosen_strategies(option: str, given: list[str]) -> list[str]:
    """The names of --strategy or --save, with spaces or commas between them, each once; "all" of them."""
    names = [name for word in given for name in word.split(",") if name]
    for name in names:
        if name not in (*STRATEGIES, "all"):
            near = f"; did you mean {near}?" if (near := suggestion(name, STRATEGIES)) else "."
            raise BadInput(f"--{option} {name}: there is no such strategy{near} There are {', '.join(STRATEGIES)}, and all")
    if not names:
        raise BadInput(f"--{option} is empty: all, or some of {', '.join(STRATEGIES)}")
    return list(STRATEGIES) if "all" in names else list(dict.fromkeys(names))


def orders_of(tasks: int, wanted: int) -> list[list[int]]:
    """So many orders of 0, 1, ...: as given; turned round, so that each task comes first, second, ... once; then random ones."""
    most = math.factorial(tasks)
    if wanted > most:
        raise BadInput(f"--orders {wanted}: {tasks} tasks have only {most} orders")
    found = [[*range(i, tasks), *range(i)] for i in range(min(tasks, wanted))]
    rng: Any = np.random.default_rng(0)
    if wanted > most // 2:
        others = [list(order) for order in permutations(range(tasks)) if list(order) not in found]
        return found + [others[i] for i in rng.permutation(len(others))[: wanted - len(found)]]
    while len(found) < wanted:
        order = rng.permutation(tasks).tolist()
        found += [] if order in found else [order]
    return found
