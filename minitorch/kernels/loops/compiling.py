"""How loops are compiled: by numba, when they are first imported, and kept on disk for the next process.

numba keeps compiled code in __pycache__ next to the source or, where nothing can be written there, in the user's cache folder;
NUMBA_CACHE_DIR names another. It compiles again after a change of the source, of numba or of the CPU; processes that do so
at the same time each write whole files. It compares the loop's own file only, so the functions that a loop calls are in it, too.

Flags of the arithmetic ("fast math", https://llvm.org/docs/LangRef.html#fast-math-flags): a sum may be reordered, or it could
not add 16 numbers at a time; a product and a sum may become one instruction; the sign of 0 is free. Not allowed are "nnan" and
"ninf": the compiler would assume that no number is NaN or infinite, and lose those that are.
Read before: loops/__init__.py. Read next: rows.py.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numba

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, so the loops would run as Python")

# The types of a loop's arguments. Arrays hold their elements side by side; a table is one of rows.
if TYPE_CHECKING:
    Double: TypeAlias = Any
    Flag: TypeAlias = Any
    Index: TypeAlias = Any
    Indices: TypeAlias = Any
    Mask: TypeAlias = Any
    Number: TypeAlias = Any
    Row: TypeAlias = Any
    Table: TypeAlias = Any
    Words: TypeAlias = Any
else:
    Number, Row, Table, Double, Flag = numba.float32, numba.float32[::1], numba.float32[:, ::1], numba.float64, numba.boolean
    Index, Indices, Words, Mask = numba.int64, numba.int64[::1], numba.uint32[::1], numba.boolean[:, ::1]

FLAGS = {"reassoc", "contract", "nsz"}
compiled: list[str] = []  # by this process
folder = ""  # where compiled code is kept
_start = time.perf_counter()


def loop(function: Callable[..., Any]) -> Any:
    """Compile a function for arguments of its annotations' types, or load it from the disk. It runs without Python's lock."""
    *arguments, result = function.__annotations__.values()
    signature = (numba.void if result is None else result)(*arguments)
    made = numba.njit(signature, nogil=True, cache=True, error_model="numpy", fastmath=FLAGS)(function)
    global folder
    folder = made.stats.cache_path
    if made.stats.cache_misses:
        if not compiled:
            say("minitorch: compiling the CPU's loops, this once, takes about 5 s ... ")
        compiled.append(function.__name__)
    return made


def inlined(function: Callable[..., Any] | None = None, *, reorder: bool = True) -> Callable[..., Any]:
    """A function that becomes part of every loop that calls it. reorder: may its sums be reordered?"""
    if function is None:
        return functools.partial(inlined, reorder=reorder)
    flags = FLAGS if reorder else FLAGS - {"reassoc"}
    return numba.njit(nogil=True, error_model="numpy", fastmath=flags, forceinline=True)(function)  # type: ignore[no-any-return]


def finish() -> None:
    """Say how long compiling took, if anything was compiled."""
    if compiled:
        say(f"done in {time.perf_counter() - _start:.1f} s\n")


def say(text: str) -> None:
    """On standard error, apart from a program's output."""
    print(text, end="", file=sys.stderr, flush=True)
