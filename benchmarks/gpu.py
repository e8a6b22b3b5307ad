"""The GPU: every kernel is checked, then timed; then whole training steps of BERT, compared with PyTorch's.

    python -m benchmarks.gpu [--precision bf16] [--json FILE] [--picture FILE]

Checks: against the definition in float64, at small sizes and at the timed ones, and in float32 against PyTorch's stored outputs.
A wrong kernel is not timed, and the run fails (status 1). Times: the median of several measurements by CUDA's events around many
calls. Bytes and operations are the least that the mathematics needs; the limits are this GPU's own copy and matrix product.
Steps: forward, backward, clipping and AdamW of the same model on the same masked words. Each contestant has a process of its own,
and all must find the same loss first. Without a GPU there is one line, and status 2.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import minitorch
from minitorch import devices
from minitorch.kernels import KERNELS, reference

from .bert_job import Job
from .gpu_cases import CASES, Case, distance, flat, mapped
from .kernel_cases import CASES as STORED_CASES
from .machine import describe
from .make_kernels import STORED

TOLERANCE = {"float32": 5e-5, "bfloat16": 3e-2, "float16": 4e-3}
KINDS = {"float32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}
LOSS_APART = {"float32": 1e-3, "tf32": 1e-2, "bf16": 5e-2, "fp16": 2e-2}  # how far the contestants' losses may differ
CONTESTANTS = ("minitorch", "minitorch, graph", "PyTorch", "PyTorch, compiled")
JOBS = {"mini": [(32, 128), (16, 512)], "base": [(32, 128), (16, 512)]}  # size -> batches, lengths

# ------------------------------------------------------------------------------------------------------- kernels


def seconds(run: Callable[[], Any], rounds: int = 7, least: float = 0.02) -> float:
    """One call's time on the GPU: the median of rounds, each with enough calls to take at least 20 ms."""
    cuda = devices.cupy().cuda
    calls, found = 1, []
    run()
    while len(found) < rounds:
        start, end = cuda.Event(), cuda.Event()
        start.record()
        for _ in range(calls):
            run()
        end.record()
        end.synchronize()
        taken = cuda.get_elapsed_time(start, end) / 1e3
        if taken < least and calls < 4096:
            calls *= 2
        else:
            found.append(taken / calls)
    return statistics.median(found)


def limits(kind: str, n: int = 8192, count: int = 1 << 28) -> dict[str, float]:
    """Bytes per second of a copy (read and written), operations per second of a matrix product."""
    cupy, cuda = devices.cupy(), hand()
    x, a = cupy.ones(count, "float32"), cupy.ones((n, n), "float32").astype(dtype_of(kind))
    copy, product = seconds(lambda: x.copy()), seconds(lambda: cuda.matmul(a, a))
    return {"bytes_per_s": 8 * count / copy, "operations_per_s": 2 * n**3 / product}


def hand() -> Any:
    """The kernels as the engine runs them: for the GPU's arrays those in CUDA C, or the definitions of those they do not know."""
    return SimpleNamespace(**KERNELS)


def dtype_of(kind: str) -> Any:
    """The element type of that name."""
    return np.dtype(getattr(minitorch, kind))


def on_gpu(x: Any, kind: str = "float32") -> Any:
    """A copy on the GPU with the memory order of x; float32 numbers become ``kind``."""
    order = np.argsort([-s for s in x.strides], kind="stable") if x.size else np.arange(x.ndim)
    y = devices.cupy().asarray(np.ascontiguousarray(x.transpose(order)))
    y = y.astype(dtype_of(kind)) if x.dtype == np.float32 else y
    return y.transpose(*np.argsort(order).tolist()) if x.ndim else y


def check(case: Case, kind: str, sizes: dict[str, tuple[int, ...]]) -> dict[str, float]:
    """The kernel's distance from its definition in float64, which gets the same rounded numbers."""
    found = {}
    for label, size in sizes.items():
        sent = mapped(lambda x: on_gpu(x, kind), case.arrays(size))
        wide = mapped(lambda x: x.get() if x.dtype.kind in "iub" else x.get().astype(np.float64), sent)
        ours = case.run(hand(), case.begin(hand(), *sent), *sent)
        with np.errstate(all="ignore"):
            theirs = case.run(reference, case.begin(reference, *wide), *wide)
        found[f"definition, {label}"] = distance([x.get() for x in flat(ours)], theirs)
    return found


def check_stored(case: Any) -> float:
    """The distance of a kernel with its gradient from PyTorch's results in float64."""
    with np.load(STORED) as stored:
        counts = zip(("in", "constant", "out"), stored[f"{case.name}.counts"], strict=True)
        arrays, constants, expected = ([stored[f"{case.name}.{part}{i}"] for i in range(int(n))] for part, n in counts)
    found = case.outputs(hand(), *mapped(on_gpu, arrays), *mapped(on_gpu, constants))
    return distance([x.get() for x in found], expected)


