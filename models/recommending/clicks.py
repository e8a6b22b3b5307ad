"""Users, items and clicks: from two tables, or from the imports of this Python installation; split by time.

Read before: models/text/labelled.py. Read next: recommenders.py.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_all

from ..errors import BadInput, count
from ..text.labelled import Rows, read_rows
from ..text.python_docs import ALL_LIBRARIES, sources

ITEMS, TEXTS = ("item", "item_id", "id", "sku", "product"), ("description", "text", "title", "name")
USERS, TIMES = ("user", "user_id", "customer", "session"), ("time", "timestamp", "date", "datetime", "when")


@dataclass
class Clicks:
    """Every (user, item) pair once, in the order of time: ``user`` and ``item`` (N,) are numbers into the two lists of names."""

    users: list[str]
    items: list[str]
    texts: list[str]
    user: np.ndarray
    item: np.ndarray

    def table(self, which: slice) -> Any:
        """(users, items) of 0 and 1, sparse, of some clicks."""
        from scipy.sparse import csr_array

        n = len(self.user[which])
        return csr_array((np.ones(n, np.float32), (self.user[which], self.item[which])), (len(self.users), len(self.items)))


def read_clicks(items: str, clicks: str) -> Clicks:
    """Two tables: item and description; user, item and, if there is one, time. Without a time the lines are in its order."""
    rows = read_rows(items)
    name, text = (rows.column(None, names, what, "a header such as item<TAB>description; there is no option") for names, what in
                  ((ITEMS, "item"), (TEXTS, "description")))  # fmt: skip
    number: dict[str, int] = {}
    texts = []
    for i in range(len(rows.records)):
        key = cell(rows, i, name)
        if key in number:
            raise BadInput(f"{rows.where(i)}: the item {key!r} stands there twice")
        number[key] = len(texts)
        texts.append(rows.text(i, text))
    rows = read_rows(clicks)
    who, what = (rows.column(None, names, kind, "a header such as user<TAB>item<TAB>time; there is no option") for names, kind in
                 ((USERS, "user"), (ITEMS, "item")))  # fmt: skip
    users: dict[str, int] = {}
    pairs = []
    for i in range(len(rows.records)):
        key = cell(rows, i, what)
        if key not in number:
            raise BadInput(f"{rows.where(i)}: {items} has no item {key!r}")
        pairs.append((users.setdefault(cell(rows, i, who), len(users)), number[key]))
    order = np.argsort(times(rows), kind="stable")
    first = list(dict.fromkeys(pairs[i] for i in order))
    user, item = np.array(first).T
    return Clicks(list(users), list(number), texts, user, item)


def cell(rows: Rows, i: int, name: str) -> str:
    """A name in a table; BadInput where it is empty."""
    value = rows.records[i].get(name)
    if value is None or not str(value).strip():
        raise BadInput(f'{rows.where(i)}: "{name}" is empty; leave the row out')
    return str(value).strip()


def times(rows: Rows) -> np.ndarray:
    """When each click was, as numbers in order: numbers as they stand, or dates and times as ISO 8601 writes them."""
    name = rows.usual(TIMES)
    if name is None:
        return np.arange(len(rows.records))
    found = []
    for i in range(len(rows.records)):
        value = cell(rows, i, name)
        try:
            found.append(float(value))
        except ValueError:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise BadInput(f"{rows.where(i)}: {value!r} is no time: write a number, or a date as 2024-05-31T12:00") from None
            found.append((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        if not np.isfinite(found[-1]):
            raise BadInput(f"{rows.where(i)}: {value!r} is no time")
    return np.array(found)


def imports_as_clicks(folder: Path, say: Callable[[str], None] = print) -> tuple[str, str]:
    """Write two tables: source files are users, the modules they import are items, a module's docstring describes it.

    A way to try the recommenders without files. Imports have no time; their order is drawn.
    """
    say("reading the imports in this Python installation ...")
    described: dict[str, str] = {}
    imported: list[tuple[str, str]] = []
    for _, file, code in sources(ALL_LIBRARIES):
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError):
            continue
        text = " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())
        name = file.removesuffix(".py").removesuffix("/__init__").removeprefix("python/").replace("/", ".")
        if len(text.split()) >= 3:
            described[name] = text
        imported += [(file, module) for module in modules(tree)]
    pairs = sorted({(file, module) for file, module in imported if module in described})
    if len(pairs) < 1000:
        raise BadInput(f"this Python installation has only {len(pairs)} imports of described modules; give --items and --clicks")
    items = sorted({module for _, module in pairs})
    order = np.random.default_rng(0).permutation(len(pairs))
    names = folder / "items.tsv", folder / "clicks.tsv"
    lines = ["item\tdescription", *(f"{item}\t{described[item]}" for item in items)]
    write_all({names[0]: "\n".join(lines) + "\n", names[1]: "user\titem\n" + "".join("\t".join(pairs[i]) + "\n" for i in order)})
    say(f"{names[0]}, {names[1]}: {count(len(items), 'module')} with a docstring, {count(len(pairs), 'import')} of them")
    return str(names[0]), str(names[1])


def modules(tree: ast.AST) -> set[str]:
    """The modules that a file imports by their full names."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
