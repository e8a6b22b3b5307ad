"""Every kernel: checked first, then timed, compared with PyTorch.

    python -m benchmarks.kernels [--quick] [--only NAME ...] [--json FILE]

The kernel that the engine runs (within kernels.use also one of your own) must agree (a) with the definition in float64 and (b)
with PyTorch's stored outputs. One that does not is not timed, and the run fails. A time is the CPU time that one thread takes for
result and gradients, the best of several interleaved tries; other programs do not count. Two columns compare it with this
machine's limits: "of copy" divides the least bytes that must pass through memory by the speed of copying, "of product" the
operations by the speed of a matrix product. Both counts come from the mathematics, not from the implementation. Data that stay
in the CPU's cache can beat the copy.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models import startup

if __name__ == "__main__":
    startup.prepare()  # the choice of BLAS kernels, before NumPy is imported

import numpy as np

from minitorch import kernels
from minitorch.kernels import reference
from minitorch.parallel import one_blas_thread

from .kernel_cases import CASES, Case, moved_bytes, outputs_of, torch_outputs, wide
from .machine import describe
from .make_kernels import STORED


class Engine:
    """The kernels as the engine runs them, by name."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return kernels.KERNELS[name]


def distance(found: Sequence[Any], expected: Sequence[Any]) -> float:
    """The largest difference of any output, over the largest number in it (or 1)."""
    if len(found) != len(expected) or any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        return float("inf")
    return max(
        float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max()))) if np.isfinite(a).all() else float("inf")
        for a, b in zip(found, expected, strict=True)
    )


def check(case: Case) -> dict[str, float]:
    """The engine's distance from the definition (small and large) and from PyTorch."""
    found = {}
    for sizes, label in ((case.small, "definition, small"), (case.large, "definition, large")):
        arrays, constants = case.arrays(sizes)
        expected = outputs_of(case, reference, [wide(x) for x in arrays], [wide(x) for x in constants])
        found[label] = distance(outputs_of(case, Engine(), arrays, constants), expected)
    with np.load(STORED) as stored:
        counts = zip(("in", "constant", "out"), stored[f"{case.name}.counts"], strict=True)
        arrays, constants, expected = ([stored[f"{case.name}.{part}{i}"] for i in range(int(n))] for part, n in counts)
    found["PyTorch, stored"] = distance(outputs_of(case, Engine(), arrays, constants), expected)
    return found


def best(runs: dict[str, Callable[[], Any]], tries: int) -> dict[str, float]:
    """The shortest time of each; they take turns."""
    times = dict.fromkeys(runs, float("inf"))
    for _ in range(tries):
        for name, run in runs.items():
            start = time.thread_time()
            run()
            times[name] = min(times[name], time.thread_time() - start)
    return times


def speed_of(case: Case, tries: int) -> dict[str, Any]:
    """Seconds of ours, of the definition and of PyTorch's; bytes and operations."""
    arrays, constants = case.arrays(case.large)
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: case.outputs(Engine(), *arrays, *constants),
        "definition": lambda: case.outputs(reference, *arrays, *constants),
    }
    try:
        import torch

        torch.set_num_threads(1)
        theirs, fixed = [torch.from_numpy(x) for x in arrays], [torch.from_numpy(x) for x in constants]
        runs["PyTorch"] = lambda: torch_outputs(torch, case, theirs, fixed)
    except ImportError:
        pass
    moved = moved_bytes(case.outputs(Engine(), *arrays, *constants), [*arrays, *constants])
    return {"seconds": best(runs, tries), "bytes": moved, "operations": float(case.operations(*case.large))}


def limits(tries: int = 15) -> dict[str, float]:
    """One thread: bytes per second of a copy (read and written), operations per second of a matrix product."""
    x = np.ones(1 << 24, np.float32)
    y, (a, b, c) = np.empty_like(x), np.ones((3, 1024, 1024), np.float32)
    times = best({"copy": lambda: np.copyto(y, x), "product": lambda: np.matmul(a, b, out=c)}, tries)
    return {"bytes_per_s": 2 * x.nbytes / times["copy"], "operations_per_s": 2 * 1024**3 / times["product"]}


def line(name: str, row: dict[str, Any], most: dict[str, float]) -> str:
    """One row of the table."""
    seconds = row["seconds"]
    ours = seconds["ours"]
    theirs = f"{ours / seconds['PyTorch']:8.2f}" if "PyTorch" in seconds else "       –"
    return (
        f"{name:25} {max(row['errors'].values()):8.1e} {ours * 1e3:8.2f} {ours / seconds['definition']:11.2f} {theirs} "
        f"{row['bytes'] / 1e6:7.1f} {row['operations'] / 1e6:9.1f} {row['bytes'] / ours / most['bytes_per_s']:7.0%} "
        f"{row['operations'] / ours / most['operations_per_s']:9.0%}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the status is 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[case.name for case in CASES])
    parser.add_argument("--quick", action="store_true", help="three tries instead of fifteen")
    parser.add_argument("--json", metavar="FILE", type=Path)
    args = parser.parse_args(argv)
    failed, rows, tries = [], {}, 3 if args.quick else 15
    with one_blas_thread(), np.errstate(all="ignore"):
        most = limits(tries)
        print(f"one thread: copy {most['bytes_per_s'] / 1e9:.1f} GB/s, product {most['operations_per_s'] / 1e9:.0f} GFLOP/s")
        print("with gradient                error       ms  /definition /PyTorch   MB     MFLOP  of copy of product")
        for case in CASES:
            if args.only and case.name not in args.only:
                continue
            errors = check(case)
            if not max(errors.values()) < case.tolerance:
                failed.append(case.name)
                print(f"{case.name:25} WRONG: {', '.join(f'{k} {v:.1e}' for k, v in errors.items())}; not timed")
                continue
            rows[case.name] = {"errors": errors, "tolerance": case.tolerance, **speed_of(case, tries)}
            print(line(case.name, rows[case.name], most), flush=True)
    if failed:
        print(f"\n{len(failed)} of {len(failed) + len(rows)} failed their check: {', '.join(failed)}", file=sys.stderr)
    elif args.json:
        args.json.write_text(json.dumps({"machine": describe(), "limits": most, "kernels": rows}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
