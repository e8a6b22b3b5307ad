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
from models.continual.run import Run
from models.continual.settings import STRATEGIES, Settings, orders_of
from models.continual.stream import Stream, read_tasks
from models.training.trainer import Trainer

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


def run_of(files, strategy, folder, setting="class", **changes):
    """A run of one strategy, not started yet."""
    usual = {"epochs": 1, "batch_size": 8, "threads": 1, "lr": 2e-3, "fisher_examples": 4, "memory": 7, "dropout": 0.0}
    tasks = [files[f"{'same' if setting == 'domain' else 'other'}{k}"] for k in range(2)]
    s = Settings(model=files["model"], tasks=tasks, setting=setting, **{**usual, **changes})
    s.check()
    folder.mkdir(exist_ok=True)
    stream = Stream(s)
    return Run(s, stream, read_tasks(s, stream), strategy, 0, [0, 1], folder, say=lambda text: None)


def test_ewc_trains_on_the_loss_with_its_penalty(files, tmp_path):
    """Only in training mode, and by λ/2 Σ F (θ - θ*)² of every old task."""
    one = run_of(files, "ewc", tmp_path / "run", ewc_lambda=100.0)
    one.go("")
    trainer = one.prepared([[0], [1], [0]], 2)
    batch = one.stream.batch(trainer.features[:4], one.tokenizer)
    rng = np.random.default_rng(0)
    with minitorch.no_grad():
        for p in one.model.parameters():
            p.add_(tensor(rng.normal(0, 0.01, p.shape).astype(np.float32)))
        plain = one.stream.loss(one.model.eval(), batch)[0].item()
        whole = one.stream.loss(one.model.train(), batch)[0].item()
    now, by_hand = dict(one.model.named_parameters()), 0.0
    for old in one.strategy.kept["terms"]:
        for name, F_old in old["F"].items():
            by_hand += 50 * float((F_old.numpy() * (now[name].detach().numpy() - old["θ"][name].numpy()) ** 2).sum())
    assert len(one.strategy.kept["terms"]) == 2
    assert by_hand > 1e-3
    assert whole - plain == pytest.approx(by_hand, rel=1e-3)


def test_the_fisher_information_of_a_bert(files, tmp_path):
    """Mean over texts of Σ_y p(y) (∂ log p(y) / ∂ weight)², here by finite differences; outputs that are shut have none."""
    one = run_of(files, "ewc", tmp_path / "run", fisher="exact", fisher_examples=3)
    trainer = one.prepared([[0], [1]], 0)
    found = one.strategy.fisher(0, trainer)
    chosen = [trainer.features[k] for k in np.random.default_rng([0, 29, 0]).permutation(len(trainer.features))[:3]]
    weights = dict(one.model.named_parameters())

    def log_p():
        with minitorch.no_grad():
            batch = one.stream.batch(chosen, one.tokenizer)
            return F.log_softmax(one.stream.ask(one.model, batch)[0] + batch["shut"], dim=-1).numpy().astype(float)

    p = np.exp(log_p())
    for name, place in (("classifier.bias", (0,)), ("classifier.weight", (1, 3)), ("bert.pooler.dense.bias", (5,))):
        array, eps = weights[name].array, 3e-2
        before = array[place]
        ends = []
        for step in (eps, -eps):
            array[place] = before + step
            ends.append(log_p())
        array[place] = before
        slope = (ends[0] - ends[1])[:, [0, 2]] / (2 * eps)
        wanted = (p[:, [0, 2]] * slope**2).sum() / 3
        assert found[name].numpy()[place] == pytest.approx(wanted, rel=2e-2, abs=1e-8)
    assert one.stream.outputs == ["neg0", "neg1", "pos0", "pos1"]
    np.testing.assert_array_equal(found["classifier.bias"].numpy()[[1, 3]], 0)


def test_replay_adds_rows_of_tasks_seen_and_keeps_no_more_than_it_may(files, tmp_path, monkeypatch):
    sizes, one_step = [], Trainer.one_step

    def watched(self, rows, workers):
        sizes.append([f.extra.task for f in rows])
        return one_step(self, rows, workers)

    monkeypatch.setattr(Trainer, "one_step", watched)
    one = run_of(files, "replay", tmp_path / "run")
    one.go("")
    n = [len(items) for items in one.data.train]
    steps = -(-n[0] // 8)
    assert all(set(rows) == {0} for rows in sizes[:steps])  # nothing is remembered yet
    assert sum(rows[:-7].count(1) for rows in sizes[steps:]) == n[1]
    assert all(rows[-7:] == [0] * 7 for rows in sizes[steps:])  # all of the memory, which is smaller than a batch
    memory = one.strategy.kept["memory"]
    assert one.strategy.kept["seen"] == sum(n)
    assert len({tuple(place) for place in memory}) == 7
    assert all(0 <= k < n[task] for task, k in memory)


def test_old_answers_are_kept_while_a_task_is_learnt_and_pull_at_them(files, tmp_path):
    """With a huge α the new task is hardly learnt, but the old one is as it was."""
    weak, strong = (run_of(files, "lwf", tmp_path / f"{α}", lwf_alpha=α, epochs=3, lr=5e-3) for α in (0.0, 1e4))
    records = [one.go("") for one in (weak, strong)]
    assert strong.strategy.kept == {}
    assert records[0]["bytes"] == records[1]["bytes"] == len(weak.data.train[1]) * 4 * 4
    changes = []
    for one in (weak, strong):
        trainer = one.prepared([[0], [1], [0]], 2)
        one.stream.open([0, 1])
        before = one.strategy.kept.pop("old").numpy()
        changes.append(before[:, [0, 2]])
    spread = [np.abs(z[:, 0] - z[:, 1]).mean() for z in changes]
    assert spread[0] != pytest.approx(spread[1], rel=1e-3)
    assert trainer.step == 0


def bits(named):
    return {name: p.detach().numpy().tobytes() for name, p in named if ".adapters." not in name or ".default." in name}


def test_adapters_leave_the_base_and_each_other_as_they_were(files, tmp_path):
    one = run_of(files, "adapters", tmp_path / "run", setting="task", epochs=3)
    after, found = one.strategy.after, []

    def watching(i, trainer):
        after(i, trainer)
        found.append(bits(one.model.named_parameters()))

    one.strategy.after = watching
    record = one.go("")
    assert found[0] == found[1]
    assert record["R"][1][0] == record["R"][0][0]
    assert record["forgetting"] == 0
    assert record["forward_transfer"] == 0  # the next task's head is untrained
