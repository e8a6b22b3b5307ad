"""Continual learning: metrics, Fisher information, EWC's penalty, the reservoir and old answers by hand; then whole runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tokenizers", reason="reading a checkpoint needs tokenizers")

import minitorch
import minitorch.nn.functional as F
from minitorch import tensor
from minitorch.autograd import gradcheck
from models.continual.ewc import penalty
from models.continual.fisher import fisher
from models.continual.lwf import distance
from models.continual.metrics import transfer
from models.continual.replay import reservoir
from models.continual.settings import STRATEGIES, orders_of

from .continual_cases import arguments, command, make_files


def term(F, θ):
    return {"F": {"w": tensor(np.array(F))}, "θ": {"w": tensor(np.array(θ))}}


# ------------------------------------------------------------------------------------------------------- by hand


def test_metrics_are_those_of_the_papers():
    """Forgetting is from the best score so far, not from the one right after learning (which gives .11)."""
    found = transfer([[0.90, 0.50, 0.40], [0.95, 0.85, 0.45], [0.65, 0.88, 0.80]], [0.5, 0.5, 0.5])
    wanted = {"accuracy": 2.33 / 3, "backward_transfer": -0.11, "forward_transfer": -0.025, "forgetting": 0.135}
    assert found == pytest.approx(wanted)


def test_the_penalty_and_its_gradient():
    """Numbers computed by hand; the gradient is λ F (θ - θ*)."""
    first, second = term([0.5, 2.0, 0.0], [1.0, -1.0, 2.0]), term([1.0, 0.0, 0.25], [1.1, -0.8, 1.0])
    w = tensor(np.array([1.2, -0.5, 5.0]), requires_grad=True)
    value = penalty({"w": w}, [first], 10.0)
    value.backward()
    assert value.item() == pytest.approx(2.6)
    np.testing.assert_allclose(w.grad.numpy(), [1, 10, 0], atol=1e-12)
    assert penalty({"w": w}, [first, second], 2.0).item() == pytest.approx(4.53)
    both = {"w": 0.9 * first["F"]["w"] + second["F"]["w"]}
    np.testing.assert_allclose(both["w"].numpy(), [1.45, 1.8, 0.25])
    assert penalty({"w": w}, [{"F": both, "θ": second["θ"]}], 2.0).item() == pytest.approx(4.1765)
    assert penalty({"w": w}, [], 10.0) == 0


@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 1000))
def test_the_penalty_s_gradient_is_that_of_finite_differences(terms, n, seed):
    rng = np.random.default_rng(seed)
    some = [term(rng.random(n), rng.standard_normal(n)) for _ in range(terms)]
    assert gradcheck(lambda w: penalty({"w": w}, some, 3.0), [tensor(rng.standard_normal(n), requires_grad=True)])


X, Y, W = np.array([[1.0, 2.0], [-1.0, 0.5]]), [1, 0], np.array([0.5, -0.25])


def logistic(kind, draws=1, size=1):
    """F of a logistic regression with the logits 0 and w·x."""
    w = tensor(W, requires_grad=True)

    def log_p(x):
        z = tensor(x) @ w.reshape(2, 1)  # (B, 1)
        return F.log_softmax(minitorch.cat([z * 0, z], dim=1), dim=-1)

    batches = [(X[k : k + size], Y[k : k + size]) for k in range(0, 2, size)] * draws
    return fisher(log_p, batches, {"w": w}, kind, np.random.default_rng(0))["w"].numpy()


def test_the_fisher_information_of_a_logistic_regression():
    """Exact is E[p(1-p) x²]; what others compute instead is something else; samples come near it."""
    np.testing.assert_allclose(logistic("exact"), [0.238546, 0.528386], atol=1e-6)
    np.testing.assert_allclose(logistic("empirical"), [0.185777, 0.515194], atol=1e-6)
    np.testing.assert_allclose(logistic("batched", size=2), [0.180050, 0.170436], atol=1e-6)
    np.testing.assert_allclose(logistic("sampled", draws=500), logistic("exact"), rtol=0.1)


@given(st.integers(1, 20), st.lists(st.integers(0, 30), max_size=4))
def test_the_reservoir_holds_exactly_what_it_may(size, parts):
    memory, seen, start = [], 0, 0
    for n in parts:
        seen = reservoir(memory, seen, range(start, start + n), size, np.random.default_rng(n))
        start += n
        assert seen == start
        assert len(memory) == min(size, seen)
        assert len(set(memory)) == len(memory)
        assert set(memory) <= set(range(start))


def test_every_example_stays_with_the_same_probability():
    kept = np.zeros(20)
    for seed in range(3000):
        memory: list[int] = []
        reservoir(
            memory,
            reservoir(memory, 0, range(12), 5, np.random.default_rng([seed, 0])),
            range(12, 20),
            5,
            np.random.default_rng([seed, 1]),
        )
        kept[memory] += 1
    np.testing.assert_allclose(kept / 3000, 5 / 20, atol=0.035)  # four deviations of 3,000 draws


def test_old_answers_are_compared_over_the_old_outputs_alone():
    """z_s, z_t and T = 2 of a hand-computed case of distillation; a third, new output changes nothing."""
    old, new = np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 1.0]]), np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    assert distance(tensor(old), tensor(new), [0, 1, 2], 2.0).item() == pytest.approx(0.0639124, abs=1e-6)
    wider = np.concatenate([new, [[9.0], [-9.0]]], 1)
    padded = np.concatenate([old, [[3.0], [3.0]]], 1)
    assert distance(tensor(padded), tensor(wider), [0, 1, 2], 2.0).item() == pytest.approx(0.0639124, abs=1e-6)


def test_orders_put_every_task_first_before_one_comes_twice():
    assert orders_of(3, 3) == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    for tasks, wanted in ((3, 6), (4, 20), (5, 12)):
        found = orders_of(tasks, wanted)
        assert len({tuple(order) for order in found}) == wanted
        assert all(sorted(order) == list(range(tasks)) for order in found)


# ---------------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("setting", ["domain", "task", "class"])
def test_every_strategy_in_every_setting(setting, files, tmp_path, capsys):
    assert command(*arguments(files, tmp_path / "run", setting=setting)) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert list(report["strategies"]) == list(STRATEGIES)
    for record in report["runs"].values():
        R = np.array(record["R"])
        assert R.shape == ((1, 2) if record["strategy"] == "joint" else (2, 2))
        assert (R >= 0).all()
        assert (R <= 1).all()
        if setting == "class" and len(R) == 2:
            assert R[0, 1] == 0  # its classes were not seen yet
    kept = {name: row["bytes"] for name, row in report["strategies"].items()}
    assert kept["sequential"] == 0
    assert kept["ewc"] == pytest.approx(2 * kept["online-ewc"])
    assert 0 < kept["replay"] < kept["joint"]
    for name in ("matrix.png", "curves.png"):
        assert (tmp_path / "run" / name).read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "run" / "report.txt").read_text() in capsys.readouterr().out
