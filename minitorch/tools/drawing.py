"""Drawing the graph behind a tensor: as SVG, which a notebook displays, as DOT, or as Mermaid.

    loss.backward()
    minitorch.draw_graph(loss, names=model)     # with the parameters' gradients; before backward() with the data as well

The layout runs from top to bottom and follows Sugiyama, Tagawa and Toda (1981). Each box gets a layer above the boxes that
use it; boxes are ordered within their layers so that few lines cross; then they move towards their neighbours. A line that
passes through a layer takes a place in it, like a box.
Read before: graph.py. Read next: doctor.py.
"""

from __future__ import annotations

import bisect
import itertools
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import devices
from ..files import write_text
from ..grad_mode import mode
from ..graph import Leaf, Node, Output
from ..tensor import Tensor
from .profiler import tensors

_CHARACTER, _LINE, _MARGIN = 6.6, 16, 10  # pixels: a letter's width, a line's height, around the text
_GAP_X, _GAP_Y = 18, 34  # between boxes of a layer, between layers
_COLOURS = {  # kind of box -> inside, outline
    "leaf": ("#dbeafe", "#2563eb"),
    "data": ("#f3f4f6", "#9ca3af"),
    "op": ("#ffffff", "#6b7280"),
    "root": ("#dcfce7", "#16a34a"),
}


class Box:
    """One tensor of the picture: a leaf, the result of an operation, or data that the graph keeps."""

    def __init__(self, kind: str, title: str, shape: Any, dtype: Any, about: str = "") -> None:
        self.kind = kind  # "leaf", "op", "root" or "data"
        self.title = title
        self.shape = shape
        self.dtype = dtype
        self.about = about  # the tooltip
        self.parents: list[Box] = []
        self.tensor: Callable[[], Tensor | None] = lambda: None  # whose .grad belongs here, if it is alive

    def lines(self) -> list[str]:
        """The text: name, shape and dtype, and the norm of the gradient, if there is one yet."""
        lines = [self.title]
        if self.shape is not None:
            lines.append(f"{tuple(self.shape)} {self.dtype}")
        tensor = self.tensor()
        if tensor is not None and tensor.grad is not None:
            g = tensor.grad.array
            lines.append(f"‖grad‖ = {float(devices.array_module(g).linalg.norm(g.astype('float64').reshape(-1))):.3g}")
        return lines


def draw_graph(outputs: Tensor | Sequence[Tensor], names: Any = None) -> Drawing:
    """The graph that leads to ``outputs`` (a loss, or several tensors) as a picture.

    names: a module or a dict of tensors; the boxes get their names. The structure is fixed now; the norms of gradients are
    read each time the drawing is displayed: those of leaves, and of inner tensors that you hold and called retain_grad()
    on. Of the graph that the thread's last backward() walked and freed, the operations are still known, not their data.
    """
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    nodes = [y.node for y in roots if y.node is not None]
    if not nodes:
        raise RuntimeError("draw_graph: there is no graph: no input of this computation has requires_grad=True")
    return Drawing(_boxes(_parents(nodes), set(nodes), _names(names)))


def _parents(roots: list[Node]) -> dict[Node, Sequence[Node | None]]:
    """Every node that leads to the roots, the oldest first, with its parents."""
    found: dict[Node, Sequence[Node | None]] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in found:
            continue
        if node.pullback is None and type(node) is not Leaf and node not in mode.walked:
            raise RuntimeError(
                "draw_graph: backward() has walked this graph and freed it, and another one since; draw before the next "
                "backward(), or call backward(retain_graph=True)"
            )
        found[node] = mode.walked.get(node, node.parents)
        stack += [parent for parent in found[node] if parent is not None]
    return dict(sorted(found.items(), key=lambda item: item[0].time))


def _names(names: Any) -> dict[Tensor, str]:
    """Tensor -> its name, from a module, a dict name -> tensor, or nothing."""
    if names is None:
        return {}
    if hasattr(names, "named_parameters"):
        names = {**dict(names.named_buffers()), **dict(names.named_parameters())}
    if not isinstance(names, Mapping):
        raise TypeError(f"draw_graph: names must be a module or a dict of tensors, not {type(names).__name__}")
    return {tensor: str(name) for name, tensor in names.items()}


