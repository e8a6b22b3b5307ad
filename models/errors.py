"""What the user got wrong, and the two phrases that its messages share. Imports nothing, so that every file may import it."""

from __future__ import annotations

from collections.abc import Iterable


class BadInput(ValueError):
    """What the user gave cannot be used. The text is for them: the command prints it and ends with status 2."""


def listing(names: Iterable[str], most: int = 12) -> str:
    """ "a, b, c and 5 more" """
    names = list(names)
    tail = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + tail


def count(n: int, thing: str) -> str:
    """ "1 row", "2,000 rows" """
    return f"{n:,} {thing}" + ("" if n == 1 else "s")
