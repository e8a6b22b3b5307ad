"""Read texts in which two entities are marked: ``The <e1>cause</e1> of the <e2>effect</e2>``, and their relation.

Three layouts. SemEval-2010 Task 8's own: a numbered sentence in quotes, on the next line its relation, then a comment. Tables and
JSONL: texts with the marks inside, or with columns for the two entities, as the words themselves or as the span of their
characters. Lists of tokens with the spans of tokens, as in TACRED and Wiki80. Without labels also: one marked text per line.
Read before: labelled.py. Read next: models/finetuning/relation.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .labelled import JSON, Rows, as_name
from .tables import read_text

MARK = re.compile(r"<(/?)e([12])>|\[(/?)e([12])\]", re.IGNORECASE)
ENTITIES = (
    "e1 entity1 ent1 entity_1 head h subject subj".split(),  # noqa: SIM905
    "e2 entity2 ent2 entity_2 tail t object obj".split(),  # noqa: SIM905
)
TOKENS = ("token", "tokens", "words")
LABEL = ("relation", "label", "labels", "class", "category", "target", "rel", "relation_type")
TWO_NUMBERS = re.compile(r"\W*(\d+)\W+(\d+)\W*")
DIRECTION = re.compile(r"\s*\(\s*e([12])\s*,\s*e([12])\s*\)$")

Span = tuple[int, int]  # first character, one past the last


@dataclass(frozen=True)
class Marked:
    """A text without its marks, where the two entities stand, and how they are related ("" if nobody says)."""

    text: str
    e1: Span
    e2: Span
    label: str
    where: str
    id: str = ""

    @property
    def parts(self) -> list[str]:
        """The text in pieces, with the marks between them: ["The ", "<e1>", "cause", "</e1>", " of", ...]."""
        events = []  # what closes comes before what opens; the inner one closes first and opens last
        for n, (start, end) in enumerate((self.e1, self.e2), 1):
            events += [(end, 0, -start, -n, f"</e{n}>"), (start, 1, -end, n, f"<e{n}>")]
        parts, at = [], 0
        for place, *_, mark in sorted(events):
            parts += [self.text[at:place], mark]
            at = place
        return [part for part in [*parts, self.text[at:]] if part]


def unmarked(text: str, where: str) -> tuple[str, Span, Span]:
    """The text without its marks, and the entities' places."""
    plain, at = "", 0
    found: dict[str, int] = {}
    text = text.strip()
    for m in MARK.finditer(text):
        plain += text[at : m.start()]
        at = m.end()
        mark = f"<{m[1] or m[3] or ''}e{m[2] or m[4]}>"
        if mark in found:
            raise BadInput(f"{where}: {mark} stands there twice; each entity is marked once")
        found[mark] = len(plain)
    plain += text[at:]
    if missing := [mark for mark in ("<e1>", "</e1>", "<e2>", "</e2>") if mark not in found]:
        raise BadInput(f"{where}: {missing[0]} is missing; mark both entities: <e1>one</e1> and <e2>the other</e2>")
    spans = []
    for n in (1, 2):
        start, end = found[f"<e{n}>"], found[f"</e{n}>"]
        inside = plain[start:end]
        if not inside.strip():
            raise BadInput(f"{where}: entity {n} is empty" if start <= end else f"{where}: </e{n}> stands before <e{n}>")
        spans.append((start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip())))
    return plain, spans[0], spans[1]


def read_marked(
    path: str,
    columns: dict[str, str],
    asked: dict[str, str],
    notes: list[str],
    read: Callable[[str, Sequence[str]], Rows],
    encoding: str = "utf-8",
    headless: bool = False,
    labelled: bool = True,
) -> list[Marked]:
    """The examples of a file. ``columns`` is filled with the columns that are found in a table, those asked for or of the usual
    names, unless it is full already. ``read(path, optional columns)`` gives a table's rows; it is ``headless`` if its first line
    does not name the columns."""
    text = read_text(Path(path), encoding)
    first = next((line for line in text.split("\n") if line.strip()), "")
    if MARK.search(first) and not headless and not path.lower().endswith(JSON) and not re.match(r"\s*[\[{]+\s*\"", text):
        if re.match(r"\s*\d+\s", first) and first.strip().count("\t") < 2:
            return list(numbered(path, text, labelled))
        if not labelled and "\t" not in first:
            lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
            return [Marked(*unmarked(line, f"{path}:{i}"), "", f"{path}:{i}") for i, line in lines]
        if "\t" not in first:
            raise BadInput(
                f"{path}:1: a marked text, but no relation with it. As in SemEval, number the sentences and write each "
                f"relation on the next line; or give a table, whose columns the first line or --columns names"
            )
    rows = read(path, [columns["label"]] if columns and not labelled else [])
    if not columns:
        columns.update(find_columns(rows, asked, labelled))
        shown = [f'the text from "{columns["text"]}"', *(f'entity {n} from "{columns[f"e{n}"]}"' for n in "12" if columns["e1"])]
        notes.append(f"reading {', '.join(shown)}" + (f', the relation from "{columns["label"]}"' if labelled else ""))
    needed = (columns["text"], columns["label"] if labelled else "", columns["e1"], columns["e2"])
    rows.expect([part for name in needed if name for part in ([name] if name in rows.names else name.split(","))], not labelled)
    return list(table(rows, columns, notes, labelled))


