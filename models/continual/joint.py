"""All tasks at once: what one model can learn of them if nothing has to be remembered, the upper bound. Read next: run.py."""

from __future__ import annotations

from .sequential import Sequential
from .stream import Item


class Joint(Sequential):
    """One training on the examples of all tasks."""

    name = "joint"

    def parts(self) -> list[list[int]]:
        return [list(self.run.order)]

    def size(self) -> int:
        """All examples, as UTF-8."""
        return sum(text_size(item) for items in self.run.data.train for item in items)


def text_size(item: Item) -> int:
    """Bytes of an example's texts."""
    return len((item.text + (item.pair or "")).encode())
