"""A frozen model with one adapter per task: nothing is forgotten, for nothing that was learnt is touched again.

What is left to do is to choose the adapter. In --setting task the task of an example is known. In the others it is guessed: the
adapter of the task whose mean vector is the nearest to the text's. Vectors are means of the frozen model's last hidden states,
at length 1, and a task's is the mean of its training examples'.
Houlsby et al. (2019), https://arxiv.org/abs/1902.00751, whose adapters are models/adapting/'s (--adapt).
Read before: sequential.py, models/adapting/peft_model.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch.parallel import Workers

from ..adapting.choosing import config_for
from ..bert.use import mean_pooled
from ..finetuning.tasks import Feature
from ..training.loop import to_device
from ..training.states import check_like
from .sequential import Sequential


class Adapters(Sequential):
    """kept: ``centres``, a mean vector (H,) per task learnt. The adapters, the model holds."""

    name = "adapters"

    def __init__(self, run: Any) -> None:
        super().__init__(run)
        self.kept = {"centres": []}

    def before(self, i: int) -> None:
        """Add the adapter of part i (and, in a resumed run, those before it)."""
        model = self.run.model
        for k in range(1, i + 1):
            if name_of(k) not in model.peft_config:
                minitorch.manual_seed(self.s.seed + 1000 * k)
                config = config_for(self.s)
                config.modules_to_save = model.peft_config[name_of(0)].modules_to_save
                model.add_adapter(name_of(k), config)
        model.set_adapter(name_of(i))

    def begin(self, i: int, trainer: Any) -> None:
        H = self.run.model.config.hidden_size
        check_like(self.run.path, "centres", self.kept["centres"], [minitorch.zeros(H)] * i)

    def after(self, i: int, trainer: Any) -> None:
        centre = self.vectors(trainer, trainer.features).mean(0)
        self.kept["centres"] = [*self.kept["centres"], minitorch.tensor(centre / np.linalg.norm(centre))]

    def answer(self, trainer: Any, features: Sequence[Feature], workers: Workers) -> list[Any]:
        """Each example by its task's adapter, or by the one that its text is nearest to; by the bare model if there is none."""
        model, rows = self.run.model, np.empty(len(features), dtype=object)
        active = model.active_adapter
        which = self.chosen(trainer, features)
        for k in np.unique(which).tolist():
            at = np.flatnonzero(which == k)
            if k >= 0:
                model.set_adapter(name_of(k))
            for place, row in zip(at, self.rows(trainer, [features[p] for p in at], workers, k >= 0), strict=True):
                rows[place] = row
        model.set_adapter(active)
        return list(rows)

    def rows(self, trainer: Any, features: Sequence[Feature], workers: Workers, adapted: bool) -> list[Any]:
        """The logits with the active adapter, or without any."""
        if adapted:
            return super().answer(trainer, features, workers)
        with self.run.model.disable_adapter():
            return super().answer(trainer, features, workers)

    def chosen(self, trainer: Any, features: Sequence[Feature]) -> Any:
        """The number of each example's adapter, -1 for none."""
        centres = self.kept["centres"]
        if self.s.setting == "task":
            place = [self.run.order.index(f.extra.task) for f in features]
            return np.array([k if k < len(centres) else -1 for k in place])
        if not centres:
            return np.full(len(features), -1)
        return (self.vectors(trainer, features) @ np.stack([c.numpy() for c in centres]).T).argmax(1)

    def vectors(self, trainer: Any, features: Sequence[Feature]) -> Any:
        """(N, H), of the frozen model."""
        model, found = self.run.model, []
        model.eval()
        with model.disable_adapter(), minitorch.no_grad():
            for k in range(0, len(features), self.s.batch_size):
                some = features[k : k + self.s.batch_size]
                batch = trainer.tokenizer.batch([(f.ids, f.types) for f in some])
                found.append(mean_pooled(model.base_model.bert, to_device(batch, model, self.s.device)).cpu().numpy())
        return np.concatenate(found)

    def size(self) -> int:
        """The adapters with their heads, and the mean vectors."""
        model = self.run.model
        own = sum(p.array.nbytes for name in model.peft_config for p in model.trained(name).values())
        return own + super().size()


def name_of(k: int) -> str:
    """The adapter of the k-th part; the first has the name that every first adapter has."""
    return f"task{k}" if k else "default"
