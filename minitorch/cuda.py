"""CUDA graphs under PyTorch's names: the launches of a step recorded once, and repeated with one call.

    g = minitorch.cuda.CUDAGraph()
    with minitorch.cuda.graph(g):       # nothing is computed, only recorded
        loss = model(x).loss
        loss.backward()
    x.copy_(next_batch)                 # into the memory that the graph reads
    g.replay()                          # now loss and gradients are there, in the memory that they got at recording

A small model spends its time on launching kernels from Python; a replay launches nothing. The rules are PyTorch's: run the same
code a few times before (kernels are compiled, cuBLAS starts), on shapes that stay; nothing within may be read by the host or
copied from it; Python's numbers are recorded as they are, so the optimiser's step, whose rate changes, stays outside: it is one
launch itself. Dropout draws other masks at each replay, from a count in the card's memory (kernels/philox.py).

CuPy refuses cuBLAS during recording, so the products call it directly (kernels/cublas.py). This file has been tested with a
stand-in for CuPy only: it has never recorded on a card, so nothing uses it unless asked (`minitorch pretrain --cuda-graph`).
Read before: devices.py, kernels/philox.py.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

from . import devices
from .devices import cuda_is_available as is_available
from .kernels import philox

__all__ = ["CUDAGraph", "device_count", "graph", "is_available", "is_current_stream_capturing", "synchronize"]


def device_count() -> int:
    """How many GPUs there are; 0 without CuPy or a working driver."""
    return int(devices.cupy().cuda.runtime.getDeviceCount()) if is_available() else 0


class CUDAGraph:
    """A recording; ``graph`` fills it. It owns the memory of all that was made while it was recorded."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._pool: Any = None  # of that memory: whatever else runs gets its own elsewhere
        self._step: Any = None  # how often it was replayed, for dropout

    def replay(self) -> None:
        """Do what was recorded, on the current stream, with what its inputs hold now."""
        if self._graph is None:
            raise RuntimeError("replay: nothing is recorded yet; use `with minitorch.cuda.graph(g):` first")
        self._step += 1
        self._graph.launch()

    def reset(self) -> None:
        """Forget the recording, and give its memory back."""
        self.__init__()  # type: ignore[misc]


@contextlib.contextmanager
def graph(cuda_graph: CUDAGraph) -> Iterator[None]:
    """Record what the block launches into ``cuda_graph``, on a stream and with a memory pool of its own."""
    if cuda_graph._graph is not None:
        raise RuntimeError("graph: this CUDAGraph holds a recording already; make another, or reset() it")
    cupy = devices.cupy_with_a_card()
    stream, pool, step = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool(), cupy.zeros((), "uint32")
    stream.wait_event(cupy.cuda.get_current_stream().record())
    gc.collect()  # garbage that holds memory of a card is not to be freed in the middle
    with stream, cupy.cuda.using_allocator(pool.malloc), philox.stepping(step), _recording():
        stream.begin_capture()
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):  # CUDA says once more that the recording failed
                stream.end_capture()
            raise
        cuda_graph._graph = stream.end_capture()
    cuda_graph._pool, cuda_graph._step = pool, step


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    """Copies between host and card are refused (devices.move): a replay would repeat them from memory that is gone."""
    devices.recording = True
    try:
        yield
    finally:
        devices.recording = False


def is_current_stream_capturing() -> bool:
    """Is a graph being recorded?"""
    return devices.recording


def synchronize() -> None:
    """Wait until the card has done all that it was asked for."""
    devices.cupy_with_a_card().cuda.get_current_stream().synchronize()
