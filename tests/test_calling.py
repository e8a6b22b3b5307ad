"""How operations may be called: every argument by name, sizes in each of PyTorch's forms, and no warnings from NumPy."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import nn, tensor

from . import op_edges
from .calls import as_numpy, flat, in_minitorch
from .op_table import Op, dotted, table

OPS = {entry.name: entry for entry in table() if not entry.name.startswith(("operator", "matrix"))}
X = np.arange(6.0, dtype=np.float32).reshape(2, 3)
RANDOM = {"nn.functional.dropout"}


def _edges_by_op() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [c for c in entry.edges if not c.error] for name, entry in OPS.items()}
    for family in op_edges.families():
        for name, call in op_edges.edges(family):
            if not call.error and not name.startswith("operator"):
                found.setdefault(name, []).append(call)
    return {name: calls for name, calls in found.items() if calls and name not in RANDOM}


EDGES = _edges_by_op()


def _by_name(function: Any, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """All arguments as keywords; None for functions of f(x, 2, 3)'s kind."""
    signature = inspect.signature(function)
    if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        return None
    return dict(signature.bind(*args, **kwargs).arguments)


@pytest.mark.parametrize("name", EDGES)
def test_every_argument_may_be_given_by_name(name: str, device: str) -> None:
    """f(input=x, other=y) is f(x, y): an op knows its inputs, however they are passed."""
    entry = OPS.get(name)
    function = entry.resolve(minitorch) if isinstance(entry, Op) else dotted(minitorch, name)
    for call in EDGES[name][:12]:
        one, two = in_minitorch(call, device), in_minitorch(call, device)
        named = _by_name(function, two.args, two.kwargs)
        if named is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted, got = flat(function(*one.args, **one.kwargs)), flat(function(**named))
        for a, b in zip(wanted, got, strict=True):
            assert type(a) is type(b)
            np.testing.assert_array_equal(as_numpy(a), as_numpy(b), err_msg=repr(call))
            assert getattr(a, "requires_grad", None) == getattr(b, "requires_grad", None), call


def test_a_named_operand_gets_its_gradient(device: str) -> None:
    """Also where types are promoted."""
    x, y = tensor(X, device=device, requires_grad=True), tensor(2.0, device=device, dtype=minitorch.float64, requires_grad=True)
    minitorch.maximum(x, other=y).sum().backward()
    minitorch.mul(input=x, other=y).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), (X > 2) + (X == 2) / 2 + 2)
    assert y.grad.dtype == minitorch.float64
    with pytest.raises(TypeError, match="input"):
        minitorch.mul(other=x)


@pytest.mark.parametrize(
    ("method", "argument", "sizes"),
    [
        ("reshape", "shape", (3, 2)),
        ("view", "size", (3, 2)),
        ("permute", "dims", (1, 0)),
        ("expand", "size", (4, 2, 3)),
        ("repeat", "repeats", (2, 1)),
        ("tile", "dims", (2, 1)),
        ("flip", "dims", (0, 1)),
        ("sum_to_size", "size", (1, 3)),
    ],
)
def test_sizes_in_every_form(method: str, argument: str, sizes: tuple[int, ...], device: str) -> None:
    """x.f(2, 3), x.f((2, 3)), x.f([2, 3]), x.f(name=(2, 3)), f(input=x, name=(2, 3))."""
    x = tensor(X, device=device)
    function = getattr(minitorch.Tensor, method)
    forms = [getattr(x, method)(*sizes), getattr(x, method)(sizes), getattr(x, method)(list(sizes))]
    forms += [getattr(x, method)(**{argument: sizes}), function(input=x, **{argument: sizes})]
    for y in forms[1:]:
        np.testing.assert_array_equal(y.cpu().numpy(), forms[0].cpu().numpy())
    with pytest.raises(TypeError):
        getattr(x, method)(2.5)


@pytest.mark.parametrize("maker", ["zeros", "ones", "empty", "rand", "randn"])
def test_makers_take_their_size_by_name(maker: str, device: str) -> None:
    """zeros(size=(2, 3)), and no fractions of elements."""
    assert getattr(minitorch, maker)(size=(2, 3), device=device).shape == (2, 3)
    with pytest.raises(TypeError):
        getattr(minitorch, maker)(2.5, device=device)


def test_other_names_that_pytorch_has(device: str) -> None:
    """What the documentation calls the arguments of methods."""
    x = tensor(X, device=device)
    assert [y.shape for y in x.split(split_size=2, dim=1)] == [(2, 2), (2, 1)]
    assert [y.shape for y in minitorch.tensor_split(x, sections=2, dim=1)] == [(2, 2), (2, 1)]
    assert [y.shape for y in minitorch.tensor_split(x, indices=(1,), dim=1)] == [(2, 1), (2, 2)]
    assert minitorch.swapaxes(x, axis0=0, axis1=1).shape == minitorch.swapdims(x, dim0=0, dim1=1).shape == (3, 2)
    assert float(minitorch.vdot(x[0], other=x[1])) == 14
    assert minitorch.arange(end=3).tolist() == [0, 1, 2]
    assert minitorch.randint(high=5, size=(2,)).shape == (2,)
    assert x.to(device, non_blocking=True) is x


