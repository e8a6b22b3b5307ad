"""OneCycleLR and ReduceLROnPlateau: the rates and momenta of PyTorch (frozen in frozen/schedules.json), states and errors."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import minitorch
from minitorch.optim import SGD, AdamW
from minitorch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

FROZEN = Path(__file__).parent / "frozen" / "schedules.json"
STEPS = 41  # a cycle of 40 and one step more, which is allowed
METRICS = [3, 2, 2, 1.9999, 2, 1, 1.5, 0.99995, 1, 1, 1, 0.5, 0.6, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, float("nan"), 0.4, 0.1, 0.2]

ONE_CYCLE = {
    "adamw": ("AdamW", {"max_lr": 0.1, "total_steps": 40}),
    "sgd": ("SGD", {"max_lr": [0.1, 0.3], "epochs": 8, "steps_per_epoch": 5, "anneal_strategy": "linear"}),
    "three phases": ("AdamW", {"max_lr": 0.1, "total_steps": 40, "three_phase": True, "pct_start": 0.2}),
    "three phases, linear": ("SGD", {"max_lr": 1, "total_steps": 40, "three_phase": True, "anneal_strategy": "linear"}),
    "own momenta": ("AdamW", {"max_lr": 1, "total_steps": 40, "base_momentum": [0.5, 0.6], "max_momentum": [0.9, 0.8]}),
    "factors": ("SGD", {"max_lr": 1, "total_steps": 40, "div_factor": 10, "final_div_factor": 100, "cycle_momentum": False}),
    "down only": ("SGD", {"max_lr": 1, "total_steps": 40, "pct_start": 0.0}),
    "mostly up": ("SGD", {"max_lr": 1, "total_steps": 40, "pct_start": 0.9}),
}
PLATEAU = {
    "defaults": {"patience": 1},
    "absolute": {"patience": 1, "threshold_mode": "abs", "threshold": 0.3},
    "larger is better": {"patience": 2, "mode": "max", "factor": 0.5},
    "larger, absolute": {"patience": 0, "mode": "max", "factor": 0.5, "threshold_mode": "abs", "threshold": 0.1},
    "cooldown": {"patience": 0, "cooldown": 2, "factor": 0.3},
    "lowest rates": {"patience": 0, "factor": 0.2, "min_lr": [0.05, 0.001]},
    "lowest rate": {"patience": 0, "factor": 0.2, "min_lr": 0.01},
    "eps": {"patience": 0, "factor": 0.5, "eps": 0.02},
}


def optimizer(lib, kind="SGD"):
    """Two groups with rates of their own."""
    one, two = (lib.zeros(1, requires_grad=True) for _ in range(2))
    groups = [{"params": [one]}, {"params": [two], "lr": 0.2}]
    return getattr(lib.optim, kind)(groups, lr=1.5, **({"momentum": 0.9} if kind == "SGD" else {}))


def state_of(schedule):
    """Rates and momenta of both groups."""
    groups = schedule.optimizer.param_groups
    assert schedule.get_last_lr() == [group["lr"] for group in groups]
    return [x for group in groups for x in (group["lr"], group["betas"][0] if "betas" in group else group["momentum"])]


def one_cycle(lib, name):
    kind, options = ONE_CYCLE[name]
    schedule = lib.optim.lr_scheduler.OneCycleLR(optimizer(lib, kind), **options)
    rows = [state_of(schedule)]
    for _ in range(STEPS - 1):
        schedule.optimizer.step()
        schedule.step()
        rows.append(state_of(schedule))
    return rows


def plateau(lib, name):
    schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer(lib), **PLATEAU[name])
    rows = [state_of(schedule)]
    for i, metric in enumerate(METRICS):
        schedule.step(lib.tensor(metric, dtype=lib.float64) if i % 2 else metric)
        rows.append([*state_of(schedule), schedule.num_bad_epochs])
    return rows


CASES = [*((one_cycle, name) for name in ONE_CYCLE), *((plateau, name) for name in PLATEAU)]
each_case = pytest.mark.parametrize(("run", "name"), CASES, ids=lambda x: x if isinstance(x, str) else x.__name__)


def close(rows, expected):
    for row, wanted in zip(rows, expected, strict=True):
        np.testing.assert_allclose(row, wanted, rtol=1e-12, atol=1e-15)


@each_case
def test_rates_are_torchs(run, name):
    close(run(minitorch, name), json.loads(FROZEN.read_text())[f"{run.__name__}, {name}"])


@each_case
def test_the_frozen_rates_are_torchs(run, name):
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed; its frozen numbers are tested")
    close(run(torch, name), json.loads(FROZEN.read_text())[f"{run.__name__}, {name}"])


def test_the_shape_of_one_cycle():
    """Up to max_lr at pct_start of the steps, down to min_lr at the end, momentum the other way."""
    rows = one_cycle(minitorch, "adamw")
    assert max(range(40), key=lambda t: rows[t][0]) == 11
    np.testing.assert_allclose([rows[0][:2], rows[11][:2], rows[39][:2]], [[0.004, 0.95], [0.1, 0.85], [4e-7, 0.95]])


def test_a_peak_at_the_first_step():
    """Where PyTorch divides by zero: a way up of one step."""
    schedule = OneCycleLR(optimizer(minitorch), max_lr=1, total_steps=10, pct_start=0.1)
    assert schedule.get_last_lr() == [1, 1]
    schedule.optimizer.step()
    schedule.step()
    assert schedule.get_last_lr()[0] < 1


@pytest.mark.parametrize("kind", ["cycle", "plateau"])
def test_a_schedule_goes_on_where_it_was(kind, tmp_path):
    def make():
        if kind == "cycle":
            return OneCycleLR(optimizer(minitorch, "AdamW"), max_lr=1, total_steps=20)
        return ReduceLROnPlateau(optimizer(minitorch), patience=0, cooldown=1, factor=0.5)

    def go_on(schedule, metrics):
        schedule.optimizer.step()
        for metric in metrics:
            schedule.step(*([metric] if kind == "plateau" else []))
        return schedule

    whole = go_on(make(), METRICS[:16])
    first = go_on(make(), METRICS[:7])
    minitorch.save([first.state_dict(), first.optimizer.state_dict()], tmp_path / "run.safetensors")
    second = make()
    schedule_state, optimizer_state = minitorch.load(tmp_path / "run.safetensors")
    second.load_state_dict(schedule_state)
    second.optimizer.load_state_dict(optimizer_state)
    assert second.get_last_lr() == first.get_last_lr()
    go_on(second, METRICS[7:16])
    assert state_of(second) == state_of(whole)
    assert second.state_dict() == whole.state_dict()


def test_a_group_that_comes_later():
    one, many = (ReduceLROnPlateau(optimizer(minitorch), patience=0, min_lr=low) for low in (0.1, [0.1, 0.1]))
    for schedule in (one, many):
        assert isinstance(schedule, LRScheduler)
        schedule.optimizer.add_param_group({"params": [minitorch.zeros(1, requires_grad=True)], "lr": 0.5})
        schedule.step(1)
    one.step(1)
    assert one.get_last_lr() == pytest.approx([0.15, 0.1, 0.1])
    with pytest.raises(ValueError, match="expected 3 values for min_lr"):
        many.step(1)


ERRORS = {
    "no steps": (OneCycleLR, {"max_lr": 1}, "You must define either total_steps OR"),
    "half the steps": (OneCycleLR, {"max_lr": 1, "epochs": 3}, "You must define either total_steps OR"),
    "negative steps": (OneCycleLR, {"max_lr": 1, "total_steps": -1}, "positive integer total_steps, but got -1"),
    "broken epochs": (OneCycleLR, {"max_lr": 1, "epochs": 1.5, "steps_per_epoch": 2}, "positive integer epochs, but got 1.5"),
    "pct_start": (OneCycleLR, {"max_lr": 1, "total_steps": 9, "pct_start": 1.5}, "between 0 and 1 pct_start, but got 1.5"),
    "strategy": (OneCycleLR, {"max_lr": 1, "total_steps": 9, "anneal_strategy": "sin"}, "anneal_strategy must be"),
    "rates": (OneCycleLR, {"max_lr": [1], "total_steps": 9}, "expected 2 values for max_lr, one per parameter group, got 1"),
    "factor": (ReduceLROnPlateau, {"factor": 1.0}, "Factor should be < 1.0"),
    "mode": (ReduceLROnPlateau, {"mode": "best"}, "mode best is unknown"),
    "threshold mode": (ReduceLROnPlateau, {"threshold_mode": "best"}, "threshold mode best is unknown"),
    "lowest rates": (ReduceLROnPlateau, {"min_lr": [1, 2, 3]}, "expected 2 values for min_lr"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_teach(case):
    kind, options, text = ERRORS[case]
    with pytest.raises(ValueError, match=text):
        kind(optimizer(minitorch), **options)
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    with pytest.raises(ValueError):
        getattr(torch.optim.lr_scheduler, kind.__name__)(optimizer(torch), **options)


def test_more_steps_than_the_cycle_has():
    schedule = OneCycleLR(optimizer(minitorch), max_lr=1, total_steps=2)
    schedule.optimizer.step()
    schedule.step()
    schedule.step()
    with pytest.raises(ValueError, match="this is step 3, but the cycle has 2"):
        schedule.step()


def test_what_has_no_momentum_or_is_no_optimizer():
    class Plain(minitorch.optim.Optimizer):
        """p ← p - lr · g"""

    plain = Plain([minitorch.zeros(1, requires_grad=True)], {"lr": 1.0})
    with pytest.raises(ValueError, match="Plain has neither; pass cycle_momentum=False"):
        OneCycleLR(plain, max_lr=1, total_steps=9)
    assert OneCycleLR(plain, max_lr=1, total_steps=9, cycle_momentum=False).get_last_lr() == pytest.approx([1 / 25])
    with pytest.raises(TypeError, match="needs an Optimizer, got int"):
        ReduceLROnPlateau(5)
    with pytest.raises(TypeError, match="needs an Optimizer, got int"):
        OneCycleLR(5, max_lr=1, total_steps=9)


def test_the_usual_imports():
    """Those at the head of this file, used as most scripts use them."""
    x = minitorch.ones(1, requires_grad=True)
    schedule = LambdaLR(AdamW([x], lr=1.0), lambda t: 0.5**t)
    schedule.optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.5]
    assert SGD([x], lr=1.0).param_groups[0]["lr"] == 1
    assert math.isinf(ReduceLROnPlateau(SGD([x], lr=1.0)).best)
