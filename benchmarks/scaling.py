"""How time and memory of a training step grow with batch, length, depth and vocabulary; and what checkpointing saves.

    python -m benchmarks.scaling [--quick] [--json FILE]

One factor at a time grows from a base (BERT mini, 8 sequences of 128 tokens, 8,192 words). Every point is a new process. Its
memory is the system's peak minus the memory after the imports. The exponent is the slope of log(time) or log(memory) over
log(factor) through the last three points: 1 is linear, 2 quadratic; below 1, parts that do not grow still matter. Activation
checkpointing is measured on a deeper BERT; its memory is exact: the arrays allocated in a step.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bert_job import Job
from .contest import line_up, play
from .machine import cores, describe

BASE = Job("pretrain", "mini", batch=8, asked_only=False)
FACTORS = {
    "batch": [2, 4, 8, 16, 32], "length": [32, 64, 128, 256, 512], "layers": [1, 2, 4, 8, 16],
    "vocabulary": [4096, 8192, 16384, 32768, 65536],
}  # fmt: skip
DEEP = Job("finetune", "mini", batch=8, layers=12, asked_only=False)
PIECES = [0, 12, 6, 4, 3, 2]


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the least-squares line through the points (log x, log y)."""
    u, v = [math.log(a) for a in x], [math.log(b) for b in y]
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    return sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True)) / sum((a - mean_u) ** 2 for a in u)


def measure(job: Job, threads: int, least: int) -> dict[str, dict[str, float]]:
    """Seconds and MiB of each contestant."""
    found = play(line_up({"": job}, threads, None), 0, least)
    return {r["name"]: {"s": r["median_s"], "mib": r["peak_mib"] - r["imports_mib"]} for r in found["rows"]}


def grow(name: str, base: Job, values: Sequence[int], threads: int, least: int) -> dict[str, Any]:
    """One factor: the points, and each contestant's exponents."""
    points = []
    for value in values:
        points.append({"value": value, **measure(dataclasses.replace(base, **{name: value}), threads, least)})
        print(
            f"{name:11}{value:7,}" + "".join(f"{p['s'] * 1e3:12.1f}{p['mib']:9.0f}" for p in contestants(points[-1])), flush=True
        )
    last, exponents = points[-3:], {}
    for who in (key for key in points[0] if key != "value"):
        x = [p["value"] for p in last]
        exponents[who] = {what: slope(x, [p[who][what] for p in last]) for what in ("s", "mib")}
    shown = "".join(f"{e['s']:12.2f}{e['mib']:9.2f}" for e in exponents.values())
    print(f"{'  exponent':18}{shown}", flush=True)
    return {"points": points, "exponents": exponents}


def contestants(point: dict[str, Any]) -> list[dict[str, float]]:
    """A point without its number."""
    return [value for key, value in point.items() if key != "value"]


# ------------------------------------------------------------------------------------- activation checkpointing


def recompute(job: Job, pieces: Sequence[int], threads: int, least: int) -> list[dict[str, float]]:
    """Time and allocated memory of the encoder in n pieces, and the theory's prediction of both."""
    half = allocated(dataclasses.replace(job, layers=job.layers // 2), threads, 1)["mib"]
    found = []
    for n in pieces:
        found.append({"pieces": n, **allocated(dataclasses.replace(job, pieces=n), threads, least)})
        inside = (found[0]["mib"] - half) / (job.layers - job.layers // 2)  # per layer, its gradients included
        found[-1] |= theory(job, n, found[0], inside)
        p = found[-1]
        print(
            f"{n or 'none':>6}{p['s'] * 1e3:10.1f}{p['s'] / found[0]['s']:8.2f}{p['theory_time']:9.2f}"
            f"{p['mib']:10.1f}{p['theory_mib']:9.1f}", flush=True,
        )  # fmt: skip
    return found


def theory(job: Job, n: int, plain: dict[str, float], inside: float) -> dict[str, float]:
    """Chen et al. (2016), section 3: keep the inputs of n pieces and the inside of one; forward runs twice.

    Forward is a third of a step's products. A layer's cost includes its gradients, which are always kept.
    """
    if not n:
        return {"theory_time": 1.0, "theory_mib": plain["mib"]}
    _, H = job.shape
    gradients = (12 * H * H + 13 * H) * 4 / 2**20
    kept = n * job.batch * job.length * H * 4 / 2**20
    saved = (inside - gradients) * (job.layers - math.ceil(job.layers / n))
    return {"theory_time": 4 / 3, "theory_mib": plain["mib"] - saved + kept}


def allocated(job: Job, threads: int, least: int) -> dict[str, float]:
    """Seconds per step, and MiB of the arrays it allocates; in one thread, so that the count is exact."""
    field = line_up({"": job}, threads, None)[:2]
    field[1].ask("step")  # the first step makes the optimiser's state
    mib = field[1].ask("arrays")
    found = play(field, 0, least)
    return {"s": found["rows"][0]["median_s"], "mib": mib}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--quick", action="store_true", help="a smaller base, three points, few rounds")
    parser.add_argument("--json", metavar="FILE", type=Path)
    args = parser.parse_args()
    base, deep = BASE, DEEP
    if args.quick:
        base, deep = (dataclasses.replace(job, size="tiny", batch=4, length=64) for job in (BASE, DEEP))
    report: dict[str, Any] = {"machine": describe(), "base": dataclasses.asdict(base), "factors": {}}
    start = time.perf_counter()
    print("                   minitorch ms      MiB  (then PyTorch's)")
    for name, values in FACTORS.items():
        few = values[1:4] if args.quick else values
        report["factors"][name] = grow(name, base, few, args.threads, 2 if args.quick else 3)
    print(f"\nactivation checkpointing, {deep.layers} layers of BERT {deep.size} ({time.perf_counter() - start:.0f} s)")
    print("pieces        ms    ratio   theory   arrays MiB theory")
    pieces = [0, 4] if args.quick else PIECES
    report["checkpointing"] = {"job": dataclasses.asdict(deep), "points": recompute(deep, pieces, 1, 2 if args.quick else 3)}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
