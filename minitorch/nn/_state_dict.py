"""Loading a state dict: what it may hold, and everything that can be wrong with it.

Module.load_state_dict calls these. Read before: module.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..devices import is_cupy
from ..tensor import Tensor


class IncompatibleKeys(NamedTuple):
    """The names that load_state_dict found on one side only."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def as_tensor(value: Any) -> Tensor | None:
    """A Tensor, or an array as one; None for anything else."""
    if isinstance(value, Tensor):
        return value
    if not hasattr(value, "shape"):
        return None
    return Tensor(value if is_cupy(value) else np.asarray(value))


def problems_of(own: dict[str, Tensor], values: dict[str, Tensor | None], keys: IncompatibleKeys, strict: bool) -> list[str]:
    """Every reason why the values cannot be loaded, one line per reason."""

    def names(found: list[str]) -> str:
        return ", ".join(f'"{name}"' for name in found)

    problems = []
    if strict and keys.missing_keys:
        problems.append(f"\n    Missing key(s), which the module has and the state dict lacks: {names(keys.missing_keys)}.")
    if strict and keys.unexpected_keys:
        problems.append(f"\n    Unexpected key(s), which the state dict has and the module lacks: {names(keys.unexpected_keys)}.")
    for name, value in values.items():
        if value is None:
            problems.append(f"\n    {name} must be a Tensor or an array in the state dict.")
        elif value.shape != own[name].shape:
            problems.append(f"\n    size mismatch for {name}: {value.shape} in the state dict, {own[name].shape} in the module.")
    if strict and (keys.missing_keys or keys.unexpected_keys):
        problems.append("\n    strict=False skips missing and unexpected keys and returns their names.")
    return problems
