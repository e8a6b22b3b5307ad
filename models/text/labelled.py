"""Read labelled files: TSV, CSV, JSONL and CoNLL. An error is one line that names the file and the line.

Read before: tables.py. Read next: models/finetuning/tasks.py.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import BadInput, count, listing
from ..reading import whole
from .kinds import refuse_kinds
from .numbers import MISSING
from .tables import FOUND, Table, delimiter_of, parse_table, read_text, repeats, separator_line

JSON = (".jsonl", ".json", ".ndjson")  # names that end so hold JSON
UNKNOWN = MISSING | {"_", "-", "-1"}  # what stands in the place of a label that is kept back
WORD_HEADS = ("word", "words", "token", "tokens", "form")  # a first line of these two is a header
TAG_HEADS = ("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "pos", "upos")


@dataclass(frozen=True)
class Rows:
    """Records by column name, with the line on which each begins."""

    path: str
    names: list[str]
    records: list[dict[str, Any]]
    lines: list[int]
    delimiter: str = ""  # "" of JSON, a line end of whole lines

    def where(self, i: int) -> str:
        """ "FILE:LINE", for messages."""
        return f"{self.path}:{self.lines[i]}"

    def column(self, asked: str | None, usual: Sequence[str], meaning: str, flag: str) -> str:
        """The column that was asked for, or else the first of the usual names that is there, however it is written."""
        if asked:
            Table(self.path, self.names, [], [], self.delimiter).index(asked)  # an error that suggests the nearest name
            return asked
        found = self.usual(usual)
        if found is None:
            names = f"its columns are: {listing(name[:40] for name in self.names)}"
            line = (
                "" if self.path.endswith(JSON) else "; if that line is no header, name the columns with --columns NAME,NAME,..."
            )
            raise BadInput(f"{self.path}:1: which column holds the {meaning}? Say so with {flag} NAME; {names}{line}")
        return found

    def expect(self, names: Sequence[str], alone: bool = False, columns: str = "") -> None:
        """The training file's columns must be here; where none is, or the like, the first line is no header: texts ``alone``?"""
        if columns and self.delimiter and not set(names) <= set(self.names):
            raise BadInput(
                f"{self.path}: --columns {columns} lacks {listing(set(names) - set(self.names))}, which the model reads"
            )
        near = [difflib.get_close_matches(name.casefold(), [known.casefold() for known in self.names]) for name in names]
        if self.delimiter and not any(near):
            first = " | ".join(self.names)[:40]
            lines = f"plain texts, one per line, are read by: minitorch predict - < {self.path}; a table without a header"
            cure = lines if alone else "the training file has a header; files without one"
            raise BadInput(
                f'{self.path}:1: the first line, "{first}", names no column {listing(names)}; {cure}: --columns NAME,NAME,...'
            )
        for name in names:
            self.column(name, (), "", "")

    def usual(self, names: Sequence[str]) -> str | None:
        """The first of the names that is a column; case, spaces and signs do not matter ("#1 String" is string1)."""
        there = {plain_name(name): name for name in reversed(self.names)}
        return next((there[name] for name in map(plain_name, names) if name in there), None)

    def text(self, i: int, name: str) -> str:
        """A cell that must hold text."""
        value = self.records[i].get(name)
        if value is None or not str(value).strip():
            raise BadInput(f'{self.where(i)}: the text in "{name}" is empty; leave the row out')
        if not isinstance(value, str):
            raise BadInput(f'{self.where(i)}: "{name}" must be a text, not {value!r}')
        return value.strip()


def plain_name(name: str) -> str:
    """A column's name without case, spaces and signs; a number goes to its end."""
    bare = re.sub(r"[\W_]+", "", name).casefold()
    return re.sub(r"^(\d+)(.+)", r"\2\1", bare)


