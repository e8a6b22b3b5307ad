"""Calls written by hand where an operation is easily wrong: each is run in PyTorch, frozen, and must give the same here.

Value, dtype, gradient, second gradient, and the type of the exception where PyTorch refuses. One file a family, each with
EDGES: {name: [call, ...]}; names are those of op_table ("sum", "nn.functional.pad", "operator.getitem").
After a change: python -m tests.frozen.make_ops
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np

from .. import op_table
from ..op_table import Call, Op, call

EMPTY = np.zeros((0, 3))
NAN, INF = float("nan"), float("inf")


def numbers(*shape: int, dtype: str = "float64", phase: float = 0.0) -> np.ndarray:
    """Floats of both signs between -3 and 3, all different and none near an integer's half; with other ``phase`` others."""
    size = int(np.prod(shape))
    return np.asarray(np.round(3 * np.sin(1.3 * np.arange(size) + 0.4 + phase), 2).reshape(shape).astype(dtype))


def positive(*shape: int, dtype: str = "float64", phase: float = 0.0) -> np.ndarray:
    """Floats between 0.2 and 3.2."""
    return np.asarray((np.abs(numbers(*shape, phase=phase)) + 0.2).astype(dtype))


def whole(*shape: int, low: int = -4, high: int = 5, dtype: str = "int64", step: int = 7) -> np.ndarray:
    """Integers from low to high - 1."""
    return np.asarray((low + (np.arange(int(np.prod(shape))) * step + 3) % (high - low)).reshape(shape).astype(dtype))


def truths(*shape: int, step: int = 5) -> np.ndarray:
    """Booleans, about a third of them True."""
    return np.asarray((np.arange(int(np.prod(shape))) * step % 3 == 0).reshape(shape))


def families() -> list[str]:
    """All families of the table and of the edges."""
    found = [m.name for package in (op_table, importlib.import_module(__name__)) for m in pkgutil.iter_modules(package.__path__)]
    return sorted({name for name in found if name != "strategies"})


def entries(family: str) -> list[Op]:
    """The table's entries of a family."""
    known = any(m.name == family for m in pkgutil.iter_modules(op_table.__path__))
    return importlib.import_module(f"{op_table.__name__}.{family}").OPS if known else []


def edges(family: str) -> list[tuple[str, Call]]:
    """(name, call) for all edges of a family."""
    known = any(m.name == family for m in pkgutil.iter_modules(__path__))
    table: dict[str, list[Call]] = importlib.import_module(f"{__name__}.{family}").EDGES if known else {}
    return [(name, c) for name, calls in table.items() for c in calls]


def with_dtypes(make: Any, dtypes: str = "float16 float32 int64 int32 uint8 bool") -> list[Call]:
    """``call(x)`` for x = make(2, 3) in each dtype; float16 is differentiated once only."""
    found = []
    for dtype in dtypes.split():
        x = make(2, 3)
        x = np.abs(x) if dtype == "uint8" else x
        made = call(np.asarray(x.astype(dtype)))
        found.append(made.upto(1) if dtype == "float16" else made)
    return found
