"""BadInput, the error for a user's mistake, and phrases that its messages share. Imports nothing but the standard library."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

LONGEST = 1000  # characters of a message
OTHER_NAMES = {  # what other programs call a setting
    "learning-rate": "lr", "num-train-epochs": "epochs", "num-epochs": "epochs", "max-steps": "steps", "max-length": "length",
    "max-seq-length": "length", "seq-length": "length", "output-dir": "output", "train-file": "train", "test-file": "test",
    "validation-file": "dev", "eval-file": "dev", "train-batch-size": "batch-size", "lora-r": "rank", "lora-alpha": "alpha",
    "gradient-accumulation-steps": "accumulate", "warmup-ratio": "warmup", "data": "csv", "alpha": "ridge",
}  # fmt: skip


class BadInput(ValueError):
    """The user's input cannot be used. The command prints the text, which is written for the user, and exits with status 2.

    The text is one line and not too long, whatever label, name or line of a file stands in it (``short``).
    """

    def __init__(self, text: str) -> None:
        super().__init__(short(re.sub(r"\S{300,}", lambda word: short(word[0]), text), LONGEST))


def listing(names: Iterable[str], most: int = 12, longest: int = 80) -> str:
    """ "a, b, c and 5 more", each name of at most ``longest`` characters"""
    names = list(names)
    tail = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(short(name, longest) for name in names[:most]) + tail


def count(n: int, thing: str) -> str:
    """ "1 row", "2,000 rows" """
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def short(text: object, most: int = 80) -> str:
    """A text from a file, for a message: on one line, not too long, and with nothing in it that a terminal would obey.

    Line ends, control characters and marks that turn the direction of writing are escaped; of a long text the middle is left out.
    """
    line = str(text)
    if len(line) > most:
        line = f"{line[: 2 * most // 3]} ... {line[len(line) - most // 3 + 5 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def quoted(value: object, most: int = 80) -> str:
    """A value from a file as Python writes it, in quotes if it is a text, not too long: a label may have 100,000 signs."""
    try:
        return repr(value) if isinstance(value, str) and len(value) <= most else short(repr(value), most)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number with thousands of digits"
    except RecursionError:
        return f"a {type(value).__name__}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """The known name that a word probably means, by its usual name elsewhere or by its spelling; or ""."""
    plain = {name.lstrip("-").replace("_", "-"): name for name in known}
    word = word.lstrip("-").replace("_", "-")
    near = [OTHER_NAMES[word]] if OTHER_NAMES.get(word) in plain else difflib.get_close_matches(word, plain, 1)
    return plain[near[0]] if near else ""


def no_such_method(option: str, word: str, known: Iterable[str]) -> str:
    """The message for an option whose value is none of the known ones."""
    near = f"; did you mean {name}?" if (name := suggestion(word, known)) else "."
    return f"{option} {word}: there is no such method{near} There are {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is spelt most like this one."""
    return max(known, key=lambda other: difflib.SequenceMatcher(None, name, other).ratio())
