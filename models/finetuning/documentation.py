"""Two labelled tasks that every Python installation can make from its own documentation, as ordinary files.

classify    which library wrote this paragraph? The standard library, numpy, scipy, ... as installed. Split by source file:
            paragraphs of one file resemble each other, and would leak from training to test.
tag         which words are parameters, literals, references to other code? The markup of docstrings says so (`x` or *x* for
            a parameter of that very function, ``x`` for a literal, :func:`x` and its like for a reference); it is taken out of
            the text and kept as labels. Unmarked mentions of the same things cap the recall.

Read before: models/text/python_docs.py. Read next: command.py.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_all

from ..errors import BadInput
from ..text.python_docs import ALL_LIBRARIES, blocks, deal, fingerprint, is_prose, prose, sources

DEFAULTS: dict[str, Any] = {"lr": 1e-3, "epochs": 4, "length": 64}  # for a small BERT that pretraining left
TRAIN, DEV, TEST = 8000, 800, 2000  # at most
ROLE = re.compile(r":[a-z:+]+:`~?([^`<]+?)(?:\s*<[^>]*>)?`|``([^`]+)``|`([^`\s]+)`|(?<![\w*])\*(\w+)\*(?![\w*])")
PIECE = re.compile(r"\w+|[^\w\s]")

Item = tuple[str, str]  # label or tags, text


def make_files(task: str, folder: Path, say: Callable[[str], None] = print) -> dict[str, str]:
    """Write train, dev and test files into the folder, and return their names."""
    say("reading the documentation in this Python installation ...")
    items = list(MAKERS[task]())
    rng = np.random.default_rng(0)
    part = deal(Counter(file for file, _ in items))
    suffix, header = (".tsv", "text\tlabel\n") if task == "classify" else (".conll", "")
    names: dict[str, str] = {}
    files: dict[Path, str] = {}
    for number, (name, most) in enumerate((("train", TRAIN), ("dev", DEV), ("test", TEST))):
        chosen = [text for file, text in items if part[file] == number]
        chosen = [chosen[i] for i in sorted(rng.permutation(len(chosen))[:most].tolist())]
        if len(chosen) < 20:
            raise BadInput(
                f"the documentation of this Python installation gives only {len(chosen)} examples for {name}; give --train"
            )
        names[name] = str(folder / f"{name}{suffix}")
        files[folder / f"{name}{suffix}"] = header + "".join(chosen)
        say(f"{names[name]}: {len(chosen):,} examples, sha256 {fingerprint([chosen])[:16]}")
    write_all(files)
    return names


def which_library() -> Iterator[Item]:
    """(file, line of a TSV): each paragraph once; libraries with few paragraphs are left out."""
    found: dict[str, tuple[str, str]] = {}
    for library, file, source in sources(ALL_LIBRARIES):
        for paragraph in prose(source):
            found.setdefault(paragraph, (library, file))
    counts = Counter(library for library, _ in found.values())
    for paragraph, (library, file) in found.items():
        if counts[library] >= 200:
            yield file, f"{paragraph}\t{library}\n"


def marked_words() -> Iterator[Item]:
    """(file, sentence in CoNLL): the paragraphs of docstrings that have markup."""
    seen: set[str] = set()
    for _, file, source in sources(ALL_LIBRARIES):
        for text, parameters in docstrings(source):
            for block in blocks(inspect.cleandoc(text)):
                if "`" not in block and "*" not in block:
                    continue
                words, tags = tagged(block, parameters)
                plain = " ".join(words)
                if (
                    set(tags) != {"O"}
                    and 8 <= len(words) <= 60
                    and plain not in seen
                    and is_prose(re.sub(r" (?=[.,;:)])", "", plain))
                ):
                    seen.add(plain)
                    yield file, "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n"


def docstrings(source: str) -> Iterator[tuple[str, set[str]]]:
    """Every docstring, with the parameters of its function or class."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node, clean=False)
        if text:
            functions = [node] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
            if isinstance(node, ast.ClassDef):
                functions = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
            yield (
                text,
                {a.arg for f in functions for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)} - {"self", "cls"},
            )


def tagged(block: str, parameters: set[str]) -> tuple[list[str], list[str]]:
    """Words without markup, and the markup's labels: PARAM, LITERAL, REF."""
    words: list[str] = []
    tags: list[str] = []
    end = 0
    for match in [*ROLE.finditer(block), None]:
        plain = PIECE.findall(block[end : match.start() if match else len(block)])
        words += plain
        tags += ["O"] * len(plain)
        if match:
            role, literal, single, star = match.groups()
            name = role or literal or single or star
            kind = "REF" if role else "LITERAL" if literal else "PARAM" if name in parameters else ""
            inside = PIECE.findall(name)
            words += inside
            tags += [f"{'I' if i else 'B'}-{kind}" if kind else "O" for i in range(len(inside))]
            end = match.end()
    return words, tags


MAKERS: dict[str, Callable[[], Iterator[Item]]] = {"classify": which_library, "tag": marked_words}
