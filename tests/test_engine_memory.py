"""Depth and memory: deep graphs, freed as they are walked; no reference cycles; nothing kept alive without need."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import Tensor, autograd

DEPTH = 100_000


def in_a_small_stack(function: Callable[[], Any]) -> Any:
    """Run in a thread with 256 KiB of stack: recursion over a deep graph would crash there, on any machine."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # handed to the test
            outcome.append(error)

    before = threading.stack_size(256 * 1024)
    gc.disable()  # a hundred thousand new objects make it search all of them again and again
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
        gc.enable()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def chain(step: Callable[[Tensor], Tensor], device: str, n: int = DEPTH) -> tuple[Tensor, Tensor]:
    """x and step(step(… x))."""
    x = minitorch.tensor(1.0, requires_grad=True, device=device)
    y = x
    for _ in range(n):
        y = step(y)
    return x, y


@pytest.mark.parametrize("step", [lambda y: y + 1.0, lambda y: y * 1.0], ids=["linear", "nonlinear"])
def test_chain_of_100_000_nodes(step: Callable[[Tensor], Tensor], device: str) -> None:
    """Forward, backward; and dropping the graph without a backward pass."""

    def walk() -> float:
        x, y = chain(step, device)
        y.backward()
        del y
        return x.grad.item()

    def drop() -> None:
        x, y = chain(step, device)
        node = weakref.ref(y.node)
        del y
        assert node() is None
        assert x.grad is None

    assert in_a_small_stack(walk) == 1
    in_a_small_stack(drop)


def test_deep_graph_of_a_gradient(device: str) -> None:
    """create_graph over a chain: the gradient's own graph is deep too; walked, and dropped without a walk."""
    n = DEPTH // 4

    def walk() -> float:
        x, y = chain(lambda y: y.sin(), device, n)
        (g,) = autograd.grad(y, x, create_graph=True)
        (h,) = autograd.grad(g, x)
        return h.item()

    def drop() -> None:
        x, y = chain(lambda y: y.sin(), device, n)
        (g,) = autograd.grad(y, x, create_graph=True)
        del y, x
        del g

    assert in_a_small_stack(walk) < 0
    in_a_small_stack(drop)


def test_deep_graph_of_ops_with_several_outputs(device: str) -> None:
    """unbind and stack in turn: edges through the parts of a tuple."""

    def run() -> list[float]:
        x = minitorch.tensor([1.0, 2.0], requires_grad=True, device=device)
        y = x
        for _ in range(5_000):
            a, b = y.unbind()
            y = minitorch.stack([b, a])
        y[0].backward()
        y = x
        for _ in range(5_000):
            a, b = y.unbind()
            y = minitorch.stack([b, a])
        del a, b, y
        return x.grad.tolist()

    assert in_a_small_stack(run) == [1, 0]


# ---------------------------------------------------------------------------------------------------------- freeing


def network(device: str, rows: int = 8) -> tuple[list[Tensor], Callable[[], Tensor]]:
    """A small network with everything in it that keeps something: products, softmax, indexing, parts, views."""
    rng = np.random.default_rng(0)
    w1, w2, b = (
        minitorch.tensor(rng.normal(size=s).astype("float32"), requires_grad=True, device=device)
        for s in ((6, 16), (16, 4), (16,))
    )
    x = minitorch.tensor(rng.normal(size=(rows, 6)).astype("float32"), device=device)

    def loss() -> Tensor:
        h = (x @ w1 + b).tanh()
        left, right = h.split(8, dim=1)
        h = minitorch.cat([right, left], dim=1) * h.reshape(-1, 16)
        p = (h @ w2).softmax(-1)
        return -(p[:, 0] + 1e-3).log().mean() + (h[:, ::2] ** 2).mean()

    return [w1, w2, b], loss


