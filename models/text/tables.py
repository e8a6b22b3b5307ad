"""Read CSV files: every error is one line that names file, line and column.

The first line names the columns. Quoted fields may span lines, a byte-order mark is skipped, and so is a first line that
spreadsheets write, sep=; which says what the delimiter is. Otherwise the whole file says it (``find_delimiter``), unless it
is given: a delimiter must cut every line into as many fields as the header. Numbers are read by numbers.py. An empty cell,
NA, N/A, NaN, null, none and ? mean "missing", in any case of letters.
Read before: numbers.py. Read next: labelled.py.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInput, count, listing
from ..reading import read_bytes
from .numbers import DECIMALS, MISSING, are_numbers, decimal_mark, number, without_unit

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}  # their names as options
FOUND = ",;\t|"  # those that are found in a file
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
    decimal: str = ""  # as the user says it; empty: found

    def index(self, name: str) -> int:
        """Where the column is; an error suggests the nearest name."""
        if name in self.names:
            return self.names.index(name)
        folded = {known.casefold(): known for known in reversed(self.names)}
        near = difflib.get_close_matches(name.casefold(), folded, n=1)
        hint = f', did you mean "{folded[near[0]]}"? Its' if near else "; its"
        way = "space cuts at spaces" if len(self.names) == 1 and " " in self.names[0] else "says otherwise"
        cut = "" if near or not self.delimiter else f" (cut at {_called(self.delimiter)}; --delimiter {way})"
        columns = listing(_short(known) for known in self.names)
        raise BadInput(f'{self.path}: there is no column "{name}"{hint} columns are: {columns}{cut}')

    def cells(self, name: str) -> list[str]:
        """A column's texts."""
        at = self.index(name)
        return [row[at] for row in self.rows]

    @functools.cached_property
    def decimal_mark(self) -> str:
        """ "." or ",": as the user says it, or found from the whole file."""
        return self.decimal or decimal_mark({name: self.cells(name) for name in self.names}, self.delimiter, self.where)

    @property
    def reading(self) -> list[str]:
        """What a reader should know of how the cells were read: nothing of points and commas where they usually are."""
        return [f"numbers with decimal commas; columns cut at {_called(self.delimiter)}"] if self.decimal_mark == "," else []

    def numbers(self, name: str) -> np.ndarray | None:
        """A column as float64, NaN where a value is missing; None if it is text: fewer than half of its values are numbers.

        A unit ($, €, %, ...) stands in all cells or in none: 5 % next to .05, or $5 next to 5 €, are not to be compared.
        """
        cells = self.cells(name)
        values = [number(cell, self.decimal_mark) for cell in cells]
        if not are_numbers(cells, values):
            return None
        given = [i for i, cell in enumerate(cells) if cell.casefold() not in MISSING]
        for i in given:
            if values[i] is None:
                raise BadInput(f"{self.where(i, name)}: {_quote(cells[i])} is not a number{self._hint(cells[i])}")
        column = np.array(values, dtype=np.float64)
        for i in np.flatnonzero(np.isinf(column))[:1]:
            raise BadInput(f"{self.where(i, name)}: {_quote(cells[i])} is infinite; give a finite number or leave the cell empty")
        units = {i: without_unit(cells[i])[1] for i in given}
        for i in given:
            if units[i] != units[given[0]]:
                both = f"{_quote(cells[i])} and {_quote(cells[given[0]])}, line {self.lines[given[0]]}"
                raise BadInput(f"{self.where(i, name)}: {both}, differ in their unit; write all cells in the same one")
        return column

    def where(self, row: int, name: str) -> str:
        """ "FILE:LINE: column NAME", for messages."""
        return f'{self.path}:{self.lines[row]}: column "{name}"'

    def _hint(self, cell: str) -> str:
        here, there = ("comma", "point") if self.decimal_mark == "," else ("point", "comma")
        if number(cell, DECIMALS[there]) is not None:
            return f" where a {here} is the decimal mark (--decimal {there} would read it)"
        return "; mend it, leave the cell empty, or leave the column out (--features)"


def read_table(
    path: str | Path, delimiter: str | None = None, encoding: str = "utf-8", decimal: str = "", names: Sequence[str] = ()
) -> Table:
    """Read a CSV file as text cells; raise BadInput for whatever is wrong with it."""
    return parse_table(path, read_text(Path(path), encoding), delimiter, names, decimal=decimal)


def parse_table(
    path: str | Path,
    text: str,
    delimiter: str | None = None,
    names: Sequence[str] = (),
    optional: Sequence[str] = (),
    decimal: str = "",
) -> Table:
    """The same of a file that has been read; ``names``: of the columns, where its first line does not name them.

    Of those, ``optional`` ones may be absent, all of them from all lines. A first line that repeats the names is no row.
    """
    said, text = separator_line(text)
    delimiter = delimiter or said or find_delimiter(path, text, names, optional)
    records = list(_records(str(path), text, delimiter))
    if not records:
        raise BadInput(f"{path}: the file is empty; its first line must name the columns")
    header_line, header = (0, list(names)) if names else records.pop(0)
    heads = [name.strip() or f"column {i}" for i, name in enumerate(header, 1)]
    if not names and all(_is_number(cell) for cell in header if cell.strip()) and any(cell.strip() for cell in header):
        why = "the first line holds numbers alone and names no columns"
        raise BadInput(f"{path}:{header_line}: {why}; --columns NAME,NAME,... names them")
    twice = sorted({name for name in heads if heads.count(name) > 1})
    if twice:
        who = f"{path}:{header_line}: the header" if header_line else "--columns"
        raise BadInput(f"{who} names {listing(twice)} more than once; column names must differ")
    fewer = [name for name in heads if name not in optional]
    if all(len(row) == len(fewer) for _, row in records):
        heads = fewer
    if names and repeats(records[0][1], heads):
        records.pop(0)
    what = "the header" if header_line else "--columns"
    for line, row in records:
        if len(row) != len(heads):
            has = f"{count(len(row), 'field')}, but {what} names {count(len(heads), 'column')}"
            cure = f"; if the file holds no labels: --columns {','.join(fewer)}" if optional else ""
            raise BadInput(f"{path}:{line}: {has} (cut at {_called(delimiter)}; --delimiter says otherwise){cure}")
    if not records:
        raise BadInput(f"{path}: the file has a header and no rows")
    rows = [[cell.strip() for cell in row] for _, row in records]
    return Table(str(path), heads, rows, [line for line, _ in records], delimiter, decimal)


