"""Training on several ranks: how it scales, what the messages cost, and what a model of them predicts for more machines.

    python -m benchmarks.distributed [--rounds 5] [--steps 12] [--hosts] [--json FILE]

Ranks share this machine's cores, one thread each, so more ranks than cores measure the overhead and not the speed-up. ``--hosts``
(root on Linux) repeats it between two emulated hosts, joined by a link of 1 Gbit per second (two_hosts.py).

The model of a sum of n bytes over P ranks is a ring's (Patarasuk and Yuan 2009): each sends 2 (P - 1) messages of n / P bytes,
    t(n, P) = 2 (P - 1) α + 2 (P - 1) / P · n β,   with latency α and seconds per byte β,
of which c = κ n bytes are work for a core (copying, adding, the network's protocol). Where every core of a machine computes, that
work hides under nothing; the waiting hides under the part h of the backward pass:
    step(P) = slowest(P) + c + max(0, t - c - h)
slowest(P) is the mean of the largest of P times that a step takes which sends nothing: all wait for the last one. The times are
those of ranks side by side, which share the memory's bandwidth. On a busy machine this term is the largest of all.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .machine import cores, describe

SIZES = [4 << k for k in range(6, 25, 3)]  # bytes: 256 ... 67 million
MACHINES = (8, 64, 512)
LINKS = {"1 Gbit/s": (50e-6, 8e-9), "10 Gbit/s": (20e-6, 8e-10), "100 Gbit/s": (3e-6, 8e-11)}  # α and β of usual networks
HIDDEN = 0.5  # of the step's compute time: the backward pass after its first bucket
BUCKET = 4 << 20  # bytes, as minitorch.distributed has it
NEVER = 1 << 20  # local steps from one meeting of the ranks to the next: they send nothing


def mpiexec() -> str:
    """The launcher that belongs to this Python's mpi4py, or the one on the path."""
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if found is None or importlib.util.find_spec("mpi4py") is None:
        sys.exit("this needs MPI: pip install -e '.[mpi]'")
    return found


