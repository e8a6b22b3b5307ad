"""Numbers that become elements: what a dtype can hold, what is refused, and sequences of whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch import tensor

NAN, INF = float("nan"), float("inf")
STORED: dict[str, dict[float, Any]] = {  # what PyTorch stores for a Python number; None: it refuses
    "uint8": {-1: 255, -255: 1, -256: None, 255: 255, 256: None, 2.7: 2, -0.5: None, True: 1, NAN: None, INF: None},
    "int8": {-128: -128, -129: None, 127: 127, 128: None, -2.7: -2, 127.5: None, NAN: None, 1e39: None},
    "int64": {2**62: 2**62, 1e39: None, -INF: None, -0.5: 0, 3.99: 3},
    "bool": {0: False, 300: True, -0.5: True, NAN: True},
    "float16": {65504: 65504.0, 70000: None, 1e39: None, INF: INF, -INF: -INF, 0.1: float(np.float16(0.1))},
    "float32": {3e38: float(np.float32(3e38)), 1e39: None, -1e300: None, INF: INF},
    "float64": {1e300: 1e300, -INF: -INF},
}
MAKERS: dict[str, Callable[[float, Any, str], Any]] = {
    "full": lambda n, dtype, device: minitorch.full((2,), n, dtype=dtype, device=device),
    "full_like": lambda n, dtype, device: minitorch.full_like(minitorch.zeros(2, dtype=dtype, device=device), n),
    "new_full": lambda n, dtype, device: minitorch.zeros(1, dtype=dtype, device=device).new_full((2,), n),
    "fill_": lambda n, dtype, device: minitorch.zeros(2, dtype=dtype, device=device).fill_(n),
    "masked_fill": lambda n, dtype, device: minitorch.zeros(2, dtype=dtype, device=device).masked_fill(
        tensor([True, True], device=device), n
    ),
    "masked_fill_": lambda n, dtype, device: minitorch.zeros(2, dtype=dtype, device=device).masked_fill_(
        tensor([True, True], device=device), n
    ),
    "x[...] = n": lambda n, dtype, device: stored(minitorch.zeros(2, dtype=dtype, device=device), ..., n),
    "x[:] = n": lambda n, dtype, device: stored(minitorch.zeros(2, dtype=dtype, device=device), slice(None), n),
    "x[index] = n": lambda n, dtype, device: stored(minitorch.zeros(2, dtype=dtype, device=device), [0, 1], n),
}


def stored(x: Any, index: Any, number: float) -> Any:
    """x after x[index] = number"""
    x[index] = number
    return x


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("dtype", STORED)
def test_a_number_is_stored_as_in_pytorch_or_refused(maker: str, dtype: str, device: str) -> None:
    """Fractions are cut off, small negative numbers wrap in uint8; what overflows is refused, infinity in floats is not."""
    for number, expected in STORED[dtype].items():
        if expected is None:
            with pytest.raises(RuntimeError, match=f"does not fit into {dtype}"):
                MAKERS[maker](number, getattr(minitorch, dtype), device)
        else:
            x = MAKERS[maker](number, getattr(minitorch, dtype), device)
            assert (x.dtype, x.tolist()) == (getattr(minitorch, dtype), [expected] * 2), number


def test_the_table_is_pytorchs() -> None:
    """What STORED claims, asked of torch.full."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for dtype, numbers in STORED.items():
        for number, expected in numbers.items():
            if expected is None:
                with pytest.raises(RuntimeError):
                    torch.full((2,), number, dtype=getattr(torch, dtype))
            else:
                assert torch.full((2,), number, dtype=getattr(torch, dtype)).tolist() == [expected] * 2


@pytest.mark.parametrize(
    ("data", "dtype", "error", "words"),
    [
        (NAN, "int64", RuntimeError, "does not fit into int64"),
        ([[1.0], [INF]], "int32", RuntimeError, "does not fit into int32"),
        ([1, 300], "uint8", RuntimeError, "does not fit into uint8"),
        (2**63, None, RuntimeError, "int64"),
        (None, "float32", TypeError, "cannot hold object"),
        ([1.0, None], None, TypeError, "cannot hold object"),
        ("1.5", "float32", TypeError, "cannot hold <U3"),
        (["a"], "bool", TypeError, "cannot hold <U1"),
        ([[1], [2, 3]], "float32", ValueError, "different lengths"),
    ],
)
def test_what_makes_no_tensor_is_said(data: Any, dtype: str | None, error: type[Exception], words: str) -> None:
    """Whether a dtype is given or not: nothing is guessed from strings, None or numbers out of range."""
    for make in (tensor, minitorch.as_tensor):
        with pytest.raises(error, match=words):
            make(data, dtype=None if dtype is None else getattr(minitorch, dtype))


