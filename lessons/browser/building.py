"""Writes the static folder: the lessons as pages of cells, the page of the graph, minitorch's wheel, Pyodide."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template

from minitorch.files import write_all
from models.errors import BadInput

from . import runtime

HERE = Path(__file__).parent
LESSONS = HERE.parent
ROOT = LESSONS.parent
NAMES = ("01_slopes", "02_arrays", "03_engine")
IMPORTED = ("exercises.py", "hints.toml", "pictures.py")  # what the lessons import, and what that reads
COPIED = ("style.css", "lesson.js", "worker.js", "running.py", "graph.html", "autograd.js", "graph.js", "moons.js")

CELL = """<section class="cell" data-number="{number}">
{before}<textarea spellcheck="false" autocapitalize="off" rows="{rows}" aria-label="cell {number}">
{source}</textarea>{after}
<div class="row"><button class="run">Run</button> <button class="above quiet">Run all above</button>
<button class="new quiet">New cell</button>
<button class="reset quiet" hidden>Back to the original</button> <span class="state small" role="status"></span></div>
<div class="output" aria-live="polite"></div>
</section>"""

FOLDED = ("<details><summary>the check, with the numbers that it expects</summary>", "</details>")  # out of the reader's sight


def build(output: Path, folder: Path) -> None:
    """Everything, into a new folder; ``folder`` holds the runtime."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BadInput(f"{output} exists and is not overwritten; give another name")
    lock = runtime.read_lock(folder)
    packages = runtime.with_dependencies(lock, runtime.PACKAGES)
    files: dict[str, bytes] = {name: (HERE / name).read_bytes() for name in COPIED}
    files |= {name: (LESSONS / name).read_bytes() for name in IMPORTED}
    names = [*runtime.CORE, *(entry["file_name"] for entry in packages)]
    files |= {f"runtime/{name}": (folder / name).read_bytes() for name in names}
    name, content = wheel()
    files[name] = content
    size = sum(
        len(content) for name, content in files.items() if name.startswith("runtime/") or name.endswith((".whl", ".py", ".toml"))
    )
    size -= len(files["runtime/pyodide.js"]) + len(files["runtime/pyodide.asm.js"])  # scripts, which no fetch counts
    names = [entry["name"] for entry in packages]
    manifest = {"bytes": size, "packages": names, "wheel": name, "modules": [*IMPORTED, "running.py"]}
    files["manifest.json"] = json.dumps(manifest, indent=1).encode()
    write_all({output / name: content for name, content in (files | pages(round(size / 1e6))).items()})


def wheel() -> tuple[str, bytes]:
    """minitorch's own wheel, by pip: its name and content."""
    if importlib.util.find_spec("hatchling") is None:  # pip would download it, unasked
        raise BadInput("hatchling, which builds minitorch's wheel, is not installed: pip install -e '.[lessons]'")
    with tempfile.TemporaryDirectory() as room:
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", room]
        if subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], stdout=sys.stderr, check=False).returncode:
            raise BadInput("minitorch's wheel could not be built; pip's message above says why")
        path = next(Path(room).glob("*.whl"))
        return path.name, path.read_bytes()


def pages(megabytes: int) -> Mapping[str, bytes]:
    """The lessons, the pages that they link to, and the list of all."""
    made, rows = {}, []
    template = Template((HERE / "lesson.html").read_text(encoding="utf-8"))
    for name in NAMES:
        text = (LESSONS / f"{name}.py").read_text(encoding="utf-8")
        title, cells = lesson(text)
        filled = template.substitute(title=html.escape(title), name=name, cells=cells, megabytes=megabytes)
        made[f"{name}.html"] = filled.encode()
        rows.append(f'<li><a href="{name}.html">{html.escape(title)}</a></li>')
    index = Template((HERE / "index.html").read_text(encoding="utf-8"))
    made["index.html"] = index.substitute(lessons="\n".join(rows), megabytes=megabytes, version=runtime.VERSION).encode()
    plain = Template((HERE / "plain.html").read_text(encoding="utf-8"))
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    made["glossary.html"] = plain.substitute(title="Glossary", text=rendered(glossary)).encode()
    return made


def lesson(text: str) -> tuple[str, str]:
    """The title of a lesson and its cells as HTML: text as text, code in a field to be edited."""
    import jupytext

    title, parts, number = "", [], 0
    for cell in jupytext.reads(text, fmt="py:percent").cells:
        if cell.cell_type == "markdown":
            title = title or cell.source.lstrip("# ").partition("\n")[0]
            parts.append(rendered(cell.source))
        elif cell.source.strip():
            number += 1
            rows = cell.source.count("\n") + 1
            before, after = FOLDED if re.search(r"^(\w+ = )?check\(", cell.source, re.MULTILINE) else ("", "")
            parts.append(CELL.format(number=number, rows=rows, source=html.escape(cell.source), before=before, after=after))
    return title, "\n".join(parts)


def rendered(markdown: str) -> str:
    """Markdown as HTML; links to files that are no page here become plain text."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.anchors import anchors_plugin

    text = str(MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=3).render(markdown))
    text = re.sub(r'href="(?:\.\./docs/)?glossary\.md(#[^"]*)?"', r'href="glossary.html\1"', text)
    return re.sub(r'<a href="(?!https?:|#|glossary\.html)[^"]*">(.*?)</a>', r"\1", text, flags=re.DOTALL)
