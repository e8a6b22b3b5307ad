"""NumPy as on a machine of 32 bits (WebAssembly, 32-bit ARM): Python's integers, positions and counts are int32 there.

``emulated`` makes NumPy's functions answer so for the length of a block, and ``Narrow`` the methods of an array, which also
refuses wider positions where NumPy does: in take, repeat and bincount, "Cannot cast array data from int64 to int32".
    python -m pytest -p tests.narrow_integers FILES     # runs those tests on it
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

POSITIONS = ("argmax", "argmin", "argsort", "nonzero", "flatnonzero", "searchsorted", "argwhere", "bincount")
MAKERS = ("array", "asarray", "arange", "full", "zeros", "ones")
real = {name: getattr(np, name) for name in (*POSITIONS, *MAKERS)}


def narrow(y: Any) -> Any:
    """The result with int32 for int64, also in a tuple."""
    if isinstance(y, tuple):
        return tuple(map(narrow, y))
    return y.astype(np.int32) if getattr(y, "dtype", None) == np.int64 else y


def fits(index: Any) -> Any:
    """Positions that NumPy takes there."""
    if getattr(index, "dtype", None) == np.int64:
        raise TypeError("Cannot cast array data from dtype('int64') to dtype('int32') according to the rule 'safe'")
    return index


class Narrow(np.ndarray):
    """An array whose methods answer as on 32 bits."""

    def argmax(self, *a: Any, **k: Any) -> Any:
        return narrow(super().argmax(*a, **k))

    def argmin(self, *a: Any, **k: Any) -> Any:
        return narrow(super().argmin(*a, **k))

    def argsort(self, *a: Any, **k: Any) -> Any:
        return narrow(super().argsort(*a, **k))

    def nonzero(self) -> Any:
        return narrow(super().nonzero())

    def take(self, indices: Any, *a: Any, **k: Any) -> Any:
        return super().take(fits(indices), *a, **k)

    def repeat(self, repeats: Any, *a: Any, **k: Any) -> Any:
        return super().repeat(fits(repeats), *a, **k)


def of_python(x: Any) -> bool:
    while isinstance(x, list | tuple) and x:
        x = x[0]
    return isinstance(x, int) and not isinstance(x, bool)


def maker(name: str) -> Any:
    """np.array, np.arange, ... with int32 where neither a dtype nor an array says otherwise."""
    dtype_at = {"array": 1, "asarray": 1, "arange": 3, "full": 2, "zeros": 1, "ones": 1}[name]
    data_at = 1 if name == "full" else 0

    def make(*a: Any, **k: Any) -> Any:
        y = real[name](*a, **k)
        dtype = k.get("dtype", a[dtype_at] if len(a) > dtype_at else None)
        default = dtype is int or (dtype is None and name not in ("zeros", "ones") and of_python(a[data_at]))
        if default and y.dtype == np.int64 and (not y.size or abs(y).max() < 2**31):
            y = y.astype(np.int32)
        return y.view(Narrow) if type(y) is np.ndarray else y

    return make


def finder(name: str) -> Any:
    def find(*a: Any, **k: Any) -> Any:
        if name == "bincount":
            fits(a[0])
        return narrow(real[name](*a, **k))

    return find


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """A block with 32-bit integers."""
    changes: dict[str, Any] = {**{n: maker(n) for n in MAKERS}, **{n: finder(n) for n in POSITIONS}, "intp": np.int32}
    with mock.patch.multiple(np, **changes):
        yield


def pytest_sessionstart(session: Any) -> None:
    emulated().__enter__()