def _boxes(parents: dict[Node, Sequence[Node | None]], roots: set[Node], names: dict[Tensor, str]) -> list[Box]:
    """One box per node, the oldest first, and one per tensor without gradient that the graph keeps."""
    alive = {x.node: x for x in tensors() if x.node is not None}  # a node does not know its tensor
    boxes: dict[Any, Box] = {}
    for node in parents:
        tensor = alive.get(node)
        name = names.get(tensor, "") if tensor is not None else ""
        box = boxes[node] = _box(node, name)
        if type(node) is Leaf:
            box.tensor = lambda tensor=tensor: tensor  # type: ignore[misc]
        else:
            box.kind = "root" if node in roots else "op"
            if tensor is not None:
                box.tensor = weakref.ref(tensor)  # weak: a drawing keeps no graph alive
        for parent, value in zip(parents[node], node.inputs or parents[node], strict=True):
            if parent is not None:
                box.parents.append(boxes[parent])
            elif isinstance(value, Tensor):  # data: linear operations keep none, so there is none to show
                if value not in boxes:
                    boxes[value] = Box("data", names.get(value, "data"), value.shape, value.dtype)
                box.parents.append(boxes[value])
    return list(boxes.values())


def _box(node: Node, name: str) -> Box:
    if type(node) is Leaf:
        return Box("leaf", name or "leaf", node.shape, node.dtype)
    title = f"output {node.index}" if isinstance(node, Output) else node.name
    equation = (node.call.__doc__ or "").strip().partition("\n")[0]
    settings = ", ".join(
        f"{key}={value}" for key, value in (node.static or {}).items() if isinstance(value, bool | int | float | str)
    )
    where = str(getattr(node, "where", None) or "")  # known if the graph was built inside detect_anomaly()
    about = "\n".join(filter(None, (equation, settings, where)))
    return Box("op", f"{name} = {title}" if name else title, node.shape, node.dtype, about)


class Drawing:
    """A graph as a picture of ``.boxes``. A notebook displays it."""

    def __init__(self, boxes: list[Box]) -> None:
        self.boxes = boxes

    @property
    def svg(self) -> str:
        """The picture as SVG text, with the gradients as they are now."""
        return _svg(self.boxes)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Drawing of {len(self.boxes)} boxes; .save('graph.svg'), .to_dot(), .to_mermaid()>"

    def to_dot(self) -> str:
        """The graph in Graphviz's language."""
        number = {box: i for i, box in enumerate(self.boxes)}
        text = ["digraph {", '  node [shape=box, style="rounded,filled", fontname="Helvetica"]']
        for box, i in number.items():
            label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in box.lines())
            fill, line = _COLOURS[box.kind]
            text.append(f'  {i} [label="{label}", fillcolor="{fill}", color="{line}"]')
        text += [f"  {number[parent]} -> {i}" for box, i in number.items() for parent in box.parents]
        return "\n".join([*text, "}"]) + "\n"

    def to_mermaid(self) -> str:
        """The graph in Mermaid's language, which GitHub and many notebooks draw."""
        number = {box: i for i, box in enumerate(self.boxes)}
        text = ["flowchart TD"]
        for box, i in number.items():
            label = "<br/>".join(_mermaid_text(line) for line in box.lines())
            text.append(f'  n{i}["{label}"]:::{box.kind}')
        text += [f"  n{number[parent]} --> n{i}" for box, i in number.items() for parent in box.parents]
        text += [f"  classDef {kind} fill:{fill},stroke:{line},color:#111827" for kind, (fill, line) in _COLOURS.items()]
        return "\n".join(text) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture as .svg, .dot (or .gv) or .mmd, by the file's ending. An older file is replaced as a whole."""
        path = Path(path)
        writers = {".svg": lambda: self.svg, ".dot": self.to_dot, ".gv": self.to_dot, ".mmd": self.to_mermaid}
        if path.suffix not in writers:
            raise ValueError(f"save: a graph is saved as {', '.join(writers)}, not as {path.name!r}")
        write_text(path, writers[path.suffix]())


