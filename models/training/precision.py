"""--precision: the floating-point format in which a run computes.

float32   the engine's default
tf32      float32, but a GPU's tensor cores round the factors of products to 10 bits; sums stay float32
bf16      products in bfloat16; sensitive sums, weights, gradients and Adam's state stay in float32
fp16      the same with float16; its range is small, so the loss is scaled

Read before: minitorch/amp. Read next: loop.py.
"""

from __future__ import annotations

from typing import Any

import minitorch
from minitorch import nn

from ..errors import BadInput

HELP = "float32, tf32 (GPU only), bf16 or fp16; the CPU only imitates the last two and is no faster with them"


def check_precision(name: str, device: str) -> None:
    """Raise BadInput for a precision that does not exist, or not on this device."""
    if name not in ("float32", "tf32", "bf16", "fp16"):
        raise BadInput(f"--precision must be float32, tf32, bf16 or fp16, not {name!r}")
    if name == "tf32" and device == "cpu":
        raise BadInput("--precision tf32 is a mode of NVIDIA's tensor cores; on the CPU use float32, or bf16 to imitate a GPU")
    if name == "bf16":
        try:
            _ = minitorch.bfloat16
        except RuntimeError as error:
            raise BadInput(f"--precision bf16: {error}") from error


class Precision:
    """Autocast for a run's forward passes, and loss scaling for its steps."""

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
        self.scaler.start(parameters[0])  # a rank without an example in this step has scaled no loss
        self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parameters, clip)
        self.scaler.step(optimizer)
        self.scaler.update()
