"""Parameter: a tensor that a module learns.

Read before: tensor.py. Read next: module.py, which recognises parameters by this class.
"""

from __future__ import annotations

from typing import Any

from ..creation import empty
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that belongs to a module: assigned as an attribute, it appears in ``module.parameters()``.

    It shares the memory of ``data`` but not its graph.
    """

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        data = empty(0) if data is None else data
        if isinstance(data, list | tuple | bool | int | float):
            raise TypeError(f"Parameter: expected a Tensor, got {type(data).__name__}; write Parameter(minitorch.tensor(data))")
        super().__init__(data.array if isinstance(data, Tensor) else data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
