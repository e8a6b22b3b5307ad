"""The rungs of the ladder, for each task: from the majority class to BERT, in the order in which they run.

Read before: models/classical/pipeline.py, bert.py. Read next: contest.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..adapting.choosing import METHODS
from ..classical import pipeline
from ..classical.pipeline import Rung
from ..errors import BadInput
from .bert import STEPS, Frozen, Pace, Tuned, Vectors
from .settings import Problem
from .tables import for_tables

KINDS = {"rules": "no learning, or rules", "words": "traditional", "BERT": "pretrained BERT", "neural": "neural, from nothing"}


@dataclass(frozen=True)
class Step(Rung):
    """A rung with its kind (of KINDS), and the seconds that n training and m other examples take; None: too few to ask."""

    kind: str = "words"
    seconds: Callable[[int, int], float] | None = None
    vectors: Vectors | None = None


def steps_for(problem: Problem) -> list[Step]:
    """All rungs of the task, cheap ones first, without those that --skip names."""
    task, s = problem.task, problem.s
    if task.name == "table":
        rungs = for_tables(task, problem.data.dev, len(problem.data.train))
    elif task.name == "classify":
        rungs = [*simplest(task, 1), *pipeline.for_texts(task)]
    else:
        rungs = simplest(task)
    found = [Step(r.name, r.make, r.setting, r.grid, kind_of(r.name)) for r in rungs]
    found += with_bert(problem)
    words = [word.strip().casefold() for word in s.skip.split(",") if word.strip()]
    for word in words:
        if not any(word in r.name.casefold() for r in found):
            raise BadInput(f"--skip {word}: no rung has that in its name; there are {', '.join(r.name for r in found)}")
    kept = [r for r in found if not any(word in r.name.casefold() for word in words)]
    if not kept:
        raise BadInput(f"--skip {s.skip}: no rung is left")
    return kept


def simplest(task: Any, most: int | None = None) -> list[Rung]:
    """The alternatives that finetune's report knows, with nothing to tune."""
    return [Rung(name, lambda value, make=make: make()) for name, make in list(task.baselines().items())[:most]]


def kind_of(name: str) -> str:
    """The kind of a rung that needs no checkpoint."""
    rules = ("majority", "mean", "most frequent", "keyword rules", "nearest sentence", "most similar")
    return "rules" if any(word in name for word in rules) else "neural" if "neural" in name else "words"


def with_bert(problem: Problem) -> list[Step]:
    """Those that need a checkpoint; without one they can be named, but not run."""
    s, task = problem.s, problem.task
    pace: list[Pace] = []

    def rates(usual: float) -> tuple[float, ...]:
        return (usual, float(f"{3 * usual:.1g}"))

    whole = (s.lr,) if s.lr_given else rates(s.lr)

    def training(n: int, m: int) -> float:
        if not pace:
            pace.append(Pace(problem))
        shown = max(n * s.epochs, STEPS * min(n, s.batch_size))
        return shown * pace[0].train + (m + s.epochs * len(problem.data.dev)) * pace[0].answer

    def answering(n: int, m: int) -> float:
        training(0, 0)
        return (n + m + len(problem.data.dev)) * pace[0].answer

    steps = []
    if task.name in ("classify", "table"):
        vectors = Vectors(problem)
        near = lambda k: pipeline.Neighbours(vectors, task, k, vectors.load())  # noqa: E731
        steps.append(Step("nearest neighbours on BERT's vectors", near, "k", (10, 3, 30), "BERT", answering, vectors))
        head = lambda C: Frozen(vectors, task, C)  # noqa: E731
        steps.append(Step("BERT frozen, a linear head", head, "C", (10.0, 1.0, 100.0), "BERT", answering, vectors))
    elif task.name != "relation":
        head = lambda lr: Tuned(problem, lr, "head")  # noqa: E731
        steps.append(Step("BERT frozen, a linear head", head, "rate", rates(METHODS["head"](s).rate), "BERT", training))
    steps.append(Step("BERT fine-tuned", lambda lr: Tuned(problem, lr), "rate", whole, "BERT", training))
    if task.name != "relation":
        steps.append(
            Step(
                "BERT with LoRA", lambda lr: Tuned(problem, lr, "lora"), "rate", rates(METHODS["lora"](s).rate), "BERT", training
            )
        )
    steps.append(
        Step(
            "the same BERT from random weights",
            lambda lr: Tuned(problem, lr, random=True),
            "rate",
            whole,
            "neural",
            training,
        )
    )
    return steps
