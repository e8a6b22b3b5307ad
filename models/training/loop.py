"""Parts of every training loop: weight decay groups, batches to the GPU, when to read a loss, Ctrl-C between steps.

Read before: runs.py. Read next: pretraining.py, models/finetuning/run.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, distributed, nn


def available_cores() -> int:
    """The CPU cores this process may use, at most 8: with more, micro-batches get too small. Ranks of a machine share them."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    group = distributed.current()
    return max(1, min(count // (1 if group is None else group.local_size), 8))


def clocks() -> np.ndarray:
    """(seconds, CPU seconds) since some moment; CPU seconds add up all cores and leave other programs out."""
    return np.array([time.perf_counter(), time.process_time()])


def prepare_kernels(device: str) -> None:
    """Load the CPU's compiled loops, and the first time compile them, before a clock runs or a bar is drawn."""
    if device == "cpu":
        minitorch.kernels.prepare()


VECTORS = (".ia3_l", ".magnitude", ".lora_E")  # of adapters: decay would pull them to 0, which is not their neutral value


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: vectors (biases, LayerNorm, an adapter's) do not decay, tables do. Frozen weights are in neither."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    exempt = {name for name, p in named.items() if p.ndim < 2 or name.endswith(VECTORS)}
    return [
        {"params": [p for name, p in named.items() if name not in exempt], "weight_decay": weight_decay},
        {"params": [p for name, p in named.items() if name in exempt], "weight_decay": 0.0},
    ]


def to_device(batch: dict[str, Any], model: nn.Module, device: str) -> dict[str, Any]:
    """The batch on the model's device.

    Checks that read values run before the copy, because reading from the GPU would stall it: are the ids in the vocabulary,
    and does the attention mask hide anything?
    """
    if device == "cpu":
        return batch
    model.check_ids(batch["input_ids"])
    mask = batch.get("attention_mask")
    plain = mask is not None and bool((mask.array != 0).all())
    return {name: value.to(device) for name, value in batch.items() if not (plain and name == "attention_mask")}


class Glance:
    """When to read results: on the CPU always; on a GPU, which stalls at each reading, at most once per ``pause`` seconds.

    Ranks read together, so they do not ask their clocks, but read at every 20th time of asking.
    """

    def __init__(self, device: str, pause: float = 0.5) -> None:
        self.pause, self.last = (0.0 if device == "cpu" else pause), 0.0
        self.asked = 0

    def due(self, anyway: bool = False) -> bool:
        """Is it time to read?"""
        now = time.monotonic()
        self.asked += 1
        if distributed.get_world_size() > 1:
            return anyway or not self.pause or self.asked % 20 == 0
        if not anyway and now - self.last < self.pause:
            return False
        self.last = now
        return True


class GraphedStep:
    """compute(batches) -> result, which also leaves gradients, as a CUDA graph for each shape of its batches (minitorch/cuda.py).

    The first calls with a shape run normally, to compile kernels and start libraries; the next one is recorded.
    """

    WARM = 3

    def __init__(self, compute: Callable[[list[dict[str, Any]]], Any], parameters: Sequence[Tensor]) -> None:
        self.compute, self.parameters = compute, list(parameters)
        self.seen: dict[Any, int] = {}
        self.graphs: dict[Any, tuple[Any, ...]] = {}

    def __call__(self, batches: list[dict[str, Any]]) -> Any:
        """The result; its arrays are overwritten by the next call with the same shape."""
        key = tuple(tuple(t.shape) for t in leaves(batches))
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.seen[key] <= self.WARM:
            return self.compute(batches)
        if key not in self.graphs:
            self.graphs[key] = self.record(batches)
        graph, inputs, gradients, result = self.graphs[key]
        for held, new in zip(inputs, leaves(batches), strict=True):
            held.copy_(new)
        graph.replay()
        for p, g in zip(self.parameters, gradients, strict=True):
            p.grad = g
        return result

    def record(self, batches: list[dict[str, Any]]) -> tuple[Any, ...]:
        """(graph, the tensors that it reads, the gradients it leaves, its result)"""
        held = [{name: copied(value) for name, value in batch.items()} for batch in batches]
        graph = minitorch.cuda.CUDAGraph()
        with minitorch.cuda.graph(graph):
            result = self.compute(held)
        return graph, leaves(held), [p.grad for p in self.parameters], result


def leaves(batches: list[dict[str, Any]]) -> list[Tensor]:
    """All tensors of some batches; a value may be a tuple of tensors (Masked, of models/bert/masked_rows.py)."""
    values = [value for batch in batches for value in batch.values()]
    return [t for value in values for t in (value if isinstance(value, tuple) else (value,))]


def copied(value: Any) -> Any:
    """The tensor, or the tuple of them, in memory of its own."""
    return type(value)(*(t.clone() for t in value)) if isinstance(value, tuple) else value.clone()


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


def progress(steps: int, done: int, unit: str = "step", shown: bool = True) -> Any:
    """A progress bar; in a log file it is drawn rarely. Not ``shown``: one that draws nothing, inside of another."""
    from tqdm import tqdm

    pause = 0.2 if sys.stderr.isatty() else 15.0  # seconds between two drawings
    return tqdm(total=steps, initial=done, unit=unit, dynamic_ncols=True, mininterval=pause, disable=not shown)
