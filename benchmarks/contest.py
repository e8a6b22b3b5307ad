"""Contestants take turns: each is a process that stays alive, one works at a time, every other round in reversed order.

The result is the median of the rounds' ratios, because milliseconds vary with everything else the machine does. Before anything
is timed, all contestants must find the same numbers. The matrix product alone takes part as one of them.
Read before: bert_job.py, gpt_job.py. Read next: steps.py.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .bert_job import Job
from .gpt_job import GPTJob
from .machine import blas_kernels, cpu_ticks, has_avx512, memory_now, others, peak_memory

STUB = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"
GEMM = "matrix products alone"
JOBS: dict[str, Any] = {job.family: job for job in (Job, GPTJob)}


class Disagreement(SystemExit):
    """The contestants do not compute the same; the run ends with status 1."""


# ------------------------------------------------------------------------------------------- the contestant's side


def work(kind: str, threads: int, job: Any) -> None:
    """Answer orders, one per line, until there are no more."""
    if kind != "pytorch":
        from models import startup

        startup.prepare()
    module: Any = None if kind == "gemm" else importlib.import_module(f".{job.family}_{kind}", __package__)
    if module is not None:
        module.prepare(job, threads)
    before = memory_now()
    program: Any = Gemm(threads) if module is None else module.Program(job, threads)
    for line in sys.stdin:
        order, times = json.loads(line)
        if order == "answers":
            answer: Any = program.answers()
        elif order == "step":
            answer = [timed(program.step) for _ in range(times)]
        elif order == "arrays":
            answer = array_memory(program.step)
        else:
            answer = peak_memory(), before
        print(json.dumps(answer), flush=True)


def timed(step: Any) -> tuple[float, float]:
    """Seconds on the clock, and of CPU time."""
    start, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - start, time.process_time() - cpu


def array_memory(step: Any) -> float:
    """Exact peak MiB that a step allocates, in addition to weights and the optimiser's state."""
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


