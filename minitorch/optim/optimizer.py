"""The base of all optimisers: groups of parameters, a state per parameter, and the step.

A new optimiser needs one method: ``update(p, g, state, group)`` changes the array p in place, given its gradient g.
Read before: tensor.py (``.grad``), nn/functional.py. Read next: sgd.py, adam.py.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from .. import devices
from ..changes import mark_changed
from ..devices import Array, array_module
from ..grad_mode import enable_grad
from ..tensor import Tensor
from .loading import checked_groups, checked_memories

Group: TypeAlias = dict[str, Any]
Params: TypeAlias = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]


class Optimizer:
    """Base of all optimisers.

    params: tensors, or (name, tensor) pairs, or dicts {"params": tensors, option: value, ...}: groups with their own options.
    defaults: options for groups that do not set them.
    ``state[p]`` is the memory of parameter p, for example its momentum.
    """

    memory: tuple[str, ...] = ()  # names in state[p]; a subclass that says them has its loaded states checked for them

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("params must be a list of tensors or of dicts, got one tensor: write [x]")
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list: model.parameters() found none, or the iterator is used up")
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._opt_called = False  # read by LRScheduler.step
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Optimise more parameters, such as layers that were frozen so far."""
        if not isinstance(param_group, dict):
            raise TypeError(f"a parameter group must be a dict, got {type(param_group).__name__}")
        params, names = _without_names(param_group["params"])
        group = {**self.defaults, **param_group, "params": params}
        if names:
            group["param_names"] = names
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(
                    "can't optimize a non-leaf Tensor: it is the result of a computation, which would overwrite it; "
                    "optimise the inputs of that computation, or x.detach().requires_grad_()"
                )
        if len(set(params)) < len(params):
            warnings.warn("a parameter group holds a parameter twice, so each step updates it twice", stacklevel=3)
        for other in self.param_groups:
            if ("param_names" in other) != ("param_names" in group):
                raise ValueError("all optimizer param groups should be with names, or all without")
            if not set(params).isdisjoint(other["params"]):
                raise ValueError("some parameters appear in more than one parameter group: each can have only one set of options")
        self.param_groups.append(group)

    def parameters(self) -> Iterator[Tensor]:
        """The parameters of all groups, in order: a state_dict identifies a parameter by its number here."""
        for group in self.param_groups:
            yield from group["params"]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: the next backward() would add to them."""
        for p in self.parameters():
            if p.grad is None:
                continue
            if set_to_none:
                p.grad = None
            else:
                p.grad = p.grad.detach()
                p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. A ``closure`` computes the gradients first; step returns its loss."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with np.errstate(all="ignore"):
            for group in self.param_groups:
                ready = [p for p in group["params"] if p.grad is not None]
                self.update_all([p.array for p in ready], [_gradient(p) for p in ready], [self.state[p] for p in ready], group)
                for p in ready:
                    mark_changed(p.array)
        self._opt_called = True
        return loss

    def update_all(self, ps: list[Array], gs: list[Array], states: list[dict[str, Any]], group: Group) -> None:
        """Update the parameters that have a gradient, one after the other. Override it to update them all at once."""
        for p, g, state in zip(ps, gs, states, strict=True):
            self.update(p, g, state, group)

    def update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """Change the parameter's array ``p`` in place, given its gradient ``g``, its state and its group's options."""
        raise NotImplementedError(f"{type(self).__name__} must define update(p, g, state, group), or step()")

    # ------------------------------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint, in PyTorch's layout: {"state": {number: {name: value}}, "param_groups": [options]}.

        Its tensors are the live ones, not copies: save them (or deep-copy them) before the next step.
        """
        number = {p: i for i, p in reversed(list(enumerate(self.parameters())))}
        groups = [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": {number[p]: dict(state) for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state_dict of the same kind of optimiser over the same parameters. Copies the values."""
        saved = checked_groups(self, state_dict)
        params = dict(zip((i for group in saved for i in group["params"]), self.parameters(), strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        state.update(checked_memories(self, state_dict, params))
        self.state = state
        self.param_groups = [
            {**group, **options, "params": group["params"]} for group, options in zip(self.param_groups, saved, strict=True)
        ]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def buffer(state: dict[str, Any], name: str, p: Array) -> Array:
    """The running average ``name`` of a parameter: zeros at first, always on the parameter's device."""
    held = state.get(name)
    if held is None:
        held = state[name] = Tensor(array_module(p).zeros_like(p))
    elif type(held.array) is not type(p):
        held = state[name] = Tensor(devices.move(held.array, devices.device_of(p)))
    return held.array


def _without_names(params: Any) -> tuple[list[Any], list[str]]:
    """The parameters of a group as a list, and their names if it is one of (name, parameter) pairs."""
    if isinstance(params, Tensor):
        return [params], []
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections: the order of a set changes from run to run, "
            "and a saved state could not be loaded; use a list"
        )
    params = list(params)
    names = [p[0] for p in params if isinstance(p, tuple)]
    if names and len(names) < len(params):
        raise ValueError("all optimizer params should be with names, or all without; some names are missing")
    return [p[1] if isinstance(p, tuple) else p for p in params], names


def _gradient(p: Tensor) -> Array:
    g = p.grad.array  # type: ignore[union-attr]
    if g.shape != p.shape:
        raise RuntimeError(f"step: a parameter of shape {p.shape} has a gradient of shape {g.shape}; they must be equal")
    return g
