"""The methods by the names of ``minitorch finetune --adversarial``, with the settings of their papers and code.

Read before: the methods' own files. Read next: models/finetuning/run.py.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from minitorch import Tensor, nn

from ..errors import BadInput, no_such_method
from .base import Attempt, Game, Words
from .fgm import fgm
from .freelb import freelb
from .pgd import pgd
from .smart import Mean, smart


class Method(NamedTuple):
    """A method, and what its paper or its code sets."""

    run: Any
    radius: float  # ε
    steps: int  # K
    rate: float  # the length of a step
    unit: str = "1"  # of both


UNITS = ("1", "deviation")
METHODS = {
    "fgm": Method(fgm, 5.0, 1, 1.0, "deviation"),  # Miyato et al.'s ε, and their embeddings have a variance of 1
    "pgd": Method(pgd, 5.0, 3, 1.5, "deviation"),
    "freelb": Method(freelb, 1.0, 3, 0.1),
    "smart": Method(smart, 0.02, 1, 0.02),  # the paper's 1e-5 and 1e-3 are too small to see (smart.py)
}
OPTIONS = ("radius", "steps", "rate", "unit")


def check(s: Any) -> None:
    """Fill in --adversarial-radius, -steps, -rate and -unit of settings ``s``; BadInput for those that cannot work."""
    given = [name for name in OPTIONS if getattr(s, f"adversarial_{name}") is not None]
    if not s.adversarial:
        if given:
            raise BadInput(f"--adversarial-{given[0]} is a setting of --adversarial METHOD, which is not given")
        return
    if s.adversarial not in METHODS:
        raise BadInput(no_such_method("--adversarial", s.adversarial, METHODS))
    if s.precision == "fp16":
        raise BadInput("--adversarial follows the loss's gradient, which overflows when fp16 scales it: take --precision bf16")
    for name in OPTIONS:
        if name not in given:
            setattr(s, f"adversarial_{name}", getattr(METHODS[s.adversarial], name))
    if s.adversarial_unit not in UNITS:
        raise BadInput(f"--adversarial-unit must be one of {', '.join(UNITS)}, not {s.adversarial_unit!r}")
    if not 0 <= s.adversarial_radius < 1e6:
        raise BadInput(f"--adversarial-radius is a length, 0 (no attack) or more, not {s.adversarial_radius}")
    if s.adversarial_steps < 1:
        raise BadInput(f"--adversarial-steps must be at least 1, not {s.adversarial_steps}; no attack: --adversarial-radius 0")
    if not 0 < s.adversarial_rate < 1e6:
        raise BadInput(f"--adversarial-rate, the length of a step, must be above 0, not {s.adversarial_rate}")
    if s.adversarial == "fgm" and (s.adversarial_steps, s.adversarial_rate) != (1, 1.0):
        raise BadInput(
            "--adversarial fgm is one step as long as the radius; --adversarial pgd takes several, each of a --adversarial-rate"
        )


class Adversary:
    """What the trainer asks for loss and gradients of a micro-batch."""

    def __init__(self, s: Any, model: nn.Module, special: Sequence[int], mean: Mean) -> None:
        method = METHODS[s.adversarial]
        settings = {"radius": s.adversarial_radius, "steps": s.adversarial_steps, "rate": s.adversarial_rate}
        self.run = functools.partial(method.run, **settings, **({"mean": mean} if s.adversarial == "smart" else {}))
        self.words = Words(model, special, s.adversarial_unit)

    def __call__(self, attempt: Attempt, share: float, parameters: Sequence[Tensor]) -> tuple[Tensor, list[Any]]:
        """The loss, and the gradients, both times ``share``."""
        loss, gradients = self.run(Game(self.words, attempt), parameters, share)
        return loss * share, gradients
