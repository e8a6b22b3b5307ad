"""Experience replay: a few old examples are kept, and half of each step comes from them.

Which ones: a reservoir of M places. The n-th example of the whole stream takes a free place, or after that, with probability
M/n, the place of one at random; then each of the n examples seen is in the memory with the same probability, M/n.
Vitter (1985), "Random sampling with a reservoir", algorithm R; Chaudhry et al. (2019), "On tiny episodic memories in continual
learning", https://arxiv.org/abs/1902.10486. Read before: sequential.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import BadInput
from ..finetuning.tasks import Feature
from .joint import text_size
from .sequential import Sequential


def reservoir(memory: list[Any], seen: int, items: Iterable[Any], size: int, rng: np.random.Generator) -> int:
    """Let the items pass, of which some stay in the memory; how many have passed in all."""
    for item in items:
        seen += 1
        if len(memory) < size:
            memory.append(item)
        elif (place := int(rng.integers(seen))) < size:
            memory[place] = item
    return seen


class Replay(Sequential):
    """kept: ``memory``, pairs (task, number of the example), and how many were ``seen``."""

    name = "replay"

    def __init__(self, run: Any) -> None:
        super().__init__(run)
        self.kept = {"seen": 0, "memory": []}
        self.remembered: list[Feature] = []

    def begin(self, i: int, trainer: Any) -> None:
        items = self.items()
        self.remembered = trainer.task.features(items, trainer.tokenizer) if items else []

    def more(self, step: int) -> Sequence[Feature]:
        """As many as a batch has, or all if the memory has fewer."""
        rng = np.random.default_rng([self.s.seed, 17, len(self.run.R), step])
        chosen = rng.permutation(len(self.remembered))[: self.s.batch_size]
        return [self.remembered[k] for k in chosen.tolist()]

    def after(self, i: int, trainer: Any) -> None:
        """The task's examples pass, in an order of their own."""
        rng = np.random.default_rng([self.s.seed, 19, i])
        task = self.run.order[i]
        new = [[task, k] for k in rng.permutation(len(self.run.data.train[task])).tolist()]
        self.kept["seen"] = reservoir(self.kept["memory"], self.kept["seen"], new, self.s.memory, rng)

    def items(self) -> list[Any]:
        """The examples in the memory."""
        try:
            return [self.run.data.train[task][k] for task, k in self.kept["memory"]]
        except (IndexError, TypeError, ValueError) as error:
            raise BadInput("the memory of the saved state is no list of examples; start again with --overwrite") from error

    def size(self) -> int:
        """The examples' texts, as UTF-8."""
        return sum(map(text_size, self.items()))
