"""Looking inside while it runs: where a NaN is born, where the time and the memory go, which tensors are alive.

    with minitorch.detect_anomaly():        # an error at the first NaN or infinity, naming your own source line
        loss = model(x).loss
        loss.backward()

    with minitorch.profile() as p:          # print(p): op, calls, time, share, peak memory
        loss = model(x).loss
        loss.backward()

Both are observers: the engine hands every operation, forward and backward, to ``grad_mode.mode.observer`` if there is one.
They watch the thread that entered the block, and may be nested in any order.
Read before: graph.py, grad_mode.py. Read next: drawing.py.
"""

from __future__ import annotations

import contextlib
import gc
import linecache
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import devices, dtypes
from .changes import held
from .grad_mode import mode
from .graph import Node, Output
from .tensor import Tensor


class Observer:
    """Somebody who watches every operation in a ``with`` block, and lets those of the blocks around it watch too."""

    outer: Any = None
    active = False

    def __enter__(self) -> Any:
        if self.active:
            raise RuntimeError(f"{type(self).__name__}: this block is already open; make a second one to nest it")
        self.outer, self.active, mode.observer = mode.observer, True, self
        return self

    def __exit__(self, *exception: object) -> None:
        mode.observer, self.outer, self.active = self.outer, None, False

    def forward(self, call: Any, run: Callable[..., Any], arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        """Run an op's formula; returns (y, pullback) as the formula does."""
        return run(*arrays, **static) if self.outer is None else self.outer.forward(call, run, arrays, static)

    def recorded(self, node: Node) -> None:
        """The op that just ran has become a node of the graph."""
        if self.outer is not None:
            self.outer.recorded(node)

    def backward(self, node: Node, pullback: Any) -> Any:
        """The pullback (or tuple of them) about to be used for ``node``; returns what is to be used in its place."""
        return pullback if self.outer is None else self.outer.backward(node, pullback)


def _wrap(pullback: Any, around: Callable[[Callable[[Any], Any], int | None], Any]) -> Any:
    """``around(pullback, index of its input)``, for a single pullback (index None) or for each of a tuple."""
    if type(pullback) is tuple:
        return tuple([around(p, i) for i, p in enumerate(pullback)])
    return around(pullback, None)


def _parts(x: Any) -> tuple[Any, ...]:
    """The outputs of an op, or the gradients of a pullback, as a tuple."""
    return x if type(x) is tuple else (x,)


# ------------------------------------------------------------------------------------------------ NaN and infinity


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
    """A ``with`` block in which the operation that gives birth to a NaN or an infinity raises an error.

    The error names the op, its inputs and output, and the line of your program that called it: also when it is the
    gradient that goes wrong, if the forward pass ran inside the block too. Born means: a NaN that no input holds, an
    infinity from inputs that are all finite. So the -inf of an attention mask is legal, and the 0 that softmax makes of
    it, while the NaN of a row that is masked completely is not. With check_nan=False no value is looked at, and an error
    that a backward pass raises still gets the line. As torch.autograd.detect_anomaly, but the forward pass is watched too.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self.warned = False
        self.origin: Origin | None = None  # of the op that ran last
        self.within: Node | None = None  # under create_graph: the node whose pullback, made of ops itself, is running

    def forward(self, call: Any, run: Callable[..., Any], arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        y, pullback = super().forward(call, run, arrays, static)
        if self.within is None:
            self.origin = _origin(arrays, _parts(y))
            if self.check_nan:
                for i, part in enumerate(_parts(y)):
                    self._check_forward(call.__name__, arrays, static, part, f" in output {i}" if type(y) is tuple else "")
        return y, pullback

    def _check_forward(self, name: str, arrays: Sequence[Any], static: dict[str, Any], y: Any, place: str) -> None:
        if _finite(y):
            return
        fault = _born((*arrays, static), y)
        if fault:
            raise RuntimeError(f"detect_anomaly: {name} gave {fault}{place}\n{_story(self.origin, arrays)}")
        if not self.warned and _count(y)[0]:
            self.warned = True  # once: all that is computed from it is NaN too
            warnings.warn(
                f"detect_anomaly: {name} was given a NaN that no watched operation made; look at the data and the parameters\n"
                + _story(self.origin, arrays),
                stacklevel=5,
            )

    def recorded(self, node: Node) -> None:
        node.where = self.origin if self.within is None else getattr(self.within, "where", None)
        super().recorded(node)

    def backward(self, node: Node, pullback: Any) -> Any:
        return _wrap(super().backward(node, pullback), lambda p, index: self._watched(node, p, index))

    def _watched(self, node: Node, pullback: Callable[[Any], Any], index: int | None) -> Callable[[Any], Any]:
        """The pullback, with its result looked at."""

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
                for i, part in enumerate(_parts(result)):
                    _check_backward(node, g, part, i if index is None else index)
            return result

        return watched


def _check_backward(node: Node, g: Any, result: Any, i: int) -> None:
    if not _finite(result):
        fault = _born((g, node.inputs, node.static), result)
        if fault:
            story = _story(getattr(node, "where", None), node.inputs)
            raise RuntimeError(f"detect_anomaly: the backward of {node.name} gave {fault} in the gradient of input {i}\n{story}")


_SKIPPED = (os.path.dirname(__file__) + os.sep, contextlib.__file__)  # contextlib: @no_grad() around a function of ours


def _origin(operands: Sequence[Any], outputs: Sequence[Any]) -> Origin:
    """The innermost caller outside of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    code = frame.f_code
    return Origin(code.co_filename, frame.f_lineno, code.co_name, _shapes(operands), _shapes(outputs))


def _shapes(xs: Sequence[Any]) -> str:
    return " and ".join(f"{tuple(x.shape)} {x.dtype}" if hasattr(x, "dtype") else str(x) for x in xs)


def _story(origin: Origin | None, operands: Sequence[Any]) -> str:
    """The rest of a message: the line, the shapes and, where the operands are at hand, their ranges, which often say why."""
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
    """ "2 NaN (of 6 elements)" if the result holds what the operands do not explain, else nothing."""
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
    """The array of floating numbers that ``x`` is or wraps; None if it is something else."""
    x = np.float64(x) if type(x) is float else getattr(x, "array", x)
    return x if getattr(getattr(x, "dtype", None), "kind", "") in ("f", "V") else None


# ------------------------------------------------------------------------------------------------ time and memory


class _Row:
    """What is known of one operation: seconds, and bytes of the arrays that it made and that are alive."""

    def __init__(self) -> None:
        self.calls = self.live = self.peak = 0
        self.forward = self.backward = 0.0


class profile(Observer):
    """A ``with`` block that measures every operation: how often, how long forward and backward, how much memory.

        with minitorch.profile() as p: ...
        print(p)      # a table, the most expensive operation first
        p.rows        # the same as a list of dicts: op, calls, forward and backward (s), share, memory (bytes)
        p.peak        # the most bytes alive at once

    Times are exclusive: an op that runs inside another's pullback (create_graph) counts for itself. On a GPU every op is
    waited for, which slows the whole but tells whose the time is. Memory is that of the arrays which an op made inside the
    block, counted from birth until they are freed: its outputs, what its pullback keeps, the gradients it returns; a view
    costs nothing. Not seen: temporaries within a formula, sums of gradients, parameters, the optimiser's state, and threads
    other than the block's own and those of parallel.Workers.
    """

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._alive: dict[int, weakref.ref[Any]] = {}  # by id of the array that owns the memory
        self._inner: dict[int, float] = {}  # by thread: seconds spent in ops inside the one being timed
        self._lock = threading.RLock()  # memory may be freed while it is held
        self.live = self.peak = 0
        self.wall = self._start = 0.0

    def __enter__(self) -> profile:
        super().__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self.wall += time.perf_counter() - self._start
        self._alive.clear()

    def forward(self, call: Any, run: Callable[..., Any], arrays: Sequence[Any], static: dict[str, Any]) -> Any:
        row = self._rows.setdefault(call.__name__, _Row())

        def timed(*arrays: Any, **static: Any) -> Any:
            result, seconds = self._timed(lambda: run(*arrays, **static))
            with self._lock:
                row.forward += seconds
                row.calls += 1
            return result

        y, pullback = super().forward(call, timed, arrays, static)
        self._made(row, [*_parts(y), *held(pullback)], arrays)
        return y, pullback

    def backward(self, node: Node, pullback: Any) -> Any:
        if isinstance(node, Output):  # hands a gradient on, computes nothing
            return super().backward(node, pullback)
        row = self._rows.setdefault(node.name, _Row())

        def around(p: Callable[[Any], Any], _: int | None) -> Callable[[Any], Any]:
            def timed(g: Any) -> Any:
                result, seconds = self._timed(lambda: p(g))
                with self._lock:
                    row.backward += seconds
                self._made(row, _parts(result), [g])
                return result

            return timed

        return super().backward(node, _wrap(pullback, around))

    def _timed(self, run: Callable[[], Any]) -> tuple[Any, float]:
        """The result of ``run()`` and the seconds it took, less those of ops inside it, which count for themselves."""
        thread = threading.get_ident()
        before, self._inner[thread] = self._inner.get(thread, 0.0), 0.0
        start = time.perf_counter()
        result = run()
        for x in held(result):
            if devices.device_of(x) != "cpu":
                devices.cupy().cuda.get_current_stream().synchronize()
            break
        elapsed = time.perf_counter() - start
        own = elapsed - self._inner[thread]
        self._inner[thread] = before + elapsed
        return result, own

    def _made(self, row: _Row, arrays: Sequence[Any], given: Sequence[Any]) -> None:
        """Count the memory that is new in ``arrays``, until it is freed."""
        known = {id(_owner(x)) for x in given}
        for x in map(_owner, arrays):
            key, size = id(x), getattr(x, "nbytes", 0)
            if not size or key in known or key in self._alive:
                continue

            def freed(_: Any, key: int = key, size: int = size) -> None:
                with self._lock:
                    self._alive.pop(key, None)
                    self.live -= size
                    row.live -= size

            try:
                self._alive[key] = weakref.ref(x, freed)
            except TypeError:  # one of NumPy's scalars
                continue
            with self._lock:
                self.live += size
                row.live += size
                self.peak, row.peak = max(self.peak, self.live), max(row.peak, row.live)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict an operation, the most expensive first."""
        total = sum(row.forward + row.backward for row in self._rows.values()) or 1.0
        rows = [
            {"op": op, "calls": row.calls, "forward": row.forward, "backward": row.backward,
             "share": (row.forward + row.backward) / total, "memory": row.peak}
            for op, row in self._rows.items()
        ]  # fmt: skip
        return sorted(rows, key=lambda row: -float(row["share"]))

    def __str__(self) -> str:
        rows = self.rows
        forward, backward = sum(row["forward"] for row in rows), sum(row["backward"] for row in rows)
        lines = [
            (row["op"], row["calls"], _time(row["forward"]), _time(row["backward"]), f"{row['share']:.1%}", _bytes(row["memory"]))
            for row in rows
        ]
        lines.append(("all", sum(row["calls"] for row in rows), _time(forward), _time(backward), "", _bytes(self.peak)))
        wall = self.wall or time.perf_counter() - self._start
        table = _table(("op", "calls", "forward", "backward", "share", "peak memory"), lines)
        n = max(1, len(self._inner))
        whole = f"{_time(wall)} in the block" if n == 1 else f"{_time(wall)} in the block on {n} threads"
        used = (forward + backward) / (wall * n)
        return f"{table}\n{whole}, {used:.0%} of it in operations; the rest is Python and the engine"

    __repr__ = __str__


def _owner(x: Any) -> Any:
    """The array that owns the memory which ``x`` shows."""
    x = getattr(x, "array", x)
    base = getattr(x, "base", None)
    return x if base is None else base


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"


def _bytes(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as they need: the first to the left, the others to the right."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))) for row in cells
    )


# --------------------------------------------------------------------------------------------- what is alive


def tensors() -> Iterator[Tensor]:
    """Every Tensor that is alive, as Python's garbage collector knows them."""
    return (x for x in gc.get_objects() if isinstance(x, Tensor))


class live_tensors(list[dict[str, Any]]):
    """The tensors that are alive, alike ones on one line: count, kind, shape, dtype, device, bytes; the largest first.

    Memory that several tensors show is counted once. Arrays that only a graph keeps are not tensors: see profile().
    """

    def __init__(self) -> None:
        found = list(tensors())
        gradients = {id(x.grad) for x in found if x.grad is not None}
        seen: set[int] = set()
        groups: dict[Any, dict[str, Any]] = {}
        for x in sorted(found, key=lambda x: (id(x) in gradients, x.array.base is not None)):
            kind = "gradient" if id(x) in gradients else "data" if x.node is None else "parameter" if x.is_leaf else x.node.name
            key = {"kind": kind, "shape": x.shape, "dtype": x.dtype.name, "device": x.device}
            row = groups.setdefault(tuple(key.values()), {**key, "count": 0, "bytes": 0})
            row["count"] += 1
            if id(_owner(x)) not in seen:
                row["bytes"] += x.nbytes
            seen.add(id(_owner(x)))
        super().__init__(sorted(groups.values(), key=lambda row: (-row["bytes"], str(row["shape"]))))

    def __str__(self) -> str:
        rows = [(r["kind"], str(r["shape"]), r["dtype"], r["device"], r["count"], _bytes(r["bytes"])) for r in self]
        total = ("all", "", "", "", sum(r["count"] for r in self), _bytes(sum(r["bytes"] for r in self)))
        return _table(("kind", "shape", "dtype", "device", "count", "memory"), [*rows, total])

    __repr__ = __str__
