"""What is compared: the settings of ``minitorch compare``, its examples, and the one split that all rungs share.

Read before: models/finetuning/run.py. Read next: rungs.py.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bert.config import BertConfig
from ..checkpoints.files import PRETRAINED, config_file, locate, read_all_shapes
from ..errors import BadInput, count
from ..finetuning.run import TASKS, Data, hold_out, read_data
from ..finetuning.tasks import Settings as FinetuneSettings
from ..finetuning.tasks import Task
from ..text.kinds import kind_of_file
from ..text.tables import read_text
from ..training.settings import check_limits, flag, option
from .rows import Rows

TEST_SHARE = 0.2  # of --train, where no --test is given
MINUTES, MINUTES_OF_DEFAULT = 30.0, 5.0
UNUSED = ("adapt", "adapt_layers", "rank", "alpha", "bottleneck", "virtual_tokens", "compare", "fuse", "metric", "patience")
UNUSED = (*UNUSED, "augment", "augment_copies", "augment_rate", "wordlist")
UNUSED = (*UNUSED, "adversarial", "adversarial_radius", "adversarial_steps", "adversarial_rate", "adversarial_unit")
UNUSED = (*UNUSED, "save_every", "eval_every", "wire", "local_steps")  # settings of finetune that mean nothing here


@dataclass
class Settings(FinetuneSettings):
    """Those of ``minitorch finetune``, of which the ones for reading files and for the model apply here, and these."""

    train: str = option("", "file with the examples to learn from", "Python's own documentation")
    dev: str = option("", "file to choose settings by", "a share of --train is held out for that")
    test: str = option("", "file that all are judged on", "a fifth of --train")
    also: str = option("", "file of another domain, with the same labels, to judge on too")
    table: str = option("", "instead of --train: a CSV file, to predict one column from the others")
    target: str = option("", "the column of --table to predict")
    budget: float = option(None, "minutes for everything", f"{MINUTES:g}; {MINUTES_OF_DEFAULT:g} with no files")
    examples: int = option(0, "learn from at most this many training examples; 0: all")
    skip: str = option("", "leave out the rungs of these names, or with these words in their names: random forest; LoRA")
    draws: int = option(5, "random subsets of each size, for the score against the number of examples; 0: none")
    validation: float = option(0.1, "share of --train to hold out for tuning if --dev is not given")
    lr: float = option(
        None, "rate of the BERT that is trained whole", "0.04 / its width, and 3 times that: held-out examples choose"
    )
    output: str = option("runs/compare", "folder for the page, its pictures and its numbers")

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is read."""
        for name in UNUSED:
            if getattr(self, name) != getattr(FinetuneSettings, name):
                raise BadInput(f"{flag(name)} is a setting of minitorch finetune; minitorch compare has no use for it")
        if self.budget is not None and not 0 < self.budget <= 1e6:
            raise BadInput(f"--budget is a number of minutes above 0, and at most 1,000,000; not {self.budget:g}")
        check_limits(self, {"examples": (0, math.inf), "draws": (0, 100), "validation": (0.01, 0.9)})
        self.lr_given = self.lr is not None  # else held-out examples choose it
        super().check()
        if self.table and (self.train or self.task):
            raise BadInput("--table compares on a table, --train on a file of texts, tags or questions: give one of them")
        if bool(self.table) != bool(self.target):
            raise BadInput("--table FILE needs --target COLUMN, the column to predict, and --target needs --table")
        if not (self.table or self.train):
            for name in ("dev", "test", "also"):
                if getattr(self, name):
                    raise BadInput(f"{flag(name)} needs --train: the examples to learn from")


@dataclass
class Problem:
    """The task, the split, and whether there is a pretrained model to take part."""

    task: Task
    s: Settings
    data: Data
    also: list[Any]
    no_model: str = ""  # why BERT cannot take part


def prepare(s: Settings) -> Problem:
    """Read and check all files; the split is a function of the seed alone."""
    s.check()
    config, no_model = find_model(s.model)
    s.train = s.table or s.train
    task: Task = Rows(s) if s.table else TASKS[s.task or kind(s)](s)
    s.task = task.name
    data = split(s, task)
    also = task.read(s.also) if s.also else []
    task.check(also)
    s.length = s.length or min(config.max_position_embeddings if config else 128, 384 if task.name == "qa" else 128)
    if config and not s.lr_given:
        s.lr = float(f"{0.04 / config.hidden_size:.0e}")  # 5e-5 for BERT-base; smaller ones bear more
    return Problem(task, s, data, also, no_model)


def kind(s: Settings) -> str:
    """The task that the training file is for."""
    named = {".conll": "tag", ".conllu": "tag", ".bio": "tag"}.get(Path(s.train).suffix.lower())
    return named or ("" if s.columns else kind_of_file(read_text(Path(s.train), s.encoding))) or "classify"


def split(s: Settings, task: Task) -> Data:
    """Train, dev (for tuning alone) and test (for judging alone); without --test a fifth of --train is for judging."""
    if s.test:
        data = read_data(s, task)
    else:
        data = read_data(dataclasses.replace(s, dev="", validation=TEST_SHARE), task)
        train, test = data.train, data.dev
        dev = task.read(s.dev) if s.dev else []
        task.check(dev)
        if not dev:
            train, dev = hold_out(train, task, s)
        data = Data(train, dev, test, data.sha256)
    if s.examples and len(data.train) > s.examples:
        task.notes.append(f"learning from {s.examples:,} of {count(len(data.train), 'training example')}, as --examples says")
        data.train = subset(task, data.train, s.examples, 0, s.seed)
    return data


def subset(task: Task, examples: list[Any], n: int, draw: int, seed: int) -> list[Any]:
    """n examples at random, in a draw of their own; of every label one comes first, as far as n reaches."""
    order = np.random.default_rng([seed, 11, draw]).permutation(len(examples)).tolist()
    seen: set[str] = set()
    first = [i for i in order if (new := set(task.kinds(examples[i])) - seen) and not seen.update(new)]
    return [examples[i] for i in [*first, *(i for i in order if i not in set(first))][:n]]


def find_model(model: str) -> tuple[Any, str]:
    """The checkpoint's configuration; or None and why, if it is the usual one that is missing, and BadInput if it is another."""
    try:
        where = locate(model)
        config = BertConfig.from_json_file(config_file(where))
        read_all_shapes(where)
    except (OSError, ValueError) as error:
        if model != PRETRAINED:
            raise BadInput(str(error)) from error
        return None, f"no BERT in {model}: minitorch pretrain makes one in three minutes, --model FOLDER names another"
    return config, ""
