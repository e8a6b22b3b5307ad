"""Has the share of bad texts risen? A cumulative sum that stays near 0 as long as it has not.

Page (1954), "Continuous inspection schemes"; for yes and no: Reynolds and Stoumbos (1999), "A CUSUM chart for monitoring a
proportion when inspecting continuously", section 3.
Read before: nothing. Read next: opinions_command.py.
"""

from __future__ import annotations

import math

import numpy as np

LEAST = 6  # steps of the sum up or down: it counts in whole numbers, so that its run length can be computed exactly
MOST = 4000  # values of the sum


def wilson(bad: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share, bad of n, at z standard errors: Wilson (1927). It stays between 0 and 1."""
    if not n:
        return 0.0, 1.0
    p, w = bad / n, z * z / n
    middle, half = (p + w / 2) / (1 + w), z * math.sqrt(p * (1 - p) / n + w / (4 * n)) / (1 + w)
    return max(0.0, middle - half), min(1.0, middle + half)


class Cusum:
    """S ← max(0, S + x - γ) for x = 1 (bad) or 0; an alarm at S ≥ h, after which S starts at 0 again.

        p₁ = r p₀ / (1 - p₀ + r p₀): the odds of bad texts are r times the usual ones
        γ = ln((1 - p₀)/(1 - p₁)) / ln(p₁(1 - p₀) / (p₀(1 - p₁))): x - γ is the log-likelihood ratio of p₁ to p₀, but for a factor

    h is the smallest value for which, at p₀, the mean number of texts from one false alarm to the next is at least ``texts``.
    Here S counts in steps so small that γ and 1 - γ have at least LEAST; γ is rounded up to one.
    """

    def __init__(self, usual: float, rise: float = 2.0, texts: int = 5000) -> None:
        p0 = min(max(usual, 0.01), 0.95)
        p1 = rise * p0 / (1 - p0 + rise * p0)
        gamma = math.log((1 - p0) / (1 - p1)) / math.log(rise)
        steps = math.ceil(LEAST / min(gamma, 1 - gamma))
        self.usual = p0
        self.down = math.ceil(gamma * steps)
        self.up = steps - self.down
        self.limit = self.smallest_limit(p0, texts)
        self.sum = 0

    def smallest_limit(self, p0: float, texts: int) -> int:
        """By halving the interval: the mean run length grows with the limit."""
        low, high = 1, 2
        while high < MOST and run_length(p0, self.up, self.down, high) < texts:
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if run_length(p0, self.up, self.down, middle) < texts else (low, middle)
        return low

    def add(self, bad: bool) -> bool:
        """One text more. Is it an alarm?"""
        self.sum = max(0, self.sum + (self.up if bad else -self.down))
        alarm = self.sum >= self.limit
        if alarm:
            self.sum = 0
        return alarm


def run_length(p: float, up: int, down: int, limit: int) -> float:
    """The mean number of texts until the sum, from 0, reaches ``limit``: a = 1 + Q a, with Q the moves between values below."""
    values = np.arange(limit)
    moves = np.eye(limit)
    np.add.at(moves, (values, np.maximum(0, values - down)), -(1 - p))
    below = values[values + up < limit]
    np.add.at(moves, (below, below + up), -p)
    return float(np.linalg.solve(moves, np.ones(limit))[0])
