"""The stand-in for CuPy (emulated_cupy.py) with a record of what a card would hand to the host: there the host waits.

    with fake_cupy.installed() as reads:
        ...
    assert reads == []

With it come streams that note what happens to them, and what cublas.py asks of CuPy.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import traceback
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from minitorch.kernels import cublas

from . import emulated_cupy
from .emulated_cupy import ndarray

READING = ("get", "item", "tolist", "nonzero", "__bool__", "__int__", "__float__", "__index__", "__repr__", "__getitem__")
MODULES = ("cupy", "cupy.linalg", "cupyx", "cupyx.scipy", "cupyx.scipy.special")


def on_card(x: np.ndarray) -> ndarray:
    """A NumPy array's own memory as an array on the stand-in's card, lying as it lies."""
    y = ndarray.__new__(ndarray)
    y._a, y._raw, y.base = x, x if x.base is None else x.base, None
    return y


def off_card(y: Any) -> np.ndarray:
    """What an array of the stand-in holds, without a record of it."""
    return y._a


def _caller() -> str:
    """The line of the library, or of the models, that asked."""
    stack = [f for f in traceback.extract_stack() if "/minitorch/" in f.filename or "/models/" in f.filename]
    return f"{stack[-1].filename.rpartition('/')[2]}:{stack[-1].lineno}: {stack[-1].line}" if stack else "a test"


def _recording(name: str, plain: Any, reads: list[str]) -> Any:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        masks = list(arguments[0] if type(arguments[0]) is tuple else arguments) if name == "__getitem__" else []
        if name != "__getitem__" or any(isinstance(i, ndarray) and i._a.dtype == bool for i in masks):
            reads.append(f"{name} in {_caller()}")
        return plain(self, *arguments, **named)

    return method


class Stream:
    """A queue of the card: ``events`` is what happened to all of them, in order."""

    events: list[str] = []  # noqa: RUF012
    numbers = itertools.count(1)
    current: Any = None

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(Stream.numbers)
        self.capturing = False

    def __enter__(self) -> Stream:
        self.before, Stream.current = Stream.current, self
        return self

    def __exit__(self, *exception: object) -> None:
        Stream.current = self.before

    def begin_capture(self, mode: Any = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.capturing = True
        Stream.events.append("begin capture")

    def end_capture(self) -> Any:
        self.capturing = False
        Stream.events.append("end capture")
        return types.SimpleNamespace(launch=lambda: Stream.events.append("launch"))

    def is_capturing(self) -> bool:
        return self.capturing

    def synchronize(self) -> None:
        Stream.events.append("synchronize")

    def record(self) -> str:
        return "event"

    def wait_event(self, event: Any) -> None:
        Stream.events.append("wait")


class MemoryPool:
    """A pool; ``used`` names those that are in use, the last one first asked."""

    used: list[Any] = []  # noqa: RUF012

    def malloc(self, size: int) -> Any:
        raise NotImplementedError

    def total_bytes(self) -> int:
        return 1 << 20


class Event:
    """A moment on the card's clock, which goes on by a millisecond whenever somebody looks."""

    clock = itertools.count()

    def record(self) -> None:
        self.at = next(Event.clock)

    def synchronize(self) -> None:
        Stream.events.append("synchronize")


@contextlib.contextmanager
def _using_allocator(allocator: Any) -> Iterator[None]:
    MemoryPool.used.append(allocator.__self__)
    Stream.events.append("private pool")
    yield
    Stream.events.append("shared pool")


@contextlib.contextmanager
def installed() -> Iterator[list[str]]:
    """Within the block device "cuda" is the stand-in; the list grows by a line whenever a number is read from it."""
    before, reads = {name: sys.modules.get(name) for name in MODULES}, []
    library, handles = cublas._library, cublas._handles
    emulated_cupy.install()
    cuda = sys.modules["cupy"].cuda
    null = Stream(null=True)
    cuda.Stream, cuda.MemoryPool, cuda.using_allocator = Stream, MemoryPool, _using_allocator
    cuda.get_current_stream = lambda: Stream.current or null
    cuda.Event, cuda.get_elapsed_time = Event, lambda start, end: float(end.at - start.at)
    cuda.runtime.getDeviceProperties = lambda number: {"name": b"a stand-in"}
    sys.modules["cupy"].get_default_memory_pool = MemoryPool
    plain = {name: getattr(ndarray, name) for name in READING if name in ndarray.__dict__}
    kept, looked_up = dict(plain), ndarray.__getattr__

    def attribute(self: Any, name: str) -> Any:
        if name in READING:
            reads.append(f"{name} in {_caller()}")
        return looked_up(self, name)

    for name, method in plain.items():
        setattr(ndarray, name, _recording(name, method, reads))
    ndarray.__getattr__ = attribute
    try:
        yield reads
    finally:
        cublas._library, cublas._handles, ndarray.__getattr__ = library, handles, looked_up
        for name, method in kept.items():
            setattr(ndarray, name, method)
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
