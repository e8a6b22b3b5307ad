"""Where a derivative becomes a constant, the next one is 0, not an error: PyTorch's answers for every operation that has them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minitorch
from minitorch import Tensor, autograd
from minitorch.autograd import functional
from minitorch.nn import functional as F

F64 = minitorch.float64


def point(lib=minitorch) -> Tensor:
    return lib.tensor([1.5, -0.5], dtype=lib.float64, requires_grad=True)


def derivatives(lib, f, x, count: int) -> list:
    """The first ``count`` derivatives of the sum of f(x); None from the first one that is an error."""
    y, found = f(lib, x), []
    for _ in range(count):
        if y is not None and y.requires_grad:
            (y,) = lib.autograd.grad(y.sum(), x, create_graph=True)
            found.append(y.detach().numpy() if lib is minitorch else y.detach().numpy(force=True))
        else:
            y = None
            found.append(None)
    return found


FUNCTIONS = {  # name -> (function, the order whose derivative is 0)
    "x**1": (lambda lib, x: x**1, 2),
    "x**2": (lambda lib, x: x**2, 3),
    "x**3": (lambda lib, x: x**3, 4),
    "x**4": (lambda lib, x: x**4, 5),
    "x**5.0": (lambda lib, x: x**5.0, 6),
    "square": (lambda lib, x: lib.square(x), 3),
    "pow": (lambda lib, x: lib.pow(x, 3), 4),
    "a polynomial": (lambda lib, x: x**4 - 3 * x**2 + x, 5),
    "a product of powers": (lambda lib, x: x**2 * x**3, 6),
    "a power of a power": (lambda lib, x: (x**2) ** 2, 5),
    "x to a tensor": (lambda lib, x: x ** lib.tensor(2.0), 3),
    "a mean": (lambda lib, x: ((x - 1) ** 2).mean(), 3),
    "an element": (lambda lib, x: x[0] ** 2, 3),
    "max": (lambda lib, x: (x**2).max(), 3),
    "relu": (lambda lib, x: lib.nn.functional.relu(x), 2),
    "relu of a layer": (lambda lib, x: lib.nn.functional.relu(lib.nn.functional.linear(x, lib.ones(3, 2, dtype=lib.float64))), 2),
    "relu squared": (lambda lib, x: lib.nn.functional.relu(x) ** 2, 3),
    "leaky_relu": (lambda lib, x: lib.nn.functional.leaky_relu(x), 2),
    "abs": (lambda lib, x: x.abs(), 2),
    "clamp": (lambda lib, x: (x**2).clamp(0, 1), 3),
    "prod": (lambda lib, x: x.prod(), 4),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_derivative_of_a_constant_is_zero(name):
    f, order = FUNCTIONS[name]
    ours = derivatives(minitorch, f, point(), order)
    assert ours[-1] is not None
    np.testing.assert_array_equal(ours[-1], [0, 0])
    assert np.abs(ours[0]).max() > 0
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    for mine, theirs in zip(ours, derivatives(torch, f, point(torch), order), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-9)


def test_five_derivatives_of_x4():
    x = minitorch.tensor(3.0, dtype=F64, requires_grad=True)
    found = [float(d) for d in derivatives(minitorch, lambda lib, x: x**4, x, 6)]
    assert found == [108, 108, 72, 24, 0, 0]


def test_backward_of_a_constant_derivative():
    x = minitorch.tensor(3.0, dtype=F64, requires_grad=True)
    (y,) = autograd.grad(x**2, x, create_graph=True)
    (y,) = autograd.grad(y, x, create_graph=True)
    y.backward()
    assert x.grad.item() == 0


def test_functional_of_constant_derivatives():
    x = minitorch.tensor([1.0, 2.0], dtype=F64)
    assert functional.hessian(lambda x: (x**2).sum(), x).tolist() == [[2, 0], [0, 2]]
    assert functional.hessian(lambda x: F.relu(x).sum(), x, strict=True).tolist() == [[0, 0], [0, 0]]
    third = functional.jacobian(lambda x: functional.hessian(lambda z: (z**2).sum(), x, create_graph=True), x)
    assert third.abs().max().item() == 0


def test_what_does_not_depend_stays_an_error_or_none():
    """As in PyTorch: allow_unused and materialize_grads are asked for, and a linear function's gradient needs none."""
    x, unused = point(), point()
    with pytest.raises(RuntimeError, match="input 1 was not used"):
        autograd.grad((x**2).sum(), [x, unused])
    assert autograd.grad((x**2).sum(), [x, unused], allow_unused=True)[1] is None
    assert autograd.grad((x**2).sum(), [x, unused], materialize_grads=True)[1].tolist() == [0, 0]
    (g,) = autograd.grad((3 * x).sum(), x, create_graph=True)
    assert not g.requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        autograd.grad(g.sum(), x)


def test_relu_keeps_its_result_only():
    """The input may be changed or freed, as in PyTorch; changing the result is an error."""
    x = point()
    h = x * 1
    memory = weakref.ref(h.array)
    y = F.relu(h)
    del h
    gc.collect()
    assert memory() is None
    (g,) = autograd.grad((y * y).sum(), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x)
    assert (g.tolist(), h.tolist()) == ([3, 0], [2, 0])
    y = F.relu(x * 1)
    y.detach().mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()
