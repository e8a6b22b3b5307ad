"""Which implementation of a kernel runs: your own, a fast one that supports the arrays, or the definition.

A kernel's definition is plain array code that also runs on Tensors. It is next to its gradient in ops/ (in-place kernels
are in optim/adam.py and lists.py), under ``@kernel``. kernels/loops/, cpu.py and cuda/ have faster functions of the same
name. Such a function returns NotImplemented for arrays that it does not support, and then the definition runs.
Read before: kernels/__init__.py. Read next: ops/activations.py, which defines the first kernels; cpu.py.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import blas
from ..devices import is_cupy
from . import cpu
from .philox import Key

FLOAT32 = np.dtype(np.float32)  # a dtype equals it in a third of the time that it takes to equal np.float32
KERNELS: dict[str, Callable[..., Any]] = {}  # every kernel by its name; the engine calls these
reference = SimpleNamespace()  # every definition under its kernel's name: reference.gelu
_own: dict[str, Callable[..., Any]] = {}  # the user's replacements


def kernel(definition: Callable[..., Any] | None = None, *, parts: Sequence[Callable[..., Any]] = ()) -> Callable[..., Any]:
    """Turn a definition into a kernel. Its name is the function's, without ``_kernel`` at the end.

    parts: kernels that the definition calls and the fast form does not. If the user replaces one of them, the definition runs,
    because it calls the replacement. NAME_backward reads what NAME saves: if one is replaced, the other runs as defined.
    """
    if definition is None:
        return functools.partial(kernel, parts=parts)
    name = name_of(definition)
    partner = name.removesuffix("_backward") if name.endswith("_backward") else f"{name}_backward"
    inside = {partner, *map(name_of, parts)}
    multiplies = name in ("matmul", "linear", "attention", "attention_backward")  # loops call BLAS there alone

    @functools.wraps(definition)
    def call(x: Any, *arguments: Any, **named: Any) -> Any:
        before = blas.narrow(name, x, arguments) if multiplies or _own or _cpu_hand is cpu else 0
        try:
            own = _own.get(name) if _own else None
            if not _own or (own is None and inside.isdisjoint(_own)):
                fast = getattr(hand_for(x), name, None)
                result = NotImplemented if fast is None else fast(x, *arguments, **named)
                if result is not NotImplemented:
                    return result
                if is_cupy(x):
                    return in_float32(definition, x, *arguments, **named)
            return (own or definition)(x, *[as_array(a, x) for a in arguments], **named)
        finally:
            if before:
                blas.widen(before)

    KERNELS[name] = call
    setattr(reference, name, definition)
    return call


def name_of(function: Callable[..., Any]) -> str:
    """The kernel's name, by which ``use`` and the fast implementations know it."""
    return function.__name__.removesuffix("_kernel")


def hand_for(x: Any) -> Any:
    """The module of fast kernels for the array (or list) ``x``: for float32 on the CPU, or for any array on a GPU; else None."""
    if type(x) is np.ndarray:
        return (_cpu_hand or prepare()) if x.dtype == FLOAT32 else None
    arrays = x if type(x) is list else (x,)
    if all(type(a) is np.ndarray and a.dtype == FLOAT32 for a in arrays):
        return _cpu_hand or prepare()
    if all(map(is_cupy, arrays)):
        from . import cuda

        return cuda
    return None


def prepare(wanted: str = "loops") -> Any:
    """Choose the CPU's hand for this process: "loops" where numba is installed and works, or "numpy", which is cpu.py.

    The first kernel chooses loops. Call this earlier if that kernel is timed, since loading takes 0.5 s, and 5 s for the first
    time; or to ask for NumPy in a program that computes little. MINITORCH_KERNELS in the environment decides over both.
    """
    global _cpu_hand, why_numpy
    with _choosing:
        if _cpu_hand is None:
            hand, why_numpy = _loops_or_why_not(wanted)
            _cpu_hand = hand or cpu
    return _cpu_hand


_cpu_hand: Any = None
_choosing = threading.Lock()
why_numpy: str | None = None  # why loops/ does not run; for the doctor


def _loops_or_why_not(wanted: str) -> tuple[Any, str | None]:
    """The module, or None and the reason."""
    wanted = os.environ.get("MINITORCH_KERNELS", wanted)
    if wanted not in ("loops", "numpy"):
        raise ValueError(f'the kernels (and MINITORCH_KERNELS) are "loops" or "numpy", not {wanted!r}')
    if wanted == "numpy":
        return None, "MINITORCH_KERNELS=numpy" if "MINITORCH_KERNELS" in os.environ else "the program asks for NumPy"
    try:
        from . import loops
    except ModuleNotFoundError as error:
        return None, f"{error.name} is not installed"
    except Exception as error:  # numba does not support this NumPy, or found no folder to write to, or no compiler: NumPy will do
        return None, f"{type(error).__name__}: {error}"
    return loops, None


def in_float32(definition: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The definition on the GPU: 16-bit floats are computed in float32, and the result (not the saved arrays) is cast back."""
    half = next((a.dtype for a in arguments if _is_half(a)), None)
    wide = [a.astype(np.float32) if _is_half(a) else as_array(a, arguments[0]) for a in arguments]
    result = definition(*wide, **named)
    if half is None or result is None:
        return result
    return (result[0].astype(half), *result[1:]) if type(result) is tuple else result.astype(half)


def _is_half(a: Any) -> bool:
    return hasattr(a, "dtype") and a.dtype.name in ("float16", "bfloat16")


def as_array(a: Any, like: Any) -> Any:
    """The array of bools for a dropout mask that is only a key (philox.py), on ``like``'s device; anything else unchanged."""
    if type(a) is not Key:
        return a
    if not is_cupy(getattr(like, "array", like)):
        return a.computed()
    from .cuda.launch import computed

    return computed(a)


@contextlib.contextmanager
def use(**kernels: Callable[..., Any]) -> Iterator[None]:
    """Within the block the given functions replace the kernels of those names, in every thread and every op."""
    unknown = [name for name in kernels if name not in KERNELS]
    if unknown:
        raise TypeError(f"there is no kernel called {unknown[0]!r}; there are {', '.join(KERNELS)}")
    before = dict(_own)
    _own.update(kernels)
    try:
        yield
    finally:
        _own.clear()
        _own.update(before)
