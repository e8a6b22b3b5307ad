"""What became of the tasks, from R: R[i][j] is the score on task j after task i was learnt, b[j] that of the untrained model.

Lopez-Paz and Ranzato (2017), "Gradient episodic memory", https://arxiv.org/abs/1706.08840, section 2 (accuracy and transfer);
Chaudhry et al. (2018), "Riemannian walk", https://arxiv.org/abs/1801.10112, section 3 (forgetting). Read next: run.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NAMES = {
    "accuracy": "average accuracy",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
    "forgetting": "forgetting",
}


def transfer(R: Any, b: Any) -> dict[str, float]:
    """R (T, T), b (T,), tasks in the order in which they were learnt:

    average accuracy     mean over j of R[T][j]
    backward transfer    mean over j < T of R[T][j] - R[j][j]
    forward transfer     mean over j > 1 of R[j-1][j] - b[j]
    forgetting           mean over j < T of (the largest R[l][j], l < T) - R[T][j]
    """
    R, b = np.asarray(R, float), np.asarray(b, float)
    last, own, next_ = R[-1], R.diagonal(), R.diagonal(1)
    return {
        "accuracy": float(last.mean()),
        "backward_transfer": float((last - own)[:-1].mean()),
        "forward_transfer": float((next_ - b[1:]).mean()),
        "forgetting": float((R[:-1].max(0) - last)[:-1].mean()),
    }