def read_rows(path: str, encoding: str = "utf-8", columns: str = "", delimiter: str = "", optional: Sequence[str] = ()) -> Rows:
    """The rows of a .jsonl file (or a list in a .json file), or of a table: TSV, CSV, the delimiter is found if not given.

    The first line of a table names the columns, unless ``columns`` does, with commas between the names. Of these the
    ``optional`` ones may be left out, from all lines. If one column is left, every line is a cell of it, commas and all.
    """
    text = read_text(Path(path), encoding)
    if not text.strip():
        raise BadInput(f"{path}:1: the file is empty")
    if not columns and not delimiter:
        refuse_kinds(path, text, "tag", "relation", "qa")
    if path.lower().endswith(JSON) or re.match(r"\s*[\[{]+\s*\"", text):
        return read_json(path, text)
    names = [name.strip() for name in columns.split(",")] if columns else []
    said, text = separator_line(text)
    between = delimiter_of(delimiter) or said
    rows: Rows | None = None
    if len(names) == 1:
        rows = whole_lines(path, text, names)
    elif between == " ":
        rows = spaced_table(path, text, names)
    elif between in ("", "\t"):
        rows = plain_table(path, text, names, optional, between)
    if rows is None:
        table = parse_table(path, text, between or None, names, optional if names else ())
        records = [dict(zip(table.names, row, strict=True)) for row in table.rows]
        rows = Rows(path, table.names, records, table.lines, table.delimiter)
    if not rows.records:
        raise BadInput(f"{path}: the file has a header and no rows")
    return rows


def read_json(path: str, text: str) -> Rows:
    """One JSON object per line, or one list of them."""
    records, lines = [], []
    for number, record in list_items(path, text) if text.lstrip().startswith("[") else line_items(path, text):
        if not isinstance(record, dict):
            raise BadInput(f"{path}:{number}: {str(record)[:30]!r} is not an object {{...}}, which each example must be")
        refuse_halves(f"{path}:{number}", record)
        records.append(record)
        lines.append(number)
    if not records:
        raise BadInput(f"{path}:1: the list is empty")
    return Rows(path, list(dict.fromkeys(name for record in records for name in record)), records, lines)


def refuse_halves(where: str, value: Any) -> None:
    """JSON may hold "\\ud83d", half of a surrogate pair, which is no text."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(error.object[error.start]):04x}"
        raise BadInput(f"{where}: {code} is half of a surrogate pair and no character; leave it out") from None


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON for people; in ASCII if UTF-8 cannot write it, such as a file name in another encoding."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def as_name(label: Any) -> str:
    """A label as text; the 1.0 of a JSON file is the 1 of another."""
    return str(int(label) if isinstance(label, float) and label.is_integer() else label).strip()


def line_items(path: str, text: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of every line that is not blank."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line, parse_int=whole)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", str(error))
                raise BadInput(f"{path}:{number}: not a JSON value ({reason}); a .jsonl file holds one object per line") from None


def list_items(path: str, text: str) -> Iterator[tuple[int, Any]]:
    """(line on which it begins, value) of every item of a JSON list."""
    decoder, space = json.JSONDecoder(), re.compile(r"[\s,]*")
    try:
        json.loads(text, parse_int=whole)  # commas and brackets are right, or it says where not
    except (ValueError, RecursionError) as error:
        line, reason = getattr(error, "lineno", 1), getattr(error, "msg", str(error))
        raise BadInput(f"{path}:{line}: not JSON ({reason})") from None
    at, line = space.match(text, text.index("[") + 1).end(), 1  # type: ignore[union-attr]
    counted = 0
    while text[at] != "]":
        line, counted = line + text.count("\n", counted, at), at
        value, end = decoder.raw_decode(text, at)
        yield line, value
        at = space.match(text, end).end()  # type: ignore[union-attr]


def spaced_table(path: str, text: str, names: list[str]) -> Rows:
    """ "label the text", where the last column is the rest of the line; needs column names."""
    if not names:
        raise BadInput("--delimiter space needs --columns NAME,NAME: the last column is the rest of the line")
    records, lines = [], []
    for number, line in filled_lines(text):
        cells = line.strip().split(None, len(names) - 1)
        if len(cells) != len(names):
            has = f"{count(len(cells), 'field')}, but --columns names {count(len(names), 'column')}"
            raise BadInput(f"{path}:{number}: {has} (cut at spaces; --delimiter says otherwise)")
        records.append(dict(zip(names, cells, strict=True)))
        lines.append(number)
    return Rows(path, names, records, lines, " ")


def plain_table(path: str, text: str, names: list[str], optional: Sequence[str] = (), between: str = "") -> Rows | None:
    """A TSV in which quotes mean nothing, as in GLUE: every line has as many tabs as the header. Otherwise None.

    Or a header of one word and one text per line, commas and all. The optional columns may be absent where tabs are known to
    be the delimiter. A cell that is one well-formed quoted string loses its quotes, as in a CSV reader.
    """
    lines = list(filled_lines(text))
    if not lines:
        return None
    heads = names or [unquoted(name.strip()) for name in lines[0][1].split("\t")]
    if len(heads) == 1 and not any(sign in lines[0][1] for sign in FOUND) and "\t" not in text and len(lines) > 1:
        return whole_lines(path, "\n" * lines[0][0] + text.split("\n", lines[0][0])[-1], heads)
    lines = lines if names else lines[1:]
    cells = [line.split("\t") for _, line in lines]
    fewer = [name for name in heads if name not in optional]
    if names and between and all(len(row) == len(fewer) for row in cells):
        heads = fewer
    elif len(heads) < 2 or not lines or len(set(heads)) < len(heads) or not all(heads):
        return None
    if any(len(row) != len(heads) for row in cells):
        return None
    if names and repeats(cells[0], heads):
        lines, cells = lines[1:], cells[1:]
    records = [{name: unquoted(cell.strip()) for name, cell in zip(heads, row, strict=True)} for row in cells]
    return Rows(path, heads, records, [i for i, _ in lines], "\t")


def whole_lines(path: str, text: str, names: list[str]) -> Rows:
    """One column: every line is a cell. Only where quotes stay open within a line, quoted cells may span lines, as in CSV."""
    lines = [(i, unquoted(line.strip())) for i, line in filled_lines(text)]
    if any(line.count('"') % 2 and line[0] == '"' for _, line in lines):
        table = parse_table(path, text, "\x1f", names)  # a delimiter that stands in no text
        lines = [(i, row[0]) for i, row in zip(table.lines, table.rows, strict=True)]
    lines = lines[1:] if repeats([lines[0][1]], names) else lines
    return Rows(path, names, [{names[0]: cell} for _, cell in lines], [i for i, _ in lines], "\n")


def filled_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of all lines that are not blank."""
    return ((i, line.rstrip("\r")) for i, line in enumerate(text.split("\n"), 1) if line.strip())


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
    width: int = 0  # columns of the file


