"""Automatic mixed precision: products in half precision, sensitive operations in float32.  Read autocast.py, then grad_scaler.py.

    scaler = minitorch.amp.GradScaler("cuda")           # for float16; bfloat16 has float32's range and needs none
    with minitorch.autocast("cuda", dtype=minitorch.float16):
        loss = model(**batch).loss
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()

Micikevicius et al. (2018), "Mixed precision training", https://arxiv.org/abs/1710.03740.
"""

from .autocast import autocast, get_autocast_dtype, is_autocast_enabled
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"]