def _mermaid_text(text: str) -> str:
    return "".join(c if c.isalnum() or c in " _.,=()[]‖-" else f"#{ord(c)};" for c in text)


# --------------------------------------------------------------------------------------------------------- layout


class _Place:
    """The place of a box, or of a line that passes through a layer (box None): x is its centre, y its top."""

    def __init__(self, box: Box | None, layer: int) -> None:
        self.box, self.layer = box, layer
        self.above: list[_Place] = []
        self.below: list[_Place] = []
        self.text = [] if box is None else box.lines()
        longest = max((len(line) * (1 if i else 1.1) for i, line in enumerate(self.text)), default=0)  # the first line is bold
        self.width = 2.0 if box is None else 2 * _MARGIN + _CHARACTER * longest
        self.height = 0.0 if box is None else 2 * _MARGIN + _LINE * len(self.text) - 4
        self.weight = 4.0 if box is None else 0.01 if box.kind in ("leaf", "data") else 1.0  # how strongly it resists being moved
        self.x = self.y = 0.0


def _layers(boxes: list[Box]) -> list[list[_Place]]:
    """Layers from the top down: a box lies just above the highest box that uses it, so leaves stand near their users."""
    depth = dict.fromkeys(boxes, 0)  # layers above the bottom
    for box in _users_first(boxes):
        for parent in box.parents:
            depth[parent] = max(depth[parent], depth[box] + 1)
    top = max(depth.values())
    places = {box: _Place(box, top - depth[box]) for box in boxes}
    layers: list[list[_Place]] = [[] for _ in range(top + 1)]
    for place in places.values():
        layers[place.layer].append(place)
    passing: dict[tuple[Box, int], _Place] = {}  # lines from one box share a path
    for box in boxes:
        for parent in box.parents:
            lower = places[box]
            for layer in range(lower.layer - 1, places[parent].layer, -1):
                upper = passing.get((parent, layer))
                if upper is not None:
                    _join(upper, lower)
                    break
                upper = passing[parent, layer] = _Place(None, layer)
                layers[layer].append(upper)
                _join(upper, lower)
                lower = upper
            else:
                _join(places[parent], lower)
    return layers


def _users_first(boxes: list[Box]) -> list[Box]:
    """Every box before its parents. In ``boxes`` operations come oldest first; data, which has no parents, comes anywhere."""
    return [b for b in reversed(boxes) if b.kind != "data"] + [b for b in boxes if b.kind == "data"]


def _join(upper: _Place, lower: _Place) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


def _order(layers: list[list[_Place]], sweeps: int = 8) -> None:
    """Order each layer by the mean position of its neighbours, downwards and upwards in turn; keep the best order."""
    best, least = [list(layer) for layer in layers], _crossings(layers)
    for layer in layers:
        _number(layer)
    for sweep in range(sweeps):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            layer.sort(key=lambda place: _mean([p.x for p in (place.above if down else place.below)], place.x))
            _number(layer)
        crossings = _crossings(layers)
        if crossings < least:
            best, least = [list(layer) for layer in layers], crossings
    layers[:] = best


def _number(layer: list[_Place]) -> None:
    for i, place in enumerate(layer):
        place.x = i