class Gemm:
    """NumPy's float32 matrix product, each thread on its rows: no step can be faster than its products."""

    N = 1024

    def __init__(self, threads: int) -> None:
        import numpy as np

        from minitorch.parallel import Workers

        self.a, self.b, self.c = np.random.default_rng(0).random((3, self.N, self.N), dtype=np.float32)
        self.parts = [slice(i * self.N // threads, (i + 1) * self.N // threads) for i in range(threads)]
        self.workers = Workers(threads).__enter__()
        self.product = lambda at: np.matmul(self.a[at], self.b, out=self.c[at])

    def step(self) -> None:
        """One product."""
        list(self.workers.map(self.product, self.parts))

    def answers(self) -> list[float]:
        """Nothing to compare."""
        return []


# ----------------------------------------------------------------------------------------------- the other side


class Contestant:
    """A process that builds its program and then waits for orders."""

    def __init__(self, name: str, kind: str, job: Any, threads: int, environment: Mapping[str, str | None]) -> None:
        self.name, self.kind, self.job = name, kind, job
        clean = dict.fromkeys(("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "MKL_NUM_THREADS"))
        merged = {**os.environ, **clean, "OPENBLAS_NUM_THREADS": str(threads), **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contest", job.family, kind, str(threads), json.dumps(dataclasses.asdict(job))],
            env={key: value for key, value in merged.items() if value is not None},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        )  # fmt: skip

    def ask(self, order: str, times: int = 1) -> Any:
        """An order, and the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([order, times]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has died on {self.job}; its message is above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def other_kernels() -> str | None:
    """OpenBLAS's kernels that the command does not choose; only a CPU with AVX-512 can run both."""
    if not has_avx512():
        return None
    return "Haswell" if blas_kernels(prepared=True) == "SkylakeX" else "SkylakeX"


def build_stub(folder: Path) -> Path | None:
    """The library that, preloaded, lets MKL take its AVX-512 path; None without a compiler or such a CPU."""
    source, library = folder / "stub.c", folder / "stub.so"
    source.write_text(STUB)
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library if has_avx512() else None


def has_torch() -> bool:
    """Is PyTorch installed?"""
    return importlib.util.find_spec("torch") is not None


def line_up(jobs: Mapping[str, Any], threads: int, stub: Path | None, kernels: str | None = None) -> list[Contestant]:
    """Matrix products, then for each job: ours, ours with other BLAS kernels, PyTorch as installed and unlocked."""
    field = [Contestant(GEMM, "gemm", next(iter(jobs.values())), threads, {})]
    for label, job in jobs.items():
        field.append(Contestant("minitorch" + label, "minitorch", job, threads, {}))
        if kernels is not None:
            field.append(Contestant(f"minitorch{label}, {kernels}", "minitorch", job, threads, {"OPENBLAS_CORETYPE": kernels}))
        if has_torch():
            field.append(Contestant("PyTorch" + label, "pytorch", job, threads, {}))
            if stub is not None:
                field.append(Contestant(f"PyTorch{label}, AVX-512", "pytorch", job, threads, {"LD_PRELOAD": str(stub)}))
    return field


def play(field: Sequence[Contestant], seconds: float, least: int = 5, most: int = 15) -> dict[str, Any]:
    """Compare the answers, play ``least`` to ``most`` rounds for about ``seconds``, and evaluate them."""
    try:
        for c in field:
            c.ask("memory")  # wait until all are built: nobody imports while another chooses its number of threads
        answers = {c.name: c.ask("answers") for c in field}
        check(field, answers)
        once = {c.name: c.ask("step", 2)[-1][0] for c in field}
        turns = {name: max(1, min(100, int(0.25 / t))) for name, t in once.items()}
        rounds = max(least, min(most, int(seconds / sum(t * turns[name] for name, t in once.items()))))
        before, ours = cpu_ticks(), 0.0
        times: dict[str, list[tuple[float, float]]] = {c.name: [] for c in field}
        for i in range(rounds):
            for c in field if i % 2 == 0 else field[::-1]:
                turn = c.ask("step", turns[c.name])
                times[c.name].append((statistics.median(t for t, _ in turn), statistics.median(t for _, t in turn)))
                ours += sum(t for _, t in turn)
        busy = others(before, ours)
        rows = [row(c, times) for c in field if c.kind != "gemm"]
        return {"rounds": rounds, "cpu_used_by_others": busy, "gemm_gflops": gflops(times), "answers": answers, "rows": rows}
    finally:
        for c in field:
            c.close()


def check(field: Sequence[Contestant], answers: dict[str, list[float]]) -> None:
    """Contestants with the same job must agree, up to the rounding of differently ordered sums."""
    first: dict[Any, list[float]] = {}
    for c in field[1:]:  # not the matrix products
        expected = first.setdefault(c.job, answers[c.name])
        if any(not abs(a - b) <= 1e-3 * max(1.0, abs(b)) for a, b in zip(answers[c.name], expected, strict=True)):
            raise Disagreement(f"{c.job}: the contestants disagree, so nothing is timed: {answers}")


def gflops(times: dict[str, list[tuple[float, float]]]) -> float:
    """GFLOP/s of the matrix product in the median round."""
    return 2 * Gemm.N**3 / statistics.median(t for t, _ in times[GEMM]) / 1e9


def row(c: Contestant, times: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """A contestant's figures: median times, and median ratios to each other contestant in the same round."""
    mine = times[c.name]

    def median_ratio(name: str, which: int) -> float:
        return statistics.median(a[which] / b[which] for a, b in zip(mine, times[name], strict=True))

    wall = [t for t, _ in mine]
    peak, before = c.ask("memory")
    return {
        "name": c.name, "kind": c.kind, "job": dataclasses.asdict(c.job),
        "median_s": statistics.median(wall), "best_s": min(wall), "tokens_per_s": c.job.tokens() / statistics.median(wall),
        "peak_mib": peak, "imports_mib": before,
        "share_of_matmul": c.job.operations() / (2 * Gemm.N**3) / median_ratio(GEMM, 0),
        "ratio_to": {name: median_ratio(name, 0) for name in times if name != GEMM},
        "cpu_ratio_to": {name: median_ratio(name, 1) for name in times if name != GEMM},
    }  # fmt: skip


if __name__ == "__main__":
    work(sys.argv[2], int(sys.argv[3]), JOBS[sys.argv[1]](**json.loads(sys.argv[4])))
