"""Write optim.npz: where PyTorch's optimisers and schedules, and Hugging Face's warm-ups, arrive.

python -m tests.frozen.make_optim      (needs PyTorch and transformers; run it when the cases in test_optim.py change)
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers

from ..test_optim import OPTIMIZERS, SCHEDULES, STEPS, gradients, start

HERE = Path(__file__).parent


def run_optimizer(kind: str, options: dict, dtype: str) -> list[np.ndarray]:
    """The parameters after STEPS steps of torch.optim."""
    params = [torch.tensor(x, requires_grad=True) for x in start(dtype)]
    optimizer = getattr(torch.optim, kind)(params, **options)
    for t in range(STEPS):
        for p, g in zip(params, gradients(t, dtype), strict=True):
            p.grad = None if g is None else torch.tensor(g)
        optimizer.step()
    return [p.detach().numpy() for p in params]


def run_schedule(kind: str, options: dict) -> list[list[float]]:
    """The rates of both groups at every step."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)]}, {"params": [torch.zeros(1, requires_grad=True)], "lr": 0.2}]
    optimizer = torch.optim.SGD(groups, lr=1.5)
    make = getattr(transformers, kind) if kind.startswith("get_") else getattr(torch.optim.lr_scheduler, kind)
    schedule = make(optimizer, **options)
    rates = [schedule.get_last_lr()]
    for _ in range(STEPS):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr())
    return rates


def main() -> None:
    """Write the file."""
    versions = json.dumps({"torch": torch.__version__, "transformers": transformers.__version__})
    arrays = {"versions": np.frombuffer(versions.encode(), dtype="uint8")}
    for name, (kind, options) in OPTIMIZERS.items():
        for dtype in ("float64", "float32"):
            for i, p in enumerate(run_optimizer(kind, options, dtype)):
                arrays[f"{name}/{dtype}/{i}"] = p
    for name, (kind, options) in SCHEDULES.items():
        arrays[f"schedule/{name}"] = np.array(run_schedule(kind, options))
    np.savez_compressed(HERE / "optim.npz", **arrays)


if __name__ == "__main__":
    main()
