"""A text that every Python installation has: documentation of the standard library and of installed packages.

Nothing is imported and nothing downloaded: the source files are parsed (ast), their long string constants are docstrings
and the like, and of these the paragraphs of English prose are kept, each once. It is narrow, clean, technical English:
enough to watch a language model learn, too little to make it good at anything else.
Different Python or library versions give different text, so its hash is printed with every result.
Read next: corpus.py.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

LIBRARIES = ("numpy", "scipy", "sklearn")
ALL_LIBRARIES = (*LIBRARIES, "matplotlib", "pandas", "networkx")
SKIPPED = {"test", "tests", "testing", "idlelib", "lib2to3", "turtledemo", "ensurepip"}  # folders without prose,
SKIPPED |= {"site-packages", "_vendor", "vendored", "externals"}  # or with other projects' text
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
NOT_PROSE = re.compile(r">>>|::|\.\. |^\s*[-=~^*]{3,}|[-=~]{4,}|[{}|<>\\]|\w\(\)?=|:math:")
MARKUP = re.compile(r":[a-z:+]+:`~?([^`<]+?)(?:\s*<[^>]*>)?`|``([^`]+)``|`([^`]+)`|\*\*([^*]+)\*\*|\*(\w+)\*")


def python_documentation(libraries: Iterable[str] = LIBRARIES) -> Iterator[tuple[str, list[str]]]:
    """(file name, sentences) of every source file with prose in it: standard library first, then ``libraries`` if installed."""
    seen: set[str] = set()
    for name, folder in source_folders(libraries):
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if SKIPPED.intersection(inside.parts[:-1]) or (inside.parts[0].startswith("test_")):
                continue
            sentences = []
            for paragraph in prose(read_source(path)):
                if paragraph not in seen:
                    seen.add(paragraph)
                    sentences.extend(SENTENCE_END.split(paragraph))
            if sentences:
                yield f"{name}/{inside.as_posix()}", sentences


def source_folders(libraries: Iterable[str]) -> list[tuple[str, Path]]:
    """Where the standard library and the libraries that are installed keep their source."""
    folders = [("python", Path(sysconfig.get_paths()["stdlib"]))]
    for library in libraries:
        spec = importlib.util.find_spec(library)
        if spec is not None and spec.submodule_search_locations:
            folders.append((library, Path(next(iter(spec.submodule_search_locations)))))
    return folders


def sources(libraries: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(library, file, source) of every file of the standard library and of the libraries that are installed."""
    for name, folder in source_folders(libraries):
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if not SKIPPED.intersection(inside.parts[:-1]) and not inside.parts[0].startswith("test_"):
                yield name, f"{name}/{inside.as_posix()}", read_source(path)


def deal(sizes: Counter[str]) -> dict[str, int]:
    """Which part (0 train, 1 dev, 2 test) each file goes to: the largest first, to the part that lacks most of its share.

    Library by library, for a few large files hold half the text of some: by chance alone, dev and test would be about other
    things in other proportions, and say little about each other.
    """
    shares = np.array([0.72, 0.08, 0.2])
    parts: dict[str, int] = {}
    for library in sorted({file.partition("/")[0] for file in sizes}):
        files = sorted((file for file in sizes if file.partition("/")[0] == library), key=lambda file: (-sizes[file], file))
        lacking = shares * sum(sizes[file] for file in files)
        for file in files:
            parts[file] = int(lacking.argmax())
            lacking[parts[file]] -= sizes[file]
    return parts


def read_source(path: Path) -> str:
    """The file's text, or nothing where it cannot be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def prose(source: str) -> Iterator[str]:
    """The paragraphs of English in a Python file's long strings."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if len(text) > (80 if "\n" in text else 120):
                for block in paragraphs(inspect.cleandoc(text)):
                    if is_prose(block):
                        yield block


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs without markup."""
    return (MARKUP.sub(lambda m: next(filter(None, m.groups()), ""), block) for block in blocks(text))


def blocks(text: str) -> Iterator[str]:
    """Cut at blank lines and where the indentation changes; each paragraph on one line."""
    block: list[str] = []
    indent = 0
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        depth = len(line) - len(line.lstrip())
        if block and (not stripped or depth != indent):
            yield " ".join(block)
            block = []
        if stripped:
            block.append(stripped)
            indent = depth


def is_prose(block: str) -> bool:
    """Seven words or more, nearly all letters, from a capital to a full stop, and no code."""
    if not block[0].isupper() or block[-1] not in ".!?:" or len(block.split()) < 7 or NOT_PROSE.search(block):
        return False
    return sum(c.isalpha() or c == " " for c in block) >= 0.82 * len(block)


def fingerprint(documents: Iterable[Iterable[str]]) -> str:
    """The SHA-256 of a corpus, to be printed with each result."""
    digest = hashlib.sha256()
    for sentences in documents:
        for sentence in sentences:
            digest.update(sentence.encode("utf-8") + b"\n")
        digest.update(b"\n")
    return digest.hexdigest()
