"""How many threads BLAS, the library behind NumPy's matrix products, uses: one for a small product.

BLAS divides a product among all cores and waits for the slowest. If another program has one of the cores, the wait is a time
slice of the operating system: a product of 0.1 ms takes 10 ms, and the waiting threads burn the other cores. On a quiet machine
a second thread gains a small product little: a fifth of a step's time, for two thirds more work (docs/speed.md).

So kernels/dispatch.py gives one thread to products of less than ``SMALL`` multiplications and to everything else that calls
BLAS, and then sets the number back: NumPy elsewhere in the program keeps its threads. Nothing of this happens once the number
was chosen: by ``set_num_threads`` or in the environment.
Read before: nothing. Read next: threads.py, kernels/dispatch.py.
"""

from __future__ import annotations

import functools
import importlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SMALL = 1 << 24  # multiplications, 0.3 ms on one core: on a busy machine 2 threads took 40 times as long for 12 million
VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
NAMES = (  # how libraries call the two functions that set and read the number
    ("scipy_openblas_set_num_threads64_", "scipy_openblas_get_num_threads64_"),
    ("scipy_openblas_set_num_threads", "scipy_openblas_get_num_threads"),
    ("openblas_set_num_threads64_", "openblas_get_num_threads64_"),
    ("openblas_set_num_threads", "openblas_get_num_threads"),
    ("MKL_Set_Num_Threads", "MKL_Get_Max_Threads"),
    ("bli_thread_set_num_threads", "bli_thread_get_num_threads"),
)
chosen = any(os.environ.get(name) for name in VARIABLES)  # did the user say how many?


def set_num_threads(number: int) -> None:
    """Let BLAS use ``number`` threads for every product of the process, small ones too (torch.set_num_threads)."""
    global chosen
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise RuntimeError(f"set_num_threads: expects a positive integer, got {number!r}")
    if functions() is None:
        raise RuntimeError("set_num_threads: this NumPy's BLAS has no such setting; set OMP_NUM_THREADS before Python starts")
    chosen = True
    functions()[0](number)  # type: ignore[index]


def get_num_threads() -> int:
    """How many threads BLAS uses for a large product; 1 if it does not say."""
    found = functions()
    return 1 if found is None else int(found[1]())


@functools.cache
def functions() -> tuple[Callable[[int], Any], Callable[[], int], str] | None:
    """BLAS's functions that set and read the number, and OpenBLAS's name for its kernels; None for a BLAS without, as Apple's."""
    try:
        import ctypes
    except ImportError:  # a Python without it has no threads either
        return None
    package = Path(np.__file__).parent
    umath = importlib.import_module("numpy._core._multiarray_umath").__file__  # finds what it is linked with, but on Windows
    for path in (umath, *sorted(package.with_name("numpy.libs").glob("*openblas*"))):
        try:
            library = ctypes.PyDLL(str(path))  # keeps Python's lock: the calls take half a microsecond
        except OSError:
            continue
        for setter, getter in NAMES:
            if hasattr(library, setter) and hasattr(library, getter):
                return library[setter], library[getter], _kernels(library, setter.replace("set_num_threads", "get_corename"))
    return None


def _kernels(library: Any, function: str) -> str:
    import ctypes

    if "openblas" not in function or not hasattr(library, function):
        return ""
    name = library[function]
    name.restype = ctypes.c_char_p
    return name().decode()  # type: ignore[no-any-return]


@functools.cache
def packs_small() -> bool:
    """Does BLAS copy the operands of a small product into another order first? OpenBLAS's AVX-512 kernels leave that out."""
    found = functions()
    return found is None or found[2] not in ("SkylakeX", "Cooperlake", "SapphireRapids")


def narrow(name: str, x: Any, others: Sequence[Any]) -> int:
    """One thread for the kernel ``name`` of these arrays, unless it is a large product; the number to set back, or 0."""
    if chosen or type(x) is not np.ndarray:
        return 0
    if name in ("matmul", "linear") and others and multiplications(name, x, others[0]) >= SMALL:
        return 0
    found = functions()
    if found is None:
        return 0
    before = found[1]()
    if before == 1:
        return 0
    found[0](1)
    return int(before)


def multiplications(name: str, a: Any, b: Any) -> int:
    """Of one product: (n, k) @ (k, m) has n·k·m; a stack of products is computed one by one, a linear map as one product."""
    rows = math.prod(a.shape[:-1] if name == "linear" else a.shape[-2:-1])
    return int(rows * math.prod(b.shape[-2:]))


def widen(before: int) -> None:
    """Undo ``narrow``."""
    functions()[0](before)  # type: ignore[index]
