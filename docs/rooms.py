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
     "minitorch/files", "minitorch/hooks"],
    ["minitorch/kernels"],
    ["minitorch/graph"],
    ["minitorch/ops"],
    ["minitorch/arrays"],
    ["minitorch/tensor"],
    ["minitorch/creation", "minitorch/random", "minitorch/linalg", "minitorch/amp", "minitorch/cuda", "minitorch/parallel",
     "minitorch/serialization", "minitorch/nn", "minitorch/optim", "minitorch/data"],
    ["minitorch/utils", "minitorch/tools"],
    ["minitorch/autograd"],
    ["minitorch"],
    ["minitorch/tools/doctor"],
    ["models/startup", "models/tables"],
    ["models/bert"],
    ["models/course"],
    ["models/cli", "models/linear_regression"],
    ["models"],
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
