"""The house rules that a reader relies on: short files and functions, arrows that point one way, a light import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minitorch

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import rooms

PACKAGE = Path(minitorch.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_OP = 400, 40, 15

# What may be longer, and why. A name leaves this list when the file gets shorter; new ones need a reason.
LONG_FILES = {
    "graph.py": (420, "the graph and the backward pass in one file: the whole of it"),
    "kernels/cuda/rows.py": (415, "the kernels over rows share their CUDA sources"),
    "kernels/loops/rows.py": (440, "numba compiles again when the file of a loop changes, so what it calls is in it, too"),
}
MODELS = PACKAGE.parent / "models"
LONG_MODELS = {
    "bert/model.py": (665, "the one file of the model: from ids to the loss, with every head"),
}
LONG_FUNCTIONS: dict[str, int] = {}
LONG_OPS: dict[str, int] = {}


def name_of(path: Path) -> str:
    """The path inside the package."""
    return str(path.relative_to(PACKAGE))


each_file = pytest.mark.parametrize("path", FILES, ids=name_of)


def functions(tree: ast.AST) -> list[Any]:
    """All functions and methods, also nested ones."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(node: Any) -> int:
    """Lines of a function from its def, without its docstring."""
    body = node.body[1:] if _docstring(node) else node.body
    if not body:
        return 1
    return node.end_lineno - body[0].lineno + 1 + (node.body[0].lineno - node.lineno)


def docstring_lines(node: Any) -> int:
    """Lines of its docstring."""
    first = _docstring(node)
    return first.end_lineno - first.lineno + 1 if first else 0


def _docstring(node: Any) -> Any:
    first = node.body[0] if node.body else None
    return (
        first
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
        else None
    )


def is_op(node: Any) -> bool:
    """Is the function a formula under @op?"""
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return any(isinstance(mark, ast.Name) and mark.id == "op" for mark in marks)


@each_file
def test_files_are_short(path: Path) -> None:
    """At most about 400 lines; the exceptions are listed above."""
    limit, _ = LONG_FILES.get(name_of(path), (LONGEST_FILE, ""))
    lines = len(path.read_text().splitlines())
    assert lines <= limit, f"{name_of(path)} has {lines} lines, more than {limit}: split it, or say in LONG_FILES why not"


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.py")), ids=lambda path: str(path.relative_to(MODELS)))
def test_files_of_the_models_are_short(path: Path) -> None:
    """The same for what is built with the engine."""
    name = path.relative_to(MODELS).as_posix()
    limit, _ = LONG_MODELS.get(name, (LONGEST_FILE, ""))
    lines = len(path.read_text().splitlines())
    assert lines <= limit, f"models/{name} has {lines} lines, more than {limit}: split it, or say in LONG_MODELS why not"


def test_the_graph_and_the_walk_are_about_400_lines() -> None:
    """Nodes, recording and the backward pass: without blank lines and documentation well below."""
    tree = ast.parse((PACKAGE / "graph.py").read_text())
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            lines.add(node.lineno)
    assert len(lines) <= 300


@each_file
def test_functions_are_short(path: Path) -> None:
    """A function is seen at once; an op is its equation."""
    too_long = []
    for node in functions(ast.parse(path.read_text())):
        where = f"{name_of(path)}: {node.name}"
        if is_op(node) and code_lines(node) > LONG_OPS.get(where, LONGEST_OP):
            too_long.append(f"{where} (an op) has {code_lines(node)} lines of code, more than {LONGEST_OP}")
        whole = node.end_lineno - node.lineno + 1
        if whole - docstring_lines(node) > LONG_FUNCTIONS.get(where, LONGEST_FUNCTION):
            too_long.append(f"{where} has {whole - docstring_lines(node)} lines, more than {LONGEST_FUNCTION}")
    assert not too_long, "\n".join(too_long)


@each_file
def test_every_file_says_what_it_is(path: Path) -> None:
    """A docstring at the head."""
    assert ast.get_docstring(ast.parse(path.read_text())), f"{name_of(path)} has no docstring"


@each_file
def test_public_functions_say_what_they_do(path: Path) -> None:
    """Each public function and class has a docstring."""
    silent = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            overload = isinstance(node, ast.FunctionDef) and any(getattr(m, "id", "") == "overload" for m in node.decorator_list)
            stub = isinstance(node, ast.FunctionDef) and len(node.body) == 1
            if not overload and not stub:
                silent.append(node.name)
    assert not silent, f"{name_of(path)}: {', '.join(silent)}"


