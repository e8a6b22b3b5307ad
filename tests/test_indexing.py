"""Views, assignment by index, and what indexing and reshaping say when they refuse (values and gradients: test_ops.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import Tensor


def grid(device: str, *shape: int) -> Tensor:
    """0, 1, 2, ... as float64."""
    return minitorch.tensor(np.arange(np.prod(shape), dtype="float64").reshape(shape).tolist(), dtype="float64", device=device)


VIEWS: dict[str, Any] = {
    "number": lambda x: x[1],
    "element": lambda x: x[1, 2],
    "slice": lambda x: x[:, 1:],
    "reshape": lambda x: x.reshape(2, 6),
    "view": lambda x: x.view(-1),
    "transpose": lambda x: x.T,
    "unsqueeze": lambda x: x.unsqueeze(1),
    "split": lambda x: x.split(2)[1],
    "unbind": lambda x: x.unbind(1)[3],
    "diagonal": lambda x: x.diagonal(),
    "narrow": lambda x: x.narrow(1, 1, 2),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name: str, device: str) -> None:
    """Writing through a view changes the tensor that it shows, as in PyTorch."""
    x = grid(device, 3, 4)
    view = VIEWS[name](x)
    before = x.clone()
    view.fill_(-1.0)
    assert not np.array_equal(x.cpu().numpy(), before.cpu().numpy())


@pytest.mark.parametrize("name", ["clone", "flip", "repeat", "index array"])
def test_copies_do_not(name: str, device: str) -> None:
    """What PyTorch copies is a copy here too."""
    x = grid(device, 3, 4)
    copies: dict[str, Any] = {
        "clone": Tensor.clone,
        "flip": lambda x: x.flip(0),
        "repeat": lambda x: x.repeat(1, 1),
        "index array": lambda x: x[[0, 1]],
    }
    copies[name](x).fill_(-1.0)
    np.testing.assert_array_equal(x.cpu().numpy(), grid("cpu", 3, 4).numpy())


INDICES: dict[str, Any] = {
    "number": 1,
    "numbers": (0, -1),
    "slices": (slice(None), slice(None, None, 2)),
    "backwards": (slice(None, None, -1), 0),
    "...": ...,
    "list": ([0, 2],),
    "arrays": (np.array([0, 2]), np.array([1, 3])),
    "mask": np.array([True, False, True]),
    "number and array": (0, np.array([3, 1])),
    "new axis": (None, 1),
    "nothing": (np.array([], dtype="int64"),),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("value", ["number", "tensor"])
def test_assignment(name: str, value: str, device: str) -> None:
    """x[index] = v as NumPy has it, in place and on the same memory."""
    index = INDICES[name]
    x, expected = grid(device, 3, 4), grid("cpu", 3, 4).numpy().copy()
    alias = x.view(-1)
    new = 7.0 if value == "number" else -1.0 - np.arange(expected[index].size, dtype="float64").reshape(expected[index].shape)
    x[index] = new if value == "number" else minitorch.tensor(new.tolist(), dtype="float64", device=device).reshape(new.shape)
    expected[index] = new
    np.testing.assert_array_equal(x.cpu().numpy(), expected)
    np.testing.assert_array_equal(alias.cpu().numpy(), expected.reshape(-1))


def test_numbers_are_applied_before_arrays(device: str) -> None:
    """PyTorch's rule, where NumPy would broadcast the number with the array and put their axis in front."""
    x = grid(device, 2, 3, 4)
    assert x[0, :, [1, 2]].shape == (3, 2)
    y = x.clone()
    y[0, :, [1, 2]] = minitorch.zeros(3, 2, device=device)
    assert (y[0].cpu().numpy() == 0).sum() == 7


def test_steps_may_be_negative(device: str) -> None:
    """A NumPy kind of index that PyTorch lacks; the gradient goes where the values came from."""
    x = grid(device, 5).requires_grad_()
    y = x[3:0:-2]
    np.testing.assert_array_equal(y.detach().cpu().numpy(), [3, 1])
    (y * minitorch.tensor([10.0, 1.0], dtype="float64", device=device)).sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), [0, 1, 0, 10, 0])


