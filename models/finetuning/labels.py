"""Recognise the kind of a label column: classes, several labels at once, or numbers.

Read before: models/text/labelled.py. Read next: classify.py.
"""

from __future__ import annotations

import contextlib
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import BadInput, listing
from ..text.labelled import UNKNOWN, Rows
from ..text.numbers import DECIMALS, decimal_mark, number, without_unit
from ..text.tables import DELIMITERS


def kind_of(examples: Sequence[Any], separator: str, delimiter: str) -> str:
    """several for lists and texts with the separator, numbers if they have fractions, otherwise classes.

    2,5 may be two labels; where no comma cuts the file, it is a number if all labels are such. Between semicolons, where
    spreadsheets with decimal commas write them, a third may also be whole.
    """
    given = [e.target for e in examples if e.target != ""]
    texts = [t.strip() for t in given if isinstance(t, str)]
    if any(isinstance(t, list) for t in given) or (separator and any(separator in t for t in texts)):
        return "several"
    if texts and all(t[:1] == "[" and t[-1:] == "]" for t in texts):
        return "several"
    commas = [t for t in texts if re.fullmatch(r"[+-]?\d+,\d+", t)]
    least = len(texts) * (2 / 3 if delimiter == ";" else 1)
    if commas and delimiter != "," and len(commas) >= least and all(quantity(t, ",") is not None for t in given):
        return "numbers"
    values = [value for t in given if (value := quantity(t, ".")) is not None]  # others are names; or slips among numbers
    fraction = any(v != int(v) for v in values if np.isfinite(v))
    return "numbers" if fraction and len(values) > 0.8 * len(given) else "classes"


def quantity(target: Any, decimal: str) -> float | None:
    """A label as a number, if it is one; JSON's true is none, nor is 5 %, next to which a .05 might stand."""
    if isinstance(target, bool) or not isinstance(target, str | int | float):
        return None
    if isinstance(target, str) and without_unit(target)[1]:
        return None
    value = number(target.strip(), decimal) if isinstance(target, str) else float(target)
    return None if value != value else value


def mark_of(examples: Sequence[Any], name: str, delimiter: str, asked: str) -> str:
    """The decimal mark of numeric targets: the one asked for, or found as tables find theirs (models/text/numbers.py).

    Only semicolons make a lone 1.234 doubtful here: published TSV, such as the 2.500 of STS-B, has decimal points.
    """
    texts = [e.target.strip() if isinstance(e.target, str) else "" for e in examples]
    cut = ";" if delimiter == ";" else ","
    return DECIMALS.get(asked) or decimal_mark({name: texts}, cut, lambda i, name: f'{examples[i].where}: "{name}"')


def other_mark(target: Any, decimal: str) -> str:
    """A hint for a target that only the other decimal mark could read; or ""."""
    other, there = (".", "comma") if decimal == "," else (",", "point")
    return f"; write decimals with a {there}, as others are" if quantity(target, other) is not None else ""


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


def expect_labels(rows: Rows, names: list[str], text: str, is_label: Callable[[int], bool], labels: Sequence[str]) -> None:
    """Without a header, a text with a comma looks like a text and its label, and these in a TSV like one text: refuse both."""
    if not set(names) <= set(rows.names):
        for called, sign in DELIMITERS.items() if labels else ():
            ends = [{record[text].partition(sign)[0], record[text].rpartition(sign)[2]} for record in rows.records]
            if len(ends) < 2 * sum(not end.isdisjoint(labels) for end in ends) - 1:
                what = f"most lines have one of {listing(labels, 4)} at an end, after or before a {called}"
                raise BadInput(f"{rows.where(0)}: {what}; if it is the separator of the columns: --delimiter {called}")
        return
    filled = [i for i, record in enumerate(rows.records) if any(str(record[n]).strip().casefold() not in UNKNOWN for n in names)]
    strange = [i for i in filled if not is_label(i)]
    if 2 * len(strange) > len(filled):
        there = " ".join(str(rows.records[strange[0]][name]).strip() for name in names)[:40]
        columns = ",".join(name for name in rows.names if name not in names)
        raise BadInput(
            f'{rows.where(strange[0])}: "{there}" stands in the place of the label and is none that this model knows; '
            f"if the file holds no labels, say which columns it has: --columns {columns}"
        )


def alike(label: str) -> Any:
    """A key that labels share if they are probably meant to be the same: their number, or their text in lower case."""
    try:
        return float(label)
    except ValueError:
        shown = "".join(c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) != "Cf")
        return " ".join(shown.casefold().split())


def refuse_twins(first: dict[str, str], targets: str) -> None:
    """Refuse labels that look alike, such as pos and Pos, 1 and 1.0: they are probably meant to be one. first: where each is."""
    known: dict[Any, str] = {}
    for label, where in first.items():
        other = known.setdefault(alike(label), label)
        if other != label:
            raise BadInput(
                f"{where}: the label {label!r} is hardly another than {other!r} ({first[other]}): write both in the same "
                f"way, or give --targets {targets}, which takes them as two"
            )


def names_in(text: str) -> list[str]:
    """What stands between commas; those in brackets, as in "Cause-Effect(e1,e2)", belong to a name."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text)]


def natural(label: str) -> tuple[int, float, str]:
    """A key to sort by: numbers by size, then words alphabetically."""
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(label)):  # "nan" and "infinity" are words
            return (0, value, label)
    return (1, 0.0, label)