# -------------------------------------------------------------------------------------------------------- imports

FOREIGN = (
    "matplotlib",
    "tqdm",
    "sklearn",
    "safetensors",
    "torch",
    "cupy",
    "scipy",
    "transformers",
    "pandas",
    "ml_dtypes",
    "threadpoolctl",
    "mpi4py",
)


def test_import_loads_numpy_and_the_standard_library_alone() -> None:
    """In a fresh interpreter: nothing of what is imported only where it is used."""
    program = (
        "import numpy, sys; before = set(sys.modules); import minitorch; "
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    loaded = set(done.stdout.split())
    assert not loaded & set(FOREIGN)
    unknown = loaded - {"minitorch", "numpy"} - set(sys.stdlib_module_names)
    assert not {m for m in unknown if not m.startswith("_")}, f"not of the standard library: {unknown}"


@each_file
def test_nothing_foreign_is_imported_at_the_head_of_a_file(path: Path) -> None:
    """numpy, the standard library and the package itself; anything else inside the function that needs it.

    kernels/loops/ is itself imported in a function, and only where numba is installed.
    """
    for node in ast.parse(path.read_text()).body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            root = name.partition(".")[0]
            known = root in ("numpy", *(["numba"] if name_of(path) == "kernels/loops/compiling.py" else []))
            assert known or root in sys.stdlib_module_names, f"{name_of(path)} imports {name} at its head"


@each_file
def test_the_engine_knows_nothing_of_the_models(path: Path) -> None:
    """models/ may import minitorch, never the other way round; no pickle; the oracles stay outside."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            assert name.partition(".")[0] not in {"models", "tests", "torch", "transformers", "pickle", "marshal", "shelve"}


def test_every_file_has_a_room() -> None:
    """A new file or folder is named in docs/rooms.py."""
    assert [module for module in rooms.modules() if not rooms.room_of(module)] == []


def test_no_file_imports_itself_by_way_of_others() -> None:
    """No circle in minitorch/ and models/, imports inside functions and those for types included."""
    assert rooms.circles(rooms.graph()) == []


def test_arrows_point_one_way() -> None:
    """Every import is of the same row of docs/rooms.py or of one above."""
    assert rooms.against_the_order(rooms.graph()) == []


def test_the_test_of_arrows_sees_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the head, in a function, for types, by importlib; a circle of three; an arrow against the order."""
    files = {
        "minitorch/__init__.py": "from .tensor import Tensor",
        "minitorch/devices.py": "def f():\n    from .graph import Node",
        "minitorch/graph.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .tensor import Tensor",
        "minitorch/tensor.py": "import importlib\nimportlib.import_module('minitorch.devices')",
        "minitorch/ops/__init__.py": "from . import nn",
        "minitorch/ops/nn.py": "import numpy\nfrom .. import devices, graph",
        "models/__init__.py": "",
        "models/cli.py": "import minitorch.ops.nn",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(rooms, "ROOT", tmp_path)
    arrows = rooms.graph()
    assert arrows["minitorch/ops/nn"] == {"minitorch/devices", "minitorch/graph"}
    assert arrows["models/cli"] == {"minitorch/ops/nn"}
    assert rooms.circles(arrows) == [["minitorch/devices", "minitorch/graph", "minitorch/tensor"]]
    assert [line.partition(":")[0] for line in rooms.against_the_order(arrows)] == [
        "minitorch/devices imports minitorch/graph",
        "minitorch/graph imports minitorch/tensor",
    ]


def test_the_spine_is_short_and_the_readme_says_how_long() -> None:
    """What a reader reads to know how a BERT is trained: fewer than 4,000 lines of engine, documentation included."""
    lines = rooms.spine_lines()
    assert lines < 4000
    said = re.search(r"The spine is ([\d,]+) lines", (PACKAGE.parent / "README.md").read_text(encoding="utf-8"))
    assert said
    assert abs(int(said[1].replace(",", "")) - lines) < 50, f"the README says {said[1]}, docs/rooms.py counts {lines}"


def test_the_picture_of_the_rooms_shows_all_of_them() -> None:
    """python docs/rooms.py draws it again."""
    picture = (PACKAGE.parent / "docs" / "rooms.svg").read_text(encoding="utf-8")
    known = rooms.modules()
    names = {room.partition("/")[2] for row in rooms.ROWS for room in row if "/" in room and rooms.lines_of(room, known)}
    assert [name for name in sorted(names) if f">{name}  " not in picture] == []
