"""Dated texts from a file, a folder of files, or standard input, in the order in which they come.

Read before: models/text/labelled.py. Read next: opinions_command.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import BadInput, quoted
from ..text.labelled import Rows, read_rows

TEXTS = ("text", "sentence", "review", "comment", "body", "message", "content", "title")
DATES = ("date", "time", "timestamp", "datetime", "created_at", "when", "day")
ENDINGS = (".tsv", ".csv", ".jsonl", ".json", ".txt")
WAIT = 2.0  # seconds between two looks into a folder that grows


@dataclass
class Text:
    """One text of the stream."""

    when: datetime
    text: str


def read_stream(source: str, follow: bool = False) -> Iterator[Text]:
    """All texts of a source; ``follow``: wait for new files of a folder."""
    if source == "-":
        yield from lines()
        return
    path = Path(source)
    if not path.is_dir():
        if follow:
            raise BadInput(f"--follow waits for new files of a folder; {source} is none")
        yield from table(source)
        return
    seen: set[Path] = set()
    while True:
        new = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS and p not in seen and not p.name.startswith("."))
        if not new and not seen and not follow:
            raise BadInput(f"{source}: no file of texts ({', '.join(ENDINGS)}) is there")
        for file in new:
            yield from table(str(file))
            seen.add(file)
        if not follow:
            return
        time.sleep(WAIT)


def table(path: str) -> list[Text]:
    """The rows of a file with a date and a text, in the order of time."""
    rows: Rows = read_rows(path)
    header = "a header such as date<TAB>text; there is no option"
    date, text = rows.column(None, DATES, "date", header), rows.column(None, TEXTS, "text", header)
    found = [Text(moment(rows.records[i].get(date), rows.where(i)), rows.text(i, text)) for i in range(len(rows.records))]
    return sorted(found, key=lambda row: row.when)


def lines() -> Iterator[Text]:
    """Standard input: a date, a tab and a text per line, one by one as they come."""
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        where = f"standard input:{number}"
        when, tab, text = line.rstrip("\r\n").partition("\t")
        if not tab or not text.strip():
            raise BadInput(f"{where}: write a date, a tab and a text")
        yield Text(moment(when, where), text.strip())


def moment(value: object, where: str) -> datetime:
    """A date or time as ISO 8601 writes it, or seconds since 1970; without a zone it is taken as UTC."""
    try:
        found = datetime.fromtimestamp(float(str(value)), UTC) if is_number(value) else datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"{where}: {quoted(value)} is no date: write it as 2024-05-31 or 2024-05-31T12:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def is_number(value: object) -> bool:
    """Seconds, and not a year or a date without signs?"""
    try:
        return float(str(value)) > 1e8 and len(str(value).strip()) != 8
    except ValueError:
        return False