def read_conll(
    path: str, encoding: str = "utf-8", word_column: int = 1, tag_column: int = -1, labelled: bool = True, width: int = 0
) -> list[Sentence]:
    """Sentences of a CoNLL file: one word per line, a blank line between sentences, columns between tabs or spaces.

    Columns count from 1, from the last with -1; of CoNLL-U the usual ones are 2 and 4. Comments (# ...), -DOCSTART- lines, a
    header (word, tag) and the lines of CoNLL-U that are no words (1-2, 1.1) are left out. A file that need not be labelled
    has as many columns as the training file (``width``), or lacks the tags, the last of them, or has nothing but words; where
    there are no tags they are "".
    """
    text = read_text(Path(path), encoding)
    if not text.strip():
        raise BadInput(f"{path}:1: the file is empty")
    refuse_kinds(path, text, "classify", "relation", "qa", "choice")
    if text.lstrip()[0] in "[{":
        raise BadInput(f"{path}:1: this is JSON; tag reads CoNLL: one word and its tag per line, a blank line between sentences")
    lines = list(conll_lines(path, text, tag_column, labelled))
    word_column, tag_column = usual_columns(path, [fields for _, fields in lines], word_column, tag_column)
    if not labelled:
        word_column, tag_column = columns_left(path, lines, word_column, tag_column, width)
    sentences: list[Sentence] = []
    current = Sentence([], [], [])
    for number, fields in [*lines, (0, [])]:
        if not fields and current.words:
            sentences.append(current)
        if not fields:
            current = Sentence([], [], [])
            continue
        for column in (word_column, tag_column):
            if abs(column) > len(fields) or word_column == 0 or (labelled and tag_column == 0):
                raise BadInput(f"{path}:{number}: there is no column {column}, the line has {count(len(fields), 'column')}")
        word = fields[word_column - (word_column > 0)].strip()
        tag = fields[tag_column - (tag_column > 0)].strip() if tag_column else ""
        if not word or (labelled and not tag):
            raise BadInput(f"{path}:{number}: the {'tag' if word else 'word'} is empty")
        if not sentences and not current.words and word.casefold() in WORD_HEADS and tag.casefold() in TAG_HEADS:
            continue  # a header
        current = current if current.width else Sentence([], [], [], len(fields))
        for items, item in ((current.words, word), (current.tags, tag), (current.where, f"{path}:{number}")):
            items.append(item)
    if not sentences:
        raise BadInput(f"{path}:1: the file holds no word")
    return sentences


