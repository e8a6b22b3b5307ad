"""Read CSV files: every error is one line that names file, line and column.

The first line names the columns. Quoted fields may span lines, a byte-order mark is skipped, and the delimiter is found
from the header unless it is given. An empty cell, NA, N/A, NaN, null, none and ? mean "missing", in any case of letters.
Read next: labelled.py.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInput, count, listing
from ..reading import read_bytes

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
DELIMITERS = ",;\t|"
NO_TEXT = {  # first bytes of other formats, and the cure
    b"\x1f\x8b": "compressed by gzip; unpack it first (gunzip)",
    b"BZh": "compressed by bzip2; unpack it first (bunzip2)",
    b"\xfd7zXZ": "compressed by xz; unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it first (unzstd)",
    b"PK\x03\x04": "a zip archive or an Excel file; unpack it, or save the sheet as CSV",
    b"PAR1": "a Parquet file; save its table as CSV or JSONL",
    b"\x89HDF": "an HDF5 file; save its table as CSV or JSONL",
    b"%PDF-": "a PDF; a text file is needed",
}


@dataclass(frozen=True)
class Table:
    """The cells of a file as text, with the line on which each row begins."""

    path: str
    names: list[str]
    rows: list[list[str]]
    lines: list[int]
    delimiter: str = ","

    def index(self, name: str) -> int:
        """Where the column is; an error suggests the nearest name."""
        if name in self.names:
            return self.names.index(name)
        folded = {known.casefold(): known for known in reversed(self.names)}
        near = difflib.get_close_matches(name.casefold(), folded, n=1)
        hint = f', did you mean "{folded[near[0]]}"? Its' if near else "; its"
        raise BadInput(f'{self.path}: there is no column "{name}"{hint} columns are: {listing(self.names)}')

    def numbers(self, name: str) -> np.ndarray | None:
        """A column as float64, NaN where a value is missing; None if it is text: fewer than half of its values are numbers."""
        at = self.index(name)
        cells = [row[at] for row in self.rows]
        if self.delimiter != "," and _decimal_commas(cells) and not all(re.search(r",\d{3}$|^[^,]*$", cell) for cell in cells):
            cells = [cell.replace(",", ".") for cell in cells]  # only then: "1,234" alone may be a thousand
        values = [_number(cell) for cell in cells]
        bad = [i for i, value in enumerate(values) if value is None]
        given = sum(cell.casefold() not in MISSING for cell in cells)
        if 2 * (given - len(bad)) < given and not _decimal_commas(cells):
            return None
        if bad:
            raise BadInput(f"{self.where(bad[0], name)}: {_quote(cells[bad[0]])} is not a number{self._hint(cells[bad[0]])}")
        column = np.array(values, dtype=np.float64)
        for i in np.flatnonzero(np.isinf(column))[:1]:
            raise BadInput(f"{self.where(i, name)}: {_quote(cells[i])} is infinite; give a finite number or leave the cell empty")
        return column

    def where(self, row: int, name: str) -> str:
        """ "FILE:LINE: column NAME", for messages."""
        return f'{self.path}:{self.lines[row]}: column "{name}"'

    @staticmethod
    def _hint(cell: str) -> str:
        if _number(cell.replace(",", ".", 1)) is not None:
            return " (write decimals with a point, thousands without a comma)"
        return "; mend it, leave the cell empty, or leave the column out (--features)"


def read_table(path: str | Path, delimiter: str | None = None, encoding: str = "utf-8") -> Table:
    """Read a CSV file as text cells; raise BadInput for whatever is wrong with it."""
    return parse_table(path, read_text(Path(path), encoding), delimiter)


def parse_table(path: str | Path, text: str, delimiter: str | None = None, names: Sequence[str] | None = None) -> Table:
    """The same of a file that has been read; ``names``: of the columns, where its first line does not name them."""
    delimiter = _sniff(text) if delimiter is None else delimiter
    records = _records(str(path), text, delimiter)
    header_line, header = (0, list(names)) if names else next(records, (0, []))
    if not header:
        raise BadInput(f"{path}: the file is empty; its first line must name the columns")
    heads = [name.strip() or f"column {i}" for i, name in enumerate(header, 1)]
    twice = sorted({name for name in heads if heads.count(name) > 1})
    if twice:
        who = f"{path}:{header_line}: the header" if header_line else "--columns"
        raise BadInput(f"{who} names {listing(twice)} more than once; column names must differ")
    rows, lines = [], []
    for line, row in records:
        if len(row) != len(heads):
            what = "--columns" if header_line == 0 else "the header"
            raise BadInput(f"{path}:{line}: {count(len(row), 'field')}, but {what} names {count(len(header), 'column')}")
        rows.append([cell.strip() for cell in row])
        lines.append(line)
    if not rows:
        raise BadInput(f"{path}: the file has a header and no rows")
    return Table(str(path), heads, rows, lines, delimiter)


def read_text(path: Path, encoding: str) -> str:
    """A file's whole text; BadInput, with the line, where it is not in the encoding."""
    data = read_bytes(path, largest=None)
    for start, kind in NO_TEXT.items():
        if data.startswith(start):
            raise BadInput(f"{path}: {kind}")
    try:
        text = data.decode(encoding)
        text.encode()  # some encodings give halves of a surrogate pair, which are no characters
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        line = data.count(b"\n", 0, at) + 1
        guess = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8" if is_utf8(data) else "latin-1"
        raise BadInput(f"{path}:{line}: the text is not {encoding}; try --encoding {guess}") from None
    except (LookupError, ValueError):
        raise BadInput(f'--encoding: "{encoding}" is not an encoding that Python knows') from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        wide = 3 * text.count("\0") > len(text)  # every other byte of English in UTF-16
        hint = f"try --encoding utf-16-{'be' if text[0] == chr(0) else 'le'}" if wide else "is it a text file?"
        raise BadInput(f"{path}:{line}: a NUL byte, which no text file holds; {hint}")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # the line ends of old Macs
    return text.removeprefix("\ufeff")


