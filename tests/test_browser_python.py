"""The lessons' pages in a real browser: Python in the page, the cells, the checks, and the engine's own tests.

They need Pyodide in runs/ (python -m lessons.browser OUTPUT --download keeps it there) or a network.
"""

from __future__ import annotations

import functools
import http.server
import importlib.metadata
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from lessons.browser import building, runtime
from models.errors import BadInput

from .lesson_answers import ANSWERS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
MINUTE = 60_000
# The engine's tests that can run there. parallel, distributed, amp, cuda, files need threads, processes or libraries.
FILES = ["engine", "engine_inplace", "engine_memory", "gradcheck", "indexing", "kernels", "nn_modules", "norms", "ops", "optim",
         "promotion", "random_graphs", "transformer", "creation", "autograd_function", "schedules", "calling"]  # fmt: skip


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server that does not write to the terminal."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):
    """The built folder; the browser comes first, because without one nothing need be downloaded."""
    kept = ROOT / "runs" / f"pyodide-{runtime.VERSION}"
    made = tmp_path_factory.mktemp("browser") / "site"
    try:
        if runtime.missing(kept):
            runtime.fetch(kept)
        building.build(made, kept)
    except BadInput as error:
        pytest.skip(str(error))
    return made


@pytest.fixture(scope="module")
def address(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser, address):
    """A page that asks nothing of any other address, and in which no script fails."""
    opened, asked, errors = browser.new_page(), [], []
    opened.asked = asked
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert errors == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def start(page):
    page.click("#start")
    page.wait_for_function("ready", timeout=3 * MINUTE)


def run(page, button):
    page.click(button)
    page.wait_for_function("!running && !queue.length", timeout=3 * MINUTE)


def output(page, number):
    return page.locator(".output").nth(number - 1).text_content()


def cell_with(page, text):
    """The number of the first cell that holds the text."""
    sources = page.evaluate("cells.map(cell => source(cell).value)")
    return next(i for i, source in enumerate(sources, 1) if text in source)


@pytest.mark.parametrize("name", building.NAMES)
def test_a_lesson_runs_and_takes_right_and_wrong_answers(page, address, name):
    """All cells run; nothing of Python is loaded before it is asked for; answers are checked, kept and given back."""
    page.goto(f"{address}{name}.html")
    assert not any("runtime" in url or url.endswith(".whl") for url in page.asked)
    start(page)
    assert re.search(r"Python 3\.\d+\.\d+, NumPy .* is ready", page.inner_text("#status"))
    for exercise, (right, _) in ANSWERS[name].items():
        page.locator("textarea").nth(cell_with(page, f"def {exercise}(") - 1).fill(right[0])
    run(page, "#all")
    assert set(page.locator(".state").all_text_contents()) == {"done"}
    for exercise, (_, wrong) in ANSWERS[name].items():
        at, checked = cell_with(page, f"def {exercise}("), cell_with(page, f"check(\n    {exercise},")
        assert f"✓ {exercise}: right" in output(page, checked)
        page.locator("textarea").nth(at - 1).fill(wrong[0][0])
        run(page, f'[data-number="{at}"] .run')
        run(page, f'[data-number="{checked}"] .run')
        assert wrong[0][1] in output(page, checked)
    assert page.evaluate("[...document.images].length && [...document.images].every(i => i.complete && i.naturalWidth > 100)")
    page.reload()
    kept = page.locator("textarea").nth(at - 1)
    assert kept.input_value() == wrong[0][0]
    page.click(f'[data-number="{at}"] .reset')
    assert "NotImplementedError" in kept.input_value()


def test_a_page_opened_as_a_file_says_what_it_needs(browser, folder):
    opened = browser.new_page()
    opened.goto((folder / "01_slopes.html").as_uri())
    opened.click("#start")
    assert "serve the folder with a web server" in opened.inner_text("#status")
    opened.close()


def test_errors_loops_and_floods(page, address):
    page.goto(f"{address}01_slopes.html")
    first = page.locator("textarea").first
    start(page)
    first.fill("def f(x):\n    return 1 / x\n\nf(0)")
    run(page, '[data-number="1"] .run')
    told = output(page, 1)
    assert told.startswith('Traceback (most recent call last):\n  File "<cell 1>", line 4')
    assert "return 1 / x" in told
    assert "ZeroDivisionError" in told
    assert page.locator(".state").first.inner_text() == "stopped with an error"
    first.fill("if True print(1)")
    run(page, "#all")
    assert "SyntaxError" in output(page, 1)
    assert page.locator(".state").nth(1).inner_text() == ""  # what was to follow does not run
    first.fill("import minitorch\nprint('<b>text</b>')\nminitorch.tensor([1, 2])")
    run(page, '[data-number="1"] .run')
    assert output(page, 1) == "<b>text</b>\ntensor([1, 2])\n"
    first.fill("while True:\n    print('flood' * 100)")
    page.click('[data-number="1"] .run')
    page.wait_for_function("output(cells[0]).textContent.includes('more is printed than can be shown')", timeout=MINUTE)
    page.click("#stop")
    assert "Python has ended" in page.inner_text("#status")
    assert page.locator(".state").first.inner_text() == "stopped"
    page.click('[data-number="1"] .new')
    own = page.locator(".cell").nth(1)
    own.locator("textarea").press_sequentially("def f():\nreturn 6\n")  # Enter keeps the indentation
    own.locator("textarea").press("Tab")
    assert own.locator("textarea").input_value() == "def f():\n    return 6\n        "
    own.locator("textarea").fill("x = 6 * 7\nx")
    first.fill("x = 41")
    start(page)
    own.locator("textarea").press("Shift+Enter")
    page.wait_for_function("!running && !queue.length", timeout=MINUTE)
    assert own.locator(".output").text_content() == "42\n"
    page.locator('[data-number="2"] textarea').fill("x + 1")
    own.locator("textarea").fill("x += 1")
    run(page, '[data-number="2"] .above')
    run(page, '[data-number="2"] .run')
    assert page.locator('[data-number="2"] .output').text_content() == "43\n"


@pytest.mark.timeout(900)
def test_the_engines_tests_pass_in_the_page(page, address, folder, tmp_path):
    """Where they can run: neither threads, nor processes, nor libraries beyond NumPy are there, and integers have 32 bits."""
    found = tmp_path / "found"  # a hypothesis that is Python alone; later ones are compiled
    options = ["-q", "--no-deps", "--only-binary", ":all:", "--target", str(found)]
    command = [sys.executable, "-m", "pip", "install", *options, "hypothesis==6.112.0"]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("no network: a hypothesis for the page cannot be fetched")
    with zipfile.ZipFile(folder / "suite.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for base in (found, ROOT / "tests"):
            for path in base.rglob("*.*"):
                if path.is_file() and path.suffix != ".pyc":
                    archive.write(path, path.relative_to(found if base == found else ROOT))
        for package in ("pytest", "pluggy", "iniconfig", "attrs", "sortedcontainers", "pygments"):
            for path in importlib.metadata.files(package) or ():
                if path.suffix != ".pyc" and ".." not in path.parts:
                    archive.write(str(path.locate()), str(path))
    page.goto(f"{address}01_slopes.html")
    start(page)
    page.locator("textarea").first.fill(f"FILES = {FILES}\n" + (ROOT / "tests" / "browser_suite.py").read_text(encoding="utf-8"))
    page.click('[data-number="1"] .run')
    page.wait_for_function("!running", timeout=14 * MINUTE)
    report = output(page, 1).rpartition("SUITE ")[2]
    assert re.match(r"\d{4} passed, 0 failed\n", report), report or output(page, 1)[-3000:]
