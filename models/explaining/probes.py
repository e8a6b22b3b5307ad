"""Probes: which layer's states tell the label, to a linear model (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644).

The states of each layer are averaged over a text's pieces (for tags: a word's first piece; for relations: the two entities'
starts), and logistic regression (ridge for numbers) is scored by cross-validation. Two rows say what the score is worth: the most
frequent class, and the same probe on the same architecture with random weights (Zhang and Bowman 2018).
Read before: sources.py.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

import minitorch

from ..errors import BadInput
from ..training.loop import to_device
from .subject import Array

FOLDS = 5


class Probed(NamedTuple):
    """Scores by layer, the embeddings' first, of the model and of random weights; the score without any state."""

    metric: str
    scores: list[float]
    random: list[float]
    baseline: float


def probe(source: Any, examples: list[Any]) -> Probed:
    """Of labelled examples."""
    task = source.task
    if task is None or task.name not in ("classify", "tag", "relation") or getattr(task, "targets", "") == "several":
        raise BadInput("--method probes needs a model with one label per text, word or pair of entities, and a labelled --file")
    targets, numbers = targets_of(task, examples), getattr(task, "targets", "") == "numbers"
    names, counts = np.unique(targets, return_counts=True)
    keep = np.ones(len(targets), bool) if numbers else np.isin(targets, names[counts >= FOLDS])  # a fold has one of each
    y = targets[keep]
    if len(y) < 4 * FOLDS or np.ptp(y) == 0:
        raise BadInput(f"--method probes needs {4 * FOLDS} labelled examples, {FOLDS} of each of two labels; give more of --file")
    scores = [[scored(X[keep], y, numbers) for X in states(source, model, examples)] for model in (source.model, source.random())]
    baseline = 0.0 if numbers else float(np.unique(y, return_counts=True)[1].max() / len(y))
    return Probed("R²" if numbers else "accuracy", scores[0], scores[1], baseline)


def targets_of(task: Any, examples: list[Any]) -> Array:
    """A class number (or a number) for each row of the states."""
    if task.name == "tag":
        return np.array([task.labels.index(tag) for sentence in examples for tag in sentence.tags])
    return np.array([task.target(e) for e in examples])


def states(source: Any, model: Any, examples: list[Any]) -> list[Array]:
    """Of each layer (rows, H), the embeddings' first."""
    task, tokenizer = source.task, source.tokenizer
    features = task.features(examples, tokenizer)
    rows: dict[tuple[int, int], Array] = {}
    for i in range(0, len(features), 16):
        some = features[i : i + 16]
        batch = to_device(tokenizer.batch([(f.ids, f.types) for f in some]), model, source.settings.device)
        with minitorch.no_grad():
            found = model.bert(**batch, output_hidden_states=True).hidden_states
        table = np.stack([state.cpu().numpy() for state in found])  # (L + 1, B, S, H)
        for b, f in enumerate(some):
            if task.name == "tag":
                rows |= {(f.example, word): table[:, b, place] for place, word in f.extra}
            elif task.name == "relation":
                rows[f.example, 0] = table[:, b, list(f.extra)].reshape(len(table), -1)
            else:
                rows[f.example, 0] = table[:, b, 1 : f.size - 1].mean(1)
    return list(np.stack([rows[key] for key in sorted(rows)], 1))


def scored(X: Array, y: Array, numbers: bool) -> float:
    """The mean score of the folds."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = RidgeCV(np.logspace(0, 5, 11)) if numbers else LogisticRegression(C=0.01, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about convergence
        return float(cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=FOLDS).mean())
