"""What the engine promises about gradients: right in any graph, in the inputs' dtype and shape, no more work than needed.

Memory and depth are in test_engine_memory.py, in-place changes in test_engine_inplace.py, threads in test_engine_threads.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import Tensor, autograd
from minitorch.autograd import op
from minitorch.devices import array_module
from minitorch.grad_mode import mode

F64 = minitorch.float64


def leaf(values: Any, device: str = "cpu", dtype: Any = F64) -> Tensor:
    """A tensor that wants a gradient."""
    return minitorch.tensor(values, dtype=dtype, device=device, requires_grad=True)


def values(x: Any) -> Any:
    """The numbers of a tensor as nested lists; None stays None."""
    return None if x is None else x.detach().cpu().tolist()


def numpy(x: Any) -> np.ndarray:
    """The numbers of a tensor as a NumPy array."""
    return np.asarray(x.detach().cpu().array)


class Counter:
    """An observer that counts the pullbacks that are asked for, by op and by input."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.calls: list[tuple[str, int]] = []
        self.recorded_nodes: list[str] = []

    def forward(self, call: Any, run: Any, arrays: Any, static: Any) -> Any:
        """As without an observer."""
        return run(*arrays, **static)

    def recorded(self, node: Any) -> None:
        """A node was made."""
        self.recorded_nodes.append(node.name)

    def backward(self, node: Any, pullback: Any) -> Any:
        """A node is visited; its pullbacks count themselves."""
        self.nodes.append(node.name)

        def counted(p: Any, i: int) -> Any:
            def pull(g: Any) -> Any:
                self.calls.append((node.name, i))
                return p(g)

            return pull

        if type(pullback) is tuple:
            return tuple(counted(p, i) for i, p in enumerate(pullback))
        return counted(pullback, 0)

    def __enter__(self) -> Counter:
        mode.observer = self
        return self

    def __exit__(self, *exception: object) -> None:
        mode.observer = None


# ------------------------------------------------------------------------------- the probe table: aliasing, accumulation

# Each row: the expression of x = 2, y = 3, u = 5, and the gradients. Three of eight engines get some of them wrong, by
# handing one array to two parents and later adding to it in place.
PROBES = {
    "(x+y) + y*3": (lambda x, y, u: (x + y) + y * 3, {"x": 1, "y": 4}),
    "y*3 + (x+y)": (lambda x, y, u: y * 3 + (x + y), {"x": 1, "y": 4}),
    "(x+y)*2 + y*3": (lambda x, y, u: (x + y) * 2 + y * 3, {"x": 2, "y": 5}),
    "y*3 + (x+y)*2": (lambda x, y, u: y * 3 + (x + y) * 2, {"x": 2, "y": 5}),
    "(x+y)*1 + y*3": (lambda x, y, u: (x + y) * 1 + y * 3, {"x": 1, "y": 4}),
    "h=x*1; h+h*u": (lambda x, y, u: (h := x * 1) + h * u, {"x": 6, "u": 2}),
    "h=x*1; r=h+h*u; r+h": (lambda x, y, u: ((h := x * 1) + h * u) + h, {"x": 7, "u": 2}),
    "x.sum() + x.sum()": (lambda x, y, u: x.sum() + x.sum(), {"x": 2}),
    "x*y": (lambda x, y, u: x * y, {"x": 3, "y": 2}),
    "x+x": (lambda x, y, u: x + x, {"x": 2}),
    "x*x": (lambda x, y, u: x * x, {"x": 4}),
    "x-x": (lambda x, y, u: x - x, {"x": 0}),
    "a=x; b=a+a; b+b": (lambda x, y, u: (b := x + x) + b, {"x": 4}),
    "shared non-leaf": (lambda x, y, u: (h := x * y) * h + h, {"x": 39, "y": 26}),
    "three residuals": (lambda x, y, u: (c := (b := (a := x + x * y) + a * u) + b * x) + c, {"x": 240}),  # 48 (x + x²)
    "views": (lambda x, y, u: (h := x * 1).reshape(-1) + h.reshape(1, -1).reshape(-1) * u + h, {"x": 7, "u": 2}),
}


