"""Learning rate schedules: lr as a function of the number t of steps taken.  Read before: optimizer.py.

    for batch in loader:
        ...; optimizer.step(); scheduler.step()

A schedule writes ``group["lr"]`` of each parameter group; t counts the calls of scheduler.step(). Only ReduceLROnPlateau
looks at the progress of training: scheduler.step(validation_loss) after each epoch. The classes are PyTorch's;
get_*_schedule_with_warmup, usual for Transformers, have Hugging Face's names.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from .optimizer import Optimizer


class LRScheduler:
    """Base of all schedules: a subclass defines get_lr(), the rates of all groups at step ``last_epoch`` (t).

    last_epoch: -1 starts at t = 0; t - 1 resumes at t, if the groups hold the "initial_lr" that an earlier schedule set.
    Creating a schedule sets the rates for t = 0 at once, so load the optimiser's state after that.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = _checked(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}]: to resume with last_epoch={last_epoch}, "
                    "load the optimiser's state first; a fresh run leaves last_epoch at -1"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        """The rates at step ``last_epoch``, computed from ``base_lrs`` or from the rates of the step before."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr()")

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set."""
        return self._last_lr

    def step(self) -> None:
        """Advance by one step; call it after optimizer.step()."""
        if self._step_count == 1 and type(self.optimizer).step is Optimizer.step and not self.optimizer._opt_called:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(), so the first rate of the schedule is skipped; "
                "call optimizer.step() first",
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The schedule's position, as plain numbers; functions are not saved. The rates are in the optimiser's state_dict."""
        return {name: value for name, value in self.__dict__.items() if name not in ("optimizer", "lr_lambdas")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume at a position that state_dict() returned; load the optimiser's state too."""
        if not isinstance(state_dict["base_lrs"], list) or not isinstance(state_dict["last_epoch"], int | float):
            raise TypeError("load_state_dict: base_lrs must be a list and last_epoch a number, as in a schedule's state_dict()")
        groups, saved = len(self.optimizer.param_groups), len(state_dict["base_lrs"])
        if groups != saved:
            raise ValueError(f"load_state_dict: the schedule was saved for {saved} parameter groups, this optimiser has {groups}")
        self.__dict__.update({name: value for name, value in state_dict.items() if name not in ("optimizer", "lr_lambdas")})


def _checked(optimizer: Optimizer) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"a schedule needs an Optimizer, got {type(optimizer).__name__}")
    return optimizer


class LambdaLR(LRScheduler):
    """lr = initial_lr · f(t) for any function f, or one function per parameter group."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]], last_epoch: int = -1
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas: list[Any] = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, one per parameter group, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """initial_lr · f(t)"""
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]


# The next three multiply the current rate, as PyTorch's do: the effects of two schedules on one optimiser multiply.


class StepLR(LRScheduler):
    """lr = initial_lr · gamma^⌊t / step_size⌋: a staircase."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Down by gamma at every multiple of step_size."""
        down = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if down else lr for lr in self._rates()]


class LinearLR(LRScheduler):
    """lr = initial_lr · f(t), where f goes in a straight line from start_factor to end_factor in total_iters steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"Starting multiplicative factor expected to be in (0, 1], got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"Ending multiplicative factor expected to be in [0, 1], got {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rate of the step before, times f(t) / f(t - 1)."""
        t, rise = self.last_epoch, self.end_factor - self.start_factor
        if t == 0:
            return [lr * self.start_factor for lr in self._rates()]
        if t > self.total_iters or self._step_count == 1:
            return self._rates()
        return [lr * (1 + rise / (self.total_iters * self.start_factor + (t - 1) * rise)) for lr in self._rates()]


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + ½(initial_lr - eta_min)(1 + cos(π t / T_max)): from initial_lr to eta_min and back, in 2·T_max steps.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The height over eta_min of the step before, times (1 + cos(π t / T)) / (1 + cos(π (t - 1) / T))."""
        t, T, low = self.last_epoch, self.T_max, self.eta_min
        if self._step_count == 1:  # t = 0, or resumed: the groups hold this step's rates
            return self._rates()
        if (t - 1 - T) % (2 * T) == 0:  # the previous step was at eta_min, where the ratio is 0/0
            rise = (1 - math.cos(math.pi / T)) / 2
            return [lr + (base - low) * rise for base, lr in zip(self.base_lrs, self._rates(), strict=True)]
        ratio = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return [low + (lr - low) * ratio for lr in self._rates()]


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, then down to 1 / final_div_factor of where it began, in total_steps steps.

    Call step() after every batch. total_steps, or epochs times steps_per_epoch.  pct_start: the part of them that goes up.
    three_phase: down to the beginning in as many steps as up, and only then further.  anneal_strategy: along "cos" or "linear".
    cycle_momentum: momentum (Adam's β₁) goes the other way, from max_momentum to base_momentum and back.
    max_lr and the momenta are a number, or a list with one per parameter group.
    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2019.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f'anneal_strategy must be "cos" or "linear", got {anneal_strategy!r}')
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        up, end = pct_start * self.total_steps - 1, self.total_steps - 1
        # Each phase: from which step to which, and between which of a group's values lr and momentum go.
        self._phases: list[tuple[Any, ...]] = [(0, up, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
        if three_phase:
            down = 2 * up
            self._phases.append((up, down, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
            self._phases.append((down, end, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
        else:
            self._phases.append((up, end, "max_lr", "min_lr", "base_momentum", "max_momentum"))
        if last_epoch == -1:
            tops = _one_per_group("max_lr", _checked(optimizer), max_lr)
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                group.update(initial_lr=top / div_factor, max_lr=top, min_lr=top / div_factor / final_div_factor)
            if cycle_momentum:
                _prepare_momentum(optimizer, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at step t; sets the momentum, too."""
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: this is step {t}, but the cycle has {self.total_steps}; make total_steps larger")
        phase = next((phase for phase in self._phases if t <= phase[1]), self._phases[-1])
        first, last, lr, next_lr, momentum, next_momentum = phase
        done = (t - first) / (last - first) if last != first else 1.0
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            value = self._between(group[momentum], group[next_momentum], done)
            group.update({"betas": (value, *group["betas"][1:])} if "betas" in group else {"momentum": value})
        return [self._between(group[lr], group[next_lr], done) for group in self.optimizer.param_groups]

    def _between(self, start: float, end: float, done: float) -> float:
        """From start (done = 0) to end (done = 1)."""
        if self.anneal_strategy == "linear":
            return start + (end - start) * done
        return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


