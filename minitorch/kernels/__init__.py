"""Kernels: the numerics of hot operations, one name each, several hands.

reference.py  the definition, in plain array code: for higher derivatives (it runs on Tensors), float64 and as the measure
cpu.py        the same in fast NumPy: blocked, in place
cuda/         the same in CUDA C, for CuPy arrays
cublas.py     matrix products of CuPy arrays
philox.py     dropout masks on a GPU: computed where they are needed, not stored
Which one runs follows from the array. ``use`` puts a function of your own in the place of one of them:

    with kernels.use(gelu=my_gelu):
        model(ids)

A kernel that keeps something for its gradient returns it beside the result; NAME_backward takes it. What a kernel returns
is fresh, and none changes an argument, but for adam and those that end in _all (but norm_all), whose business that is.
Read before: ops/nn.py, which calls them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import cpu, philox, reference

_own: dict[str, Callable[..., Any]] = {}  # kernels that a user put in the place of ours

NAMES = (
    "gelu", "gelu_tanh", "bias_gelu", "bias_gelu_backward", "linear", "sum_rows", "softmax", "softmax_backward",
    "attention", "attention_backward",
    "layer_norm", "layer_norm_backward", "add_norm", "add_norm_backward", "cross_entropy", "cross_entropy_backward",
    "drop", "keep_mask", "add_rows", "adam", "adam_all", "norm_all", "scale_all", "add_all", "matmul",
)  # fmt: skip
PARTS = {  # of which kernels another consists: where one of those is the user's own, the definition runs, which calls it
    "add_norm": ("layer_norm", "drop"), "add_norm_backward": ("layer_norm_backward", "drop"), "adam_all": ("adam",),
    "bias_gelu": ("gelu", "gelu_tanh"), "linear": ("matmul",),
    "attention": ("attention_backward", "matmul"), "attention_backward": ("matmul",),  # what one keeps the other takes
}  # fmt: skip


def run(name: str, x: Any, *arguments: Any, **named: Any) -> Any:
    """The kernel ``name`` on the array (or list) ``x``: the user's own, else the fast one if it knows x, else the definition."""
    own = _own.get(name)
    if own is None and not (_own and any(part in _own for part in PARTS.get(name, ()))):
        arrays = x if type(x) is list else (x,)
        if all(type(a) is np.ndarray and a.dtype == np.float32 for a in arrays):
            return getattr(cpu, name)(x, *arguments, **named)
        if all(type(a).__module__.startswith("cupy") for a in arrays):
            from . import cuda

            return getattr(cuda, name)(x, *arguments, **named)
    return (own or getattr(reference, name))(x, *map(philox.as_array, arguments), **named)


@contextlib.contextmanager
def use(**kernels: Callable[..., Any]) -> Iterator[None]:
    """Within the block the given functions take the place of the kernels of those names, in every thread."""
    unknown = [name for name in kernels if name not in NAMES]
    if unknown:
        raise TypeError(f"there is no kernel called {unknown[0]!r}; there are {', '.join(NAMES)}")
    before = dict(_own)
    _own.update(kernels)
    try:
        yield
    finally:
        _own.clear()
        _own.update(before)
