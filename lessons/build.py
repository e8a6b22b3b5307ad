"""Write the notebooks: ``python lessons/build.py`` makes NN_name.ipynb from every NN_name.py, in the same folder.

Edit only the .py files (jupytext's percent format) by hand. Cell ids are numbered and outputs left out, so that the same
source always gives the same bytes. ``--check`` writes nothing and fails if a notebook is out of step.
"""

from __future__ import annotations

import sys
from pathlib import Path

from minitorch.files import write_text

HERE = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def sources() -> list[Path]:
    """The lessons, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def notebook(source: Path) -> str:
    """The text of the notebook of a lesson."""
    import jupytext
    import nbformat

    book = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    book.metadata = nbformat.from_dict(METADATA)
    book.nbformat, book.nbformat_minor = 4, 5
    for i, cell in enumerate(book.cells):
        cell.id = f"cell-{i:03d}"
        hidden = cell.cell_type == "code" and any(
            line.startswith("check(") or " = check(" in line for line in cell.source.splitlines()
        )
        cell.metadata = nbformat.from_dict({"jupyter": {"source_hidden": True}} if hidden else {})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(book)
    return str(nbformat.writes(book)).rstrip("\n") + "\n"


def main() -> int:
    """Write every notebook, or with --check name those that differ."""
    stale = []
    for source in sources():
        target, text = source.with_suffix(".ipynb"), notebook(source)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(target.name)
            if "--check" not in sys.argv:
                write_text(target, text)
    print(f"{len(sources())} sources, {len(stale)} notebooks {'out of step' if '--check' in sys.argv else 'written'}: {stale}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
