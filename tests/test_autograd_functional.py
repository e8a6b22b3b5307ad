"""autograd.functional: the same calls in minitorch and in PyTorch, whose numbers are frozen too."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import minitorch

FROZEN = Path(__file__).parent / "frozen" / "functional_autograd.json"


def point(lib):
    """Two inputs of different shapes."""
    return (
        lib.tensor([[0.5, -1.0, 0.25], [2.0, 0.1, -0.3]], dtype=lib.float64),
        lib.tensor([0.3, -0.7], dtype=lib.float64),
    )


def curve(lib):
    """A vector of the same length as ``point(lib)[1]``."""
    return lib.tensor([1.0, -2.0], dtype=lib.float64)


def one_to_one(x):
    return (x * x).sin().sum(1)


def two_to_two(x, y):
    return x.exp().sum(1) * y, (x * x).sum() * y.sum()


def scalar(x, y):
    return (x.pow(3).sum(1) * y.exp()).sum()


def only_first(x, y):
    return (x * x).sum()


def affine(x, y):
    return x.sum() + 2 * y.sum()


def jacobians(lib):
    f, (x, y) = lib.autograd.functional, point(lib)
    return [
        f.jacobian(one_to_one, x),
        f.jacobian(one_to_one, (x,)),
        f.jacobian(two_to_two, (x, y)),
        f.jacobian(two_to_two, inputs=(x, y), vectorize=True, strategy="reverse-mode"),
        f.jacobian(lambda y: (y, y * 2), y),
        f.jacobian(only_first, (x, y)),
        f.jacobian(lambda y: curve(lib), y),
        f.jacobian(lambda x: x.sum(), x),
    ]


def hessians(lib):
    f, (x, y) = lib.autograd.functional, point(lib)
    return [
        f.hessian(scalar, (x, y)),
        f.hessian(lambda y: y.prod(), y),
        f.hessian(lambda y: y.prod().reshape(1, 1), (y,)),
        f.hessian(only_first, (x, y), vectorize=True),
        f.hessian(affine, (x, y)),
    ]


def vectors_times_jacobians(lib):
    f, (x, y) = lib.autograd.functional, point(lib)
    v = (curve(lib), lib.tensor(0.5, dtype=lib.float64))
    return [
        f.vjp(one_to_one, x, curve(lib)),
        f.vjp(two_to_two, (x, y), v),
        f.vjp(scalar, (x, y)),
        f.vjp(only_first, (x, y)),
        f.vjp(lambda y: curve(lib), y, curve(lib)),
    ]


def jacobians_times_vectors(lib):
    f, (x, y) = lib.autograd.functional, point(lib)
    return [
        f.jvp(one_to_one, x, x + 1),
        f.jvp(two_to_two, (x, y), (x * 2, curve(lib))),
        f.jvp(only_first, (x, y), (x * 2, curve(lib))),
        f.jvp(lambda t: t * curve(lib), lib.tensor([3.0], dtype=lib.float64)),
        f.jvp(affine, (x, y), (x * 2, curve(lib))),
        f.jvp(lambda y: y, y, curve(lib)),
    ]


def hessians_times_vectors(lib):
    f, (x, y) = lib.autograd.functional, point(lib)
    results = []
    for product in (f.vhp, f.hvp):
        results += [
            product(scalar, (x, y), (x + 1, curve(lib))),
            product(only_first, (x, y), (x + 1, curve(lib))),
            product(affine, (x, y), (x + 1, curve(lib))),
            product(lambda y: y.prod(), y, curve(lib)),
            product(lambda t: t**3, lib.tensor(2.0, dtype=lib.float64)),
        ]
    return results


def differentiated(lib):
    """create_graph=True: what comes out is differentiated once more, with respect to the inputs and to v."""
    f, results = lib.autograd.functional, []
    for name, function, v_like in (
        ("jacobian", one_to_one, None),
        ("hessian", lambda x: x.pow(3).prod(), None),
        ("vjp", one_to_one, "output"),
        ("jvp", one_to_one, "input"),
        ("vhp", lambda x: x.pow(3).prod(), "input"),
        ("hvp", lambda x: x.pow(3).prod(), "input"),
    ):
        x = point(lib)[0].requires_grad_()
        v = {None: None, "output": curve(lib), "input": point(lib)[0] + 1}[v_like]
        given = [x] if v is None else [x, v.requires_grad_()]
        y = getattr(f, name)(function, *given, create_graph=True)
        y = y if v is None else y[1]
        results.append(lib.autograd.grad((y * y).sum(), given))
    return results


def captured(lib):
    """The input, captured by the function as well, is a constant there; and it is left as it was."""
    x = point(lib)[1].requires_grad_()
    result = lib.autograd.functional.jacobian(lambda y: x * y, x)
    assert x.grad is None
    assert not result.requires_grad
    return [result]


CASES = [
    jacobians,
    hessians,
    vectors_times_jacobians,
    jacobians_times_vectors,
    hessians_times_vectors,
    differentiated,
    captured,
]


def plain(x):
    """Tensors as nested lists, tuples as {"tuple": [...]}: how the results are nested is compared too."""
    if isinstance(x, tuple):
        return {"tuple": [plain(item) for item in x]}
    return [plain(item) for item in x] if isinstance(x, list) else x.detach().tolist()


def same(a, b):
    """Are two results of ``plain`` equal in structure, and nearly so in numbers?"""
    if isinstance(b, list | dict):
        keys = b if isinstance(b, dict) else range(len(b))
        return type(a) is type(b) and len(a) == len(b) and all(same(a[key], b[key]) for key in keys)
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-14)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_results_are_torchs(case):
    assert same(plain(case(minitorch)), json.loads(FROZEN.read_text())[case.__name__])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_frozen_results_are_torchs(case):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed; its frozen numbers are tested")
    assert same(plain(case(torch)), json.loads(FROZEN.read_text())[case.__name__])


STRICT = {  # what strict=True refuses, and else has the derivative 0
    "an unused input": ("vjp", only_first, "the output is independent of input 1"),
    "an unused input of jvp": ("jvp", only_first, "the output is independent of input 1"),
    "an unused input of jacobian": ("jacobian", only_first, "output 0 is independent of input 1"),
    "a constant output": ("vjp", lambda x, y: y.detach().sum(), "does not depend on the inputs"),
    "a constant gradient": ("hessian", affine, "the gradient .* does not depend on the inputs"),
    "a constant gradient of vhp": ("vhp", affine, "the gradient .* does not depend on the inputs"),
    "a constant gradient of hvp": ("hvp", affine, "the gradient .* does not depend on the inputs"),
}


def strictly(lib, name, function):
    (x, y), f = point(lib), getattr(lib.autograd.functional, name)
    v = {"jvp": (x, y), "vhp": (x, y), "hvp": (x, y)}.get(name)
    return f(function, (x, y), *([] if v is None else [v]), strict=True)


@pytest.mark.parametrize("case", STRICT)
def test_strict(case):
    name, function, text = STRICT[case]
    with pytest.raises(RuntimeError, match=f"^{name}: .*{text}"):
        strictly(minitorch, name, function)
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    with pytest.raises(RuntimeError):
        strictly(torch, name, function)


def test_strict_lets_pass_what_depends():
    (x, y), f = point(minitorch), minitorch.autograd.functional
    np.testing.assert_array_equal(*(f.vjp(scalar, (x, y), strict=strict)[1][0].numpy() for strict in (True, False)))
    np.testing.assert_array_equal(*(f.hessian(scalar, (x, y), strict=strict)[0][1].numpy() for strict in (True, False)))
    with pytest.raises(RuntimeError, match="linearly"):
        f.vjp(affine, (x.requires_grad_(), y), create_graph=True, strict=True)


ERRORS = {
    "inputs": (lambda lib, f: f.vjp(one_to_one, 5), TypeError, "vjp: the inputs must be a Tensor .* got int"),
    "input": (lambda lib, f: f.hessian(scalar, (point(lib)[0], 5)), TypeError, "got int at index 1"),
    "output": (lambda lib, f: f.jacobian(lambda x: 5, point(lib)[0]), TypeError, "jacobian: the function's outputs must"),
    "no v": (lambda lib, f: f.vjp(one_to_one, point(lib)[0]), RuntimeError, "v can be omitted only where the output"),
    "no v for jvp": (lambda lib, f: f.jvp(one_to_one, point(lib)[0]), RuntimeError, "only where the input"),
    "v's shape": (
        lambda lib, f: f.vjp(one_to_one, point(lib)[0], point(lib)[0]),
        RuntimeError,
        r"v must have the shape of the output: \(2,\), got \(2, 3\)",
    ),
    "v's length": (lambda lib, f: f.jvp(scalar, point(lib), curve(lib)), RuntimeError, r"\[\(2, 3\), \(2,\)\], got \(2,\)"),
    "no scalar": (lambda lib, f: f.hessian(one_to_one, point(lib)[0]), RuntimeError, "one tensor of one element"),
    "no single tensor": (
        lambda lib, f: f.hvp(two_to_two, point(lib), point(lib)),
        RuntimeError,
        "hvp: the function must return one tensor",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_teach(case):
    call, kind, text = ERRORS[case]
    with pytest.raises(kind, match=text):
        call(minitorch, minitorch.autograd.functional)
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    with pytest.raises(kind):
        call(torch, torch.autograd.functional)


def test_unknown_strategies_are_refused():
    with pytest.raises(ValueError, match='"reverse-mode" or "forward-mode", got \'sideways\''):
        minitorch.autograd.functional.jacobian(one_to_one, point(minitorch)[0], strategy="sideways")


def test_under_no_grad_and_on_devices(device):
    x = minitorch.tensor([1.0, 2.0], device=device)
    with minitorch.no_grad():
        result = minitorch.autograd.functional.hessian(lambda x: (x**3).sum(), x)
    assert result.device == x.device
    assert result.tolist() == [[6, 0], [0, 12]]