def measure(case: Case, kind: str, size: tuple[int, ...]) -> dict[str, float]:
    """Seconds, bytes and operations of one call."""
    sent = mapped(lambda x: on_gpu(x, kind), case.arrays(size))
    kept = case.begin(hand(), *sent)
    taken = seconds(lambda: case.run(hand(), kept, *sent))
    return {"seconds": taken, "bytes": case.bytes(dtype_of(kind).itemsize, *size), "operations": case.operations(*size)}


def kernels(kind: str, small: bool, say: Callable[[str], None]) -> tuple[dict[str, Any], list[str]]:
    """The table of kernels, and the names of the wrong ones."""
    most = limits(kind, 64, 1 << 10) if small else limits(kind)
    copy, product = most["bytes_per_s"] / 1e9, most["operations_per_s"] / 1e12
    say(f"{kind}: copy {copy:,.0f} GB/s, matrix product {product:,.1f} TFLOP/s")
    say(f"{'kernel':25} {'error':>8} {'µs':>9} {'MB':>8} {'GFLOP':>8} {'of copy':>8} {'of product':>11}")
    table: dict[str, Any] = {"limits": most, "rows": {}}
    wrong = []
    for stored in (case for case in STORED_CASES if case.name != "keep_mask"):  # a GPU draws other random numbers
        error = check_stored(stored)
        if not error < TOLERANCE["float32"]:
            wrong.append(stored.name)
            say(f"{stored.name:25} WRONG: {error:.1e} from PyTorch's stored outputs")
    for case in CASES:
        this = "float32" if case.float32 else kind
        size = case.small if small else case.large
        errors = check(case, this, {"small": case.small, "timed": size})
        if not max(errors.values()) < TOLERANCE[this]:
            wrong.append(case.name)
            say(f"{case.name:25} WRONG: {', '.join(f'{k} {v:.1e}' for k, v in errors.items())}; not timed")
            continue
        row = {"errors": errors, "product": case.product, **measure(case, this, size)}
        row["of_copy"] = row["bytes"] / row["seconds"] / most["bytes_per_s"]
        row["of_product"] = row["operations"] / row["seconds"] / most["operations_per_s"]
        table["rows"][case.name] = row
        say(
            f"{case.name:25} {max(errors.values()):8.1e} {row['seconds'] * 1e6:9.1f} {row['bytes'] / 1e6:8.1f} "
            f"{row['operations'] / 1e9:8.2f} {row['of_copy']:8.0%} {row['of_product']:11.0%}"
        )
    return table, wrong


# --------------------------------------------------------------------------------------------------------- steps


def work(name: str, job: Job, rounds: int) -> dict[str, Any]:
    """A contestant, in its own process: the loss without dropout, seconds of each step, peak memory."""
    kind, _, how = name.partition(", ")
    program: Any = importlib.import_module(f".bert_{kind.lower()}", __package__).Program(job, 1, how)
    loss, found = program.answers()[0], []
    for _ in range(5):  # kernels are compiled, memory is taken, graphs are recorded
        program.step()
    count = 5 if rounds > 2 else 1
    for _ in range(rounds):
        program.wait()
        start = time.perf_counter()
        for _ in range(count):
            program.step()
        program.wait()
        found.append((time.perf_counter() - start) / count)
    return {"loss": loss, "seconds": found, "peak_bytes": program.gpu_memory()}


def ask(name: str, job: Job, rounds: int) -> dict[str, Any]:
    """``work`` in a process of its own; if it fails, the last line of its error."""
    order = json.dumps({"name": name, "job": vars(job), "rounds": rounds})
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", "--work", order], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def steps(job: Job, names: list[str], rounds: int, say: Callable[[str], None]) -> tuple[dict[str, Any], bool]:
    """One job's rows, and whether all found the same loss; if not, nothing is timed."""
    found = {name: ask(name, job, rounds) for name in names}
    ran = {name: result for name, result in found.items() if "error" not in result}
    for name in found.keys() - ran.keys():
        say(f"{job.size:5} {name:18} did not run: {found[name]['error']}")
    losses = [result["loss"] for result in ran.values()]
    result: dict[str, Any] = {"job": vars(job), "losses": {name: r["loss"] for name, r in ran.items()}, "rows": {}}
    if losses and not max(losses) - min(losses) < LOSS_APART[job.precision]:
        say(f"{job.size:5} WRONG: the contestants disagree, so nothing is timed: {result['losses']}")
        return result, False
    base = ran.get("PyTorch")
    for name, r in ran.items():
        taken = statistics.median(r["seconds"])
        row = {"seconds": taken, "tokens_per_s": job.batch * job.length / taken, "peak_bytes": r["peak_bytes"]}
        row["of_pytorch"] = taken / statistics.median(base["seconds"]) if base else None
        result["rows"][name] = row
        ratio = "–" if base is None else f"{row['of_pytorch']:.2f}"
        say(
            f"{job.size:5} {job.batch:3} x {job.length:3} {name:18} {taken * 1e3:9.2f} {row['tokens_per_s']:11,.0f} "
            f"{r['peak_bytes'] / 2**20:9,.0f} {ratio:>8}"
        )
    return result, "minitorch" in ran


