"""Calibration: of the answers that a model gives with confidence 0.8, are 80 % right? And the temperature that mends it.

Guo, Pleiss, Sun and Weinberger (2017), "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
Read before: tasks.py. Read next: report.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import count

BINS = 15
LEAST, MOST = 0.05, 20.0  # limits of a temperature

Answers = tuple[Any, Any]  # logits or log-probabilities (N, C) and right classes (N,); -inf where there is no such class


def expected_calibration_error(confidence: Any, right: Any, bins: int = BINS) -> float:
    """ECE = Σ_b n_b/n · |accuracy_b - confidence_b| over bins (0, 1/15], (1/15, 2/15], ... of equal width (Guo et al., eq. 3)."""
    rows = reliability(confidence, right, bins)
    total = sum(row["count"] for row in rows)
    return float(sum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / max(total, 1))


def reliability(confidence: Any, right: Any, bins: int = BINS) -> list[dict[str, Any]]:
    """Of each bin that is not empty: how many answers it has, their mean confidence, and the share that is right."""
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    edges = np.arange(1, bins) / bins  # (bins - 1,): the upper edge belongs to the bin
    which = np.searchsorted(edges, confidence, side="left")
    rows = []
    for b in np.unique(which):
        inside = which == b
        facts = {"confidence": float(confidence[inside].mean()), "accuracy": float(right[inside].mean())}
        rows.append({"bin": int(b), "count": int(inside.sum()), **facts})
    return rows


def softmax(rows: Sequence[Any], temperature: float = 1.0) -> list[Any]:
    """softmax(z/T) of each row of logits."""
    e = [np.exp((row.astype(np.float64) - row.max()) / temperature) for row in rows]
    return [x / x.sum() for x in e]


def log_softmax(z: Any) -> Any:
    """log p of logits (N, C)."""
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def fit_temperature(logits: Any, gold: Any) -> float:
    """The T that minimises the mean of -log softmax(z/T)[gold] (Guo et al., section 4.2), between LEAST and MOST.

    In β = 1/T the loss is convex, and its slope is the model's mean logit less that of the right answers: bisection finds the
    zero. Where every answer is right the loss falls for ever with T: such examples say nothing, and T stays 1.
    """
    z, gold = np.asarray(logits, dtype=np.float64), np.asarray(gold)
    if not len(z) or (z.argmax(-1) == gold).all():
        return 1.0
    known = np.where(np.isfinite(z), z, 0.0)
    z = z - z.max(-1, keepdims=True)
    wanted = known[np.arange(len(z)), gold]

    def slope(T: float) -> float:
        return float(((np.exp(log_softmax(z / T)) * known).sum(-1) - wanted).mean())

    low, high = np.log(LEAST), np.log(MOST)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) > 0 else (low, middle)
    return float(np.exp((low + high) / 2))


def log_probabilities(predictions: Sequence[Any]) -> Any:
    """(N, C) of rows of probabilities; rows may differ in length, as choices do."""
    width = max(len(p) for p in predictions)
    rows = np.full((len(predictions), width), -np.inf)
    for row, p in zip(rows, predictions, strict=True):
        row[: len(p)] = np.log(np.maximum(p, 1e-300))
    return rows


def measures(logits: Any, gold: Any) -> dict[str, Any]:
    """ECE, the mean negative log-likelihood of the right answers, and the bins of the picture."""
    logp = log_softmax(np.asarray(logits, dtype=np.float64))
    confidence, right = np.exp(logp.max(-1)), logp.argmax(-1) == gold
    nll = -float(logp[np.arange(len(logp)), gold].mean())
    return {"ece": expected_calibration_error(confidence, right), "nll": nll, "bins": reliability(confidence, right)}


def judge(answers: Answers, temperature: float, fitted: tuple[str, int]) -> dict[str, Any]:
    """For the report: as trained and at the temperature. ``answers`` are at the temperature; fitted: on what, and on how many."""
    logp, gold = answers
    result: dict[str, Any] = {"temperature": temperature, "fitted_on": fitted[0], "examples": fitted[1]}
    return {**result, "before": measures(logp * temperature, gold), "after": measures(logp, gold)}


def as_text(report: dict[str, Any], judged: str) -> str:
    """The table of the report."""
    before, after, T = report["before"], report["after"], report["temperature"]
    lines = [f"{'confidence':28}{'as trained':>12}{f'T = {T:.3f}':>12}"]
    for name, key in (("expected calibration error", "ece"), ("negative log-likelihood", "nll")):
        lines.append(f"{name:28}{before[key]:12.4f}{after[key]:12.4f}")
    on = f"the {count(report['examples'], report['fitted_on'] + ' example')}"
    if not report["fitted_on"]:
        on = "nothing, because no examples were held out"
    elif T == 1.0:
        on += ", all answered right: nothing to learn there"
    elif T > 0.999 * MOST:
        on += ", whose answers have nothing to do with the confidences: T is at its limit"
    elif report["fitted_on"] == judged:
        on += " judged here, so the second column is a little low"
    return "\n".join([*lines, f"(temperature T: probabilities are softmax(logits / T), the answers stay; fitted on {on})"])


def draw(axes: Any, report: dict[str, Any]) -> None:
    """The reliability picture: accuracy against confidence, as trained and at the temperature; the area shows how many."""
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
    T = report["temperature"]
    shown = [("before", "as trained", "#9db4c8")] + [("after", f"T = {T:.2f}", "#2f6690")] * (T != 1.0)
    for key, name, colour in shown:
        bins = report[key]["bins"]
        total = sum(b["count"] for b in bins)
        x, y = ([b[part] for b in bins] for part in ("confidence", "accuracy"))
        axes.vlines(x, x, y, color=colour, linewidth=1)
        sizes = [12 + 300 * b["count"] / total for b in bins]
        axes.scatter(x, y, s=sizes, color=colour, alpha=0.8, linewidths=0, label=f"{name}: ECE {report[key]['ece']:.3f}")
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="share that is right", title="Calibration")
    for handle in axes.legend(frameon=False, loc="upper left").legend_handles:
        handle.set_sizes([36])
