"""What augmentation brings with few examples, and what adversarial training costs and holds against an attack.

    python -m benchmarks.robustness augment --model FOLDER --train FILE --test FILE [--sizes 50,200,0] [--seeds 3]
    python -m benchmarks.robustness adversarial --model FOLDER --train FILE --test FILE [--sizes 400] [--attacked 50]

Options of `minitorch finetune classify` apply to every run. All ways make the same number of steps, one epoch at least (with
9 copies of 200 examples in batches of 8 that is 250: give --steps 250), from the same examples, drawn by each seed, and keep
the last weights: no held-out examples choose anything. A size of 0 is all examples. A finished run is not repeated, so the
same command goes on where it was stopped; the first seed of all ways comes first.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from models import startup

if __name__ == "__main__":
    startup.prepare()  # before NumPy is imported

import numpy as np

from minitorch.files import write_text
from minitorch.parallel import Workers
from models.adversarial import METHODS as ADVERSARIES
from models.attacking.attack import Attack
from models.attacking.changes import WAYS, make_change
from models.augmenting import METHODS as AUGMENTATIONS
from models.bert.use import has_head
from models.comparison.settings import subset
from models.errors import BadInput
from models.finetuning.calibration import measures
from models.finetuning.run import Run
from models.finetuning.tasks import Settings
from models.reading import read_json
from models.training.loop import progress
from models.training.settings import add_options, given

from .machine import describe

PARTS = {"augment": AUGMENTATIONS, "adversarial": ADVERSARIES}


def main() -> int:
    """Train what is not trained yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--sizes", default="", help="numbers of examples, 0 for all (default: 50,200,0; adversarial 400)")
    parser.add_argument("--ways", default="", help="some of them, joined by commas (default: none and all)")
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="steps of each run, about (default: %(default)s)")
    parser.add_argument("--attacked", type=int, default=50, help="adversarial: test texts to attack (default: %(default)s)")
    add_options(parser, Settings, skip=("task", "augment", "adversarial", "seed", "dev", "validation", "epochs"))
    args = parser.parse_args()
    chosen = {"output": f"runs/benchmarks/{args.part}", **given(args, Settings), "threads": 1, "task": "classify"}
    sizes = [int(n) for n in (args.sizes or {"augment": "50,200,0", "adversarial": "400"}[args.part]).split(",")]
    ways = args.ways.split(",") if args.ways else ["none", *PARTS[args.part]]
    try:
        if "mlm" in ways and not has_head(chosen.get("model", Settings.model)):
            ways.remove("mlm")  # this checkpoint cannot guess words
        everything(args, ways, sizes, chosen)
    except BadInput as error:
        parser.error(str(error))
    return 0


def everything(args: argparse.Namespace, ways: list[str], sizes: list[int], chosen: dict[str, Any]) -> None:
    """All runs, with a table after each."""
    records = []
    Path(chosen["output"]).mkdir(parents=True, exist_ok=True)
    for seed, size, way in itertools.product(range(args.seeds), sizes, ways):
        path = Path(chosen["output"]) / f"{way}, {size or 'all'} examples, seed {seed}.json"
        if not path.is_file():
            record = trained(args, way, size, seed, chosen)
            write_text(path, json.dumps(record, indent=1) + "\n")
            print(f"{path.stem}: {record['accuracy']:.3f}", flush=True)
        records.append(read_json(path))
        table = as_text(records, ways, sizes)
        write_text(Path(chosen["output"]) / "table.txt", f"{describe()}\n{' '.join(sys.argv[1:])}\n\n{table}\n")
    print(table)


def trained(args: argparse.Namespace, way: str, size: int, seed: int, chosen: dict[str, Any]) -> dict[str, Any]:
    """One run: its scores on the test file, the CPU time of a step, and how it stands under attack."""
    own = {} if way == "none" else {args.part: way}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Settings(**{**chosen, **own, "seed": seed, "validation": 0.0, "output": folder}), say=lambda text: None)
        if size:
            run.data.train = subset(run.task, run.data.train, size, 0, seed)
        batches = math.ceil(len(run.data.train) * (1 + (run.s.augment_copies if run.s.augment else 0)) / run.s.batch_size)
        run.s = dataclasses.replace(run.s, epochs=max(1, round(args.steps / batches)))
        t = run.trainer = run.make_trainer(run.model)
        t.train(f"{way}, {size or 'all'}, seed {seed}")
    predictions, scores, _ = t.report_on(run.data.test)
    found = measures(*run.task.confidences(run.data.test, predictions))
    record = {"way": way, "size": size, "seed": seed, "steps": t.steps, "accuracy": scores["accuracy"], "ece": found["ece"]}
    record |= {"nll": found["nll"], "cpu_seconds_per_step": t.processor_seconds / t.steps}
    if args.part == "adversarial":
        record |= {f"under {kind}": attacked(t, run.data.test, kind, args.attacked) for kind in WAYS}
    return record


def attacked(trainer: Any, test: list[Any], kind: str, n: int) -> float:
    """The accuracy on n texts, the same for all runs, under an attack of this kind with its usual budget."""
    some = np.random.default_rng(0).permutation(len(test))[:n].tolist()
    change = make_change(kind, "", trainer.model, trainer.tokenizer)
    with Workers(1) as workers, progress(len(some), 0, "text") as bar:
        attack, held = Attack(trainer, workers, change, 0.2, 0), 0
        for i in some:
            held += attack(test[i], i).outcome == "held"
            bar.update()
    return held / len(some)


def as_text(records: list[dict[str, Any]], ways: list[str], sizes: list[int]) -> str:
    """A row a way and size: means over the seeds, the spread of the accuracy."""
    names = [name for name in records[0] if name not in ("way", "size", "seed")]
    lines = [f"{'':10}{'examples':>9}{'seeds':>6}" + "".join(f"{name:>22}" for name in names)]
    for size, way in itertools.product(sizes, ways):
        rows = [r for r in records if (r["way"], r["size"]) == (way, size)]
        if rows:
            cells = []
            for name in names:
                values = [r[name] for r in rows]
                spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
                mean = statistics.mean(values)
                cells.append(f"{mean:.0f}" if name == "steps" else f"{mean:.3f}{spread}")
            lines.append(f"{way:10}{size or 'all':>9}{len(rows):6}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
