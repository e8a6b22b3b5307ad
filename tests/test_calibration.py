"""Confidences: expected calibration error, the temperature, and where they go: report, folder, predict."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.finetuning import calibration, report
from models.finetuning.command import finetune
from models.finetuning.predictor import Predictor
from models.finetuning.run import FACTS
from tests import finetune_cases as cases


def nll(z, gold, T):
    """The mean of -log softmax(z/T)[gold]."""
    return -calibration.log_softmax(z / T)[np.arange(len(z)), gold].mean()


def test_ece_by_hand():
    """Three bins in use: |1 - .95| · 2/5, |.5 - .65| · 2/5, |0 - .3| · 1/5; an upper edge belongs to its bin."""
    confidence, right = [0.94, 0.96, 0.64, 0.66, 0.3], [1, 1, 1, 0, 0]
    assert calibration.expected_calibration_error(confidence, right) == pytest.approx((2 * 0.05 + 2 * 0.15 + 0.3) / 5)
    assert [row["bin"] for row in calibration.reliability([1 / 15, 1 / 15 + 1e-9, 1.0], [1, 1, 1])] == [0, 1, 14]
    assert [row["count"] for row in calibration.reliability([0.2, 0.4, 0.6], [1, 0, 1], bins=5)] == [1, 1, 1]
    assert calibration.expected_calibration_error([1.0, 1.0], [1, 1]) == 0


@given(st.integers(0, 10_000), st.floats(0.2, 5.0), st.integers(2, 5))
def test_the_temperature_is_the_minimum(seed, sharpness, C):
    """No other T has a lower loss, and scaling the logits scales it."""
    rng = np.random.default_rng(seed)
    z, gold = rng.normal(size=(60, C)) * sharpness, rng.integers(0, C, 60)
    T = calibration.fit_temperature(z, gold)
    for other in (T * 0.98, T * 1.02, 1.0):
        if calibration.LEAST < other < calibration.MOST:
            assert nll(z, gold, T) <= nll(z, gold, other) + 1e-12
    twice = calibration.fit_temperature(2 * z, gold)
    if calibration.LEAST < T < calibration.MOST / 2:
        assert twice == pytest.approx(2 * T, rel=1e-6)


def test_the_temperature_equals_pytorchs():
    """LBFGS on the same loss (Guo et al.'s own code), frozen where PyTorch is not installed."""
    rng = np.random.default_rng(3)
    z, gold = 4 * rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    gold[:120] = z[:120].argmax(-1)
    found = calibration.fit_temperature(z, gold)
    assert found == pytest.approx(4.931262769510181, rel=1e-9)
    torch = pytest.importorskip("torch")
    theirs = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theirs], lr=0.1, max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-14)

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(torch.tensor(z) / theirs, torch.tensor(gold))
        value.backward()
        return value

    optimizer.step(loss)
    assert found == pytest.approx(theirs.item(), rel=1e-5)


def test_examples_that_say_nothing_leave_the_temperature_at_1():
    """All right: the loss would fall for ever. Worse than chance: the highest T."""
    z = np.array([[2.0, 0.0], [0.0, 3.0]])
    assert calibration.fit_temperature(z, [0, 1]) == 1.0
    assert calibration.fit_temperature(z, [1, 0]) == pytest.approx(calibration.MOST)
    assert calibration.fit_temperature(np.zeros((0, 2)), []) == 1.0


def test_the_report_says_when_the_temperature_is_at_its_limit():
    z, gold = np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([1, 0])
    T = calibration.fit_temperature(z, gold)
    logp = calibration.log_probabilities(list(z / T))
    report = calibration.judge((logp, gold), T, ("development", 2))
    assert "T is at its limit" in calibration.as_text(report, "test")
    report = calibration.judge((logp, gold), 2.0, ("development", 2))
    assert "limit" not in calibration.as_text(report, "test")


def test_rows_of_different_lengths():
    """As choices have them: classes that are not there have no part."""
    logp = calibration.log_probabilities([np.array([0.7, 0.3]), np.array([0.2, 0.3, 0.5])])
    assert np.exp(logp) == pytest.approx(np.array([[0.7, 0.3, 0.0], [0.2, 0.3, 0.5]]))
    T = calibration.fit_temperature(logp, [1, 2])
    assert nll(logp, [1, 2], T) <= nll(logp, [1, 2], 1.0)
    assert calibration.measures(logp, np.array([0, 2]))["nll"] == pytest.approx(-(np.log(0.7) + np.log(0.5)) / 2)


