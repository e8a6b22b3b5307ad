"""Adam and AdamW: every coordinate has its own step size. The arithmetic on arrays is in kernels/updates.py.

Read before: sgd.py. Read next: lr_scheduler.py.
"""

from __future__ import annotations

from typing import Any

from ..devices import Array
from ..kernels import kernel, updates
from .optimizer import Group, Optimizer, Params, buffer

adam = kernel(updates.adam)


@kernel(parts=(adam,))
def adam_all(
    ps: list[Array], gs: list[Array], ms: list[Array], vs: list[Array], largest: list[Array] | None,
    ts: list[int] | None, lr: float, betas: Any, eps: float, shrink: float,
) -> None:  # fmt: skip
    """adam for many parameters; first p ← shrink · p, the decay that AdamW keeps out of the gradient."""
    for i, p in enumerate(ps):
        if shrink != 1:
            p *= shrink
        t, most = None if ts is None else ts[i], None if largest is None else largest[i]
        adam(p, gs[i], ms[i], vs[i], most, t, lr, betas, eps)


class Adam(Optimizer):
    """Adam: the mean of the gradient over the root of the mean of its square.

        m ← β₁m + (1 - β₁)g            m̂ = m / (1 - β₁ᵗ)        running means of g and g². They start at 0, which is
        v ← β₂v + (1 - β₂)g²           v̂ = v / (1 - β₂ᵗ)        too small; the division corrects that
        p ← p - lr · m̂ / (√v̂ + ε)

    weight_decay λ adds λp to g (``decoupled_weight_decay``: see AdamW). amsgrad: v̂ uses the largest v so far (Reddi et al.,
    "On the Convergence of Adam and Beyond", 2018). maximize: ascend instead of descend.
    Source: Kingma and Ba, "Adam: a Method for Stochastic Optimization", 2015, algorithm 1, in the order of arithmetic that
    section 2 recommends: the corrections apply to lr and ε, which are numbers, not to m and v, which are arrays.
    """

    correct_bias = True
    memory = ("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        for name, value in (("learning rate", lr), ("epsilon value", eps), ("weight_decay value", weight_decay)):
            if not value >= 0:
                raise ValueError(f"Invalid {name}: {value}; it must not be negative")
        for i, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}; it must lie in [0, 1)")
        self.decoupled_weight_decay = decoupled_weight_decay
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def update_all(self, ps: list[Array], gs: list[Array], states: list[dict[str, Any]], group: Group) -> None:
        """The equations above, for all parameters of a group in one call: on a GPU one launch, on a CPU all its cores."""
        if not ps:
            return
        lr, decay = float(group["lr"]), group["weight_decay"]
        if group["maximize"]:
            gs = [-g for g in gs]
        if decay and not self.decoupled_weight_decay:
            gs = [g + decay * p for p, g in zip(ps, gs, strict=True)]
        for state in states:
            state["step"] = state.get("step", 0) + 1
        ms, vs, *others = (
            [buffer(state, name, p) for p, state in zip(ps, states, strict=True)]
            for name in ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))
        )
        ts = [state["step"] for state in states] if self.correct_bias else None
        shrink = 1 - lr * decay if self.decoupled_weight_decay else 1.0
        adam_all(ps, gs, ms, vs, others[0] if others else None, ts, lr, group["betas"], group["eps"], shrink)


class AdamW(Adam):
    """Adam with the weight decay taken out of the gradient: p ← p - lr·λ·p, separate from Adam's step, which would rescale it.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2, with lr for its η.
    ``correct_bias=False`` leaves m and v uncorrected. With eps=1e-6 that is AdamWeightDecay of Google's BERT (optimization.py);
    its first steps are up to (1 - β₁)/√(1 - β₂) = 3 times too large, so keep True for fine-tuning.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        correct_bias: bool = True,
    ) -> None:
        self.correct_bias = correct_bias
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
