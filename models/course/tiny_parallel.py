"""A small BERT that several ranks fine-tune, with the learner's all-reduce between them (assignment 10).

``alone()`` is one process with the whole batch; ``shared(m, counts)`` are ranks with parts of it, as many examples each as
``counts`` says for each step. Losses, gradients and weights must be the same: ``right()``.
Read before: ranks.py, tiny_adapt.py. Read next: lessons/assignments/parallel/, minitorch/distributed/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minitorch import Tensor, optim
from minitorch.nn import functional as F

from .ranks import together
from .testing import close
from .tiny_adapt import batch, classifier, just_so
from .tiny_bert import GRADIENT, Watched

COUNTS = ((3, 1), (1, 3), (4, 0), (2, 2))  # the examples of two ranks, step by step
LIMIT = 1000  # elements of a bucket


def right(steps: int = len(COUNTS)) -> dict[str, Any]:
    """What must come out of ``shared``."""
    found = alone(steps)
    weights = {name: close(x, 1e-3, 1e-5) for name, x in found.items() if name.startswith("the weights")}
    return just_so(found) | weights | {"ranks are apart by": 0.0, "messages left over": 0}


class Replica:
    """A rank's own BERT and optimiser; all start equal."""

    def __init__(self) -> None:
        self.model, self.inputs = classifier(), batch()
        self.parameters = dict(self.model.named_parameters())
        self.optimizer = optim.SGD(self.parameters.values(), lr=0.03)  # with AdamW a gradient of twice the size would not show

    def losses(self, rows: slice) -> Tensor:
        """The loss of each of these examples."""
        inputs = {name: Tensor(x.array[rows]) for name, x in self.inputs.items()}
        labels = inputs.pop("labels")
        return F.cross_entropy(self.model(**inputs).logits, labels, reduction="none")

    def noted(self, history: list[float]) -> dict[str, np.ndarray]:
        """The losses, and the weights after the last step in one row."""
        weights = np.concatenate([p.array.ravel() for p in self.parameters.values()])
        return {f"the losses of {len(history)} steps": np.array(history), "the weights afterwards": weights}


def alone(steps: int = len(COUNTS)) -> dict[str, np.ndarray]:
    """What comes out of one process."""
    replica, history, gradients = Replica(), [], {}
    for _ in range(steps):
        replica.optimizer.zero_grad()
        loss = replica.losses(slice(None)).mean()
        loss.backward()
        history.append(loss.item())
        found = {f"{GRADIENT}{n}": p.grad.array.copy() for n, p in replica.parameters.items() if p.grad is not None}
        gradients = gradients or found
        replica.optimizer.step()
    return replica.noted(history) | gradients


def shared(m: Any, counts: Sequence[Sequence[int]] = COUNTS) -> dict[str, Any]:
    """What comes out of ranks that use the learner's functions; and how far their weights and losses are apart."""
    size = len(counts[0])
    replicas = [Replica() for _ in range(size)]

    def run(m: Any, rank: int, send: Any, receive: Any) -> dict[str, np.ndarray]:
        return _learn(Watched(m), rank, replicas[rank], counts, lambda x: m.all_reduce(x, rank, size, send, receive))

    found, ring = together(m, size, run)
    apart = max(float(np.abs(other[name] - x).max()) for other in found for name, x in found[0].items())
    return found[0] | {"ranks are apart by": apart, "messages left over": ring.unread}


def _learn(
    m: Any, rank: int, replica: Replica, counts: Sequence[Sequence[int]], reduce: Callable[[Any], Any]
) -> dict[str, np.ndarray]:
    """One rank's steps: its losses, their gradients, the sums over all ranks, a step of the optimiser."""
    history, gradients = [], {}
    shapes = [p.shape for p in replica.parameters.values()]
    for step in counts:
        rows = slice(sum(step[:rank]), sum(step[: rank + 1]))
        replica.optimizer.zero_grad()
        losses = replica.losses(rows) if step[rank] else Tensor(np.zeros(0, np.float32))
        mean, pullback = m.mean_of_all(losses.array, reduce)
        if step[rank]:
            losses.backward(Tensor(pullback(1.0)))
        own = [None if p.grad is None else p.grad.array for p in replica.parameters.values()]
        for p, g in zip(replica.parameters.values(), m.reduce_gradients(own, shapes, LIMIT, reduce), strict=True):
            p.grad = Tensor(g)
        gradients = gradients or {f"{GRADIENT}{n}": p.grad.array.copy() for n, p in replica.parameters.items()}
        history.append(float(mean))
        replica.optimizer.step()
    return replica.noted(history) | gradients