def repeats(row: Sequence[str], names: Sequence[str]) -> bool:
    """Is a row a header that repeats the names given, in whatever case of letters?"""
    return [cell.strip().casefold() for cell in row] == [name.casefold() for name in names]


def separator_line(text: str) -> tuple[str, str]:
    """The delimiter that a first line such as sep=; names (or ""), and the text with that line blank."""
    first, end, rest = text.partition("\n")
    said = re.fullmatch(r'"?sep=(.)"?;*,*\r?', first, re.IGNORECASE)
    return (said[1], end + rest) if said else ("", text)


def find_delimiter(path: str | Path, text: str, names: Sequence[str] = (), optional: Sequence[str] = ()) -> str:
    """The delimiter that cuts every line into as many fields as the header (or ``names``), two at least.

    If several do, it is the tab, which stands in no name and no number; or else the one whose fields are numbers more
    often: in "height, cm;price" over "1,5;2" a semicolon leaves 1,5 and 2, a comma 1 and 5;2. Equally good ones are an error.
    If none does, the file is broken or has one column: then it is the one that cuts most lines so, for the error to come.
    """
    fields = {delimiter: _fields(text, delimiter) for delimiter in FOUND}
    widths = {delimiter: len(names) or (counts or [0])[0] for delimiter, counts in fields.items()}
    if optional and not any(len(names) in counts for counts in fields.values()):
        widths = dict.fromkeys(FOUND, len(names) - len(optional))
    share = {d: fields[d].count(widths[d]) / max(len(fields[d]), 1) if widths[d] > 1 else 0.0 for d in FOUND}
    fits = [delimiter for delimiter in FOUND if share[delimiter] == 1]
    if not fits:
        return max(FOUND, key=lambda delimiter: (share[delimiter], max(fields[delimiter], default=0)))
    if "\t" in fits or len(fits) == 1:
        return "\t" if "\t" in fits else fits[0]
    numbers = {delimiter: _share_of_numbers(text, delimiter, 0 if names else 1) for delimiter in fits}
    best = max(fits, key=lambda delimiter: numbers[delimiter])
    if list(numbers.values()).count(numbers[best]) > 1:
        ways = " and at ".join(_called(delimiter) for delimiter in fits)
        raise BadInput(f"{path}: the lines can be cut at {ways}, each time into as many fields; say which with --delimiter")
    return best


def _fields(text: str, delimiter: str) -> list[int]:
    """How many fields each record has, as far as they can be read; a broken one has none."""
    counts: list[int] = []
    try:
        counts.extend(len(row) for _, row in _records("", text, delimiter))
    except BadInput:
        counts.append(0)
    return counts


def _share_of_numbers(text: str, delimiter: str, heads: int) -> float:
    """Of all fields below the header that hold something."""
    rows = list(_records("", text, delimiter))[heads:]
    cells = [cell for _, row in rows for cell in row if cell.strip().casefold() not in MISSING]
    return sum(map(_is_number, cells)) / max(len(cells), 1)


def _is_number(cell: str) -> bool:
    """Under either decimal mark?"""
    return cell.strip().casefold() not in MISSING and any(number(cell.strip(), mark) is not None for mark in ".,")


def _called(delimiter: str) -> str:
    return {"\t": "tabs", " ": "spaces", "\n": "line ends"}.get(delimiter, f'"{delimiter}"')


def delimiter_of(option: str) -> str:
    """The sign that --delimiter means: itself, or a name."""
    sign = DELIMITERS.get(option, "\t" if option == "\\t" else option)
    if len(sign) > 1 or sign in tuple('"\r\n'):
        raise BadInput(f'--delimiter must be one sign, or one of {listing(DELIMITERS)}, not "{option}"')
    return sign


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
        if b"\0" in data and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            raise BadInput(f"{path}:{line}: this is a binary file (or UTF-16), not {encoding} text") from None
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


def _records(path: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it begins; blank lines are skipped."""
    csv.field_size_limit(max(csv.field_size_limit(), min(len(text) + 1, 2**31 - 1)))  # a field may be a whole document
    if delimiter == " ":  # as many of them as align the columns
        text = re.sub(r"(?m)^ +| +(?=\r?$)", "", re.sub(" +", " ", text))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")
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
                twice = 'a quote inside a quoted field is written twice ("")'
                cut = f"fields do not end at {_called(delimiter)} (--delimiter)"
                reason = f"a field goes on after its closing quote; {twice}, or {cut}"
            raise BadInput(f"{path}:{line}: {reason}") from None
        if len(record) > 1 or "".join(record).strip():
            yield line, record


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _quote(cell: str) -> str:
    return f'"{_short(cell)}"'.replace("\n", " ")
