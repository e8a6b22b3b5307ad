"""CUDA graphs under PyTorch's names: record the launches of a step once, repeat them with one call.

    g = minitorch.cuda.CUDAGraph()
    with minitorch.cuda.graph(g):       # nothing is computed, only recorded
        loss = model(x).loss
        loss.backward()
    x.copy_(next_batch)                 # into the memory that the graph reads
    g.replay()                          # computes loss and gradients, in the memory they got at recording

A small model spends its time launching kernels from Python; a replay is one launch. The rules are PyTorch's. Run the same
code a few times first: kernels get compiled, cuBLAS starts. Shapes must stay the same. Inside, the CPU may neither read
from the GPU nor copy to it. Python's numbers are recorded as constants, so leave the optimiser's step outside: its learning
rate changes, and it is a single launch anyway. Dropout draws new masks at each replay, from a count in GPU memory
(kernels/philox.py).

CuPy refuses cuBLAS during recording, so the products call it directly (kernels/cublas.py). This file has only been tested
with a stand-in for CuPy, never on a GPU, so nothing uses it unless asked (`minitorch pretrain --cuda-graph`).
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
    """A recording; ``graph`` fills it. It owns the memory of every array made during the recording."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._pool: Any = None  # that memory; nothing else may use it
        self._step: Any = None  # number of replays, for dropout

    def replay(self) -> None:
        """Run the recording on the current stream, with the present values of its inputs."""
        if self._graph is None:
            raise RuntimeError("replay: nothing is recorded yet; use `with minitorch.cuda.graph(g):` first")
        self._step += 1
        self._graph.launch()

    def reset(self) -> None:
        """Forget the recording, and give its memory back."""
        self.__init__()  # type: ignore[misc]


@contextlib.contextmanager
def graph(cuda_graph: CUDAGraph) -> Iterator[None]:
    """Record the launches of the block into ``cuda_graph``, on its own stream and with its own memory pool."""
    if cuda_graph._graph is not None:
        raise RuntimeError("graph: this CUDAGraph holds a recording already; make another, or reset() it")
    cupy = devices.cupy_with_a_gpu()
    stream, pool, step = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool(), cupy.zeros((), "uint32")
    stream.wait_event(cupy.cuda.get_current_stream().record())
    gc.collect()  # no garbage in GPU memory may be freed during the recording
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
    """Refuse copies between CPU and GPU (devices.move): a replay would repeat them from freed memory."""
    devices.recording = True
    try:
        yield
    finally:
        devices.recording = False


def is_current_stream_capturing() -> bool:
    """Is a graph being recorded?"""
    return devices.recording


def synchronize() -> None:
    """Wait until the GPU has finished all its work."""
    devices.cupy_with_a_gpu().cuda.get_current_stream().synchronize()
