"""The contest: every rung on one split, by one metric, within the budget; what is done is kept after each rung.

    cheap rungs on all examples ─ their learning curves ─ BERT's rungs on all examples ─ their learning curves

A rung that fails, or for which too little time is left, is a line with its reason. Tuning looks at the held-out examples alone,
and is part of a rung's cost. With --resume finished rungs are taken as they are, and the others get a new budget.
Read before: rungs.py, measuring.py. Read next: page.py.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..errors import short
from ..finetuning.report import warm_up
from ..text.labelled import as_json
from ..training.loop import clocks, prepare_kernels
from .measuring import evidence, folded
from .noise import LEVELS, with_typos
from .reasons import reasons_of, telling
from .rungs import Step, steps_for
from .settings import Problem, subset

RECORD = "report.json"
SIZES = (10, 30, 100, 300, 1000)
FOR_PAGE = 8.0  # seconds that are kept for the tests and for drawing the page; at most a third of the budget
FOR_ONE = 0.6  # share of the time left that one rung may take while others wait
FOR_CHEAP_CURVES = 0.2  # share of the time left that the cheap rungs' learning curves may take


class OutOfTime(BaseException):
    """The budget is used up; no "except Exception" of a library may swallow it."""


class Clock:
    """What is left of the budget, in seconds, which is set once the settings are read."""

    budget = 0.0

    def __init__(self) -> None:
        self.begun = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self.begun

    @property
    def left(self) -> float:
        """Seconds for rungs."""
        return self.budget - min(FOR_PAGE, self.budget / 3) - self.spent

    @contextlib.contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Raise OutOfTime in the block when so many seconds have passed: at Python's next step, as Ctrl-C does."""
        if seconds <= 0:
            raise OutOfTime
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(*_: Any) -> None:
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class Contest:
    """Runs the rungs and fills ``state``, the page's content: {rungs: {name: record}, curve: {name: {n: scores}}, ...}."""

    def __init__(self, problem: Problem, folder: Path, state: dict[str, Any], clock: Clock, say: Callable[[str], None]) -> None:
        self.p, self.folder, self.state, self.clock, self.say = problem, folder, state, clock, say
        self.steps = steps_for(problem)
        self.state["order"] = [step.name for step in self.steps]
        self.told = telling(problem.task, problem.data.test)
        test, seed = problem.data.test, problem.s.seed
        self.spoilt = {share: e for share in LEVELS if (e := with_typos(problem.task, test, share, seed))}

    def run(self) -> None:
        """All of it, as far as the budget reaches."""
        cheap = [step for step in self.steps if step.seconds is None]
        dear = [step for step in self.steps if step.seconds is not None]
        for group, threads in ((cheap, one_thread), (dear, contextlib.nullcontext)):
            with threads():
                for i, step in enumerate(group):
                    self.one(step, group[i + 1 :], share=1 / (len(group) - i) if group is dear else 1.0)
                self.curves(group, self.clock.left * (FOR_CHEAP_CURVES if group is cheap and dear else 1.0))

    def save(self) -> None:
        """Keep what is done."""
        self.state["seconds"] = round(self.clock.spent, 1)
        write_text(self.folder / RECORD, as_json(self.state, 1) + "\n")

    # ---- a rung on all examples

    def one(self, step: Step, later: list[Step], share: float) -> None:
        """Run a rung, unless it is done, and keep its record."""
        done = self.state["rungs"].get(step.name, {})
        if done.get("status") == "done":
            return
        at = f"{self.clock.spent / 60:.1f} of {self.p.s.budget:g} min"
        following = f"; next: {later[0].name}" if later else ""
        self.say(f"[{at}] {self.steps.index(step) + 1} of {len(self.steps)}: {step.name}{following}")
        record: dict[str, Any] = {"kind": step.kind}
        if step.needs_model and self.p.no_model:
            record |= {"status": "left out", "reason": self.p.no_model}
        else:
            limit = self.clock.left * (FOR_ONE if later and step.seconds else 1)
            record |= self.guarded(lambda: self.judged(step, share, limit), limit)
        if record["status"] != "done":
            self.say(f"    {record['status']}: {record['reason']}")
        self.state["rungs"][step.name] = record
        self.save()

    def guarded(self, work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any]:
        """Its result; or why there is none."""
        try:
            with self.clock.limit(seconds), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scikit-learn, on subsets that lack a label and the like
                return work()
        except OutOfTime as error:
            reason = str(error) or f"the budget of {self.p.s.budget:g} min ended before it was done"
            return {"status": "out of time", "reason": reason}
        except MemoryError:
            return {"status": "failed", "reason": "not enough memory"}
        except Exception as error:
            return {"status": "failed", "reason": short(str(error).partition("\n")[0] or type(error).__name__, 200)}

    def judged(self, step: Step, share: float, limit: float) -> dict[str, Any]:
        """Tune, train, answer; the record of it all."""
        p, task = self.p, self.p.task
        train, dev, test = p.data.train, p.data.dev, p.data.test
        if step.seconds is not None:
            prepare_kernels(p.s.device)  # before its clock runs
        grid = self.affordable(step, share, limit)
        if step.vectors is not None:
            step.vectors.begin()
        if step.seconds is None:
            warm_up(lambda: step.make(grid[0]), train, test)
        started, tried, best, model = clocks(), [], -math.inf, None
        for value in grid:
            candidate = step.make(value).fit(train)
            score = self.score(dev, candidate.predict(dev)) if len(grid) > 1 else None
            tried.append([value, score])
            if model is None or (score is not None and score > best):
                best, model, chosen = -math.inf if score is None else score, candidate, value
        fitted, paid = clocks(), debt(step)
        predictions = model.predict(test)
        cost, answering = fitted - started + paid, clocks() - fitted + debt(step) - paid
        metric, counts = evidence(task, test, predictions)
        if not math.isfinite(float(folded(counts.sum(0)))):
            raise ValueError(f"{metric} cannot be computed from these answers")
        return {
            "status": "done",
            "metric": metric,
            "score": float(folded(counts.sum(0))),
            "setting": step.setting,
            "chosen": chosen,
            "tried": tried if len(grid) > 1 else [],
            "train_seconds": float(cost[0]),
            "train_cpu_seconds": float(cost[1]),
            "ms_per_answer": 1000 * float(answering[0]) / len(test),
            "cpu_ms_per_answer": 1000 * float(answering[1]) / len(test),
            "parameters": int(model.parameters),
            "bytes": int(model.size),
            "typos": {f"{share:g}": self.score(e, model.predict(e)) for share, e in self.spoilt.items()},
            "also": self.score(p.also, model.predict(p.also)) if p.also else None,
            "reasons": reasons_of(model, task, self.told),
            "counts": counts.round(9).tolist(),
            "answers": [answer_text(task, e, a) for e, a in zip(test, predictions, strict=True)],
        }

    def affordable(self, step: Step, share: float, limit: float) -> list[Any]:
        """The setting's values that fit into the rung's share of the time left; OutOfTime if not even one fits into the limit."""
        if step.seconds is None:
            return list(step.grid)
        p = self.p
        m = len(p.data.test) * (1 + len(self.spoilt)) + len(p.also) + 40 * len(self.told)
        once = step.seconds(len(p.data.train), m)
        if once > limit:
            raise OutOfTime(f"it would take about {minutes(once)}, and may take {minutes(limit)}")
        times = len(step.grid) if step.vectors is not None or not once else int(max(1, self.clock.left * share // once))
        return list(step.grid[:times])

    def score(self, examples: list[Any], predictions: list[Any]) -> float | None:
        """The metric; None where it cannot be computed."""
        value = float(folded(evidence(self.p.task, examples, predictions)[1].sum(0)))
        return value if math.isfinite(value) else None

    # ---- learning curves

    def curves(self, steps: list[Step], seconds: float) -> None:
        """Score against number of examples: the same random subsets for all; draw by draw, so that what is there is even."""
        end = self.clock.spent + seconds
        sizes = [n for n in SIZES if n < len(self.p.data.train)]
        steps = [step for step in steps if not (step.needs_model and self.p.no_model)]
        for draw in range(self.p.s.draws if sizes and steps else 0):
            for n in sizes:
                for step in steps:
                    known = self.state["curve"].setdefault(step.name, {}).setdefault(str(n), [])
                    need = 0.0 if step.seconds is None else step.seconds(n, len(self.p.data.test))
                    if len(known) != draw or self.clock.spent + need > end:  # done before, or without time for an earlier draw
                        continue
                    found = self.guarded(lambda step=step, n=n, draw=draw: self.point(step, n, draw), end - self.clock.spent)  # type: ignore[misc]
                    if found["status"] != "out of time":
                        known.append(found.get("score"))  # None: these examples cannot be learnt from
                self.save()
                if self.clock.spent > end:
                    return
            self.say(
                f"[{self.clock.spent / 60:.1f} of {self.p.s.budget:g} min] learning curves: {draw + 1} of {self.p.s.draws} draws"
            )

    def point(self, step: Step, n: int, draw: int) -> dict[str, Any]:
        """The score after learning from n examples, by the setting that was chosen on all of them."""
        p = self.p
        part = subset(p.task, p.data.train, n, draw, p.s.seed)
        value = self.state["rungs"].get(step.name, {}).get("chosen", step.grid[0])
        numbers = getattr(p.task, "targets", "") == "numbers"
        try:
            if numbers:
                p.task.learn(part)  # the mean and the scale of these alone
            if step.vectors is not None:
                step.vectors.begin()
            return {"status": "done", "score": self.score(p.data.test, step.make(value).fit(part).predict(p.data.test))}
        finally:
            if numbers:
                p.task.learn(p.data.train)


def one_thread() -> Any:
    """For scikit-learn: on a busy machine OpenMP's threads wait for each other by computing, which would count as cost."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def debt(step: Step) -> Any:
    """What the rung owes for vectors that another one computed: (seconds, CPU seconds)."""
    return step.vectors.debt if step.vectors is not None else np.zeros(2)


def minutes(seconds: float) -> str:
    """ "40 s", "3 min" """
    return f"{max(0, seconds):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def answer_text(task: Any, example: Any, prediction: Any) -> str:
    """An answer for people, short."""
    record = task.shown(example, prediction)
    if "entities" in record:
        return short("; ".join(f"{e['type']}: {e['text']}" for e in record["entities"]) or "none", 120)
    found = record.get("prediction", record.get("tags"))
    found = f"{found:.6g}" if isinstance(found, float) else " ".join(found) if isinstance(found, list) else found
    return short(found, 120)
