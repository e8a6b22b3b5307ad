"""The op table: one entry for each public operation, from which all tests of the operations are made.

tests/test_ops.py runs every entry (values, gradients, second gradients, dtypes, aliasing), compares it with PyTorch where
that is installed, and tests/frozen/ holds PyTorch's numbers for a fixed set of its samples. A public op of minitorch.ops or
minitorch.nn.functional without an entry fails a test.

HOW TO ADD AN OP. In the file of its family (elementwise.py, reductions.py, shaping.py, indexing.py, linalg.py, nn.py, each
with a list named OPS) add one `Op`. The helpers come from .strategies:

    from . import Op, call
    from .strategies import array, binary, reduction, shapes, unary

    OPS = [
        Op("exp", unary(-3, 3), reference=np.exp),                        # mirrors torch.exp
        Op("log", unary(0.1, 5), dtypes=ALL),                             # domain (0.1, 5); integers too
        Op("abs", unary(-3, 3, avoid=[0]), covers=["absolute"]),          # no draws near the kink at 0
        Op("add", binary()),                                              # broadcast pairs, numbers, the same tensor twice
        Op("isnan", unary(-3, 3), differentiable=False),
        Op("nn.functional.gelu", unary(-3, 3, approximate=["none", "tanh"])),
        Op("gather", gather_samples(), edges=[call(X, 0, INDEX)]),        # a strategy of your own
        Op("operator.getitem", index_samples(), covers=["getitem"]),
    ]

THE FIELDS OF AN OP
name            where it is: "exp" is minitorch.exp, "nn.functional.relu", "linalg.vector_norm", "Tensor.view" likewise;
                "operator.getitem" is Python's own x[i] in both libraries
samples         a hypothesis strategy that draws calls: `call(*args, **kwargs)`, see below
torch           dotted name in torch if it differs from ``name``; or a function of the torch module that returns the
                function; or None if PyTorch has no such op (then give a reference)
reference       a NumPy function of the same call (floating arguments are float64 arrays), if there is a simple one
function        what to call in minitorch if it is not simply ``name``
covers          further public names that are the same function (aliases) or that this entry exercises
differentiable  False: the result carries no gradient
second          False: the second gradient is not checked (say why in a comment)
dtypes          the dtypes in which values and result dtypes must agree with torch (FLOATS, ALL, or your own tuple of names);
                the float arrays of a sample are converted, the others stay
tolerance       relative, for gradients against central differences in float64
edges           calls written by hand: dim=None, tuples, negative dims, keepdim, empty, 0-d, bool / uint8 / int inputs, float16,
                mixed dtypes, numbers. They are compared with torch for values, dtypes and gradients, and frozen. A call
                that must be refused: `refused(IndexError, x, dim=5)`

A CALL. ``call(x, y, dim=1)``: NumPy arrays become Tensors, everything else is passed as it is. Floating arrays are
differentiated, others not; ``Constant(array)`` is a floating Tensor that is not. Lists and tuples are looked into
(cat, stack, einsum, indices). One array in two places is one Tensor in two places. ``np.dtype("float32")`` stands for
minitorch.float32 or torch.float32. Strides are kept: a transposed array becomes a transposed Tensor.
"""

from __future__ import annotations

import importlib
import operator
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

FLOATS = ("float64", "float32", "float16")
INTEGERS = ("int64", "int32", "uint8", "bool")
ALL = FLOATS + INTEGERS


@dataclass(frozen=True, repr=False)
class Call:
    """The arguments of one call of an op, as NumPy arrays and plain values."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    error: type[Exception] | None = None  # the exception that both libraries must raise
    order: int = 2  # how often it is differentiated

    def upto(self, order: int) -> Call:
        """The same call, differentiated only ``order`` times (where the next gradient is not defined)."""
        return Call(self.args, self.kwargs, self.error, order)

    def __repr__(self) -> str:
        parts = [*map(_show, self.args), *(f"{k}={_show(v)}" for k, v in self.kwargs.items())]
        return f"call({', '.join(parts)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # how hypothesis shows it
        printer.text(repr(self))


@dataclass(frozen=True)
class Constant:
    """A floating argument with respect to which an op is not differentiated (a class weight, a target)."""

    array: np.ndarray


@dataclass(frozen=True, repr=False)
class Op:
    """One entry; the head of this file explains the fields."""

    name: str
    samples: st.SearchStrategy[Call]
    torch: str | Callable[[Any], Callable[..., Any]] | None = ""
    reference: Callable[..., Any] | None = None
    function: Callable[..., Any] | None = None
    covers: Sequence[str] = ()
    differentiable: bool = True
    second: bool = True
    dtypes: Sequence[str] = FLOATS
    tolerance: float = 1e-6
    edges: Sequence[Call] = ()

    def __repr__(self) -> str:
        return self.name

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.name)

    def resolve(self, library: Any) -> Callable[..., Any] | None:
        """The function itself, of minitorch or of torch; None where torch has none."""
        if library.__name__ == "minitorch":
            return self.function or dotted(library, self.name)
        if self.torch is None:
            return None
        return self.torch(library) if callable(self.torch) else dotted(library, (self.torch or self.name).removeprefix("torch."))


def call(*args: Any, **kwargs: Any) -> Call:
    """What an op is called with."""
    return Call(args, kwargs)


def refused(error: type[Exception], *args: Any, **kwargs: Any) -> Call:
    """A call that must raise ``error`` (in torch too)."""
    return Call(args, kwargs, error)


def table() -> list[Op]:
    """All entries of all families."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "strategies"]
    return [entry for name in names for entry in importlib.import_module(f"{__name__}.{name}").OPS]


def dotted(library: Any, name: str) -> Any:
    """library.a.b.c for "a.b.c"; Python's own operator.c for "operator.c"."""
    if name.startswith("operator."):
        return getattr(operator, name.removeprefix("operator."))
    for part in name.split("."):
        library = getattr(library, part)
    return library


def _show(x: Any) -> str:
    if isinstance(x, Constant):
        return f"Constant({_show(x.array)})"
    if isinstance(x, np.ndarray):
        strides = "" if x.flags.c_contiguous else f", strides={x.strides}"
        return f"array({np.array2string(x, separator=',', threshold=64, precision=17)!s}, {x.dtype}, shape={x.shape}{strides})"
    if isinstance(x, list | tuple):
        return ("[{}]" if isinstance(x, list) else "({},)").format(", ".join(map(_show, x)))
    return repr(x)
