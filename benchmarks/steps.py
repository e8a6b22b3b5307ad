"""Whole steps of BERT: pretraining, fine-tuning and inference with this engine and with eager PyTorch, in turns.

    python -m benchmarks.steps [--quick] [--tasks pretrain ...] [--sizes tiny ...] [--json FILE]

PyTorch runs twice: as installed, and with MKL's AVX-512 path. MKL takes that path only on Intel's CPUs, unless a preloaded
function claims that this is one. This engine runs with the command's settings, and in pretraining also with the other BLAS
kernels. contest.py explains contestants, rounds and ratios. "of matmul" is the time that a step's matrix products alone would
take, padding not counted, over the step's time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from .bert_job import Job
from .contest import build_stub, line_up, other_kernels, play
from .machine import cores, describe

SIZES = ["tiny", "mini", "small"]
TASKS = ["pretrain", "finetune", "infer"]
HEAD = "contestant                       ms  tokens/s  peak MiB  less imports of matmul  ours/it  (CPU time)"


def contests(tasks: list[str], sizes: list[str], quick: bool) -> list[tuple[str, dict[str, Job], bool]]:
    """Title, jobs by label, and whether the other BLAS kernels also run."""
    found = []
    vocabularies = [8192] if quick else [8192, 30522]
    room = {"batch": 8, "length": 64} if quick else {"batch": 32, "length": 128}
    for task, vocabulary, size in ((t, v, s) for t in tasks for v in vocabularies for s in sizes):
        job = Job(task, size, vocabulary=vocabulary, **room)
        where = f"{size}, {vocabulary:,} words"
        if task == "pretrain":
            found.append((f"pretraining, {where}", {"": job}, vocabulary == 8192))
            if vocabulary == 8192 and not quick:
                plain = dataclasses.replace(job, asked_only=False)
                found.append((f"pretraining, {where}, the last layer at all tokens", {"": plain}, False))
        elif task == "finetune":
            found.append((f"fine-tuning, {where}", {"": job}, False))
            if vocabulary == 8192:
                mixed = {f", {x}": dataclasses.replace(job, lengths=x) for x in ("mixed", "grouped")}
                found.append((f"fine-tuning, {where}, 4 batches of mixed lengths", mixed, False))
        elif vocabulary == vocabularies[-1]:
            for length in (24, 128):
                one = dataclasses.replace(job, batch=1, length=length)
                found.append((f"one sentence of {length} tokens, {where}", {"": one}, False))
    return found


def table(result: dict[str, Any]) -> str:
    """The lines of a contest."""
    ours = result["rows"][0]
    lines = []
    for row in result["rows"]:
        lines.append(
            f"{row['name']:28} {row['median_s'] * 1e3:6.{1 if row['median_s'] > 0.1 else 2}f} {row['tokens_per_s']:9,.0f} "
            f"{row['peak_mib']:9.0f} {row['peak_mib'] - row['imports_mib']:13.0f} {row['share_of_matmul']:9.0%} "
            f"{ours['ratio_to'][row['name']]:8.2f} {ours['cpu_ratio_to'][row['name']]:9.2f}"
        )
    rest = f"{result['rounds']} rounds; matrix products {result['gemm_gflops']:.0f} GFLOP/s"
    return "\n".join([*lines, f"({rest}; others kept {result['cpu_used_by_others']:.1f} cores busy)"])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, help="default: all, with --quick tiny")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, help="seconds per contest, at least 5 rounds (default: 15, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="a small batch, few rounds: shows that it runs")
    parser.add_argument("--json", metavar="FILE", type=Path)
    args = parser.parse_args()
    args.sizes = args.sizes or (["tiny"] if args.quick else SIZES)
    report: dict[str, Any] = {"machine": describe(), "threads": args.threads, "results": []}
    plan, start = contests(args.tasks, args.sizes, args.quick), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        stub, kernels = build_stub(Path(folder)), other_kernels()
        for i, (title, jobs, both_kernels) in enumerate(plan, 1):
            field = line_up(jobs, args.threads, stub, kernels if both_kernels else None)
            seconds = args.seconds or (1 if args.quick else 15)
            report["results"].append({"title": title, **play(field, seconds, 3 if args.quick else 5)})
            spent = time.perf_counter() - start
            print(f"\n{i}/{len(plan)} {title} ({spent:.0f} s)\n{HEAD}\n{table(report['results'][-1])}", flush=True)
            if args.json:
                args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