def _crossings(layers: list[list[_Place]]) -> int:
    """How many pairs of lines cross."""
    count = 0
    for upper, lower in itertools.pairwise(layers):
        position = {place: i for i, place in enumerate(lower)}
        seen: list[int] = []  # where the lines from further left end, sorted
        for place in upper:
            ends = [position[p] for p in place.below]
            count += sum(len(seen) - bisect.bisect_right(seen, end) for end in ends)
            for end in ends:
                bisect.insort(seen, end)
    return count


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _position(layers: list[list[_Place]], passes: int = 16) -> tuple[float, float]:
    """Give every place its x and y; returns the size of the picture."""
    y = float(_MARGIN)
    for layer in layers:
        x, height = 0.0, max(place.height for place in layer)
        for place in layer:
            place.height = place.height if place.box else height
            place.x, place.y = x + place.width / 2, y + (height - place.height) / 2
            x += place.width + _GAP_X
        y += height + _GAP_Y
    for n in range(passes):
        for layer in layers if n % 2 else reversed(layers):
            _spread(layer, [_wish(place, "both" if n >= passes // 2 else "above" if n % 2 else "below") for place in layer])
    places = [place for layer in layers for place in layer]
    left = min(place.x - place.width / 2 for place in places) - _MARGIN
    for place in places:
        place.x -= left
    return max(place.x + place.width / 2 for place in places) + _MARGIN, y - _GAP_Y + _MARGIN


def _wish(place: _Place, side: str) -> float:
    """The best x for a place: the mean of its neighbours above, below or both; light places (leaves) do not count."""
    near = {"above": place.above, "below": place.below, "both": place.above + place.below}[side]
    return _mean([p.x for p in near if p.weight >= 1] or [p.x for p in near], place.x)


def _spread(layer: list[_Place], wanted: list[float]) -> None:
    """Move each place to its wish as far as its neighbours allow: the least squares solution.

    Neighbours that would overlap form a block, which moves to the weighted mean of its members' wishes: the
    pool-adjacent-violators algorithm for isotonic regression. Light places (leaves) make way for heavy ones.
    """
    offset = 0.0
    blocks: list[tuple[float, float, list[tuple[_Place, float]]]] = []  # sum of weights, weighted mean, members
    for i, (place, x) in enumerate(zip(layer, wanted, strict=True)):
        if i:
            offset += (layer[i - 1].width + place.width) / 2 + _GAP_X
        weight, mean, members = place.weight, x - offset, [(place, offset)]
        while blocks and blocks[-1][1] > mean:
            other, its_mean, others = blocks.pop()
            weight, mean, members = weight + other, (weight * mean + other * its_mean) / (weight + other), others + members
        blocks.append((weight, mean, members))
    for _, mean, members in blocks:
        for place, offset in members:
            place.x = mean + offset


# ------------------------------------------------------------------------------------------------------------ SVG


def _svg(boxes: list[Box]) -> str:
    layers = _layers(boxes)
    _order(layers)
    width, height = _position(layers)
    places = [place for layer in layers for place in layer]
    size = f'width="{width:.0f}" height="{height:.0f}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12">\n'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#6b7280"/></marker></defs>\n'
        f'<rect {size} rx="6" fill="#ffffff"/>\n'
    )
    lines = (_svg_line(upper, lower) for upper in places for lower in upper.below)
    return head + "\n".join([*lines, *map(_svg_box, (p for p in places if p.box))]) + "\n</svg>\n"


def _svg_line(upper: _Place, lower: _Place) -> str:
    """A curve from the bottom of one place to the top of the next, then straight through the layer."""
    top, bottom = upper.y + upper.height, lower.y
    middle = (top + bottom) / 2
    path = f"M{upper.x:.1f} {top:.1f} C{upper.x:.1f} {middle:.1f} {lower.x:.1f} {middle:.1f} {lower.x:.1f} {bottom:.1f}"
    end = ' marker-end="url(#arrow)"' if lower.box else ""
    return f'<path d="{path}{"" if lower.box else f" V{bottom + lower.height:.1f}"}" fill="none" stroke="#6b7280"{end}/>'


def _svg_box(place: _Place) -> str:
    box = place.box
    assert box is not None
    fill, colour = _COLOURS[box.kind]
    dash = ' stroke-dasharray="4 3"' if box.kind == "data" else ""
    rows = "".join(
        f'<text x="{place.x:.1f}" y="{place.y + _MARGIN + _LINE * i + 9:.1f}" text-anchor="middle" {_style(i, line)}>'
        f"{_escape(line)}</text>"
        for i, line in enumerate(place.text)
    )
    about = f"<title>{_escape(box.about)}</title>" if box.about else ""
    frame = f'x="{place.x - place.width / 2:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{place.height:.1f}"'
    return f'<g>{about}<rect {frame} rx="5" fill="{fill}" stroke="{colour}"{dash}/>{rows}</g>'


def _escape(text: str) -> str:
    return text.translate({ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"})


def _style(i: int, line: str) -> str:
    return 'font-weight="bold" fill="#111827"' if i == 0 else 'fill="#b45309"' if line.startswith("‖") else 'fill="#4b5563"'