@pytest.mark.parametrize("shape", [(), (1,), (2,)], ids=str)
@pytest.mark.parametrize("name", PROBES)
def test_probe_table(name: str, shape: tuple[int, ...], device: str) -> None:
    """Every row, with 0-d tensors and with arrays of one and two equal elements."""
    expression, expected = PROBES[name]
    inputs = {n: leaf(np.full(shape, v, float), device) for n, v in (("x", 2), ("y", 3), ("u", 5))}
    result = expression(*inputs.values())
    result.sum().backward()
    for n, g in expected.items():
        assert values(inputs[n].grad) == np.full(shape, g, float).tolist()
    for n, v in (("x", 2), ("y", 3), ("u", 5)):
        assert values(inputs[n]) == np.full(shape, v, float).tolist(), "an input was changed"


@pytest.mark.parametrize("fan_out", [2, 3, 4, 7])
def test_many_uses_of_one_value(fan_out: int, device: str) -> None:
    """First contribution borrowed, second allocated, later ones added in place: any number of uses, in both orders."""
    for flip in (False, True):
        x, w = leaf([1.0, 2.0], device), leaf([3.0, 5.0], device)
        h = x * 1
        terms = [h, *[h * w for _ in range(fan_out - 1)]]
        total = sum(reversed(terms) if flip else terms, start=leaf([0.0, 0.0], device))
        total.sum().backward()
        assert values(x.grad) == [1 + 3.0 * (fan_out - 1), 1 + 5.0 * (fan_out - 1)]
        assert values(w.grad) == [1.0 * (fan_out - 1), 2.0 * (fan_out - 1)]


def test_the_gradient_that_is_given_is_not_changed(device: str) -> None:
    """backward(gradient) and grad_outputs belong to the caller."""
    x = leaf([1.0, 2.0, 3.0], device)
    seed = minitorch.tensor([1.0, 10.0, 100.0], dtype=F64, device=device)
    (x + x + x * 2).backward(seed)
    assert values(seed) == [1, 10, 100]
    assert values(x.grad) == [4, 40, 400]
    y = leaf([0.0, 0.0, 0.0], device)
    y.backward(seed)
    y.backward(seed)
    assert values(seed) == [1, 10, 100]
    assert values(y.grad) == [2, 20, 200]


def test_gradients_of_two_leaves_are_two_arrays(device: str) -> None:
    """x + y gives both the same gradient, and each its own copy: changing one must not change the other."""
    x, y = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    (x + y).backward(minitorch.ones(2, dtype=F64, device=device))
    x.grad.mul_(5)
    assert values(y.grad) == [1, 1]
    gx, gy = autograd.grad((x + y).sum(), [x, y])
    gx.mul_(5)
    assert values(gy) == [1, 1]


def test_grad_accumulates_over_backward_calls(device: str) -> None:
    """As in PyTorch: .grad is a sum until it is cleared."""
    x = leaf([2.0], device)
    for n in (1, 2, 3):
        (x * x).backward(minitorch.ones(1, dtype=F64, device=device))
        assert values(x.grad) == [4.0 * n]
    x.grad = None
    (x * 3).sum().backward()
    assert values(x.grad) == [3]


# ------------------------------------------------------------------------------------------------------- the walk


def test_a_ladder_of_diamonds_is_linear(device: str) -> None:
    """h = h/2 + h/2 two thousand times has 2^2000 paths and 6,000 nodes: each is visited once."""
    x = leaf(1.0, device)
    h = x
    for _ in range(2_000):
        h = h * 0.5 + h * 0.5
    with Counter() as counter:
        h.backward()
    assert values(x.grad) == 1
    assert len(counter.nodes) == 6_000


def test_a_node_is_visited_when_its_gradient_is_complete(device: str) -> None:
    """However the graph was put together, each op's pullback runs once."""
    x = leaf([1.0, 2.0], device)
    late = x.exp()  # made first, used last
    h = x * 2
    for _ in range(5):
        h = h + x * h
    out = (h * late).sum()
    with Counter() as counter:
        out.backward()
    assert counter.nodes.count("exp") == 1
    assert len(counter.nodes) == 1 + 1 + 2 * 5 + 2


