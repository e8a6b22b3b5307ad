"""How good, and is a difference chance? Scores as sums over examples, so that a bootstrap needs no second look at them.

Every metric here is a function of the sum of a few counts per example: accuracy = right / asked, F1 = 2 right / (answered +
asked), R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)². A bootstrap sample weighs the examples, so its score is that of the weighted sum.
Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapters 13 and 16; McNemar (1947), exact as in Dietterich
(1998), section 3.1; Holm (1979) for several comparisons.
Read next: contest.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..finetuning import metrics

SAMPLES = 1000


def evidence(task: Any, examples: list[Any], predictions: list[Any]) -> tuple[str, Any]:
    """(metric's name, counts (n, k) whose sums give it) of a task's predictions."""
    if task.name == "qa":
        gold = [[text for text, _ in q.answers] or [""] for q in examples]
        f1 = [metrics.answer_f1(p[0]["text"], g) for p, g in zip(predictions, gold, strict=True)]
        return "F1", shares(f1)
    if task.name == "tag" and task.entities:
        found = [(set(metrics.spans(s.tags)), set(metrics.spans(p))) for s, p in zip(examples, predictions, strict=True)]
        return "span F1", np.array([[len(g & p), len(p), len(g)] for g, p in found], dtype=float)
    if task.name == "tag":
        right = [sum(a == b for a, b in zip(s.tags, p, strict=True)) for s, p in zip(examples, predictions, strict=True)]
        return "accuracy", np.array([[r, len(s.tags)] for r, s in zip(right, examples, strict=True)], dtype=float)
    targets = getattr(task, "targets", "")
    if targets == "numbers":
        y, guess = np.array([task.number(e) for e in examples]), np.array(predictions, dtype=float)
        y, guess = (y - task.mean) / task.scale, (guess - task.mean) / task.scale  # squares of large numbers lose digits
        return "R²", np.stack([(y - guess) ** 2, y, y**2, np.ones(len(y))], axis=1)
    if targets == "several":
        g, p = np.array([task.target(e) for e in examples]) > 0.5, np.stack(predictions) > 0.5
        return "micro F1", np.stack([(g & p).sum(1), p.sum(1), g.sum(1)], axis=1).astype(float)
    if targets == "classes":
        return "accuracy", shares([float(np.argmax(p) == task.target(e)) for e, p in zip(examples, predictions, strict=True)])
    return "accuracy", shares([task.score([e], [p])["accuracy"] for e, p in zip(examples, predictions, strict=True)])


def shares(values: list[float]) -> Any:
    """Counts of a mean: (value, 1)."""
    return np.stack([np.array(values, dtype=float), np.ones(len(values))], axis=1)


def folded(sums: Any) -> Any:
    """The metric of sums (..., k); how many counts there are tells which metric it is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        k = sums.shape[-1]
        if k == 2:
            return sums[..., 0] / sums[..., 1]
        if k == 3:
            return np.where(sums[..., 1] + sums[..., 2] > 0, 2 * sums[..., 0] / (sums[..., 1] + sums[..., 2]), 0.0)
        return 1 - sums[..., 0] / (sums[..., 2] - sums[..., 1] ** 2 / sums[..., 3])


def merits(counts: Any) -> Any:
    """How good each single answer is, (n,): 1 is right; of numbers, minus the error in the target's deviations."""
    k = counts.shape[1]
    if k == 2:
        return counts[:, 0] / counts[:, 1]
    return folded(counts) + (counts[:, 1:].sum(1) == 0) if k == 3 else -np.sqrt(counts[:, 0])


def bootstrap(counts: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """name -> scores (SAMPLES,) of the same samples of examples for all."""
    n = len(next(iter(counts.values())))
    rng, found = np.random.default_rng([seed, 17]), {name: np.empty(SAMPLES) for name in counts}
    for i in range(0, SAMPLES, 50):  # few at a time, for the weights are (samples, n)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=50).astype(float)
        for name, c in counts.items():
            found[name][i : i + 50] = folded(weights @ c)
    return found


def interval(scores: Any, counts: Any = None) -> list[float]:
    """95 %: the middle of the bootstrap's scores; of the share of right answers, which may be all of them, Wilson's (1927)."""
    if counts is not None and counts.shape[1] == 2 and set(np.unique(merits(counts))) <= {0.0, 1.0}:
        from scipy.stats import binomtest

        return list(map(float, binomtest(int(merits(counts).sum()), len(counts)).proportion_ci(method="wilson")))
    return [float(x) for x in np.nanpercentile(scores, [2.5, 97.5])]


def mcnemar(a: Any, b: Any) -> float | None:
    """p of the exact test that two methods err equally often, from right and wrong answers; None where answers are in between."""
    from scipy.stats import binomtest

    if any(set(np.unique(x)) - {0.0, 1.0} for x in (a, b)):
        return None
    only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def against(best: str, counts: dict[str, Any], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Each method's difference to the best: its interval, p of McNemar's test and of the bootstrap, and Holm's verdict."""
    samples, rows = bootstrap(counts, seed), {}
    for name, c in counts.items():
        if name == best:
            continue
        d = samples[best] - samples[name]
        d = d[np.isfinite(d)]
        p = float(min(1.0, 2 * min((d <= 0).mean(), (d >= 0).mean()) + 1 / SAMPLES)) if len(d) else 1.0
        exact = mcnemar(merits(counts[best]), merits(c)) if c.shape[1] == 2 else None
        rows[name] = {
            "difference": float(folded(counts[best].sum(0)) - folded(c.sum(0))),
            "interval": interval(d) if len(d) else [0.0, 0.0],
            "bootstrap_p": p,
            "mcnemar_p": exact,
        }
    holm(rows)
    return rows


def holm(rows: dict[str, dict[str, Any]], level: float = 0.05) -> None:
    """Mark the differences that are more than chance when all are looked at: the i-th smallest p against level/(m - i)."""
    order = sorted(rows, key=lambda name: p_of(rows[name]))
    still = True
    for i, name in enumerate(order):
        still = still and p_of(rows[name]) <= level / (len(order) - i)
        rows[name]["real"] = still


def p_of(row: dict[str, Any]) -> float:
    """McNemar's p where there is one, or else the bootstrap's."""
    return float(row["bootstrap_p"] if row["mcnemar_p"] is None else row["mcnemar_p"])
