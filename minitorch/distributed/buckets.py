"""The gradients of all ranks, added up in buckets while the backward pass still runs.

A message costs latency + bytes / bandwidth, so many small ones are slow; and one message at the end would leave the network idle
while the cores compute, and the cores idle while it runs. So gradients are copied into buckets of a few megabytes, the last
layer's first, since the backward pass reaches it first; a full bucket leaves while the next one fills.

Li et al. (2020), "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", section 3.2,
https://arxiv.org/abs/2006.15704. Read before: mpi.py, minitorch/parallel.py.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import graph
from ..devices import array_module, is_cupy
from ..tensor import Tensor

if TYPE_CHECKING:
    from concurrent.futures import Future  # 4 ms: imported where it is used

SIZE = 4 << 20  # bytes of a bucket
NOTHING = object()  # brought by a micro-batch that did not use the parameter


class Buckets:
    """Adds the gradients of all ranks to the parameters' ``.grad``: Workers.backward(..., ranks=buckets).

    Ranks may use different parameters: one that no rank used keeps ``.grad`` None, and where only some did, the others count as
    zero. wire: the format in which gradients travel, float32, float16 or bfloat16 (wire.py).
    """

    def __init__(self, parameters: Sequence[Tensor], group: Any, wire: str = "float32", size: int = SIZE) -> None:
        self.parameters, self.group, self.wire = list(parameters), group, wire
        self.members: list[list[int]] = []  # of each bucket, the numbers of its parameters
        self.lengths: list[int] = []  # of each bucket, in numbers
        self.places: dict[int, tuple[int, slice]] = {}  # of each parameter: its bucket, and where in it
        kind = None
        for k in reversed(range(len(self.parameters))):
            p = self.parameters[k]
            if kind != (p.dtype, p.device) or self.lengths[-1] * p.dtype.itemsize >= size:
                kind = (p.dtype, p.device)
                self.members.append([])
                self.lengths.append(0)
            self.places[k] = len(self.members) - 1, slice(self.lengths[-1], self.lengths[-1] + p.numel())
            self.members[-1].append(k)
            self.lengths[-1] += p.numel()
        self.here, self.lock = threading.local(), threading.Lock()
        self.gpus: Any = group.gpus if any(is_cupy(p.array) for p in self.parameters) else None
        apart = group.local_size < group.size  # on one machine messages are work for the cores: nothing is won by a thread
        self.pool = None
        if apart and not self.gpus:
            from concurrent.futures import ThreadPoolExecutor

            self.pool = ThreadPoolExecutor(1, "reduce", group.may_block)
        self.handles: list[Any] = []

    def watch(self) -> Buckets:
        """Let the parameters' hooks bring gradients: of the micro-batch that the thread runs."""
        hooks = [functools.partial(self.bring_own, k) for k in range(len(self.parameters))]
        self.handles = [p.register_hook(hook) for p, hook in zip(self.parameters, hooks, strict=True)]
        return self

    def close(self) -> None:
        """Leave the parameters as they were found."""
        for handle in self.handles:
            handle.remove()
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    @contextlib.contextmanager
    def last_round(self, parts: int) -> Iterator[None]:
        """In the block each of ``parts`` micro-batches brings its gradients; after it ``.grad`` is the sum over all ranks.

        What ``.grad`` holds before, from earlier rounds, is part of the sum.
        """
        self.begin(parts)
        yield
        self.wait()
        for k, p in enumerate(self.parameters):
            p.grad = Tensor(self.view(k)) if self.used[k] else None

    def begin(self, parts: int) -> None:
        """Wait for the gradients of so many micro-batches."""
        self.brought: list[list[Any]] = [[None] * parts for _ in self.parameters]
        self.awaited = [parts] * len(self.parameters)
        self.open = [len(ks) for ks in self.members]  # parameters that a bucket lacks
        self.used = np.zeros(len(self.parameters), np.uint8)
        self.buffers = [self.buffer(b) for b in range(len(self.members))]
        self.sums: list[Future[Any] | None] = []
        for k in range(len(self.parameters)) if parts == 0 else ():
            self.fill(k)

    def wait(self) -> None:
        """Until all buckets are added up: ``view`` has the sums, and ``used`` says which parameters any rank used."""
        for done in self.sums:
            if done is not None:
                self.group.until_done(done)
        if self.gpus is not None:
            self.gpus.join()
        elif self.pool is None:
            for buffer in self.buffers:
                self.group.reduce(buffer, "sum", self.wire)
        self.group.reduce(self.used, "max")

    def bring_gradients(self, part: int, loss: Tensor, walked: Sequence[Tensor | None] | None = None) -> None:
        """Those of a micro-batch's loss: hooks bring each as soon as it is complete. walked: it has found them itself."""
        self.here.part = part
        try:
            found = graph.grad(loss, self.parameters, allow_unused=True) if walked is None else walked
            for k, g in enumerate(found):  # those that no hook brought
                self.bring(part, k, g)
        finally:
            self.here.part = None

    def bring_own(self, k: int, g: Tensor) -> None:
        """A hook: parameter k's gradient is complete."""
        part = getattr(self.here, "part", None)
        if part is not None:
            self.bring(part, k, g)

    def bring(self, part: int, k: int, g: Tensor | None) -> None:
        """Parameter k's gradient of a micro-batch; None: it has none."""
        if self.brought[k][part] is not None:
            return
        self.brought[k][part] = NOTHING if g is None else g.array
        with self.lock:
            self.awaited[k] -= 1
            complete = self.awaited[k] == 0
        if complete:
            self.fill(k)

    def fill(self, k: int) -> None:
        """Put parameter k's sum over this rank's micro-batches, in their order, into its bucket; send buckets that are full."""
        p, (b, _), view = self.parameters[k], self.places[k], self.view(k)
        terms = [g for g in self.brought[k] if g is not NOTHING]
        if p.grad is not None and self.handles:
            terms.insert(0, p.grad.array)
        view[...] = terms[0] if terms else 0
        for g in terms[1:]:
            view += g
        self.used[k] = bool(terms)
        self.brought[k] = [NOTHING] * len(self.brought[k])
        with self.lock:
            self.open[b] -= 1
            while len(self.sums) < len(self.members) and self.open[len(self.sums)] == 0:  # on all ranks in the same order
                self.sums.append(self.send(self.buffers[len(self.sums)]))

    def send(self, buffer: Any) -> Future[Any] | None:
        """Start to add up a bucket: in a thread, or on a GPU in a stream; on one machine it waits until all are full."""
        if self.pool is not None:
            return self.pool.submit(self.group.reduce, buffer, "sum", self.wire)
        if self.gpus is not None:
            self.gpus.reduce(buffer, "sum", self.wire)
        return None

    def buffer(self, b: int) -> Any:
        """Memory for a bucket. It is new in every step, because ``.grad`` will be views of it."""
        like = self.parameters[self.members[b][0]].array
        return array_module(like).empty(self.lengths[b], like.dtype)

    def view(self, k: int) -> Any:
        """The part of a bucket that belongs to parameter k, in its shape."""
        b, where = self.places[k]
        return self.buffers[b][where].reshape(self.parameters[k].shape)
