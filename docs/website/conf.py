"""Sphinx's configuration: MyST-NB reads Markdown and runs the lessons' notebooks, Furo is the look, autodoc writes the API."""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

project = "minitorch"
author = "the authors of minitorch"
copyright = "the authors of minitorch, under the MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "minitorch"
html_copy_source = False
html_show_sphinx = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses to do from files
smartquotes = False  # ' is also a prime
highlight_language = "none"
exclude_patterns = ["runs"]
myst_heading_anchors = 4
myst_number_code_blocks: list[str] = []
nb_execution_mode = "cache"
nb_execution_excludepatterns = os.environ.get("LESSONS_SKIPPED", "").split()  # __main__.py sets both
nb_execution_cache_path = os.environ.get("LESSONS_CACHE", "")
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # nothing from elsewhere
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def paragraphs(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText. Ours are plain text with ``code``: lines that are laid out by hand stay as they are."""
    written: list[str] = []
    for blank, group in itertools.groupby(lines, key=lambda line: not line.strip()):
        if blank:
            continue
        found = list(group)
        if all(line.startswith("    ") for line in found):
            written += ["::", "", *(f"    {line}" for line in found), ""]
        elif any(line.startswith((" ", "- ", "* ")) or "  " in line.strip() for line in found):
            written += [*(f"| {plain(line)}" for line in found), ""]
        else:
            written += [*map(plain, found), ""]
    return written


def plain(line: str) -> str:
    """A line whose stars, bars, backslashes and underscores mean nothing, but for what stands in ``code``."""
    parts = re.split(r"(``.+?``)", line)
    return "".join(part if part.startswith("``") and len(part) > 4 else re.sub(r"([\\*|_`])", r"\\\1", part) for part in parts)


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect(
        "autodoc-process-docstring", lambda app, what, name, it, options, lines: lines.__setitem__(slice(None), paragraphs(lines))
    )
