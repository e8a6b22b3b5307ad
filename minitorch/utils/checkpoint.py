"""Activation checkpointing: save only the input of each segment of a network, and compute the rest again in backward().

Memory for time: a network of n layers in √n segments saves √n inputs and the inside of one segment, for one more forward pass.
Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, https://arxiv.org/abs/1604.06174
Read before: graph.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .. import graph
from ..changes import clock
from ..devices import array_module
from ..grad_mode import enable_grad, is_grad_enabled
from ..graph import Leaf, Node, Output
from ..random import get_rng_state, set_rng_state
from ..tensor import Tensor


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), with the same numbers and gradients, but without saving anything computed inside.

    The graph gets one node for the whole call. Its parents are the outside tensors that the function used (arguments and
    captured ones, such as parameters). Its pullback runs the function again, with the same random numbers, and walks the
    graph of that run. The function must do the same thing both times. First-order gradients only.
    ``use_reentrant`` and ``preserve_rng_state`` are accepted for PyTorch's sake and have no effect.
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    segment = _Segment(functools.partial(function, *args, **kwargs))
    outputs, origins = segment.run()
    if not origins:
        return outputs
    captured = [leaf.array for leaf in (node.tensor() for node in origins if isinstance(node, Leaf)) if leaf is not None]
    given = [x.array for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
    pullback = functools.partial(segment.pull_back, (captured, given), origins)  # holds the arrays: changes.py looks here
    node = Node(checkpoint, tuple(origins), pullback, (), {}, None, None)
    several = isinstance(outputs, tuple | list)
    results = [
        Tensor(y.array, Output(node, i, y.shape, y.dtype)) if isinstance(y, Tensor) and y.requires_grad else y
        for i, y in enumerate(outputs if several else [outputs])
    ]
    return type(outputs)(results) if several else results[0]


def _only_first_order() -> None:
    raise RuntimeError(
        "checkpoint: its backward pass cannot be differentiated again (create_graph=True); "
        "call the function directly where you need gradients of gradients"
    )


checkpoint.linear, checkpoint.formula = False, _only_first_order  # type: ignore[attr-defined]  # a node's call has both


class _Segment:
    """A call that can be repeated with the same random numbers, recording its operations."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.stream = get_rng_state()

    def run(self) -> tuple[Any, list[Node]]:
        """The call's outputs, and its origins: the nodes of the outside tensors that they were computed from."""
        set_rng_state(self.stream)  # also the first time: a GPU's stream then starts here both times
        start = next(clock)
        with enable_grad():
            outputs = self.call()
        return outputs, _older_than(start, _nodes(outputs))

    def pull_back(self, held: Any, origins: list[Node], g: dict[int, Any]) -> Any:
        """The gradients at the origins (unpacked if only one, as the engine expects), given the outputs' by number."""
        now = get_rng_state()
        try:
            outputs, again = self.run()
        finally:
            set_rng_state(now)
        if set(again) != set(origins):
            raise RuntimeError(
                "checkpoint: the function used other tensors when it was run again for backward(); it must do the same both "
                "times (no counters, no parameters frozen or replaced in between)"
            )
        outputs = outputs if isinstance(outputs, tuple | list) else [outputs]
        with _nothing_behind(origins):
            found = graph.backward([outputs[i].node for i in g], list(g.values()), wanted=set(origins))
        # Views: two origins may get one array (x + y does that), and the engine adds in place to arrays that are not views.
        contributions = [found[node][...] if node in found else _zeros(node, g) for node in origins]
        return contributions if len(contributions) > 1 else contributions[0]


def _nodes(outputs: Any) -> list[Node]:
    several = outputs if isinstance(outputs, tuple | list) else [outputs]
    return [y.node for y in several if isinstance(y, Tensor) and y.node is not None]


def _older_than(start: int, roots: Iterable[Node]) -> list[Node]:
    """The first nodes older than ``start`` on every path back from the roots."""
    stack, seen, origins = list(roots), set(), []
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.time < start:
            origins.append(node)
        else:
            stack += [parent for parent in node.parents if parent is not None]
    return origins


@contextmanager
def _nothing_behind(origins: Sequence[Node]) -> Iterator[None]:
    """Inside the block the graph ends at ``origins``: the outer walk handles everything behind them, and their hooks."""
    before = [(node, node.parents, node.hooks) for node in origins if node.parents or node.hooks]
    for node, _, _ in before:
        node.parents, node.hooks = (), None
    try:
        yield
    finally:
        for node, parents, hooks in before:
            node.parents, node.hooks = parents, hooks


def _zeros(node: Node, g: dict[int, Any]) -> Any:
    return array_module(*g.values()).zeros(node.shape, dtype=node.dtype)


def checkpoint_sequential(
    functions: Iterable[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:
    """Run ``functions`` (an nn.Sequential, or a list) one after the other, in segments: all except the last are checkpointed."""
    layers = list(functions)
    size = len(layers) // segments
    for first in range(0, size * (segments - 1), size or 1):
        input = checkpoint(_chain, layers[first : first + size], input)
    return _chain(layers[size * (segments - 1) :], input)


def _chain(layers: Sequence[Callable[[Any], Any]], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x
