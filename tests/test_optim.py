"""Optimisers and schedules: the numbers of PyTorch and Hugging Face (frozen in frozen/optim.npz), and their error conditions."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

import minitorch
from minitorch import optim
from minitorch.optim import lr_scheduler

FROZEN = Path(__file__).parent / "frozen" / "optim.npz"
STEPS = 60
SHAPES = [(4, 3), (5,), (), (2, 0)]

OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd_dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "sgd_nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "sgd_maximize": ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.01, "maximize": True}),
    "adam": ("Adam", {}),
    "adam_decay": ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adam_amsgrad": ("Adam", {"lr": 0.02, "amsgrad": True}),
    "adam_maximize": ("Adam", {"lr": 0.02, "maximize": True, "weight_decay": 0.1}),
    "adam_decoupled": ("Adam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamw": ("AdamW", {}),
    "adamw_decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "betas": (0.9, 0.98), "eps": 1e-6}),
    "adamw_amsgrad": ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
}
SCHEDULES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.5}),
    "linear": ("LinearLR", {"total_iters": 11}),
    "linear_down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 40}),
    "cosine": ("CosineAnnealingLR", {"T_max": 20, "eta_min": 0.05}),
    "cosine_long": ("CosineAnnealingLR", {"T_max": 100}),
    "hf_constant": ("get_constant_schedule", {}),
    "hf_constant_warmup": ("get_constant_schedule_with_warmup", {"num_warmup_steps": 9}),
    "hf_linear": ("get_linear_schedule_with_warmup", {"num_warmup_steps": 9, "num_training_steps": 50}),
    "hf_linear_no_warmup": ("get_linear_schedule_with_warmup", {"num_warmup_steps": 0, "num_training_steps": 60}),
    "hf_linear_all_warmup": ("get_linear_schedule_with_warmup", {"num_warmup_steps": 20, "num_training_steps": 20}),
    "hf_cosine": ("get_cosine_schedule_with_warmup", {"num_warmup_steps": 9, "num_training_steps": 50}),
    "hf_cosine_waves": ("get_cosine_schedule_with_warmup", {"num_warmup_steps": 5, "num_training_steps": 50, "num_cycles": 1.5}),
}


def start(dtype):
    """Where the parameters start."""
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(shape), dtype=dtype) for shape in SHAPES]


def gradients(t, dtype):
    """The gradients of step t; now and then a parameter has none."""
    rng = np.random.default_rng(100 + t)
    drawn = [np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 2), dtype=dtype) for shape in SHAPES]
    return [None if i == 1 and t % 5 == 0 else g for i, g in enumerate(drawn)]


def parameters(dtype="float64", device="cpu"):
    return [minitorch.tensor(x, device=device, requires_grad=True) for x in start(dtype)]


def give_gradients(params, t):
    for p, g in zip(params, gradients(t, str(params[0].dtype)), strict=True):
        p.grad = None if g is None else minitorch.tensor(g, device=p.device)


def run(optimizer, steps=range(STEPS)):
    params = list(optimizer.parameters())
    for t in steps:
        give_gradients(params, t)
        optimizer.step()
    return [p.detach().cpu().numpy() for p in params]


def make(name, dtype="float64", device="cpu"):
    kind, options = OPTIMIZERS[name]
    return getattr(optim, kind)(parameters(dtype, device), **options)


@pytest.fixture(scope="module")
def frozen():
    with np.load(FROZEN) as file:
        return dict(file)


# ---------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_torchs(name, dtype, device, frozen):
    result = run(make(name, dtype, device))
    rtol, atol = (1e-12, 1e-14) if dtype == "float64" else (5e-5, 1e-6)
    for i, p in enumerate(result):
        assert p.dtype == dtype
        np.testing.assert_allclose(p, frozen[f"{name}/{dtype}/{i}"], rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_frozen_numbers_are_torchs(name, frozen):
    pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed; its frozen numbers are tested")
    from .frozen.make_optim import run_optimizer

    for dtype in ("float64", "float32"):
        for i, p in enumerate(run_optimizer(*OPTIMIZERS[name], dtype)):
            rtol, atol = (1e-12, 1e-14) if dtype == "float64" else (5e-5, 1e-6)
            np.testing.assert_allclose(p, frozen[f"{name}/{dtype}/{i}"], rtol=rtol, atol=atol)


def test_google_adam_has_no_bias_correction():
    # google-research/bert, optimization.py, AdamWeightDecayOptimizer, written out
    options = {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.01}
    p = start("float64")[0]
    m = v = np.zeros_like(p)
    for t in range(STEPS):
        g = gradients(t, "float64")[0]
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - 0.02 * (m / (np.sqrt(v) + 1e-6) + 0.01 * p)
    result = run(optim.AdamW(parameters(), correct_bias=False, **options))[0]
    np.testing.assert_allclose(result, p, rtol=1e-12)
    assert not np.allclose(result, run(optim.AdamW(parameters(), **options))[0], rtol=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_torchs(name, frozen):
    schedule = make_schedule(name)
    rates = [schedule.get_last_lr()]
    for _ in range(STEPS):
        schedule.optimizer.step()
        schedule.step()
        assert schedule.get_last_lr() == [group["lr"] for group in schedule.optimizer.param_groups]
        rates.append(schedule.get_last_lr())
    np.testing.assert_allclose(rates, frozen[f"schedule/{name}"], rtol=1e-12, atol=1e-15)


def make_schedule(name):
    kind, options = SCHEDULES[name]
    one, two = (minitorch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [one]}, {"params": [two], "lr": 0.2}], lr=1.5)
    return getattr(lr_scheduler, kind)(optimizer, **options)


def test_the_frozen_rates_are_torchs(frozen):
    pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed; its frozen numbers are tested")
    pytest.importorskip("transformers", reason="transformers, the oracle, is not installed; its frozen numbers are tested")
    from .frozen.make_optim import run_schedule

    for name, (kind, options) in SCHEDULES.items():
        np.testing.assert_allclose(run_schedule(kind, options), frozen[f"schedule/{name}"], rtol=1e-12, atol=1e-15)


# ----------------------------------------------------------------------------------------- groups, step, zero_grad


def test_groups_have_their_own_options():
    a, b, c = (minitorch.ones(2, requires_grad=True) for _ in range(3))
    options = {"params": (x for x in [b]), "lr": 0.5}
    optimizer = optim.SGD([{"params": a}, options], lr=0.1)
    assert list(options) == ["params", "lr"]  # the user's dict is not filled with defaults
    optimizer.add_param_group({"params": [c], "lr": 0.25})
    for p in (a, b, c):
        p.grad = minitorch.ones(2)
    optimizer.step()
    assert [p.tolist() for p in (a, b, c)] == [pytest.approx([x, x]) for x in (0.9, 0.5, 0.75)]


def test_named_parameters():
    a, b = (minitorch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = optim.AdamW([("w", a), ("b", b)])
    assert optimizer.param_groups[0]["params"][1] is b
    assert optimizer.param_groups[0]["param_names"] == ["w", "b"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["w", "b"]
    with pytest.raises(ValueError, match="with names, or all without"):
        optimizer.add_param_group({"params": [minitorch.ones(1)]})
    with pytest.raises(ValueError, match="some names are missing"):
        optim.SGD([{"params": [("w", a), b]}])


def test_step_calls_the_closure_with_grad_enabled():
    x = minitorch.ones(2, requires_grad=True)
    optimizer = optim.SGD([x], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with minitorch.no_grad():
        assert optimizer.step(closure).item() == 2
    assert x.tolist() == [0.5, 0.5]
    assert optimizer.step() is None


def test_zero_grad():
    x, y = minitorch.ones(2, requires_grad=True), minitorch.ones(2, requires_grad=True)
    optimizer = optim.SGD([x, y])
    (x * 3).sum().backward()
    kept = x.grad.array
    optimizer.zero_grad(set_to_none=False)
    assert x.grad.tolist() == [0, 0]
    assert x.grad.array is kept
    assert y.grad is None
    optimizer.zero_grad()
    assert x.grad is None


def test_a_step_changes_the_array_in_place_and_is_noticed():
    x = minitorch.ones(2, requires_grad=True)
    array = x.array
    y = (x * x).sum()  # needs x's value in its backward
    x.grad = minitorch.ones(2)
    optim.Adam([x]).step()
    assert x.array is array
    assert x.is_leaf
    assert x.requires_grad
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_parameters_without_gradient_are_left_alone():
    x = minitorch.ones(2, requires_grad=True)
    optimizer = optim.AdamW([x], weight_decay=0.5)
    optimizer.step()
    assert x.tolist() == [1, 1]
    assert not optimizer.state


def test_adam_needs_one_scratch_array():
    import tracemalloc

    x = minitorch.ones(100_000, requires_grad=True)
    optimizer = optim.AdamW([x])
    x.grad = minitorch.ones(100_000)
    optimizer.step()  # makes the state
    tracemalloc.start()
    optimizer.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.05 * x.array.nbytes + 20_000


def test_a_float16_parameter_stays_float16(device):
    x = minitorch.ones(3, dtype=minitorch.float16, device=device, requires_grad=True)
    for optimizer in (optim.SGD([x], momentum=0.9, weight_decay=0.1), optim.Adam([x], eps=1e-4, weight_decay=0.1)):
        x.grad = minitorch.ones(3, dtype=minitorch.float16, device=device)
        optimizer.step()
        assert x.dtype == minitorch.float16
        assert all(v.dtype == x.dtype for v in optimizer.state[x].values() if isinstance(v, minitorch.Tensor))


def test_state_follows_the_parameter_to_another_device(device):
    x = minitorch.ones(3, requires_grad=True)
    optimizer = optim.Adam([x])
    for target in ("cpu", device, "cpu"):
        x.data = x.data.to(target)
        x.grad = minitorch.ones(3, device=target)
        optimizer.step()
    assert x.device == optimizer.state[x]["exp_avg"].device == "cpu"


def test_a_subclass_defines_update_or_step():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def update(self, p, g, state, group):
            p -= group["lr"] * np.sign(g)

    x = minitorch.tensor([1.0, -1.0], requires_grad=True)
    optimizer = Sign([x], 0.5)
    (x * x).sum().backward()
    optimizer.step()
    assert x.tolist() == [0.5, -0.5]
    with pytest.raises(NotImplementedError, match=r"must define update\(p, g, state, group\)"):
        run(optim.Optimizer(parameters(), {}))


def test_repr_lists_the_groups():
    assert repr(optim.SGD([minitorch.ones(1)], lr=0.1)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n"
        "    weight_decay: 0\n)"
    )


# ------------------------------------------------------------------------------------------------------ state dicts


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_is_the_uninterrupted_one(name, tmp_path):
    whole = run(make(name))
    first = make(name)
    run(first, range(25))
    minitorch.save([first.state_dict(), list(first.parameters())], tmp_path / "run.safetensors")

    state, values = minitorch.load(tmp_path / "run.safetensors")
    second = make(name)
    for p, value in zip(second.parameters(), values, strict=True):
        p.data = value
    second.load_state_dict(state)
    for a, b in zip(run(second, range(25, STEPS)), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_dict_has_torchs_layout():
    optimizer = make("adam")
    run(optimizer, range(1, 4))
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert sorted(state["state"]) == [0, 1, 2, 3]
    assert state["param_groups"][0]["params"] == [0, 1, 2, 3]
    assert state["param_groups"][0]["betas"] == (0.9, 0.999)
    assert state["state"][0]["step"] == 3
    assert state["state"][0]["exp_avg"].shape == (4, 3)


def test_a_state_of_torch_goes_on_here():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")
    for kind in ("SGD", "Adam", "AdamW"):
        options = {"momentum": 0.9} if kind == "SGD" else {}
        params = [torch.tensor(x, requires_grad=True) for x in start("float64")]
        theirs = getattr(torch.optim, kind)(params, **options)
        ours = getattr(optim, kind)(parameters(), **options)
        for t in range(20):
            for p, g in zip(params, gradients(t, "float64"), strict=True):
                p.grad = None if g is None else torch.tensor(g)
            if t == 10:
                for a, b in zip(ours.parameters(), params, strict=True):
                    a.data = minitorch.tensor(b.detach().numpy())
                ours.load_state_dict(_from_torch(theirs.state_dict()))
            theirs.step()
        for a, b in zip(run(ours, range(10, 20)), params, strict=True):
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-12)


def _from_torch(x):
    if isinstance(x, dict):
        return {key: _from_torch(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_from_torch(value) for value in x]
    return minitorch.tensor(x.numpy()) if hasattr(x, "numpy") else x


def test_a_loaded_state_is_a_copy_in_the_parameters_dtype():
    first, second = make("adam"), make("adam", "float32")
    run(first, range(3))
    state = copy.deepcopy(first.state_dict())
    second.load_state_dict(state)
    moment = second.state[next(second.parameters())]["exp_avg"]
    assert moment.dtype == minitorch.float32
    run(second, range(3))
    np.testing.assert_array_equal(state["state"][0]["exp_avg"].array, first.state_dict()["state"][0]["exp_avg"].array)


def test_states_that_do_not_fit_are_refused_and_change_nothing():
    optimizer = make("adam")
    run(optimizer, range(3))
    good = copy.deepcopy(optimizer.state_dict())

    def broken(change):
        state = copy.deepcopy(good)
        change(state)
        return state

    cases = [
        (broken(lambda s: s.pop("state")), KeyError, "has no 'state': is it an optimiser's state_dict"),
        (
            broken(lambda s: s["param_groups"].append(s["param_groups"][0])),
            ValueError,
            "loaded state dict has a different number of parameter groups: 2, this optimiser has 1",
        ),
        (
            broken(lambda s: s["param_groups"][0]["params"].pop()),
            ValueError,
            "doesn't match the size of optimizer's group: group 0 has 3 parameters in the state, 4 in this optimiser",
        ),
        (
            broken(lambda s: s["state"][0].update(exp_avg=minitorch.zeros(3, 4))),
            ValueError,
            r"exp_avg of parameter 0 has shape \(3, 4\) in the state, the parameter has \(4, 3\)",
        ),
        (broken(lambda s: s["state"].update({7: {}})), ValueError, "the state of parameter 7 belongs to no parameter"),
        (make("sgd_momentum").state_dict(), ValueError, "has no betas, eps, amsgrad: it was saved by a different kind"),
        ([], KeyError, "has no 'state'"),
        (broken(lambda s: s.update(param_groups=5)), TypeError, "'param_groups' must be a list of dicts, each with a list"),
        (broken(lambda s: s["param_groups"][0].update(params=None)), TypeError, "'param_groups' must be a list of dicts"),
        (broken(lambda s: s.update(state=[])), TypeError, "'state' must be a dict with a dict for each parameter's number"),
        (broken(lambda s: s["param_groups"][0].update(lr="1")), TypeError, "lr of group 0 is '1' in the state, "),
        (
            broken(lambda s: s["param_groups"][0].update(betas=0.9)),
            TypeError,
            r"betas of group 0 is 0.9 in the state, \(0.9, 0.99",
        ),
        (broken(lambda s: s["param_groups"][0].update(amsgrad=0)), TypeError, "amsgrad of group 0 is 0 in the state"),
        (
            broken(lambda s: s["state"][0].update(step=-1)),
            ValueError,
            "step of parameter 0 is -1 in the state; it must be a count",
        ),
        (broken(lambda s: s["state"][0].update(step=1.5)), ValueError, "step of parameter 0 is 1.5"),
        (broken(lambda s: s["state"][0].update(step="1")), ValueError, "step of parameter 0 is '1'"),
        (broken(lambda s: s["state"][0].update(exp_avg=[1.0])), TypeError, "exp_avg of parameter 0 is a list in the state"),
        (
            broken(lambda s: s["state"][0].update(exp_avg=minitorch.zeros(12))),
            ValueError,
            r"exp_avg of parameter 0 has shape \(12,\)",
        ),
        (broken(lambda s: s["state"][0].pop("exp_avg_sq")), ValueError, "the state of parameter 0 has no exp_avg_sq"),
    ]
    for state, error, text in cases:
        with pytest.raises(error, match=text):
            optimizer.load_state_dict(state)
    for a, b in zip(optimizer.state_dict()["state"].values(), good["state"].values(), strict=True):
        np.testing.assert_array_equal(a["exp_avg"].array, b["exp_avg"].array)


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        ("SGD", {"lr": -1}, "Invalid learning rate: -1"),
        ("SGD", {"momentum": -0.5}, "Invalid momentum value: -0.5"),
        ("SGD", {"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
        ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov momentum requires"),
        ("Adam", {"lr": math.nan}, "Invalid learning rate: nan"),
        ("Adam", {"eps": -1}, "Invalid epsilon value: -1"),
        ("Adam", {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        ("AdamW", {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
        ("AdamW", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ],
)
def test_options_out_of_range(kind, options, text):
    with pytest.raises(ValueError, match=text):
        getattr(optim, kind)([minitorch.ones(1, requires_grad=True)], **options)


def test_parameters_that_cannot_be_optimised():
    x = minitorch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        optim.SGD([])
    with pytest.raises(TypeError, match="got one tensor: write"):
        optim.SGD(x)
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        optim.SGD([x * 2])
    with pytest.raises(TypeError, match="can only optimize Tensors, but one of the params is float"):
        optim.SGD([1.0])
    with pytest.raises(TypeError, match="the order of a set changes"):
        optim.SGD([{"params": {x}}])
    with pytest.raises(TypeError, match="a parameter group must be a dict, got list"):
        optim.SGD([x]).add_param_group([x])
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        optim.SGD([{"params": [x]}, {"params": [x]}])
    with pytest.warns(UserWarning, match="holds a parameter twice"):
        optim.SGD([x, x])


def test_a_gradient_of_another_shape_is_refused():
    x = minitorch.ones(2, 3, requires_grad=True)
    x.grad = minitorch.ones(3)
    with pytest.raises(RuntimeError, match=r"a parameter of shape \(2, 3\) has a gradient of shape \(3,\)"):
        optim.SGD([x]).step()


# -------------------------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_schedule_is_the_uninterrupted_one(name):
    def rates(schedule, steps):
        result = []
        for _ in range(steps):
            schedule.optimizer.step()
            schedule.step()
            result.append(schedule.get_last_lr())
        return result

    whole = rates(make_schedule(name), STEPS)
    first = make_schedule(name)
    head = rates(first, 23)
    saved = json.loads(json.dumps([first.optimizer.state_dict()["param_groups"], first.state_dict()]))
    second = make_schedule(name)
    second.optimizer.load_state_dict({"state": {}, "param_groups": saved[0]})
    second.load_state_dict(saved[1])
    assert second.get_last_lr() == head[-1] == [group["lr"] for group in second.optimizer.param_groups]
    assert head + rates(second, STEPS - 23) == whole


def test_lambda_schedule():
    x, y = (minitorch.ones(1, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [x]}, {"params": [y], "lr": 3.0}], lr=1.0)
    schedule = lr_scheduler.LambdaLR(optimizer, [lambda t: 0.5**t, lambda t: 1 + t])
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.5, 6.0]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1.0, 3.0]
    assert "lr_lambdas" not in schedule.state_dict()
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas, one per parameter group, but got 1"):
        lr_scheduler.LambdaLR(optimizer, [lambda t: 1.0])


def test_two_schedules_multiply():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")

    def rates(library, schedules, x):
        optimizer = library.SGD([x], lr=1.0)
        both = [
            schedules.LinearLR(optimizer, 0.2, 1.0, total_iters=5),
            schedules.CosineAnnealingLR(optimizer, 30),
            schedules.StepLR(optimizer, 4, 0.9),
        ]
        result = []
        for _ in range(25):
            optimizer.step()
            for schedule in both:
                schedule.step()
            result.append(optimizer.param_groups[0]["lr"])
        return result

    theirs = rates(torch.optim, torch.optim.lr_scheduler, torch.ones(1, requires_grad=True))
    ours = rates(optim, lr_scheduler, minitorch.ones(1, requires_grad=True))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_resuming_by_last_epoch():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed")

    def rates(library, schedules, x):
        result = []
        for make, options in ((schedules.StepLR, {"step_size": 3}), (schedules.CosineAnnealingLR, {"T_max": 9})):
            optimizer = library.SGD([{"params": [x], "initial_lr": 1.0}], lr=0.25)
            schedule = make(optimizer, last_epoch=4, **options)
            for _ in range(4):
                optimizer.step()
                schedule.step()
                result.append(schedule.get_last_lr()[0])
        return result

    theirs = rates(torch.optim, torch.optim.lr_scheduler, torch.ones(1, requires_grad=True))
    np.testing.assert_allclose(rates(optim, lr_scheduler, minitorch.ones(1, requires_grad=True)), theirs, rtol=1e-12)


def test_schedule_errors():
    optimizer = optim.SGD([minitorch.ones(1, requires_grad=True)], lr=1.0)
    with pytest.raises(TypeError, match="a schedule needs an Optimizer, got float"):
        lr_scheduler.StepLR(0.1, 3)
    with pytest.raises(KeyError, match=r"param 'initial_lr' is not specified in param_groups\[0\]"):
        lr_scheduler.StepLR(optimizer, 3, last_epoch=5)
    with pytest.raises(ValueError, match=r"Starting multiplicative factor expected to be in \(0, 1\], got 0"):
        lr_scheduler.LinearLR(optimizer, start_factor=0)
    with pytest.raises(ValueError, match="Ending multiplicative factor"):
        lr_scheduler.LinearLR(optimizer, end_factor=1.5)
    schedule = lr_scheduler.StepLR(optimizer, 3)
    for wrong in ({"base_lrs": 5, "last_epoch": 1}, {"base_lrs": [0.1], "last_epoch": "1"}):
        with pytest.raises(TypeError, match="base_lrs must be a list and last_epoch a number"):
            schedule.load_state_dict(wrong)
    with pytest.raises(ValueError, match="saved for 2 parameter groups, this optimiser has 1"):
        schedule.load_state_dict({**schedule.state_dict(), "base_lrs": [1.0, 2.0]})
    with pytest.warns(UserWarning, match="call optimizer.step.. first"):
        schedule.step()