def test_gradients_of_repeated_places_add(device: str) -> None:
    """Few and many (which take different ways), rows and elements."""
    for n in (5, 4000):
        rows = np.arange(n) % 3 - 1
        x = grid(device, 3, 2).requires_grad_()
        x[minitorch.tensor(rows.tolist(), device=device)].sum().backward()
        np.testing.assert_array_equal(x.grad.cpu().numpy()[:, 0], [(rows % 3 == i).sum() for i in range(3)])
        v = grid(device, 3).requires_grad_()
        v[minitorch.tensor(rows.tolist(), device=device)].sum().backward()
        np.testing.assert_array_equal(v.grad.cpu().numpy(), x.grad.cpu().numpy()[:, 0])


def test_scatter_to_one_place_twice() -> None:
    """The last value stands, and it alone gets the gradient."""
    source = grid("cpu", 3).requires_grad_()
    y = minitorch.zeros(2, dtype="float64").scatter(0, minitorch.tensor([1, 1, 0]), source)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), [2, 1])
    np.testing.assert_array_equal(source.grad.numpy(), [0, 1, 1])


REFUSALS: dict[str, tuple[Any, type[Exception], str]] = {
    "view": (lambda x: x.T.view(12), RuntimeError, "not compatible with the strides .* use reshape"),
    "view of a part": (lambda x: x[:, :2].view(6), RuntimeError, "use reshape"),
    "reshape": (lambda x: x.reshape(5, 2), RuntimeError, r"shape \(5, 2\) is invalid for input of size 12"),
    "two -1": (lambda x: x.reshape(-1, -1), RuntimeError, "only one size can be inferred"),
    "cat": (lambda x: minitorch.cat([x, x[:, :2]]), RuntimeError, r"must match except in dimension 0, got \(3, 4\) and \(3, 2\)"),
    "stack": (lambda x: minitorch.stack([x, x[0]]), RuntimeError, r"one shape, got \(3, 4\) at first and \(4,\) at position 1"),
    "expand": (lambda x: x.expand(3, 5), RuntimeError, r"\(3, 4\) does not expand to \(3, 5\): at dimension 1"),
    "too many": (lambda x: x[0, 0, 0], IndexError, "too many indices"),
    "range": (lambda x: x[[3]], IndexError, "index 3 is out of bounds for .* 0 with size 3"),
    "mask": (lambda x: x[[True, False]], IndexError, r"mask of shape \(2,\) does not match sizes \(3,\)"),
    "kind": (lambda x: x[1.5], IndexError, "an index is made of integers, slices, .* not float"),
    "gather": (
        lambda x: x.gather(0, minitorch.tensor([[3]])),
        RuntimeError,
        "index 3 is out of bounds for dimension 0 with size 3",
    ),
    "dim": (lambda x: x.squeeze(2), IndexError, r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
    "assignment": (
        lambda x: x.__setitem__(0, minitorch.zeros(3)),
        RuntimeError,
        r"shape \(3,\) does not broadcast to shape \(4,\)",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_errors_say_what_clashes(name: str) -> None:
    """The texts are part of the product."""
    act, kind, text = REFUSALS[name]
    with pytest.raises(kind, match=text):
        act(grid("cpu", 3, 4))


def test_assignment_to_a_graph_is_refused() -> None:
    """An in-place change would make a gradient wrong."""
    x = grid("cpu", 3).requires_grad_()
    with pytest.raises(RuntimeError, match="in-place"):
        x[0] = 1.0
    with pytest.raises(RuntimeError, match="in-place"):
        (x * 2)[0] = 1.0


def test_one_backward_array_for_all_pieces() -> None:
    """split and unbind are one node: using one piece of many gives zeros for the others."""
    x = grid("cpu", 4, 3).requires_grad_()
    pieces = x.unbind(0)
    assert len({id(piece.node.parents[0]) for piece in pieces if piece.node}) == 1
    pieces[2].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.eye(4)[2][:, None] * np.ones(3))
