"""A summarising task that every Python installation holds: from a docstring's body to its first line.

Where a docstring has a first line alone, the source is the signature and the code. The pairs come from the standard library and
from the libraries that are installed; each file goes to training, dev or test as a whole, for its docstrings resemble each other.
Read before: models/text/python_docs.py. Read next: command.py.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from minitorch.files import write_all

from ..errors import BadInput
from ..text.python_docs import ALL_LIBRARIES, deal, fingerprint, sources

SIZES = {"train": 8000, "dev": 400, "test": 400}  # pairs at most
SHORTEST, LONGEST = 3, 20  # words of a first line
CHARACTERS = 300  # of a source; its end is cut
Function = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def make_files(folder: Path, say: Callable[[str], None] = print) -> dict[str, str]:
    """Write train, dev and test files into the folder, and return their names."""
    say(f"reading the docstrings in this Python installation (of each body at most {CHARACTERS} characters) ...")
    items = list(summaries())
    part = deal(Counter(file for file, _ in items))
    rng = np.random.default_rng(0)
    names: dict[str, str] = {}
    files: dict[Path, str] = {}
    for number, (name, most) in enumerate(SIZES.items()):
        lines = [line for file, line in items if part[file] == number]
        lines = [lines[i] for i in sorted(rng.permutation(len(lines))[:most].tolist())]
        if len(lines) < 20:
            raise BadInput(f"this Python installation has docstrings for only {len(lines)} pairs for {name}; give --train")
        names[name] = str(folder / f"{name}.tsv")
        files[folder / f"{name}.tsv"] = "source\ttarget\n" + "".join(lines)
        say(f"{names[name]}: {len(lines):,} pairs, sha256 {fingerprint([lines])[:16]}")
    write_all(files)
    return names


def summaries() -> Iterator[tuple[str, str]]:
    """(file, line of a TSV) of every docstring with a first line of its own; each source once."""
    seen: set[str] = set()
    for _, file, code in sources(ALL_LIBRARIES):
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, Function) else None
            if text and (found := summary(node, text)) and found[0] not in seen:  # type: ignore[arg-type]
                seen.add(found[0])
                yield file, "\t".join(found) + "\n"


def summary(node: Function, docstring: str) -> tuple[str, str] | None:
    """(source, target), each on one line; None where the first line is no sentence of SHORTEST to LONGEST words."""
    first, _, body = docstring.strip().partition("\n\n")
    target, source = " ".join(first.split()), " ".join(body.split())
    if not SHORTEST <= len(target.split()) <= LONGEST or not target[0].isupper() or target[-1] != ".":
        return None
    if not source:
        node.body = node.body[1:] or [ast.Pass()]  # without the docstring
        source = " ".join(ast.unparse(node).split())
    return source[:CHARACTERS], target
