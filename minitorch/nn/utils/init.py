"""skip_init: a module whose weights are not drawn, because others are about to take their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..init import skipped


def skip_init(module_cls: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``module_cls(*args, **kwargs)`` without random numbers: its weights are whatever the memory holds, and memory that nobody
    writes to costs nothing."""
    with skipped():
        return module_cls(*args, **kwargs)