@pytest.mark.parametrize("task", ["classify", "choice", "relation"])
def test_the_report_and_predict_use_the_temperature(tmp_path, task):
    """Fitted on the held-out examples, stored next to the weights, used by predict; no answer changes."""
    job = cases.run(task, tmp_path, epochs=3, test=cases.settings(task, tmp_path).train)
    job.train()
    report.finish(job)
    found, T = job.report["calibration"], job.task.temperature
    assert (found["fitted_on"], found["examples"], found["temperature"]) == ("dev", len(job.data.dev), T)
    assert T != 1.0
    assert json.loads((tmp_path / "out" / FACTS).read_text())["facts"]["temperature"] == T
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    again = Predictor(tmp_path / "out").file(job.s.test)
    for line, other in zip(lines, again, strict=True):
        assert other["prediction"] == line["prediction"]
        assert probabilities(other) == pytest.approx(probabilities(line), abs=2e-6)
    p = [np.array(probabilities(line)) for line in again]
    _, gold = job.task.confidences(job.data.test, p)
    assert found["after"]["nll"] == pytest.approx(-np.mean([np.log(q[g]) for q, g in zip(p, gold, strict=True)]), abs=1e-4)
    before = [softened(q, T)[g] for q, g in zip(p, gold, strict=True)]
    assert found["before"]["nll"] == pytest.approx(-np.mean(np.log(before)), abs=1e-4)
    if task == "classify":
        assert found["before"]["nll"] == pytest.approx(job.report["scores"]["loss"], abs=1e-4)
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "expected calibration error" in text
    assert f"T = {T:.3f}" in text


def probabilities(record):
    """As a list."""
    p = record["probabilities"]
    return list(p.values()) if isinstance(p, dict) else p


def softened(p, T):
    """softmax(T log p)"""
    q = p**T
    return q / q.sum()


def test_several_labels_and_numbers(tmp_path):
    """Each label is a decision of its own; numbers have no confidence."""
    for name, rows in (("several", "a film\tx|y\nthe book\tx\na plot\ty\nthe end\t\n"), ("numbers", "a film\t1\nthe book\t2\n")):
        (tmp_path / name).mkdir()
        path = tmp_path / f"{name}.tsv"
        path.write_text("text\tlabel\n" + rows * 6)
        job = cases.run("classify", tmp_path / name, train=str(path), dev=str(path), epochs=1, targets=name)
        job.train()
        report.finish(job)
        assert ("calibration" in job.report) == (name == "several")
        if name == "several":
            p = np.array([[0.9, 0.2]] * len(job.data.dev))
            logp, gold = job.task.confidences(job.data.dev, list(p))
            assert np.exp(logp[:2]) == pytest.approx(np.array([[0.1, 0.9], [0.8, 0.2]]))
            assert gold[:8].tolist() == [1, 1, 1, 0, 0, 1, 0, 0]


def test_without_held_out_examples_nothing_is_fitted(tmp_path):
    """The report says so; T is 1."""
    s = cases.settings("classify", tmp_path, epochs=1, validation=0.0)
    s.test, s.dev = s.dev, ""
    job = cases.run("classify", tmp_path, epochs=1, validation=0.0, dev="", test=s.test)
    job.train()
    report.finish(job)
    assert job.report["calibration"]["temperature"] == 1.0
    assert "fitted on nothing, because no examples were held out" in (tmp_path / "out" / "report.txt").read_text()


def test_a_damaged_temperature_is_one_line(tmp_path):
    """Zero, or a word."""
    s = cases.settings("classify", tmp_path)
    finetune("classify", **{n: getattr(s, n) for n in ("train", "dev", "model", "output", "length", "lr", "compare")}, epochs=1)
    path = tmp_path / "out" / FACTS
    saved = json.loads(path.read_text())
    for value in (0, -1.5, "hot", None):
        saved["facts"]["temperature"] = value
        path.write_text(json.dumps(saved))
        with pytest.raises(ValueError, match="not the record of a fine-tuning run"):
            Predictor(tmp_path / "out")
    del saved["facts"]["temperature"]  # of an older version
    path.write_text(json.dumps(saved))
    assert Predictor(tmp_path / "out").task.temperature == 1.0
