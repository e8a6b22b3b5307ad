"""Stochastic gradient descent, with momentum.  Read before: optimizer.py. Read next: adam.py."""

from __future__ import annotations

from typing import Any

from ..devices import Array
from ..tensor import Tensor
from .optimizer import Group, Optimizer, Params, buffer


class SGD(Optimizer):
    """Stochastic gradient descent, with a memory of earlier steps.

        g ← g + λp                          weight_decay λ: the gradient of the penalty ½λ‖p‖²
        b ← μb + (1 - τ)g                   momentum μ, dampening τ; at the first step b = g
        p ← p - lr · b                      nesterov: p ← p - lr · (g + μb), a look ahead

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, in PyTorch's form
    (lr multiplies the velocity instead of entering it). maximize: ascend instead of descend.
    """

    memory = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        for name, value in (("learning rate", lr), ("momentum value", momentum), ("weight_decay value", weight_decay)):
            if not value >= 0:
                raise ValueError(f"Invalid {name}: {value}; it must not be negative")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """The equations above, for one parameter."""
        lr, mu = float(group["lr"]), group["momentum"]
        if group["maximize"]:
            g = -g
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if mu:
            g = self._with_momentum(p, g, mu, state, group)
        p -= lr * g

    def _with_momentum(self, p: Array, g: Array, mu: float, state: dict[str, Any], group: Group) -> Array:
        if state.get("momentum_buffer") is None:
            b = state["momentum_buffer"] = Tensor(g.astype(p.dtype, copy=True))
            b = b.array
        else:
            b = buffer(state, "momentum_buffer", p)
            b *= mu
            b += (1 - group["dampening"]) * g
        return g + mu * b if group["nesterov"] else b
