"""Examples with typing errors, to see what they cost each rung.

Read before: models/text/typos.py. Read next: contest.py.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from ..text.typos import WORD, typo

LEVELS = (0.1, 0.3)  # shares of words with an error


def with_typos(task: Any, examples: list[Any], share: float, seed: int) -> list[Any] | None:
    """Copies whose words are misspelt with this probability; of a question its words alone; None where it makes no sense."""
    fields = {"classify": ("text", "pair"), "tag": ("words",), "qa": ("question",), "choice": ("text", "lead")}.get(task.name, ())
    if not fields:
        return None
    rng = np.random.default_rng([seed, 13, round(1000 * share)])

    def spoilt(value: Any) -> Any:
        if isinstance(value, list):
            return [spoilt(word) for word in value]
        return value and re.sub(WORD, lambda m: typo(m[0], rng) if rng.random() < share else m[0], value)

    return [dataclasses.replace(e, **{name: spoilt(getattr(e, name)) for name in fields}) for e in examples]
