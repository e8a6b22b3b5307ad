"""The lessons in the browser, as far as no browser is needed: the arithmetic of the page, and how the folder is built."""

from __future__ import annotations

import functools
import hashlib
import html
import http.server
import json
import math
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitorch
from docs.website import checking
from lessons.browser import building, runtime
from lessons.browser.__main__ import main
from models.errors import BadInput

PAGE = Path(building.__file__).parent
FUNCTIONS = ("exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "abs")
NODE = """
const fs = require("fs"), vm = require("vm");
vm.runInThisContext(fs.readFileSync(process.argv[1], "utf8"));
vm.runInThisContext(`function answer({text, numbers}) {
  try {
    const {result, variables} = build(text, name => numbers[name]);
    backward(result);
    return {value: String(result.value), grads: Object.fromEntries([...variables].map(([name, v]) => [name, String(v.grad)]))};
  } catch (error) { if (error instanceof Slip) return {slip: error.message}; throw error; }
}`);
console.log(JSON.stringify(JSON.parse(fs.readFileSync(0, "utf8")).map(answer)));
"""


def by_javascript(questions: list[tuple[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """The page's result and gradients of expressions: autograd.js under Node."""
    if not (node := shutil.which("node")):
        pytest.skip("no Node here; the slow tests ask a browser")
    asked = json.dumps([{"text": text, "numbers": numbers} for text, numbers in questions])
    done = subprocess.run([node, "-e", NODE, str(PAGE / "autograd.js")], input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def by_minitorch(text: str, numbers: dict[str, float]) -> tuple[float, dict[str, float]]:
    """The same by Python and minitorch: the lines are Python's, with its constants made tensors."""
    names: dict[str, Any] = {name: getattr(minitorch, name) for name in FUNCTIONS}
    names["constant"] = functools.partial(minitorch.tensor, dtype=minitorch.float64)
    text = re.sub(r"(?<![\w.])(\d+\.?\d*(e[-+]?\d+)?|\.\d+)", r"constant(\1)", text)
    variables = {name: minitorch.tensor(x, dtype=minitorch.float64, requires_grad=True) for name, x in numbers.items()}
    *before, last = text.split("\n")
    exec("\n".join(before), names | variables, scope := dict(variables))
    result = eval(last.partition("=")[2] or last, names | scope)
    result.backward()
    return result.item(), {name: v.grad.item() for name, v in variables.items() if v.grad is not None}


def expression(random: np.random.Generator, depth: int) -> str:
    """A random expression, also with signs before powers, and powers of powers."""
    kind = random.choice(["leaf", "sum", "product", "function", "sign", "power", "group"] if depth else ["leaf"])
    part = functools.partial(expression, random, max(depth - 1, 0))
    return {
        "leaf": lambda: str(random.choice(["a", "b", "c", "2", "0.5", "1e-1", ".25", "3."])),
        "sum": lambda: f"{part()} {random.choice(['+', '-'])} {part()}",
        "product": lambda: f"({part()}){random.choice(['*', '/'])}{part()}",
        "function": lambda: f"{random.choice(['exp', 'sin', 'cos', 'tanh', 'sigmoid', 'relu', 'abs'])}({part()})",
        "sign": lambda: f"{random.choice(['+', '-'])}({part()})",
        "power": lambda: f"-sigmoid({part()})**{random.choice(['2', '-1', '-a', 'b', '2**0.5'])}",
        "group": lambda: f"({part()})",
    }[kind]()


def test_the_page_computes_what_minitorch_computes():
    """Values and gradients of 300 random expressions, and of those with names that are used several times."""
    random = np.random.default_rng(0)
    questions = []
    while len(questions) < 300:
        text = f"{expression(random, 4)} + a"
        questions.append((text, {name: float(random.normal()) for name in "abc" if re.search(rf"\b{name}\b", text)}))
    numbers = {"w": 0.5, "x": 2.0, "b": -0.3}
    questions += [("tanh(w * x + b)", numbers), ("h = w * x\nk = h + h * b\nk * k - sqrt(x) / log(x)", numbers)]
    questions += [("a ** b", {"a": 0.0, "b": 2.0}), ("a ** 0", {"a": 0.0}), ("relu(a) + abs(a)", {"a": 0.0})]
    compared = 0
    for (text, given), answer in zip(questions, by_javascript(questions), strict=True):
        if len(text) > 500 or "slip" in answer:
            assert "too large" in answer["slip"] or "characters" in answer["slip"], (text, answer)
            continue
        with np.errstate(all="ignore"):
            value, grads = by_minitorch(text, given)
        if math.isfinite(value) and all(map(math.isfinite, grads.values())):
            got = {name: float(g) for name, g in answer["grads"].items()}
            assert float(answer["value"]) == pytest.approx(value, rel=1e-12, abs=1e-12), text
            assert got == pytest.approx(grads, rel=1e-9, abs=1e-9), text
            compared += 1
    assert compared > 250


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Write an expression"),
        ("  # nothing", "Write an expression"),
        ("w *", "missing before the end of the line"),
        ("(w + x", "“)” is missing before the end"),
        ("w x", "An operation is missing before “x”"),
        ("x ^ 2", "write ** instead"),
        ("x ! 2", "“!” means nothing here"),
        ("<img src=x onerror=alert(1)>", "“<” means nothing here"),
        ("sine(x)", "no function sine; there are exp"),
        ("tanh + 1", "write tanh(...)"),
        ("tanh = 1", "tanh is a function"),
        ("2 = x", "Left of = stands a name"),
        ("a = x\na = 2", "a has a number already"),
        ("a = a + 1", "a is used before it has a number"),
        ("x\n= 2", "missing before “=”"),
        ("(" * 300 + "x" + ")" * 299, "is missing before the end"),
        ("x" * 601, "has 601 characters"),
        ("+".join("x" * 200), "more than 120 numbers"),
    ],
)
def test_a_slip_in_an_expression_is_explained(text, told):
    assert told in by_javascript([(text, {"x": 1.0, "w": 1.0, "a": 1.0})])[0]["slip"]


def test_names_that_objects_have_are_names():
    """__proto__, constructor, toString: ordinary variables."""
    questions = [(f"{name} * 3", {name: 2.0}) for name in ("constructor", "toString", "größe", "x_1")]
    assert [answer["value"] for answer in by_javascript(questions)] == ["6"] * 4


# ------------------------------------------------------------------------------------------------------ the runtime


@pytest.fixture
def address(tmp_path, monkeypatch) -> Iterator[str]:
    """A small runtime of two packages behind an address; npm and PyPI have nothing."""
    home = tmp_path / "address"
    home.mkdir()
    contents = {name: name.encode() for name in (*runtime.CORE, "numpy.whl", "six.whl")}

    def sha(name: str) -> str:
        return hashlib.sha256(contents[name]).hexdigest()

    lock = {
        "numpy": {"name": "numpy", "file_name": "numpy.whl", "sha256": sha("numpy.whl"), "depends": ["six"]},
        "six": {"name": "six", "file_name": "six.whl", "sha256": sha("six.whl"), "depends": []},
    }
    contents[runtime.LOCK] = json.dumps({"packages": lock}).encode()
    monkeypatch.setattr(runtime, "CORE", {name: sha(name) for name in runtime.CORE})
    monkeypatch.setattr(runtime, "PACKAGES", ("numpy",))
    monkeypatch.setattr(runtime, "from_npm", lambda names: iter([("pyodide.js", b"not Pyodide's")]))
    monkeypatch.setattr(runtime, "from_pypi", lambda names: iter([("six.whl", contents["six.whl"])]))
    for name, content in contents.items():
        (home / name).write_bytes(content)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(home))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_runtime_is_verified_wherever_it_comes_from(address, tmp_path, capfd):
    """What has another sha256 is not used; the next source is asked; a damaged file is fetched again."""
    folder = tmp_path / "runtime"
    with pytest.raises(BadInput, match=r"pyodide.js, .* could not be fetched"):
        runtime.fetch(folder, [])
    assert not any(folder.iterdir())
    assert "pyodide.js: not Pyodide 0.27.7's (its sha256 differs), not used" in capfd.readouterr().err
    runtime.fetch(folder, [address])
    assert runtime.missing(folder) == {}
    (folder / "six.whl").write_bytes(b"damaged")
    assert list(runtime.missing(folder)) == ["six.whl"]
    runtime.fetch(folder, [])
    assert (folder / "six.whl").read_bytes() == b"six.whl"


def test_nothing_is_downloaded_unless_asked(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--runtime", str(tmp_path / "none")]) == 2
    assert "--download fetches it, 84 MB" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_an_address_is_one(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--runtime", str(tmp_path / "none"), "--download", "--address", "here"]) == 2
    assert "--address here: an address starts with https://" in capsys.readouterr().err


def test_a_folder_in_use_is_not_overwritten(address, tmp_path):
    runtime.fetch(tmp_path / "runtime", [address])
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path, tmp_path / "file"):
        with pytest.raises(BadInput, match="exists and is not overwritten"):
            building.build(output, tmp_path / "runtime")


# -------------------------------------------------------------------------------------------------------- the pages


def test_the_pages_hold_every_cell_and_every_link_leads_somewhere(tmp_path):
    jupytext = pytest.importorskip("jupytext")
    made = {name: content.decode() for name, content in building.pages(27).items()}
    for name in building.NAMES:
        codes = [cell.source for cell in jupytext.read(building.LESSONS / f"{name}.py").cells if cell.cell_type == "code"]
        fields = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", made[f"{name}.html"], flags=re.DOTALL)
        assert [html.unescape(field) for field in fields] == codes
    for name in (*made, *building.COPIED):
        (tmp_path / name).write_text(made[name] if name in made else (PAGE / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert checking.problems(tmp_path) == []
