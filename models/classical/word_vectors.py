"""Word vectors as a table: read and written in word2vec's text format, with nearest neighbours and analogies.

    2 3                           words, numbers per word (GloVe's files lack this line, and are read too)
    the 0.12 -0.5 1.25
    cat 0.3 0.75 -1

Read before: models/reading.py. Read next: word2vec.py, which trains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing

from ..checkpoints.kinds import why_not
from ..errors import BadInput, count, listing, short, suggestion
from ..text.corpus import read_lines

TEXT = "vectors.txt"  # in a run's folder


class WordVectors:
    """``words`` and their rows in ``table`` (words, size): ``vectors["cat"]``, ``"cat" in vectors``, nearest, analogy."""

    def __init__(self, words: Sequence[str], table: Any) -> None:
        self.words, self.table = list(words), np.asarray(table, np.float32)
        self.index = {word: i for i, word in enumerate(self.words)}
        lengths = np.sqrt((self.table.astype(np.float64) ** 2).sum(1, keepdims=True))
        self.unit = (self.table / np.maximum(lengths, 1e-12)).astype(np.float32)

    @property
    def size(self) -> int:
        """Numbers per word."""
        return int(self.table.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> Any:
        return self.table[self.row(word)]

    def row(self, word: str) -> int:
        """The word's row, or that of its lower-case form; BadInput for an unknown word."""
        for form in (word, word.lower()):
            if form in self.index:
                return self.index[form]
        near = suggestion(word.lower(), self.words[:20_000]) if len(word) < 40 else ""
        hint = f"; did you mean {near}?" if near else ""
        raise BadInput(f"{short(word)!r} is not among the {count(len(self), 'word')} with a vector{hint}")

    def nearest(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The ``n`` words whose vectors have the largest cosine with the word's, and the cosines."""
        i = self.row(word)
        return self.most_similar(self.unit[i], n, {i})

    def analogy(self, a: str, b: str, c: str, n: int = 5) -> list[tuple[str, float]]:
        """a is to b as c is to ...? The words nearest to b - a + c (Mikolov, Yih and Zweig 2013), none of the three."""
        rows = [self.row(word) for word in (a, b, c)]
        target = self.unit[rows[1]] - self.unit[rows[0]] + self.unit[rows[2]]
        return self.most_similar(target / max(float(np.linalg.norm(target)), 1e-12), n, set(rows))

    def most_similar(self, unit: Any, n: int, without: set[int]) -> list[tuple[str, float]]:
        """The words nearest to a vector of length 1, except some."""
        cosines = self.unit @ unit
        order = np.argsort(-cosines, kind="stable")[: n + len(without)]
        return [(self.words[i], float(cosines[i])) for i in order if i not in without][:n]

    # ---- files

    def save(self, path: str | Path) -> None:
        """Write word2vec's text format; six digits are more than training leaves."""
        with replacing(Path(path)) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(f"{len(self)} {self.size}\n")
            for word, row in zip(self.words, self.table, strict=True):
                file.write(f"{word} {' '.join(f'{x:.6g}' for x in row.tolist())}\n")

    @classmethod
    def load(cls, path: str | Path) -> WordVectors:
        """Read word2vec's text format or GloVe's, from a file or a run's folder; BadInput names the line that is wrong."""
        path = Path(path)
        if path.is_dir() and not (path / TEXT).is_file():
            raise BadInput(why_not(path, TEXT, "`minitorch vectors`"))
        path = path / TEXT if path.is_dir() else path
        words: dict[str, None] = {}
        rows: list[Any] = []
        promised = 0
        try:
            for number, line in enumerate(read_lines(path, longest=-1), 1):
                fields = line.rstrip().split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                    promised, width = int(fields[0]), int(fields[1])
                    continue
                width = width if promised or rows else len(fields) - 1
                if line:
                    word, row = parsed(f"{path}:{number}", fields, width)
                    if word not in words:  # GloVe's largest file names some twice; the first is the more frequent one
                        words[word] = None
                        rows.append(row)
        except ValueError as error:
            raise BadInput(str(error)) from error
        if not rows or len(words) < 0.99 * promised:
            rest = f"its first line promises {promised:,}: the file is cut off" if promised else "one line per word is expected"
            raise BadInput(f"{path}: {count(len(rows), 'word')} with a vector; {rest}")
        return cls(list(words), np.array(rows))


def parsed(where: str, fields: list[str], width: int) -> tuple[str, Any]:
    """The word (which may hold spaces) and its numbers."""
    if width < 1 or len(fields) <= width:
        wanted = f"a word and {count(width, 'number')}" if width > 0 else "a word and its numbers"
        raise BadInput(f"{where}: expected {wanted}, got {listing(fields, 4, 20)}; vectors are read in word2vec's text format")
    try:
        row = np.array(fields[-width:], np.float32)
    except ValueError:
        raise BadInput(
            f"{where}: expected {count(width, 'number')} after the word, got {listing(fields[-width:], 4, 20)}"
        ) from None
    if not np.isfinite(row).all():
        raise BadInput(f"{where}: holds NaN or infinity")
    return " ".join(fields[:-width]), row
