"""Do the latest answers look like those that the model was tested on? Label shares, confidence, length, unknown pieces.

    PSI = Σᵢ (qᵢ - pᵢ) ln(qᵢ / pᵢ)     p, q: shares of the reference and of the latest answers in each label or decile

the population stability index; above 0.2 it is usually called a shift. Without any, PSI / (1/n + 1/m) is about χ² with k - 1
degrees of freedom (Yurdakul and Naranjo, 2020, "Statistical properties of the population stability index"). An alarm needs
both: a shift that is large, and more than chance. Numbers are also compared by the test of Kolmogorov and Smirnov.
The reference is what finetune kept of its report, predictions.jsonl: held-out examples, because on those that it was trained
on a model is surer than on any new text.
Read before: log.py. Read next: watch_command.py.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput, short
from ..reading import parse_json
from .log import KEPT, summary

NUMBERS = ("confidence", "length", "unknown", "value")
LEAST = 30  # answers on each side
BINS = 10
SHIFT, ALPHA = 0.2, 0.001


@dataclass
class Seen:
    """Answers, as far as they are compared."""

    source: str
    labels: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NUMBERS})
    count: int = 0

    def add(self, line: dict[str, Any]) -> None:
        """A line of a log."""
        self.count += 1
        label = line.get("label")
        self.labels.update(map(str, label) if isinstance(label, list) else [] if label is None else [str(label)])
        for name in NUMBERS:
            value = line.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                self.numbers[name].append(float(value))


def seen_in(source: str, lines: Sequence[dict[str, Any]]) -> Seen:
    """Of the lines of a log."""
    seen = Seen(source)
    for line in lines:
        seen.add(line)
    return seen


def psi(p_counts: Sequence[float], q_counts: Sequence[float]) -> float:
    """The index of two tables of counts; half an answer is added everywhere, so that an empty cell is not infinite."""
    p, q = (np.asarray(c, float) + 0.5 for c in (p_counts, q_counts))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def binned(reference: Sequence[float], latest: Sequence[float]) -> tuple[Any, Any]:
    """Counts of both in the reference's deciles; a number that fills several deciles has a bin of its own."""
    edges, times = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS, method="inverted_cdf"), return_counts=True)
    edges = np.unique([*edges, *np.nextafter(edges[times > 1], -np.inf), np.inf])
    bins = [np.searchsorted(edges, np.asarray(values), side="left") for values in (reference, latest)]
    return tuple(np.bincount(b, minlength=len(edges)) for b in bins)  # type: ignore[return-value]


def compared(reference: Seen, latest: Seen, shift: float = SHIFT, alpha: float = ALPHA) -> dict[str, Any]:
    """For labels and each number: index, chance, and whether both are an alarm; None where there is too little to compare."""
    from scipy import stats

    found: dict[str, Any] = {}
    names = sorted({*reference.labels, *latest.labels})
    p, q = ([seen.labels[name] for name in names] for seen in (reference, latest))
    if len(names) > 1 and min(sum(p), sum(q)) >= LEAST:
        index = psi(p, q)
        chance = float(stats.chi2.sf(index / (1 / sum(p) + 1 / sum(q)), len(names) - 1))
        shares = {name: [round(a / sum(p), 4), round(b / sum(q), 4)] for name, a, b in zip(names, p, q, strict=True)}
        found["labels"] = {"psi": round(index, 4), "p": chance, "alarm": index > shift and chance < alpha, "shares": shares}
    for name in NUMBERS:
        a, b = reference.numbers[name], latest.numbers[name]
        if min(len(a), len(b)) < LEAST:
            continue
        index, test = psi(*binned(a, b)), stats.ks_2samp(a, b)
        means = [round(float(np.mean(x)), 4) for x in (a, b)]
        found[name] = {"psi": round(index, 4), "ks": round(float(test.statistic), 4), "p": float(test.pvalue), "mean": means}
        found[name]["alarm"] = index > shift and bool(test.pvalue < alpha)
    return {"reference": reference.source, "answers": [reference.count, latest.count], "found": found,
            "alarms": [name for name, row in found.items() if row["alarm"]]}  # fmt: skip


def of_model(served: Any, lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The latest lines of a model next to its reference; None if it has none."""
    if served.reference is False:
        served.reference = reference_of(served.folder, served.answers)
    return None if served.reference is None else compared(served.reference, seen_in("latest", lines))


def reference_of(folder: Path, answers: Any) -> Seen | None:
    """What the report of finetune says of the examples that it was tested on; None for a folder without one."""
    path = folder / "predictions.jsonl"
    if not path.is_file():
        return None
    records = [record for _, record in read_lines(path)][:KEPT]
    texts = [text for record in records if (text := text_of(record)) is not None]
    lengths: list[dict[str, Any]] = [{} for _ in records]
    if len(texts) == len(records):
        with contextlib.suppress(ValueError):  # a text that this model does not read alone, such as a choice without its choices
            asked = answers.read(texts, {})
            lengths = [{"length": n, "unknown": u} for n, u in zip(asked.lengths, asked.unknown, strict=True)]
    return seen_in(str(path), [{**summary(record), **more} for record, more in zip(records, lengths, strict=True)])


def text_of(record: dict[str, Any]) -> Any:
    """The input of a record, if the record holds all of it."""
    if "words" in record:
        return record["words"]
    if "n_best" in record or "choice" in record or not isinstance(record.get("text"), str):
        return None
    return [record["text"], record["pair"]] if "pair" in record else record["text"]


def read_lines(path: Path, start: int = 0) -> list[tuple[int, dict[str, Any]]]:
    """(number of the line, object) from the byte ``start`` on; a last line without an end is still being written."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            record = parse_json(line.decode("utf-8"))
        except ValueError as error:
            raise BadInput(f"{path}:{number}: not a line of JSON ({short(error, 100)})") from None
        if not isinstance(record, dict):
            raise BadInput(f"{path}:{number}: a line is a JSON object, not {short(record, 40)}")
        found.append((number, record))
    return found
