"""Wrong versions of the references, made on purpose: tests that let one pass are too weak.

    python -m models.course.mutants [NAME ...]        try them all and write lessons/assignments/mutants.json

Every mutant is the reference with one change inside one solution: a flipped sign, a dropped term, a missing sum, a wrong
axis, an index off by one, a wrong constant, a shared array instead of a copy, an input changed in place, ... Mutants with
no visible effect are listed, with the reason, in the assignment's equivalent_mutants.toml.
Read before: assignments.py, testing.py.
"""

from __future__ import annotations

import ast
import concurrent.futures
import copy
import functools
import hashlib
import json
import multiprocessing
import os
import re
import select
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch.files import write_text

from .assignments import ORDER, Assignment, find, home
from .subject import load
from .supervisor import outcome
from .testing import Test, complaint, decode

SECONDS = 20


@dataclass(frozen=True)
class Mutant:
    """A wrong version: the change (as its name), the task, and the whole source."""

    name: str
    task: str
    source: str


# ------------------------------------------------------------------------------------------------ making mutants

SWAPPED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
}
NEIGHBOURS = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum"}
REDUCTIONS = {"sum", "mean", "prod"}
TURNS = {"mT", "T"}
COPIES = {
    "copy",
    "array",
    "astype",
    "zeros_like",
    "empty_like",
    "ones_like",
    "swapaxes",
    "transpose",
    "list",
    "reversed",
    "expand_dims",
}
IN_PLACE = {ast.Add: "iadd", ast.Sub: "isub", ast.Mult: "imul", ast.Div: "itruediv"}

Change = tuple[str, Callable[[Any], Any]]


def changes(node: ast.AST, numbers: Collection[str]) -> Iterator[Change]:
    """The ways to make this node wrong: a kind, and a function from a copy of the node to its replacement."""
    if isinstance(node, ast.BinOp):
        yield from _of_product_or_sum(node, numbers)
    elif isinstance(node, ast.UnaryOp):
        kind = "flipped sign" if isinstance(node.op, ast.USub) else "dropped not"
        yield kind, lambda n: n.operand
    elif isinstance(node, ast.AugAssign):
        if type(node.op) in SWAPPED:
            yield "flipped sign", lambda n: _with(n, op=SWAPPED[type(n.op)]())
        yield "overwritten instead of added", lambda n: ast.Assign([n.target], n.value)
        yield "dropped statement", lambda n: ast.Pass()
    elif isinstance(node, ast.Compare):
        if type(node.ops[0]) in SWAPPED:
            yield "wrong comparison", lambda n: _with(n, ops=[SWAPPED[type(n.ops[0])](), *n.ops[1:]])
    elif isinstance(node, ast.BoolOp):
        yield "and for or", lambda n: _with(n, op=SWAPPED[type(n.op)]())
        for i in range(len(node.values)):
            yield f"dropped condition {i}", lambda n, i=i: n.values[1 - i] if len(n.values) == 2 else _without(n, i)
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.Attribute):
        if node.attr in TURNS:
            yield "missing transpose", lambda n: n.value
    elif isinstance(node, ast.IfExp | ast.If):
        yield "condition always true", lambda n: _with(n, test=ast.Constant(True))
        yield "condition always false", lambda n: _with(n, test=ast.Constant(False))
    elif isinstance(node, ast.Slice):
        for end in ("lower", "upper", "step"):
            if getattr(node, end) is not None:
                yield f"slice without {end}", lambda n, end=end: _with(n, **{end: None})
    elif isinstance(node, ast.Tuple):
        if len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
            yield "exchanged", lambda n: _with(n, elts=[n.elts[1], n.elts[0], *n.elts[2:]])
    elif isinstance(node, ast.Expr | ast.Raise | ast.Continue):
        yield "dropped statement", lambda n: ast.Pass()


def _of_product_or_sum(node: ast.BinOp, numbers: Collection[str]) -> Iterator[Change]:
    if type(node.op) in SWAPPED:
        kind = "flipped sign" if isinstance(node.op, ast.Add | ast.Sub) else "wrong operation"
        yield kind, lambda n: _with(n, op=SWAPPED[type(n.op)]())
    what = "term" if isinstance(node.op, ast.Add | ast.Sub) else "factor"
    yield f"dropped right {what}", lambda n: n.left
    yield f"dropped left {what}", lambda n: n.right
    if isinstance(node.op, ast.MatMult):
        yield "operands exchanged", lambda n: _with(n, left=n.right, right=n.left)
    if type(node.op) in IN_PLACE and isinstance(node.left, ast.Name | ast.Attribute) and ast.unparse(node.left) not in numbers:
        name = IN_PLACE[type(node.op)]
        yield "in place", lambda n: _call(f"__import__('operator').{name}({ast.unparse(n.left)}, {ast.unparse(n.right)})")


