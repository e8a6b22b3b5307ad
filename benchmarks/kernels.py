"""Every kernel: checked first, then timed beside PyTorch.

    python -m benchmarks.kernels [--json FILE]

(a) The fast kernel agrees with its definition in float64, (b) with PyTorch's stored outputs. One that does not gets no
time, and the run fails. Times are the processor time that one thread takes for result and gradients (what else the machine
does is not in it), the best of interleaved tries. They are set against this machine: the bytes that must pass through memory
at least against the speed of copying, the operations against that of a matrix product. Both counts are of the mathematics,
not of the implementation.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import startup

startup.prepare()

import numpy as np  # noqa: E402  after the choice of BLAS kernels

from minitorch.kernels import cpu, reference  # noqa: E402
from minitorch.parallel import one_blas_thread  # noqa: E402

from .kernel_cases import CASES, Case, moved_bytes, torch_outputs  # noqa: E402
from .machine import describe  # noqa: E402
from .make_kernels import STORED  # noqa: E402

TOLERANCE = 2e-5  # of the largest number of an output


def wide(x: Any) -> Any:
    """float64 instead of float32."""
    return x.astype(np.float64) if x.dtype == np.float32 else x


def distance(found: list[Any], expected: list[Any]) -> float:
    """The largest difference of any output, over the largest number in it (or 1)."""
    if len(found) != len(expected) or any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        return float("inf")
    return max(
        float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max()))) if np.isfinite(a).all() else float("inf")
        for a, b in zip(found, expected, strict=True)
    )


def check(case: Case) -> dict[str, float]:
    """How far the fast kernel is from its definition (small and large) and from PyTorch."""
    found = {}
    for sizes, label in ((case.small, "definition, small"), (case.large, "definition, large")):
        arrays, constants = case.arrays(sizes)
        got = case.outputs(cpu, *arrays, *constants)
        found[label] = distance(got, case.outputs(reference, *map(wide, arrays), *map(wide, constants)))
    with np.load(STORED) as stored:
        arrays, constants = case.arrays(case.small)
        got = case.outputs(cpu, *arrays, *constants)
        found["PyTorch, stored"] = distance(got, [stored[f"{case.name}.{i}"] for i in range(len(got))])
    return found


def best(runs: dict[str, Callable[[], Any]], tries: int = 15) -> dict[str, float]:
    """The shortest time of each, in turns."""
    times = dict.fromkeys(runs, float("inf"))
    for _ in range(tries):
        for name, run in runs.items():
            start = time.thread_time()
            run()
            times[name] = min(times[name], time.thread_time() - start)
    return times


def speed_of(case: Case) -> dict[str, Any]:
    """Seconds of ours, of the definition and of PyTorch's; bytes and operations."""
    arrays, constants = case.arrays(case.large)
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: case.outputs(cpu, *arrays, *constants),
        "definition": lambda: case.outputs(reference, *arrays, *constants),
    }
    try:
        import torch

        torch.set_num_threads(1)
        theirs, fixed = [torch.from_numpy(x) for x in arrays], [torch.from_numpy(x) for x in constants]
        runs["PyTorch"] = lambda: torch_outputs(torch, case, theirs, fixed)
    except ImportError:
        pass
    moved = moved_bytes(case.outputs(cpu, *arrays, *constants), [*arrays, *constants])
    return {"seconds": best(runs), "bytes": moved, "operations": float(case.operations(*case.large))}


def limits() -> dict[str, float]:
    """Bytes read and written a second by a copy, operations a second of a matrix product, of one thread."""
    x = np.ones(1 << 24, np.float32)
    y, (a, b, c) = np.empty_like(x), np.ones((3, 1024, 1024), np.float32)
    times = best({"copy": lambda: np.copyto(y, x), "product": lambda: np.matmul(a, b, out=c)})
    return {"bytes_per_s": 2 * x.nbytes / times["copy"], "operations_per_s": 2 * 1024**3 / times["product"]}


def line(name: str, row: dict[str, Any], most: dict[str, float]) -> str:
    """One row of the table."""
    seconds = row["seconds"]
    ours = seconds["ours"]
    theirs = f"{ours / seconds['PyTorch']:7.2f}" if "PyTorch" in seconds else "      –"
    return (
        f"{name:14} {max(row['errors'].values()):8.1e} {ours * 1e3:8.2f} {ours / seconds['definition']:11.2f} {theirs} "
        f"{row['bytes'] / 1e6:7.1f} {row['operations'] / 1e6:9.1f} {row['bytes'] / ours / most['bytes_per_s']:7.0%} "
        f"{row['operations'] / ours / most['operations_per_s']:7.0%}"
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    failed, rows = [], {}
    with one_blas_thread(), np.errstate(all="ignore"):
        most = limits()
        print(f"one thread: copy {most['bytes_per_s'] / 1e9:.1f} GB/s, product {most['operations_per_s'] / 1e9:.0f} GFLOP/s")
        print("kernel            error       ms  /definition /PyTorch   MB    MFLOP   of copy  of product")
        for case in CASES:
            errors = check(case)
            if not max(errors.values()) < TOLERANCE:
                failed.append(case.name)
                print(f"{case.name:14} WRONG: {', '.join(f'{k} {v:.1e}' for k, v in errors.items())}; not timed")
                continue
            rows[case.name] = {"errors": errors, **speed_of(case)}
            print(line(case.name, rows[case.name], most), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({"machine": describe(), "limits": most, "kernels": rows}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
