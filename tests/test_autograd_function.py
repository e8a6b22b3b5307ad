"""autograd.Function: the same classes, written once, run in minitorch and in PyTorch, whose numbers are frozen too."""

import gc
import json
import math
import weakref
from pathlib import Path

import numpy as np
import pytest

import minitorch
from minitorch.autograd import gradcheck, gradgradcheck
from minitorch.autograd.function import once_differentiable

FROZEN = Path(__file__).parent / "frozen" / "function.json"


def leaf(lib, values, **options):
    return lib.tensor(values, dtype=lib.float64, requires_grad=True, **options)


def classes(lib, once=once_differentiable):
    """The operations that the cases use, as subclasses of ``lib.autograd.Function``."""

    class Exp(lib.autograd.Function):  # saves its output
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    class Power(lib.autograd.Function):  # another kind of argument, an attribute on ctx
        @staticmethod
        def forward(ctx, x, exponent, name="no tensor"):
            ctx.exponent = exponent
            ctx.save_for_backward(x, None)
            return x**exponent

        @staticmethod
        def backward(ctx, g):
            x, nothing = ctx.saved_tensors
            assert nothing is None
            return g * ctx.exponent * x ** (ctx.exponent - 1), None, None

    class Linear(lib.autograd.Function):  # the example of PyTorch's documentation
        @staticmethod
        def forward(x, weight, bias):
            y = x.mm(weight.t())
            return y if bias is None else y + bias

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.shape = tuple(output.shape)

        @staticmethod
        def backward(ctx, g):
            x, weight, bias = ctx.saved_tensors
            assert tuple(g.shape) == ctx.shape
            dx = g.mm(weight) if ctx.needs_input_grad[0] else None
            dw = g.t().mm(x) if ctx.needs_input_grad[1] else None
            db = g.sum(0) if bias is not None and ctx.needs_input_grad[2] else None
            return dx, dw, db

    class SinCos(lib.autograd.Function):  # two outputs, both saved: each is the other's derivative
        @staticmethod
        def forward(ctx, x):
            s, c = x.sin(), x.cos()
            ctx.save_for_backward(s, c)
            return s, c

        @staticmethod
        def backward(ctx, gs, gc):
            s, c = ctx.saved_tensors
            return gs * c - gc * s

    class Sorted(lib.autograd.Function):  # an output without gradient, and one that is no tensor
        @staticmethod
        def forward(ctx, x):
            i = lib.argsort(x)
            twice = 2 * x
            ctx.mark_non_differentiable(i, twice)
            ctx.save_for_backward(i)
            return x[i], i, twice, "text"

        @staticmethod
        def backward(ctx, g, gi, gtwice, nothing):
            assert float(gi.sum()) == float(gtwice.sum()) == 0
            assert nothing is None
            (i,) = ctx.saved_tensors
            return lib.zeros_like(g).index_add(0, i, g)

    class Absent(lib.autograd.Function):  # None for the output that is not used, None as an input's gradient
        @staticmethod
        def forward(ctx, x, y):
            ctx.set_materialize_grads(False)
            return x * 1, y * 2

        @staticmethod
        def backward(ctx, gx, gy):
            assert gx is None
            return None, 2 * gy

    class Spread(lib.autograd.Function):  # repeats its input; the repeated dimensions may be left to be summed
        @staticmethod
        def forward(ctx, x):
            return x.expand(3, 2).clone()

        @staticmethod
        def backward(ctx, g):
            return g, None  # one None too many is allowed

    class Same(lib.autograd.Function):  # returns its input, with a gradient of its own
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return -g

    class Once(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * x

    return {name: value for name, value in locals().items() if name not in ("lib", "once")}


def numbers(*tensors):
    """What a case returns: plain lists; None where there is no gradient."""
    return [None if x is None else x.detach().cpu().tolist() for x in tensors]


def all_orders(lib, y, x, n):
    """y and its derivatives of order 1 to n with respect to x, each the gradient of the sum of the one before."""
    results = [y]
    for _ in range(n):
        results += lib.autograd.grad(results[-1].sum(), x, create_graph=True)
    return numbers(*results)


def exp(lib, f):
    x = leaf(lib, [0.5, -1.0])
    return all_orders(lib, f["Exp"].apply(x) * x, x, 3)


def power(lib, f):
    x = leaf(lib, [0.5, -1.5])
    return all_orders(lib, f["Power"].apply(x, 3), x, 3)


def linear(lib, f):
    x, w, b = leaf(lib, [[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]]), leaf(lib, [[0.3, -0.2]]), leaf(lib, [0.7])
    frozen = w.detach()
    f["Linear"].apply(x, w, b).sigmoid().sum().backward()
    (first,) = lib.autograd.grad(f["Linear"].apply(x, w, None).tanh().sum(), w, create_graph=True)
    mixed = lib.autograd.grad((first * first).sum(), [x, w])
    (alone,) = lib.autograd.grad(f["Linear"].apply(x, frozen, b).exp().sum(), x)
    return numbers(x.grad, w.grad, b.grad, first, *mixed, alone)


def two_outputs(lib, f):
    x = leaf(lib, [0.3, 1.2])
    s, c = f["SinCos"].apply(x)
    both = lib.autograd.grad((s * c * x).sum(), x, create_graph=True)
    second = lib.autograd.grad(both[0].sum(), x)
    return numbers(s, c, *both, *second) + all_orders(lib, f["SinCos"].apply(x)[0], x, 3)


def non_differentiable(lib, f):
    x = leaf(lib, [3.0, 1.0, 2.0])
    y, i, twice, text = f["Sorted"].apply(x)
    assert text == "text"
    assert (y.requires_grad, i.requires_grad, twice.requires_grad) == (True, False, False)
    (y * lib.tensor([1.0, 10.0, 100.0], dtype=lib.float64)).sum().backward()
    return numbers(y, i, twice, x.grad)


def absent_gradients(lib, f):
    x, y = leaf(lib, [1.0]), leaf(lib, [2.0])
    f["Absent"].apply(x, y)[1].sum().backward()
    found = lib.autograd.grad(f["Absent"].apply(x, y)[1].sum(), [x, y], allow_unused=True)
    return numbers(x.grad, y.grad, *found)


def repeated_input(lib, f):
    x = leaf(lib, [[1.0, 2.0]])
    (f["Spread"].apply(x) * lib.arange(6).reshape(3, 2)).sum().backward()
    return numbers(x.grad)


def returned_input(lib, f):
    x = leaf(lib, [1.0, 2.0])
    y = f["Same"].apply(x)
    assert y is not x
    (y * x).sum().backward()
    return numbers(y, x.grad)


def first_order_only(lib, f):
    x = leaf(lib, [1.0, 2.0])
    f["Once"].apply(x).sum().backward()
    return numbers(x.grad, *lib.autograd.grad((f["Once"].apply(x) ** 2).sum(), x, create_graph=True))


def without_recording(lib, f):
    x = leaf(lib, [1.0, 2.0])
    with lib.no_grad():
        y = f["Exp"].apply(x)
    z = f["Exp"].apply(x.detach())
    assert not y.requires_grad
    assert not z.requires_grad
    return numbers(y, z)


CASES = [
    exp,
    power,
    linear,
    two_outputs,
    non_differentiable,
    absent_gradients,
    repeated_input,
    returned_input,
    first_order_only,
    without_recording,
]


def flat(x):
    """Nested lists as one list; None stays, as NaN."""
    return [item for part in x for item in flat(part)] if isinstance(x, list) else [math.nan if x is None else x]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_numbers_are_torchs(case):
    expected = json.loads(FROZEN.read_text())[case.__name__]
    np.testing.assert_allclose(flat(case(minitorch, classes(minitorch))), flat(expected), rtol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_frozen_numbers_are_torchs(case):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed; its frozen numbers are tested")
    expected = json.loads(FROZEN.read_text())[case.__name__]
    result = case(torch, classes(torch, torch.autograd.function.once_differentiable))
    np.testing.assert_allclose(flat(result), flat(expected), rtol=1e-12)


# ------------------------------------------------------------------------------------------------------------ errors


def returning(lib, result):
    """A Function of two inputs whose backward returns ``result``."""

    class Mine(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + 1

        @staticmethod
        def backward(ctx, g):
            return result

    return Mine


def too_few(lib):
    x = leaf(lib, [1.0, 2.0])
    returning(lib, lib.ones(2)).apply(x, x).sum().backward()


def too_many(lib):
    x = leaf(lib, [1.0, 2.0])
    returning(lib, (lib.ones(2), lib.ones(2), lib.ones(2))).apply(x, x).sum().backward()


def wrong_shape(lib):
    x = leaf(lib, [1.0, 2.0])
    returning(lib, (lib.ones(2), lib.ones(3))).apply(x, x).sum().backward()


def no_tensor(lib):
    x = leaf(lib, [1.0, 2.0])
    returning(lib, (1.0, lib.ones(2))).apply(x, x).sum().backward()


def gradient_of_a_number(lib):
    x = leaf(lib, [1.0, 2.0])
    returning(lib, (lib.ones(2), lib.ones(2))).apply(x, 5).sum().backward()


def no_backward(lib):
    class Mine(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + 1

    Mine.apply(leaf(lib, [1.0])).sum().backward()


def no_forward(lib):
    class Mine(lib.autograd.Function):
        pass

    Mine.apply(leaf(lib, [1.0]))


def saved_number(lib):
    class Mine(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 5)
            return x + 1

    Mine.apply(leaf(lib, [1.0]))


def changed_input(lib):
    x = leaf(lib, [1.0, 2.0])
    h = x * 1
    y = classes(lib)["Power"].apply(h, 2)
    with lib.no_grad():
        h.mul_(2)
    y.sum().backward()


def changed_output(lib):
    y = classes(lib)["Exp"].apply(leaf(lib, [1.0, 2.0]))
    with lib.no_grad():
        y.add_(1)
    y.sum().backward()


def walked_twice(lib):
    y = classes(lib)["Exp"].apply(leaf(lib, [1.0, 2.0])).sum()
    y.backward()
    y.backward()


def once_twice(lib):
    once = once_differentiable if lib is minitorch else lib.autograd.function.once_differentiable
    x = leaf(lib, [1.0, 2.0])
    y = classes(lib, once)["Once"].apply(x)
    (g,) = lib.autograd.grad((y * y).sum(), x, create_graph=True)
    g.sum().backward()


ERRORS = {
    too_few: (RuntimeError, "Mine.backward returned an incorrect number of gradients: expected 2, .*got 1"),
    too_many: (RuntimeError, "expected 2, .*got 3"),
    wrong_shape: (RuntimeError, r"invalid gradient for input 1: it has shape \(3,\), the input has \(2,\)"),
    no_tensor: (RuntimeError, "must return Tensors or None, but the gradient of input 0 is float"),
    gradient_of_a_number: (RuntimeError, "gradient for input 1, which is not a tensor; return None"),
    no_backward: (NotImplementedError, "static backward"),
    no_forward: (NotImplementedError, "static forward"),
    saved_number: (TypeError, r"argument 1 is int; .*ctx.name = value"),
    changed_input: (RuntimeError, "Power: a value of shape .* was changed in place"),
    changed_output: (RuntimeError, "Exp: a value of shape .* was changed in place"),
    walked_twice: (RuntimeError, "already walked and freed"),
    once_twice: (RuntimeError, "once_differentiable"),
}


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.__name__)
def test_errors_teach(case):
    kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        case(minitorch)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.__name__)
def test_torch_refuses_too(case):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    with pytest.raises(ERRORS[case][0]):
        case(torch)


def test_mark_dirty_is_refused():
    class Mine(minitorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x

    with pytest.raises(RuntimeError, match="compute and return a new tensor"):
        Mine.apply(minitorch.ones(1))


# -------------------------------------------------------------------------------------------- as a part of the engine


def test_finite_differences_agree():
    f, x = classes(minitorch), leaf(minitorch, [[0.3, 1.2], [0.4, -0.7]])
    w = leaf(minitorch, [[0.3, -0.2]])
    for function, inputs in (
        (f["Exp"].apply, (x,)),
        (lambda x: f["SinCos"].apply(x)[1] * f["Power"].apply(x, 3), (x,)),
        (lambda x, w: f["Linear"].apply(x, w, None), (x, w)),
    ):
        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs)


def test_gradients_are_never_shared(device):
    """Neither the array that backward returned, nor one of its own two, is added to in place."""
    kept = minitorch.ones(2, device=device)
    x, y = (minitorch.tensor([1.0, 2.0], device=device, requires_grad=True) for _ in range(2))
    out = returning(minitorch, (kept, kept)).apply(x * 1, y)
    (out + x * 3 + y * 5).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist(), kept.tolist()) == ([4, 4], [6, 6], [1, 1])


def test_it_runs_where_its_input_is(device):
    x = minitorch.tensor([0.0, 1.0], device=device, requires_grad=True)
    s, c = classes(minitorch)["SinCos"].apply(x)
    s.sum().backward()
    assert s.device == x.grad.device == x.device
    assert x.grad.tolist() == c.tolist()


def test_nothing_outlives_its_use():
    """A saved output makes no circle: without the garbage collector, all is freed with the last reference to the result."""
    gc.disable()
    try:
        y = classes(minitorch)["Exp"].apply(leaf(minitorch, [1.0]))
        saved, node = weakref.ref(y.node.pullback.args[1]), weakref.ref(y.node)
        del y
        assert saved() is None
        assert node() is None
    finally:
        gc.enable()


def test_the_tools_see_it():
    f, x = classes(minitorch), leaf(minitorch, [1.0, 2.0])
    assert f["Exp"].apply(x).grad_fn.name == "Exp"
    with minitorch.detect_anomaly(), minitorch.profile():
        f["Absent"].apply(x, f["Power"].apply(x, 2))[1].sum().backward()
    assert x.grad.tolist() == [4, 8]
    with minitorch.detect_anomaly(), pytest.raises(RuntimeError, match="backward of Mine gave"):
        returning(minitorch, (minitorch.tensor([math.inf, 1.0]), None)).apply(x, x).sum().backward()
