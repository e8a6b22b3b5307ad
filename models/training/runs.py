"""A run's folder and its protection: one run at a time, no overwriting.

Read before: settings.py. Read next: states.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

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
