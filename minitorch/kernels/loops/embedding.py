"""The gradient of an embedding: many rows are added to a few.  Read before: rows.py. Read next: lists.py."""

from typing import Any

import numpy as np

from ...devices import Array
from ...dtypes import all_below
from .compiling import Indices, Table, loop
from .rows import compact, numbers


@loop
def _add_rows(g: Table, index: Indices, total: Table) -> None:
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            total[index[i], c] += g[i, c]


def add_rows(g: Array, index: Array, count: int) -> Any:
    """Row after row, so always in one order."""
    if not g.size or g.ndim == index.ndim or g.shape[: index.ndim] != index.shape or not all_below(index, count):
        return NotImplemented
    total, n = np.zeros((count, *g.shape[index.ndim :]), np.float32), g.size // index.size
    _add_rows(compact(g).reshape(-1, n), numbers(index), total.reshape(-1, n))
    return total
