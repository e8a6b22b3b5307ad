"""Which texts share a batch: the line of costs, and the queue's choice. No server, no clock."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("starlette")

from models.serving.batching import LARGEST, Batcher
from models.serving.cost import GROWTH, LEAST, Cost


def fed(batches, a, b):
    cost = Cost()
    for n in batches:
        cost.add(n, a + b * n)
    return cost


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-4, 1), st.floats(1e-6, 1e-1), st.lists(st.integers(1, 2000), min_size=LEAST, max_size=60))
def test_the_line_is_found(a, b, batches):
    batches = [*batches, 1, 2000]
    found = fed(batches, a, b)
    assert found.line() == pytest.approx((a, b), rel=1e-4, abs=1e-9)
    assert found.most(10**9) == pytest.approx(GROWTH * a / b, rel=1e-3, abs=1.01)
    assert found.most(7) == min(7, found.most(10**9))


def test_what_is_not_known_limits_nothing():
    assert fed([30] * 200, 0.006, 2e-4).most(1024) == 1024  # all alike: no line goes through one point
    assert fed([10, 60] * (LEAST // 2 - 1), 0.006, 2e-4).most(1024) == 1024  # too few
    assert fed([10, 60] * LEAST, 0.006, 2e-4).most(1024) == 60
    assert fed([10, 60] * LEAST, -0.001, 2e-4).most(1024) == 0  # one by one
    assert fed([10, 60] * LEAST, 0.006, -2e-4).most(1024) == 1024  # nonsense


def test_old_times_are_forgotten():
    """A machine that becomes twice as slow."""
    cost, rng = fed([10, 60] * 50, 0.006, 2e-4), np.random.default_rng(0)
    for n in rng.integers(8, 64, 300).tolist():
        cost.add(n, 0.012 + 2e-4 * n)
    assert cost.line() == pytest.approx((0.012, 2e-4), rel=0.05)


class Answers:
    """An answerer without a model."""

    device, group = "cpu", staticmethod(lambda feature: 0)

    def __init__(self, cost=None):
        self.cost = cost

    def size(self, feature):
        return feature


def chosen(sizes, answerer, idle=0, batch_tokens=None):
    """The sizes that a worker takes, with so many others idle."""

    async def choose():
        batcher = Batcher(2, batch_tokens, 100)
        batcher.submit(answerer, sizes)
        batcher.idle = idle
        return [item.size for item in batcher.choose()]

    return asyncio.run(choose())


def test_a_batch_is_as_large_as_the_times_allow():
    sizes = [30, 63, 10, 29, 31, 8]
    assert chosen(sizes, Answers()) == [30, 29, 31, 10, 8, 63]  # nothing is known: all of them
    fast, slow = fed([10, 60] * LEAST, 0.006, 1e-6), fed([10, 60] * LEAST, 0.006, 2e-4)
    assert len(chosen(sizes, Answers(fast))) == 6
    assert chosen(sizes, Answers(slow)) == [30, 29]  # 60 tokens
    assert chosen([63, 60], Answers(slow)) == [63]  # a text alone is always taken
    assert chosen(sizes, Answers(slow), batch_tokens=1024) == [30, 29, 31, 10, 8, 63]  # who names a number gets it
    assert chosen(sizes, Answers(fast), idle=1) == [30, 29, 31]  # the other worker takes the rest
    assert chosen([LARGEST, LARGEST], Answers()) == [LARGEST]


def test_workers_measure_what_a_batch_cost():
    """Each batch adds a point; texts that are written have no line, and any batch that fits."""
    told = []
    answerer = Answers(SimpleNamespace(add=lambda n, t: told.append((n, t > 0)), most=lambda limit: limit))
    answerer.rows = lambda features: [sum(range(1000 * f)) for f in features]

    async def ask():
        batcher = Batcher(1, None, 100)
        request = batcher.submit(answerer, [20, 30, 25])
        batcher.start()
        try:
            return await request.future
        finally:
            batcher.close()

    assert len(asyncio.run(ask())) == 3
    assert told == [(90, True)]
