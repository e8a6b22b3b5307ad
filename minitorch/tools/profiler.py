"""Where the time and the memory go, and which tensors are alive.

    with minitorch.profile() as p:          # print(p): op, calls, time, share, peak memory
        loss = model(x).loss
        loss.backward()

    print(minitorch.live_tensors())         # every tensor that is alive, grouped, the largest first

Read before: observer.py. Read next: drawing.py.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import devices
from ..changes import held
from ..graph import Node, Output
from ..tensor import Tensor
from .observer import Observer, parts_of, wrap


class _Row:
    """The record of one operation: seconds, and bytes of the live arrays that it made."""

    def __init__(self) -> None:
        self.calls = self.live = self.peak = 0
        self.forward = self.backward = 0.0


class profile(Observer):
    """A ``with`` block that measures every operation: how often, how long forward and backward, how much memory.

        with minitorch.profile() as p: ...
        print(p)      # a table, the most expensive operation first
        p.rows        # the same as a list of dicts: op, calls, forward and backward (s), share, memory (bytes)
        p.peak        # the most bytes alive at once

    Times are exclusive: an op that runs inside another's pullback (create_graph) counts for itself. On a GPU the profiler
    waits for each op; this slows the program, but charges the time to the right op. Memory is that of the arrays an op makes
    inside the block, until they are freed: its outputs, what its pullback keeps, the gradients it returns. A view costs
    nothing. Not counted: temporaries within a formula, sums of gradients, parameters, the optimiser's state, and threads
    other than the block's own and those of parallel.Workers.
    """

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._alive: dict[int, weakref.ref[Any]] = {}  # by the id of the array that owns the memory
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
        self._made(row, [*parts_of(y), *held(pullback)], arrays)
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
                self._made(row, parts_of(result), [g])
                return result

            return timed

        return super().backward(node, wrap(pullback, around))

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
        """One dict per operation, the most expensive first."""
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
    """The array that owns the memory of ``x``."""
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
    """Every Tensor that is alive, found through Python's garbage collector."""
    return (x for x in gc.get_objects() if isinstance(x, Tensor))


class live_tensors(list[dict[str, Any]]):
    """The tensors that are alive, equal kinds on one line: count, kind, shape, dtype, device, bytes; the largest first.

    Memory that several tensors share is counted once. Arrays that only a graph keeps are not tensors: see profile().
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
