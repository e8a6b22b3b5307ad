"""The error when an array library refuses an operation: the rule, the operands that clash, and the cure.

It runs only after a failure, so a successful call costs nothing (graph.op). Read before: devices.py. Read next: graph.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .devices import device_of


def explain(name: str, arrays: Sequence[Any], error: Exception) -> Exception:
    """Turn an array library's error into one that gives the rule, the operands that clash, and the cure."""
    operands = [a for a in arrays if hasattr(a, "shape")]
    devices = list(dict.fromkeys(device_of(a) for a in operands))
    if len(devices) > 1:
        places = " and ".join(f"{'xyzuvw'[i % 6]} is on {device_of(a)}" for i, a in enumerate(operands))
        return RuntimeError(
            f'{name}: {places}; operands must share a device: call .to("{devices[0]}") or .to("{devices[1]}") on one of them'
        )
    if "broadcast" in str(error) and len(operands) > 1:
        shapes = " and ".join(str(tuple(a.shape)) for a in operands)
        return RuntimeError(
            f"{name}: shapes {shapes} do not broadcast: aligned from the right, each pair of sizes must be equal or hold a 1"
        )
    return error
