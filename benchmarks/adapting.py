"""What every way of adapting a model costs and brings, over several seeds, each with a learning rate that was searched for.

    python -m benchmarks.adapting classify --model FOLDER --train FILE --test FILE [--length 48 ...] [--seeds 3] [--output FOLDER]

Built on `minitorch finetune --adapt`, and its options apply to every way. The search is the same for all: the method's own rate
times 1/3, 1 and 3, with the first seed; the best on the examples held out from --train wins, and the other seeds take it. The
test file chooses nothing. A finished run is not repeated, so the same command goes on where it was stopped; the first seed of all
ways comes first. Then the costs: the time of a step, in turns, and the peak memory of a process that does nothing else.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from models import startup

if __name__ == "__main__":
    startup.prepare()  # before NumPy is imported

from minitorch.files import write_text
from minitorch.parallel import Workers
from models.bert.config import BertConfig
from models.checkpoints.files import config_file, locate
from models.errors import BadInput
from models.finetuning.comparing import WAYS, begin, cost_of, draw, settings_of
from models.finetuning.report import finish, size_text
from models.finetuning.run import STATE, TASKS, Run, read_state
from models.finetuning.tasks import Settings
from models.reading import read_json
from models.training.settings import add_options, given

from .finetune import command
from .machine import describe, memory_now, peak_memory

FACTORS = (1 / 3, 1, 3)  # of the rate that suits the method
RECORD = "record.json"  # in a run's folder once it is finished
COSTS = "costs.json"
ROUNDS = 8


def main() -> int:
    """Train what is not trained yet, measure what is not measured yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    parser.add_argument("--ways", default="", help="some of them, joined by commas (default: all)")
    parser.add_argument("--memory-of", default="", help=argparse.SUPPRESS)  # what the processes that are measured are asked
    add_options(parser, Settings, skip=("task", "adapt", "freeze", "seed", "lr"))
    args = parser.parse_args()
    args.adapt = args.freeze = args.seed = args.lr = None
    chosen = {"output": "runs/benchmarks/adapting", **given(args, Settings), "threads": 1}
    if args.memory_of:
        print(json.dumps(memory_of(args.memory_of, chosen)))
        return 0
    ways = args.ways.split(",") if args.ways else list(WAYS)
    if odd := [way for way in ways if way not in WAYS]:
        parser.error(f"--ways: there is no {odd[0]!r}; there are {', '.join(WAYS)}")
    try:
        everything(ways, args.seeds, {"model": Settings.model, **chosen})
    except BadInput as error:
        parser.error(str(error))
    return 0


def everything(ways: list[str], seeds: int, chosen: dict[str, Any]) -> None:
    """All runs, then all costs."""
    base = Path(chosen["output"])
    begin(base, chosen, resume=True)
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        for way in ways:
            runs += of_one_seed(way, seed, chosen, runs)
            write(chosen, ways, runs, {})
    costs = read_json(base / COSTS) if (base / COSTS).is_file() else {}
    if not costs.keys() >= set(ways):
        costs = measure(ways, chosen)
    write_text(base / COSTS, json.dumps(costs, indent=1) + "\n")
    print("\n" + write(chosen, ways, runs, costs))


# ---------------------------------------------------------------------------------------------------------- the runs


