"""The state from which a run resumes: all that its next step depends on, in one file.

A state that is read back may be damaged, or another run's. It is compared with the run that goes on from it, before anything
of that run changes. Read before: runs.py. Read next: loop.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.dtypes import is_floating

from ..errors import BadInput, count, listing, quoted, short
from ..reading import read_tensors
from .settings import checked, refuse_other_job

MACHINE = {"device": "cpu", "precision": "float32", "cuda_graph": False, "threads": 1}  # another machine may not have these


def moving_parts(model: Any, optimizer: Any, schedule: Any, scaler: Any) -> dict[str, Any]:
    """All state that a step changes and the next step needs; BadInput if it is none to go on from, and must not be saved."""
    for name, value in model.state_dict().items():
        if is_floating(value.dtype) and not minitorch.isfinite(value).all().item():
            raise BadInput(f"{name} became NaN or infinite: the learning rate is too high here; the last saved state stays")
    return {
        "model": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "scaler": scaler.state_dict(),
        "rng": minitorch.get_rng_state(),
    }


def read_state(path: Path, parts: dict[str, Any], kind: str, settings: Any) -> dict[str, Any]:
    """Load a state and check that it has ``parts`` (name: a value of that kind), the moving parts, settings and sha256."""
    state = read_tensors(path)
    refuse_other_job(path, state, settings)
    moving = {name: {} for name in ("settings", "model", "optimizer", "schedule", "scaler", "rng")}
    wanted = {**moving, "sha256": "", **parts}
    if not isinstance(state, dict) or wanted.keys() - state.keys():
        raise BadInput(f"{path}: not the state of a {kind} run")
    for name, like in wanted.items():
        if isinstance(like, int | float):
            check_like(path, name, state[name], like)
        if not isinstance(state[name], type(like)) or (isinstance(like, int | float) and state[name] < 0):
            raise BadInput(f"{path}: not the state of a {kind} run: its {name} is {quoted(state[name])}")
    saved = checked(path, state["settings"], settings)
    try:
        settings(**{**saved, **{name: value for name, value in MACHINE.items() if name in saved}}).check()
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    return state


def restore(path: Path, state: dict[str, Any], model: Any, optimizer: Any, schedule: Any, scaler: Any) -> None:
    """Put the moving parts of a state back where they came from; BadInput if one does not fit there.

    The rates and all options follow from the settings and the step, so they must be equal; the rest is free.
    """
    like = moving_parts(model, optimizer, schedule, scaler)
    for name in ("model", "schedule", "scaler"):
        check_like(path, name, state[name], like[name])
    groups, saved_groups = like["optimizer"]["param_groups"], state["optimizer"].get("param_groups")
    check_like(path, "optimizer.param_groups", saved_groups, groups)
    for saved, own in zip(saved_groups, groups, strict=True):
        check_equal(path, saved, own, [name for name in own if name != "lr"])
    check_equal(path, state["schedule"], {**like["schedule"], "last_epoch": state["step"]}, ["base_lrs", "last_epoch"])
    fixed = [name for name in like["scaler"] if name not in ("scale", "_growth_tracker")]
    check_equal(path, state["scaler"], like["scaler"], fixed)
    masks = state["rng"].get("masks", [0, 0])
    try:
        if [type(number) for number in masks] != [int, int] or state["scaler"].get("scale", 1) <= 0:
            raise ValueError("its random stream or its loss scale is no such thing")
        for name, part in (("model", model), ("optimizer", optimizer), ("schedule", schedule), ("scaler", scaler)):
            part.load_state_dict(state[name])
        minitorch.set_rng_state(state["rng"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RuntimeError) as error:
        raise BadInput(f"{path}: {short(error, 200)}") from error
    check_moments(path, state["optimizer"]["state"], state["settings"]["clip"])
    due = schedule.get_lr()
    for rates in (schedule.get_last_lr(), [group["lr"] for group in optimizer.param_groups]):
        if not np.allclose(rates, due, rtol=1e-9, atol=0):
            raise BadInput(f"{path}: its learning rates {rates} are not those of step {state['step']}, {due}")


def check_moments(path: Path, memories: dict[int, dict[str, Any]], clip: float) -> None:
    """Adam's means of g and g² lie within [-clip, clip] and [0, clip²], because no gradient's norm exceeds clip."""
    for i, memory in memories.items():
        for name, least, most in (("exp_avg", -clip, clip), ("exp_avg_sq", 0, clip**2)):
            values = memory[name].array if name in memory else np.zeros(1)
            if values.size and not 1.01 * least <= values.min() <= values.max() <= 1.01 * most:
                bounds = f"from {values.min():g} to {values.max():g}"
                raise BadInput(f"{path}: {name} of parameter {i} has values {bounds}, though gradients are clipped to {clip}")


def check_equal(path: Path, saved: dict[str, Any], own: dict[str, Any], names: Sequence[str]) -> None:
    """BadInput if one of these has changed since the run wrote it."""
    for name in names:
        if saved[name] != own[name]:
            raise BadInput(f"{path}: {name} is {quoted(saved[name])}, the run's settings make it {quoted(own[name])}")


def check_lines(path: Path, state: dict[str, Any], name: str, like: Any) -> None:
    """BadInput unless each item of the list in ``state`` is of the kind of ``like``."""
    for i, line in enumerate(state[name]):
        check_like(path, f"{name}.{i}", line, like)


def check_like(path: Path, name: str, saved: Any, like: Any) -> None:
    """BadInput unless ``saved`` is of the kind of ``like``: the same keys, as many items, finite numbers, tensors as large."""
    kind, there = type(like).__name__, type(saved).__name__
    if isinstance(like, float):
        fits, kind = there in ("int", "float") and abs(saved) < 2**1000, "finite number"
    elif isinstance(like, dict):
        fits, kind = isinstance(saved, dict) and saved.keys() == like.keys(), f"dict of {listing(map(str, like), 4)}"
    elif isinstance(like, list | tuple):
        fits, kind = there == kind and len(saved) == len(like), f"{kind} of {count(len(like), 'item')}"
    elif isinstance(like, Tensor):
        fits = isinstance(saved, Tensor) and (saved.shape, saved.dtype) == (like.shape, like.dtype)
        kind = f"tensor of {like.dtype} {tuple(like.shape)}"
        there = f"tensor of {saved.dtype} {tuple(saved.shape)}" if isinstance(saved, Tensor) else there
    else:
        fits = there == kind and not (kind == "int" and abs(saved) >= 2**63)
    if not fits:
        shown = quoted(saved) if isinstance(saved, int | float | str) else f"a {there}"
        raise BadInput(f"{path}: {short(name)} is {shown}, where this run has a {kind}")
    if isinstance(like, dict | list | tuple):
        for key in like if isinstance(like, dict) else range(len(like)):
            check_like(path, f"{name}.{key}", saved[key], like[key])
