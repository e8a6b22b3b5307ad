"""Every method on one subject, and what each is worth.

    for e in explain(subject, source.random()):
        print(e.title, e.values, e.curves.areas, e.sanity)

A method gives one number per word (attributions: how much the word adds to f; attention: how much it was looked at).
Read before: gradients.py, attention.py, occlusion.py, lime.py, checks.py. Read next: page.py, command.py.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import attention
from .checks import Curves, curves, rank_correlation
from .gradients import gradient_x_input, integrated_gradients
from .lime import lime
from .occlusion import occlusion
from .subject import Array, Subject

NEAR = 0.01  # of f(x) - f(x'): completeness holds if no more than this share of it is missing


@dataclass
class Options:
    """Settings of the methods."""

    steps: int = 50  # of integrated gradients
    rule: str = "midpoint"
    baseline: str = "pad"
    samples: int = 500  # of LIME
    seed: int = 0


@dataclass
class Explained:
    """What a method says of each word, in words what it found of itself, and its checks."""

    name: str
    title: str
    values: Array  # (W,)
    signed: bool = True  # does a word speak for the answer or against it? attention has no sign
    note: str = ""
    seconds: float = 0.0
    delta: float = float("nan")  # what integrated gradients miss of completeness, as a share of the whole difference
    sanity: float = float("nan")  # rank correlation with the same for random weights
    agreement: float = float("nan")  # and with occlusion; of attention, which has no sign, with its size
    random: Array | None = None  # (W,) what the method says of random weights
    curves: Curves | None = None


def by_gradient(subject: Subject, o: Options) -> tuple[Array, str, float]:
    """Gradient × input, summed over H."""
    x = subject.embeddings(subject.ids)
    return subject.per_word(gradient_x_input(subject.f, x).sum(-1)), "", float("nan")


def by_integrated(subject: Subject, o: Options) -> tuple[Array, str, float]:
    """Integrated gradients and how complete they are."""
    x, baseline = subject.embeddings(subject.ids), subject.baseline(o.baseline)
    found, delta, whole = integrated_gradients(subject.f, x, baseline, o.steps, o.rule)
    share = abs(delta) / max(abs(whole), 1e-30)
    verdict = "complete" if share <= NEAR else "NOT COMPLETE: take more --steps, or another --baseline"
    note = f"sum {found.sum():+.4f}, f(x) - f(x') = {whole:+.4f}, δ = {delta:+.2g} ({share:.2%}) after {o.steps} steps: {verdict}"
    return subject.per_word(found.sum(-1)), note, share


def by_occlusion(subject: Subject, o: Options) -> tuple[Array, str, float]:
    """The fall of f without each word."""
    known, f = of_read_words(subject)
    return spread(subject, known, occlusion(f, len(known))), "", float("nan")


def by_lime(subject: Subject, o: Options) -> tuple[Array, str, float]:
    """Coefficients of a linear model near the text."""
    known, f = of_read_words(subject)
    values, r2, unsure = lime(f, len(known), o.samples, o.seed)
    size = np.abs(values).max(initial=0)
    note = f"R² {r2:.2f} on {o.samples} variants; other variants would change a value by ±{unsure:.2g}, the largest is {size:.2g}"
    return spread(subject, known, values), note, float("nan")


def of_read_words(subject: Subject) -> tuple[Array, Callable[[Array], Array]]:
    """The numbers of the words that are read, and f of which of these stay: (n, words) -> (n,)."""
    known = np.flatnonzero(subject.is_read)

    def f(keep: Array) -> Array:
        whole = np.ones((len(keep), len(subject.words)), bool)
        whole[:, known] = keep
        return subject.variants(whole)[0]

    return known, f


def spread(subject: Subject, known: Array, values: Array) -> Array:
    """Values of some words among all, 0 for the others: (W,)"""
    found = np.zeros(len(subject.words))
    found[known] = values
    return found


def by_attention(subject: Subject, o: Options) -> tuple[Array, str, float]:
    """Where the last layer looks, its heads averaged."""
    return attention.looked_at(subject, attention.maps(subject)[-1].mean(0)), "", float("nan")


def by_rollout(subject: Subject, o: Options) -> tuple[Array, str, float]:
    """Attention multiplied through the layers."""
    tables = [table.mean(0) for table in attention.maps(subject)]
    return attention.looked_at(subject, attention.rollout(tables)), "", float("nan")


def by_heads(subject: Subject, o: Options) -> tuple[Array, str, float]:
    """Attention of all heads, weighed by their importance to f."""
    return attention.by_importance(subject), "", float("nan")


METHODS: dict[str, tuple[str, Callable[[Subject, Options], tuple[Array, str, float]]]] = {
    "gradient": ("gradient × input", by_gradient),
    "integrated": ("integrated gradients", by_integrated),
    "occlusion": ("occlusion", by_occlusion),
    "lime": ("LIME", by_lime),
    "attention": ("attention, last layer", by_attention),
    "rollout": ("attention rollout", by_rollout),
    "heads": ("attention by head importance", by_heads),
}

UNSIGNED = ("attention", "rollout", "heads")


def explain(
    subject: Subject, random: Any = None, names: Sequence[str] = tuple(METHODS), options: Options | None = None
) -> Iterator[Explained]:
    """Each method's attributions with their checks. ``random``: the same architecture with random weights, for sanity."""
    o = options or Options()
    other = None if random is None else dataclasses.replace(subject, model=random)
    known = subject.is_read
    falls = by_occlusion(subject, o)[0][known]
    for name in names:
        title, method = METHODS[name]
        started = time.perf_counter()
        values, note, delta = method(subject, o)
        seconds = time.perf_counter() - started
        found = Explained(name, title, values, name not in UNSIGNED, note, seconds, delta, curves=curves(subject, values))
        if other is not None:
            found.random = method(other, o)[0]
            found.sanity = rank_correlation(values[known], found.random[known])
        if name != "occlusion":
            found.agreement = rank_correlation(values[known], falls if found.signed else np.abs(falls))
        yield found