def of_one_seed(way: str, seed: int, chosen: dict[str, Any], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs of a way with a seed: one for each rate with the first seed, then one with the rate that was best."""
    if seed == 0:
        usual = Settings(**settings(way, chosen))
        usual.check()  # which puts in the method's rate
        return [trained(way, 0, float(f"{factor * usual.lr:.1e}"), chosen) for factor in FACTORS]
    return [trained(way, seed, best(way, runs)["lr"], chosen)]


def best(way: str, runs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The run of the first seed with the best score on the held-out examples; of equals, the one with the lowest loss."""
    return max(
        (r for r in runs if r["name"] == way and r["seed"] == 0), key=lambda r: (r["sign"] * r["dev_score"], -r["dev_loss"])
    )


def settings(way: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """The settings of a way."""
    layers = BertConfig.from_json_file(config_file(locate(chosen["model"]))).num_hidden_layers
    return settings_of(way, chosen, layers)


def trained(way: str, seed: int, rate: float, chosen: dict[str, Any]) -> dict[str, Any]:
    """The record of a run: read, or made; a run that was stopped goes on. Of its weights only the size is kept."""
    folder = Path(chosen["output"]) / way / f"seed {seed}, rate {rate:g}"
    if not (folder / RECORD).is_file():
        own = Settings(**{**settings(way, chosen), "output": str(folder), "seed": seed, "lr": rate})
        going_on = (folder / STATE).is_file()
        if going_on:
            own = Settings(**{**read_state(folder / STATE)["settings"], "output": str(folder)})
        started = time.perf_counter()
        run = Run(own, say=lambda text: None)
        if going_on:
            run.load_state()
        try:
            run.train()
        except BadInput as error:  # a rate of the search may be too high
            print(f"{way}, seed {seed}: {error}", flush=True)
            return {"name": way, "seed": -1}
        finish(run)
        record = {**cost_of(run, folder), "name": way, "seed": seed, "alternatives": run.report["alternatives"][1:]}
        record |= {"total": run.model.num_parameters(), "dev_score": run.trainer.last_best["dev_metric"]}
        record |= {"dev_loss": run.trainer.last_best["dev_loss"]}
        record |= {"sign": -1 if record["metric"] in run.task.smaller_is_better else 1}
        write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")
        for weights in (*folder.glob("*.safetensors"), folder / STATE):
            weights.unlink(missing_ok=True)
        score = f"{record['metric']} {record['dev_score']:.4f} on held-out examples"
        print(f"{way}, seed {seed}, rate {rate:g}: {score}, {time.perf_counter() - started:.0f} s", flush=True)
    found: dict[str, Any] = read_json(folder / RECORD)
    return found


# --------------------------------------------------------------------------------------------------------- the costs


def measure(ways: list[str], chosen: dict[str, Any]) -> dict[str, Any]:
    """Of each way: the least ms of a step, the ways taking turns; the peak MiB of its own process."""
    steps = {way: stepper(way, chosen) for way in ways}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for i in range(ROUNDS + 1):
        for way in ways if i % 2 else reversed(ways):
            started = time.perf_counter()
            steps[way]()
            times[way].append(1000 * (time.perf_counter() - started))
    found: dict[str, Any] = {way: {"ms": min(t[1:])} for way, t in times.items()}  # the first one loads and allocates
    for way in ways:
        alone = [sys.executable, "-m", "benchmarks.adapting", *sys.argv[1:], "--memory-of", way]
        found[way] |= json.loads(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)
        print(f"{way}: {found[way]['ms']:.0f} ms per step, {found[way]['peak_mib']:.0f} MiB at most", flush=True)
    return found


def stepper(way: str, chosen: dict[str, Any]) -> Any:
    """A function that trains one step, always on the same batch, of the longest texts."""
    own = Settings(**{**settings(way, chosen), "output": str(Path(chosen["output"]) / "costs")})
    trainer = Run(own, say=lambda text: None).trainer
    trainer.model.train()
    longest = sorted(trainer.features, key=lambda f: -len(f.ids))[: own.batch_size]

    def step() -> None:
        with Workers(1) as workers:
            trainer.one_step(longest, workers)
        trainer.step += 1

    return step


def memory_of(way: str, chosen: dict[str, Any]) -> dict[str, float]:
    """Peak MiB of this process, in all and without its imports."""
    before = memory_now()
    step = stepper(way, chosen)
    for _ in range(3):
        step()
    return {"peak_mib": peak_memory(), "imports_mib": before}


# --------------------------------------------------------------------------------------------------------- the table


def write(chosen: dict[str, Any], ways: list[str], runs: list[dict[str, Any]], costs: dict[str, Any]) -> str:
    """Table and numbers so far; the picture once there are all."""
    base = Path(chosen["output"])
    rows = [row for way in ways if (row := row_of(way, runs, costs))]
    tables = [r["alternatives"] for r in runs if r.get("alternatives") and r["lr"] == best(r["name"], runs)["lr"]]
    others = [averaged(same, rows[0]["metric"]) for same in zip(*tables, strict=True)]
    text = as_text(rows, others)
    asked = command(chosen).replace("minitorch finetune", "python -m benchmarks.adapting")
    facts = {"machine": machine(), "command": asked}
    write_text(base / "adapting.json", json.dumps({**facts, "ways": rows, "alternatives": others}, indent=1) + "\n")
    write_text(base / "adapting.txt", text + "\n")
    if costs:
        draw(rows, others, base / "adapting.png")
    return text


def row_of(way: str, runs: list[dict[str, Any]], costs: dict[str, Any]) -> dict[str, Any]:
    """A way's line: mean and deviation over the seeds with its best rate, and its costs; {} if it has no run yet."""
    own = [r for r in runs if r["name"] == way and r["seed"] >= 0]
    if not own:
        return {}
    same = [r for r in own if r["lr"] == best(way, own)["lr"]]
    row = averaged(same, own[0]["metric"]) | {"search": {str(r["lr"]): r["dev_score"] for r in own if r["seed"] == 0}}
    row.pop("alternatives")
    if costs:
        ms = costs[way]["ms"]
        row |= costs[way] | {"ms_per_step": ms, "ratio": ms / costs.get("full", costs[way])["ms"]}
    return row


def averaged(same: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    """The first of some lines that differ in their seed, with the means of its numbers, and all scores with their deviation."""
    means = {k: statistics.mean(r[k] for r in same) for k, value in same[0].items() if isinstance(value, float)}
    scores = [r[metric] for r in same]
    return {**same[0], **means, "scores": scores, "spread": statistics.stdev(scores) if len(scores) > 1 else 0.0}


def as_text(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """The table."""
    metric = rows[0]["metric"]
    width = max(len(row["name"]) for row in [*rows, *others]) + 2
    heads = ("trained", "share", "file", "gradient+Adam", "peak memory", "step", "rate")
    lines = [f"{'':{width}}{metric:>15}  seeds" + "".join(f"{head:>15}" for head in heads)]
    for row in [*rows, *others]:
        size = row["bytes"] if "bytes" in row else row["file_bytes"]
        cells = [f"{row.get('trained', row.get('parameters')):,}"]
        if "trained" in row:
            cells += [f"{100 * row['trained'] / row['total']:.2f} %", size_text(size), size_text(row["training_bytes"])]
            cells += [f"{row['peak_mib']:.0f} MiB", f"{row['ratio']:.2f} of full"] if "ratio" in row else ["", ""]
            cells += [f"{row['lr']:g}"]
        else:
            cells += ["", size_text(size)]
        score = f"{row[metric]:.3f}" + (f" ± {row['spread']:.3f}" if len(row["scores"]) > 1 else "        ")
        lines.append(f"{row['name']:{width}}{score:>15}{len(row['scores']):>7}" + "".join(f"{cell:>15}" for cell in cells))
    return "\n".join(lines)


@functools.cache
def machine() -> dict[str, str]:
    """The machine, looked at once."""
    return describe()


if __name__ == "__main__":
    sys.exit(main())
