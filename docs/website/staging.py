"""Lays out the sources of the site in a folder of their own: README and docs, notebooks of the lessons, pages of the API.

The folders are those of the repository, so relative links hold; only README.md becomes index.md.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ROOT / "lessons"
ENGINE = [
    "minitorch", "minitorch.nn", "minitorch.nn.functional", "minitorch.nn.init", "minitorch.nn.utils", "minitorch.optim",
    "minitorch.data", "minitorch.autograd", "minitorch.linalg", "minitorch.amp", "minitorch.cuda", "minitorch.parallel",
    "minitorch.distributed", "minitorch.serialization",
]  # fmt: skip
MODELS = [
    "models.bert", "models.gpt", "models.seq2seq", "models.finetuning", "models.adapting", "models.prompting",
    "models.explaining",
]  # fmt: skip
TRY = """
The first lessons also run <a href="../browser/index.html">in the browser</a>, where you can change them and check your answers
with nothing installed. Next to them, <a href="../browser/graph.html">a page</a> draws backward passes to step through.
"""
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")  # of Markdown, to a file


def stage(folder: Path, browser: bool) -> None:
    """Write all sources of the site into ``folder``; ``browser``: it will hold the lessons that run, too."""
    docs = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
    write(folder, "README.md", contents({"Lessons": ["lessons/index"], "Pages": [f"docs/{name}" for name in docs],
                                         "API": ["api/index"], "Project": ["CONTRIBUTING", "CHANGELOG"]}))  # fmt: skip
    for name in (*(f"docs/{name}.md" for name in docs), "CONTRIBUTING.md", "CHANGELOG.md"):
        write(folder, name)
    write(folder, "lessons/README.md", (TRY if browser else "") + contents({"Lessons": lessons()}))
    notebooks(folder / "lessons", lessons())
    for name, text in api().items():
        put(folder / "api" / f"{name}.md", text)


def lessons() -> list[str]:
    """The names of the lessons, in order."""
    return [path.stem for path in sorted(LESSONS.glob("[0-9][0-9]_*.py"))]


def write(folder: Path, name: str, more: str = "") -> None:
    """A page with the files that it links to, its links to a README turned into links to an index."""

    def link(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        path = (ROOT / name).parent / target
        if path.is_file() and path.suffix not in (".md", ".ipynb"):
            copy = folder / path.resolve().relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return before + re.sub(r"README\.md$", "index.md", target) + after

    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"^\| `(\d\d_\w+)` \|", r"| [\1](\1.ipynb) |", text, flags=re.MULTILINE)  # the table of the lessons
    put(folder / name.replace("README", "index"), LINK.sub(link, text) + more)


def put(path: Path, text: str) -> None:
    """Write a file and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def contents(parts: dict[str, list[str]]) -> str:
    """The pages of the sidebar, under their headings."""
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n" for title, pages in parts.items()
    )


def notebooks(folder: Path, names: list[str]) -> None:
    """The lessons' notebooks, as lessons/build.py makes them, next to what they import."""
    sys.path.insert(0, str(LESSONS))
    import build

    for name in names:
        book = json.loads(build.notebook(LESSONS / f"{name}.py"))
        for cell in book["cells"]:
            if cell["metadata"].get("jupyter", {}).get("source_hidden"):  # a check, with the numbers that it expects
                cell["metadata"]["tags"] = ["hide-input"]
        put(folder / f"{name}.ipynb", json.dumps(book))
    for path in (*LESSONS.glob("[a-z]*.py"), *LESSONS.glob("*.toml")):
        shutil.copyfile(path, folder / path.name)


# --------------------------------------------------------------------------------------------------------- the API


def api() -> dict[str, str]:
    """A page per module, and the list of them. What several modules offer is described once, on the first page."""
    pages, rows, home = {}, [], {}
    for name in (*ENGINE, *MODELS):
        module = importlib.import_module(name)
        offered = members(module)
        own = [(public, thing) for public, thing in offered if home.setdefault(id(thing), name) == name]
        about = (inspect.getdoc(module) or "").partition("\n")[0].partition("  ")[0]
        entries = "\n".join(entry(name, public, thing) for public, thing in own)
        text = f"# {name}\n\n{about}\n\n```{{eval-rst}}\n.. py:currentmodule:: {name}\n\n{entries}\n```\n"
        for other in sorted({home[id(thing)] for _, thing in offered} - {name}):
            also = ", ".join(f"`{public}`" for public, thing in offered if home[id(thing)] == other)
            text += f"\nAlso here, and described under [{other}]({other}.md): {also}.\n"
        pages[name] = text
        rows.append(f"| [{name}]({name}.md) | {about} |")
    table = [
        "# API",
        "",
        "What the code itself says: signatures, equations, shapes and sources.",
        "",
        "| module | |",
        "| --- | --- |",
    ]
    pages["index"] = "\n".join([*table, *rows, "", "```{toctree}", ":hidden:", "", *pages, "```", ""])
    return pages


def members(module: ModuleType) -> list[tuple[str, object]]:
    """The public functions and classes that a module offers: those of ``__all__``, or without it those of its folder or file."""
    name, found = module.__name__, []
    package = name.partition(".")[0] if hasattr(module, "__path__") or hasattr(module, "__all__") else name
    for public in sorted(getattr(module, "__all__", vars(module)), key=str.lower):
        thing = getattr(module, public)
        place = str(getattr(thing, "__module__", ""))
        if not public.startswith("_") and callable(thing) and inspect.getdoc(thing) and f"{place}.".startswith(f"{package}."):
            found.append((public, thing))
    return found


def entry(module: str, name: str, thing: object) -> str:
    """autodoc's directive for one name."""
    if inspect.isclass(thing):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    return f".. autofunction:: {module}.{name}\n"