def test_no_work_for_inputs_without_gradient(device: str) -> None:
    """x·w with only w learning: the pullback of x is never called."""
    x = minitorch.tensor([[1.0, 2.0]], dtype=F64, device=device)
    w, b = leaf([[3.0], [4.0]], device), leaf([5.0], device)
    with Counter() as counter:
        loss = ((x @ w + b) * minitorch.tensor(2.0, dtype=F64, device=device)).sum()
        loss.backward()
    calls = [(name, i) for name, i in counter.calls if name in ("matmul", "mul")]
    assert ("mul", 0) in calls
    assert ("mul", 1) not in calls
    assert all(i != 0 for name, i in counter.calls if name == "matmul" and len(counter.calls) > 3)


def test_nothing_is_recorded_without_need(device: str) -> None:
    """Tensors that want no gradient make no graph; neither does no_grad."""
    x, w = minitorch.ones(3, device=device), leaf([1.0, 2.0, 3.0], device, minitorch.float32)
    with Counter() as counter:
        assert (x * 2 + x).node is None
        with minitorch.no_grad():
            assert (w * 2 + x).node is None
            assert not (w * 2).requires_grad
        assert (w.detach() * 2).node is None
        assert (w > 1).node is None
    assert counter.recorded_nodes == []


def test_grad_walks_only_the_paths_to_what_is_wanted(device: str) -> None:
    """autograd.grad(loss, [w]) does not visit what does not lead to w, and touches no .grad."""
    w, other = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    branch = other.exp().sin()
    loss = (w.tanh() * branch).sum()
    with Counter() as counter:
        (g,) = autograd.grad(loss, [w])
    assert "exp" not in counter.nodes
    assert "sin" not in counter.nodes
    assert w.grad is None
    assert other.grad is None
    np.testing.assert_allclose(numpy(g), (1 - np.tanh([1, 2]) ** 2) * np.sin(np.exp([3, 4])))


def test_backward_into_chosen_inputs(device: str) -> None:
    """backward(inputs=[x]) fills x.grad and nobody else's, also for a computed x."""
    x, y = leaf([2.0], device), leaf([3.0], device)
    (x * y).backward(minitorch.ones(1, dtype=F64, device=device), inputs=[x])
    assert values(x.grad) == [3]
    assert y.grad is None


def test_partial_graphs_share_a_subgraph(device: str) -> None:
    """Two losses of one body: freed with the first walk unless it is retained; the unshared parts stay."""
    x = leaf([2.0], device)
    body = x * x
    first, second = (body * 3).sum(), (body * 5).sum()
    first.backward(retain_graph=True)
    second.backward()
    assert values(x.grad) == [4 * 3 + 4 * 5]
    third = (x * 7).sum()
    third.backward()
    assert values(x.grad) == [39]
    with pytest.raises(RuntimeError, match="already walked"):
        (body * 2).sum().backward()


# ------------------------------------------------------------------------------------------------------ semantics


def test_backward_twice_is_an_error_that_says_so(device: str) -> None:
    """With the cure in the text; retain_graph=True is the cure."""
    x = leaf([2.0], device)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert values(x.grad) == [8]
    with pytest.raises(RuntimeError, match="already walked and freed; pass retain_graph=True to the first"):
        y.backward()
    assert values(x.grad) == [8], "the refused walk changed something"


def test_retained_graph_gives_the_same_each_time(device: str) -> None:
    """No pullback uses up what it holds."""
    x, w = leaf([[1.0, 2.0], [3.0, 4.0]], device), leaf([[0.5, -1.0], [2.0, 1.5]], device)
    loss = ((x @ w).tanh().exp() / (x * x + 1)).sum()
    first = [numpy(g) for g in autograd.grad(loss, [x, w], retain_graph=True)]
    for _ in range(3):
        again = autograd.grad(loss, [x, w], retain_graph=True)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, numpy(b))


def test_non_scalar_backward_is_refused(device: str) -> None:
    """Only a scalar has a gradient of its own; the error says what to do."""
    x = leaf([1.0, 2.0], device)
    with pytest.raises(
        RuntimeError, match=r"only a scalar .* shape \(2,\); reduce it first \(y.sum\(\), y.mean\(\)\) or pass gradient="
    ):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"gradient has shape \(3,\), but the tensor has shape \(2,\)"):
        (x * 2).backward(minitorch.ones(3, dtype=F64, device=device))
    with pytest.raises(RuntimeError, match="does not require grad"):
        x.detach().sum().backward()


