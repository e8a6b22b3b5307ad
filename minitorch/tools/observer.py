"""Observers watch every operation inside a ``with`` block.

The engine hands each operation, forward and backward, to ``grad_mode.mode.observer`` if there is one. An observer watches
the thread that entered the block. Blocks may be nested in any order: each observer hands on to the one around it.
Read before: graph.py, grad_mode.py. Read next: anomaly.py, profiler.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..grad_mode import mode
from ..graph import Node


class Observer:
    """Watches every operation in a ``with`` block, and lets the observers of outer blocks watch too."""

    outer: Any = None
    active = False

    def __enter__(self) -> Any:
        if self.active:
            raise RuntimeError(f"{type(self).__name__}: this block is already open; make a second one to nest it")
        self.outer, self.active, mode.observer = mode.observer, True, self
        return self

    def __exit__(self, *exception: object) -> None:
        mode.observer, self.outer, self.active = self.outer, None, False

    def forward(self, call: Any, run: Callable[..., Any], arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        """Run an op's formula; returns (y, pullback) as the formula does."""
        return run(*arrays, **static) if self.outer is None else self.outer.forward(call, run, arrays, static)

    def recorded(self, node: Node) -> None:
        """The op that just ran has become a node of the graph."""
        if self.outer is not None:
            self.outer.recorded(node)

    def backward(self, node: Node, pullback: Any) -> Any:
        """``pullback`` (or a tuple of them) is about to run for ``node``; returns the one that runs in its place."""
        return pullback if self.outer is None else self.outer.backward(node, pullback)


def wrap(pullback: Any, around: Callable[[Callable[[Any], Any], int | None], Any]) -> Any:
    """``around(pullback, index of its input)``, for a single pullback (index None) or for each of a tuple."""
    if type(pullback) is tuple:
        return tuple([around(p, i) for i, p in enumerate(pullback)])
    return around(pullback, None)


def parts_of(x: Any) -> tuple[Any, ...]:
    """The outputs of an op, or the gradients of a pullback, as a tuple."""
    return x if type(x) is tuple else (x,)
