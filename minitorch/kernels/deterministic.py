"""Whether kernels must give the same digits in every run.

On the CPU they always do. On a GPU the gradient of an embedding adds rows in the order in which threads finish, unless the
switch is on. Gradients of indexing (x[index]) do so always: they have no deterministic kernel yet.
Read before: nothing. Read next: cuda/embedding.py.
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
