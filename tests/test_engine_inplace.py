"""In-place changes: refused in a graph, detected where they would make a gradient wrong, allowed where they cannot."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import Tensor, autograd

CHANGED = "needs was changed in place after it was used; change a copy"


def leaf(values: Any, device: str) -> Tensor:
    """A tensor that wants a gradient."""
    return minitorch.tensor(values, dtype=minitorch.float64, device=device, requires_grad=True)


def fill_first(x: Tensor) -> None:
    """x[0] = 7"""
    x[0] = 7.0


CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "add_": lambda x: x.add_(1),
    "sub_": lambda x: x.sub_(1),
    "mul_": lambda x: x.mul_(2),
    "div_": lambda x: x.div_(2),
    "zero_": lambda x: x.zero_(),
    "fill_": lambda x: x.fill_(3.0),
    "copy_": lambda x: x.copy_(minitorch.ones(2, dtype=minitorch.float64, device=x.device)),
    "clamp_": lambda x: x.clamp_(0, 1),
    "floor_divide_": lambda x: x.floor_divide_(2),
    "remainder_": lambda x: x.remainder_(2),
    "x[0] = 7": fill_first,
    "x += 1": lambda x: x.__iadd__(1),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@every_change
def test_refused_on_tensors_of_a_graph(change: Callable[[Tensor], Any], device: str) -> None:
    """A leaf that wants a gradient, and what is computed from one: the error says what to do instead."""
    x = leaf([1.0, 2.0], device)
    for target in (x, x * 2):
        before = target.tolist()
        with pytest.raises(
            RuntimeError, match="an in-place change to a tensor of a graph would make its gradient wrong; compute a new one"
        ):
            change(target)
        assert target.tolist() == before


def test_refused_when_the_value_is_of_a_graph(device: str) -> None:
    """buffer[0] = w would lose w's gradient."""
    buffer, w = minitorch.zeros(2, dtype=minitorch.float64, device=device), leaf([1.0, 2.0], device)
    with pytest.raises(RuntimeError, match="an in-place change"):
        buffer.add_(w)
    with pytest.raises(RuntimeError, match="an in-place change"):
        buffer[0] = w[0]


@every_change
def test_detected_on_what_a_gradient_needs(change: Callable[[Tensor], Any], device: str) -> None:
    """A plain tensor that a product holds: backward refuses, and says which op and which shape."""
    x, c = leaf([1.0, 2.0], device), minitorch.tensor([3.0, 4.0], dtype=minitorch.float64, device=device)
    loss = (x * c).sum()
    change(c)
    with pytest.raises(RuntimeError, match=f"mul: a value of shape .2,. that its gradient {CHANGED}"):
        loss.backward()
    assert x.grad is None


@every_change
def test_detected_under_no_grad(change: Callable[[Tensor], Any], device: str) -> None:
    """no_grad allows the change (optimisers need it); the graph that needs the old value still refuses."""
    x, w = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    loss = (x * w).sum()
    with minitorch.no_grad():
        change(w)
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()
    fresh = (x * w).sum()  # made after the change: fine
    fresh.backward()
    assert x.grad.tolist() == w.tolist()


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda h: h.detach(),
    "data": lambda h: h.data,
    "x[1:]": lambda h: h.detach()[1:],
    "x[..., ::2]": lambda h: h.detach()[..., ::2],
    "reshape": lambda h: h.detach().reshape(-1),
    "transpose": lambda h: h.detach().T,
    "permute, then index": lambda h: h.detach().permute(1, 0)[1],
    "unsqueeze": lambda h: h.detach().unsqueeze(0),
    "diagonal": lambda h: h.detach().diagonal(),
    "unbind": lambda h: h.detach().unbind()[0],
    "split": lambda h: h.detach().split(1)[1],
    "numpy's memory": lambda h: minitorch.from_numpy(h.detach().numpy()) if h.device == "cpu" else h.detach(),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_detected_through_a_view(view: Callable[[Tensor], Tensor], device: str) -> None:
    """An activation changed through any view of its memory."""
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    h = x * 2
    loss = (h * h).sum()
    with minitorch.no_grad():
        view(h).add_(1)
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


KEPT: dict[str, Callable[[Tensor], Tensor]] = {
    "x[1:]": lambda h: h[1:],
    "x[:, None]": lambda h: h[:, None],
    "expand": lambda h: h.unsqueeze(0).expand(3, 2, 2),
    "transpose of a slice": lambda h: h[:, 1:].T,
    "reshape": lambda h: h.reshape(4),
    "broadcast": lambda h: minitorch.broadcast_to(h, (2, 2, 2)),
}


@pytest.mark.parametrize("view", KEPT.values(), ids=KEPT)
def test_detected_when_a_view_was_kept(view: Callable[[Tensor], Tensor], device: str) -> None:
    """The graph holds a view, the whole is changed."""
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    h = x * 2
    v = view(h)
    loss = (v * v).sum()
    with minitorch.no_grad():
        h.detach().add_(1)
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


