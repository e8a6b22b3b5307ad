"""Ranks for lesson 22: threads that share nothing but messages, so that nothing has to be installed.

    results, sent = run(3, program)      # program(me) runs once per rank, with me.rank, me.size, me.send, me.receive

A message takes latency + bytes/bandwidth; a line carries one at a time. If every rank waits and nothing is on its way, the
program could never end: that is an error here, and names who waits for whom.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Stuck(RuntimeError):
    """No rank can go on."""


class World:
    """The lines between all ranks."""

    def __init__(self, size: int, latency: float, bandwidth: float) -> None:
        self.size, self.latency, self.bandwidth = size, latency, bandwidth
        self.boxes: dict[tuple[int, int], deque[Any]] = defaultdict(deque)  # by (from, to): (time of arrival, message)
        self.free: dict[tuple[int, int], float] = defaultdict(float)  # when a line has carried all that it was given
        self.sent = [0] * size  # numbers, by each rank
        self.waiting: dict[int, int] = {}
        self.ended, self.stuck, self.news = 0, "", threading.Condition()

    def send(self, src: int, dst: int, array: Any) -> None:
        """Put a copy on its way, and go on."""
        if not 0 <= dst < self.size:
            raise ValueError(f"rank {src} sends to rank {dst}, but there are only the ranks 0 to {self.size - 1}")
        array = np.array(array)
        with self.news:
            self.free[src, dst] = max(time.perf_counter(), self.free[src, dst]) + array.nbytes / self.bandwidth
            self.boxes[src, dst].append((self.free[src, dst] + self.latency, array))
            self.sent[src] += array.size
            self.news.notify_all()

    def receive(self, src: int, dst: int) -> Any:
        """The next message from ``src`` to ``dst``, when it has arrived."""
        with self.news:
            self.waiting[dst] = src
            while not self.boxes[src, dst]:
                self.look()
                self.news.wait()
            del self.waiting[dst]
            arrival, array = self.boxes[src, dst].popleft()
        time.sleep(max(0.0, arrival - time.perf_counter()))
        return array

    def look(self) -> None:
        """Raise Stuck if all wait, or have ended, and nothing that one of them waits for is on its way."""
        if len(self.waiting) + self.ended == self.size and not any(self.boxes[s, d] for d, s in self.waiting.items()):
            waits = ", ".join(f"rank {dst} waits for rank {src}" for dst, src in sorted(self.waiting.items()))
            self.stuck = f"nothing is on its way: {waits}"
            self.news.notify_all()
        if self.stuck:
            raise Stuck(self.stuck)

    def end(self) -> None:
        """A rank has ended: those that wait for it must hear of it."""
        with self.news:
            self.ended += 1
            self.news.notify_all()


@dataclass
class Rank:
    """One of ``size`` ranks."""

    rank: int
    size: int
    world: World

    def send(self, to: int, array: Any) -> None:
        """Send an array, or a number, to a rank."""
        self.world.send(self.rank, to, array)

    def receive(self, source: int) -> Any:
        """The next array from a rank."""
        return self.world.receive(source, self.rank)


def run(
    size: int, program: Callable[[Rank], Any], latency: float = 0.0, bandwidth: float = float("inf")
) -> tuple[list[Any], list[int]]:
    """Each rank's result, and how many numbers each has sent. An error of a rank is raised here."""
    world, results, errors = World(size, latency, bandwidth), [None] * size, list[BaseException]()

    def play(rank: int) -> None:
        try:
            results[rank] = program(Rank(rank, size, world))
        except BaseException as error:
            errors.append(error)
        finally:
            world.end()

    threads = [threading.Thread(target=play, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((error for error in errors if not isinstance(error, Stuck)), errors[0])
    return results, world.sent


# ------------------------------------------------- the exercises' answers, for a lesson whose reader has not written them yet


def through_rank_0(x: Any, me: Rank) -> Any:
    """All-reduce: everybody sends to rank 0, which adds and sends the sum back."""
    if me.rank > 0:
        me.send(0, x)
        return me.receive(0)
    total = x + sum(me.receive(other) for other in range(1, me.size))
    for other in range(1, me.size):
        me.send(other, total)
    return total


def mean_gradient(total: Any, n: int, all_reduce: Callable[[Any], Any]) -> Any:
    """Σ totals / Σ n over all ranks, in one message: the count travels at the end of the array."""
    both = all_reduce(np.append(total, total.dtype.type(n)))
    return both[:-1] / both[-1]


def ring_all_reduce(x: Any, me: Rank) -> Any:
    """Patarasuk and Yuan (2009), "Bandwidth optimal all-reduce algorithms for clusters of workstations", section 3."""
    n, right, left = me.size, (me.rank + 1) % me.size, (me.rank - 1) % me.size
    parts = np.array_split(x, n)
    for k in range(n - 1):
        me.send(right, parts[(me.rank - k) % n])
        at = (me.rank - k - 1) % n
        parts[at] = parts[at] + me.receive(left)
    for k in range(n - 1):
        me.send(right, parts[(me.rank + 1 - k) % n])
        parts[(me.rank - k) % n] = me.receive(left)
    return np.concatenate(parts)


def ring_seconds(n: int, size: float, latency: float, bandwidth: float) -> float:
    """2 (n - 1) messages of size/n bytes, one after the other."""
    return 2 * (n - 1) * (latency + size / n / bandwidth)


def last_arrival(ready: Any, seconds: Any) -> float:
    """The line carries one bucket at a time, in order."""
    free = 0.0
    for full, needed in zip(ready, seconds, strict=True):
        free = max(free, full) + needed
    return free
