"""What is kept of an answer, and no more: time, model, latency, length, label, confidence. One JSON object per line.

The text itself is kept only where that was asked for. Read next: drift.py.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from typing import Any

from ..text.labelled import as_json

KEPT = 2000  # answers of each model that are remembered for the page


def summary(record: Any) -> dict[str, Any]:
    """Label and confidence of an answer, whichever kind of model gave it; of a number its value."""
    if isinstance(record, list) and record and isinstance(record[0], list) and record[0]:  # guesses for masks
        token, p = record[0][0]
        return {"label": token, "confidence": round(float(p), 6)}
    if not isinstance(record, dict):
        return {}
    answer = record.get("prediction")
    if "n_best" in record:
        return {"label": "an answer" if answer else "no answer", "confidence": record["n_best"][0]["probability"]}
    if "entities" in record:
        return {"label": sorted({entity["type"] for entity in record["entities"]})}
    if "choice" in record:
        return {"label": str(answer), "confidence": max(record["probabilities"])}
    if "probability" in record:
        return {"label": answer, "confidence": record["probability"]}
    if "probabilities" in record:  # several labels: how far they are from undecided, on average
        p = record["probabilities"].values()
        return {"label": answer, "confidence": round(math.fsum(max(x, 1 - x) for x in p) / len(p), 6)}
    return {"value": answer} if isinstance(answer, float) else {}


class Log:
    """A file that grows by a line per answer, and the latest answers in memory."""

    def __init__(self, path: str = "", texts: bool = False) -> None:
        """texts: keep the texts, too. A file that is moved away (logrotate) is begun again."""
        self.texts = texts
        self.path, self.broken = path, False
        self.file: Any = None
        self.latest: dict[str, deque[dict[str, Any]]] = {}

    def write(self, served: Any, asked: Any, records: list[Any], seconds: float) -> None:
        """The answers of a request."""
        latest = self.latest.setdefault(served.name, deque(maxlen=KEPT))
        now = round(time.time(), 3)
        unknown = asked.unknown or [0.0] * len(records)
        for text, n, u, record in zip(asked.texts, asked.lengths, unknown, records, strict=True):
            line = {"time": now, "model": served.name, "version": served.version, "seconds": round(seconds, 4), "length": n}
            line |= {"unknown": round(u, 4), **summary(record)}
            latest.append(line)
            if self.path:
                self.append(as_json({**line, "text": text} if self.texts else line))

    def append(self, line: str) -> None:
        """One line; a full disk is told once and stops no answer."""
        try:
            if self.file is None or moved(self.file, self.path):
                self.file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - the old one closes with its last reference
            self.file.write(line.encode() + b"\n")  # at once, so that lines of several processes do not mix
            self.broken = False
        except OSError as error:
            if not self.broken:
                print(f"minitorch serve: --log {self.path}: cannot be written ({error.strerror})", file=sys.stderr, flush=True)
            self.broken = True


def moved(file: Any, path: str) -> bool:
    """Has the file another name by now?"""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return True