def all_steps(args: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[dict[str, Any]], bool]:
    """The table of steps, and whether every one is right."""
    names = [name for name in CONTESTANTS if not (name == "minitorch, graph" and args.precision == "fp16")]
    say(f"{'size':5} {'batch':9} {'contestant':18} {'ms':>9} {'tokens/s':>11} {'peak MiB':>9} {'/PyTorch':>8}")
    results, right = [], True
    for size in ["tiny"] if args.small else args.sizes:
        for batch, length in [(2, 16)] if args.small else JOBS[size]:
            vocabulary = 128 if args.small else 30522
            shape = {"size": size, "batch": batch, "length": length, "vocabulary": vocabulary}
            job = Job(**shape, device="cuda", precision=args.precision)
            result, good = steps(job, names, 2 if args.small else args.rounds, say)
            results.append(result)
            right = right and good
    return results, right


# ------------------------------------------------------------------------------------------------------- the rest


def draw(report: dict[str, Any], path: str) -> None:
    """One picture: each kernel's share of its limit, and each job's time over PyTorch's."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows, jobs = report.get("kernels", {}).get("rows", {}), report.get("steps", [])
    figure, axes = plt.subplots(1, bool(rows) + bool(jobs) or 1, figsize=(12, 5), layout="constrained", squeeze=False)
    if rows:
        left = axes[0, 0]
        shares = {name: row["of_product" if row["product"] else "of_copy"] for name, row in rows.items()}
        bars = left.barh(list(shares), list(shares.values()), color=["C1" if rows[name]["product"] else "C0" for name in shares])
        left.bar_label(bars, [f"{share:.0%}" for share in shares.values()])
        left.axvline(0.8, color="black", linewidth=0.8)
        left.invert_yaxis()
        left.set_xlabel("share of this GPU's copy (blue) or matrix product (orange)")
    if jobs:
        right = axes[0, -1]
        for k, name in enumerate(CONTESTANTS):
            at = [i for i, job in enumerate(jobs) if job["rows"].get(name, {}).get("of_pytorch")]
            bars = right.bar([i + 0.2 * k for i in at], [jobs[i]["rows"][name]["of_pytorch"] for i in at], 0.19, label=name)
            right.bar_label(bars, fmt="%.2f", fontsize=8)
        labels = [f"{job['job']['size']}\n{job['job']['batch']} x {job['job']['length']}" for job in jobs]
        right.set_xticks([i + 0.3 for i in range(len(jobs))], labels)
        right.set_ylabel("time of a step / PyTorch eager's")
        right.legend()
    figure.suptitle(f"{report['gpu']}, {report['precision']}")
    figure.savefig(path, dpi=120)


def gpu_name() -> str:
    """The GPU's name."""
    name = devices.cupy().cuda.runtime.getDeviceProperties(0)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Kernels and training steps on a GPU.")
    parser.add_argument("--precision", default="float32", choices=list(KINDS))
    parser.add_argument("--only", choices=["kernels", "steps"], help="one of the two parts")
    parser.add_argument("--sizes", nargs="+", default=list(JOBS), choices=list(JOBS), help="sizes of the models in the steps")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of a step (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="tiny sizes: shows that everything runs; its times mean nothing")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--picture", metavar="FILE", help="draw them there")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work:
        order = json.loads(args.work)
        job = Job(**order["job"])
        if order["name"].startswith("PyTorch"):
            importlib.import_module(".bert_pytorch", __package__).prepare(job, 1)
        print(json.dumps(work(order["name"], job, order["rounds"])))
        return 0
    if not minitorch.cuda_is_available():
        print("benchmarks.gpu: no GPU: CuPy is not installed or finds none; `minitorch doctor` says more", file=sys.stderr)
        return 2
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {args.rounds}")
    return run(args)


def run(args: argparse.Namespace) -> int:
    """The parts that are asked for; prints and keeps their figures."""
    say = functools.partial(print, flush=True)
    report: dict[str, Any] = {"gpu": gpu_name(), "machine": describe(), "precision": args.precision}
    right = True
    say(f"{report['gpu']}, {args.precision}")
    if args.precision == "tf32":
        minitorch.set_float32_matmul_precision("high")
    if args.only != "steps":
        report["kernels"], wrong = kernels(KINDS[args.precision], args.small, say)
        right = not wrong
    if args.only != "kernels":
        report["steps"], good = all_steps(args, say)
        right = right and good
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    if args.picture:
        draw(report, args.picture)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
