"""In-place changes: detecting that a value which a graph still needs was overwritten.

Every node and every change gets a tick of one clock. A pullback needs the arrays in its closure, so a node's pullback may
run if none of them changed after the node was made. This is checked only if any array changed since.
Read before: nothing. Read next: graph.py.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import numpy as np

from .devices import Array, is_cupy

clock = itertools.count(1)  # "older" and "younger" are numbers
_changed: dict[int, int] = {}  # id of the array that owns the memory -> time of its last in-place change
last_change = 0


def mark_changed(array: Array) -> None:
    """Note that the memory of ``array`` was overwritten, so that a graph that needs the old value can refuse."""
    global last_change
    last_change = _changed[_owner(array)] = next(clock)


def _owner(array: Array) -> int:
    while is_array(array.base):  # not the bytes or the file that may lie under the outermost one
        array = array.base
    return id(array)


def check_unchanged(node: Any, create_graph: bool) -> None:
    """Refuse to run a node's pullback if a value that it needs was overwritten after the node was recorded.

    It needs the arrays in its closure and, to evaluate the formula on Tensors (create_graph), the inputs.
    """
    inputs = [x.array for x in node.inputs if hasattr(x, "array")] if create_graph else []
    for array in held([node.pullback, inputs]):
        if _changed.get(_owner(array), 0) > node.time:
            raise RuntimeError(
                f"{node.name}: a value of shape {tuple(array.shape)} that its gradient needs was changed in place after it "
                "was used; change a copy (x = x + 1, or x.clone()), or call backward() first"
            )


def held(x: Any, seen: set[int] | None = None) -> Iterator[Array]:
    """The arrays in a function's closure or in nested containers; ``seen`` guards against functions that contain themselves."""
    seen = set() if seen is None else seen
    if isinstance(x, FunctionType) and id(x) not in seen:
        seen.add(id(x))
        for cell in x.__closure__ or ():
            yield from held(cell.cell_contents, seen)
    elif isinstance(x, functools.partial):
        yield from held([x.func, x.args, x.keywords], seen)
    elif isinstance(x, tuple | list):
        for item in x:
            yield from held(item, seen)
    elif isinstance(x, dict):
        yield from held(list(x.values()), seen)
    elif is_array(x):
        yield x


def is_array(x: Any) -> bool:
    """Is it a NumPy or CuPy array?  A dtype also has a shape and a base (itself), so checking for those is not enough."""
    return isinstance(x, np.ndarray) or (is_cupy(x) and hasattr(x, "data"))
