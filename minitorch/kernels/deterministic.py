"""Whether kernels must give the same digits in every run.

On a processor they always do. On a GPU the gradient of an embedding adds rows in whichever order its threads come, unless the
switch is on; so do gradients of indexing (x[index]), which have no other way yet.
"""

from __future__ import annotations

enabled = False


def use_deterministic_algorithms(mode: bool) -> None:
    """Choose kernels whose results never depend on the order of a GPU's threads, even where others are faster."""
    global enabled
    enabled = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """Is the switch on?"""
    return enabled
