"""Calibration: what the model says without any text is its leaning to a word; an answer is taken relative to it.

It repairs a wrong prior, not missing knowledge, and costs one to three forward passes.
Read before: verbalizer.py. Read next: cloze.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def contextual(p: Array, p_free: Array) -> Array:
    """q ∝ p / p̄, with p (N, C) and p̄ the mean of p_free (M, C), class probabilities of inputs without content; rows sum to 1.

    Zhao et al. (2021), "Calibrate before use", https://arxiv.org/abs/2102.09690, section 5: W = diag(p̄)⁻¹, b = 0.
    """
    q = p / p_free.mean(0)
    return q / q.sum(-1, keepdims=True)


def pmi(p: Array, p_domain: Array) -> Array:
    """log p(w | x) - log p(w | template alone): how much likelier the text makes the word.

    Holtzman et al. (2021), "Surface form competition", https://arxiv.org/abs/2104.08315, section 3.
    """
    return np.log(p) - np.log(p_domain)


# The texts that each asks the model about, and answers (N, C) from p and the answers to these.
CALIBRATIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "contextual": (("N/A", "", "[MASK]"), contextual),
    "pmi": (("",), lambda p, p_free: np.exp(pmi(p, p_free)) / np.exp(pmi(p, p_free)).sum(-1, keepdims=True)),
}
