"""Micro-batches: split the batch, run each part, add the gradients. One piece of code, three executors.

One after the other this is gradient accumulation (a large batch in little memory); on threads it uses all cores, since
NumPy releases Python's lock while it computes; on ranks (processes that mpiexec starts, on one machine or many) it is
data-parallel training. All give the same numbers: each part returns its gradients instead of adding to ``.grad``, and they are
summed in the order of the parts.
Read before: threads.py. Read next: distributed/.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from . import blas, graph
from .changes import mark_changed
from .grad_mode import mode
from .kernels.lists import add_all
from .random import seeded
from .tensor import Tensor
from .threads import open_threads

MicroBatch = Callable[[], tuple[Tensor, Any] | tuple[Tensor, Any, Sequence[Tensor | None]]]
Rows = tuple[int, int]  # the first example, and the one after the last


class Reducer(Protocol):
    """Whoever adds up the gradients of all ranks: minitorch.distributed.Buckets."""

    def last_round(self, parts: int) -> Any:
        """A ``with`` block in which so many parts bring their gradients; after it ``.grad`` is the sum of all ranks."""

    def bring_gradients(self, part: int, loss: Tensor, walked: Sequence[Tensor | None] | None) -> None:
        """Those of the loss of one of these parts, unless it has walked its graphs itself."""


class Workers:
    """``threads`` workers for micro-batches; use it as a ``with`` block. One worker runs the parts one by one.

    While it is open BLAS uses one thread per worker: two levels of threads would compete. Work on
    all parameters at once (clipping, the optimiser's step) uses the same threads (threads.py).
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.stack = contextlib.ExitStack()
        self.pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.threads > 1:
            self.stack.enter_context(one_blas_thread())
            self.pool = self.stack.enter_context(open_threads(self.threads))
        return self

    def __exit__(self, *exception: object) -> None:
        self.stack.close()

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """The results in the order of the items; this thread's observer (profile, detect_anomaly) sees the workers too."""
        if self.pool is None:
            return map(function, items)
        observer = mode.observer

        def watched(item: Any) -> Any:
            before, mode.observer = mode.observer, observer
            try:
                return function(item)
            finally:
                mode.observer = before

        return self.pool.map(watched, items)

    def backward(
        self,
        parameters: Sequence[Tensor],
        parts: Sequence[MicroBatch],
        seed: Sequence[int] = (),
        rows: Sequence[Rows] = (),
        ranks: Reducer | None = None,
    ) -> list[tuple[Tensor, Any]]:
        """Run every part, and add the gradients of their losses' sum to the parameters' ``.grad``.

        A part returns (loss, anything), the loss already weighted so that the parts' sum is the whole batch's. The result
        is each part's (loss, anything), the loss detached and not read: a GPU may still be computing it. Part i draws its
        random numbers from a stream of (seed, i), whichever thread runs it. A part that walks its graphs itself returns the
        gradients, too. rows: the examples of the whole batch that each part has; with them a dropout mask is a function of
        (seed, example), however the batch is cut. ranks: who adds the other ranks' gradients, while the last parts still run.
        """

        last = (len(parts) - 1) // self.threads * self.threads if parts else 0  # where the last round begins

        def run(i: int) -> tuple[Tensor, Any, Sequence[Tensor | None]]:
            gradients: Sequence[Tensor | None] = ()
            with seeded(*seed, rows[i][0] if rows else i) as stream:
                if rows:
                    stream.share_masks(tuple(seed), rows[i])
                loss, extra, *walked = parts[i]()
                if ranks is not None and i >= last:
                    ranks.bring_gradients(i - last, loss, walked[0] if walked else None)
                else:
                    gradients = walked[0] if walked else graph.grad(loss, parameters, allow_unused=True)
            return loss.detach(), extra, gradients

        results = []
        for start in range(0, last + 1, self.threads):  # add up after each round, so that few gradients are in memory at once
            stop = min(start + self.threads, len(parts))
            if ranks is not None and start == last:
                with ranks.last_round(stop - start):
                    round_ = list(self.map(run, range(start, stop)))
            else:
                round_ = list(self.map(run, range(start, stop)))
                _add(parameters, [gradients for _, _, gradients in round_])
            results += [(loss, extra) for loss, extra, _ in round_]
        return results


def _add(parameters: Sequence[Tensor], parts: Sequence[Sequence[Tensor | None]]) -> None:
    """Add each part's gradients to ``.grad``, in the order of the parts."""
    totals, terms = [], []
    for parameter, *found in zip(parameters, *parts, strict=True):
        gradients = [g for g in found if g is not None]
        if gradients and parameter.grad is None:
            parameter.grad = gradients.pop(0)
        if gradients:
            totals.append(parameter.grad.array)
            terms.append([g.array for g in gradients])
            mark_changed(totals[-1])
    if totals:
        add_all(totals, terms)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread inside the block: NumPy's and, if threadpoolctl is installed, SciPy's, which has its own."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        before = blas.get_num_threads()
        if before == 1:
            yield
            return
        blas.widen(1)
        try:
            yield
        finally:
            blas.widen(before)
        return
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def cut(n: int, parts: int) -> list[Rows]:
    """0 ... n-1 in ``parts`` stretches whose lengths differ by at most 1; the first ones are longer, the last may be empty."""
    ends = [i * (n // parts) + min(i, n % parts) for i in range(parts + 1)]
    return list(itertools.pairwise(ends))
