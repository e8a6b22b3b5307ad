"""In-place changes: noticing that a value which a graph still needs was overwritten.

Every node and every change gets a tick of one clock. What a pullback needs is what its closure holds: so a node may be
walked back if no array held there was changed after the node was made. Looked at only if something changed at all since.
Read before: nothing. Read next: graph.py.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import numpy as np

from .devices import Array

clock = itertools.count(1)  # "older" and "younger" are numbers
_changed: dict[int, int] = {}  # id of the array that owns the memory -> time of its last in-place change
last_change = 0


def mark_changed(array: Array) -> None:
    """Note that the memory of ``array`` was overwritten, so that a graph which needs its old value can refuse."""
    global last_change
    last_change = _changed[_owner(array)] = next(clock)


def _owner(array: Array) -> int:
    while is_array(array.base):  # not the bytes or the file that the outermost one may stand on
        array = array.base
    return id(array)


def check_unchanged(node: Any, create_graph: bool) -> None:
    """Refuse to go back through a node if what that needs was overwritten after the node was recorded.

    It needs what its pullback's closure holds and, to evaluate the formula on Tensors (create_graph), its inputs.
    """
    inputs = [x.array for x in node.inputs if hasattr(x, "array")] if create_graph else []
    for array in held([node.pullback, inputs]):
        if _changed.get(_owner(array), 0) > node.time:
            raise RuntimeError(
                f"{node.name}: a value of shape {tuple(array.shape)} that its gradient needs was changed in place after it "
                "was used; change a copy (x = x + 1, or x.clone()), or call backward() first"
            )


def held(x: Any, seen: set[int] | None = None) -> Iterator[Array]:
    """The arrays that a function, or a nest of containers, holds; ``seen`` guards against functions that hold themselves."""
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
    """Is it a NumPy or CuPy array?  A dtype has a shape and a base too, and is its own base: asking for those is not enough."""
    return isinstance(x, np.ndarray) or (type(x).__module__.partition(".")[0] == "cupy" and hasattr(x, "data"))
