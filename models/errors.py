"""BadInput, the error for a user's mistake, and what its messages share. Imports nothing but the standard library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


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


def shortened(text: str, most: int) -> str:
    """The beginning and the end of a text of more than ``most`` characters."""
    return text if len(text) <= most else f"{text[: 2 * most // 3]} ... {text[len(text) - most // 3 + 5 :]}"


def visible(text: str, most: int = 60) -> str:
    """A text from a file on one line, shortened: line ends, control characters and marks that turn the writing are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shortened(text, most))


def quoted(value: Any, most: int = 60) -> str:
    """A value from a file as Python writes it, in quotes if it is a text, shortened: a label may have 100,000 characters."""
    if isinstance(value, str):
        return repr(shortened(value, most))
    try:
        return shortened(repr(value), most)
    except (RecursionError, ValueError):  # nested too deeply; a whole number of more than 4,300 digits
        return f"a {type(value).__name__}"
