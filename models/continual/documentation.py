"""Tasks that every Python installation can make from its own documentation: which library wrote this paragraph?

Each task has two libraries. Nothing is downloaded; the test examples come from other source files than the training examples.
Read before: models/finetuning/documentation.py. Read next: command.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_all

from ..errors import BadInput
from ..finetuning.documentation import DEFAULTS as OF_FINETUNE
from ..finetuning.documentation import which_library
from ..text.python_docs import deal

DEFAULTS: dict[str, Any] = {**OF_FINETUNE, "setting": "class"}
TRAIN, TEST = 400, 150  # examples per library


def make_tasks(folder: Path, setting: str) -> tuple[list[str], list[str]]:
    """Write a training and a test file for each two libraries; their names."""
    if setting == "domain":
        raise BadInput("--setting domain needs --tasks: the documentation's tasks are different libraries; take class or task")
    print("reading the documentation in this Python installation ...")
    items = list(which_library())
    part = deal(Counter(file for file, _ in items))
    rng = np.random.default_rng(0)
    lines: dict[str, tuple[list[str], list[str]]] = {}
    for library in dict.fromkeys(file.partition("/")[0] for file, _ in items):
        own = [(part[file], line) for file, line in items if file.startswith(f"{library}/")]
        own = [own[i] for i in rng.permutation(len(own))]
        lines[library] = [line for p, line in own if p == 0][:TRAIN], [line for p, line in own if p == 2][:TEST]
    names = [library for library, (train, test) in lines.items() if len(train) >= 100 and len(test) >= 20]
    pairs = [names[i : i + 2] for i in range(0, len(names) - 1, 2)]
    if len(pairs) < 2:
        few = f"this Python installation documents only {', '.join(names)} at length"
        raise BadInput(f"{few}, too few for two tasks; give --tasks")
    files: dict[Path, str | bytes] = {}
    for k, kind in enumerate(("", "-test")):
        for pair in pairs:
            text = "".join(line for library in pair for line in lines[library][k])
            files[folder / f"{'-'.join(pair)}{kind}.tsv"] = f"text\tlabel\n{text}"
    write_all(files)
    paths = list(map(str, files))
    return paths[: len(pairs)], paths[len(pairs) :]