@pytest.mark.parametrize("dtype", [minitorch.int64, minitorch.int32, minitorch.uint8, minitorch.bool], ids=str)
def test_integers_refuse_requires_grad(dtype: Any, device: str) -> None:
    """Only floating-point tensors can be differentiated."""
    with pytest.raises(RuntimeError, match=f"only floating-point tensors can require gradients, this one is {dtype}"):
        minitorch.ones(2, dtype=dtype, device=device).requires_grad_()
    with pytest.raises(RuntimeError, match="only floating-point tensors"):
        minitorch.tensor([1], dtype=dtype, device=device, requires_grad=True)
    assert not leaf([1.0, 2.0], device).to(dtype).requires_grad, "a cast to integers ends the gradient"


@pytest.mark.parametrize("dtype", [minitorch.float16, minitorch.float32, minitorch.float64], ids=str)
def test_a_gradient_is_like_its_input(dtype: Any, device: str) -> None:
    """Shape, dtype, device; also through broadcasting and mixed dtypes."""
    x = leaf([[1.0], [2.0]], device, dtype)
    for other_dtype in (minitorch.float16, minitorch.float32, minitorch.float64):
        other = leaf([1.0, 2.0, 3.0], device, other_dtype)
        x.grad = None
        (x * other + x.exp() * 2).sum().backward()
        for t in (x, other):
            assert (t.grad.shape, t.grad.dtype, t.grad.device) == (t.shape, t.dtype, t.device)
    weights = minitorch.tensor([[1], [2]], device=device)
    x.grad = None
    (x * weights).sum().backward()
    assert (x.grad.dtype, values(x.grad)) == (dtype, [[1], [2]])


def test_grad_of_unused_inputs(device: str) -> None:
    """An error that says so; None with allow_unused; zeros with materialize_grads."""
    x, y = leaf([1.0, 2.0], device), leaf([3.0], device)
    with pytest.raises(RuntimeError, match="input 1 was not used to compute the outputs; pass allow_unused=True"):
        autograd.grad((x * 2).sum(), [x, y])
    gx, gy = autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert (values(gx), gy) == ([2, 2], None)
    gx, gy = autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)
    assert (values(gx), values(gy), gy.dtype) == ([2, 2], [0], F64)
    with pytest.raises(RuntimeError, match="input 0 does not require grad"):
        autograd.grad((x * 2).sum(), [x.detach()])


def test_grad_of_several_outputs_and_of_computed_inputs(device: str) -> None:
    """Σ over outputs; a computed tensor can be an input; an output can be its own input; one tensor may be asked for twice."""
    x = leaf([1.0, 2.0], device)
    h = x * 3
    out = h * h
    gh, gx = autograd.grad([out.sum(), (h * 2).sum()], [h, x])
    assert (values(gh), values(gx)) == ([8, 14], [24, 42])
    one = x.sum()
    (g,) = autograd.grad(one, one)
    assert values(g) == 1
    a, b = autograd.grad((x * x).sum(), [x, x])
    assert values(a) == values(b) == [2, 4]
    seeds = [minitorch.tensor([1.0, 10.0], dtype=F64, device=device), None]
    (g,) = autograd.grad([x * 2, x.sum()], x, seeds)
    assert values(g) == [3, 21]


def test_grad_mode(device: str) -> None:
    """Blocks, decorators, nesting, exceptions; enable_grad inside no_grad."""
    x = leaf([1.0], device)
    with minitorch.no_grad():
        assert not minitorch.is_grad_enabled()
        with minitorch.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
        with minitorch.set_grad_enabled(True):
            assert (x * 2).requires_grad
    assert minitorch.is_grad_enabled()

    @minitorch.no_grad()
    def silent(n: int) -> bool:
        return (x * 2).requires_grad if n == 0 else silent(n - 1)

    assert silent(0) is False
    assert silent(3) is False
    assert minitorch.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), minitorch.no_grad():
        1 / 0  # noqa: B018
    assert minitorch.is_grad_enabled()
    leaf_made_inside = None
    with minitorch.no_grad():
        leaf_made_inside = leaf([1.0], device)
    assert leaf_made_inside.requires_grad