def _call(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _of_constant(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield "wrong constant", lambda n: ast.Constant(not n.value)
    elif isinstance(value, int):
        yield "one more", lambda n: ast.Constant(n.value + 1)
        yield "one less", lambda n: ast.Constant(n.value - 1)
    elif isinstance(value, float):
        yield "wrong constant", lambda n: ast.Constant(n.value * 1.1 + 0.1 * (n.value == 0))


def _of_call(node: ast.Call) -> Iterator[Change]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    of_numpy = isinstance(function, ast.Name) or (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in ("np", "math")
    )
    inner = (lambda n: n.args[0]) if of_numpy else (lambda n: n.func.value)
    if not of_numpy or node.args:
        if name in REDUCTIONS:
            yield "missing sum", inner
        if name in COPIES and isinstance(function, ast.Attribute | ast.Name):
            yield f"without {name}", inner
    if name in NEIGHBOURS:
        yield "wrong reduction", lambda n: _renamed(n, NEIGHBOURS[name])
    if name == "where" and len(node.args) == 3:
        yield "branches exchanged", lambda n: _with(n, args=[n.args[0], n.args[2], n.args[1]])
    for i, keyword in enumerate(node.keywords):
        if keyword.arg == "axis" and not isinstance(keyword.value, ast.Constant | ast.UnaryOp):
            yield "wrong axis", lambda n, i=i: _keyword(n, i, ast.Constant(0))
            yield "wrong axis", lambda n, i=i: _keyword(n, i, ast.Constant(-1))
        yield f"without {keyword.arg}=", lambda n, i=i: _with(n, keywords=n.keywords[:i] + n.keywords[i + 1 :])


def _with(node: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _without(node: Any, i: int) -> Any:
    return _with(node, values=node.values[:i] + node.values[i + 1 :])


def _renamed(node: Any, name: str) -> Any:
    if isinstance(node.func, ast.Attribute):
        node.func.attr = name
    else:
        node.func.id = name
    return node


def _keyword(node: Any, i: int, value: Any) -> Any:
    node.keywords[i].value = value
    return node


class _Replace(ast.NodeTransformer):
    """Replace one node, given by identity."""

    def __init__(self, target: ast.AST, change: Callable[[Any], Any]) -> None:
        self.target, self.change = target, change

    def visit(self, node: ast.AST) -> Any:
        return self.change(node) if node is self.target else self.generic_visit(node)


def make_mutants(source: str, numbers: Collection[str] = ()) -> list[Mutant]:
    """All wrong versions of a source with solution markers; ``numbers``: names that hold nothing to change in place."""
    regions = _regions(source)
    tree = ast.parse(source)
    original = ast.unparse(tree)
    mutants: list[Mutant] = []
    names: Counter[str] = Counter()
    for at, node in enumerate(ast.walk(tree)):
        line = getattr(node, "lineno", None) or getattr(getattr(node, "value", None), "lineno", 0)
        task = next((t for first, last, t in regions if first < line < last), None)
        if task is None:
            continue
        for kind, change in changes(node, numbers):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[at]
            new = _Replace(target, change).visit(changed)
            text = ast.unparse(ast.fix_missing_locations(new))
            difference = _difference(original, text)
            if difference is None:
                continue
            label = f"{task} {kind}: {difference}"
            names[label] += 1
            label += f" #{names[label]}" if names[label] > 1 else ""
            mutants.append(Mutant(label, task, text))
    return mutants


def _regions(source: str) -> list[tuple[int, int, str]]:
    regions, start, task = [], 0, ""
    for i, line in enumerate(source.splitlines(), 1):
        if match := re.match(r"\s*### BEGIN SOLUTION ([\d.]+)", line):
            start, task = i, match[1]
        elif re.match(r"\s*### END SOLUTION", line):
            regions.append((start, i, task))
    return regions


def _difference(before: str, after: str) -> str | None:
    """The first line that differs, old -> new."""
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return None
    i = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)) - 1)
    return f"{old[i].strip()}  ->  {new[i].strip()}"


