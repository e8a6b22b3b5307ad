"""BadInput, the error for a user's mistake, and phrases that its messages share. Imports nothing but the standard library."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """The user's input cannot be used. The command prints the text, which is written for the user, and exits with status 2."""


def listing(names: Iterable[str], most: int = 12) -> str:
    """ "a, b, c and 5 more" """
    names = list(names)
    tail = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + tail


def count(n: int, thing: str) -> str:
    """ "1 row", "2,000 rows" """
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def short(text: object, most: int = 80) -> str:
    """A text of the user's for a message: on one line, and not too long."""
    line = " ".join(str(text)[: 10 * most].split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def quoted(value: object, most: int = 80) -> str:
    """A value of the user's as Python writes it, not too long."""
    try:
        return short(repr(value), most)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number with thousands of digits"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is spelt most like this one."""
    return max(known, key=lambda other: difflib.SequenceMatcher(None, name, other).ratio())
