"""A run's folder: its protection (one run at a time, no overwriting), and the state from which a run resumes.

Read before: settings.py. Read next: loop.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import minitorch

from ..errors import BadInput

STATE = "training.safetensors"  # in the folder of a run that can be resumed


def refuse_overwriting(
    folder: str | Path, names: Iterable[str], overwrite: bool, cure: str = "use --resume, --overwrite or another --output"
) -> None:
    """Raise BadInput if the folder holds one of these files and the user did not ask to overwrite."""
    if not overwrite and any((Path(folder) / name).exists() for name in names):
        raise BadInput(f"{folder} holds a run already: {cure}")


def new_run(
    make: Callable[[], Any], folder: str | Path, kept: Sequence[str], overwrite: bool, until: contextlib.ExitStack, **cure: str
) -> Any:
    """The run that ``make`` prepares. It locks its folder until the stack ends, and overwrites none of the files kept."""
    refuse_overwriting(folder, kept, overwrite, **cure)
    run = make()
    until.enter_context(alone_in(Path(folder)))
    refuse_overwriting(folder, kept, overwrite, **cure)  # another run may have finished meanwhile
    (Path(folder) / STATE).unlink(missing_ok=True)  # the overwritten run's state, so that --resume never finds it
    return run


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one process at a time. The system frees the lock when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BadInput(f"{folder}: another run is writing there now; wait for it, or give another --output") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(handle)


# ------------------------------------------------------------------------------------------------------- the state


def moving_parts(model: Any, optimizer: Any, schedule: Any, scaler: Any) -> dict[str, Any]:
    """All state that a step changes and the next step needs."""
    return {
        "model": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "scaler": scaler.state_dict(),
        "rng": minitorch.get_rng_state(),
    }


def restore(state: dict[str, Any], model: Any, optimizer: Any, schedule: Any, scaler: Any) -> None:
    """Put the moving parts of a state back where they came from."""
    for name, part in (("model", model), ("optimizer", optimizer), ("schedule", schedule), ("scaler", scaler)):
        part.load_state_dict(state[name])
    minitorch.set_rng_state(state["rng"])


def read_state(path: Path, names: Iterable[str], kind: str) -> dict[str, Any]:
    """Load a state and check its keys: ``names``, the moving parts, settings and the data's sha256."""
    state = minitorch.load(path)
    wanted = {*names, "settings", "sha256", "model", "optimizer", "schedule", "scaler", "rng"}
    if not isinstance(state, dict) or wanted - state.keys():
        raise BadInput(f"{path}: not the state of a {kind} run")
    return state
