"""Training steps of GPT with this engine and with eager PyTorch, in turns.

    python -m benchmarks.gpt [--quick] [--json FILE]

The first contest is nanoGPT's published recipe for characters of Shakespeare on a CPU, the second the default of
`minitorch pretrain --model gpt`. contest.py explains contestants, rounds and ratios; steps.py does the same for BERT.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from .contest import build_stub, line_up, other_kernels, play
from .gpt_job import GPTJob
from .machine import cores, describe
from .steps import HEAD, table

CONTESTS = {
    "nanoGPT's recipe for a CPU": GPTJob(),
    "pretraining as the command does it": GPTJob(batch=32, vocabulary=2048),
    "the same with dropout": GPTJob(batch=32, vocabulary=2048, dropout=0.1),
    "GPT mini, 256 tokens, 8,192 pieces": GPTJob(hidden=256, batch=8, length=256, vocabulary=8192),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, help="seconds per contest, at least 5 rounds (default: 15, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="small models, few rounds: shows that it runs")
    parser.add_argument("--json", metavar="FILE", type=Path)
    args = parser.parse_args()
    report: dict[str, Any] = {"machine": describe(), "threads": args.threads, "results": []}
    with tempfile.TemporaryDirectory() as folder:
        stub, kernels = build_stub(Path(folder)), other_kernels()
        for i, (title, job) in enumerate(CONTESTS.items()):
            small = dataclasses.replace(job, layers=1, length=16, batch=4) if args.quick else job
            field = line_up({"": small}, args.threads, stub, kernels if i == 0 else None)
            seconds = args.seconds or (1 if args.quick else 15)
            report["results"].append({"title": title, **play(field, seconds, 3 if args.quick else 5)})
            print(f"\n{i + 1}/{len(CONTESTS)} {title}\n{HEAD}\n{table(report['results'][-1])}", flush=True)
            if args.json:
                args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
