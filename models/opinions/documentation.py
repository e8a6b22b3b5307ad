"""A stream to try the watch on without a file: paragraphs of Python's documentation, of which one library's surge.

They are held-out ones, for the model that ``minitorch finetune`` makes without a file: which library wrote this paragraph?
Read before: models/finetuning/documentation.py. Read next: opinions_command.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from minitorch.files import write_text

from ..errors import BadInput
from ..finetuning.documentation import which_library
from ..text.python_docs import deal

MODEL = "runs/finetune/classify"  # where `minitorch finetune` leaves it
DAYS, SURGE, PER_DAY = 60, 40, 15
USUAL, RISEN = 0.2, 0.45  # shares of the one library's paragraphs, before the surge and from it on


def documentation_stream(path: Path, libraries: Sequence[str]) -> str:
    """Write a table of dates and texts; the library that surges, one of those that the model knows."""
    print("reading the documentation in this Python installation ...")
    items = list(which_library())
    part = deal(Counter(file for file, _ in items))
    found: dict[str, list[str]] = {}
    for file, line in items:
        text, _, library = line.rstrip("\n").partition("\t")
        if part[file] == 2 and library in libraries:  # 2: neither learnt from nor chosen by
            found.setdefault(library, []).append(text)
    if len(found) < 2:
        raise BadInput("the documentation here has no two of the model's libraries; give STREAM, a table of dates and texts")
    surging = max(found, key=lambda library: len(found[library]))
    others = [text for library, texts in found.items() if library != surging for text in texts]
    rng, lines = np.random.default_rng(0), ["date\ttext\n"]
    for day in range(DAYS):
        for _ in range(PER_DAY):
            texts = found[surging] if rng.random() < (RISEN if day >= SURGE else USUAL) else others
            lines.append(f"{date(2024, 1, 1) + timedelta(day)}\t{texts[rng.integers(len(texts))]}\n")
    write_text(path, "".join(lines))
    print(f"{path}: {PER_DAY} paragraphs a day; from {date(2024, 1, 1) + timedelta(SURGE)} on more of {surging}")
    return surging
