"""Rows of a table as examples: numbers for the models of tables, a sentence for BERT ("longitude is -122.2, ...").

A text column with few different values becomes a column of 0 and 1 for each; other text columns only the sentence has.
Gaps are filled with the training rows' mean, for all alike, and the sentence says "unknown".
Read before: models/classical/linear_regression.py, models/finetuning/classify.py. Read next: rungs.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, count, listing
from ..finetuning.classify import Classify, Example
from ..text.numbers import DECIMALS, MISSING
from ..text.tables import Table, delimiter_of, parse_table, read_text

MOST_VALUES = 20  # of a text column that becomes columns of 0 and 1


@dataclass
class Row(Example):
    """A sentence, a target, and the row's numbers (d,), NaN where one is missing."""

    values: Any = None


class Rows(Classify):
    """Predict one numeric column of a table from the others."""

    name = "table"
    metric = "r2"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.targets, self.columns = "numbers", {"text": "the row as a sentence", "pair": "", "label": settings.target}
        self.heads: list[str] = []
        self.values: dict[str, list[str]] = {}  # of the text columns, those that have a column of 0 and 1

    def read(self, path: str, labelled: bool = True) -> list[Any]:
        """The rows with a target; the columns of the first file are those of all."""
        s = self.s
        names = [name.strip() for name in s.columns.split(",")] if s.columns else []
        text = read_text(Path(path), s.encoding)
        table = parse_table(path, text, delimiter_of(s.delimiter) or None, names, decimal=DECIMALS.get(s.decimal, ""))
        table.index(s.target)
        y = table.numbers(s.target)
        if y is None:
            raise BadInput(f'{table.where(0, s.target)}: the target holds text ("{table.cells(s.target)[0]}"), not numbers')
        columns = {name: table.numbers(name) for name in table.names if name != s.target}
        if not self.heads:
            self.choose(table, columns)
        X = np.stack([self.column(table, columns, name) for name in self.heads], axis=1)  # (n, d)
        known = np.flatnonzero(~np.isnan(y))
        if len(known) < len(y):
            self.notes.append(f"{path}: {count(len(y) - len(known), 'row')} without a target left out")
        cells = {name: table.cells(name) for name in table.names if name != s.target}
        return [Row(sentence(cells, i), None, float(y[i]), f"{path}:{table.lines[i]}", X[i]) for i in known.tolist()]

    def choose(self, table: Table, columns: dict[str, Any]) -> None:
        """Which columns the numbers are made of."""
        left_out = []
        for name, column in columns.items():
            cells = {cell for cell in table.cells(name) if cell.casefold() not in MISSING}
            if column is not None and not np.isnan(column).all():
                self.heads.append(name)
            elif column is None and 2 <= len(cells) <= MOST_VALUES:
                self.values[name] = sorted(cells)
                self.heads += [f"{name} = {value}" for value in self.values[name]]
            else:
                left_out.append(name)
        if left_out:
            self.notes.append(
                f"only BERT's sentence has these columns, which hold no numbers and no few values: {listing(left_out)}"
            )
        if not self.heads:
            raise BadInput(
                f'{table.path}: no column but "{self.s.target}" holds numbers or few values: nothing to predict it from'
            )

    def column(self, table: Table, columns: dict[str, Any], name: str) -> Any:
        """A column of numbers, or the 0 and 1 of one value of a text column."""
        if name in columns and columns[name] is not None:
            return columns[name]
        source, _, value = name.rpartition(" = ")
        if source in self.values:
            return np.array([float(cell == value) for cell in table.cells(source)])
        table.index(name)
        raise BadInput(f"{table.where(0, name)}: the column holds text here and numbers in the training file")

    def learn(self, examples: list[Any]) -> None:
        """The target's scale, and what gaps are filled with."""
        self.learn_scale(examples)
        self.labels = [self.s.target]
        X = np.stack([e.values for e in examples])
        there = ~np.isnan(X)
        self.means = np.where(there, X, 0).sum(0) / np.maximum(there.sum(0), 1)
        std = np.where(there, X - self.means, 0).std(0)
        self.deviations = np.where(std > 0, std, 1.0)

    def table_of(self, examples: list[Any]) -> Any:
        """(n, d), gaps filled, standardised by the training rows."""
        X = np.stack([e.values for e in examples])
        return (np.where(np.isnan(X), self.means, X) - self.means) / self.deviations


def sentence(cells: dict[str, list[str]], i: int) -> str:
    """ "longitude is -122.23, latitude is 37.88, ..." """
    said = (
        f"{name.replace('_', ' ')} is {values[i] if values[i].casefold() not in MISSING else 'unknown'}"
        for name, values in cells.items()
    )
    return ", ".join(said)
