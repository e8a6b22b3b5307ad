"""Reading arguments as PyTorch does: negative dimensions, tuples of them, NumPy's names as well as PyTorch's.

All files of this folder use it; nothing here is differentiable. Read before: graph.py. Read next: checks.py.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import graph
from ..devices import device_of
from ..grad_mode import mode


def raw(x: Any) -> Any:
    """The array of a Tensor; anything else unchanged."""
    return x.array if isinstance(x, graph.Tensor) else x


def may_read(x: Any) -> bool:
    """May a check read x's values? On a GPU that would stall every step, so only on the CPU or under an observer
    (detect_anomaly, profile). Otherwise CuPy decides what an index out of range does."""
    return device_of(raw(x)) == "cpu" or mode.observer is not None


def one_dim(dim: int, ndim: int) -> int:
    """``dim`` counted from the front; a 0-d tensor has, as in PyTorch, one dimension: 0 (or -1)."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return dim % n


def many_dims(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """All the dimensions that ``dim`` names: None and the empty tuple name every one. On a 0-d tensor the result is ()."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(ndim))
    dims = tuple(one_dim(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim))
    if len(set(dims)) < len(dims):
        raise RuntimeError(f"dim {dim} names one dimension twice")
    return dims if ndim else ()


def shape_of(sizes: Sequence[Any]) -> tuple[int, ...]:
    """The shape meant by f(2, 3) or f((2, 3))."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = sizes[0]
    return tuple(map(operator.index, sizes))


F = TypeVar("F", bound=Callable[..., Any])


def sizes_by_name(name: str) -> Callable[[F], F]:
    """Let f(x, 2, 3), which is also f(x, (2, 3)), be called as f(x, name=(2, 3)) too."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if name in named:
                first = (named.pop("input"),) if "input" in named else arguments
                arguments = (*first, named.pop(name))
            return function(*arguments, **named)

        return call  # type: ignore[return-value]

    return decorate


def numpy_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``axis`` and ``keepdims`` for PyTorch's ``dim`` and ``keepdim``: formulas use NumPy's names."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if "axis" in named:
            named["dim"] = named.pop("axis")
        if "keepdims" in named:
            named["keepdim"] = named.pop("keepdims")
        if "out" in named and named["out"] is None:  # numpy.sum(tensor) passes it
            del named["out"]
        return function(*arguments, **named)

    return call
