"""LIME: a linear model of f near the text (Ribeiro, Singh and Guestrin 2016, https://arxiv.org/abs/1602.04938, section 3).

    ξ = argmin_g Σ_z π(z) (f(z) - g(z'))² + Ω(g)          π(z) = √exp(-D²/σ²),  D = 100 · (1 - cos(z', 1)),  σ = 25

z' says which words stay, 0 or 1 for each; a variant z loses a random number of random words, as in the authors' lime_text, and g
is a ridge regression whose coefficients are the attributions. Other seeds draw other variants: the spread says how much that
matters, R² how linear f is here.
Read before: occlusion.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .occlusion import Array


def kernel(keep: Array, width: float = 25.0) -> Array:
    """π of variants (n, W): 1 for the whole text."""
    kept = keep.sum(-1)
    cosine = np.sqrt(kept / keep.shape[-1])  # of a row of 0 and 1 with a row of 1
    return np.sqrt(np.exp(-((100 * (1 - cosine)) ** 2) / width**2))


def variants(words: int, samples: int, rng: np.random.Generator) -> Array:
    """(samples, words): the whole text, then texts that lack 1 to all of its words."""
    rank = rng.random((samples, words)).argsort(-1).argsort(-1)
    keep = rank >= rng.integers(1, words + 1, (samples, 1))
    keep[0] = True
    return keep  # type: ignore[no-any-return]


def lime(
    f: Callable[[Array], Array], words: int, samples: int = 500, seed: int = 0, alpha: float = 1.0
) -> tuple[Array, float, float]:
    """f: of which words stay (n, W) -> (n,). Coefficients (W,), R², and their spread over seeds, from two halves' fits."""
    keep = variants(words, samples, np.random.default_rng(seed))
    y, weights = f(keep), kernel(keep)
    coefficients, r2 = fit(keep, y, weights, alpha)
    halves = [fit(keep[i::2], y[i::2], weights[i::2], alpha)[0] for i in (0, 1)]
    return coefficients, r2, float(np.sqrt(np.mean((halves[0] - halves[1]) ** 2)) / 2)


def fit(keep: Array, y: Array, weights: Array, alpha: float) -> tuple[Array, float]:
    """The weighted ridge regression, and its R²."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=alpha).fit(keep, y, sample_weight=weights)
    return model.coef_, float(model.score(keep, y, sample_weight=weights))
