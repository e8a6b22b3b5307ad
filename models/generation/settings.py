"""How a text is to be written: Hugging Face's names for lengths, sampling and beams, each with the values that have a meaning.

Read next: generate.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput, nearest, quoted

MOST_ROWS = 10_000
NEW_TOKENS = 20  # Hugging Face's default, if neither max_new_tokens nor max_length is given


@dataclass
class GenerationConfig:
    """Greedy unless do_sample or num_beams says otherwise. temperature, top_k, top_p and min_p matter to do_sample alone."""

    max_new_tokens: int | None = None
    max_length: int | None = None  # prompt included; max_new_tokens comes first
    do_sample: bool = False
    temperature: float | None = 1.0  # 0: the most probable token
    top_k: int | None = 50  # 0 or None: all
    top_p: float | None = 1.0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    num_beams: int = 1
    length_penalty: float = 1.0  # a hypothesis of n tokens has the score Σ log p / n^length_penalty: above 0 favours long ones
    early_stopping: bool | str = False  # True: stop at num_beams hypotheses; "never": not before none can become better
    keep_greedy: bool = False  # True: beams never score below the greedy text; Hugging Face's may (beams.py)
    num_return_sequences: int = 1
    eos_token_id: int | Sequence[int] | None = None
    pad_token_id: int | None = None
    stop_strings: str | Sequence[str] | None = None
    seed: int | None = None  # None: from minitorch.manual_seed's stream

    def __post_init__(self) -> None:
        self.check()

    @classmethod
    def of(cls, values: dict[str, Any]) -> GenerationConfig:
        """From keyword arguments; an unknown one is a TypeError that names the nearest."""
        known = [f.name for f in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise TypeError(f"generate has no argument {name!r}; the nearest is {nearest(name, known)!r}")
        return cls(**values)

    def check(self) -> None:
        """Refuse values without a meaning, and combinations."""
        for name, least in {"max_new_tokens": 0, "max_length": 1, "num_beams": 1, "num_return_sequences": 1, "top_k": 0}.items():
            value = getattr(self, name)
            if (value is not None or name.startswith("num_")) and (not is_whole(value) or value < least):
                raise BadInput(f"{name} is a whole number of at least {least}, not {quoted(value)}")
            if name.startswith("num_") and value > MOST_ROWS:
                raise BadInput(f"{name} is at most {MOST_ROWS:,}, not {value:,}: all of them are written at once")
        for name, most in {"temperature": math.inf, "top_p": 1, "min_p": 1}.items():
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 <= value <= most and value < math.inf):
                raise BadInput(f"{name} is a number from 0{' to 1' if most == 1 else ''}, not {quoted(value)}")
        if not (is_number(self.length_penalty) and abs(self.length_penalty) <= 10):
            raise BadInput(f"length_penalty is a number from -10 to 10, not {quoted(self.length_penalty)}")
        if not (is_number(self.repetition_penalty) and 1e-3 <= self.repetition_penalty <= 1e3):
            raise BadInput(f"repetition_penalty is a number from 0.001 to 1,000 (1: none), not {quoted(self.repetition_penalty)}")
        if self.early_stopping not in (True, False, "never"):
            raise BadInput(f'early_stopping is True, False or "never", not {quoted(self.early_stopping)}')
        if self.seed is not None and not is_whole(self.seed):
            raise BadInput(f"the seed is a whole number, not {quoted(self.seed)}")
        if not all(is_whole(end) and end >= 0 for end in self.ends):
            raise BadInput(f"eos_token_id is the id of a token, a list of some or None, not {quoted(self.eos_token_id)}")
        if any(not isinstance(stop, str) or not stop for stop in self.stops):
            raise BadInput("a stop string is a text of at least one character")
        if any("\ud800" <= c <= "\udfff" for stop in self.stops for c in stop):
            raise BadInput("a stop string holds half of a character pair, which no text does")
        if self.num_beams > 1 and self.do_sample:
            raise BadInput("beams and sampling exclude each other: give num_beams or do_sample")
        several = self.num_return_sequences
        if several > max(1, self.num_beams) and not self.do_sample:
            cure = f"num_beams is {self.num_beams}" if self.num_beams > 1 else "greedy text is one: give num_beams or do_sample"
            raise BadInput(f"{several} sequences need as many beams; {cure}")

    @property
    def stops(self) -> list[str]:
        """The stop strings."""
        stops = self.stop_strings
        return [] if stops is None else [stops] if isinstance(stops, str) else list(stops)

    @property
    def ends(self) -> list[int]:
        """The tokens that end a text."""
        ids = self.eos_token_id
        return [] if ids is None else list(ids) if isinstance(ids, Sequence) else [ids]

    @property
    def filler(self) -> int:
        """What stands behind a finished sequence in a table."""
        return self.pad_token_id if self.pad_token_id is not None else (self.ends or [0])[0]

    def new_tokens(self, prompt: int) -> int:
        """How many tokens may follow a prompt of so many."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if self.max_length is None:
            return NEW_TOKENS
        if prompt >= self.max_length:
            raise BadInput(
                f"the prompt has {prompt} tokens, max_length, which counts them, is {self.max_length}: give max_new_tokens"
            )
        return self.max_length - prompt


def is_whole(value: Any) -> bool:
    """A whole number, and no bool?"""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """A number, and no bool?"""
    return isinstance(value, int | float) and not isinstance(value, bool)