def test_backward_leaves_grad_mode_as_it_was(device: str) -> None:
    """Also when a hook raises."""
    x = leaf([1.0], device)
    y = x * 2
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert minitorch.is_grad_enabled()
    loss = (x * x).sum()
    with minitorch.no_grad():
        (g,) = autograd.grad(loss, x, create_graph=True)
        assert not minitorch.is_grad_enabled()
    assert g.requires_grad, "create_graph records inside no_grad too"


def test_detach_and_data_end_the_graph(device: str) -> None:
    """y = x·x.detach() has the derivative x, not 2x; memory is shared."""
    x = leaf([3.0], device)
    (x * x.detach()).sum().backward()
    assert values(x.grad) == [3]
    assert x.detach().node is None
    assert x.data.node is None
    with minitorch.no_grad():
        x.detach().add_(1)
    assert values(x) == [4]


# ---------------------------------------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace_the_complete_gradient(device: str) -> None:
    """Once a walk, after all contributions; what a hook returns goes on; remove() takes it away."""
    x = leaf([1.0, 2.0], device)
    h = x * 2
    seen = []
    handle = h.register_hook(lambda g: seen.append(values(g)))
    h.register_hook(lambda g: g * 10)
    (h * 3 + h).sum().backward(retain_graph=True)
    assert seen == [[4, 4]]
    assert values(x.grad) == [80, 80]
    handle.remove()
    handle.remove()
    (h * 1).sum().backward()
    assert len(seen) == 1
    x.grad = None
    x.register_hook(lambda g: -g)
    (x * 5).sum().backward()
    assert values(x.grad) == [-5, -5], "a leaf's hook changes what is stored"
    with pytest.raises(RuntimeError, match="does not require grad"):
        x.detach().register_hook(print)


def test_a_hook_that_changes_nothing_is_harmless(device: str) -> None:
    """Borrowed gradients stay right with hooks that only look, on every node of a residual graph."""
    x, u = leaf([2.0, 2.0], device), leaf([5.0, 5.0], device)
    h = x * 1
    r = h + h * u
    s = r + h
    seen = {}
    for name, t in (("h", h), ("r", r), ("s", s), ("x", x)):
        t.register_hook(lambda g, name=name: seen.__setitem__(name, values(g)))
    s.sum().backward()
    assert seen == {"s": [1, 1], "r": [1, 1], "h": [7, 7], "x": [7, 7]}
    assert values(u.grad) == [2, 2]


def test_retain_grad(device: str) -> None:
    """A computed tensor keeps its gradient too; twice is once; it accumulates."""
    x = leaf([1.0, 2.0], device)
    h = x * 2
    h.retain_grad()
    h.retain_grad()
    (h * h).sum().backward(retain_graph=True)
    assert values(h.grad) == [4, 8]
    (h * h).sum().backward()
    assert values(h.grad) == [8, 16]
    other = x * 3
    other.sum().backward()
    assert other.grad is None


# ------------------------------------------------------------------------------------------------- higher orders


@pytest.mark.parametrize(
    ("name", "f", "derivatives"),
    [
        ("x^5", lambda x: x**5, [lambda x: 5 * x**4, lambda x: 20 * x**3, lambda x: 60 * x**2, lambda x: 120 * x]),
        ("exp", lambda x: (2 * x).exp(), [lambda x, n=n: 2.0**n * np.exp(2 * x) for n in (1, 2, 3, 4)]),
        ("sin", lambda x: x.sin(), [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin]),
        ("1/x", lambda x: 1 / x, [lambda x: -1 / x**2, lambda x: 2 / x**3, lambda x: -6 / x**4, lambda x: 24 / x**5]),
        ("x log x", lambda x: x * x.log(), [lambda x: np.log(x) + 1, lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3]),
        ("sqrt", lambda x: x.sqrt(), [lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5, lambda x: 0.375 * x**-2.5]),
    ],
    ids=lambda p: p if isinstance(p, str) else "",
)
def test_derivatives_of_any_order(name: str, f: Any, derivatives: list[Any], device: str) -> None:
    """create_graph again and again, against the derivatives by hand."""
    x = leaf([0.7, 1.3, 2.1], device)
    y = f(x)
    for derivative in derivatives:
        (y,) = autograd.grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(numpy(y), derivative(np.array([0.7, 1.3, 2.1])), rtol=1e-11)