SAVED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "exp keeps its result": lambda h, w: h.exp(),
    "matmul": lambda h, w: h @ w,
    "log": lambda h, w: (h + 5).log() * h,
    "softmax": lambda h, w: h.softmax(-1),
    "where's mask": lambda h, w: minitorch.where(h > 0, h * w, w),
    "index": lambda h, w: h * w[minitorch.tensor([1, 0], device=h.device)],
    "division": lambda h, w: w / (h + 5),
    "power": lambda h, w: h**3,
    "max": lambda h, w: h.amax(1) * h[0],
    "linear": lambda h, w: minitorch.nn.functional.linear(h, w),
    "layer_norm": lambda h, w: minitorch.nn.functional.layer_norm(h, (2,), w[0], w[1]),
    "gelu": lambda h, w: minitorch.nn.functional.gelu(h),
}


@pytest.mark.parametrize("create_graph", [False, True], ids=["backward", "create_graph"])
@pytest.mark.parametrize("f", SAVED.values(), ids=SAVED)
def test_never_silently_wrong(f: Callable[[Tensor, Tensor], Tensor], create_graph: bool, device: str) -> None:
    """Whatever is overwritten afterwards, the gradient is either refused or right: also when formulas are evaluated again."""
    for changed in ("input", "weight", "result", "leaf"):
        x, w = leaf([[0.5, -1.0], [1.5, 2.0]], device), leaf([[1.0, 0.3], [-0.7, 2.0]], device)
        h = x * 1.0
        out = f(h, w)
        expected = autograd.grad(out.sum(), [x, w], retain_graph=True, allow_unused=True)
        expected = [None if g is None else g.clone() for g in expected]
        with minitorch.no_grad():
            {"input": h, "weight": w, "result": out, "leaf": x}[changed].mul_(3)
        try:
            got = autograd.grad(out.sum(), [x, w], allow_unused=True, create_graph=create_graph)
        except RuntimeError as error:
            assert "changed in place" in str(error)  # noqa: PT017  (refusing is one of the two right answers)
            continue
        for g, e in zip(got, expected, strict=True):
            assert (g is None) == (e is None)
            if g is not None:
                np.testing.assert_allclose(g.detach().cpu().array, e.cpu().array, err_msg=f"after a change of the {changed}")


def test_allowed_where_the_value_is_not_needed(device: str) -> None:
    """x + c does not need c; a change before the graph was made, of a copy, or after backward harms nobody."""
    x, c = leaf([1.0, 2.0], device), minitorch.tensor([3.0, 4.0], dtype=minitorch.float64, device=device)
    loss = ((x + c) * 2 - c).sum()
    c.add_(1)
    loss.backward()
    assert x.grad.tolist() == [2, 2]
    loss = (x * c).sum()
    c.clone().add_(1)
    c.exp().add_(1)
    loss.backward()
    c.add_(1)
    assert x.grad.tolist() == [2 + 4, 2 + 5]


def test_a_change_after_one_walk_is_seen_by_the_next(device: str) -> None:
    """retain_graph: right the first time, refused after the optimiser's step."""
    w, x = leaf([1.0, 2.0], device), minitorch.tensor([3.0, 4.0], dtype=minitorch.float64, device=device)
    loss = (w * w * x).sum()
    loss.backward(retain_graph=True)
    with minitorch.no_grad():
        w.sub_(w.grad, alpha=0.1)
    with pytest.raises(RuntimeError, match=CHANGED):
        loss.backward()


def test_a_training_step_is_not_refused(device: str) -> None:
    """Change parameters under no_grad, clear gradients, again: the usual loop."""
    w = leaf([1.0, 2.0], device)
    for _ in range(5):
        loss = (w * w).sum()
        loss.backward()
        with minitorch.no_grad():
            w.sub_(w.grad, alpha=0.1)
            w.grad.zero_()
    np.testing.assert_allclose(w.tolist(), np.array([1.0, 2.0]) * 0.8**5)


