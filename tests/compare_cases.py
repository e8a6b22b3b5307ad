"""Small files for the tests of minitorch compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.finetuning.run import TASKS, read_data
from models.finetuning.tasks import Settings as FinetuneSettings

from .finetune_cases import checkpoint, write_classify, write_qa, write_tag


def write_files(folder: Path) -> dict[str, str]:
    """A checkpoint and files for each task."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 120))
    kinds = rng.choice(["red", "blue"], 120)
    rows = [
        f"{a:.3f},{'' if i % 17 == 0 else f'{b:.3f}'},{k},{3 * a - b + (k == 'red'):.3f}"
        for i, (a, b, k) in enumerate(zip(x, z, kinds))
    ]
    (folder / "table.csv").write_text("\n".join(["width,big_height,colour,price", *rows]) + "\n")
    return {
        "model": str(checkpoint(folder / "model")),
        "train": write_classify(folder / "train.tsv", 90),
        "test": write_classify(folder / "test.tsv", 40, 1),
        "tag": write_tag(folder / "train.conll", 60),
        "qa": write_qa(folder / "train.json", 40),
        "table": str(folder / "table.csv"),
    }


def task_of(files, name="classify", **settings):
    """A task and the examples of its file."""
    s = FinetuneSettings(task=name, train=files["train" if name == "classify" else name], **settings)
    s.check()
    task = TASKS[name](s)
    return task, read_data(s, task)