# ------------------------------------------------------------------------------------------------ trying mutants


def killer(assignment: Assignment, mutant: Mutant, tests: Sequence[Test] | None = None) -> str | None:
    """The first test that fails on the mutant, in a process of its own; "(time)" if it does not end; None if it survives.

    ``tests``: those to try, if not all.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            os.setpgid(0, 0)
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            name = first_failure(assignment, mutant.source, mutant.task, tests)
            os.write(write, (name or "").encode() or b"\0")
        finally:
            os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], SECONDS)
    result = os.read(read, 1000) if ready else b"(time)"
    os.close(read)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None if result == b"\0" else result.decode() or "(the process ended)"


def first_failure(assignment: Assignment, source: str, task: str = "", tests: Sequence[Test] | None = None) -> str | None:
    """The first test that a source fails, trying those of ``task`` first; all in this process."""
    try:
        module = load(source, str(assignment.folder / assignment.file))
    except BaseException:
        return "(the import)"
    tests = assignment.tests if tests is None else tests
    for test in sorted(tests, key=lambda t: (t.task != task, any(model in t.name for model in ("bert", "gpt")))):
        found = outcome(test.run, module)
        if "error" in found or set(found["values"]) != set(test.answers):
            return test.name
        for label, value in found["values"].items():
            try:
                if label not in test.answers or complaint(decode(value), test.answers[label]):
                    return test.name
            except Exception:
                return test.name
    return None


@functools.cache
def mutants_of(assignment: Assignment) -> list[Mutant]:
    """All mutants of an assignment's reference, including the equivalent ones."""
    return make_mutants(assignment.source, _notes(assignment).get("numbers", []))


def _notes(assignment: Assignment) -> dict[str, Any]:
    return tomllib.loads((assignment.folder / "equivalent_mutants.toml").read_text(encoding="utf-8"))


def equivalents(assignment: Assignment) -> dict[str, str]:
    """Mutants that compute the same, each with the reason."""
    entries = _notes(assignment).get("mutant", [])
    return {name: entry["reason"] for entry in entries for name in entry["names"]}


def fingerprint(assignment: Assignment) -> str:
    """Changes when the reference, its tests or this tool do."""
    text = b""
    for name in (assignment.file, "visible_tests.py", "hidden_tests.py"):
        text += (assignment.folder / name).read_bytes()
    return hashlib.sha256(text).hexdigest()[:16]


def _try(job: tuple[str, Mutant]) -> str | None:
    assignment = find(job[0])
    for test in assignment.tests:
        _ = test.answers  # computed once a worker, before it forks
    return killer(assignment, job[1])


def survey(assignment: Assignment, mutants: list[Mutant] | None = None, workers: int | None = None) -> dict[str, str | None]:
    """Which test kills which mutant."""
    known = equivalents(assignment)
    mutants = [m for m in mutants or mutants_of(assignment) if m.name not in known]
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
        found = list(pool.map(_try, [(assignment.name, m) for m in mutants], chunksize=4))
    return {m.name: by for m, by in zip(mutants, found, strict=True)}


def main(names: list[str]) -> int:
    """Try the mutants of the named assignments (all of them without a name), update the table, list the survivors."""
    path = home() / "mutants.json"
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    alive = 0
    for name in names or ORDER:
        start, assignment = time.perf_counter(), find(name)
        found = survey(assignment)
        survivors = [mutant for mutant, by in found.items() if by is None]
        print(
            f"{name}: {len(found)} mutants, {len(survivors)} survive, {len(equivalents(assignment))} equivalent, "
            f"{time.perf_counter() - start:.0f} s"
        )
        print(*(f"    alive: {mutant}" for mutant in survivors), sep="\n", end="\n" if survivors else "")
        alive += len(survivors)
        gone = set(equivalents(assignment)) - {m.name for m in mutants_of(assignment)}
        print(*(f"    listed as equivalent, but not made: {mutant}" for mutant in gone), sep="\n", end="\n" if gone else "")
        table[name] = {"fingerprint": fingerprint(assignment), "killed": found, "equivalent": equivalents(assignment)}
    table = {name: table[name] for name in ORDER if name in table}
    write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    return 1 if alive else 0


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main(sys.argv[1:]))
