"""Numbers as people write them in tables: 1,234.5 or 1.234,5 or 1 234,5, a minus sign that is no hyphen, a unit ($5, 5 %).

A file has one decimal mark, a point or a comma, and ``decimal_mark`` finds it from all columns of numbers together:

    1. A cell that is a number under one mark alone decides. Thousands stand in groups of three, of which the first does not
       begin with 0. So 1.5, 0.123, 1234.567, 1.234e5, 1,234.5 and 1,234,567 say "point", and 1,5, 0,123 and 1.234,5 "comma".
       Two cells that decide differently are an error that names both.
    2. Only 1.234 (or 1,234) is a number under both, and not the same: 1 and a fraction, or above a thousand. Two facts help:
       where spaces or apostrophes group the file's thousands, its points or commas are decimal marks; and in a table that is
       cut at commas, and in which no number holds a comma, a point is what all programs write there, the decimal mark.
    3. Whatever is left is an error that shows both readings and names --decimal.

The decimal mark being known, a cell has one reading: the other mark, a space or an apostrophe may group its thousands.
Read next: tables.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from ..errors import BadInput

MISSING = {"", "na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "none", "?"}  # in any case of letters
DECIMALS = {"point": ".", "comma": ","}
DECIMAL_NAMES = {sign: name for name, sign in DECIMALS.items()}  # --decimal takes the sign, too
MINUS = str.maketrans(dict.fromkeys("\u2212\u2012\u2013\ufe63\uff0d", "-"))  # − ‒ – and two more
SPACES = " \u00a0\u2007\u2008\u2009\u202f"  # no-break, figure, punctuation, thin and narrow no-break space
UNIT = re.compile(r"(?P<sign>[+-]?)\s*(?P<before>[$¢£¤¥฿₠-⃏]?)\s*(?P<number>.*?)\s*(?P<after>[$¢£¤¥฿₠-⃏%‰]?)", re.DOTALL)


def _pattern(point: str, comma: str) -> re.Pattern[str]:
    plain = rf"(\d+{point}?\d*|{point}\d+)(e[+-]?\d+)?|inf|infinity"
    western = rf"[1-9]\d?\d?(?P<mark>[{comma}'’{SPACES}])\d\d\d((?P=mark)\d\d\d)*({point}\d+)?"
    indian = rf"[1-9]\d?({comma}\d\d)+{comma}\d\d\d({point}\d+)?"
    return re.compile(rf"[+-]?({plain}|{western}|{indian})", re.IGNORECASE)


PLAIN = {".": re.compile(r"-?\d+(\.\d+)?"), ",": re.compile(r"-?\d+(,\d+)?")}
PATTERNS = {".": _pattern(r"\.", ","), ",": _pattern(",", r"\.")}


def number(cell: str, decimal: str = ".") -> float | None:
    """The cell's number, NaN if it is missing, None if it is neither. A unit is left out: 5 % is 5."""
    if cell.casefold() in MISSING:
        return math.nan
    if PLAIN[decimal].fullmatch(cell):  # the same as below, and faster
        return float(cell.replace(",", "."))
    bare, _ = without_unit(cell)
    if not PATTERNS[decimal].fullmatch(bare):
        return None
    return float(re.sub(r"[^\w.+-]", "", bare.replace(".", "").replace(",", ".") if decimal == "," else bare))


def without_unit(cell: str) -> tuple[str, str]:
    """ "-$5" as ("-5", "$"); the minus sign is a hyphen in it."""
    if cell.isascii() and cell[-1:].isdigit() and cell.removeprefix("-")[:1].isdigit():  # most are; the same as below
        return cell, ""
    parts = UNIT.fullmatch(cell.strip().translate(MINUS))
    if parts is None or (parts["before"] and parts["after"]):
        return cell, ""
    unit = parts["before"] or parts["after"]
    return (parts["sign"] + parts["number"] if unit else cell.strip().translate(MINUS)), unit


def are_numbers(cells: Sequence[str], values: Sequence[float | None]) -> bool:
    """Is at least half of what is given a number, as which it was read?"""
    given = [value for cell, value in zip(cells, values, strict=True) if cell.casefold() not in MISSING]
    return 2 * sum(value is not None for value in given) >= len(given)


def decimal_mark(columns: Mapping[str, Sequence[str]], delimiter: str, where: Callable[[int, str], str]) -> str:
    """The file's decimal mark, "." or ",", by the rules at this file's head; ``where``: FILE:LINE of a row and a column."""
    certain: dict[str, tuple[int, str]] = {}  # the first cell that each mark alone can read
    doubtful: dict[str, tuple[int, str]] = {}  # the first cell that both can, by the mark in it
    grouped = False
    for name, cells in columns.items():
        points = [number(cell, ".") for cell in cells]
        commas = [number(cell, ",") if "," in cell or "." in cell else point for cell, point in zip(cells, points, strict=True)]
        if not are_numbers(cells, [comma if point is None else point for point, comma in zip(points, commas, strict=True)]):
            continue
        for i, (cell, point, comma) in enumerate(zip(cells, points, commas, strict=True)):
            if (point is None) != (comma is None):
                certain.setdefault("," if point is None else ".", (i, name))
            elif point is not None and point == point and point != comma:
                doubtful.setdefault("," if "," in cell else ".", (i, name))
            grouped |= not grouped and point is not None and re.search(rf"\d['’{SPACES}]\d", cell) is not None
    if len(certain) == 2:
        a, b = (f'{where(i, name)}: "{columns[name][i]}"' for i, name in (certain[","], certain["."]))
        raise BadInput(f"{a} has a decimal comma, but {b} a decimal point; write all alike, or say which is right with --decimal")
    if certain or not doubtful:
        return next(iter(certain), ".")
    mark = next(iter(doubtful))
    if len(doubtful) == 1 and (grouped or (mark == "." and delimiter == ",")):
        return mark
    i, name = doubtful[mark]
    point, comma = number(columns[name][i], "."), number(columns[name][i], ",")
    raise BadInput(
        f'{where(i, name)}: "{columns[name][i]}" may be {point:.10g} or {comma:.10g}, and no other number of the file tells; say '
        f"it with --decimal point ({point:.10g}) or --decimal comma ({comma:.10g})"
    )
