"""Graphs that hypothesis draws: values used many times, views, diamonds, broadcasting, parts; against central differences.

Where PyTorch is installed the same program runs there: gradients and second gradients must agree to the last digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from minitorch import autograd

ROWS, COLUMNS = 2, 3  # every value is a (2, 3) matrix; operations that reshape come back to it

UNARY = {
    "tanh": lambda lib, x: x.tanh(),
    "sin": lambda lib, x: x.sin(),
    "scaled": lambda lib, x: x * 0.5 + 1,
    "negated": lambda lib, x: 1 - x,
    "gaussian": lambda lib, x: (-x * x).exp(),
    "softmax": lambda lib, x: x.softmax(-1),
    "reshape": lambda lib, x: x.reshape(COLUMNS, ROWS).reshape(ROWS, COLUMNS),
    "transpose": lambda lib, x: x.T.reshape(ROWS, COLUMNS),
    "detour": lambda lib, x: x.T.T,
    "row": lambda lib, x: x[0] + x[:, 1:2] * x,
    "column": lambda lib, x: x[:, :1] * x,
    "rows again": lambda lib, x: x[lib.tensor([1, 1], device=x.device)],
    "mean": lambda lib, x: x - x.mean(0, keepdim=True),
    "sum": lambda lib, x: x.sum() * 0.1 + x * 0,
    "flip": lambda lib, x: x.flip(0),
    "cumsum": lambda lib, x: x.cumsum(1),
    "square": lambda lib, x: x**2 * 0.3,
    "split": lambda lib, x: lib.cat(list(x.split(1, dim=1))[::-1], 1),
    "unbind": lambda lib, x: lib.stack([x.unbind(0)[1], x.unbind(0)[1]]),
    "one part": lambda lib, x: x.split(1)[0].expand(ROWS, COLUMNS),
    "norm": lambda lib, x: x / (1 + (x * x).sum(-1, keepdim=True)).sqrt(),
}
BINARY = {
    "add": lambda lib, x, y: x + y,
    "sub": lambda lib, x, y: x - y,
    "mul": lambda lib, x, y: x * y,
    "div": lambda lib, x, y: x / (2 + y.sin()),
    "matmul": lambda lib, x, y: x @ y.T @ x * 0.1,
    "where": lambda lib, x, y: lib.where(lib.tensor([[True, False, True]], device=x.device), x, y),
    "cat": lambda lib, x, y: lib.cat([x, y])[1:3],
    "outer": lambda lib, x, y: x[:, :1] * y[:1],
    "residual": lambda lib, x, y: x + x * y,
}

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 30)),
        st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 30), st.integers(0, 30)),
    ),
    min_size=1,
    max_size=14,
)
outputs = st.lists(st.integers(0, 30), min_size=1, max_size=4)


def run(library: Any, program: list[Any], ends: list[int], leaves: list[Any]) -> Any:
    """Each step reads earlier values, counted back from the newest; the result is a sum over some of them."""
    values = list(leaves)
    for name, *places in program:
        arguments = [values[-1 - p % len(values)] for p in places]
        values.append((UNARY if name in UNARY else BINARY)[name](library, *arguments))
    total = values[-1].sum()
    for p in ends:
        total = total + (values[-1 - p % len(values)] ** 2).sum() * 0.5
    return total


def arrays(seed: int = 0) -> list[np.ndarray]:
    """Three leaves, one of which broadcasts and one of which is transposed."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=(ROWS, COLUMNS)),
        rng.normal(size=(COLUMNS, ROWS)).T,
        np.ones((ROWS, 1)) * rng.normal(size=(1, COLUMNS)),
    ]


@settings(max_examples=60)
@given(program=steps, ends=outputs)
def test_against_central_differences(program: Any, ends: Any, device: str) -> None:
    """The derivative of the whole program in a random direction, and of its squared gradient."""
    points = arrays()
    directions = arrays(seed=1)

    def leaves(t: float) -> list[Any]:
        return [minitorch.tensor(x + t * d, device=device, requires_grad=True) for x, d in zip(points, directions, strict=True)]

    def value(t: float) -> float:
        return run(minitorch, program, ends, leaves(t)).item()

    def slope(t: float, create_graph: bool = False) -> Any:
        xs = leaves(t)
        gs = autograd.grad(run(minitorch, program, ends, xs), xs, create_graph=create_graph, materialize_grads=True)
        pairs = zip(gs, directions, strict=True)
        return xs, sum((g * minitorch.tensor(d, device=device)).sum() for g, d in pairs)

    h = 1e-4
    xs, analytic = slope(0, create_graph=True)
    numeric = (value(h) - value(-h)) / (2 * h)
    assert analytic.item() == pytest.approx(numeric, rel=1e-5, abs=1e-5)
    plain = slope(0)[1].item()
    assert plain == pytest.approx(analytic.item(), rel=1e-12, abs=1e-12)
    if analytic.requires_grad:
        second = autograd.grad(analytic, xs, materialize_grads=True)
        curvature = sum((s * minitorch.tensor(d, device=device)).sum().item() for s, d in zip(second, directions, strict=True))
        numeric = (slope(h)[1].item() - slope(-h)[1].item()) / (2 * h)
        assert curvature == pytest.approx(numeric, rel=1e-4, abs=1e-4)


@settings(max_examples=60)
@given(program=steps, ends=outputs)
def test_against_torch(program: Any, ends: Any) -> None:
    """Gradients and second gradients of the same program, and .grad after two backward passes."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; central differences stand in")
    results = []
    for library in (minitorch, torch):
        xs = [library.tensor(x).requires_grad_() for x in arrays()]
        total = run(library, program, ends, xs)
        gs = library.autograd.grad(total, xs, create_graph=True, allow_unused=True)
        used = [g for g in gs if g is not None and g.requires_grad]
        second = [None] * len(xs)
        if used:
            second = library.autograd.grad(sum((g * g).sum() for g in used), xs, allow_unused=True, retain_graph=True)
        total.backward(retain_graph=True)
        total.backward()
        results.append([*gs, *second, *(x.grad for x in xs)])
    for mine, theirs in zip(*results, strict=True):
        mine = np.zeros((ROWS, COLUMNS)) if mine is None else mine.detach().numpy()
        theirs = np.zeros((ROWS, COLUMNS)) if theirs is None else theirs.detach().numpy()
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(theirs).max())))


@pytest.mark.slow
@settings(max_examples=3000)
@given(program=steps, ends=outputs)
def test_against_torch_at_length(program: Any, ends: Any) -> None:
    """As above, many more programs."""
    test_against_torch.hypothesis.inner_test(program, ends)