def usual_columns(path: str, rows: list[list[str]], word_column: int, tag_column: int) -> tuple[int, int]:
    """The columns of the word and the tag, where the usual first one numbers the words, by sentence or by file."""
    rows = [row for row in rows if row]
    if word_column != 1 or len(rows[0]) < 3:
        return word_column, tag_column
    rows = rows if rows[0][0].isdecimal() else rows[1:]  # a header
    if not all(row[0].isdecimal() for row in rows):
        return word_column, tag_column
    if tag_column == -1 and len(rows[0]) == 10 and any(row[0] == "1" for row in rows):
        return 2, 4
    numbers = [int(row[0]) for row in rows]
    steps = [(b == a + 1, b in (0, 1)) for a, b in pairwise(numbers)]  # it counts on, or from the start
    if any(on for on, _ in steps) and all(map(any, steps)) and numbers[0] in (0, 1):
        raise BadInput(f"{path}:1: column 1 numbers the words; say with --word-column and --tag-column which hold word and tag")
    return word_column, tag_column


def columns_left(path: str, lines: list[tuple[int, list[str]]], word_column: int, tag_column: int, width: int) -> tuple[int, int]:
    """Word and tag column of a file that may lack the tags (0: it does)."""
    number, n = next(((number, len(fields)) for number, fields in lines if fields), (1, 0))
    if width == 0 or n == width:
        return word_column, tag_column if width else 0
    if n == 1:
        return 1, 0
    if n == width - 1 and tag_column in (-1, width):
        return word_column if word_column > 0 else word_column + 1, 0
    raise BadInput(
        f"{path}:{number}: {count(n, 'column')}, the training file has {width}: all of them are needed, or all but the tag, or "
        f"words alone; {plain_sentences(path)}"
    )


def plain_sentences(path: str) -> str:
    """The cure where a file of sentences is taken for CoNLL."""
    return f"plain sentences, one per line, are read by: minitorch predict - < {path}"


def conll_lines(path: str, text: str, tag_column: int, labelled: bool) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields), no fields for a blank line; all lines must have as many fields as most have."""
    rows = conll_fields(path, text)
    words = [row for row in rows if row and not row[0].startswith("#")] or [row for row in rows if row]
    width, alike = Counter(map(len, words)).most_common(1)[0] if words else (0, 0)
    at = tag_column - (tag_column > 0)
    tags = {row[at] for row in words if len(row) >= abs(tag_column)}
    so_far = "the lines before it have"
    for number, fields in enumerate(rows, 1):
        if fields and fields[0].startswith("#"):
            # a comment; but a word "#" has as many columns as the others, and a tag that others have too
            word = len(fields) == width and not fields[0].startswith("# ")
            word = word and (fields[0] != "#" or not labelled or width < abs(tag_column) or fields[at] in tags)
            if not word:
                continue
        if width == 10 and fields and re.fullmatch(r"\d+[-.]\d+", fields[0]):
            continue
        if fields and width < 2 and labelled:
            raise BadInput(f"{path}:{number}: a line is a word and its tag, with a tab or a space between them")
        if fields and len(fields) != width:
            so_far = so_far if any(rows[: number - 1]) else "most lines have"
            conll = "; tag reads CoNLL: one word and its tag per line" if 2 * alike <= len(words) else ""
            conll = "; it has spaces, most lines have tabs" if len(fields) == 1 and " " in fields[0].strip() else conll
            cure = conll if labelled else f"; {plain_sentences(path)}"
            raise BadInput(f"{path}:{number}: {count(len(fields), 'column')}, {so_far} {width}{cure}")
        yield number, fields


def conll_fields(path: str, text: str) -> list[list[str]]:
    """Every line's fields, cut at tabs if most lines have one, or else at spaces; none of a blank or a -DOCSTART- line."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    lines = ["" if not line.strip() or line.split()[0] == "-DOCSTART-" else line for line in lines]
    words = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    tabbed = [number for number, line in words if "\t" in line]
    if 0 < 2 * len(tabbed) < len(words):
        raise BadInput(f"{path}:{tabbed[0]}: a tab; most lines have spaces between their columns: write all in the same way")
    # only at plain spaces: split() would also cut at a no-break space, as in "10 000"
    cut = (lambda line: line.split("\t")) if tabbed else (lambda line: re.split(" +", line.strip(" ")))
    return [cut(line) if line else [] for line in lines]
