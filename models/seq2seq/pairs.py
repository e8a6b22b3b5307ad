"""Files of pairs: a source text and its target, one pair per line. An error names the file and the line.

    Go on ahead.	Continue en avant.

TSV without a header, as such files usually come, or any table or JSONL with named columns. A source may stand on several lines,
each time with another target: all of these are right answers, and all stay on one side of the split.
Read before: models/text/labelled.py. Read next: vocabulary.py.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, count, listing, quoted
from ..text.labelled import JSON, Rows, filled_lines, plain_name, read_rows, unquoted
from ..text.tables import parse_table, read_text, repeats

SOURCE = "source src input text document article body question sentence1 original code wrong misspelled incorrect"
TARGET = "target tgt output summary headline title answer sentence2 translation comment right corrected correct highlights"
QUOTED = re.compile(r'(?:^|\t)"')  # a cell that begins with a quote
FORM = "each line holds a source, a tab and its target"


@dataclass(frozen=True)
class Pair:
    """A source, its target ("" of a source alone), and where they stand."""

    source: str
    target: str
    where: str


def read_pairs(path: str, s: Any, alone: bool = False) -> list[Pair]:
    """The pairs of a file. ``s``: source, target, columns, delimiter, encoding. ``alone``: targets may be absent."""
    text = read_text(Path(path), s.encoding)
    if not text.strip():
        raise BadInput(f"{path}:1: the file is empty; {FORM}")
    lines = list(filled_lines(text))
    most = 2 * sum("\t" in line for _, line in lines) >= len(lines)  # one line without a tab lacks a side
    tabbed = not path.lower().endswith(JSON) and s.delimiter in ("", "tab", "\t", "\\t") and most
    if alone and not tabbed and not s.columns and not path.lower().endswith(JSON):
        return [Pair(unquoted(line.strip()), "", f"{path}:{i}") for i, line in lines]
    rows = tab_separated(path, text, lines, s, alone) if tabbed else named(path, lines, s)
    names = columns_of(rows, s, alone)
    return [pair(rows, i, names, alone) for i in range(len(rows.records))]


def named(path: str, lines: list[tuple[int, str]], s: Any) -> Rows:
    """JSON; CSV and the like, with or without a header."""
    table = not path.lower().endswith(JSON)
    if table and not s.delimiter and not any(sign in lines[0][1] for sign in ",;|{["):
        one = f"{quoted(lines[0][1], 40)} is one column"
        raise BadInput(f"{path}:{lines[0][0]}: {one}; {FORM} (--delimiter: another sign than a tab)")
    rows = None
    if table and not (s.columns or s.source or s.target):
        with contextlib.suppress(BadInput):
            rows = read_rows(path, s.encoding, "source,target", s.delimiter)
    if rows is None or is_header(list(map(str, rows.records[0].values()))):
        rows = read_rows(path, s.encoding, s.columns, s.delimiter)
    if all(isinstance(record.get("translation"), dict) for record in rows.records):  # {"translation": {"en": ..., "fr": ...}}
        records = [record["translation"] for record in rows.records]
        rows = Rows(path, list(dict.fromkeys(name for record in records for name in record)), records, rows.lines)
    return rows


def tab_separated(path: str, text: str, lines: list[tuple[int, str]], s: Any, alone: bool) -> Rows:
    """A TSV: two columns without a header, or named ones. Quotes mean nothing, unless quoted cells span lines."""
    cells = [[unquoted(cell.strip()) for cell in line.split("\t")] for _, line in lines]
    header = not s.columns and (is_header(cells[0]) or any(name in cells[0] for name in (s.source, s.target) if name))
    names = [name.strip() for name in s.columns.split(",")] if s.columns else cells[0] if header else ["source", "target"]
    if len(set(names)) < len(names):
        raise BadInput(f"{path}: two columns have the same name: {listing(names)}")
    if len(cells[0]) > len(names):
        more = ",".join(["source", "target", *(f"c{i}" for i in range(3, len(cells[0]) + 1))])
        raise BadInput(
            f"{path}:{lines[0][0]}: {count(len(cells[0]), 'column')}, not {listing(names)}; name them: --columns {more}"
        )
    if header or repeats(cells[0], names):
        lines, cells = lines[1:], cells[1:]
    if not cells:
        raise BadInput(f"{path}: the file has a header and no pairs")
    if any(len(row) != len(names) and QUOTED.search(line) for row, (_, line) in zip(cells, lines, strict=True)):
        with contextlib.suppress(BadInput):  # a quoted cell may span lines
            table = parse_table(path, text, "\t", [] if header else names)
            return Rows(path, table.names, [dict(zip(table.names, row, strict=True)) for row in table.rows], table.lines, "\t")
    for row, (number, _) in zip(cells, lines, strict=True):
        if len(row) != len(names) and not (alone and len(row) == 1):
            missing = "one side of the pair is missing" if len(row) < 2 else f"{count(len(row), 'column')}, not {len(names)}"
            raise BadInput(f"{path}:{number}: {missing}; {FORM if len(names) == 2 else 'as many columns as the first line has'}")
    return Rows(path, names, [dict(zip(names, row, strict=False)) for row in cells], [i for i, _ in lines], "\t")


def is_header(cells: Sequence[str]) -> bool:
    """Does a first line name both columns by usual names?"""
    known = [plain_name(cell) for cell in cells]
    return bool(set(known) & set(SOURCE.split())) and bool(set(known) & set(TARGET.split()))


def columns_of(rows: Rows, s: Any, alone: bool) -> tuple[str, str]:
    """The columns of source and target: those asked for, those with a usual name, else the first two."""
    found = {}
    for side, asked, usual in (("source", s.source, SOURCE), ("target", s.target, TARGET)):
        if asked or rows.usual(usual.split()):
            found[side] = rows.column(asked, usual.split(), side, f"--{side}")
    if not found and len(rows.names) == 2:
        found = dict(zip(("source", "target"), rows.names, strict=True))
    if "source" not in found or ("target" not in found and not alone) or found["source"] == found.get("target"):
        raise BadInput(
            f"{rows.path}:1: which columns hold source and target? Say so with --source NAME --target NAME; "
            f"the columns are: {listing(rows.names)}"
        )
    return found["source"], found.get("target", "target")


def pair(rows: Rows, i: int, names: tuple[str, str], alone: bool) -> Pair:
    """Row i."""
    texts = []
    for side, name in zip(("source", "target"), names, strict=True):
        value = rows.records[i].get(name)
        if alone and side == "target" and value in (None, ""):
            value = ""
        elif value is None or not str(value).strip():
            raise BadInput(f'{rows.where(i)}: the {side} ("{name}") is empty; fill it in, or leave the pair out')
        if not isinstance(value, str | int | float):
            raise BadInput(f'{rows.where(i)}: "{name}" must be a text, not {quoted(value, 40)}')
        texts.append(str(value).strip())
    return Pair(texts[0], texts[1], rows.where(i))


def hold_out(pairs: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """(those that stay, those held out): all pairs of one source stay together."""
    sources = list(dict.fromkeys(p.source for p in pairs))
    n = min(len(sources) - 1, max(1, round(share * len(sources))))
    if n < 1:
        raise BadInput(f"{pairs[0].where}: one source alone: none can be held out; give --dev, or more pairs")
    order = np.random.default_rng([seed, 3]).permutation(len(sources))
    away = {sources[i] for i in order[:n]}
    return [p for p in pairs if p.source not in away], [p for p in pairs if p.source in away]


def references(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """Each source once, with all its targets."""
    found: dict[str, list[str]] = {}
    for p in pairs:
        targets = found.setdefault(p.source, [])
        if p.target not in targets:
            targets.append(p.target)
    return found


def look_swapped(train: Sequence[Pair], pairs: Sequence[Pair]) -> bool:
    """Do the words of the sources stand in the targets of training, and those of the targets in its sources?"""

    def words(texts: Iterable[str]) -> list[str]:
        return [word for text in texts for word in text.split()]

    known = set(words(p.source for p in train)), set(words(p.target for p in train))

    def nearer_to(side: int, found: list[str]) -> float:
        return sum((word in known[side]) - (word in known[1 - side]) for word in found) / max(1, len(found))

    return nearer_to(1, words(p.source for p in pairs)) > 0.25 < nearer_to(0, words(p.target for p in pairs))
