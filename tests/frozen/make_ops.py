"""Write ops_FAMILY.npz: what PyTorch computes for a fixed set of samples of every op in the table, and for all edges.

python -m tests.frozen.make_ops [FAMILY ...]      (needs PyTorch; run it when the table or the edges change)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings

from .. import op_edges, op_table
from ..calls import prepared, torch_outcome
from ..op_table import Call, Constant, Op
from .store import Writer

HERE = Path(__file__).parent
DRAWN = 4  # samples of each op, beside the edges
LARGEST = 24  # elements of all arrays of a sample


def drawn(entry: Op) -> list[Call]:
    """The first few different small calls that the entry's strategy draws, always the same; each choice of keywords once."""
    calls: list[Call] = []

    @settings(
        derandomize=True,
        max_examples=80,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(entry.samples)
    def collect(call: Call) -> None:
        calls.append(call)

    collect()
    small = [c for c in calls if 1 < elements(c) <= LARGEST] or [c for c in calls if elements(c) <= 10 * LARGEST]
    chosen: dict[str, Call] = {}
    for c in sorted(small, key=lambda c: str(c.kwargs.keys()) in chosen):
        chosen.setdefault(repr([repr(type(a)) for a in c.args]) + repr(sorted(c.kwargs)), c)
    rest = [c for c in small if all(c is not other for other in chosen.values())]
    return [short(c) for c in [*chosen.values(), *rest][:DRAWN]]


def elements(x: Any) -> int:
    """How many numbers a call holds."""
    if isinstance(x, Call):
        return elements(x.args) + elements(list(x.kwargs.values()))
    if isinstance(x, list | tuple):
        return sum(map(elements, x))
    return getattr(getattr(x, "array", x), "size", 0)


def short(call: Call) -> Call:
    """The call with its floats rounded to multiples of 1/256, which compress (kinks are 1/20 away)."""
    done: dict[int, np.ndarray] = {}

    def rounded(x: Any) -> Any:
        if isinstance(x, Constant):
            return Constant(rounded(x.array))
        if isinstance(x, np.ndarray) and x.dtype == np.float64:
            return done.setdefault(id(x), np.asarray(np.rint(x * 256) / 256))
        return type(x)(rounded(item) for item in x) if type(x) in (list, tuple) else x

    return Call(tuple(map(rounded, call.args)), {name: rounded(x) for name, x in call.kwargs.items()}, call.error)


def freeze(writer: Writer, name: str, function: Any, call: Call, order: int) -> None:
    """Ask torch, and store what it says (also that it refuses)."""
    wanted = min(order, call.order)
    order, results = torch_outcome(torch, function, call, wanted)
    refusal = results if isinstance(results, Exception) else None
    if not (isinstance(refusal, call.error) if call.error else refusal is None and order == wanted):
        print(f"    look at {name}: {' '.join(repr(call).split())[:120]}: {order=}, {repr(refusal)[:120]}")
    writer.add(name, call, order, None if refusal else results, type(refusal).__name__ if refusal else None)


def main(families: list[str]) -> None:
    """Write a file for each family."""
    prepared(torch)
    for family in families or op_edges.families():
        writer = Writer(torch=torch.__version__, numpy=np.__version__, hypothesis=hypothesis.__version__)
        for entry in op_edges.entries(family):
            function = entry.resolve(torch)
            order = 0 if not entry.differentiable else 1 + entry.second
            for call in [*drawn(entry), *entry.edges] if function is not None else ():
                freeze(writer, entry.name, function, call, order)
        for name, call in op_edges.edges(family):
            freeze(writer, name, op_table.dotted(torch, name), call, 2)
        path = HERE / f"ops_{family}.npz"
        writer.save(path)
        print(f"{path.name}: {len(writer.cases)} cases, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
