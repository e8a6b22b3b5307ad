"""A fine-tuned model at work: from texts or a file to answers. Read before: run.py. Read next: predict_command.py."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.parallel import Workers

from ..adapting import PeftModel
from ..adapting.files import CONFIG
from ..bert.use import load as load_checkpoint
from ..checkpoints.files import locate
from ..checkpoints.kinds import why_not
from ..errors import BadInput, count, listing, short
from ..reading import parse_json, read_json, read_text
from ..text.labelled import refuse_halves
from ..text.tokenizer import Tokenizer
from ..training.settings import typed
from ..training.trainer import Trainer
from .run import FACTS, TASKS
from .tasks import Settings, Task


class Predictor:
    """A fine-tuned model, ready to answer: ``Predictor(folder)(["a text", ...])`` gives one record per text."""

    def __init__(self, folder: str | Path, device: str = "cpu", base: str = "", **reading: str) -> None:
        """``reading``: of the settings that say how files are read (columns, delimiter, encoding), those that differ.

        ``base``: where the checkpoint of an adapter is now, if it is no longer where it was.
        """
        folder = Path(folder)
        path = folder / FACTS
        if not path.exists():
            within = [f"{path.parent}" for path in sorted(folder.glob(f"*/{FACTS}"))]  # of the tasks made from documentation
            which = " or ".join(filter(None, (listing(part, longest=250) for part in (within[:-1], within[-1:]))))
            otherwise = why_not(folder, FACTS, "`minitorch finetune` or `minitorch seq2seq`")
            raise BadInput(f"{folder}: no {FACTS} here; give {which}" if which else otherwise)
        try:
            saved = parse_json(read_text(path))
            here = {"device": device, "precision": "float32", "threads": 0, "model": str(folder)}
            settings = Settings(**{**saved["settings"], **here, **reading})
            check_types(path, settings)
            settings.check()
            self.task: Task = TASKS[saved["task"]](settings)
            self.task.remember(saved["facts"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if str(error).startswith(f"{path}: "):
                raise
            raise BadInput(f"{path}: not the record of a fine-tuning run ({short(error, 200)})") from error
        if (folder / CONFIG).is_file():
            self.tokenizer, model = load_adapted(folder, self.task, base, device)
        else:
            self.tokenizer, model = load_checkpoint(folder, self.task.kind, device)
        if self.task.config() and len(self.task.labels) != model.config.num_labels:
            n, m = len(self.task.labels), model.config.num_labels
            raise BadInput(f"{path}: has {count(n, 'label')}, but {folder / 'config.json'} of {m}; they do not belong together")
        if not 5 <= (length := settings.length) <= (longest := model.config.max_position_embeddings):
            raise BadInput(f"{path}: its texts have up to {length} pieces; the model reads from 5 to {longest}")
        self.trainer = Trainer(settings, self.task, self.tokenizer, model, [], [])

    def __call__(self, texts: Sequence[str | tuple[str, ...]]) -> list[dict[str, Any]]:
        """Answers to texts as a user types them.

        Two texts, a question and its context, a text and its choices: one string with tabs between them, or a tuple. For
        tagging a tuple holds the words; a string is split at spaces and punctuation.
        """
        if isinstance(texts, str):
            raise BadInput(f"give a list of texts, such as [{texts[:30]!r}]; a single string would be read letter by letter")
        for i, text in enumerate(texts, 1):
            if not isinstance(text, str | tuple | list) or not all(isinstance(part, str) for part in text):
                raise BadInput(f"text {i}: a text is a string, or a tuple of strings, not {text!r}")
            refuse_halves(f"text {i}", text)  # of the command line, where bytes that are no UTF-8 become such
        return self.records(self.task.from_text([self.task.typed(text) for text in texts]))

    def file(self, path: str) -> list[dict[str, Any]]:
        """Answers to the examples of a file of the task's format; labels are optional."""
        return self.records(self.task.read(path, labelled=False))

    def records(self, examples: list[Any]) -> list[dict[str, Any]]:
        """One record per example."""
        if not examples:
            return []
        features = self.task.features(examples, self.tokenizer)
        with Workers(self.task.s.workers) as workers:
            rows, _ = self.trainer.answer(features, workers)
        predictions = self.task.predictions(examples, features, finite(rows, self.trainer.s.model))
        return [self.task.shown(example, p) for example, p in zip(examples, predictions, strict=True)]


def finite(rows: list[Any], source: str) -> list[Any]:
    """The rows, unless one of their numbers is not finite."""
    if not all(np.isfinite(part).all() for row in rows for part in (row if isinstance(row, tuple) else (row,))):
        raise BadInput(f"{source}: its answers are NaN or infinite, so its weights are damaged")
    return rows


def load_adapted(folder: Path, task: Task, base: str, device: str) -> tuple[Tokenizer, Any]:
    """The tokenizer of an adapter's folder, and the checkpoint that it belongs to with the adapter on it."""
    base = base or str(read_json(folder / CONFIG).get("base_model_name_or_path"))
    tokenizer = Tokenizer.from_pretrained(folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* weights of ")  # the head: the adapter brings its own
        try:
            model = task.kind.from_pretrained(locate(base), ignore_mismatched_sizes=True, **task.config())
        except FileNotFoundError:
            where = "which is not there; --base FOLDER says where it is"
            raise BadInput(f"{folder} is an adapter for the checkpoint {base}, {where}") from None
    if len(tokenizer) > model.config.vocab_size:  # the adapter brings the task's own words
        model.resize_token_embeddings(len(tokenizer))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*another base")
        try:
            adapted = PeftModel.from_pretrained(model, folder, is_trainable=True)
        except UserWarning:
            raise BadInput(f"{folder}: this adapter was trained on another checkpoint than {base}, or that has changed") from None
    return tokenizer, adapted.to(device)


def check_types(path: Path, settings: Settings) -> None:
    """Raise BadInput for a record with text in place of a number."""
    for f in dataclasses.fields(Settings):
        typed(str(path), f.name, getattr(settings, f.name), str(f.type))


def load(folder: str | Path, device: str = "cpu") -> Predictor:
    """The model of a folder that fine-tuning wrote."""
    return Predictor(folder, device)
