"""Requests that arrive together are answered together: one queue, and a worker thread per core.

    texts -> items -> [queue] -> a free worker takes the oldest, and others of about its length -> rows

There is no timer. While all workers compute, what arrives gathers by itself; a worker that is free takes it at once, so that
a request alone never waits. Workers that are idle at the same time share what is there. A batch is limited by its
tokens, padding included: B · (longest row) of a few long texts costs what it costs of many short ones.
NumPy releases Python's lock while it multiplies, so threads use all cores; BLAS has one thread (measured: on a busy machine two
workers with one BLAS thread each degrade evenly, one worker with two collapses).
Read before: answerers.py. Read next: server.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minitorch.parallel import one_blas_thread

from .problems import Problem


@dataclass(eq=False)
class Item:
    """One row for a model."""

    feature: Any
    size: int  # tokens
    group: Hashable  # rows of one group of one model may be in one batch
    owner: Request
    place: int
    since: float = field(default_factory=time.monotonic)


class Request:
    """Rows that somebody waits for. ``future`` is done when all are there, or when nobody waits any more."""

    def __init__(self, answerer: Any, count: int) -> None:
        self.answerer, self.loop = answerer, asyncio.get_running_loop()
        self.future: asyncio.Future[list[Any]] = self.loop.create_future()
        self.rows: list[Any] = [None] * count
        self.left = count
        if not count:
            self.future.set_result([])

    def deliver(self, places: Sequence[int], rows: Sequence[Any]) -> None:
        """Some of the rows; on the event loop."""
        for place, row in zip(places, rows, strict=True):
            self.rows[place] = row
        self.left -= len(places)
        if not self.left and not self.future.done():
            self.future.set_result(self.rows)

    def fail(self, error: BaseException) -> None:
        """There will be no answer; on the event loop."""
        if not self.future.done():
            self.future.set_exception(error)


class Batcher:
    """The queue and its workers."""

    def __init__(
        self, workers: int, batch_tokens: int | None, longest: int, observe: Callable[..., None] = lambda *_: None
    ) -> None:
        """batch_tokens: None leaves it to the answerers. longest: the items that may wait. observe(...) hears of each batch."""
        self.batch_tokens, self.longest, self.observe = batch_tokens, longest, observe
        self.waiting: list[Item] = []  # the oldest first
        self.changed = threading.Condition()
        self.idle = self.busy = 0  # workers
        self.closed = False
        self.rate = 0.0  # items per second of one worker, lately
        self.threads = [threading.Thread(target=self.work, name=f"worker {i}", daemon=True) for i in range(workers)]
        self.blas = contextlib.ExitStack()

    def start(self) -> None:
        """Open the workers."""
        self.blas.enter_context(one_blas_thread())
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """Let the workers end."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join(timeout=5)
        self.blas.close()

    def submit(self, answerer: Any, features: Sequence[Any]) -> Request:
        """Put rows into the queue; a Problem if it is full. On the event loop."""
        request = Request(answerer, len(features))
        items = [Item(f, answerer.size(f), answerer.group(f), request, i) for i, f in enumerate(features)]
        with self.changed:
            self.waiting = [item for item in self.waiting if not item.owner.future.done()]
            if self.waiting and len(self.waiting) + len(items) > self.longest:
                n, seconds = len(self.waiting), self.seconds()
                raise Problem(429, f"{n} texts are waiting, and at most {self.longest} may: try again in {seconds} s", seconds)
            self.waiting += items
            self.changed.notify(len(items))
        return request

    def seconds(self) -> int:
        """After which what waits will be answered, roughly."""
        if not self.rate:
            return 1
        return max(1, min(60, math.ceil(len(self.waiting) / (self.rate * len(self.threads)))))

    # ------------------------------------------------------------------------------------------------ the workers

    def take(self) -> list[Item]:
        """The next batch; none when there will be no more."""
        with self.changed:
            self.idle += 1
            while True:
                self.waiting = [item for item in self.waiting if not item.owner.future.done()]  # nobody waits for the others
                if self.waiting or self.closed:
                    break
                self.changed.wait()
            self.idle -= 1
            batch = self.choose() if self.waiting else []
            taken = set(map(id, batch))
            self.waiting = [item for item in self.waiting if id(item) not in taken]
            self.busy += bool(batch)
            return batch

    def choose(self) -> list[Item]:
        """The oldest item, and of those that may share its batch the nearest lengths, as many as are this worker's share."""
        first = self.waiting[0]
        alike = [i for i in self.waiting if i.owner.answerer is first.owner.answerer and i.group == first.group]
        alike.sort(key=lambda item: abs(item.size - first.size))  # stable: of equal ones the oldest
        share, batch, widest = math.ceil(len(alike) / (self.idle + 1)), [first], first.size
        most = self.batch_tokens or first.owner.answerer.batch_tokens
        for item in alike:
            widest = max(widest, item.size)
            if len(batch) == share or (len(batch) + 1) * widest > most:
                break
            if item is not first:
                batch.append(item)
        return batch

    def work(self) -> None:
        """One worker: take, compute, deliver. It never dies of an error: requests would wait for ever."""
        while batch := self.take():
            started = time.monotonic()
            self.compute(batch)
            seconds = max(1e-6, time.monotonic() - started)
            with self.changed:
                self.busy -= 1
                self.rate = 0.8 * (self.rate or len(batch) / seconds) + 0.2 * len(batch) / seconds
            self.observe(batch, started, seconds)

    def compute(self, batch: list[Item]) -> None:
        """The rows of a batch. Should one item make it fail, the others are computed without it."""
        try:
            rows = batch[0].owner.answerer.rows([item.feature for item in batch])
        except Exception as error:
            if len(batch) == 1:
                self.call(batch[0].owner.loop, batch[0].owner.fail, error)
            else:
                for item in batch:
                    self.compute([item])
            return
        owners: dict[Request, tuple[list[int], list[Any]]] = {}
        for item, row in zip(batch, rows, strict=True):
            places, found = owners.setdefault(item.owner, ([], []))
            places.append(item.place)
            found.append(row)
        for owner, (places, found) in owners.items():
            self.call(owner.loop, owner.deliver, places, found)

    @staticmethod
    def call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
        """On the event loop, unless that has ended meanwhile."""
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(function, *arguments)
