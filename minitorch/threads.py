"""Threads for work on large arrays: NumPy releases Python's lock while it computes, so two threads use two cores.

``open_threads`` opens a pool for a ``with`` block; ``spread`` divides work among its threads. Only the thread that opened
the pool sees it, so work on the pool never waits for the pool.
Read before: nothing. Read next: parallel.py, kernels/cpu.py.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor  # 4 ms: imported where it is used

_open: contextvars.ContextVar[tuple[ThreadPoolExecutor, int] | None] = contextvars.ContextVar("pool", default=None)


@contextlib.contextmanager
def open_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``count`` threads."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(count) as pool:
        token = _open.set((pool, count))
        try:
            yield pool
        finally:
            _open.reset(token)


def spread(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """``work`` of each item, in order: each of the pool's n threads takes every n-th item; without a pool, one by one.

    It costs about 50 µs, so it pays for more than about a million numbers in all.
    """
    pool = _open.get()
    if pool is None or len(items) < 2:
        return list(map(work, items))
    threads, n = pool
    results: list[Any] = [None] * len(items)

    def some(first: int) -> None:
        for i in range(first, len(items), n):
            results[i] = work(items[i])

    def elsewhere(first: int) -> Any:
        context = contextvars.copy_context()  # NumPy's error state travels in it
        context.run(_open.set, None)
        return threads.submit(context.run, some, first)

    others = [elsewhere(i) for i in range(1, n)]
    some(0)
    for other in others:
        other.result()
    return results
