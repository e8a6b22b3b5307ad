"""The dtype in which operands meet: all pairs of dtypes, each as a tensor, a 0-d tensor or a Python number, as in PyTorch.

frozen/promotion.json has PyTorch's answers (frozen/make_promotion.py); PyTorch itself is asked too where it is installed.
"""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitorch

NAMES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
KINDS = ("tensor", "0-d", "number")
NUMBERS = {"bool": True, "int64": 2, "float64": 2.5}  # Python has three kinds of numbers
OPS = {
    "add": lambda lib, a, b: lib.add(a, b) if not _is_number(a) else b + a,
    "mul": lambda lib, a, b: a * b,
    "truediv": lambda lib, a, b: a / b,
    "pow": lambda lib, a, b: a**b,
    "floordiv": lambda lib, a, b: a // b,
    "remainder": lambda lib, a, b: a % b,
    "eq": lambda lib, a, b: a == b,
    "maximum": lambda lib, a, b: lib.maximum(a, b),
    "where": lambda lib, a, b: lib.where(lib.tensor([True, False]), a, b),
    "result_type": lambda lib, a, b: _Typed(lib.result_type(a, b)),
}


class _Typed:
    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


def _is_number(x: Any) -> bool:
    return isinstance(x, bool | int | float)


def operand(library: Any, name: str, kind: str) -> Any:
    """A value of the dtype: [1, 2], 2, or Python's own 2 (of the dtype's kind)."""
    if kind == "number":
        return NUMBERS.get(name, NUMBERS["float64" if name.startswith("f") else "int64"])
    dtype = getattr(library, name)
    return library.tensor([1, 2] if kind == "tensor" else 2, dtype=dtype)


CODES = {
    name: code for code, name in zip("bucslqhfdTRI", (*NAMES, "TypeError", "RuntimeError", "IndexError"), strict=True)
}  # in the file


def keys(name: str) -> list[str]:
    """All pairs for an op: "add tensor:int32 number:float64"; PyTorch's maximum takes tensors only."""
    kinds = KINDS[:2] if name == "maximum" else KINDS
    sides = [f"{kind}:{dtype}" for kind in kinds for dtype in NAMES]
    return [f"{name} {a} {b}" for a in sides for b in sides if not (a.startswith("number") and b.startswith("number"))]


def frozen() -> dict[str, str]:
    """PyTorch's answer to each pair."""
    names = {code: name for name, code in CODES.items()}
    stored = json.loads((Path(__file__).parent / "frozen" / "promotion.json").read_text())["results"]
    return {key: names[code] for name in OPS for key, code in zip(keys(name), stored[name], strict=True)}


def outcome(library: Any, key: str) -> str:
    """The dtype's name, or the exception's."""
    name, a, b = key.split()
    operands = [operand(library, dtype, kind) for kind, _, dtype in (x.partition(":") for x in (a, b))]
    try:
        return str(OPS[name](library, *operands).dtype).removeprefix("torch.")
    except Exception as error:  # any: its name is compared
        return "RuntimeError" if isinstance(error, RuntimeError) else type(error).__name__


@pytest.mark.parametrize("name", OPS)
def test_every_pair_of_dtypes(name: str) -> None:
    """The result's dtype, or an exception of the same type."""
    wrong = []
    answers = frozen()
    for key in keys(name):
        got = outcome(minitorch, key)
        if got != answers[key] and not _is_a(got, answers[key]):
            wrong.append(f"{key}: {got}, torch {answers[key]}")
    assert not wrong, "\n".join([f"{len(wrong)} pairs", *wrong[:40]])


def _is_a(mine: str, theirs: str) -> bool:
    """Is it an exception of a type derived from theirs? (RuntimeError for torch's NotImplementedError also passes.)"""
    a, b = getattr(builtins, mine, None), getattr(builtins, theirs, None)
    both = isinstance(a, type) and isinstance(b, type) and issubclass(a, Exception)
    return both and (issubclass(a, b) or issubclass(b, a))


def test_the_frozen_table_is_torchs() -> None:
    """A sample of the committed answers, asked again."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; its frozen answers stand in")
    for key, expected in list(frozen().items())[::7]:
        assert outcome(torch, key) == expected


@pytest.mark.parametrize("a", [n for n in NAMES if n.startswith("f")])
@pytest.mark.parametrize("b", NAMES)
def test_a_gradient_comes_back_in_its_own_dtype(a: str, b: str) -> None:
    """Whatever the operands met in, each gradient has its input's dtype, and the right value."""
    for shape in ((2,), ()):
        x = minitorch.tensor(np.full((2,), 1.5), dtype=getattr(minitorch, a), requires_grad=True)
        y = minitorch.tensor(np.full(shape, 2), dtype=getattr(minitorch, b))
        if b.startswith("f"):
            y.requires_grad_()
        (x * y + y).sum().backward()
        factor = 1 if b == "bool" else 2
        assert (x.grad.dtype, x.grad.tolist()) == (x.dtype, [factor, factor])
        if y.requires_grad:
            total = np.asarray(y.grad.array, dtype="float64").sum()
            assert (y.grad.dtype, y.grad.shape, total) == (y.dtype, shape, 5.0)


def test_numbers_are_weak_and_nothing_drifts_to_float64() -> None:
    """A chain of operations with Python's and NumPy's numbers stays in float32, and so do its gradients."""
    x = minitorch.tensor([1.0, 2.0], requires_grad=True)
    assert x.dtype == minitorch.float32
    y = ((x * 2 + 0.5) / 3 - np.float64(1.5)) ** 2.0 * np.float32(2) + np.int64(3)
    y = (1 / (1 + (-y).exp())).mean() * math_number()
    assert y.dtype == minitorch.float32
    y.backward()
    assert x.grad.dtype == minitorch.float32


def math_number() -> float:
    """A Python float as code computes it."""
    return 2**0.5


def test_the_default_dtype() -> None:
    """Python floats become it; ints become int64; set_default_dtype changes it for what is made afterwards."""
    assert minitorch.tensor(1.5).dtype == minitorch.float32
    assert minitorch.tensor([1, 2]).dtype == minitorch.int64
    assert minitorch.tensor([True]).dtype == minitorch.bool
    assert minitorch.tensor(np.ones(2)).dtype == minitorch.float64
    minitorch.set_default_dtype(minitorch.float64)
    try:
        assert minitorch.tensor(1.5).dtype == minitorch.float64
        assert minitorch.tensor([1, 2]).exp().dtype == minitorch.float64
        assert minitorch.zeros(2).dtype == minitorch.float64
    finally:
        minitorch.set_default_dtype(minitorch.float32)
    with pytest.raises(TypeError, match="must be a floating"):
        minitorch.set_default_dtype(minitorch.int64)
