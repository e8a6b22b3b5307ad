"""BadInput, the error for a user's mistake, and two phrases that its messages share. Imports nothing but the standard library."""

from __future__ import annotations

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
