"""Training within compression: a student, or what pruning has left. The run, its folder and its report are fine-tuning's.

Read before: models/finetuning/run.py, distilling.py, weights.py. Read next: command.py.
"""

from __future__ import annotations

from typing import Any, ClassVar

import minitorch

from ..checkpoints.files import read_weights
from ..errors import BadInput, listing
from ..finetuning.run import TASKS, Run
from ..finetuning.tasks import Settings as TaskSettings
from ..text.tokenizer import Tokenizer
from ..training.trainer import Trainer
from . import distilling
from .masked_words import MaskedWords
from .settings import Settings
from .subject import Subject
from .weights import Gradual, Pruner


class Training(Run):
    """The subject's own model, with its weights free or with ever more of them 0."""

    tasks: ClassVar[dict[str, Any]] = {**TASKS, "mlm": MaskedWords}

    def __init__(self, settings: TaskSettings, subject: Subject, s: Settings, say: Any = print) -> None:
        self.subject, self.c = subject, s
        super().__init__(settings, say)

    def make_model(self) -> tuple[Tokenizer, Any]:
        """The subject's, in the units that training has."""
        known, here = self.subject.task.labels, self.task.labels
        if known != here:
            raise BadInput(f"{self.s.train}: its labels are {listing(here)}; the model's are {listing(known)}")
        self.task.kind = self.subject.task.kind
        model = self.prepared()
        self.task.rescale(model, forth=False)
        return self.subject.tokenizer, model.to(self.s.device)

    def prepared(self) -> Any:
        """The model to train."""
        return self.subject.model

    def make_trainer(self, model: Any) -> Trainer:
        if self.c.technique != "weights":
            return super().make_trainer(model)
        trainer = Gradual(self.s, self.task, self.tokenizer, model, self.data.train, self.data.dev)
        trainer.pruner = Pruner(model, self.c.by, self.c.weights, self.c.scope, self.c.seed)
        model.allocators = {"pruner": trainer.pruner}  # whose state is saved with the run's
        return trainer

    def save_best(self) -> None:
        """As fine-tuning does; a pretrained model has no task that could be written down."""
        fit = self.model.__dict__.get("fit_dense")
        if fit is not None:
            del self.model.fit_dense
        if self.task.name == "mlm":
            self.model.save_pretrained(self.folder)
            self.tokenizer.save_pretrained(self.folder)
        else:
            super().save_best()
        if fit is not None:
            self.model.fit_dense = fit

    def load_best(self) -> None:
        if "fit_dense" in self.model.__dict__:
            del self.model.fit_dense
        if self.task.name == "mlm":  # with weights under two names, of which a file has one
            self.model.load_weights(read_weights(self.folder), self.folder)
        else:
            super().load_best()


class Distillation(Training):
    """A student of the subject."""

    def prepared(self) -> Any:
        """The student, from the teacher's weights or from chance."""
        teacher = self.subject.model
        minitorch.manual_seed(self.c.seed)
        config = distilling.student_config(self.c.student, teacher.config)
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = self.c.dropout
        config.check_memory()
        student = type(teacher)(config)
        distilling.check_student(student, teacher, self.c.distil)
        if self.c.start == "teacher":
            distilling.start_from(student, teacher)
        if self.c.distil == "tinybert":
            distilling.fit_dense(student, teacher)
        return student

    def make_trainer(self, model: Any) -> Trainer:
        taught = distilling.Taught(self.task, self.subject.model, self.c)
        more = self.task.read(self.c.extra, labelled=self.task.name == "mlm") if self.c.extra else []
        trainer = Trainer(self.s, taught, self.tokenizer, model, [*self.data.train, *more], self.data.dev)
        taught.inside = lambda: self.c.distil in ("tinybert", "minilm") and 2 * trainer.step < trainer.steps
        taught.answers = self.subject.answers
        taught.remember(trainer.features, self.subject.trainer)
        return trainer