def directed(label: str) -> str:
    """A label whose direction is written in one way: "Cause-Effect (e1 ,e2)" is "Cause-Effect(e1,e2)"."""
    return DIRECTION.sub(r"(e\1,e\2)", label.strip())


# -------------------------------------------------------------------------------------------------- SemEval-2010 Task 8


def numbered(path: str, text: str, labelled: bool) -> Iterator[Marked]:
    """1<TAB>"A sentence with <e1>two</e1> <e2>marks</e2>." / Relation(e1,e2) / Comment: ... / a blank line."""
    sentence: tuple[str, str, str] | None = None  # id, text, where
    label, commenting = "", False

    def finished(found: tuple[str, str, str]) -> Marked:
        if labelled and not label:
            raise BadInput(f"{found[2]}: sentence {found[0]} has no relation; it stands on the line after the sentence")
        return Marked(*unmarked(found[1], found[2]), label if labelled else "", found[2], found[0])

    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        begins = re.match(r"(\d+)\s+(?=[\"“]|.*[<\[]e[12][>\]])", line, re.IGNORECASE)
        if begins:
            if sentence:
                yield finished(sentence)
            body = line[begins.end() :].strip()
            body = body[1:-1] if len(body) > 1 and body[0] in '"“' and body[-1] in '"”' else body
            sentence, label, commenting = (begins[1], body, f"{path}:{number}"), "", False
        elif not line or commenting or line.casefold().startswith("comment"):
            commenting = bool(line)
        elif sentence is None or label:
            raise BadInput(f"{path}:{number}: {line[:40]!r} is no numbered sentence, nor the relation of one, nor a comment")
        else:
            label = directed(line)
    if sentence:
        yield finished(sentence)


# --------------------------------------------------------------------------------------------------- tables and JSONL


def find_columns(rows: Rows, asked: dict[str, str], labelled: bool) -> dict[str, str]:
    """Which column is which. e1 and e2: a column each, or START,END; both are empty if the text holds the marks."""
    usual = ("text", "sentence", *TOKENS, "sents", "context", "document", "body", "content", "passage", "abstract")
    columns = {"text": rows.column(asked["text"], usual, "text", "--text")}
    columns["label"] = rows.column(asked["label"], LABEL, "relation", "--label") if labelled else ""
    for key, names in zip(("e1", "e2"), ENTITIES, strict=True):
        ends = [(f"{name}_start", f"{name}_end") for name in names]
        found = next(((a, b) for a, b in ((rows.usual([s]), rows.usual([e])) for s, e in ends) if a and b), None)
        columns[key] = asked[key] or (",".join(found) if found else rows.usual(names) or "")
    marked = isinstance(rows.records[0].get(columns["text"]), str) and MARK.search(rows.records[0][columns["text"]])
    if marked and not asked["e1"] and not asked["e2"]:
        columns["e1"] = columns["e2"] = ""
    elif not (columns["e1"] and columns["e2"]):
        raise BadInput(
            f"{rows.where(0)}: where are the two entities? Mark them in the text, <e1>one</e1> and <e2>the other</e2>, or name "
            f"their columns with --e1 NAME and --e2 NAME"
        )
    return columns


def table(rows: Rows, columns: dict[str, str], notes: list[str], labelled: bool) -> Iterator[Marked]:
    """One example per row."""
    finders = [Finder(rows, columns[key], columns["text"]) for key in ("e1", "e2")] if columns["e1"] else []
    several = inside = 0
    for i, record in enumerate(rows.records):
        where, label = rows.where(i), ""
        if labelled:
            label = directed(as_name("" if record.get(columns["label"]) is None else record[columns["label"]]))
            if not label:
                raise BadInput(f'{where}: the relation in "{columns["label"]}" is empty; leave the row out')
        text, edges = words_of(rows, i, columns["text"])
        name = "" if record.get("id") is None else as_name(record["id"])
        if not finders:
            yield Marked(*unmarked(text, where), label, where, name)
            continue
        places = [finder.places(i, text, edges) for finder in finders]
        several += any(len(found) > 1 for found in places)
        e1, e2 = min(itertools.product(*places), key=lambda pair: (pair[0][0] < pair[1][1] and pair[1][0] < pair[0][1], pair))
        if e1 == e2:
            raise BadInput(f"{where}: both entities are {text[slice(*e1)]!r}, at the same place; they must be two")
        inside += any(finder.are_spans and cuts_a_word(text, e) for finder, e in zip(finders, (e1, e2), strict=True))
        yield Marked(text, e1, e2, label, where, name)
    if 2 * inside > len(rows.records):
        raise BadInput(
            f"{rows.where(0)}: in most rows the entities' spans begin or end inside a word; they count characters from 0, and "
            f"the end is one past the last: text[start:end]"
        )
    if several:
        notes.append(f"{rows.path}: {several:,} texts hold an entity more than once; its first place is taken (spans say which)")