def _prepare_momentum(optimizer: Optimizer, base: Any, top: Any) -> None:
    if not {"momentum", "betas"} & set(optimizer.defaults):
        raise ValueError(
            f"cycle_momentum=True needs an optimiser with momentum or betas, {type(optimizer).__name__} has neither; "
            "pass cycle_momentum=False"
        )
    bases, tops = (_one_per_group(f"{n}_momentum", optimizer, m) for n, m in (("base", base), ("max", top)))
    for group, low, high in zip(optimizer.param_groups, bases, tops, strict=True):
        group.update(base_momentum=low, max_momentum=high)


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    given = {"total_steps": total_steps} if total_steps is not None else {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    if None in given.values():
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())  # type: ignore[arg-type]


def _one_per_group(name: str, optimizer: Optimizer, value: Any) -> list[float]:
    """One number for each parameter group."""
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else [value] * groups
    if len(values) != groups:
        raise ValueError(f"expected {groups} values for {name}, one per parameter group, got {len(values)}")
    return values


class ReduceLROnPlateau(LRScheduler):
    """lr ← factor · lr whenever a metric has not become better for more than ``patience`` epochs.

        scheduler.step(validation_loss)      # after each epoch; a number, or a tensor with one

    mode: "min", a better metric is smaller; "max", larger. Better than the best so far counts only by more than ``threshold``:
    times the best (threshold_mode "rel"), or as it is ("abs").  cooldown: epochs after a reduction that do not count as bad.
    min_lr: never below, one number or one per parameter group.  eps: a reduction by no more than this is not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ValueError(f"Factor should be < 1.0, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f'mode {mode} is unknown! Use "min" or "max"')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f'threshold mode {threshold_mode} is unknown! Use "rel" or "abs"')
        self.optimizer = _checked(optimizer)
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.min_lr = min_lr
        _one_per_group("min_lr", optimizer, min_lr)  # or an error now
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = self._rates()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Look at the metric of one more epoch."""
        current = float(metrics)
        self.last_epoch += 1
        better = self._is_better(current)
        self.best = current if better else self.best
        self.num_bad_epochs = 0 if better or self.cooldown_counter > 0 else self.num_bad_epochs + 1
        self.cooldown_counter = max(0, self.cooldown_counter - 1)
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        bound = self.best + sign * self.threshold if self.threshold_mode == "abs" else self.best * (1 + sign * self.threshold)
        return current > bound if self.mode == "max" else current < bound

    def _reduce(self) -> None:
        lows = _one_per_group("min_lr", self.optimizer, self.min_lr)
        for group, low in zip(self.optimizer.param_groups, lows, strict=True):
            lr = max(group["lr"] * self.factor, low)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a position that state_dict() returned; load the optimiser's state too."""
        self.__dict__.update(state_dict)


# ------------------------------------------------------------------------------------------------------- warmup
#
# At first Adam has seen too few gradients to know their size, and an untrained Transformer has large ones. So lr starts
# at 0 and grows for num_warmup_steps (Vaswani et al., "Attention Is All You Need", 2017, section 5.3).


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """Constant lr."""
    return LambdaLR(optimizer, lambda t: 1.0, last_epoch)


def get_constant_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1) -> LambdaLR:
    """From 0 to lr in num_warmup_steps steps, then constant."""
    return LambdaLR(optimizer, lambda t: t / max(1, num_warmup_steps) if t < num_warmup_steps else 1.0, last_epoch)


def get_linear_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """From 0 to lr in num_warmup_steps steps, then in a straight line down to 0 at num_training_steps."""

    def factor(t: int) -> float:
        if t < num_warmup_steps:
            return t / max(1, num_warmup_steps)
        return max(0.0, (num_training_steps - t) / max(1, num_training_steps - num_warmup_steps))

    return LambdaLR(optimizer, factor, last_epoch)


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5, last_epoch: int = -1
) -> LambdaLR:
    """From 0 to lr in num_warmup_steps steps, then ½(1 + cos) down to 0 at num_training_steps (half a wave: num_cycles=.5)."""

    def factor(t: int) -> float:
        if t < num_warmup_steps:
            return t / max(1, num_warmup_steps)
        done = (t - num_warmup_steps) / max(1, num_training_steps - num_warmup_steps)
        return max(0.0, 0.5 * (1 + math.cos(math.pi * num_cycles * 2 * done)))

    return LambdaLR(optimizer, factor, last_epoch)
