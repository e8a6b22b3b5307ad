"""autocast: a block in which matrix products run in half precision.

ops/_autocast.py lists the operations and what happens to each. Weights and their gradients stay in float32: the cast is an
operation of the graph like any other.
Read before: ops/_autocast.py. Read next: grad_scaler.py.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..grad_mode import mode


def get_autocast_dtype(device_type: str) -> dtypes.DType:
    """The half precision of the innermost block on "cpu" or "cuda"; outside of a block, the default of one."""
    return (mode.autocast or {}).get(device_type) or _default(device_type)


def is_autocast_enabled(device_type: str) -> bool:
    """Is this thread in an autocast block for "cpu" or "cuda"?"""
    return device_type in (mode.autocast or {})


def _default(device_type: str) -> dtypes.DType:
    if device_type not in ("cpu", "cuda"):
        raise RuntimeError(f'autocast: device_type must be "cpu" or "cuda", not {device_type!r}')
    return dtypes.float16 if device_type == "cuda" else np.dtype(dtypes.bfloat16)


class autocast(contextlib.ContextDecorator):
    """A ``with`` block or decorator in which products on the device run in ``dtype`` (PyTorch's torch.autocast).

    device_type: "cuda" or "cpu".  dtype: float16 or bfloat16; by default float16 on "cuda" and bfloat16 on "cpu".
    enabled: False switches autocast off, even inside a block that has it on.  cache_enabled: cast each weight only once.
    On a CPU it saves no time: NumPy has no half precision products, so they are computed in float32 and rounded. It shows,
    without a GPU, how a model behaves in half precision.
    """

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"autocast: device_type must be a string, got {type(device_type).__name__}")
        self.device_type, self.dtype, self.enabled, self.cache_enabled = device_type, dtype, enabled, cache_enabled
        kind = _default(device_type) if dtype is None and enabled else np.dtype(dtype or dtypes.float16)
        if enabled and device_type == "cuda" and not devices.cuda_is_available():
            warnings.warn('autocast("cuda"): there is no working GPU, so nothing is cast', UserWarning, stacklevel=2)
            self.enabled = False
        elif enabled and not (dtypes.is_floating(kind) and kind.itemsize == 2):
            warnings.warn(f"autocast: dtype must be float16 or bfloat16, not {kind}; nothing is cast", UserWarning, stacklevel=2)
            self.enabled = False
        self.kind = kind
        self.before: list[Any] = []  # a stack, so that one object may be entered twice

    def _recreate_cm(self) -> autocast:  # a decorated function may run in several threads: each call has its own
        return autocast(self.device_type, self.dtype, self.enabled, self.cache_enabled)

    def __enter__(self) -> autocast:
        self.before.append((mode.autocast, mode.casts))
        others = {device: dtype for device, dtype in (mode.autocast or {}).items() if device != self.device_type}
        mode.autocast = {**others, self.device_type: self.kind} if self.enabled else others or None
        if len(self.before) == 1 and self.cache_enabled is False:
            mode.casts = _Forgetful()
        elif not self.before[-1][0]:
            mode.casts = {}
        return self

    def __exit__(self, *exception: object) -> None:
        mode.autocast, mode.casts = self.before.pop()


class _Forgetful(dict[Any, Any]):
    """A cache that keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass
