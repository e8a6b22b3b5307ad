"""A layer and the function after it, in one operation where there is one. Read before: layers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from . import functional as F
from .layers import Linear
from .module import Module


def activated(layer: Module, activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """activation(layer(x)).  GELU (or its functools.partial) after a plain Linear is one operation, which keeps less."""
    is_gelu = getattr(activation, "func", activation) is F.gelu
    if is_gelu and type(layer) is Linear and not layer._forward_hooks and not layer._forward_pre_hooks:
        options: dict[str, Any] = getattr(activation, "keywords", {})
        return F.linear_gelu(x, layer.weight, layer.bias, **options)  # type: ignore[no-any-return]
    return activation(layer(x))
