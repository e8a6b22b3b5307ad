"""Recognise the kind of a label column: classes, several labels at once, or numbers.

Read before: models/text/labelled.py. Read next: classify.py.
"""

from __future__ import annotations

import contextlib
import math
import re
import unicodedata
from typing import Any

import numpy as np

from ..errors import BadInput
from ..text.labelled import Rows


def kind_of(targets: list[Any], separator: str) -> str:
    """several for lists and texts with the separator, numbers if they have fractions, otherwise classes."""
    given = [t for t in targets if t != ""]
    texts = [t.strip() for t in given if isinstance(t, str)]
    if any(isinstance(t, list) for t in given) or (separator and any(separator in t for t in texts)):
        return "several"
    if texts and all(t[:1] == "[" and t[-1:] == "]" for t in texts):
        return "several"
    values = []
    for t in given:
        with contextlib.suppress(TypeError, ValueError):  # a name; or a slip among numbers
            values += [] if isinstance(t, bool) else [float(t)]
    fraction = any(v != int(v) for v in values if np.isfinite(v))
    return "numbers" if fraction and len(values) > 0.8 * len(given) else "classes"


def are_positions(rows: list[list[Any]]) -> bool:
    """Are they rows like [0, 1, 1, 0], a 1 for each label that applies? Equally long, only 0 and 1, some with a repetition."""
    alike = len({len(row) for row in rows}) == 1 and all(x in (0, 1) for row in rows for x in row)
    return alike and any(len(set(row)) < len(row) for row in rows)


def is_one(rows: Rows, i: int, name: str) -> bool:
    """Does the cell say 1 (or true)? Anything but 0 and 1 is an error."""
    cell = str(rows.records[i].get(name)).strip().casefold()
    if cell not in ("0", "1", "0.0", "1.0", "false", "true"):
        raise BadInput(f'{rows.where(i)}: "{name}" must be 0 or 1, as a label that an example has or has not, not {cell!r}')
    return cell in ("1", "1.0", "true")


def alike(label: str) -> Any:
    """A key that labels share if they are probably meant to be the same: their number, or their text in lower case."""
    try:
        return float(label)
    except ValueError:
        shown = "".join(c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) != "Cf")
        return " ".join(shown.casefold().split())


def names_in(text: str) -> list[str]:
    """What stands between commas; those in brackets, as in "Cause-Effect(e1,e2)", belong to a name."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text)]


def natural(label: str) -> tuple[int, float, str]:
    """A key to sort by: numbers by size, then words alphabetically."""
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(label)):  # "nan" and "infinity" are words
            return (0, value, label)
    return (1, 0.0, label)
