"""The rooms of the code and the arrows between them: which file imports which, also inside functions and for types.

    python docs/rooms.py        # draws docs/rooms.svg (needs matplotlib)

tests/test_house.py asks the same functions whether the arrows point one way.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A room may import from its own row and from the rows above it. A name is a file or folder of minitorch/ or models/.
ROWS = [
    ["minitorch/devices", "minitorch/dtypes", "minitorch/grad_mode", "minitorch/changes", "minitorch/errors", "minitorch/threads",
     "minitorch/blas", "minitorch/files", "minitorch/hooks"],
    ["minitorch/kernels"],
    ["minitorch/graph"],
    ["minitorch/ops"],
    ["minitorch/arrays", "minitorch/methods", "minitorch/inplace"],
    ["minitorch/tensor"],
    ["minitorch/creation", "minitorch/random", "minitorch/linalg", "minitorch/amp", "minitorch/cuda", "minitorch/parallel",
     "minitorch/serialization", "minitorch/nn", "minitorch/optim", "minitorch/data", "minitorch/distributed"],
    ["minitorch/utils", "minitorch/tools"],
    ["minitorch/autograd"],
    ["minitorch"],
    ["minitorch/tools/doctor"],
    ["models/startup", "models/launch", "models/errors", "models/reading"],
    ["models/checkpoints"],
    ["models/text", "models/training"],
    ["models/generation"],
    ["models/bert"],
    ["models/gpt", "models/seq2seq"],
    ["models/evaluating"],
    ["models/adapting", "models/adversarial", "models/augmenting"],
    ["models/classical"],
    ["models/finetuning"],
    ["models/pretrain_command"],
    ["models/prompting", "models/continual", "models/compressing", "models/attacking"],
    ["models/desk", "models/opinions", "models/recommending", "models/explaining"],
    ["models/comparison", "models/serving"],
    ["models/course"],
    ["models/cli"],
    ["models"],
]  # fmt: skip


# The spine: what a reader reads, in this order, to know how a BERT is trained. Breadth and speed are in other files.
SPINE = [
    "minitorch/devices", "minitorch/graph", "minitorch/ops/elementwise", "minitorch/ops/reductions", "minitorch/ops/shaping",
    "minitorch/ops/indexing", "minitorch/ops/linalg", "minitorch/ops/nn", "minitorch/ops/activations", "minitorch/ops/attention",
    "minitorch/ops/normalization", "minitorch/ops/losses", "minitorch/tensor", "minitorch/nn/module", "minitorch/nn/layers",
    "minitorch/nn/functional", "minitorch/optim/optimizer", "minitorch/optim/adam",
]  # fmt: skip


def modules() -> dict[str, Path]:
    """Every module of minitorch/ and models/, as "models/bert/model", with its file."""
    files = [path for top in ("minitorch", "models") for path in sorted((ROOT / top).rglob("*.py"))]
    return {name_of(path): path for path in files}


def name_of(path: Path) -> str:
    """The module's name: the path without its ending, a package's without ``/__init__``."""
    return str(path.relative_to(ROOT).with_suffix("")).removesuffix("/__init__")


def room_of(module: str) -> str:
    """The first name of ROWS that the module is or lies in; the two packages themselves are rooms of their own."""
    rooms = [room for row in ROWS for room in row]
    inside = [room for room in rooms if module == room or (module.startswith(f"{room}/") and "/" in room)]
    return max(inside, key=len) if inside else ""


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a file imports anywhere: at its head, in functions, for types, by importlib under a written name."""
    found: set[str] = set()
    for names in _imported_names(path):
        module = next((name for name in names if name in known), None)
        if module is not None:
            found.add(module)
    return found - {name_of(path)}


def _imported_names(path: Path) -> Iterator[list[str]]:
    """For each import the names it may mean, the most exact first: ``from a import b`` is a's part b, or else a."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ([alias.name.replace(".", "/")] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = "/".join([*above, *(node.module or "").split(".")]).rstrip("/")
            yield from ([f"{base}/{alias.name}", base] for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield [first.value.replace(".", "/")]


def graph() -> dict[str, set[str]]:
    """module -> the modules that it imports."""
    known = modules()
    return {name: imports(path, known) for name, path in known.items()}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by others: the strongly connected components of more than one (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(v: str) -> None:
        order[v] = low[v] = len(order)
        stack.append(v)
        for w in sorted(arrows[v]):
            if w not in order:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], order[w])
        if low[v] == order[v]:
            at = stack.index(v)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for v in sorted(arrows):
        if v not in order:
            visit(v)
    return found


def against_the_order(arrows: dict[str, set[str]]) -> list[str]:
    """Imports that point down: from a room to one of a later row."""
    row_of = {room: i for i, row in enumerate(ROWS) for room in row}
    wrong = []
    for module, targets in sorted(arrows.items()):
        for target in sorted(targets):
            here, there = room_of(module), room_of(target)
            if row_of[there] > row_of[here]:
                wrong.append(f"{module} imports {target}: {there} comes after {here}")
    return wrong


def spine_lines() -> int:
    """Lines of the spine's files, documentation included."""
    known = modules()
    return sum(len(known[name].read_text(encoding="utf-8").splitlines()) for name in SPINE)


def lines_of(room: str, known: dict[str, Path]) -> int:
    """Lines of all files of a room."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for name, path in known.items() if room_of(name) == room)


def draw(target: Path) -> None:
    """Each row of rooms as boxes with their lines of code, and an arrow from a room to each room that it imports.

    An arrow is left out where other arrows already lead there.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "rooms", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot as plt

    known, arrows = modules(), graph()
    shown = [[room for room in row if "/" in room and lines_of(room, known)] for row in ROWS]
    shown = [row for row in shown if row]
    place = {room: ((i + 0.5) / len(row), -y) for y, row in enumerate(shown) for i, room in enumerate(row)}
    figure, axes = plt.subplots(figsize=(13.5, 0.6 * len(shown)))
    for start, ends in _shortest(place, arrows).items():
        for end in sorted(ends):
            look = {"arrowstyle": "-|>", "color": "#557799", "lw": 0.8, "shrinkA": 9, "shrinkB": 9}
            axes.annotate("", place[end], place[start], arrowprops=look)
    for room, (x, y) in place.items():
        text = f"{room.partition('/')[2]}  {lines_of(room, known)}"
        colour = "#fff4dd" if room.startswith("models") else "#e4f0e4"
        box = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "#888888"}
        axes.text(x, y, text, ha="center", va="center", bbox=box)
    axes.set(xlim=(0, 1), ylim=(0.6 - len(shown), 0.6))
    axes.axis("off")
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _shortest(place: dict[str, tuple[float, float]], arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """Which rooms of other rows each room imports, without those that it reaches by way of another (the transitive reduction)."""
    direct: dict[str, set[str]] = {room: set() for room in place}
    for module, others in arrows.items():
        here = room_of(module)
        ends = {room_of(other) for other in others} & set(place)
        direct.get(here, set()).update(end for end in ends if here in place and place[end][1] > place[here][1])
    reached: dict[str, set[str]] = {}
    for room in sorted(place, key=lambda room: -place[room][1]):  # from the top: what a room imports is done before it
        reached[room] = direct[room].union(*(reached[end] for end in direct[room]))
    return {room: {end for end in ends if not any(end in reached[way] for way in ends)} for room, ends in direct.items()}


if __name__ == "__main__":
    draw(Path(__file__).parent / "rooms.svg")
