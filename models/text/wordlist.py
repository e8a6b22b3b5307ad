"""A list of words that may stand for each other, as a user names it: a group a line.

    film, movie, motion picture
    great<TAB>superb<TAB>wonderful
    big large huge

Between words stand tabs, commas or semicolons; in a line without any of them, spaces. A line that begins with # is a comment.
Who reads them: models/augmenting, models/attacking.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import BadInput
from ..reading import read_text
from .typos import like

LARGEST = 64 << 20  # bytes


class Wordlist:
    """``Wordlist(path)("Film")``: the other words of its groups, in the order of the file, with capitals where it has them."""

    def __init__(self, path: str | Path) -> None:
        self.groups: dict[str, list[str]] = {}
        text = read_text(path, LARGEST)
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise BadInput(f"{path}:{line}: a NUL byte, which no wordlist holds; save it as UTF-8 text")
        for line in text.split("\n"):
            parts = re.split(r"[\t,;]", line) if re.search(r"[\t,;]", line) else line.split()
            words = list(dict.fromkeys(word.strip().lower() for word in parts if word.strip()))
            if line.lstrip().startswith("#"):
                continue
            for word in words:
                known = self.groups.setdefault(word, [])
                known += [other for other in words if other != word and other not in known]
        self.groups = {word: others for word, others in self.groups.items() if others}
        if not self.groups:
            raise BadInput(
                f"{path}: a wordlist has lines of two or more words that may stand for each other (film, movie); none here"
            )

    def __call__(self, word: str) -> list[str]:
        """None for a word that is not in it."""
        return [like(word, other) for other in self.groups.get(word.lower(), [])]