def is_utf8(data: bytes) -> bool:
    """Is it valid UTF-8 text?"""
    try:
        return bool(data.decode("utf-8")) and b"\0" not in data
    except UnicodeDecodeError:
        return False


def _sniff(text: str) -> str:
    """The delimiter that cuts the header into the most fields."""

    def fields(delimiter: str) -> int:
        try:
            return len(next(_records("", text, delimiter), (0, []))[1])
        except BadInput:
            return 0

    return max(DELIMITERS, key=fields)  # the first of equals: a comma


def _records(path: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it begins; blank lines are skipped."""
    csv.field_size_limit(max(csv.field_size_limit(), min(len(text) + 1, 2**31 - 1)))  # a field may be a whole document
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error)
            if "unexpected end of data" in reason:
                reason = "a quote is opened and never closed"
            elif "expected after" in reason:
                reason = 'a field goes on after its closing quote; a quote inside a quoted field is written twice ("")'
            raise BadInput(f"{path}:{line}: {reason}") from None
        if len(record) > 1 or "".join(record).strip():
            yield line, record


def _number(cell: str) -> float | None:
    """The cell's number, NaN if it is missing, None if it is neither."""
    if cell.casefold() in MISSING:
        return math.nan
    try:
        return None if "_" in cell else float(cell)  # float() takes 1_000, which only programmers write
    except ValueError:
        return None


def _decimal_commas(cells: list[str]) -> bool:
    """Are all of them numbers once a comma is read as a point?"""
    return all(_number(cell.replace(",", ".", 1)) is not None for cell in cells)


def _quote(cell: str) -> str:
    short = cell if len(cell) <= 40 else cell[:37] + "..."
    return f'"{short}"'.replace("\n", " ")
