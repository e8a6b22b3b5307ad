"""The diagonal of the Fisher information: how much the answers depend on each weight.

    F = mean over examples x of  Σ_y p(y|x) (∂ log p(y|x) / ∂θ)²        exact: y is every answer of the model
    sampled      the sum is one y, drawn from p(y|x): right in the mean, and one backward pass per example
    empirical    y is the label of the example: what many programs compute; no Fisher information unless the model is right
    batched      the square of the mean gradient of a batch, at the labels: cheaper, and much too small

van de Ven (2025), "On the computation of the Fisher information in continual learning", https://arxiv.org/abs/2502.11756.
Read next: ewc.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

KINDS = ("sampled", "exact", "empirical", "batched")


def fisher(
    log_p: Callable[[Any], Tensor], batches: Iterable[tuple[Any, Any]], parameters: Mapping[str, Tensor], kind: str, rng: Any
) -> dict[str, Tensor]:
    """F of each parameter. log_p: an input -> log-probabilities (B, classes); batches: pairs of input and labels (B,).

    A batch holds one example, except of the kind "batched". The model must be in evaluation mode, without dropout.
    """
    total = {name: p.detach().array * 0 for name, p in parameters.items()}
    n = 0
    for x, labels in batches:
        B = len(labels)
        log = log_p(x)  # (B, C)
        p = np.exp(log.detach().cpu().numpy().astype(np.float64)) / B  # (B, C)
        true = np.eye(p.shape[1])[np.asarray(labels)] / B  # (B, C)
        if kind == "batched":
            add(total, parameters, (log * minitorch.tensor(true, dtype=log.dtype, device=log.device)).sum(), B)
        else:
            drawn = rng.choice(p.shape[1], p=p[0] / p[0].sum()) if kind == "sampled" else 0
            weights = {"exact": p[0], "empirical": true[0], "sampled": np.eye(p.shape[1])[drawn]}[kind]
            for y in np.flatnonzero(weights).tolist():
                add(total, parameters, log[0, y], float(weights[y]))
        n += B
    return {name: minitorch.tensor(value / n, device=parameters[name].device) for name, value in total.items()}


def add(total: dict[str, Any], parameters: Mapping[str, Tensor], value: Tensor, weight: float) -> None:
    """total += weight · (∂ value / ∂ parameter)²"""
    gradients = minitorch.autograd.grad(value, list(parameters.values()), retain_graph=True, allow_unused=True)
    for name, g in zip(parameters, gradients, strict=True):
        if g is not None:
            total[name] += weight * (g.array * g.array)
