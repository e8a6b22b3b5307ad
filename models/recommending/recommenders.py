"""Five recommenders. Each has ``fit(clicked)`` and ``scores(u) -> (U, items)`` for users u; clicked is a sparse table of 0 and 1.

Read before: clicks.py. Read next: measuring.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F
from minitorch import nn, optim, tensor

from ..training.loop import progress

Array = Any


class Popularity:
    """The items that most users clicked, to everybody."""

    def fit(self, clicked: Any) -> Popularity:
        """Count."""
        self.counts = np.asarray(clicked.sum(0)).ravel()
        return self

    def scores(self, u: Array) -> Array:
        """(U, items)"""
        return np.broadcast_to(self.counts, (len(u), len(self.counts)))


class Neighbours:
    """Items that the same users clicked: sᵢⱼ = |users of i and j| / √(|users of i| |users of j|), summed over a user's clicks.

    Sarwar et al. (2001), "Item-based collaborative filtering recommendation algorithms", section 3.1.
    """

    def fit(self, clicked: Any) -> Neighbours:
        """Compare all pairs of items."""
        size = np.sqrt(np.maximum(np.asarray(clicked.sum(0)).ravel(), 1))
        unit = clicked.multiply(1 / size).tocsr()  # (users, items), columns of length 1
        self.clicked, self.similar = clicked, (unit.T @ unit).toarray()
        np.fill_diagonal(self.similar, 0)
        return self

    def scores(self, u: Array) -> Array:
        """(U, items)"""
        return self.clicked[u] @ self.similar


class Factors(nn.Module):
    """xᵤᵢ = pᵤ·qᵢ + bᵢ, trained so that a clicked item i stands above a drawn item j: Σ -ln σ(xᵤᵢ - xᵤⱼ) + λ|θ|².

    Rendle et al. (2009), "BPR: Bayesian personalized ranking from implicit feedback", section 4.
    """

    def __init__(self, size: int = 32, epochs: int = 30, lr: float = 0.02, decay: float = 1e-4, seed: int = 0) -> None:
        super().__init__()
        self.size, self.epochs, self.lr, self.decay, self.seed = size, epochs, lr, decay, seed

    def fit(self, clicked: Any) -> Factors:
        """Adam on batches of clicks, each with an item drawn from those that the user did not click."""
        users, items = clicked.shape
        minitorch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        self.p, self.q = nn.Embedding(users, self.size), nn.Embedding(items, self.size)
        self.b = nn.Parameter(minitorch.zeros(items))
        for table in (self.p, self.q):
            nn.init.normal_(table.weight, std=0.1)
        u, i = (np.asarray(a, np.int64) for a in clicked.nonzero())
        known = np.sort(u * items + i)
        optimizer = optim.Adam(self.parameters(), lr=self.lr)
        batch = min(2048, len(u))
        with progress(self.epochs, 0, "epoch") as bar:
            for _ in range(self.epochs):
                order = rng.permutation(len(u))
                for rows in (order[at : at + batch] for at in range(0, len(u), batch)):
                    self.learn(optimizer, u[rows], i[rows], unclicked(u[rows], items, known, rng))
                bar.update()
        return self

    def learn(self, optimizer: Any, u: Array, i: Array, j: Array) -> None:
        """One step."""
        who, good, bad = self.p(tensor(u)), self.q(tensor(i)), self.q(tensor(j))  # (B, size) each
        better = (who * (good - bad)).sum(-1) + self.b[tensor(i)] - self.b[tensor(j)]  # (B,)
        size = (who * who + good * good + bad * bad).sum()
        loss = -F.logsigmoid(better).sum() + self.decay * size
        optimizer.zero_grad()
        (loss / len(u)).backward()
        optimizer.step()

    def scores(self, u: Array) -> Array:
        """(U, items)"""
        return self.p.weight.detach().numpy()[u] @ self.q.weight.detach().numpy().T + self.b.detach().numpy()


def unclicked(u: Array, items: int, known: Array, rng: np.random.Generator, tries: int = 10) -> Array:
    """For each user (B,) an item that is not among the ``known`` sorted numbers user · items + item; after ten tries any."""
    j = rng.integers(0, items, len(u))
    for _ in range(tries):
        at = np.searchsorted(known, u * items + j)
        again = known[np.minimum(at, len(known) - 1)] == u * items + j
        if not again.any():
            break
        j[again] = rng.integers(0, items, int(again.sum()))
    return j


class Described:
    """The cosine of an item's vector and the mean vector of what the user clicked: it knows items that nobody clicked yet."""

    def __init__(self, vectors: Array) -> None:
        self.vectors = vectors  # (items, H), of length 1

    def fit(self, clicked: Any) -> Described:
        """Average. Users who clicked nothing get 0."""
        centred = self.vectors - self.vectors.mean(0)  # descriptions of one shop are all alike: their common part says nothing
        self.unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
        taste = clicked @ self.unit  # (users, H)
        self.taste = taste / np.maximum(np.linalg.norm(taste, axis=1, keepdims=True), 1e-9)
        return self

    def scores(self, u: Array) -> Array:
        """(U, items)"""
        return self.taste[u] @ self.unit.T


class Joined:
    """w · clicks + (1 - w) · descriptions, each standardised per user. An item that nobody clicked has 0, the mean, there."""

    def __init__(self, clicks: Any, descriptions: Any, weight: float = 0.5) -> None:
        self.clicks, self.descriptions, self.weight = clicks, descriptions, weight

    def fit(self, clicked: Any) -> Joined:
        """Both."""
        self.clicks.fit(clicked)
        self.descriptions.fit(clicked)
        self.cold = np.asarray(clicked.sum(0)).ravel() == 0
        return self

    def scores(self, u: Array) -> Array:
        """(U, items)"""
        first, second = standard(self.clicks.scores(u), ~self.cold), standard(self.descriptions.scores(u))
        return self.weight * np.where(self.cold, 0, first) + (1 - self.weight) * second


def standard(scores: Array, which: Array = slice(None)) -> Array:
    """Each row with mean 0 and deviation 1 over ``which`` of its columns."""
    rows = scores[:, which]
    return (scores - rows.mean(1, keepdims=True)) / np.maximum(rows.std(1, keepdims=True), 1e-9)
