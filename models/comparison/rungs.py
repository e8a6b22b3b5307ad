"""The rungs of the ladder, for each task: from the majority class to BERT, in the order in which they run.

Read before: models/classical/pipeline.py, bert.py. Read next: contest.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from ..adapting.choosing import METHODS
from ..classical import pipeline
from ..classical.baselines import Baseline
from ..classical.featured_crf import HandMadeCRF
from ..classical.pipeline import Rung
from ..errors import BadInput
from .bert import STEPS, Frozen, Pace, Tuned, Vectors
from .cloze import ClozeRung
from .networks import networks
from .settings import Problem
from .tables import for_tables

KINDS = {"rules": "no learning, or rules", "words": "traditional", "BERT": "pretrained BERT", "neural": "neural, from nothing"}


@dataclass(frozen=True)
class Step(Rung):
    """A rung with its kind (of KINDS), and the seconds that n training and m other examples take (None: few; 0: unknown)."""

    kind: str = "words"
    seconds: Callable[[int, int], float] | None = None
    vectors: Vectors | None = None
    needs_model: bool = False


def steps_for(problem: Problem) -> list[Step]:
    """All rungs of the task, cheap ones first, without those that --skip names."""
    task, s = problem.task, problem.s
    if task.name == "table":
        rungs = for_tables(task, problem.data.dev, len(problem.data.train))
    elif task.name == "classify":
        rungs = [*simplest(task, 1), *pipeline.for_texts(task)]
    else:
        rungs = simplest(task)
    if task.name == "tag":
        rungs.append(Rung("CRF on hand-made features", HandMadeCRF, "c", (0.1, 0.01)))
    found = [Step(r.name, r.make, r.setting, r.grid, kind_of(r.name)) for r in rungs]
    found += [
        Step(r.name, r.make, r.setting, r.grid, "neural", lambda n, m: 0.0)
        for r in networks(task, problem.data.dev, len(problem.data.train))
    ]
    found += with_bert(problem)
    away = left_out(s.skip, [r.name for r in found])
    if len(away) == len(found):
        raise BadInput(f"--skip {s.skip}: no rung is left")
    if away:
        task.notes.append(f"left out: {'; '.join(r.name for r in found if r.name in away)}")
    return [r for r in found if r.name not in away]


def left_out(skip: str, names: list[str]) -> set[str]:
    """The rungs that --skip names: of each name the rung, or else of each word those that have it in their names."""
    known = {name.casefold(): name for name in names}
    found: set[str] = set()
    for word in words_of(skip.casefold(), known):
        meant = {known[word]} if word in known else {name for name in names if word in name.casefold()}
        if not meant:
            raise BadInput(f"--skip {word}: no rung has that in its name; there are {'; '.join(names)}")
        found |= meant
    return found


def words_of(skip: str, known: Container[str]) -> list[str]:
    """The parts between semicolons or commas; a name that is known may hold commas itself."""
    words = []
    for part in skip.split(";"):
        pieces = [piece.strip() for piece in part.split(",")]
        while pieces:
            n = next((n for n in range(len(pieces), 1, -1) if ", ".join(pieces[:n]) in known), 1)
            words.append(", ".join(pieces[:n]))
            del pieces[:n]
    return [word for word in words if word]


def simplest(task: Any, most: int | None = None) -> list[Rung]:
    """The alternatives that finetune's report knows, with nothing to tune."""
    return [Rung(name, lambda value, make=make: make()) for name, make in list(task.baselines().items())[:most]]


def kind_of(name: str) -> str:
    """The kind of a rung that needs no checkpoint."""
    rules = ("majority", "mean", "most frequent", "keyword rules", "nearest sentence", "most similar")
    return "rules" if any(word in name for word in rules) else "neural" if "neural" in name else "words"


def with_bert(problem: Problem) -> list[Step]:
    """Those that need a checkpoint; without one they can be named, but not run."""
    s, task, cost = problem.s, problem.task, Cost(problem)
    steps: list[Step] = []

    def add(
        name: str, make: Callable[[Any], Baseline], setting: str, grid: Sequence[Any], kind: str = "BERT", **more: Any
    ) -> None:
        steps.append(Step(name, make, setting, grid, kind, more.pop("seconds", cost.training), needs_model=True, **more))

    def rates(usual: float) -> tuple[float, ...]:
        return (usual, float(f"{3 * usual:.1g}"))

    whole = (s.lr,) if s.lr_given else rates(s.lr)
    if task.name in ("classify", "table"):
        vectors = Vectors(problem)
        once: dict[str, Any] = {"seconds": lambda n, m: 0.0 if vectors.known else cost.answering(n, m), "vectors": vectors}
        near = lambda k: pipeline.Neighbours(vectors, task, k, vectors.load())  # noqa: E731
        add("nearest neighbours on BERT's vectors", near, "k", (10, 3, 30), **once)
        add("BERT frozen, a linear head", lambda C: Frozen(vectors, task, C), "C", (10.0, 1.0, 100.0), **once)
    else:
        add("BERT frozen, a linear head", lambda lr: Tuned(problem, lr, "head"), "rate", rates(METHODS["head"](s).rate))
    add("BERT fine-tuned", lambda lr: Tuned(problem, lr), "rate", whole)
    add("BERT with LoRA", lambda lr: Tuned(problem, lr, "lora"), "rate", rates(METHODS["lora"](s).rate))
    if task.name == "classify" and task.targets == "classes":
        add("BERT asked for a word (cloze)", lambda lr: ClozeRung(problem, lr), "rate", whole)
    add("the same BERT from random weights", lambda lr: Tuned(problem, lr, random=True), "rate", whole, "neural")
    return steps


class Cost:
    """The seconds that BERT will take for n training and m other examples; its pace is measured when first asked for."""

    def __init__(self, problem: Problem) -> None:
        self.p = problem

    @functools.cached_property
    def pace(self) -> Pace:
        """Of a batch."""
        return Pace(self.p)

    def training(self, n: int, m: int) -> float:
        """To train it, with an evaluation per epoch."""
        s = self.p.s
        shown = max(n * s.epochs, STEPS * min(n, s.batch_size))
        return shown * self.pace.train + (m + s.epochs * len(self.p.data.dev)) * self.pace.answer

    def answering(self, n: int, m: int) -> float:
        """To read all examples once."""
        return (n + m + len(self.p.data.dev)) * self.pace.answer
