"""Matrix products for the card: what is asked of cuBLAS, answered by a stand-in that counts as cuBLAS does, down the columns."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest

import minitorch
from minitorch.kernels import cublas

from . import fake_cupy
from .emulated_cublas import Library
from .fake_cupy import off_card, on_card


@pytest.fixture
def library(monkeypatch):
    """The stand-ins of CuPy and of cuBLAS."""
    with fake_cupy.installed():
        found = Library()
        monkeypatch.setattr(cublas, "_library", lambda: found)
        yield found


def layouts(shape: tuple[int, ...], rng: Any) -> dict[str, Any]:
    """Arrays of a shape, as they may lie in memory."""
    *lead, _, c = shape
    x = rng.standard_normal(shape).astype(np.float32)
    found = {
        "in rows": x,
        "transposed": np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
        "part of wider rows": np.concatenate([x, x], -1)[..., :c],
        "every other column": np.repeat(x, 2, -1)[..., ::2],
        "backwards": x[..., ::-1, :],
    }
    if len(lead) == 2:
        found["heads"] = np.ascontiguousarray(x.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
        found["heads, transposed"] = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    return found


SHAPES = [
    ((3, 4), (4, 5)), ((1, 4), (4, 1)), ((3, 1), (1, 5)), ((1, 1), (1, 1)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)), ((2, 3, 3, 4), (2, 3, 4, 5)), ((2, 1, 3, 4), (3, 4, 5)), ((1, 1, 3, 4), (2, 3, 4, 5)),
    ((2, 1, 4), (2, 4, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_every_layout_gives_numpys_product(library, left, right):
    rng = np.random.default_rng(0)
    for (one, a), (two, b) in itertools.product(layouts(left, rng).items(), layouts(right, rng).items()):
        y = cublas.matmul(on_card(a), on_card(b))
        assert type(y) is fake_cupy.ndarray
        np.testing.assert_allclose(off_card(y), a @ b, rtol=1e-5, atol=1e-6, err_msg=f"{one} @ {two}")


def test_what_lies_transposed_is_not_copied(library, monkeypatch):
    """The gradients of a linear layer, g W and gᵀ x, and scores, Q Kᵀ, take their operands as they lie; one call each."""
    monkeypatch.setattr(sys.modules["cupy"], "ascontiguousarray", lambda *_: pytest.fail("copied"))
    rng = np.random.default_rng(0)
    x, g, w = (on_card(rng.standard_normal(shape)) for shape in ((6, 4), (6, 5), (5, 4)))
    for a, b in ((x, w.mT), (g, w), (g.mT, x)):
        np.testing.assert_allclose(off_card(cublas.matmul(a, b)), off_card(a) @ off_card(b))
    assert len(library.calls) == 3
    q = on_card(rng.standard_normal((2, 3, 6, 4)))
    cublas.matmul(q, q.mT)
    assert library.calls[-1]["count"] == 6


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_sums_are_float32_or_float64(library, name):
    """And the factors of float32 are cut only where that was asked for."""
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes")
    a = on_card(np.ones((2, 2, 3), getattr(minitorch, name)))
    try:
        for precision, compute in (("highest", 68), ("high", 77), ("medium", 75)):
            minitorch.set_float32_matmul_precision(precision)
            y = cublas.matmul(a, a.mT)
            assert (y.dtype, off_card(y).astype(int).tolist()) == (a.dtype, [[[3, 3]] * 2] * 2)
            expected = {"float64": 70, "float32": compute}.get(name, 68)
            assert library.calls[-1]["compute"] == expected
    finally:
        minitorch.set_float32_matmul_precision("highest")


def test_nothing_to_multiply(library):
    """Empty operands give zeros, or nothing, without cuBLAS."""
    for left, right in (((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (0, 3, 2))):
        y = cublas.matmul(on_card(np.ones(left, np.float32)), on_card(np.ones(right, np.float32)))
        np.testing.assert_array_equal(off_card(y), np.ones(left) @ np.ones(right))
    assert library.calls == []


def test_each_stream_is_told_to_cublas_once(library):
    """With the workspace, which cublasSetStream takes away."""
    a = on_card(np.ones((2, 2), np.float32))
    cublas.matmul(a, a)
    cublas.matmul(a, a)
    assert len(library.streams) == 1
    with fake_cupy.Stream(non_blocking=True) as stream:
        cublas.matmul(a, a)
    assert library.streams[1:] == [stream.ptr]


def test_a_refusal_is_an_error(library, monkeypatch):
    """With cuBLAS's number."""
    monkeypatch.setattr(Library, "cublasGemmStridedBatchedEx", lambda *_: 13)
    a = on_card(np.ones((2, 2), np.float32))
    with pytest.raises(RuntimeError, match="status 13"):
        cublas.matmul(a, a)


def test_the_precision_has_pytorchs_names():
    assert minitorch.get_float32_matmul_precision() == "highest"
    with pytest.raises(RuntimeError, match='"highest", "high"'):
        minitorch.set_float32_matmul_precision("tf32")