def test_new_tensors_like_an_old_one(device: str) -> None:
    """new_zeros and its kin take dtype and device from the tensor."""
    x = tensor([1.0], dtype=minitorch.float16, device=device)
    made = [x.new_zeros(2, 3), x.new_ones((2,)), x.new_full((2,), 3), x.new_empty(1), x.new_tensor([1, 2])]
    assert {y.dtype for y in made} == {minitorch.float16}
    assert {y.device for y in made} == {x.device}
    assert made[0].shape == (2, 3)
    assert made[2].tolist() == [3, 3]
    assert x.new_zeros(1, dtype=minitorch.int64, requires_grad=False).dtype == minitorch.int64


def test_formatting() -> None:
    """f"{loss:.3f}" as for a number; without a format as repr."""
    x = tensor(2.5, requires_grad=True)
    assert f"{x:.3f}" == "2.500"
    assert f"{x}" == repr(x)
    assert f"{tensor(3):d}" == "3"


def test_numpy_functions_on_tensors() -> None:
    """numpy.sum and numpy.mean hand over to the methods; ufuncs refuse rather than lose the graph."""
    x = tensor(X, requires_grad=True)
    assert np.sum(x).requires_grad
    assert np.mean(x, axis=1).shape == (2,)
    with pytest.raises(TypeError):
        np.sin(x)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: minitorch.eye(-1),
        lambda: minitorch.randperm(-1),
        lambda: minitorch.normal(minitorch.zeros(2), -1.0),
        lambda: minitorch.rand(2, dtype=minitorch.int64),
        lambda: tensor([300], dtype=minitorch.uint8),
        lambda: minitorch.meshgrid(tensor([1.0]), indexing="zz"),
        lambda: minitorch.meshgrid(tensor([1.0]), tensor([1])),
        lambda: minitorch.repeat_interleave(tensor([1.0]), tensor([-1])),
        lambda: tensor(X).sum_to_size(3, 3),
    ],
)
def test_makers_and_movers_refuse(refused: Any) -> None:
    """PyTorch's RuntimeError, with a text of ours."""
    with pytest.raises(RuntimeError, match=r"\w+: "):
        refused()


def test_data_must_be_a_tensor() -> None:
    """x.data = numpy_array would leave a tensor that is none."""
    with pytest.raises(TypeError, match="as_tensor"):
        tensor(X).data = X


QUIET = {
    "log of 0": lambda: minitorch.log(tensor([0.0, -1.0])),
    "division by 0": lambda: tensor([0.0, 1.0]) / 0,
    "overflow": lambda: tensor([3e38]) * tensor([10.0]),
    "a number too large": lambda: tensor([1e39]),
    "filled with infinity": lambda: minitorch.zeros(2).fill_(float("inf")),
    "compared with it": lambda: tensor([1.0]) > 1e39,
    "stored": lambda: minitorch.zeros(2).__setitem__(0, tensor(1e300, dtype=minitorch.float64)),
    "cast": lambda: tensor([float("nan"), 1e30]).long(),
    "norm of large numbers": lambda: minitorch.norm(minitorch.full((2,), 1e30)),
    "an empty mean": lambda: minitorch.mean(minitorch.zeros(0)),
    "backward": lambda: minitorch.sqrt(minitorch.zeros(2, requires_grad=True)).sum().backward(),
    "double backward": lambda: minitorch.autograd.grad(
        minitorch.log(minitorch.zeros(2, requires_grad=True)).sum(), minitorch.zeros(2, requires_grad=True), allow_unused=True
    ),
    "a loss": lambda: nn.functional.cross_entropy(tensor([[float("inf"), 1.0]]), tensor([0])),
}


@pytest.mark.parametrize("what", QUIET)
def test_numpy_does_not_warn(what: str) -> None:
    """As in PyTorch the answer is inf or nan, and nothing is said; the user's own NumPy warns as before."""
    before = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QUIET[what]()
    assert np.geterr() == before
    with pytest.warns(RuntimeWarning):
        np.log(np.zeros(1))


def test_a_hook_must_keep_the_shape(device: str) -> None:
    """A gradient has its tensor's shape, whatever a hook returns."""
    x = tensor(X, device=device, requires_grad=True)
    x.register_hook(lambda g: g[0])
    with pytest.raises(RuntimeError, match="hook"):
        x.sum().backward()


def test_memory_that_is_not_numpys_own_is_watched_too() -> None:
    """Arrays on a buffer (a file mapped into memory, bytes read): a change is seen through every view."""
    array = np.frombuffer(bytearray(X.tobytes()), np.float32)
    x, w = minitorch.from_numpy(array), minitorch.ones(2, requires_grad=True)
    y = (x[1:3] * w).sum()
    x.mul_(5)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