def launch(ranks: int, *arguments: Any, where: Sequence[str] = ()) -> Any:
    """What a worker on so many ranks reports."""
    worker = [sys.executable, "-m", "benchmarks.distributed_worker", *map(str, arguments)]
    done = subprocess.run([*(where or [mpiexec()]), "-n", str(ranks), *worker], capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"{' '.join(worker)} on {ranks} ranks failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def train(ranks: int, threads: int, steps: int, where: Sequence[str] = (), **options: Any) -> Any:
    """Median seconds of a step, seconds waited for messages in it, and bytes sent by a rank."""
    named = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return launch(ranks, "train", f"--threads={threads}", f"--steps={steps}", *named, where=where)


def ring(n: float, ranks: int, latency: float, per_byte: float) -> float:
    """t(n, P) of the head of this file."""
    return 2 * (ranks - 1) * latency + 2 * (ranks - 1) / ranks * n * per_byte


def fit(points: Sequence[Sequence[float]], ranks: int) -> dict[str, float]:
    """α, β and κ that explain measured (bytes, seconds, CPU seconds): α by the smallest message, the others by the largest."""
    small, (n, large, work) = points[0][1], points[-1]
    per_byte = max(0.0, large - small) / (2 * (ranks - 1) / ranks * n)
    return {"latency": small / (2 * (ranks - 1)), "per_byte": per_byte, "work": work / n}


def contest(rounds: int, steps: int) -> dict[str, Any]:
    """2 ranks of 1 thread against 1 rank of 2 threads, in turns: the ratio within each round."""
    ratios, times = [], []
    for i in range(rounds):
        order = [(2, 1), (1, 2)] if i % 2 else [(1, 2), (2, 1)]
        found = {pair: train(*pair, steps)["step"] for pair in order}
        ratios.append(found[2, 1] / found[1, 2])
        times.append((found[1, 2], found[2, 1]))
        threads, processes = (1e3 * seconds for seconds in times[-1])
        print(f"  round {i + 1}: 1 rank x 2 threads {threads:.0f} ms, 2 ranks x 1 thread {processes:.0f} ms", flush=True)
    print(f"  2 ranks take {statistics.median(ratios):.3f} of the time (from {min(ratios):.3f} to {max(ratios):.3f})", flush=True)
    return {"ratios": ratios, "seconds": times}


def scaling(ranks: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Strong: the same batch on more ranks. Weak: a batch that grows with them."""
    rows = []
    for kind in ("strong", "weak"):
        first = None
        for n in ranks:
            found = train(n, 1, steps, batch=64 if kind == "strong" else 32 * n)
            first = first or found["step"]
            speedup = first / found["step"] * (1 if kind == "strong" else n)
            rows.append({"kind": kind, "ranks": n, "speedup": speedup, **found})
            shown = f"{found['step'] * 1e3:7.0f} ms, {found['messages'] * 1e3:6.1f} ms of it in messages"
            print(f"  {kind:7} {n} ranks: {shown}, {found['bytes'] / 1e6:.1f} MB sent; speed-up {speedup:.2f}", flush=True)
    return rows


def choices(steps: int, where: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Overlap, 16 bits on the wire, local steps: what each saves on two ranks."""
    rows = []
    for name, options in {
        "one message at the end": {"bucket": 1 << 30},
        "buckets, while backward runs": {},
        "the same, float16": {"wire": "float16"},
        "the same, bfloat16": {"wire": "bfloat16"},
        "8 local steps": {"local_steps": 8},
    }.items():
        rows.append({"name": name, **train(2, 1, steps, where, **options)})
        row = rows[-1]
        print(f"  {name:30} {row['step'] * 1e3:7.0f} ms a step, {row['bytes'] / 1e6:6.2f} MB sent", flush=True)
    return rows


def messages(ranks: int, where: Sequence[str] = ()) -> dict[str, Any]:
    """The sum of arrays of several sizes, measured, with the α and β that explain it."""
    points = launch(ranks, "reduce", *SIZES, where=where)
    found = fit(points, ranks)
    for n, seconds, work in points:
        expected = ring(n, ranks, found["latency"], found["per_byte"])
        shown = f"{seconds * 1e6:10.0f} µs, {work * 1e6:.0f} of them a core's; model {expected * 1e6:10.0f} µs"
        print(f"  {n:11,} bytes on {ranks} ranks: {shown}", flush=True)
    return {"ranks": ranks, "points": points, **found}


def slowest(times: Sequence[float], ranks: int) -> float:
    """The mean of the largest of so many draws from ``times``."""
    below = (np.arange(len(times) + 1) / len(times)) ** ranks  # that the largest is among the first 0, 1, ... of the sorted ones
    return float(np.sort(times) @ np.diff(below))


def between(points: Sequence[Sequence[float]], n: float, size: float) -> float:
    """Seconds of the sum of n bytes in messages of ``size``, by those that were measured."""
    sizes, seconds = np.array(points)[:, :2].T
    return float(n // size * np.interp(size, sizes, seconds) + np.interp(n % size, sizes, seconds))


def predict(one: dict[str, Any], ranks: int, t: float, work: float, hidden: float = HIDDEN) -> float:
    """step(P) of the head of this file. t: seconds of the messages' way."""
    c = work * one["gradient"]
    return slowest(one["times"], ranks) + c + max(0.0, t - c - hidden * float(np.mean(one["times"])))


def predictions(one: dict[str, Any], work: float) -> dict[str, Any]:
    """Efficiency (weak scaling: one machine's step over P machines') on usual networks."""
    table = {}
    for name, link in LINKS.items():
        table[name] = {n: float(np.mean(one["times"])) / predict(one, n, ring(one["gradient"], n, *link), work) for n in MACHINES}
        shown = ", ".join(f"{n} machines {share:.0%}" for n, share in table[name].items())
        print(f"  {name:11} efficiency of {shown}", flush=True)
    return table


def between_hosts(steps: int) -> dict[str, Any]:
    """The same on two emulated hosts; the model's α and β from its sums, its step compared with the measured one."""
    from .two_hosts import Refused, hosts

    try:
        with hosts(mpiexec=mpiexec()) as where:
            print("two emulated hosts, 1 Gbit/s:")
            sums = messages(2, where)
            rows = choices(steps, where)
            apart = train(2, 1, steps, where, local_steps=NEVER)
    except Refused as reason:
        print(f"two emulated hosts: left out, {reason}")
        return {}
    alone, both = (1e3 * slowest(apart["times"], n) for n in (1, 2))
    print(f"  {alone:.0f} ms a step that sends nothing; the slower of two {both:.0f} ms")
    expected = []
    for row, size, hidden in ((rows[0], 1 << 40, 0.0), (rows[1], BUCKET, HIDDEN)):
        expected.append(predict(apart, 2, between(sums["points"], apart["gradient"], size), sums["work"], hidden))
        print(f"  {row['name']}: the model says {expected[-1] * 1e3:.0f} ms, measured {row['step'] * 1e3:.0f} ms", flush=True)
    return {"messages": sums, "choices": rows, "apart": apart, "predicted": expected}


def main() -> None:
    """Measure, print, and write the numbers if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of the contest between ranks and threads")
    parser.add_argument("--steps", type=int, default=12, help="of training, in each measurement")
    parser.add_argument("--hosts", action="store_true", help="also between two emulated hosts (needs root)")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    args = parser.parse_args()
    found: dict[str, Any] = {"machine": describe()}
    print(f"BERT mini, 64 x 32 tokens; {found['machine']['processor']}, {cores()} cores", flush=True)
    found["contest"] = contest(args.rounds, args.steps)
    found["scaling"] = scaling([1, 2, 4], args.steps)
    found["choices"] = choices(args.steps)
    found["messages"] = [messages(n) for n in (2, 4)]
    if args.hosts:
        found["hosts"] = between_hosts(args.steps)
    sums = found.get("hosts", {}).get("messages", found["messages"][0])
    print("predicted for machines that each compute what one rank did here:")
    found["predictions"] = predictions(next(row for row in found["scaling"] if row["kind"] == "weak"), sums["work"])
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
