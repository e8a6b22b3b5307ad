"""Check one exercise without the rest of its lesson: ``python lessons/check.py mask_pieces``, or all of a lesson: ``... 9``.

Runs your function and what its check needs, and nothing else: mostly no training and no pictures. ``--hint`` adds a hint.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exercises

HERE = Path(__file__).parent
SHOWING = {"print", "show", "hint", "check", "plt"}  # calls that only show something


def main() -> int:
    """Print the verdicts; 0 if all are right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="an exercise, or the number of a lesson")
    parser.add_argument("--hint", type=int, nargs="?", const=1, metavar="N", help="show a hint, the first one if N is not given")
    args = parser.parse_args()
    files = {name: path for path in sorted(HERE.glob("[0-9][0-9]_*.py")) for name in checks(ast.parse(path.read_text("utf-8")))}
    asked = [name for name, path in files.items() if args.name in (name, path.stem, path.stem[:2], path.stem[:2].lstrip("0"))]
    if not asked:
        near = difflib.get_close_matches(args.name, files, 1)
        parser.error(f"no exercise and no lesson is called {args.name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    right = True
    for name in asked:
        names = run_alone(files[name], name)
        if args.hint is not None:
            exercises.hint(names[name], args.hint)
        right &= exercises.EXERCISES[name].verdict is True
    return 0 if right else 1


def run_alone(source: Path, name: str) -> dict[str, Any]:
    """Run the check of an exercise and the statements behind it; returns their names."""
    tree = ast.parse(source.read_text("utf-8"), str(source))
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(source)}
    exec(compile(ast.Module(behind(tree, checks(tree)[name]), []), str(source), "exec"), names)
    return names


def checks(tree: ast.Module) -> dict[str, int]:
    """Where the check of each exercise is: the index of its statement."""
    found = {}
    for i, statement in enumerate(tree.body):
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "check" and isinstance(call.args[0], ast.Name):
            found[call.args[0].id] = i
    return found


def behind(tree: ast.Module, last: int) -> list[ast.stmt]:
    """The statements up to ``last`` on which it depends, found backwards: whoever makes or changes a name that is needed."""
    bodies = {s.name: s for s in tree.body if isinstance(s, ast.FunctionDef | ast.ClassDef)}
    fixed = bodies.keys() | {n for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom) for n in made(s)}

    def uses(node: ast.AST, seen: set[str]) -> set[str]:
        """The names that a statement reads, and those that the functions among them read when they are called."""
        for name in read(node) - seen:
            seen.add(name)
            if name in bodies:
                uses(bodies[name], seen)
        return seen

    needed, kept = uses(tree.body[last], set()), [tree.body[last]]
    for statement in reversed(tree.body[:last]):
        if made(statement) & needed or changed(statement) & (needed - fixed):
            if isinstance(statement, ast.Assign | ast.FunctionDef | ast.ClassDef):
                needed -= made(statement)  # what the name held before does not matter
            needed |= uses(statement, set())
            kept.append(statement)
    return kept[::-1]


SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def read(node: ast.AST) -> set[str]:
    """The names in it that belong to the lesson, and not to a function or a comprehension alone."""
    names = {node.id} if isinstance(node, ast.Name) else set()
    for child in ast.iter_child_nodes(node):
        names |= read(child)
    if isinstance(node, SCOPES):
        names -= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        names -= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    if isinstance(node, ast.FunctionDef | ast.Lambda):  # defaults are the lesson's, also in m=m
        names = names.union(*(read(default) for default in [*node.args.defaults, *node.args.kw_defaults] if default))
    return names


def made(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value to."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    inside = {n for scope in ast.walk(statement) if isinstance(scope, SCOPES) for n in ast.walk(scope)}
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n not in inside}


def changed(statement: ast.stmt) -> set[str]:
    """The names whose objects it may change: x[0] = 1, x.append(1), y = x.fit(1), train(x), and what a block does."""
    return set(_touched(statement))


def _touched(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield _root(node.func)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _root(node.value.func) not in SHOWING:
            yield from (n.id for n in ast.walk(node.value) if isinstance(n, ast.Name))


def _root(function: ast.expr) -> str:
    """``a`` of a.b[0].c."""
    while isinstance(function, ast.Attribute | ast.Subscript):
        function = function.value
    return function.id if isinstance(function, ast.Name) else ""


if __name__ == "__main__":
    sys.exit(main())
