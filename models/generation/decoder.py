"""What generation asks of a model, what it gives back, and what greedy text, samples and beams have in common.

Read before: filters.py, settings.py. Read next: generate.py, beams.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from . import filters
from .filters import Logits
from .settings import GenerationConfig

Ids = NDArray[np.int64]


class Decoder(Protocol):
    """A model that is being asked for one token after the other; it keeps what it needs of the rows it has seen."""

    def __call__(self, ids: Ids) -> Logits:
        """New tokens of each row (R, S) -> the logits (R, V) of the token that follows each row's last."""

    def reorder(self, rows: Ids) -> None:
        """From here on row i continues what row rows[i] was; rows may repeat, and be more or fewer."""


@dataclass
class Generated:
    """One text that was written."""

    prompt: int  # which of the prompts it continues
    tokens: list[int]  # the new ones, with the end token if there was one
    score: float | None = None  # of a beam: Σ log p / length^length_penalty


def filtered(logits: Logits, seen: Sequence[Sequence[int]], config: GenerationConfig) -> Logits:
    """The logits (R, V) after the filters that the configuration names, in Hugging Face's order."""
    if not np.isfinite(logits.max(-1)).all():
        raise BadInput("the model's answers are NaN or infinite, so its weights are damaged")
    x: Logits = logits.astype(np.float64)
    if config.repetition_penalty != 1:
        x = filters.repetition_penalty(x, seen, config.repetition_penalty)
    if not config.do_sample:
        return x
    x = filters.temperature(x, 1.0 if config.temperature is None else config.temperature)
    x = filters.top_k(x, config.top_k or 0)
    x = filters.top_p(x, 1.0 if config.top_p is None else config.top_p)
    return x if config.min_p is None else filters.min_p(x, config.min_p)


class Stopping:
    """Is a text complete: has it come to an end token, or does a stop string stand in it?"""

    def __init__(self, config: GenerationConfig, decode: Callable[[list[int]], str] | None) -> None:
        self.ends, self.stops, self.decode = set(config.ends), config.stops, decode
        self.window = max((len(stop.encode()) for stop in self.stops), default=0) + 8  # tokens; each is a byte or more

    def __call__(self, tokens: list[int]) -> bool:
        if tokens[-1] in self.ends:
            return True
        if not self.stops or self.decode is None:
            return False
        text = self.decode(tokens[-self.window :])
        return any(stop in text for stop in self.stops)
