"""Runs the cells of a lesson inside the page, as a notebook does. worker.js imports it; ``page`` is the page's end."""

from __future__ import annotations

import io
import linecache
import sys
import traceback
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import page  # made by worker.js
import pictures
from pyodide.code import eval_code

import minitorch

MOST = 100_000  # characters of one cell's output: an endless loop of print must not drown the page
names: dict[str, Any] = {"__name__": "__main__"}  # what the cells define


class Output(io.TextIOBase):
    """Standard output: what is written appears below the cell at once."""

    written = 0

    def write(self, text: str) -> int:
        if self.written <= MOST < self.written + len(text):
            page.write("\n... more is printed than can be shown.\n")
        elif self.written + len(text) <= MOST:
            page.write(text)
        self.written += len(text)
        return len(text)


def show(picture: Any, name: str) -> None:
    """In place of pictures.show: below the cell."""
    if hasattr(picture, "_repr_svg_"):
        page.show(picture._repr_svg_(), "svg")
        return
    png = io.BytesIO()
    picture.savefig(png, format="png", dpi=110)
    plt.close(picture)
    page.show(png.getvalue(), "png")


def run(source: str, number: int) -> bool:
    """Run a cell and print the value of its last line, if it has one; False after an error, which is printed too."""
    name = f"<cell {number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)  # for tracebacks and the checks
    sys.stdout = sys.stderr = output = Output()
    try:
        value = eval_code(source, names, filename=name)
        if value is not None and not source.rpartition("\n\n")[2].lstrip().startswith("check("):
            output.write(f"{value!r}\n")
    except BaseException as error:
        output.write("".join(_lines(error, name)))
        return False
    finally:
        for figure in map(plt.figure, plt.get_fignums()):
            show(figure, "")
    return True


def _lines(error: BaseException, name: str) -> list[str]:
    """The traceback from the reader's cell on."""
    where = error.__traceback__
    while where is not None and not where.tb_frame.f_code.co_filename.startswith("<cell "):
        where = where.tb_next
    return traceback.format_exception(type(error), error, where)


def versions() -> str:
    """What runs here."""
    return f"Python {sys.version.split()[0]}, NumPy {np.__version__}, minitorch {minitorch.__version__}"


pictures.show = show