CASTS: dict[str, Callable[[Tensor], Tensor]] = {
    "astype": lambda x: x.astype(np.float32),
    "to": lambda x: x.to(minitorch.float16),
    "half": lambda x: x.half(),
    "promotion": lambda x: x * minitorch.ones(2, dtype=minitorch.float32, device=x.device),
    "type_as": lambda x: x.type_as(minitorch.zeros(1, dtype=minitorch.float32)),
    "cumsum": lambda x: x.cumsum(0, dtype=minitorch.float32),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_graph_with_a_cast_is_walked_after_a_change_elsewhere(
    cast: Callable[[Tensor], Tensor], create_graph: bool, device: str
) -> None:
    """A pullback of a cast holds a dtype, which is no array: the search for changed arrays passes it by, and ends."""
    x, elsewhere = leaf([1.0, 2.0], device), minitorch.zeros(1, device=device)
    y = cast(x).sum()
    elsewhere += 1
    y.backward(create_graph=create_graph)
    assert x.grad is not None
    assert x.grad.dtype == x.dtype
    expected = [2.0, 1.0] if cast is CASTS["cumsum"] else [1.0, 1.0]
    np.testing.assert_array_equal(x.grad.detach().cpu().numpy(), expected)


@pytest.mark.timeout(20)
def test_two_optimizers_step_under_autocast(device: str) -> None:
    """The first optimiser's step changes weights in place while the second one's graph, full of casts, still waits."""
    a, b = (minitorch.nn.Linear(3, 2).to(device) for _ in range(2))
    x = minitorch.ones(4, 3, device=device)
    with minitorch.autocast(device.partition(":")[0], dtype=minitorch.bfloat16):
        first, second = a(x).float().square().mean(), b(x).float().square().mean()
    for model, loss in ((a, first), (b, second)):
        loss.backward()
        minitorch.optim.SGD(model.parameters(), lr=0.1).step()
    assert b.weight.grad is not None
    assert bool(minitorch.isfinite(b.weight.grad).all())


def test_accumulating_into_grad_is_noticed_by_a_graph_of_it(device: str) -> None:
    """A later backward adds to x.grad in place; a graph that holds the old value refuses."""
    x, w = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    (x * x).sum().backward()
    penalty = (w * x.grad).sum()
    (x * x).sum().backward()
    with pytest.raises(RuntimeError, match=CHANGED):
        penalty.backward()


IN_PLACE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {  # the statement, and what it is short for
    "+=": (operator.iadd, operator.add),
    "-=": (operator.isub, operator.sub),
    "*=": (operator.imul, operator.mul),
    "/=": (operator.itruediv, operator.truediv),
    "//=": (operator.ifloordiv, operator.floordiv),
    "%=": (operator.imod, operator.mod),
    "**=": (operator.ipow, operator.pow),
    "&=": (operator.iand, operator.and_),
    "|=": (operator.ior, operator.or_),
    "^=": (operator.ixor, operator.xor),
    "div_ trunc": (lambda x, y: x.div_(y, rounding_mode="trunc"), lambda x, y: x.div(y, rounding_mode="trunc")),
    "div_ floor": (lambda x, y: x.div_(y, rounding_mode="floor"), lambda x, y: x.div(y, rounding_mode="floor")),
}
VALUES: dict[str, list[float]] = {
    "bool": [0, 1, 1, 0],
    "uint8": [7, 2, 0, 5],
    "int32": [7, -2, 0, 5],
    "float32": [7.5, -2, 0.25, 5],
}


@pytest.mark.parametrize("dtype", VALUES)
@pytest.mark.parametrize("statement", IN_PLACE)
def test_in_place_is_the_operation_stored(statement: str, dtype: str, device: str) -> None:
    """x op= y writes op(x, y) into x's own memory, in x's dtype, through a view too; what cannot be stored is refused."""
    change, operation = IN_PLACE[statement]
    for other in VALUES:
        y = minitorch.tensor([3, 2, 1, 1], dtype=getattr(minitorch, other), device=device)
        for value in (y, y[0], y[0].item()):
            memory = minitorch.tensor([VALUES[dtype]] * 2, dtype=getattr(minitorch, dtype), device=device)
            x = memory.T[:, 1]
            try:
                expected = operation(x, value)
            except (RuntimeError, TypeError) as error:
                with pytest.raises(type(error)):
                    change(x, value)
                continue
            if not minitorch.can_cast(expected.dtype, x.dtype):
                with pytest.raises(RuntimeError, match="cannot be stored"):
                    change(x, value)
                continue
            assert change(x, value) is x
            assert memory[1].tolist() == expected.to(x.dtype).tolist()
            assert memory[0].tolist() == minitorch.tensor(VALUES[dtype], dtype=x.dtype).tolist()


@every_change
def test_nothing_to_change_is_no_obstacle(change: Callable[[Tensor], Any], device: str) -> None:
    """Tensors without elements, whatever their strides; only x[0] and a source of other size are out of place there."""
    for shape in ((0,), (0, 3), (3, 0), (1, 0, 2)):
        x = minitorch.zeros(shape, dtype=minitorch.float64, device=device)
        if change in (CHANGES["x[0] = 7"], CHANGES["copy_"]):
            x.copy_(minitorch.ones(x.shape, device=device))
            x[...] = 7.0
        else:
            change(x)
        assert x.shape == shape


def test_memory_cells_shared_by_elements_are_not_written(device: str) -> None:
    """An expanded tensor holds one cell for many elements; a result's dtype and shape must fit."""
    x = minitorch.ones(3, device=device)
    with pytest.raises(RuntimeError, match=r"share one memory cell; clone\(\) it first"):
        x.expand(2, 3).add_(1)
    with pytest.raises(RuntimeError, match="cannot be stored in a tensor of type int64"):
        minitorch.ones(3, dtype=minitorch.int64, device=device).add_(0.5)
    with pytest.raises(RuntimeError, match=r"a value of shape \(2, 3\) does not fit into a tensor of shape \(3,\)"):
        x.add_(minitorch.ones(2, 3, device=device))


@pytest.mark.parametrize("value", ["a", b"a", 1j])
def test_only_numbers_are_stored(value: Any, device: str) -> None:
    """A text or a complex number is refused by its type, not by its shape."""
    x = minitorch.zeros(3, device=device)
    with pytest.raises(TypeError, match="expected a number or a Tensor, got"):
        x[0] = value
    assert x.tolist() == [0, 0, 0]
