"""The rungs on numbers of a table: linear regression in three ways, ridge, trees, and a small neural network on the engine.

Read before: rows.py, models/classical/linear_regression.py. Read next: rungs.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim

from ..classical import linear_regression
from ..classical.baselines import Baseline, Constant, Linear
from ..classical.pipeline import Rung, trees


class Numbers:
    """A row's numbers as features, standardised by the training rows."""

    parameters, size = 0, 0

    def __init__(self, task: Any) -> None:
        self.task, self.names = task, task.heads

    def fit(self, examples: list[Any], y: Any = None, make: Any = None) -> Any:
        """(n, d)"""
        return self.task.table_of(examples)

    transform = fit

    def in_units(self, column: int, value: float) -> float:
        """A standardised value in the file's own units."""
        return float(value * self.task.deviations[column] + self.task.means[column])


class ThreeWays(Baseline):
    """One of the three fits of linear_regression.py."""

    def __init__(self, task: Any, fit: Callable[..., Any], ridge: float = 0.0) -> None:
        self.task, self.way, self.ridge = task, fit, ridge

    def fit(self, examples: list[Any]) -> Baseline:
        y = np.array([self.task.number(e) for e in examples])
        self.line = self.way(self.task.table_of(examples), y, self.ridge)
        self.parameters = len(self.line.weight) + 1
        self.size = 8 * self.parameters
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        return [float(y) for y in self.line.predict(self.task.table_of(examples))]

    def weights_of_words(self) -> list[str]:
        """The heaviest columns, per deviation of the column."""
        w = self.line.weight
        order = np.argsort(-np.abs(w))[:6]
        return ["one deviation more changes the answer by: " + ", ".join(f"{self.task.heads[i]} {w[i]:+.3g}" for i in order)]


class MLP(Baseline):
    """Two hidden layers of 64, ReLU, AdamW with a cosine schedule; the epoch that is best on the held-out rows is kept."""

    def __init__(self, task: Any, lr: float, dev: list[Any], whole: int, epochs: int = 40, batch: int = 64) -> None:
        self.task, self.lr, self.dev, self.whole, self.epochs, self.batch = task, lr, dev, whole, epochs, batch

    def fit(self, examples: list[Any]) -> Baseline:
        task, seed = self.task, self.task.s.seed
        X = task.table_of(examples).astype(np.float32)  # (n, d)
        y = np.array([task.target(e) for e in examples], dtype=np.float32)[:, None]
        minitorch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(X.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        optimizer = optim.AdamW(self.net.parameters(), lr=self.lr)
        rng, per_epoch = np.random.default_rng(seed), -(-len(X) // self.batch)
        epochs = max(self.epochs, 200 // per_epoch)  # a small table needs more of them
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * per_epoch)
        best, kept = np.inf, self.net.state_dict()
        for _ in range(epochs):
            for rows in np.array_split(rng.permutation(len(X)), per_epoch):
                loss = F.mse_loss(self.net(minitorch.tensor(X[rows])), minitorch.tensor(y[rows]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            error = (
                self.error_on_dev() if len(examples) == self.whole else 0.0
            )  # a point of the learning curve has no held-out rows
            if error < best or not error:
                best, kept = error, {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(kept)
        self.parameters = sum(p.numel() for p in self.net.parameters())
        self.size = 4 * self.parameters
        return self

    def error_on_dev(self) -> float:
        """Mean squared error."""
        y = np.array([self.task.number(e) for e in self.dev])
        return float(((np.array(self.predict(self.dev)) - y) ** 2).mean())

    def predict(self, examples: list[Any]) -> list[Any]:
        with minitorch.no_grad():
            z = self.net(minitorch.tensor(self.task.table_of(examples).astype(np.float32))).numpy()[:, 0]
        return [float(y) for y in z.astype(np.float64) * self.task.scale + self.task.mean]


def for_tables(task: Any, dev: list[Any], whole: int) -> list[Rung]:
    """From the mean to the network, which keeps its best epoch on ``dev`` where it learns from the ``whole`` training rows."""
    mean = lambda value: Constant(lambda examples: float(np.mean([task.number(e) for e in examples])))  # noqa: E731
    ways = {
        "normal equations": linear_regression.fit_normal_equations,
        "least squares": linear_regression.fit_least_squares,
        "gradient descent": linear_regression.fit_gradient_descent,
    }
    linear = [Rung(f"linear regression, {name}", lambda value, fit=fit: ThreeWays(task, fit)) for name, fit in ways.items()]
    ridge = lambda λ: ThreeWays(task, linear_regression.fit_least_squares, λ)  # noqa: E731
    grown = [
        Rung(name, lambda value, make=make: Linear(lambda: make(value), task, Numbers(task)), setting, grid)
        for name, make, setting, grid in trees(True, task.s.seed, {})
    ]
    network = Rung("neural network (MLP) on the engine", lambda lr: MLP(task, lr, dev, whole), "rate", (3e-3, 1e-3))
    return [Rung("mean", mean), *linear, Rung("ridge regression", ridge, "λ", (1.0, 10.0, 100.0)), *grown, network]
