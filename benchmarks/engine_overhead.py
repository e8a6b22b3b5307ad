"""The engine's overhead over NumPy's own calls: microseconds per node, forward and backward, on tiny tensors.

    python -m benchmarks.engine_overhead [--json FILE] [--rounds N]

Each case is a chain of 100 equal steps on 2x2 float32 tensors. The same arithmetic runs as bare NumPy calls (forward, and
the gradient's arithmetic backward), on minitorch and, where it is installed, on PyTorch with one thread. The contestants take
turns, every other round in reversed order. A figure is the difference to NumPy in the same round, per node, as the median over
the rounds. Values and gradients are compared first: a case that disagrees is not timed. Aims: 3 µs or less each way, and under
50 ms for ``import minitorch`` after numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minitorch

from .machine import describe

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

STEPS = 100
X = np.array([[0.3, -0.2], [0.1, 0.4]], dtype=np.float32)
W = np.array([[0.8, -0.6], [0.6, 0.8]], dtype=np.float32)  # a rotation: a chain of it neither grows nor fades
C = np.array([[1.01, 0.99], [0.98, 1.02]], dtype=np.float32)


@dataclass
class Case:
    """One step of a chain: for a library's tensors, and written out in NumPy."""

    name: str
    nodes: int  # per step
    step: Callable[..., Any]  # (x, w, c) -> x, for minitorch and PyTorch
    forward: Callable[[Any], Any]  # x -> (y, what backward needs)
    backward: Callable[[Any, Any], Any]  # (g, what was kept) -> gradient of x


def _layer(x: Any) -> Any:
    y = np.tanh(x @ W + C)
    return y * C, y


def _layer_back(g: Any, y: Any) -> Any:
    return (g * C * (1 - y * y)) @ W.T


def _tanh(x: Any) -> Any:
    y = np.tanh(x)
    return y, y


CASES = [
    Case("add", 1, lambda x, w, c: x + c, lambda x: (x + C, None), lambda g, _: g),
    Case("mul", 1, lambda x, w, c: x * c, lambda x: (x * C, None), lambda g, _: g * C),
    Case("tanh", 1, lambda x, w, c: x.tanh(), _tanh, lambda g, y: g * (1 - y * y)),
    Case("matmul", 1, lambda x, w, c: x @ w, lambda x: (x @ W, None), lambda g, _: g @ W.T),
    Case(
        "sum(0, keepdim)",
        1,
        lambda x, w, c: x.sum(0, keepdim=True),
        lambda x: (x.sum(axis=0, keepdims=True), x.shape),
        lambda g, shape: np.broadcast_to(g, shape),
    ),
    Case("tanh(x @ w + c) * c", 4, lambda x, w, c: (x @ w + c).tanh() * c, _layer, _layer_back),
]


# --------------------------------------------------------------------------------------------- the contestants


def numpy_run(case: Case) -> tuple[float, float, Any, Any]:
    """Seconds forward, seconds backward, value and gradient."""
    x, kept = X, []
    start = time.perf_counter()
    for _ in range(STEPS):
        x, keep = case.forward(x)
        kept.append(keep)
    middle = time.perf_counter()
    g = np.ones_like(x)
    for keep in reversed(kept):
        g = case.backward(g, keep)
    return middle - start, time.perf_counter() - middle, x, g


def library_run(case: Case, library: Any) -> tuple[float, float, Any, Any]:
    """The same on minitorch or PyTorch."""
    first = library.tensor(X, requires_grad=True)
    w, c = library.tensor(W), library.tensor(C)
    x, step = first, case.step
    start = time.perf_counter()
    for _ in range(STEPS):
        x = step(x, w, c)
    middle = time.perf_counter()
    x.backward(library.ones_like(x))
    return middle - start, time.perf_counter() - middle, x.detach().numpy(), first.grad.numpy()


def contestants() -> dict[str, Callable[[Case], tuple[float, float, Any, Any]]]:
    """NumPy, minitorch, and PyTorch if it is installed."""
    runs = {"numpy": numpy_run, "minitorch": lambda case: library_run(case, minitorch)}
    return runs if torch is None else runs | {"torch": lambda case: library_run(case, torch)}


def check(case: Case) -> None:
    """Refuse to time a contestant that computes something else."""
    _, _, value, gradient = numpy_run(case)
    for name, run in contestants().items():
        np.testing.assert_allclose(run(case)[2], value, rtol=1e-4, atol=1e-6, err_msg=f"{case.name}: value of {name}")
        np.testing.assert_allclose(run(case)[3], gradient, rtol=1e-4, atol=1e-6, err_msg=f"{case.name}: gradient of {name}")


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Median microseconds per node of every contestant, and the difference to NumPy."""
    runs = contestants()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for k in range(rounds):
        for name in list(runs) if k % 2 == 0 else list(runs)[::-1]:
            times[name].append(runs[name](case)[:2])
    unit = 1e6 / (STEPS * case.nodes)
    row: dict[str, Any] = {"case": case.name}
    for way, i in (("forward", 0), ("backward", 1)):
        base = [t[i] for t in times["numpy"]]
        row[way] = {name: round(unit * statistics.median(t[i] for t in times[name]), 3) for name in runs}
        for name in list(runs)[1:]:
            added = statistics.median(t[i] - b for t, b in zip(times[name], base))
            row[way][f"{name} adds"] = round(unit * added, 3)
    return row


def import_milliseconds(repeats: int = 11) -> float:
    """Median milliseconds that ``import minitorch`` adds to ``import numpy``, once Python has compiled both."""
    code = "import time, numpy; t = time.perf_counter(); import minitorch; print(1000 * (time.perf_counter() - t))"
    with tempfile.TemporaryDirectory() as cache:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": cache}

        def once() -> float:
            root = Path(__file__).resolve().parents[1]
            return float(subprocess.check_output([sys.executable, "-c", code], cwd=root, env=environment, text=True))

        once()  # the first import compiles
        return statistics.median(once() for _ in range(repeats))


# ---------------------------------------------------------------------------------------------------- the report


def main() -> None:
    """Check, measure, print; write the JSON file if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here too")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="20 rounds")
    args = parser.parse_args()
    args.rounds = 20 if args.quick else args.rounds
    for case in CASES:
        check(case)
    machine = describe()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    rows = [measure(case, args.rounds) for case in CASES]
    others = list(contestants())[1:]
    print(f"\n{'microseconds per node':22}" + "".join(f"{way:>{12 + 24 * len(others)}}" for way in ("forward", "backward")))
    print(f"{'':22}" + 2 * ("       numpy" + "".join(f"{name:>12}{'adds':>12}" for name in others)))
    for row in rows:
        keys = ["numpy", *(key for name in others for key in (name, f"{name} adds"))]
        ordered = [row[way][key] for way in ("forward", "backward") for key in keys]
        print(f"{row['case']:22}" + "".join(f"{value:12.2f}" for value in ordered))
    summary = {
        f"{name} adds, {way}": round(statistics.median(row[way][f"{name} adds"] for row in rows), 3)
        for name in others
        for way in ("forward", "backward")
    }
    summary["import minitorch after numpy, ms"] = round(import_milliseconds(), 1)
    print("\nmedian over the cases")
    for key, value in summary.items():
        print(f"  {key}: {value}")
    if args.json:
        report = {"machine": machine, "steps": STEPS, "rounds": args.rounds, "median": summary, "cases": rows}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
