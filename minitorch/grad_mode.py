"""Grad mode: whether operations are recorded, switched per thread.

Read before: dtypes.py. Read next: graph.py, which checks ``mode`` at every op.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


class _Mode(threading.local):
    """The switches per thread: recording, observing every op (tools/observer.py), casting to half precision (amp)."""

    enabled = True
    observer: Any = None
    autocast: dict[str, Any] | None = None  # amp/autocast.py: the half precision of each kind of device that casts

    def __init__(self) -> None:
        self.casts: dict[Any, Any] = {}  # the weights' half copies, made once per block
        self.walked: dict[Any, Any] = {}  # node -> parents of the last graph that backward freed, which draw_graph still draws


mode = _Mode()


class _GradMode(contextlib.ContextDecorator):
    enabled: bool

    def __init__(self) -> None:
        self.before: list[bool] = []  # a stack, so that one object can be entered twice

    def __enter__(self) -> None:
        self.before.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(self, *exception: object) -> None:
        mode.enabled = self.before.pop()

    def _recreate_cm(self) -> _GradMode:  # a decorated function may run in several threads: each call has its own
        return type(self)()


class no_grad(_GradMode):
    """A ``with`` block or decorator in which no op is recorded and no input is kept alive."""

    enabled = False


inference_mode = no_grad  # PyTorch's does the same with less bookkeeping


class enable_grad(_GradMode):
    """A ``with`` block or decorator in which operations are recorded, also inside no_grad."""

    enabled = True


class set_grad_enabled(_GradMode):
    """Switch recording on or off at once; as a ``with`` block, until its end."""

    def __init__(self, enabled: bool) -> None:
        self.before = [mode.enabled]
        self.enabled = mode.enabled = enabled

    def __enter__(self) -> None:
        mode.enabled = self.enabled

    def __exit__(self, *exception: object) -> None:
        mode.enabled = self.before[0]

    def _recreate_cm(self) -> set_grad_enabled:
        return set_grad_enabled(self.enabled)


def is_grad_enabled() -> bool:
    """Are operations being recorded in this thread?"""
    return mode.enabled


@contextlib.contextmanager
def no_autocast() -> Iterator[None]:
    """A block without casts: the backward pass uses the dtypes that the forward pass recorded."""
    before, mode.autocast = mode.autocast, None
    try:
        yield
    finally:
        mode.autocast = before