def test_python_data_takes_the_dtype_asked_for() -> None:
    """Fractions are cut off, -1 is 255 in uint8, empty lists take any dtype."""
    assert tensor([1.7, -1.7], dtype=minitorch.int64).tolist() == [1, -1]
    assert tensor([[-1, 255]], dtype=minitorch.uint8).tolist() == [[255, 255]]
    assert tensor([0, 2, NAN], dtype=minitorch.bool).tolist() == [False, True, True]
    assert tensor([], dtype=minitorch.int32).dtype == minitorch.int32
    assert tensor([1e39], dtype=minitorch.float32).tolist() == [INF]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_sequences_of_whole_numbers(dtype: str, device: str) -> None:
    """In an integer dtype start and step lose their fractions before the first element is counted."""
    to = {"dtype": getattr(minitorch, dtype), "device": device}
    assert minitorch.arange(0.5, 6.5, 2.5, **to).tolist() == [0, 2, 4]
    assert minitorch.arange(1.9, 4, **to).tolist() == [1, 2, 3]
    assert minitorch.arange(7, 0.5, -3, **to).tolist() == [7, 4, 1][: 2 + (dtype != "int64") + 1]
    assert minitorch.linspace(0.5, 7.5, 5, **to).tolist() == [0, 1, 3, 5, 7]
    assert minitorch.linspace(1.5, 1.5, 1, **to).tolist() == [1]
    assert minitorch.arange(0, 5.5, 2, dtype=minitorch.float64, device=device).tolist() == [0, 2, 4]


def test_sequences_that_are_refused() -> None:
    """Truth values have no steps; infinity is never reached; int64 counts whole steps only."""
    for maker in (minitorch.arange, minitorch.linspace):
        with pytest.raises(NotImplementedError, match="bool"):
            maker(0, 2, 3, dtype=minitorch.bool)
    for arguments in ((0, INF), (-INF, 0), (0, 3, 0), (0, 3, -1), (0, 3, NAN)):
        with pytest.raises(RuntimeError, match="never ends"):
            minitorch.arange(*arguments)
    with pytest.raises(RuntimeError, match="never ends"):
        minitorch.arange(0, 3, 0.5, dtype=minitorch.int64)


WHOLE = tensor([1, 0])
REFUSED: dict[str, Callable[[], Any]] = {
    "bernoulli of integers": lambda: minitorch.bernoulli(WHOLE),
    "bernoulli above 1": lambda: minitorch.bernoulli(tensor([0.5, 1.5])),
    "bernoulli of NaN": lambda: minitorch.bernoulli(tensor([NAN])),
    "bernoulli with p above 1": lambda: minitorch.bernoulli(tensor([0.5]), 2.0),
    "multinomial of integers": lambda: minitorch.multinomial(WHOLE, 1),
    "multinomial of a negative weight": lambda: minitorch.multinomial(tensor([1.0, -1.0]), 1),
    "multinomial of infinity": lambda: minitorch.multinomial(tensor([1.0, INF]), 1),
    "multinomial of nothing but 0": lambda: minitorch.multinomial(tensor([[1.0], [0.0]]), 1, True),
    "multinomial without samples": lambda: minitorch.multinomial(tensor([1.0, 1.0]), 0),
    "multinomial of three dimensions": lambda: minitorch.multinomial(minitorch.ones(1, 1, 2), 1),
    "normal around integers": lambda: minitorch.normal(WHOLE, 1.0),
    "randint beyond uint8": lambda: minitorch.randint(0, 257, (2,), dtype=minitorch.uint8),
    "randint below uint8": lambda: minitorch.randint(-1, 3, (2,), dtype=minitorch.uint8),
    "randint beyond bool": lambda: minitorch.randint(0, 3, (2,), dtype=minitorch.bool),
    "randperm beyond int8": lambda: minitorch.randperm(129, dtype=minitorch.int8),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_drawn_is_refused(what: str) -> None:
    """RuntimeError (or NotImplementedError, which is one), as in PyTorch."""
    with pytest.raises(RuntimeError, match=r"\w+(:| is not)"):
        REFUSED[what]()


def test_bernoulli_with_one_probability() -> None:
    """bernoulli(x, p) draws with probability p in x's shape and dtype."""
    minitorch.manual_seed(0)
    x = minitorch.bernoulli(minitorch.zeros(40, 50, dtype=minitorch.int64), 0.25)
    assert (x.shape, x.dtype) == ((40, 50), minitorch.int64)
    assert abs(x.double().mean().item() - 0.25) < 0.05
    assert minitorch.randint(0, 256, (9,), dtype=minitorch.uint8).dtype == minitorch.uint8


def test_finfo_has_pytorchs_names() -> None:
    """The limits, also under the names that NumPy has beside tiny."""
    for dtype in (minitorch.float16, minitorch.float32, minitorch.float64, minitorch.bfloat16):
        limits = minitorch.finfo(dtype)
        assert 0 < limits.smallest_normal == limits.tiny < limits.resolution < 1 < limits.max == -limits.min
