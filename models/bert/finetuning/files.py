"""Reading labelled files of other people: TSV, CSV, JSONL and CoNLL. Whatever is wrong is one line with file and line.

Read before: models/tables.py. Read next: tasks.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...tables import BadInput, Table, count, listing, read_table, read_text


@dataclass(frozen=True)
class Rows:
    """Records by column name, with the line on which each begins."""

    path: str
    names: list[str]
    records: list[dict[str, Any]]
    lines: list[int]

    def where(self, i: int) -> str:
        """ "FILE:LINE", for messages."""
        return f"{self.path}:{self.lines[i]}"

    def column(self, asked: str | None, usual: Sequence[str], meaning: str, flag: str) -> str:
        """The column that was asked for, or else the first of the usual names that is there."""
        if asked:
            Table(self.path, self.names, [], []).index(asked)  # an error that suggests the nearest name
            return asked
        for name in usual:
            if name in self.names:
                return name
        names = f"its columns are: {listing(self.names)}"
        raise BadInput(f"{self.path}:1: which column holds the {meaning}? Say so with {flag} NAME; {names}")

    def text(self, i: int, name: str) -> str:
        """A cell that must hold text."""
        value = self.records[i].get(name)
        if value is None or not str(value).strip():
            raise BadInput(f'{self.where(i)}: the text in "{name}" is empty; leave the row out')
        if not isinstance(value, str):
            raise BadInput(f'{self.where(i)}: "{name}" must be a text, not {value!r}')
        return value.strip()


def read_rows(path: str, encoding: str = "utf-8") -> Rows:
    """The rows of a .jsonl file, or of a table whose first line names the columns (TSV, CSV: the delimiter is found)."""
    text = read_text(Path(path), encoding)
    if not text.strip():
        raise BadInput(f"{path}:1: the file is empty")
    if Path(path).suffix.lower() in (".jsonl", ".json", ".ndjson"):
        return read_jsonl(path, text)
    rows = plain_table(path, text)
    if rows is None:
        table = read_table(path, "\t" if "\t" in text.split("\n", 1)[0] else None, encoding)
        rows = Rows(path, table.names, [dict(zip(table.names, row, strict=True)) for row in table.rows], table.lines)
    return rows


def read_jsonl(path: str, text: str) -> Rows:
    """One JSON object a line."""
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "it nests too deeply")
            raise BadInput(f"{path}:{number}: not a JSON value ({reason}); a .jsonl file holds one object a line") from None
        if not isinstance(record, dict):
            raise BadInput(f"{path}:{number}: a {type(record).__name__} and not an object {{...}}; a line is one example")
        records.append(record)
        lines.append(number)
    return Rows(path, list(dict.fromkeys(name for record in records for name in record)), records, lines)


def plain_table(path: str, text: str) -> Rows | None:
    """A TSV in which quotes mean nothing, as GLUE's: every line has as many tabs as the header. Otherwise None.

    Where a whole cell is a well-formed quoted string the quotes are taken off, as a CSV reader would.
    """
    lines = [(i, line.rstrip("\r")) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    names = [name.strip() for name in lines[0][1].split("\t")]
    if len(names) < 2 or len(lines) < 2 or len(set(names)) < len(names) or not all(names):
        return None
    cells = [line.split("\t") for _, line in lines[1:]]
    if any(len(row) != len(names) for row in cells):
        return None
    records = [{name: unquoted(cell.strip()) for name, cell in zip(names, row, strict=True)} for row in cells]
    return Rows(path, [unquoted(name) for name in names], records, [i for i, _ in lines[1:]])


def unquoted(cell: str) -> str:
    """ "a ""b"" c" without its quotes, if it is quoted as a whole."""
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in cell[1:-1].replace('""', ""):
        return cell
    return cell[1:-1].replace('""', '"')


# --------------------------------------------------------------------------------------------------------- CoNLL


@dataclass(frozen=True)
class Sentence:
    """Words with their tags, and where each stands (FILE:LINE)."""

    words: list[str]
    tags: list[str]
    where: list[str]


def read_conll(path: str, encoding: str = "utf-8", word_column: int = 1, tag_column: int = -1) -> list[Sentence]:
    """Sentences of a CoNLL file: a word a line, a blank line between sentences, columns between tabs or spaces.

    Columns count from 1, from the last with -1. Comments (# ...) and -DOCSTART- lines are left out.
    """
    text = read_text(Path(path), encoding)
    if not text.strip():
        raise BadInput(f"{path}:1: the file is empty")
    sentences: list[Sentence] = []
    current = Sentence([], [], [])
    for number, fields in [*conll_lines(path, text), (0, [])]:
        if not fields and current.words:
            sentences.append(current)
            current = Sentence([], [], [])
        if not fields:
            continue
        for column in (word_column, tag_column):
            if not 1 <= abs(column) <= len(fields):
                raise BadInput(f"{path}:{number}: there is no column {column}, the line has {count(len(fields), 'column')}")
        word, tag = (fields[c - 1 if c > 0 else c].strip() for c in (word_column, tag_column))
        if not word or not tag:
            raise BadInput(f"{path}:{number}: the {'tag' if word else 'word'} is empty")
        for items, item in ((current.words, word), (current.tags, tag), (current.where, f"{path}:{number}")):
            items.append(item)
    if not sentences:
        raise BadInput(f"{path}:1: the file holds no word")
    return sentences


def conll_lines(path: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields), no fields for a blank line; all lines must have as many fields as the first."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    between = "\t" if any("\t" in line for line in lines) else None
    width = 0
    for number, line in enumerate(lines, 1):
        fields = line.split(between) if line.strip() else []
        if fields and fields[0] == "-DOCSTART-":
            fields = []
        if line.startswith("#") and len(fields) != width and (width or len(fields) == 1 or (not between and len(fields) > 2)):
            continue  # a comment; a word "#" has its tag beside it
        if fields and width == 0:
            width = len(fields)
            if width < 2:
                raise BadInput(f"{path}:{number}: a line is a word and its tag, with a tab or a space between them")
        if fields and len(fields) != width:
            raise BadInput(f"{path}:{number}: {count(len(fields), 'column')}, the lines before it have {width}")
        yield number, fields