def words_of(rows: Rows, i: int, name: str) -> tuple[str, list[Span] | None]:
    """The text, and of a list of tokens where each stands in it."""
    value = rows.records[i].get(name)
    if not isinstance(value, list):
        return rows.text(i, name), None
    if not value or not all(isinstance(word, str) and word for word in value):
        raise BadInput(f'{rows.where(i)}: "{name}" must be a text or a list of tokens, none of them empty')
    ends = list(itertools.accumulate(len(word) + 1 for word in value))
    return " ".join(value), [(end - len(word) - 1, end - 1) for word, end in zip(value, ends, strict=True)]


def cuts_a_word(text: str, span: Span) -> bool:
    """Does it begin or end between two letters of English?"""
    pairs = [text[end - 1 : end + 1] for end in span if 0 < end < len(text)]
    return any(pair.isascii() and pair.isalnum() for pair in pairs)


class Finder:
    """Finds an entity in its text: by its words, or by its span. A column of pairs of numbers holds spans, any other words."""

    def __init__(self, rows: Rows, column: str, text: str) -> None:
        self.rows, self.column = rows, column
        self.ends = column.split(",") if column not in rows.names else []  # START,END
        cells = [record.get(column) for record in rows.records]
        # of words such as "1 2" every one stands in its text
        words = all(isinstance(cell, str) and cell in str(r.get(text)) for cell, r in zip(cells, rows.records, strict=True))
        self.are_spans = bool(self.ends) or (all(map(span_in, cells)) and not words)

    def places(self, i: int, text: str, edges: list[Span] | None) -> list[Span]:
        """Where the entity may be."""
        record, where = self.rows.records[i], self.rows.where(i)
        span = tuple_of([record.get(name) for name in self.ends]) if self.ends else span_in(record.get(self.column))
        if self.ends and span and edges is not None:
            span = span[0], span[1] + 1  # TACRED's last token is still inside
        if self.are_spans:
            if span is None:
                raise BadInput(f'{where}: "{self.column}" must be a span, two numbers, not {record.get(self.column)!r}')
            if not 0 <= span[0] < span[1] <= len(text if edges is None else edges):
                n = f"the text has {len(text)} characters" if edges is None else f"there are {len(edges)} tokens"
                raise BadInput(f'{where}: "{self.column}" is the span {span[0]} to {span[1]}, but {n}')
            return [span if edges is None else (edges[span[0]][0], edges[span[1] - 1][1])]
        words = words_in(record.get(self.column))
        if not words:
            raise BadInput(f'{where}: the entity in "{self.column}" is empty')
        found = occurrences(words, text)
        if not found:
            raise BadInput(f'{where}: the entity {words[:40]!r} in "{self.column}" does not stand in the text {text[:40]!r}')
        return found


def span_in(cell: Any) -> Span | None:
    """[3, 9], "3:9", {"start": 3, "end": 9} or {"pos": [3, 9]} as a span; None if it is anything else."""
    if isinstance(cell, dict):
        return span_in(cell["pos"]) if "pos" in cell else tuple_of([cell.get("start"), cell.get("end")])
    if isinstance(cell, str):
        m = TWO_NUMBERS.fullmatch(cell)
        return (int(m[1]), int(m[2])) if m else None
    return tuple_of(cell) if isinstance(cell, list) and len(cell) == 2 else None


def tuple_of(ends: Sequence[Any]) -> Span | None:
    """Two whole numbers, however they are written."""
    if not all(re.fullmatch(r"\d+", as_name(end)) for end in ends):
        return None
    return int(as_name(ends[0])), int(as_name(ends[1]))


def words_in(cell: Any) -> str:
    """The words of an entity that has no span: the cell, or the name in it."""
    if isinstance(cell, dict):
        cell = next((cell[key] for key in ("text", "name", "word") if key in cell), "")
    return cell.strip() if isinstance(cell, str) else ""


def occurrences(words: str, text: str) -> list[Span]:
    """Where the words stand in the text: as whole words if they do so anywhere, in their own case if they do so anywhere."""
    exact, whole = re.escape(words), rf"(?<!\w){re.escape(words)}(?!\w)"
    for pattern, flags in ((whole, 0), (whole, re.IGNORECASE), (exact, 0), (exact, re.IGNORECASE)):
        if found := [m.span() for m in re.finditer(pattern, text, flags)]:
            return found[:50]
    return []
