"""Every op against PyTorch's numbers, without PyTorch: frozen/ops_*.npz, written by frozen/make_ops.py.

The samples are some that the op table draws and all edges of op_edges/: values, dtypes, gradients, second gradients, and
the type of the exception where PyTorch refuses.
"""

from __future__ import annotations

import builtins
import contextlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import minitorch

from . import emulated_cupy
from .calls import complaint, in_minitorch, outcome
from .frozen.store import load
from .op_table import dotted, table

pytestmark = pytest.mark.filterwarnings("ignore:kl_div")
FROZEN = Path(__file__).parent / "frozen"
CASES: dict[str, list[Any]] = defaultdict(list)
for path in sorted(FROZEN.glob("ops_*.npz")):
    for case in load(path):
        CASES[case.op].append(case)
FUNCTIONS = {entry.name: entry.resolve for entry in table()}


@pytest.mark.parametrize("name", CASES)
def test_frozen(name: str, device: str) -> None:
    """All stored cases of an op; the message lists every one that differs."""
    function = FUNCTIONS[name](minitorch) if name in FUNCTIONS else dotted(minitorch, name)
    failures = []
    for case in CASES[name]:
        # what is refused for its numbers (an index out of range, a divisor 0) a card finds only while somebody watches
        with minitorch.detect_anomaly() if case.error and device != "cpu" else contextlib.nullcontext():
            got = outcome(function, in_minitorch(case.call, device), minitorch, case.order, device)
        failures += complaint(case.call, got, getattr(builtins, case.error)("frozen") if case.error else case)
    assert not failures, f"{len(failures)} of {len(CASES[name])} calls differ from torch:\n" + "\n".join(failures)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_16_bit_floats_stay_what_they_are(name: str, kind: str) -> None:
    """A card takes what the processor takes, and gives numbers of the same type in the same shape: CuPy alone would not."""
    if kind == "bfloat16":
        pytest.importorskip("ml_dtypes")
    function = FUNCTIONS[name](minitorch) if name in FUNCTIONS else dotted(minitorch, name)
    for case in CASES[name]:
        replaced = {id(x): x.astype(getattr(minitorch, kind)) for x in in_minitorch(case.call).arrays}
        here, there = (types_of(function, case, replaced, device) for device in ("cpu", "cuda"))
        assert isinstance(here, Exception) or here == there, case.call


def types_of(function: Any, case: Any, replaced: Any, device: str) -> Any:
    """Types and shapes of results and gradients, or the exception."""
    with emulated_cupy.card() if device == "cuda" else contextlib.nullcontext():
        got = outcome(function, in_minitorch(case.call, device, replaced=replaced), minitorch, case.order, device)
    if isinstance(got, Exception):
        return got
    return [[kind_and_shape(x) for x in part or []] for part in (got.outputs, got.gradients, got.second)]


def kind_and_shape(x: Any) -> Any:
    """What is compared of a result."""
    return x if x is None else (x.dtype.name, x.shape)


def test_files_are_small() -> None:
    """Frozen numbers are read by people's clones, not only by tests."""
    assert sum(path.stat().st_size for path in FROZEN.glob("ops_*.npz")) < 400_000


def test_no_op_was_forgotten() -> None:
    """Each op of the table has PyTorch's frozen numbers or, if PyTorch was not at hand when it was added, a NumPy reference."""
    missing = [entry.name for entry in table() if entry.torch is not None and not entry.reference and entry.name not in CASES]
    assert not missing, f"give {', '.join(missing)} a reference in tests/op_table, or run python -m tests.frozen.make_ops"
