"""How good recommendations are: of the items that a user clicked later, how many stand among the first k, and how high.

Read before: recommenders.py. Read next: recommend_command.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = Any
BLOCK = 512  # users at a time: a table of all users and items may not fit into memory


def first_items(recommender: Any, seen: Any, u: Array, k: int) -> Array:
    """The k best items of users u that they have not clicked yet, the best first: (U, k); of equals the earlier one."""
    scores = np.array(recommender.scores(u), float)
    scores[seen[u].nonzero()] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def blocks(u: Array) -> Iterator[Array]:
    """The users in parts."""
    return (u[at : at + BLOCK] for at in range(0, len(u), BLOCK))


def quality(recommender: Any, seen: Any, wanted: Any, k: int) -> dict[str, float]:
    """The mean over users who clicked something in ``seen`` and something in ``wanted`` (both sparse tables):

        recall@k = |hits among the first k| / min(k, |wanted|)
        NDCG@k = Σ over hits of 1/log₂(1 + place) / the same sum if all wanted items came first

    Järvelin and Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", with gain 1 for a click.
    """
    u = np.flatnonzero((np.diff(wanted.indptr) > 0) & (np.diff(seen.indptr) > 0))
    gain = 1 / np.log2(np.arange(2, k + 2))  # of places 1 to k
    recalls, gains = [], []
    for part in blocks(u):
        best = first_items(recommender, seen, part, k)  # (U, k)
        hits = np.take_along_axis(wanted[part].toarray(), best, 1) > 0
        most = np.minimum(np.diff(wanted.indptr)[part], k)
        recalls.append(hits.sum(1) / most)
        gains.append((hits * gain[: hits.shape[1]]).sum(1) / np.cumsum(gain)[most - 1])
    if not len(u):
        return {"users": 0}
    return {"users": len(u), "recall": float(np.concatenate(recalls).mean()), "ndcg": float(np.concatenate(gains).mean())}


def only(table: Any, items: Array) -> Any:
    """The table with the other items' columns empty. items: (items,) of True and False."""
    kept = table.multiply(items.astype(np.float32)).tocsr()
    kept.eliminate_zeros()
    return kept
