"""Where a NaN or an infinity is born.

    with minitorch.detect_anomaly():        # an error at the first NaN or infinity, naming your own source line
        loss = model(x).loss
        loss.backward()

Read before: observer.py. Read next: profiler.py.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import devices, dtypes
from ..graph import Node
from ..tensor import Tensor
from .observer import Observer, parts_of, wrap


class Origin(NamedTuple):
    """Where an op was called, and on what; kept in ``node.where``."""

    file: str
    line: int
    function: str
    operands: str  # "(2, 3) float32 and 5"
    output: str

    def __str__(self) -> str:
        place = "" if self.function.startswith("<") else f", in {self.function}"
        return f"{self.file}:{self.line}{place}: {linecache.getline(self.file, self.line).strip()}"


class detect_anomaly(Observer):
    """A ``with`` block that raises an error at the operation where a NaN or an infinity is born.

    The error names the op, its inputs and output, and the line of your program that called the op. It does so for gradients
    too, if the forward pass ran inside the block. Born means: a NaN that no input holds, or an infinity from inputs that
    are all finite. So the -inf of an attention mask is legal, and so is the 0 that softmax makes of it; the NaN of a fully
    masked row is not. With check_nan=False no value is read, but an error in the backward pass still gets its line.
    As torch.autograd.detect_anomaly, except that it watches the forward pass too.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self.warned = False
        self.origin: Origin | None = None  # of the op that ran last
        self.within: Node | None = None  # under create_graph: the node whose pullback, made of ops itself, is running

    def forward(self, call: Any, run: Callable[..., Any], arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        y, pullback = super().forward(call, run, arrays, static)
        if self.within is None:
            self.origin = _origin(arrays, parts_of(y))
            if self.check_nan:
                for i, part in enumerate(parts_of(y)):
                    self._check_forward(call.__name__, arrays, static, part, f" in output {i}" if type(y) is tuple else "")
        return y, pullback

    def _check_forward(self, name: str, arrays: Sequence[Any], static: dict[str, Any], y: Any, place: str) -> None:
        if _finite(y):
            return
        fault = _born((*arrays, static), y)
        if fault:
            raise RuntimeError(f"detect_anomaly: {name} gave {fault}{place}\n{_story(self.origin, arrays)}")
        if not self.warned and _count(y)[0]:
            self.warned = True  # once: whatever is computed from it is NaN too
            warnings.warn(
                f"detect_anomaly: {name} received a NaN that no watched operation made; check the data and the parameters\n"
                + _story(self.origin, arrays),
                stacklevel=5,
            )

    def recorded(self, node: Node) -> None:
        node.where = self.origin if self.within is None else getattr(self.within, "where", None)
        super().recorded(node)

    def backward(self, node: Node, pullback: Any) -> Any:
        return wrap(super().backward(node, pullback), lambda p, index: self._watched(node, p, index))

    def _watched(self, node: Node, pullback: Callable[[Any], Any], index: int | None) -> Callable[[Any], Any]:
        """The pullback, with a check of its result."""

        def watched(g: Any) -> Any:
            before = self.within
            if any(isinstance(part, Tensor) for part in (g.values() if type(g) is dict else (g,))):
                self.within = node
            try:
                result = pullback(g)
            except Exception as error:
                error.add_note(f"in the backward of {node.name}\n{_story(getattr(node, 'where', None), node.inputs)}")
                raise
            finally:
                self.within = before
            if self.check_nan:
                for i, part in enumerate(parts_of(result)):
                    _check_backward(node, g, part, i if index is None else index)
            return result

        return watched


def _check_backward(node: Node, g: Any, result: Any, i: int) -> None:
    if not _finite(result):
        fault = _born((g, node.inputs, node.static), result)
        if fault:
            story = _story(getattr(node, "where", None), node.inputs)
            raise RuntimeError(f"detect_anomaly: the backward of {node.name} gave {fault} in the gradient of input {i}\n{story}")


_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_SKIPPED = (_PACKAGE, contextlib.__file__)  # contextlib: @no_grad() around a function of the package


def _origin(operands: Sequence[Any], outputs: Sequence[Any]) -> Origin:
    """The innermost caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    code = frame.f_code
    return Origin(code.co_filename, frame.f_lineno, code.co_name, _shapes(operands), _shapes(outputs))


def _shapes(xs: Sequence[Any]) -> str:
    return " and ".join(f"{tuple(x.shape)} {x.dtype}" if hasattr(x, "dtype") else str(x) for x in xs)


def _story(origin: Origin | None, operands: Sequence[Any]) -> str:
    """The rest of a message: the line, the shapes and, if the operands are known, their ranges, which often explain the fault."""
    if origin is None:
        return "  its call is unknown: run the forward pass inside detect_anomaly() too"
    ranges = " and ".join(filter(None, map(_range, operands)))
    return f"  called at {origin}\n  on {origin.operands}" + f", {ranges}" * bool(ranges) + f"; output {origin.output}"


def _range(x: Any) -> str:
    x = getattr(x, "array", x)
    if getattr(x, "size", 0) == 0 or not dtypes.is_floating(x.dtype):
        return ""
    return f"from {float(x.min()):.4g} to {float(x.max()):.4g}"


def _born(operands: Any, result: Any) -> str:
    """ "2 NaN (of 6 elements)" if the operands do not explain them, else nothing."""
    (nans, infs), (seen_nans, seen_infs) = _count(result), _count(operands)
    if (nans and not seen_nans) or (infs and not seen_nans and not seen_infs):
        found = " and ".join(f"{n} {name}" for n, name in ((nans, "NaN"), (infs, "Inf")) if n)
        return f"{found} (of {getattr(result, 'array', result).size} elements)"
    return ""


def _count(x: Any) -> tuple[int, int]:
    """How many NaNs and infinities there are in an array, a Tensor, a number, or a collection of them."""
    if isinstance(x, tuple | list | dict):
        counts = [_count(item) for item in (x.values() if isinstance(x, dict) else x)]
        return sum(nans for nans, _ in counts), sum(infs for _, infs in counts)
    x = _floating(x)
    if x is None:
        return 0, 0
    xp = devices.array_module(x)
    return int(xp.isnan(x).sum()), int(xp.isinf(x).sum())


def _finite(x: Any) -> bool:
    x = _floating(x)
    return x is None or bool(devices.array_module(x).isfinite(x).all())


def _floating(x: Any) -> Any:
    """The floating array that ``x`` is or wraps; None for anything else."""
    x = np.float64(x) if type(x) is float else getattr(x, "array", x)
    return x if getattr(getattr(x, "dtype", None), "kind", "") in ("f", "V") else None
