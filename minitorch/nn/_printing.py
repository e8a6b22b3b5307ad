"""How a module prints: the tree of its children, equal neighbours folded into one line, with the number of parameters.

    Sequential(                                                   # 3,008 parameters
      (0): Embedding(100, 8)                                      #   800
      (1): ModuleList(                                            # 2,208
        (0-3): 4 × Sequential(                                    #   552 each
          (0): Linear(in_features=8, out_features=32, bias=True)  #   288
          ...

Read before: module.py.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One line; ``note`` is printed after the number of parameters."""

    text: str
    size: int
    note: str


def text_of(module: Any) -> str:
    """What repr(module) is."""
    lines = _tree(module)
    width = max((len(line.text) for line in lines if line.size), default=0)
    digits = len(f"{lines[0].size:,}")
    return "\n".join(f"{text:<{width}}  # {size:>{digits},}{note}" if size else text for text, size, note in lines)


def _tree(module: Any) -> list[Line]:
    name, settings = type(module).__name__, module.extra_repr()
    children = [(label, _tree(child)) for label, child in module._modules.items() if child is not None]
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    total, trainable = sum(n for n, _ in counts), sum(n for n, learnt in counts if learnt)
    note = " parameters" + (f", {trainable:,} trainable" if trainable != total else "")
    if not children:
        return [Line(f"{name}({settings})", total, note)]
    lines = [Line(f"{name}(", total, note)]
    lines += [Line(f"  {settings}", 0, "")] if settings else []
    for _, alike in itertools.groupby(children, key=lambda child: (child[0].isdigit(), child[1])):
        lines += _child_lines(list(alike))
    return [*lines, Line(")", 0, "")]


def _child_lines(alike: list[tuple[str, list[Line]]]) -> list[Line]:
    """The lines of one child, or of a run of equal ones in a list: (0-11): 12 × BertLayer(."""
    (first, tree), (last, _) = alike[0], alike[-1]
    copies = len(alike) if first.isdigit() else 1
    if copies < len(alike):
        return [line for child in alike for line in _child_lines([child])]
    label = f"({first}): " if copies == 1 else f"({first}-{last}): {copies} × "
    each = "" if copies == 1 else " each"
    head = Line(f"  {label}{tree[0].text}", tree[0].size, each)
    return [head, *(Line(f"  {line.text}", line.size, line.note) for line in tree[1:])]