def test_third_derivatives_of_a_small_network(device: str) -> None:
    """Against central differences of the second derivatives."""
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    direction = rng.normal(size=3)

    def second(x: np.ndarray, order: int) -> Any:
        t = leaf(x, device)
        weights = [minitorch.tensor(a, dtype=F64, device=device) for a in (w, v)]
        y = ((t @ weights[0]).tanh() @ weights[1]).softmax(-1)[0].log()
        d = minitorch.tensor(direction, dtype=F64, device=device)
        for _ in range(order):
            (g,) = autograd.grad(y, t, create_graph=True)
            y = (g * d).sum()
        return y.item()

    x, h = rng.normal(size=3), 1e-4
    numeric = (second(x + h * direction, 2) - second(x - h * direction, 2)) / (2 * h)
    assert second(x, 3) == pytest.approx(numeric, rel=1e-6)


def test_backward_with_create_graph_leaves_a_gradient_that_can_be_differentiated(device: str) -> None:
    """A gradient penalty: loss + |∂loss/∂x|², whose gradient with respect to the weight needs second derivatives."""
    x, w = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    loss = (w * x * x).sum()
    (g,) = autograd.grad(loss, x, create_graph=True)  # 2wx
    (g * g).sum().backward()  # 4w²x²
    np.testing.assert_allclose(numpy(w.grad), 8 * np.array([3, 4.0]) * np.array([1, 2.0]) ** 2)
    np.testing.assert_allclose(numpy(x.grad), 8 * np.array([3, 4.0]) ** 2 * np.array([1, 2.0]))
    y = leaf([2.0], device)
    (y**3).sum().backward(create_graph=True)
    assert y.grad.requires_grad
    (h,) = autograd.grad(y.grad.sum(), y)
    assert values(h) == [12]


def test_without_create_graph_gradients_have_no_graph(device: str) -> None:
    """Gradients are plain tensors by default."""
    x = leaf([2.0], device)
    (g,) = autograd.grad((x**3).sum(), x)
    assert not g.requires_grad
    (x**3).sum().backward()
    assert not x.grad.requires_grad


# -------------------------------------------------------------------------------------------------- ops of your own


@op
def cubed(x: Any) -> Any:
    """x³, as a user would write it."""
    return x * x * x, lambda g: g * 3 * x * x


@op
def sum_and_difference(a: Any, b: Any) -> Any:
    """(a + b, a - b): several outputs, one pullback for both inputs, which gets {index: gradient} of those that were used."""

    def pull(g: dict[int, Any]) -> Any:
        p, m = g.get(0), g.get(1)
        zero = (p if m is None else m) * 0
        p, m = zero if p is None else p, zero if m is None else m
        return p + m, p - m

    return (a + b, a - b), pull


def test_an_op_of_your_own(device: str) -> None:
    """One formula: arrays, Tensors, any order of derivative."""
    x = leaf([2.0, -1.0], device)
    y = cubed(x)
    assert y.node.name == "cubed"
    (g,) = autograd.grad(y.sum(), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x, create_graph=True)
    (third,) = autograd.grad(h.sum(), x)
    assert (values(g), values(h), values(third)) == ([12, 3], [12, -6], [6, 6])
    np.testing.assert_array_equal(cubed(np.array([3.0])), [27])


@pytest.mark.parametrize("used", ["both", "first", "second"])
def test_an_op_with_several_outputs(used: str, device: str) -> None:
    """An output that nobody used is absent from what the pullback gets."""
    a, b = leaf([3.0], device), leaf([4.0], device)
    total, difference = sum_and_difference(a, b)
    loss = {"both": (total * difference).sum(), "first": total.sum(), "second": difference.sum()}[used]
    loss.backward()
    expected = {"both": ([6], [-8]), "first": ([1], [1]), "second": ([1], [-1])}[used]
    assert (values(a.grad), values(b.grad)) == expected


