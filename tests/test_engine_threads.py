"""Threads: grad mode, graphs and random streams of one do not disturb those of another."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import autograd


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Run the functions at once, each in a thread of its own; the first error is raised here."""
    results: list[Any] = [None] * len(functions)
    start = threading.Barrier(len(functions))

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = functions[i]()
        except BaseException as error:  # handed to the test
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def test_grad_mode_belongs_to_the_thread(device: str) -> None:
    """no_grad in one thread, recording in the other, switching all the time; a new thread records."""
    x = minitorch.ones(3, device=device, requires_grad=True)

    def silent() -> bool:
        for _ in range(300):
            with minitorch.no_grad():
                if (x * 2 + 1).requires_grad:
                    return False
        return minitorch.is_grad_enabled()

    def recording() -> bool:
        return all((x * 2 + 1).requires_grad and minitorch.is_grad_enabled() for _ in range(300))

    assert together(silent, recording, silent, recording) == [True] * 4
    with minitorch.no_grad():
        assert together(lambda: minitorch.is_grad_enabled()) == [True], "a thread starts by recording"
        assert not minitorch.is_grad_enabled()


def test_graphs_in_two_threads(device: str) -> None:
    """Each builds and walks its own, over shared weights, with autograd.grad: the numbers of one thread alone."""
    rng = np.random.default_rng(0)
    w = minitorch.tensor(rng.normal(size=(4, 4)), device=device, requires_grad=True)

    def work(seed: int) -> np.ndarray:
        total = np.zeros((4, 4))
        for k in range(40):
            x = minitorch.tensor(np.random.default_rng(seed + k).normal(size=(3, 4)), device=device)
            loss = ((x @ w).tanh() @ w).softmax(-1)[:, 0].log().sum()
            (g,) = autograd.grad(loss, w, create_graph=k % 4 == 0)
            total += g.detach().cpu().numpy()
        return total

    expected = [work(100), work(200), work(300)]
    for got, alone in zip(together(*(lambda s=s: work(s) for s in (100, 200, 300))), expected, strict=True):
        np.testing.assert_array_equal(got, alone)
    assert w.grad is None


def test_backward_in_threads_with_leaves_of_their_own(device: str) -> None:
    """Tensor.backward fills the .grad of each thread's own leaves."""

    def work() -> float:
        for _ in range(50):
            x = minitorch.tensor([1.0, 2.0], device=device, requires_grad=True)
            h = x
            for _ in range(10):
                h = h + h * 0.5
            h.sum().backward()
            if not np.allclose(x.grad.cpu().numpy(), 1.5**10):
                return float("nan")
        return 1.0

    assert together(work, work, work) == [1.0] * 3


def test_an_error_in_one_thread_is_no_trouble_for_another(device: str) -> None:
    """A second backward refused here, a walk there."""
    x = minitorch.ones(2, device=device, requires_grad=True)

    def wrong() -> bool:
        y = (x * x).sum()
        autograd.grad(y, x)
        with pytest.raises(RuntimeError, match="already walked"):
            autograd.grad(y, x)
        return minitorch.is_grad_enabled()

    def right() -> bool:
        return all(autograd.grad((x * x).sum(), x)[0].tolist() == [2, 2] for _ in range(50))

    assert together(wrong, right) == [True, True]


def test_an_observer_watches_its_own_thread(device: str) -> None:
    """detect_anomaly here does not stop a NaN there."""
    x = minitorch.tensor([-1.0], device=device, requires_grad=True)
    inside, go = threading.Event(), threading.Event()

    def watched() -> bool:
        with minitorch.detect_anomaly():
            inside.set()
            go.wait(10)
            with pytest.raises(RuntimeError, match="log"):
                x.log()
        return True

    def unwatched() -> bool:
        inside.wait(10)
        result = bool(minitorch.isnan(x.log()).all())
        go.set()
        return result

    assert together(watched, unwatched) == [True, True]


def everything_at_once(seed: int) -> bytes:
    """A few training steps that use graphs, no_grad, autocast, in-place changes and a seeded stream; the last weights."""
    minitorch.manual_seed(seed)
    model = minitorch.nn.Sequential(
        minitorch.nn.Linear(6, 8), minitorch.nn.GELU(), minitorch.nn.Dropout(0.1), minitorch.nn.Linear(8, 3)
    )
    optimizer = minitorch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(6):
        x = minitorch.randn(5, 6)
        with minitorch.autocast("cpu", dtype=minitorch.bfloat16):
            loss = model(x).float().square().mean()
        with minitorch.no_grad():
            minitorch.zeros(2).add_(loss)
        optimizer.zero_grad()
        (loss + model[0].weight.astype(np.float64).sum()).backward()
        optimizer.step()
    return b"".join(p.detach().numpy().tobytes() for p in model.parameters())


@pytest.mark.timeout(120)
def test_eight_threads_give_the_bits_of_one() -> None:
    """Five rounds of eight threads: the same bits as one thread, and no memory left behind."""
    expected = [everything_at_once(seed) for seed in range(8)]
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(5):
            assert together(*(lambda s=s: everything_at_once(s) for s in range(8))) == expected
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] - sizes[1] < 200_000, f"bytes held after each round: {sizes}"


# --------------------------------------------------------------------------------------------------- random streams


def test_seeded_streams_per_thread() -> None:
    """manual_seed fixes this thread's stream, whatever others draw meanwhile."""

    def numbers() -> list[float]:
        return [x for _ in range(20) for x in minitorch.rand(3).tolist()]

    minitorch.manual_seed(7)
    alone = numbers()
    minitorch.manual_seed(7)
    noise = threading.Thread(target=numbers)
    noise.start()
    beside = numbers()
    noise.join()
    assert beside == alone
    minitorch.manual_seed(8)
    assert numbers() != alone


def test_threads_draw_different_numbers() -> None:
    """No two streams are the same, and none is the seeding thread's."""
    minitorch.manual_seed(7)
    mine = minitorch.rand(4).tolist()
    drawn = together(*(lambda: minitorch.rand(4).tolist() for _ in range(4)))
    assert len({tuple(x) for x in [mine, *drawn]}) == 5


def test_threads_one_after_the_other_are_reproducible() -> None:
    """Started in the same order after the same seed, they draw the same."""

    def run() -> list[Any]:
        minitorch.manual_seed(3)
        return [together(lambda: minitorch.randn(3).tolist())[0] for _ in range(3)]

    assert run() == run()


def test_a_generator_of_ones_own() -> None:
    """generator= is a stream apart: the thread's stream does not move."""
    minitorch.manual_seed(1)
    first = minitorch.rand(2).tolist()
    minitorch.manual_seed(1)
    g = minitorch.Generator().manual_seed(5)
    a = minitorch.rand(3, generator=g).tolist()
    assert minitorch.rand(2).tolist() == first
    assert minitorch.rand(3, generator=minitorch.Generator().manual_seed(5)).tolist() == a


def test_a_position_that_is_saved_and_restored() -> None:
    """get_rng_state, set_rng_state."""
    minitorch.manual_seed(1)
    minitorch.rand(5)
    state = minitorch.get_rng_state()
    after = minitorch.rand(5).tolist()
    minitorch.rand(100)
    minitorch.set_rng_state(state)
    assert minitorch.rand(5).tolist() == after
