"""What the models' files share: activations by name, keys and values, and a call's results by name.

Read next: bert/model.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import minitorch
import minitorch.nn.functional as F
from minitorch import Tensor

from ..errors import short

KeysAndValues = tuple[Tensor, Tensor]
GELU_TANH = functools.partial(F.gelu, approximate="tanh")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": GELU_TANH,
    "gelu_pytorch_tanh": GELU_TANH,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": minitorch.tanh,
}


def activation(name: str, field: str = "hidden_act") -> Callable[[Tensor], Tensor]:
    """The function that a configuration's ``field`` names."""
    if name not in ACTIVATIONS:
        raise ValueError(f'{field} "{short(name)}" is unknown; there are {", ".join(ACTIVATIONS)}')
    return ACTIVATIONS[name]


class Output(Mapping[str, Any]):
    """A model's results, by name (out.loss, out["loss"]) or position (out[0]); those not asked for are None, without a position.

    A value given as a function is computed at first use, so training never pays for logits that it does not read.
    mlm_loss, nsp_loss and masked_logits are the parts of a pretraining loss; they have no position.
    """

    mlm_loss: Tensor | None = None
    nsp_loss: Tensor | None = None
    masked_logits: Tensor | None = None

    def __init__(self, **values: Any) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        self._absent = values.keys() - self._values.keys()

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        value = self._values[key]
        if callable(value):
            value = self._values[key] = value()
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values.keys() | self._absent:
            raise AttributeError(f"this output has no {name!r}" + ("" if name[:1] == "_" else f", it has {', '.join(self)}"))
        return self[name] if name in self._values else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Output({', '.join(self)})"

    def set_loss(self, loss: Tensor) -> None:
        """Put another loss in the place of this one."""
        self._values["loss"] = loss

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are there, in order."""
        return tuple(self[name] for name in self)
