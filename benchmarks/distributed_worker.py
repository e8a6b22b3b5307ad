"""A rank of benchmarks/distributed.py: times sums of arrays, or steps of training; rank 0 prints what it found as JSON."""

from __future__ import annotations

import argparse
import json
import time
from types import SimpleNamespace
from typing import Any

from models import startup

startup.prepare()  # before NumPy is imported

import numpy as np  # noqa: E402

from minitorch import Tensor, distributed  # noqa: E402
from minitorch.parallel import Workers, one_blas_thread  # noqa: E402
from models.bert.pretraining import forward, ready  # noqa: E402
from models.training import ranks  # noqa: E402

from .bert_job import Job  # noqa: E402
from .bert_minitorch import Program  # noqa: E402


def sums(sizes: list[int]) -> list[tuple[int, float, float]]:
    """(bytes, median seconds, median CPU seconds of a rank) of a sum over all ranks."""
    group, found = distributed.current(), []
    for n in sizes:
        x, times = np.zeros(n // 4, np.float32), []
        for _ in range(40 if n < 1 << 20 else 8):
            group.barrier()
            started = np.array([time.perf_counter(), time.process_time()])
            group.reduce(x)
            times.append(np.array([time.perf_counter(), time.process_time()]) - started)
        found.append((n, *(total / group.size for total in ranks.totals(*np.median(times, axis=0).tolist()))))
    return found


class Loop:
    """Pretraining steps on fixed numbers, as models/training/pretraining.py does them."""

    def __init__(self, args: Any) -> None:
        self.threads, job = args.threads, Job("pretrain", "mini", batch=args.batch, length=32)
        self.program = Program(job, 1)
        (batch,) = job.batches()
        self.batch = {"input_ids": Tensor(batch["ids"]), "labels": Tensor(batch["labels"])}
        self.team = ranks.Team(SimpleNamespace(wire=args.wire, local_steps=args.local_steps))
        self.size, self.step = args.bucket, 0

    def run(self, steps: int) -> dict[str, Any]:
        """Medians over the steps, without the first two."""
        p, group, times = self.program, distributed.current(), []
        with one_blas_thread(), Workers(self.threads) as workers, self.team.training(p.parameters):
            if self.team.buckets is not None and self.size:
                self.team.buckets.close()
                self.team.buckets = distributed.Buckets(self.team.parameters, group, self.team.wire, self.size).watch()
            for _ in range(steps + 2):
                times.append((time.perf_counter(), *((group.seconds, group.bytes) if group else (0.0, 0))))
                self.one(workers)
            times.append((time.perf_counter(), *((group.seconds, group.bytes) if group else (0.0, 0))))
        whole, messages, sent = np.diff(np.array(times[2:]), axis=0).T
        gradient = sum(x.array.nbytes for x in p.parameters)
        seconds = float(whole.mean() if self.team.local_steps > 1 else np.median(whole))
        times: list[Any] = [whole.tolist()] if group is None else [None] * group.size
        if group is not None:
            distributed.all_gather_object(times, whole.tolist())
        return {
            "step": seconds, "times": [t for own in times for t in own],
            "messages": float(np.median(messages)),
            "bytes": float(sent.mean()), "gradient": gradient,
        }  # fmt: skip

    def one(self, workers: Workers) -> None:
        """Forward, backward, clip, update."""
        p, n = self.program, len(self.batch["input_ids"])
        p.model.train()
        rows = ranks.shares(n, self.threads)
        micro = [ready({name: value[a:b] for name, value in self.batch.items()}, p.model, "cpu") for a, b in rows]
        (predicted,) = self.team.totals(sum(len(batch["labels"].labels) for batch in micro))
        p.optimizer.zero_grad()
        shares = [(stop - first) / n for first, stop in rows]
        parts = [lambda b=b, s=s: forward(p.model, b, int(predicted), s) for b, s in zip(micro, shares, strict=True)]
        workers.backward(p.parameters, parts, (self.step,), rows, self.team.buckets)
        p.precision.update(p.optimizer, p.parameters, 1.0)
        self.step += 1
        self.team.meet(self.step, False, p.optimizer)


def main() -> None:
    """One measurement."""
    parser = argparse.ArgumentParser()
    jobs = parser.add_subparsers(dest="job", required=True)
    jobs.add_parser("reduce").add_argument("sizes", type=int, nargs="+")
    training = jobs.add_parser("train")
    for name, default in {"threads": 1, "steps": 12, "batch": 64, "bucket": 0, "local_steps": 1}.items():
        training.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    training.add_argument("--wire", default="float32")
    args = parser.parse_args()
    distributed.init_process_group()
    found = sums(args.sizes) if args.job == "reduce" else Loop(args).run(args.steps)
    if distributed.get_rank() == 0:
        print(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
