"""Ranks: the learner's code in several processes at once, in a ring of messages (assignment 10).

    results, ring = together(m, 3, lambda m, rank, send, receive: m.all_reduce(x[rank], rank, 3, send, receive))

A learner's process may open no socket (confine.py), so the channels are functions of the tests' process, which has a thread
for each rank: ``send`` puts a copy into the right neighbour's box, ``receive`` takes the next one out of the rank's own box, and
waits for it. Where nobody can ever send it, all who wait get an error.
Read before: supervisor.py. Read next: tiny_parallel.py.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .proxy import Proxy
from .remote import Gone

Work = Callable[[Any, int, Callable[[Any], None], Callable[[], Any]], Any]  # (module, rank, send, receive) -> result


MOST_WAITING = 1 << 27  # bytes of messages that nobody has taken yet


class Deadlock(Exception):
    """A rank waits for a message that nobody will send."""


class Ring:
    """Boxes for messages from each rank to its right neighbour, (rank + 1) mod size, and notes of what was sent."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.boxes: list[deque[np.ndarray]] = [deque() for _ in range(size)]
        self.sent: list[list[int]] = [[] for _ in range(size)]  # of each rank: the elements of each message
        self.waiting: set[int] = set()
        self.ended: set[int] = set()
        self.changed = threading.Condition()

    @property
    def unread(self) -> int:
        """Messages that nobody took out."""
        return sum(map(len, self.boxes))

    def send(self, rank: int, array: Any) -> None:
        """Put a copy of an array of numbers into the right neighbour's box."""
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise TypeError(f"send takes an array of numbers, not {type(array).__name__}")
        with self.changed:
            if array.nbytes + sum(waiting.nbytes for box in self.boxes for waiting in box) > MOST_WAITING:
                raise MemoryError(f"more than {MOST_WAITING >> 20} MiB of messages are on their way, and nobody receives them")
            self.sent[rank].append(array.size)
            self.boxes[(rank + 1) % self.size].append(array.copy())
            self.changed.notify_all()

    def receive(self, rank: int) -> np.ndarray:
        """The next array from the left neighbour; Deadlock if none can come."""
        with self.changed:
            self.waiting.add(rank)
            self.changed.notify_all()
            while not self.boxes[rank]:
                if all(r in self.ended or (r in self.waiting and not self.boxes[r]) for r in range(self.size)):
                    why = "the others have ended" if self.ended else "all ranks wait, so each has to send before it receives"
                    raise Deadlock(f"rank {rank} waits in receive for a message that nobody will send: {why}")
                self.changed.wait()
            self.waiting.remove(rank)
            return self.boxes[rank].popleft()

    def end(self, rank: int) -> None:
        """The rank sends nothing more."""
        with self.changed:
            self.ended.add(rank)
            self.changed.notify_all()


def together(m: Any, size: int, work: Work) -> tuple[list[Any], Ring]:
    """Run work(module, rank, send, receive) for all ranks at once; their results, and the ring with its notes.

    Each rank has the learner's module in a process of its own; a module of this process is used by all. Of several errors
    the one is raised that is no mere waiting for the others.
    """
    ring, results = Ring(size), [None] * size
    errors: list[tuple[int, BaseException]] = []  # in the order of time
    link = m._link if isinstance(m, Proxy) else None
    modules = [m] + [m if link is None else link.fellow(rank) for rank in range(1, size)]

    def run(rank: int) -> None:
        try:
            results[rank] = work(modules[rank], rank, lambda array: ring.send(rank, array), lambda: ring.receive(rank))
        except BaseException as error:
            errors.append((rank, error))
        finally:
            ring.end(rank)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rank, error in sorted(errors, key=lambda item: _order(item[1])):
        if isinstance(error, Gone) and rank and link is not None:
            link.ending = link.ending or modules[rank]._link.close()  # what is said of the rank's end
        raise error
    return results, ring


def _order(error: BaseException) -> int:
    """0 for the end of a process, 1 for an error, 2 for waiting in vain, which either may have caused."""
    return 0 if isinstance(error, Gone) else 2 if type(error).__name__ == Deadlock.__name__ else 1
