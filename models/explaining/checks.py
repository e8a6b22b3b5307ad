"""What an explanation is worth: another map for random weights, and curves of words taken out and put in.

    sanity      rank correlation of the attributions with those of the same architecture with random weights (Adebayo et al.
                2018, https://arxiv.org/abs/1810.03292): near 0, or the method explains the text and not what was learnt
    deletion    the answer's probability while words go, the highest attribution first: a small area is good
    insertion   the same while words come to an empty text: a large area is good   (Petsiuk, Das and Saenko 2018,
                                                                                  https://arxiv.org/abs/1806.07421, section 4.1)
A random order is the baseline of both curves: a set of words that stay is as likely in one as in the other.
Read before: subject.py. Read next: explain.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .subject import Array, Subject

POINTS = 20  # of a curve, from one to the next
ORDERS = 5  # random ones


class Curves(NamedTuple):
    """The share of words that are out (or in), the probabilities, and the areas below them."""

    share: Array
    deletion: Array
    insertion: Array

    @property
    def areas(self) -> tuple[float, float]:
        """Of deletion and insertion, between 0 and 1 of the words."""
        return float(np.trapezoid(self.deletion, self.share)), float(np.trapezoid(self.insertion, self.share))


def curves(subject: Subject, attributions: Array) -> Curves:
    """Words of equal attributions go in the text's order."""
    known = np.flatnonzero(subject.is_read)
    return along(subject, known[np.argsort(-attributions[known], kind="stable")])


def random_curves(subject: Subject, seed: int = 0) -> Curves:
    """The mean over random orders."""
    rng, known = np.random.default_rng(seed), np.flatnonzero(subject.is_read)
    found = [along(subject, rng.permutation(known)) for _ in range(ORDERS)]
    mean = np.mean([[c.deletion, c.insertion[::-1]] for c in found], (0, 1))
    return Curves(found[0].share, mean, mean[::-1])


def along(subject: Subject, order: Array) -> Curves:
    """Both curves of one order."""
    W = len(order)
    taken = np.unique(np.linspace(0, W, min(W, POINTS) + 1).round().astype(int))
    keep = np.ones((2, len(taken), len(subject.words)), bool)
    for i, k in enumerate(taken):
        keep[0, i, order[:k]] = False
        keep[1, i, order[k:]] = False
    _, p = subject.variants(keep.reshape(-1, len(subject.words)))
    return Curves(taken / max(1, W), *p.reshape(2, -1))


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's; nan where one is constant."""
    from scipy.stats import rankdata

    x, y = rankdata(a), rankdata(b)
    if len(x) < 2 or not (np.ptp(x) and np.ptp(y)):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
