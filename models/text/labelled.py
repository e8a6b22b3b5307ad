"""Read labelled files: TSV, CSV, JSONL and CoNLL. An error is one line that names the file and the line.

Read before: tables.py. Read next: models/finetuning/tasks.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput, count, listing
from ..reading import whole
from .tables import Table, parse_table, read_text

JSON = (".jsonl", ".json", ".ndjson")  # names that end so hold JSON
DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": " "}
WORD_HEADS = ("word", "words", "token", "tokens", "form")  # a first line of these two is a header
TAG_HEADS = ("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "pos", "upos")


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
        """The column that was asked for, or else the first of the usual names that is there, however it is written."""
        if asked:
            Table(self.path, self.names, [], []).index(asked)  # an error that suggests the nearest name
            return asked
        found = self.usual(usual)
        if found is None:
            names = f"its columns are: {listing(name[:40] for name in self.names)}"
            line = (
                "" if self.path.endswith(JSON) else "; if that line is no header, name the columns with --columns NAME,NAME,..."
            )
            raise BadInput(f"{self.path}:1: which column holds the {meaning}? Say so with {flag} NAME; {names}{line}")
        return found

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


def read_rows(path: str, encoding: str = "utf-8", columns: str = "", delimiter: str = "") -> Rows:
    """The rows of a .jsonl file (or a list in a .json file), or of a table: TSV, CSV, the delimiter is found if not given.

    The first line of a table names the columns, unless ``columns`` does, with commas between the names.
    """
    text = read_text(Path(path), encoding)
    if not text.strip():
        raise BadInput(f"{path}:1: the file is empty")
    if path.lower().endswith(JSON) or re.match(r"\s*[\[{]+\s*\"", text):
        return read_json(path, text)
    names = [name.strip() for name in columns.split(",")] if columns else None
    between = DELIMITERS.get(delimiter, delimiter)
    if between == " ":
        return spaced_table(path, text, names)
    rows = plain_table(path, text, names) if between in ("", "\t") else None
    if rows is None:
        between = between or ("\t" if "\t" in text.split("\n", 1)[0] else "")
        table = parse_table(path, text, between or None, names)
        rows = Rows(path, table.names, [dict(zip(table.names, row, strict=True)) for row in table.rows], table.lines)
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


def spaced_table(path: str, text: str, names: list[str] | None) -> Rows:
    """ "label the text", where the last column is the rest of the line; needs column names."""
    if not names:
        raise BadInput("--delimiter space needs --columns NAME,NAME: the last column is the rest of the line")
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            cells = line.strip().split(None, len(names) - 1)
            if len(cells) != len(names):
                raise BadInput(
                    f"{path}:{number}: {count(len(cells), 'field')}, but --columns names {count(len(names), 'column')}"
                )
            records.append(dict(zip(names, cells, strict=True)))
            lines.append(number)
    return Rows(path, names, records, lines)


def plain_table(path: str, text: str, names: list[str] | None = None) -> Rows | None:
    """A TSV in which quotes mean nothing, as in GLUE: every line has as many tabs as the header. Otherwise None.

    Or a header of one word and one text per line, commas and all.

    A cell that is one well-formed quoted string loses its quotes, as in a CSV reader.
    """
    lines = [(i, line.rstrip("\r")) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    heads = names or [unquoted(name.strip()) for name in lines[0][1].split("\t")]
    lines = lines if names else lines[1:]
    alone = len(heads) == 1 and not re.search(r'[,;|"]', heads[0]) and not re.search(r'^\s*"', text, re.MULTILINE)
    if (len(heads) < 2 and not alone) or not lines or len(set(heads)) < len(heads) or not all(heads):
        return None
    cells = [line.split("\t") for _, line in lines]
    if any(len(row) != len(heads) for row in cells):
        return None
    records = [{name: unquoted(cell.strip()) for name, cell in zip(heads, row, strict=True)} for row in cells]
    return Rows(path, heads, records, [i for i, _ in lines])


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


def read_conll(
    path: str, encoding: str = "utf-8", word_column: int = 1, tag_column: int = -1, labelled: bool = True
) -> list[Sentence]:
    """Sentences of a CoNLL file: one word per line, a blank line between sentences, columns between tabs or spaces.

    Columns count from 1, from the last with -1; of CoNLL-U the usual ones are 2 and 4. Comments (# ...), -DOCSTART- lines, a
    header (word, tag) and the lines of CoNLL-U that are no words (1-2, 1.1) are left out. Without labels the tags are "".
    """
    text = read_text(Path(path), encoding)
    if not text.strip():
        raise BadInput(f"{path}:1: the file is empty")
    if text.lstrip()[0] in "[{":
        raise BadInput(f"{path}:1: this is JSON; tag reads CoNLL: one word and its tag per line, a blank line between sentences")
    word_column, tag_column = usual_columns(path, text, word_column, tag_column)
    sentences: list[Sentence] = []
    current = Sentence([], [], [])
    for number, fields in [*conll_lines(path, text, tag_column, labelled), (0, [])]:
        if not fields and current.words:
            sentences.append(current)
            current = Sentence([], [], [])
        if not fields:
            continue
        for column in (word_column, tag_column) if labelled else (word_column,):
            if not 1 <= abs(column) <= len(fields):
                raise BadInput(f"{path}:{number}: there is no column {column}, the line has {count(len(fields), 'column')}")
        word = fields[word_column - (word_column > 0)].strip()
        tag = fields[tag_column - (tag_column > 0)].strip() if len(fields) >= abs(tag_column) else ""
        if not word or (labelled and not tag):
            raise BadInput(f"{path}:{number}: the {'tag' if word else 'word'} is empty")
        if not sentences and not current.words and word.casefold() in WORD_HEADS and tag.casefold() in TAG_HEADS:
            continue  # a header
        tag = tag if labelled else ""
        for items, item in ((current.words, word), (current.tags, tag), (current.where, f"{path}:{number}")):
            items.append(item)
    if not sentences:
        raise BadInput(f"{path}:1: the file holds no word")
    return sentences


def usual_columns(path: str, text: str, word_column: int, tag_column: int) -> tuple[int, int]:
    """The columns of the word and the tag, where the usual first one numbers the words of each sentence."""
    rows = [line.split("\t") for line in text.split("\n") if line.strip() and not line.startswith("#")]
    numbered = all(re.fullmatch(r"\d+([-.]\d+)?", row[0]) for row in rows) and sum(row[0] == "1" for row in rows) > 0
    if word_column != 1 or not numbered or len(rows) < 2 or min(map(len, rows)) < 3:
        return word_column, tag_column
    if tag_column == -1 and all(len(row) == 10 for row in rows):
        return 2, 4
    if [row[0] for row in rows[:2]] == ["1", "2"]:
        raise BadInput(f"{path}:1: column 1 numbers the words; say with --word-column and --tag-column which hold word and tag")
    return word_column, tag_column


def conll_lines(path: str, text: str, tag_column: int, labelled: bool) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields), no fields for a blank line; all lines must have as many fields as the first."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    between = "\t" if any("\t" in line for line in lines if not line.startswith("#")) else None
    # only at plain spaces: split() would also cut at a no-break space, as in "10 000"
    rows = [(line.split("\t") if between else re.split(" +", line.strip(" "))) if line.strip() else [] for line in lines]
    rows = [[] if row and row[0] == "-DOCSTART-" else row for row in rows]
    words = [row for row in rows if row and not row[0].startswith("#")] or [row for row in rows if row]
    width = len(words[0]) if words else 0
    at = tag_column - (tag_column > 0)
    tags = {row[at] for row in words if len(row) >= abs(tag_column)}
    for number, fields in enumerate(rows, 1):
        if fields and fields[0].startswith("#"):
            # a comment; but a word "#" has as many columns as the others, and a tag that others have too
            alike = len(fields) == width and not fields[0].startswith("# ")
            alike = alike and (fields[0] != "#" or not labelled or width < abs(tag_column) or fields[at] in tags)
            if not alike:
                continue
        if width == 10 and fields and re.fullmatch(r"\d+[-.]\d+", fields[0]):
            continue
        if fields and width < 2 and labelled:
            raise BadInput(f"{path}:{number}: a line is a word and its tag, with a tab or a space between them")
        if fields and len(fields) != width:
            raise BadInput(f"{path}:{number}: {count(len(fields), 'column')}, the lines before it have {width}")
        yield number, fields
