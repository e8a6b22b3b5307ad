"""Whole training steps of BERT: this engine against PyTorch eager, interleaved.

    python -m benchmarks.steps [--sizes tiny mini small] [--json FILE] [--picture FILE]

Each contestant is a process of its own that stays; one works at a time, in an order that turns round every other round;
what counts is the median of the rounds' ratios, for milliseconds swing with whatever else the machine does. First every
contestant must find the same loss without dropout; else nothing is timed. PyTorch runs twice: as installed, and with
MKL's AVX-512 path, which MKL takes on Intel's processors only unless a preloaded function says that this is one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .bert_step import SIZES, Job

STUB = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"


class Contestant:
    """A process that has built its model and waits for orders."""

    def __init__(self, name: str, kind: str, job: Job, threads: int, environment: Mapping[str, str | None]) -> None:
        self.name = name
        merged = {**os.environ, **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.steps", "--work", kind, str(threads), json.dumps(vars(job))],
            env={key: value for key, value in merged.items() if value is not None},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, order: str) -> Any:
        """An order, and the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """Let it go."""
        self.process.communicate()


def work(kind: str, threads: int, job: Job) -> None:
    """The contestant's side: answer orders until there are no more."""
    from models import startup

    if kind == "minitorch":
        startup.prepare()
    from . import bert_step

    program = {"minitorch": bert_step.Minitorch, "pytorch": bert_step.PyTorch}[kind](job, threads)
    for order in sys.stdin:
        if order == "loss\n":
            answer: Any = program.loss()
        elif order == "step\n":
            start, cpu = time.perf_counter(), time.process_time()
            program.step()
            answer = time.perf_counter() - start, time.process_time() - cpu
        elif order == "gemm\n":
            answer = gemm_rate(threads)
        else:
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(answer), flush=True)


