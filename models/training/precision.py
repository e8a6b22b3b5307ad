"""--precision: in which kind of floating-point numbers a run computes.

float32   what the engine does by itself
tf32      float32 whose products a card's tensor cores make from factors of 10 bits; sums stay float32
bf16      products in bfloat16, all that is delicate in float32: the weights, their gradients and Adam's state are float32
fp16      the same in float16, whose small range needs the loss to be scaled

Read before: minitorch/amp. Read next: loop.py.
"""

from __future__ import annotations

from typing import Any

import minitorch
from minitorch import nn

from ..errors import BadInput

HELP = "float32, tf32 (cards only), bf16 or fp16; on a cpu the last two are imitated: they save no time there"


def check_precision(name: str, device: str) -> None:
    """Refuse what does not exist, or not there."""
    if name not in ("float32", "tf32", "bf16", "fp16"):
        raise BadInput(f"--precision must be float32, tf32, bf16 or fp16, not {name!r}")
    if name == "tf32" and device == "cpu":
        raise BadInput("--precision tf32 is a mode of NVIDIA's tensor cores; on a cpu use float32, or bf16 to imitate a card")
    if name == "bf16":
        try:
            _ = minitorch.bfloat16
        except RuntimeError as error:
            raise BadInput(f"--precision bf16: {error}") from error


class Precision:
    """The block in which a run's forward passes are made, and the way from its loss to the step."""

    def __init__(self, name: str, device: str) -> None:
        self.device_type = device.partition(":")[0]
        self.half = {"bf16": "bfloat16", "fp16": "float16"}.get(name)
        self.scaler = minitorch.amp.GradScaler(device, enabled=name == "fp16")
        if name == "tf32":
            minitorch.set_float32_matmul_precision("high")

    def block(self) -> Any:
        """The ``with`` block of a forward pass."""
        dtype = None if self.half is None else getattr(minitorch, self.half)
        return minitorch.autocast(self.device_type, dtype=dtype, enabled=dtype is not None)

    def update(self, optimizer: Any, parameters: list[Any], clip: float) -> None:
        """Gradients of the scaled loss -> clipped gradients -> a step, unless they are infinite."""
        self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parameters, clip)
        self.scaler.step(optimizer)
        self.scaler.update()
