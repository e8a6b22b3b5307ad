"""Hooks: functions that a user registers, on tensors (graph.py) and modules (nn/module.py).  Read before: graph.py."""

from __future__ import annotations

import itertools
from typing import Any

_keys = itertools.count()


class Handle:
    """Returned when a hook is registered: ``handle.remove()`` removes the hook."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks, self.key = hooks, next(_keys)
        hooks[self.key] = hook

    def remove(self) -> None:
        """Unregister the hook."""
        self.hooks.pop(self.key, None)
