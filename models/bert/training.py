"""What every training run of a BERT shares: Ctrl-C between steps, cores, and which weights decay.

Read before: model.py. Read next: pretraining.py, finetuning/run.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from minitorch import nn


def available_cores() -> int:
    """The processors this process may use, at most 8: more micro-batches than that are too small."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, 8)


def clocks() -> np.ndarray:
    """(seconds, processor seconds) since some moment: the second count all cores, and nothing that other programs do."""
    return np.array([time.perf_counter(), time.process_time()])


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """BERT's two groups: everything decays but biases and LayerNorm. Frozen weights are in neither."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    exempt = {name for name in named if name.endswith(".bias") or "LayerNorm" in name}
    return [
        {"params": [p for name, p in named.items() if name not in exempt], "weight_decay": weight_decay},
        {"params": [p for name, p in named.items() if name in exempt], "weight_decay": 0.0},
    ]


@contextlib.contextmanager
def between_steps() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that a step is never cut in half; a second Ctrl-C stops at once."""
    asked = threading.Event()

    def ask(*_: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def progress(steps: int, done: int) -> Any:
    """A bar of steps; a log file gets few of its drawings."""
    from tqdm import tqdm

    pause = 0.2 if sys.stderr.isatty() else 15.0  # seconds between two drawings
    return tqdm(total=steps, initial=done, unit="step", dynamic_ncols=True, mininterval=pause)
