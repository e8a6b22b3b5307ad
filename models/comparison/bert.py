"""BERT as rungs of the comparison: frozen with a linear head, fine-tuned, with LoRA, and from random weights.

Each is a Baseline, so that one loop tunes, trains and judges all of them. Whatever several rungs could share (the vectors of a
text) is computed once and charged to each that uses it.
Read before: models/finetuning/trainer.py. Read next: rungs.py.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np

from minitorch.parallel import Workers

from ..bert.model import BertModel
from ..bert.use import embed, load
from ..classical.baselines import Baseline
from ..finetuning.tasks import cut
from ..finetuning.trainer import make_model, random_model
from ..training.batches import Batches
from ..training.loop import clocks
from ..training.trainer import Trainer
from .settings import Problem

STEPS = 100  # at least so many when there are few examples: else nothing is learnt from ten


class Vectors:
    """embed(examples) -> (n, H): BERT's mean hidden state of each text, as pretraining left it; remembered for the next rung.

    ``debt`` is what remembered vectors cost when they were computed: a rung that uses them pays as if it were alone.
    """

    def __init__(self, problem: Problem) -> None:
        self.p, self.model = problem, None
        self.known: dict[str, Any] = {}
        self.paid: set[str] = set()
        self.price, self.debt = np.zeros(2), np.zeros(2)  # of a text; both in (seconds, CPU seconds)

    def begin(self) -> None:
        """A new rung, which has paid for nothing yet."""
        self.paid, self.debt = set(), np.zeros(2)

    def load(self) -> int:
        """The model's parameters."""
        if self.model is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about heads that the checkpoint has
                self.tokenizer, self.model = load(self.p.s.model, BertModel, self.p.s.device, add_pooling_layer=False)
        return int(self.model.num_parameters())

    def __call__(self, examples: list[Any]) -> Any:
        self.load()
        texts = [e.text if e.pair is None else f"{e.text}\t{e.pair}" for e in examples]
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        started = clocks()
        room = self.p.s.length - 2
        order = sorted(new, key=len)  # texts of one length waste no padding
        for i in range(0, len(order), 16):
            part = order[i : i + 16]
            ids = self.tokenizer.encode_lines([text.replace("\t", " ") for text in part])
            cuts = [cut(x, room, self.p.s.truncate) for x in ids]
            short = [self.tokenizer.decode(c) if len(c) < len(x) else t for t, x, c in zip(part, ids, cuts, strict=True)]
            self.known.update(zip(part, embed(self.model, self.tokenizer, short), strict=True))
        if new:
            self.price = (clocks() - started) / len(new)
        self.debt = self.debt + self.price * len(set(texts) - set(new) - self.paid)
        self.paid.update(texts)
        return np.stack([self.known[text] for text in texts])


class Frozen(Baseline):
    """A linear model on the vectors of a BERT that does not learn."""

    def __init__(self, embed: Vectors, task: Any, C: float) -> None:
        self.embed, self.task, self.C = embed, task, C

    def fit(self, examples: list[Any]) -> Baseline:
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.multiclass import OneVsRestClassifier

        X, y = self.embed(examples), np.array([self.task.target(e) for e in examples])
        balanced = "balanced" if self.task.s.class_weights == "balanced" else None
        model: Any = LogisticRegression(C=self.C, max_iter=2000, class_weight=balanced)
        if self.task.targets == "numbers":
            model = Ridge(alpha=1 / self.C)
        self.head = (OneVsRestClassifier(model) if self.task.targets == "several" else model).fit(X, y)
        self.parameters = self.embed.load() + (X.shape[1] + 1) * (
            1 if y.ndim == 1 and len(set(y.tolist())) == 2 else len(self.task.labels)
        )
        self.size = 4 * self.parameters
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        X = self.embed(examples)
        if self.task.targets == "numbers":
            return (self.head.predict(X) * self.task.scale + self.task.mean).tolist()
        p = self.head.predict_proba(X)
        if self.task.targets == "several":
            return list(p)
        full = np.zeros((len(X), len(self.task.labels)))  # a small subset may lack a label
        full[:, self.head.classes_.astype(int)] = p
        return list(full)


class Tuned(Baseline):
    """A BERT that is trained: all of it, from the checkpoint or from random weights, or a small addition (LoRA, a head)."""

    def __init__(self, problem: Problem, lr: float, adapt: str = "", random: bool = False) -> None:
        self.p, self.random = problem, random
        self.s = dataclasses.replace(problem.s, lr=lr, adapt=adapt)

    def fit(self, examples: list[Any]) -> Baseline:
        s, task = self.s, self.p.task
        tokenizer, model = make_model(s, task, say=lambda text: None)
        model = random_model(s, model) if self.random else model
        s = dataclasses.replace(s, epochs=max(s.epochs, -(-STEPS // -(-len(examples) // s.batch_size))))
        whole = len(examples) == len(self.p.data.train)  # or a point of the learning curve, which has no held-out examples
        trainer = self.trainer = Trainer(s, task, tokenizer, model, examples, self.p.data.dev if whole else [])
        trainer.train("", shown=False)
        model.load_state_dict(trainer.weights)
        trainer.weights = {}
        self.parameters = model.num_parameters()
        self.size = 4 * self.parameters
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        features = self.p.task.features(examples, self.trainer.tokenizer)
        with Workers(self.s.workers) as workers:
            rows, _ = self.trainer.answer(features, workers)
        return self.p.task.predictions(examples, features, rows)


class Pace:
    """How long BERT takes per training example and per answer, from one batch of typical texts: what fits into the budget."""

    def __init__(self, problem: Problem) -> None:
        s = dataclasses.replace(problem.s, lr=1e-9)
        tokenizer, model = make_model(s, problem.task, say=lambda text: None)
        few = problem.data.train[: 2 * s.batch_size]
        trainer = Trainer(s, problem.task, tokenizer, model, few, [])
        batch = max(Batches(trainer.features, s.batch_size, 0).epoch(0), key=len)
        features = [trainer.features[i] for i in batch]
        with Workers(s.workers) as workers:
            trainer.one_step(features, workers)  # compiles and allocates
            started = clocks()[0]
            trainer.one_step(features, workers)
            trained = clocks()[0]
            trainer.answer(features, workers)
            done = clocks()[0]
        share = len(trainer.features) / len(few)  # windows per example
        self.train, self.answer = share * (trained - started) / len(features), share * (done - trained) / len(features)
