"""Plain fine-tuning on one task after another: what is forgotten if nothing is done about it, the lower bound.

The other strategies are this one with something added, at one of five moments.
Read before: stream.py. Read next: replay.py, ewc.py, lwf.py, adapters.py, joint.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minitorch.parallel import Workers

from ..finetuning.tasks import Feature
from ..reading import named_tensors


class Sequential:
    """Train on each task in turn. ``run`` has settings (s), stream, model, tokenizer, data and the order of the tasks.

    ``kept``: all that is carried along besides the model; a resumed run has it from the state, and its bytes are reported.
    """

    name = "sequential"

    def __init__(self, run: Any) -> None:
        self.run, self.s = run, run.s
        self.kept: dict[str, Any] = {}

    def parts(self) -> list[list[int]]:
        """The tasks that are learnt together, part after part."""
        return [[task] for task in self.run.order]

    def before(self, i: int) -> None:
        """Part i comes next; its trainer is not made yet."""

    def begin(self, i: int, trainer: Any) -> None:
        """The trainer of part i is ready, at its start or, in a resumed run, later."""

    def more(self, step: int) -> Sequence[Feature]:
        """Rows to add to a step's batch."""
        return ()

    def after(self, i: int, trainer: Any) -> None:
        """Part i is learnt."""

    def answer(self, trainer: Any, features: Sequence[Feature], workers: Workers) -> list[Any]:
        """The logits of some test examples, of one task."""
        rows: list[Any] = trainer.answer(features, workers)[0]
        return rows

    def size(self) -> int:
        """Bytes of what is kept."""
        return sum(tensor.array.nbytes for _, tensor in named_tensors(self.kept))