@pytest.mark.parametrize("kind", ["backward", "dropped", "create_graph", "hooks", "no_grad"])
def test_no_reference_cycles(kind: str, device: str) -> None:
    """With Python's collector off, a step leaves nothing that only the collector could free."""
    parameters, loss = network(device)

    def step() -> None:
        value = loss()
        if kind == "backward":
            value.backward()
        elif kind == "create_graph":
            grads = autograd.grad(value, parameters, create_graph=True)
            sum((g * g).sum() for g in grads).backward()
        elif kind == "hooks":
            h = parameters[0] * 2
            h.retain_grad()
            h.register_hook(lambda g: g * 1)
            (value + h.sum()).backward()
        elif kind == "no_grad":
            with minitorch.no_grad():
                loss()
        for p in parameters:
            p.grad = None

    step()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            step()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_activations_die_as_backward_goes(device: str) -> None:
    """When the walk reaches a node, what the younger ones held is gone already."""
    x = minitorch.tensor(np.ones(4), requires_grad=True, device=device)
    alive: list[weakref.ref[Any]] = []
    counts = []
    y = x
    for _ in range(6):
        y = y.exp()
        alive.append(weakref.ref(y.array))
        y = y * 0.1
        y.register_hook(lambda g: counts.append(sum(ref() is not None for ref in alive)))
    loss = y.sum()
    del y
    loss.backward()
    assert counts == sorted(counts, reverse=True)
    assert counts[0] - counts[-1] >= 4, f"nodes alive at each step: {counts}"
    del loss
    assert not any(ref() is not None for ref in alive)


def test_arrays_are_freed_by_backward_although_the_result_lives(device: str) -> None:
    """The loss stays, its graph's activations do not; with retain_graph they do."""
    for retain in (False, True):
        x = minitorch.tensor(np.ones(1000), requires_grad=True, device=device)
        h = x.exp()
        array = weakref.ref(h.array)
        loss = h.sin().sum()
        del h
        assert array() is not None
        loss.backward(retain_graph=retain)
        assert (array() is not None) == retain


def test_no_grad_keeps_nothing_alive(device: str) -> None:
    """An intermediate result under no_grad dies with its name, and so does one whose consumer does not need its value."""
    x = minitorch.tensor(np.ones(1000), requires_grad=True, device=device)
    with minitorch.no_grad():
        h = x.exp()
        ref = weakref.ref(h.array)
        y = h.sin().sum()
        del h
        assert ref() is None
    assert y.node is None
    h = x * 2  # a linear consumer keeps nothing: x + 1 does not need x
    ref = weakref.ref(h.array)
    y = (h + 1.0).sum()
    del h
    assert ref() is None
    y.backward()
    assert x.grad.tolist() == [2.0] * 1000


def test_a_dead_leaf_is_no_trouble(device: str) -> None:
    """A graph does not keep its leaves alive for their .grad alone; walking it then still works."""
    x = minitorch.tensor([2.0], requires_grad=True, device=device)
    y = (minitorch.tensor([3.0], requires_grad=True, device=device) * x).sum()
    gc.collect()
    y.backward()
    assert x.grad.tolist() == [3]


def test_memory_is_flat_over_steps() -> None:
    """A training loop needs no more memory after two hundred steps than after twenty."""
    parameters, loss = network("cpu", rows=64)

    def steps(n: int) -> None:
        for _ in range(n):
            loss().backward()
            with minitorch.no_grad():
                for p in parameters:
                    p.sub_(p.grad, alpha=0.01)
                    p.grad = None

    def objects_and_bytes() -> tuple[int, int]:
        gc.collect()
        arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
        return len(gc.get_objects()), sum(trace.size for trace in arrays.traces)

    tracemalloc.start()
    try:
        steps(20)
        objects_and_bytes()
        objects, held = objects_and_bytes()
        tracemalloc.reset_peak()
        steps(20)
        _, first_peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        steps(160)
        _, peak = tracemalloc.get_traced_memory()
        objects_after, held_after = objects_and_bytes()
    finally:
        tracemalloc.stop()
    assert held_after <= held, f"{held_after - held} bytes of arrays more after 180 steps"
    assert objects_after - objects < 50
    assert peak - first_peak < 200_000  # Python keeps up to 2,000 freed tuples of each length for reuse, which count here


def test_backward_needs_no_second_copy_of_the_graph() -> None:
    """Gradients on their way are freed as they go: a long chain's backward needs a handful of arrays, not one a node."""
    x = minitorch.tensor(np.ones(100_000), requires_grad=True)  # 800 kB
    y = x
    for _ in range(30):
        y = y + 1.0  # keeps nothing
    loss = y.sum()
    del y
    tracemalloc.start()
    try:
        loss.backward()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * x.nbytes