def test_broadcasting_is_undone_by_the_engine(device: str) -> None:
    """An op is its equation: the gradient arrives in the operand's shape, for every way to broadcast."""

    @op
    def product(a: Any, b: Any) -> Any:
        return a * b, (lambda g: g * b, lambda g: g * a)

    for shape, other in [
        ((), (2, 3)),
        ((1,), (2, 3)),
        ((3,), (2, 3)),
        ((2, 1), (2, 3)),
        ((2, 1), (1, 3)),
        ((0, 3), (1,)),
        ((1, 3), (0, 1)),
    ]:
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=shape), rng.normal(size=other)
        a, b = leaf(x, device), leaf(y, device)
        product(a, b).sum().backward()
        ones = np.ones(np.broadcast_shapes(shape, other))
        for t, factor in ((a, y), (b, x)):
            full = ones * factor
            extra = full.ndim - t.ndim
            expected = full.sum(axis=tuple(range(extra)))
            axes = tuple(i for i, n in enumerate(t.shape) if n == 1)
            np.testing.assert_allclose(numpy(t.grad), expected.sum(axis=axes, keepdims=True).reshape(t.shape))


def test_shape_mismatch_is_explained(device: str) -> None:
    """The rule, both shapes, the name of the op; PyTorch's exception type."""
    with pytest.raises(
        RuntimeError, match=r"add: shapes \(2, 3\) and \(4,\) do not broadcast: aligned from the right, each pair"
    ):
        minitorch.ones(2, 3, device=device) + minitorch.ones(4, device=device)


def test_operands_of_a_wrong_type_are_refused() -> None:
    """A text, a list: a TypeError that says what to do, not a surprise deep inside."""
    for wrong in ("a", [1.0], None, object()):
        with pytest.raises(TypeError):
            minitorch.exp(wrong)
        with pytest.raises(TypeError):
            minitorch.add(minitorch.ones(2), wrong)


class CardArray:
    """A stand-in for an array on a card, where there is none: enough of one for the engine to see that devices differ."""

    __module__ = "cupy"
    __array_ufunc__ = None  # NumPy's operators refuse it, as they refuse CuPy's arrays
    device = type("Device", (), {"id": 0})
    shape, ndim, size, dtype, base = (2,), 1, 2, np.dtype("float32"), None

    def _refuse(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            raise TypeError(f"Unsupported type {type(other)}")  # CuPy's words
        return NotImplemented

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse


@pytest.mark.parametrize("order", ["cpu first", "cuda first"])
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_mixed_devices_are_refused(name: str, order: str) -> None:
    """The error names the op, both operands and the call that mends it."""
    here = minitorch.ones(2)
    there = minitorch.ones(2, device="cuda") if minitorch.cuda_is_available() else Tensor(CardArray())
    assert there.device == "cuda:0"
    pair, places = ((here, there), ("cpu", "cuda:0")) if order == "cpu first" else ((there, here), ("cuda:0", "cpu"))
    text = f'{name}: x is on {places[0]} and y is on {places[1]}; operands must share a device: call .to("{places[0]}")'
    with pytest.raises(RuntimeError) as caught:
        getattr(minitorch, name)(*pair)
    assert str(caught.value).startswith(text)


def test_normal_draws_where_its_tensors_are(device: str) -> None:
    """Mean or standard deviation say which device, if nobody else does."""
    for mean, std in ((minitorch.zeros(3, device=device), 1.0), (0.0, minitorch.ones(3, device=device))):
        assert minitorch.normal(mean, std).device == minitorch.zeros(1, device=device).device


def test_without_cupy_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """device="cuda" without CuPy."""
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    with pytest.raises(RuntimeError, match='device "cuda" needs CuPy, which is not installed: pip install "cupy-cuda13x'):
        minitorch.ones(2, device="cuda")
    assert minitorch.cuda_is_available() is False
    with pytest.raises(RuntimeError, match='unknown device "gpu"'):
        minitorch.ones(2, device="gpu")


def test_array_module_of_each_world() -> None:
    """NumPy for arrays and numbers, minitorch.ops as soon as there is a Tensor."""
    assert array_module(np.ones(2), 1.0) is np
    assert array_module(minitorch.ones(2), np.ones(2)) is minitorch.ops
