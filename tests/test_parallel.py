"""Micro-batches: in turn and on threads the same numbers as the whole batch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minitorch
import minitorch.nn.functional as F
from minitorch import nn
from minitorch.parallel import Workers


def setting(dropout=0.0):
    minitorch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 3))
    x, y = minitorch.randn(12, 6), minitorch.randint(0, 3, (12,))
    return model, x, y


def parts_of(model, x, y, n):
    size = len(x) // n

    def part(i):
        rows = slice(i * size, (i + 1) * size)
        return lambda: (F.cross_entropy(model(x[rows]), y[rows]) / n, i)

    return [part(i) for i in range(n)]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 3, 4])
def test_gradients_equal_those_of_the_whole_batch(threads, n):
    model, x, y = setting()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    expected = [p.grad.numpy() for p in model.parameters()]
    model.zero_grad()
    with Workers(threads) as workers:
        results = workers.backward(list(model.parameters()), parts_of(model, x, y, n))
    assert [extra for _, extra in results] == list(range(n))
    np.testing.assert_allclose(sum(loss for loss, _ in results), loss.item(), rtol=1e-6)
    for p, g in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g, atol=1e-6)


def test_the_same_bits_from_any_number_of_threads_with_dropout_too():
    gradients = []
    for threads in (1, 2, 4):
        model, x, y = setting(dropout=0.5)
        with Workers(threads) as workers:
            workers.backward(list(model.parameters()), parts_of(model, x, y, 4), seed=(7, 3))
        gradients.append([p.grad.numpy() for p in model.parameters()])
    for other in gradients[1:]:
        for a, b in zip(gradients[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_gradients_add_to_what_is_there_and_belong_to_one_parameter_each():
    a, b = minitorch.ones(2, requires_grad=True), minitorch.ones(2, requires_grad=True)
    parts = [lambda: ((a + b).sum(), None)] * 3
    with Workers(1) as workers:
        workers.backward([a, b], parts)
        workers.backward([a, b], parts)
    assert a.grad.tolist() == b.grad.tolist() == [6, 6]
    assert not np.shares_memory(a.grad.array, b.grad.array)


def test_an_error_in_a_part_comes_out():
    def broken():
        raise ValueError("bad part")

    with Workers(2) as workers, pytest.raises(ValueError, match="bad part"):
        workers.backward([minitorch.ones(1, requires_grad=True)], [broken, broken])


def test_the_streams_of_the_caller_are_left_alone():
    minitorch.manual_seed(5)
    expected = minitorch.rand(3).tolist()
    minitorch.manual_seed(5)
    model, x, y = nn.Linear(2, 2), minitorch.ones(4, 2), minitorch.zeros(4, dtype=minitorch.int64)
    minitorch.manual_seed(5)
    with Workers(1) as workers:
        workers.backward(list(model.parameters()), [lambda: (F.cross_entropy(F.dropout(model(x)), y), None)], seed=(1,))
    assert minitorch.rand(3).tolist() == expected


def test_what_watches_the_program_watches_the_workers():
    model, x, y = setting()
    parameters, tables = list(model.parameters()), []
    for threads in (1, 2):
        with Workers(threads) as workers, minitorch.profile() as p:
            workers.backward(parameters, parts_of(model, x, y, 4))
        tables.append({row["op"]: row["calls"] for row in p.rows})
    assert tables[0] == tables[1]
    assert tables[0]["linear"] == 8
    with Workers(2) as workers, minitorch.detect_anomaly(), pytest.raises(RuntimeError, match="log"):
        workers.backward([x.requires_grad_()], [lambda: ((x * 0 - 1).log().sum(), None)] * 2)


@pytest.mark.parametrize("shape", [(3, 10), (8,), (2, 5, 7), (1,)])
def test_a_mask_does_not_depend_on_how_the_batch_is_cut(shape):
    """Rows of the whole batch's mask, in the forward and the backward pass, on any number of threads; two masks per example."""
    w = minitorch.ones(1, requires_grad=True)
    masks = []
    for ends in ([0, 12], [0, 5, 12], [0, 1, 2, 9, 12], [0, 6, 12]):
        rows = list(itertools.pairwise(ends))

        def part(first, stop):
            x = minitorch.ones(2 * (stop - first), *shape, requires_grad=True)
            y = F.dropout(F.dropout(x * w, 0.3), 0.4)
            (g,) = minitorch.autograd.grad(y.sum(), [x], retain_graph=True)
            return y.sum(), (y.detach(), g)

        with Workers(2) as workers:
            results = workers.backward([w], [lambda r=r: part(*r) for r in rows], (7, 3), rows)
        masks.append([np.concatenate([extra[i].numpy() for _, extra in results]) for i in (0, 1)])
    for y, g in masks:
        np.testing.assert_array_equal(y, masks[0][0])
        np.testing.assert_array_equal(g, y)
    assert 0.2 < (masks[0][0] > 0).mean() < 0.65
