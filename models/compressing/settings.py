"""The choices of ``minitorch compress``. Read next: command.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import BadInput
from ..training.settings import TrainingSettings, flag, option

TECHNIQUES = ("heads", "weights", "layers", "int8", "student", "ladder")
BY = {"heads": ("importance", "random"), "weights": ("magnitude", "movement", "random")}
INT8 = ("dynamic", "static", "weights")
DISTIL = ("soft", "distilbert", "tinybert", "minilm")


@dataclass
class Settings(TrainingSettings):
    """Every choice; each is an option of the command and a key of its TOML file."""

    model: str = option("", "folder of the model to compress: finetune's, or a pretrained one")
    data: str = option("", "examples like those that the model learnt from; for a pretrained model a text, a sentence a line")
    test: str = option("", "examples that tell what the score becomes, used for nothing else")
    columns: str = option("", "of the files: column names, joined by commas, if they differ from the training file's")
    delimiter: str = option("", "of the files: separator of the columns, if it differs from the training file's")
    encoding: str = option("", "of the files, if it differs from the training file's")
    output: str = option("runs/compress", "folder for the smaller model, used as the large one is")
    heads: str = option("", "prune attention heads: a share, such as 0.3, or LAYER:HEAD,LAYER:HEAD, counted from 0")
    weights: float = option(0.0, "set a share of the encoder's weights to 0, such as 0.5", "none")
    layers: str = option("", "keep these layers only, counted from 0: 0,2,4")
    int8: str = option("", "whole numbers of 8 bits: weights (only), dynamic (inputs too) or static (inputs' range from --data)")
    embeddings: bool = option(False, "int8: the word embeddings too")
    teacher: str = option("", "distil: folder of the model that teaches")
    student: str = option("", "distil: tiny, mini, ..., LAYERSxWIDTH such as 2x128, or a config.json")
    distil: str = option("soft", "what the student imitates: soft (answers), distilbert, tinybert or minilm")
    temperature: float = option(2.0, "distil: softness of the teacher's answers")
    alpha: float = option(0.5, "distil soft: weight of the teacher's answers; the labels have the rest")
    extra: str = option("", "distil: more texts for the teacher to label, in the format of --data; their labels are not read")
    start: str = option("teacher", "distil: the student's first weights: from the teacher's, or random")
    by: str = option("", "what goes: heads importance or random, weights magnitude, movement or random", "the first of these")
    scope: str = option("matrix", "weights: the share is of each matrix, or of the whole model: matrix or model")
    examples: int = option(500, "heads, static: of --data at most so many are measured, evenly spaced")
    epochs: int = option(
        None, "times through --data to train: the student; or what is left after pruning", "student 10, movement 3, else 0"
    )
    lr: float = option(None, "highest learning rate", "5e-4 for a student, else 5e-5")
    warmup: float = option(0.1, "share of the steps to reach the highest rate, which then falls linearly to 0")
    validation: float = option(0.1, "share of --data that is held out to choose the best checkpoint when it trains")
    ladder: bool = option(False, "instead: a table and a picture of heads, weights, layers and int8, rung by rung")
    also: list[str] = option([], "ladder: folders that compress wrote, to stand in the table too")

    @property
    def technique(self) -> str:
        """Which one is asked for."""
        return next((name for name in TECHNIQUES if getattr(self, name)), "")

    @property
    def reading(self) -> dict[str, str]:
        """How the files are read, where that differs from the training file."""
        return {name: value for name in ("columns", "delimiter", "encoding") if (value := getattr(self, name))}

    def check(self) -> None:
        """Raise BadInput for settings that cannot work, before anything is read."""
        asked = [name for name in TECHNIQUES if getattr(self, name)]
        if len(asked) != 1:
            which = " and ".join(flag(name) for name in asked) + " are given" if asked else "none is given"
            raise BadInput(f"give one of {', '.join(map(flag, TECHNIQUES))}: {which}; to combine them, compress the result again")
        for name, allowed in (
            ("int8", ("", *INT8)),
            ("distil", DISTIL),
            ("scope", ("matrix", "model")),
            ("start", ("teacher", "random")),
        ):
            if getattr(self, name) not in allowed:
                raise BadInput(f"{flag(name)} must be one of {', '.join(filter(None, allowed))}, not {getattr(self, name)!r}")
        self.check_by()
        student = self.technique == "student"
        if bool(self.teacher) != student:
            raise BadInput("--teacher FOLDER and --student SIZE belong together: a student learns from a teacher")
        if student and self.model:
            raise BadInput("--teacher is the model that is distilled: leave out --model")
        self.model = self.model or self.teacher
        if not self.model:
            raise BadInput("--model FOLDER is missing: the model to compress")
        if self.epochs is None:
            self.epochs = 10 if student else 3 if self.by == "movement" else 0
        self.lr = (5e-4 if student else 5e-5) if self.lr is None else self.lr
        self.check_values(
            weights=(0, 0.999), temperature=(1e-3, 1e3), alpha=(0, 1), examples=(1, math.inf), epochs=(0, math.inf),
            warmup=(0, 0.999), validation=(0, 0.999),
        )  # fmt: skip
        self.check_data()

    def check_by(self) -> None:
        """--by belongs to heads and weights."""
        allowed = BY.get(self.technique, ())
        if self.by and not allowed:
            raise BadInput(f"--by is for --heads and --weights; it does not apply to {flag(self.technique)}")
        if self.by and self.by not in allowed:
            raise BadInput(f"--by must be one of {', '.join(allowed)} for {flag(self.technique)}, not {self.by!r}")
        self.by = self.by or (allowed[0] if allowed else "")
        if self.embeddings and self.technique != "int8":
            raise BadInput("--embeddings is for --int8: word embeddings as int8")

    def check_data(self) -> None:
        """--data is needed by whatever measures or trains."""
        why = "to train on" if self.epochs else ""
        if self.technique == "heads" and self.by == "importance" and ":" not in self.heads:
            why = why or "to measure the heads' importance on"
        why = why or ("whose ranges static int8 takes (its calibration)" if self.int8 == "static" else "")
        if why and not self.data:
            raise BadInput(f"--data FILE is missing: the examples {why}")
        if self.extra and not self.alpha:
            raise BadInput("--alpha 0 gives the teacher no word, and --extra texts have no labels but the teacher's")
        if self.by == "movement" and not self.epochs:
            raise BadInput("--by movement needs training, in which weights move: give --epochs of at least 1")
        if self.also and not self.ladder:
            raise BadInput("--also names folders for the table of --ladder, which is not given")
        if self.ladder and not (self.data and self.test):
            raise BadInput("--ladder needs --data, for what is measured and for the classical models, and --test")
        if self.epochs and self.technique in ("int8", "ladder"):
            raise BadInput(f"{flag(self.technique)} trains nothing: leave out --epochs")
