"""A prompt at work: asked as it is, trained on a few examples, saved and loaded.

    from models import prompting

    s = prompting.Settings(model="runs/pretrain", words="great:positive,terrible:negative")
    prompt = prompting.Prompt.untrained(s)
    print(prompt(["a film to see twice"]))

Read before: cloze.py. Read next: contrastive.py, curve.py, prompt_command.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch.files import write_text
from minitorch.parallel import Workers

from ..bert.config import BertConfig
from ..bert.use import refuse_without_head
from ..checkpoints.files import config_file, locate
from ..errors import BadInput, short
from ..finetuning import tasks
from ..finetuning.classify import Classify, Example
from ..finetuning.predictor import check_types
from ..finetuning.trainer import make_model
from ..reading import parse_json, read_text
from ..text.labelled import as_json, refuse_halves
from ..training.trainer import Trainer
from .calibration import CALIBRATIONS
from .cloze import Cloze, Settings

PROMPT = "prompt.json"
LEAST = 16  # examples from which half can be spared to choose a rate
NEVER = 1 << 40
Make = Callable[[tasks.Settings, list[Example]], Any]  # a task for these settings, which may look at the training examples


# ------------------------------------------------------------------------------------------------------- training


def fit(s: Any, make: Make, train: list[Example], lr: float, label: str, shown: bool) -> Trainer:
    """The checkpoint's model, trained on the examples for --steps steps (whole epochs) at a highest rate of lr."""
    s = dataclasses.replace(s, lr=lr, eval_every=NEVER, save_every=NEVER)
    task = make(s, train)
    tokenizer, model = make_model(s, task, say=lambda text: None)
    s.epochs = math.ceil(s.steps / math.ceil(len(task.features(train, tokenizer)) / s.batch_size))
    trainer = Trainer(s, task, tokenizer, model, train, [])
    trainer.train(label, shown)
    return trainer


def best_rate(s: Any, make: Make, train: list[Example], shown: bool = True) -> float:
    """--lr, or of three rates the one whose run on one half of the examples has the lowest loss on the other half.

    The middle one is the method's own with --adapt, or 5e-5 at BERT-base's width and more where the model is narrower: a step of
    Adam has the same size for every weight, and more of them add up in a wide layer. Fewer than LEAST examples: the middle one.
    """
    if s.lr is not None:
        return float(s.lr)
    usual = dataclasses.replace(s)
    usual.check_adapt()  # sets the method's own rate
    width = BertConfig.from_json_file(config_file(locate(s.model))).hidden_size
    middle = usual.lr if s.adapt else usual.lr * 768 / width
    if len(train) < LEAST:
        return middle
    task, losses = make(s, train), {}
    by_class = sorted(np.random.default_rng([s.seed, 11]).permutation(len(train)), key=lambda i: task.target(train[i]))
    halves = [[train[i] for i in by_class[part::2]] for part in (0, 1)]
    for rate in (middle / 4, middle, middle * 4):
        t = fit(s, make, halves[0], rate, f"trying the rate {rate:.2g}", shown)
        with Workers(s.workers) as workers:
            losses[rate] = t.answer(t.task.features(halves[1], t.tokenizer), workers)[1]
    return min(losses, key=lambda rate: losses[rate])


def learnt(s: Any, make: Make, train: list[Example], shown: bool = True) -> Trainer:
    """Choose the rate, then train on all examples."""
    return fit(s, make, train, best_rate(s, make, train, shown), "training", shown)


def like(kind: Any, reader: Any) -> Make:
    """Makes tasks of a kind that know the columns, labels and words of the one that read the files."""
    facts = reader.facts()

    def make(s: tasks.Settings, train: list[Example]) -> Any:
        task = kind(s)
        task.remember({**facts, "pool": train})
        return task

    return make


def read(s: Settings, reader: Classify, say: Callable[[str], None] = print) -> tuple[list[Example], list[Example]]:
    """The examples of --train and --test, each empty if there is none, checked; ``reader`` then knows columns and labels."""
    train = reader.read(s.train) if s.train else []
    if train:
        reader.learn(train)
    test = reader.read(s.test) if s.test else []
    reader.check(test)
    for note in reader.notes:
        say(note)
    return train, test


# ----------------------------------------------------------------------------------------------------- a prompt


