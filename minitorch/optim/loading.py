"""What a loaded state of an optimiser must be, checked before any of it is used.  Read before: optimizer.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import devices
from ..tensor import Tensor


def checked_groups(optimizer: Any, state_dict: Any) -> list[dict[str, Any]]:
    """The param_groups of a state_dict; an error unless the optimiser has as many, as long and with the same options."""
    for key in ("state", "param_groups"):
        if key not in state_dict:
            raise KeyError(f"load_state_dict: the state has no {key!r}: is it an optimiser's state_dict()?")
    saved: list[dict[str, Any]] = state_dict["param_groups"]
    dicts = isinstance(saved, list) and all(isinstance(group, dict) for group in saved)
    if not dicts or not all(isinstance(group.get("params"), list) for group in saved):
        raise TypeError("load_state_dict: 'param_groups' must be a list of dicts, each with a list of 'params'")
    if len(saved) != len(optimizer.param_groups):
        raise ValueError(
            f"loaded state dict has a different number of parameter groups: {len(saved)}, "
            f"this optimiser has {len(optimizer.param_groups)}; build it with the groups it had when it was saved"
        )
    for i, (group, options) in enumerate(zip(optimizer.param_groups, saved, strict=True)):
        if len(group["params"]) != len(options["params"]):
            raise ValueError(
                f"loaded state dict contains a parameter group that doesn't match the size of optimizer's group: group {i} "
                f"has {len(options['params'])} parameters in the state, {len(group['params'])} in this optimiser"
            )
        missing = [name for name in optimizer.defaults if name not in options]
        if missing:
            raise ValueError(
                f"load_state_dict: group {i} of the state has no {', '.join(missing)}: "
                f"it was saved by a different kind of optimiser, not {type(optimizer).__name__}"
            )
        for name, default in optimizer.defaults.items():
            if not alike(default, options[name]):
                value = options[name]
                raise TypeError(f"load_state_dict: {name} of group {i} is {value!r} in the state, {group[name]!r} here")
    return saved


def checked_memories(optimizer: Any, state_dict: Any, params: dict[Any, Tensor]) -> dict[Tensor, dict[str, Any]]:
    """The memory of each parameter, copied; an error unless all of it fits there. params: the parameters by number."""
    memories = state_dict["state"]
    if not isinstance(memories, dict) or not all(isinstance(values, dict) for values in memories.values()):
        raise TypeError("load_state_dict: 'state' must be a dict with a dict for each parameter's number")
    state = {}
    for i, values in memories.items():
        if i not in params:
            raise ValueError(f"load_state_dict: the state of parameter {i!r} belongs to no parameter of the groups")
        if values and (missing := [name for name in optimizer.memory if name not in values]):
            raise ValueError(f"load_state_dict: the state of parameter {i} has no {', '.join(missing)}")
        state[params[i]] = {name: fitted(i, params[i], name, value, optimizer.memory) for name, value in values.items()}
    return state


def fitted(i: int, p: Tensor, name: str, value: Any, memory: tuple[str, ...]) -> Any:
    """A copy of a loaded value on the parameter's device and in its dtype; step counts stay numbers."""
    if name == "step":
        if not alike(0, value) or not value >= 0 or int(value) != value:
            raise ValueError(f"load_state_dict: step of parameter {i} is {value!r} in the state; it must be a count of steps")
        return int(value)
    if not isinstance(value, Tensor):
        if name in memory and value is not None:
            kind = type(value).__name__
            raise TypeError(f"load_state_dict: {name} of parameter {i} is a {kind} in the state, not a tensor")
        return value
    if value.shape != p.shape and (memory or value.ndim == p.ndim):
        raise ValueError(
            f"load_state_dict: {name} of parameter {i} has shape {value.shape} in the state, "
            f"the parameter has {p.shape}: the state was saved for another model"
        )
    return Tensor(devices.move(value.array, p.device).astype(p.dtype, copy=True))


def alike(default: Any, value: Any) -> bool:
    """Can the option have this value? A number stays a number (or a 0-d tensor), a pair a pair, True or False one of them."""
    if isinstance(default, tuple | list):
        pairs = isinstance(value, tuple | list) and len(value) == len(default)
        return pairs and all(alike(a, b) for a, b in zip(default, value, strict=True))
    if isinstance(default, bool) or not isinstance(default, int | float):
        return default is None or isinstance(value, type(default))
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float | np.number) or (isinstance(value, Tensor) and value.numel() == 1)