def gemm_rate(threads: int, n: int = 2048) -> float:
    """GFLOP/s of NumPy's float32 matrix product, each thread on its rows: the best of ten."""
    import numpy as np

    from minitorch.parallel import Workers

    a, b, c = np.random.default_rng(0).random((3, n, n), dtype=np.float32)
    parts = [slice(i * n // threads, (i + 1) * n // threads) for i in range(threads)]
    best = float("inf")
    with Workers(threads) as workers:
        for _ in range(10):
            start = time.perf_counter()
            list(workers.map(lambda at: np.matmul(a[at], b, out=c[at]), parts))
            best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9


def contestants(job: Job, threads: int, stub: Path | None) -> list[Contestant]:
    """Ours first; then ours with the BLAS kernels that OpenBLAS chooses by itself; PyTorch; PyTorch unlocked."""
    free = {"OPENBLAS_CORETYPE": None, "OPENBLAS_L2_SIZE": None, "OPENBLAS_NUM_THREADS": str(threads)}
    found = [
        Contestant("minitorch", "minitorch", job, threads, free),
        Contestant("minitorch, AVX2 BLAS", "minitorch", job, threads, {**free, "OPENBLAS_CORETYPE": "Haswell"}),
    ]
    try:
        import torch  # noqa: F401
    except ImportError:
        return found
    found.append(Contestant("PyTorch", "pytorch", job, threads, free))
    if stub is not None:
        found.append(Contestant("PyTorch, AVX-512", "pytorch", job, threads, {**free, "LD_PRELOAD": str(stub)}))
    return found


def build_stub(folder: Path) -> Path | None:
    """The library to preload, if there is a compiler."""
    source, library = folder / "stub.c", folder / "stub.so"
    source.write_text(STUB)
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


def compare(job: Job, threads: int, rounds: int, stub: Path | None) -> dict[str, Any]:
    """One row of the table."""
    field = contestants(job, threads, stub)
    try:
        losses = {c.name: c.ask("loss") for c in field}
        if max(losses.values()) - min(losses.values()) > 1e-4:
            raise SystemExit(f"{job}: the contestants disagree, so nothing is timed: {losses}")
        for c in field:
            for _ in range(2):
                c.ask("step")
        before = _cpu_ticks()
        times: dict[str, list[list[float]]] = {c.name: [] for c in field}
        rates = [field[0].ask("gemm")]
        for i in range(rounds):
            rates.append(field[0].ask("gemm"))
            for c in field if i % 2 == 0 else field[::-1]:
                times[c.name].append(min(c.ask("step") for _ in range(3)))
        others = _others(before, sum(cpu for rows in times.values() for _, cpu in rows) * 3)
        floor = job.operations() / max(rates) / 1e9
        return {
            "job": vars(job), "losses": losses, "gemm_floor_s": floor, "cpu_used_by_others": others,
            "rows": [_row(c, times, field, job, floor) for c in field],
        }  # fmt: skip
    finally:
        for c in field:
            c.close()


def _row(c: Contestant, times: dict[str, list[list[float]]], field: list[Contestant], job: Job, floor: float) -> dict[str, Any]:
    wall = [t for t, _ in times[c.name]]
    ratios = {
        other.name: statistics.median(a[0] / b[0] for a, b in zip(times[c.name], times[other.name], strict=True))
        for other in field
    }
    cpu = {
        other.name: statistics.median(a[1] / b[1] for a, b in zip(times[c.name], times[other.name], strict=True))
        for other in field
    }
    return {
        "name": c.name, "median_s": statistics.median(wall), "best_s": min(wall), "ratio_to": ratios, "cpu_ratio_to": cpu,
        "tokens_per_s": job.batch * job.length / min(wall), "peak_mib": c.ask("memory"), "share_of_gemm_floor": floor / min(wall),
    }  # fmt: skip


def _cpu_ticks() -> tuple[float, float]:
    path = Path("/proc/stat")
    fields = [int(x) for x in path.read_text().split("\n")[0].split()[1:]] if path.exists() else [0] * 8
    return time.perf_counter(), (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def _others(before: tuple[float, float], ours: float) -> float:
    """Processor cores that something else kept busy meanwhile, on average."""
    now = _cpu_ticks()
    return max(0.0, (now[1] - before[1] - ours) / (now[0] - before[0]))


def report(results: list[dict[str, Any]]) -> str:
    """Lines of the table."""
    lines = []
    for result in results:
        ours = result["rows"][0]
        for row in result["rows"]:
            lines.append(
                f"{result['job']['size']:6} {result['job']['vocabulary']:6,} {row['name']:21} {row['best_s'] * 1e3:8.1f} "
                f"{row['tokens_per_s']:9,.0f} {row['peak_mib']:9.0f} {row['share_of_gemm_floor']:9.0%} "
                f"{ours['ratio_to'][row['name']]:8.2f} {ours['cpu_ratio_to'][row['name']]:9.2f}"
            )
        lines.append(f"       others kept {result['cpu_used_by_others']:.1f} cores busy meanwhile")
    return "\n".join(lines)


def draw(results: list[dict[str, Any]], path: str) -> None:
    """Bars: time of our step over that of PyTorch's, for every size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    names = [row["name"] for row in results[0]["rows"] if row["name"].startswith("PyTorch")]
    for i, name in enumerate(names):
        heights = [r["rows"][0]["ratio_to"][name] for r in results]
        bars = axes.bar([x + 0.4 * i for x in range(len(results))], heights, width=0.38, label=f"against {name}")
        axes.bar_label(bars, fmt="%.2f")
    axes.axhline(1, color="black", linewidth=0.8)
    ticks = [f"{r['job']['size']}\n{r['job']['vocabulary']:,} words" for r in results]
    axes.set_xticks([x + 0.2 for x in range(len(results))], ticks)
    axes.set_ylabel("time of our step / time of its step")
    axes.set_title("BERT pretraining step, lower is faster")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "mini", "small"], choices=list(SIZES))
    parser.add_argument("--vocabularies", nargs="+", type=int, default=[8192])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--picture", metavar="FILE")
    args = parser.parse_args()
    from .machine import describe

    print("size   words  contestant             best ms  tokens/s  peak MiB  of floor  ours/it  (CPU time)", flush=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        stub = build_stub(Path(folder))
        for vocabulary in args.vocabularies:
            for size in args.sizes:
                job = Job(size, args.batch, args.length, vocabulary, args.dropout)
                results.append(compare(job, args.threads, args.rounds, stub))
                print(report(results[-1:]), flush=True)
                if args.json:
                    Path(args.json).write_text(json.dumps({"machine": describe(), "results": results}, indent=1) + "\n")
    if args.picture:
        draw(results, args.picture)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], int(sys.argv[3]), Job(**json.loads(sys.argv[4])))
    else:
        main()
