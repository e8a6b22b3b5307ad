"""GradScaler: it scales the loss, and so the gradients, up into float16's range, and down again before the step.

Read before: autocast.py, optim/optimizer.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import devices, dtypes
from ..changes import mark_changed
from ..devices import Array, array_module
from ..kernels.lists import scale_all
from ..optim import Optimizer
from ..tensor import Tensor

READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"


class GradScaler:
    """Multiplies the loss by a factor, so that float16 gradients do not vanish; the factor grows until they overflow.

    If a gradient holds an infinity or NaN, the step is skipped and the factor multiplied by ``backoff_factor``; after
    ``growth_interval`` good steps it is multiplied by ``growth_factor``. Scale, count and findings stay on the device;
    only ``step`` reads one number, because it must know whether to skip. With enabled=False it does nothing.
    Micikevicius et al. (2018), https://arxiv.org/abs/1710.03740, section 3.2.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and devices.canonical(device) != "cpu" and not devices.cuda_is_available():
            warnings.warn('GradScaler("cuda"): there is no working GPU, so nothing is scaled', UserWarning, stacklevel=2)
            enabled = False
        if enabled and growth_factor <= 1:
            raise AssertionError(f"The growth factor must be > 1.0, got {growth_factor}")
        if enabled and backoff_factor >= 1:
            raise AssertionError(f"The backoff factor must be < 1.0, got {backoff_factor}")
        self._enabled = enabled
        self._init_scale, self._init_growth_tracker = init_scale, 0
        self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
        self._scale: Array | None = None  # both are made on the first loss's device
        self._growth_tracker: Array | None = None
        self._optimizers: dict[int, dict[str, Any]] = {}  # what happened to each since the last update()

    # ----------------------------------------------------------------------------------------------- the four calls

    def scale(self, outputs: Any) -> Any:
        """The loss (or several, in lists and tuples) times the factor."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._start(outputs.array)
            return outputs * Tensor(devices.move(self._scale, outputs.device))
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled
        raise ValueError(f"scale: outputs must be a Tensor or an iterable of Tensors, got {type(outputs).__name__}")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the factor now, for example to clip them; otherwise ``step`` does it."""
        if not self._enabled:
            return
        self._check_started("unscale_")
        state = self._state(optimizer)
        if state["stage"] == UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] == STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        state["found_inf"] = self._unscale_gradients(optimizer)
        state["stage"] = UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """The optimiser's step with unscaled gradients, unless one of them is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or args:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_started("step")
        state = self._state(optimizer)
        if state["stage"] == STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] == READY:
            self.unscale_(optimizer)
        if state["found_inf"] is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        state["stage"] = STEPPED
        if bool(state["found_inf"]):  # the only number the host waits for
            optimizer._opt_called = True  # a schedule may go on
            return None
        return optimizer.step()

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """The next factor: smaller after an overflow, larger after growth_interval steps without one, or ``new_scale``."""
        if not self._enabled:
            return
        scale, tracker = self._check_started("update")
        xp = array_module(scale)
        if new_scale is not None:
            value = new_scale.array if isinstance(new_scale, Tensor) else new_scale
            scale[...] = value
        else:
            found = [state["found_inf"] for state in self._optimizers.values() if state["found_inf"] is not None]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            bad = xp.stack([devices.move(x, devices.device_of(scale)) for x in found]).any()
            count = tracker + 1
            grown = scale * np.float32(self._growth_factor)
            due = count == self._growth_interval
            larger = xp.where(xp.logical_and(due, xp.isfinite(grown)), grown, scale)
            scale[...] = xp.where(bad, scale * np.float32(self._backoff_factor), larger)
            tracker[...] = xp.where(xp.logical_or(bad, due), 0, count)
        self._optimizers = {}

    # ---------------------------------------------------------------------------------------------------- the parts

    def start(self, like: Tensor) -> None:
        """Put the factor on this tensor's device, as the first scaled loss does; for a step of which this process has no part."""
        if self._enabled and self._scale is None:
            self._start(like.array)

    def _start(self, like: Array) -> None:
        xp = array_module(like)
        self._scale = xp.full((), self._init_scale, dtype=dtypes.float32)
        self._growth_tracker = xp.full((), self._init_growth_tracker, dtype=dtypes.int32)

    def _state(self, optimizer: Optimizer) -> dict[str, Any]:
        return self._optimizers.setdefault(id(optimizer), {"stage": READY, "found_inf": None})

    def _check_started(self, name: str) -> tuple[Array, Array]:
        if self._scale is None or self._growth_tracker is None:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  "
                "This may indicate your script did not use scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale, self._growth_tracker

    def _unscale_gradients(self, optimizer: Optimizer) -> Array | None:
        """Does any gradient hold an infinity or NaN? A 0-d array on the device; None if there is no gradient."""
        scale, _ = self._check_started("unscale_")
        home = devices.device_of(scale)
        alike: dict[Any, list[Array]] = {}
        for p in optimizer.parameters():
            if p.grad is not None:
                alike.setdefault((devices.device_of(p.grad.array), p.grad.dtype), []).append(p.grad.array)
        if any(dtype == dtypes.float16 for _, dtype in alike):
            raise ValueError("Attempting to unscale FP16 gradients.")
        fine = []
        for (device, _), gs in alike.items():
            inverse = devices.move(1 / scale.astype(dtypes.float64), device).astype(dtypes.float32)
            with np.errstate(all="ignore"):
                fine += [devices.move(array_module(g).isfinite(g).all(), home) for g in gs]
                scale_all(gs, inverse)
            for g in gs:
                mark_changed(g)
        return array_module(scale).logical_not(array_module(scale).stack(fine).all()) if fine else None

    # ----------------------------------------------------------------------------------------- looking and keeping

    def get_scale(self) -> float:
        """The factor, as a number (which waits for the device); 1.0 if not enabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale)

    def get_growth_factor(self) -> float:
        """The multiplier after growth_interval good steps."""
        return self._growth_factor

    def get_backoff_factor(self) -> float:
        """The multiplier after an overflow."""
        return self._backoff_factor

    def get_growth_interval(self) -> int:
        """The number of good steps before the factor grows."""
        return self._growth_interval

    def is_enabled(self) -> bool:
        """Does it do anything?"""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on, as plain numbers; empty if not enabled."""
        if not self._enabled:
            return {}
        tracker = self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker)
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state_dict()."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        for name, value in state_dict.items():
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ValueError(f"load_state_dict: {name} is {value!r} in the state; it must be a number that is not negative")
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None:
            self._start(self._scale)