class Prompt:
    """A masked LM with template and words, ready to answer: ``prompt(["a text", ...])`` gives one record per text."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.task = trainer, trainer.task
        self.leanings: dict[str, Any] = {}  # by calibration: class probabilities of inputs without content

    @classmethod
    def untrained(cls, s: Settings, reader: Cloze | None = None, train: Sequence[Example] = ()) -> Prompt:
        """The checkpoint as it is. ``reader``: the task that read files; ``train``: examples for words and demonstrations."""
        if reader is None:
            s.check()
        refuse_without_head(s.model)
        task = like(Cloze, reader or Cloze(s))(s, list(train))
        tokenizer, model = make_model(s, task, say=lambda text: None)
        return cls(Trainer(dataclasses.replace(s, lr=s.lr or 1.0), task, tokenizer, model, [], []))

    @classmethod
    def trained(cls, s: Settings, reader: Cloze, train: list[Example], shown: bool = True) -> Prompt:
        """Fine-tuned on the examples."""
        # words that are not given are found once, from all examples
        found = reader if reader.label_words else cls.untrained(s, reader, train).task
        return cls(learnt(s, like(Cloze, found), train, shown))

    def probabilities(self, examples: list[Example], calibrate: str | None = None) -> np.ndarray[Any, Any]:
        """(N, C), calibrated as the settings say, or as asked."""
        calibrate = self.task.s.calibrate if calibrate is None else calibrate
        p = self.ask(examples)
        return p if calibrate == "none" else CALIBRATIONS[calibrate][1](p, self.leaning(calibrate))

    def leaning(self, calibrate: str = "contextual") -> np.ndarray[Any, Any]:
        """(M, C): the answers to M inputs without content."""
        if calibrate not in self.leanings:
            texts = CALIBRATIONS[calibrate][0]
            self.leanings[calibrate] = self.ask([Example(text, text, None, "") for text in texts], free=True)
        return self.leanings[calibrate]

    def ask(self, examples: list[Example], free: bool = False) -> np.ndarray[Any, Any]:
        """(N, C) as the model says it."""
        t = self.trainer
        features = self.task.features(examples, t.tokenizer, free=free)
        with Workers(t.s.workers) as workers:
            rows, _ = t.answer(features, workers)
        if not np.isfinite(rows).all():
            raise BadInput(f"{t.s.model}: its answers are NaN or infinite, so its weights are damaged")
        return np.stack(self.task.predictions(examples, features, rows))

    def __call__(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Answers to texts; a tab stands between the two of a pair."""
        if isinstance(texts, str):
            raise BadInput(f"give a list of texts, such as [{texts[:30]!r}]; a single string would be read letter by letter")
        for i, text in enumerate(texts, 1):
            refuse_halves(f"text {i}", text)  # of the command line, where bytes that are no UTF-8 become such
        examples = self.task.from_text(texts)
        p = self.probabilities(examples) if examples else []
        return [self.task.shown(e, row) for e, row in zip(examples, p, strict=True)]

    # ---- its folder

    def save(self, folder: str | Path) -> None:
        """An ordinary masked LM in Hugging Face's layout, with its tokenizer; and prompt.json."""
        t = self.trainer
        t.model.save_pretrained(folder)
        t.tokenizer.save_pretrained(folder)
        record = {"settings": dataclasses.asdict(t.s), "facts": self.task.facts(), "minitorch": minitorch.__version__}
        write_text(Path(folder) / PROMPT, as_json(record, 1) + "\n")


def load(folder: str | Path, device: str = "cpu", **changes: Any) -> Prompt:
    """A folder that ``minitorch prompt`` wrote. changes: settings other than the folder's (columns, calibrate, ...)."""
    path = Path(folder) / PROMPT
    try:
        saved = parse_json(read_text(path))
        here = {"device": device, "precision": "float32", "threads": 0, "model": str(folder)}
        s = Settings(**{**saved["settings"], **here, **changes})
        check_types(path, s)
        s.check()
        task = Cloze(s)
        task.remember(saved["facts"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise BadInput(f"{path}: not the record of a prompt ({short(error, 200)})") from error
    refuse_without_head(folder)
    tokenizer, model = make_model(s, task, say=lambda text: None)
    return Prompt(Trainer(s, task, tokenizer, model, [], []))
