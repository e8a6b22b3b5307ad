"""How many threads BLAS has inside of a kernel and after it. Nothing here measures time."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys

import numpy as np
import pytest

import minitorch
from minitorch import blas, kernels, nn, parallel

pytestmark = pytest.mark.skipif(blas.functions() is None, reason="this NumPy's BLAS has no setting for its threads")


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    """As if the user had chosen nothing, on two cores."""
    before = minitorch.get_num_threads()
    monkeypatch.setattr(blas, "chosen", False)
    blas.widen(2)
    yield
    blas.widen(before)


@pytest.fixture
def seen():
    """BLAS's threads inside of every matrix product."""
    numbers = []

    def matmul(a, b):
        numbers.append(minitorch.get_num_threads())
        return a @ b

    with kernels.use(matmul=matmul):
        yield numbers


def square(n: int) -> minitorch.Tensor:
    return minitorch.ones(n, n, requires_grad=True)


def test_a_small_product_has_one_thread_and_a_large_one_all(seen, monkeypatch):
    a = square(16)
    (a @ a).sum().backward()
    assert seen == [1, 1, 1]
    monkeypatch.setattr(blas, "SMALL", 16**3)
    (a @ a).sum().backward()
    assert seen[3:] == [2, 2, 2]
    assert minitorch.get_num_threads() == 2


def test_what_counts_is_one_product(monkeypatch):
    a, b, w = np.ones((5, 2, 3)), np.ones((5, 3, 4)), np.ones((4, 3))
    assert blas.multiplications("matmul", a, b) == 2 * 3 * 4
    assert blas.multiplications("matmul", a[0], b[0]) == 2 * 3 * 4
    assert blas.multiplications("linear", a, w) == 5 * 2 * 3 * 4
    assert blas.multiplications("linear", np.ones((0, 3)), w) == 0


def test_layers_and_losses_have_one_thread_and_give_it_back():
    minitorch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = minitorch.randn(2, 5, 8)
    loss = nn.functional.cross_entropy(model(x)[:, 0], minitorch.tensor([1, 2]))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert minitorch.get_num_threads() == 2


def test_an_error_gives_the_threads_back():
    def fail(a, b):
        raise ValueError("no product")

    with kernels.use(matmul=fail), pytest.raises(ValueError, match="no product"):
        square(2) @ square(2)
    assert minitorch.get_num_threads() == 2


def test_who_chooses_a_number_has_it_for_all_products(seen):
    minitorch.set_num_threads(3)
    square(4) @ square(4)
    assert seen == [3]
    assert minitorch.get_num_threads() == 3
    minitorch.set_num_threads(1)
    square(4) @ square(4)
    assert seen == [3, 1]


@pytest.mark.parametrize("number", [0, -1, 2.0, True, "2"])
def test_set_num_threads_takes_a_positive_integer(number):
    with pytest.raises(RuntimeError, match="set_num_threads: expects a positive integer, got"):
        minitorch.set_num_threads(number)


@pytest.mark.parametrize(("variable", "chosen"), [("OPENBLAS_NUM_THREADS", True), ("OMP_NUM_THREADS", True), ("OTHER", False)])
def test_the_environment_chooses(variable, chosen):
    environment = {name: value for name, value in os.environ.items() if name not in blas.VARIABLES}
    program = [sys.executable, "-c", "from minitorch import blas; print(blas.chosen)"]
    found = subprocess.run(program, env={**environment, variable: "2"}, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(chosen)


def test_one_blas_thread_without_threadpoolctl(monkeypatch):
    def refuse(name, *rest):
        if name == "threadpoolctl":
            raise ImportError(name)
        return original(name, *rest)

    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    with parallel.one_blas_thread():
        assert minitorch.get_num_threads() == 1
        with parallel.one_blas_thread():
            assert minitorch.get_num_threads() == 1
    assert minitorch.get_num_threads() == 2


def test_without_a_setting_nothing_is_changed(monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(blas, "functions", lambda: None)
        a = square(3)
        assert (a @ a).tolist() == [[3.0] * 3] * 3
        assert minitorch.get_num_threads() == 1
        with pytest.raises(RuntimeError, match="BLAS has no such setting; set OMP_NUM_THREADS"):
            minitorch.set_num_threads(2)
