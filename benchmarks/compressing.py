"""What is left of a model without some of its heads, and of a student with and without its teacher: over several seeds.

    python -m benchmarks.compressing --model FOLDER --data FILE --test FILE [--extra FILE] [--seeds 3] [--output FOLDER]

FOLDER is what `minitorch finetune` wrote. Students: with the teacher; with its weights to start from and labels alone; with
labels alone from random weights. Heads: from 10 to 90 %, a tenth at a time, by importance and at random. The same options as
`minitorch compress` apply. A part that is finished is not repeated, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import startup

if __name__ == "__main__":
    startup.prepare()  # before NumPy is imported

import numpy as np

from minitorch.files import write_text
from models.compressing import heads
from models.compressing.settings import Settings
from models.compressing.subject import Subject
from models.compressing.training import Distillation
from models.errors import BadInput
from models.reading import read_json
from models.training.settings import add_options, given

from .machine import describe

STUDENTS: dict[str, dict[str, Any]] = {
    "teacher": {},
    "its weights, labels alone": {"alpha": 0.0, "extra": ""},
    "random weights, labels alone": {"alpha": 0.0, "extra": "", "start": "random"},
}
SHARES = [i / 10 for i in range(1, 10)]


def main() -> int:
    """Measure what is not measured yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    add_options(parser, Settings, skip=("teacher", "heads", "weights", "layers", "int8", "ladder", "seed", "start"))
    args = parser.parse_args()
    chosen = {"student": "tiny", "output": "runs/benchmarks/compressing", "threads": 1, **given(args, Settings)}
    try:
        everything(chosen, args.seeds)
    except BadInput as error:
        parser.error(str(error))
    return 0


def everything(chosen: dict[str, Any], seeds: int) -> None:
    """All students, then all heads."""
    base = Path(chosen["output"])
    base.mkdir(parents=True, exist_ok=True)
    path = base / "compressing.json"
    found: dict[str, Any] = read_json(path) if path.is_file() else {"machine": describe(), "command": " ".join(sys.argv[1:])}
    subject = Subject(chosen["model"], threads=1)
    jobs: dict[str, Callable[[], Any]] = {
        f"student: {name}, seed {seed}": lambda own=own, seed=seed: student(subject, {**chosen, **own, "seed": seed})
        for seed in range(seeds)
        for name, own in STUDENTS.items()
    }
    for seed in range(seeds):
        for by in ("importance", "random"):
            jobs[f"heads: {by}, seed {seed}"] = lambda by=by, seed=seed: pruned(chosen, by, seed)
    for name, job in jobs.items():
        if name not in found:
            started = time.perf_counter()
            found[name] = job()
            print(f"{name}: {found[name]} ({time.perf_counter() - started:.0f} s)", flush=True)
            write_text(path, json.dumps(found, indent=1) + "\n")
    text = table(found, seeds)
    write_text(base / "compressing.txt", text + "\n")
    print(text)


def student(subject: Subject, own: dict[str, Any]) -> dict[str, Any]:
    """A student's score on the test file, its parameters, and the CPU seconds of its training."""
    folder = Path(own["output"]) / f"student {own['seed']} {own.get('start', 'teacher')} {own.get('alpha', 'teacher')}"
    s = Settings(**{**own, "teacher": own["model"], "model": "", "output": str(folder)})
    s.check()
    settings = dataclasses.replace(subject.training_settings(s), compare="none")
    run = Distillation(settings, subject, s, say=lambda text: None)
    run.train()
    _, scores, _ = run.trainer.report_on(run.data.test)
    found = {"score": scores[run.trainer.metric], "parameters": run.model.num_parameters()}
    return found | {"cpu_seconds": round(float(run.trainer.processor_seconds), 1)}


def pruned(chosen: dict[str, Any], by: str, seed: int) -> list[float]:
    """The score with 0, 10, ..., 90 % of the heads gone; importance is measured on examples drawn by the seed."""
    subject = Subject(chosen["model"], threads=1)
    data, test = subject.read(chosen["data"]), subject.read(chosen["test"])
    rng = np.random.default_rng([seed, 23])
    some = [data[i] for i in rng.permutation(len(data))[: chosen.get("examples", Settings.examples)]]

    def measure(model: Any) -> list[Any]:
        if by == "random":
            return [rng.random(model.config.heads_of(i)) for i in range(model.config.num_hidden_layers)]
        return heads.importance(model, subject.losses(some))

    found = [subject.score(test, by)[1]]
    for share in SHARES:
        heads.prune_share(subject.model, share, measure)
        found.append(subject.score(test, by)[1])
    return found


def table(found: dict[str, Any], seeds: int) -> str:
    """Means and all seeds."""
    lines = ["student, taught by             score  seeds                     parameters"]
    for name in STUDENTS:
        runs = [found[f"student: {name}, seed {seed}"] for seed in range(seeds)]
        scores = [r["score"] for r in runs]
        each = " ".join(f"{x:.4f}" for x in scores)
        lines.append(f"{name:30} {statistics.mean(scores):.4f}  {each:24} {runs[0]['parameters']:>12,}")
    lines += ["", "heads gone " + "".join(f"{share:>8.0%}" for share in [0, *SHARES])]
    for by in ("importance", "random"):
        rows = [found[f"heads: {by}, seed {seed}"] for seed in range(seeds)]
        lines.append(f"{by:11}" + "".join(f"{statistics.mean(column):8.3f}" for column in zip(*rows, strict=True)))
        lines += [f"  seed {i:<4}" + "".join(f"{x:8.3f}" for x in row) for i, row in enumerate(rows)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
