"""The site of the documentation: what the checker of links finds, how docstrings are read, and the whole site."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minitorch
from docs.website import checking, staging
from docs.website.__main__ import main

ROOT = Path(__file__).parents[1]


def test_dead_links_and_files_from_elsewhere_are_found(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="place">a</h1><a href="sub/b.html#there">good</a><a href="#place">good</a><a href="https://example.org">out</a>'
        '<a href="sub/b.html#gone">bad</a><a href="c.html">bad</a><script src="https://example.org/x.js"></script>'
        '<img src="d.png">'
    )
    (tmp_path / "sub" / "b.html").write_text('<p id="there"><a href="../a.html">good</a> <a href="/etc">bad</a>')
    assert checking.problems(tmp_path) == [
        "a.html loads https://example.org/x.js, which needs a network",
        "a.html: sub/b.html#gone: no such place in it",
        "a.html: c.html: no such file",
        "a.html: d.png: no such file",
        "sub/b.html: /etc: leads out of the site",
    ]


def test_docstrings_are_text():
    from docs.website.conf import paragraphs

    assert paragraphs(["y = |x| * ``**kwargs``_", ""]) == [r"y = \|x\| \* ``**kwargs``\_", ""]
    assert paragraphs(["Example:", "", "    x = 1", "", "weight: (out, in)", "    bias: (out)"]) == [
        "Example:", "", "::", "", "        x = 1", "", "| weight: (out, in)", "|     bias: (out)", "",
    ]  # fmt: skip


def test_every_public_name_is_described_once():
    pages = staging.api()
    assert ".. autofunction:: minitorch.tanh" in pages["minitorch"]
    assert ".. autoclass:: minitorch.nn.Linear" in pages["minitorch.nn"]
    assert "`no_grad`" in pages["minitorch.autograd"]
    described = {thing for name in staging.ENGINE for thing, _ in staging.members(sys.modules[name])}
    assert {name for name in vars(minitorch) if name in ("tanh", "Tensor", "tensor", "no_grad", "manual_seed")} <= described
    assert {"AdamW", "LayerNorm", "cross_entropy", "DataLoader"} <= described


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--run", "99"], "there is no lesson '99'; give all, none"),
        (["--run", ""], "there is no lesson ''"),
        ([], "is not overwritten"),
    ],
)
def test_slips_are_explained(tmp_path, capsys, options, told):
    (tmp_path / "mine").write_text("mine")
    assert main([str(tmp_path), *options]) == 2
    assert told in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_whole_site(tmp_path):
    """Builds with the first lesson's outputs, without a warning and without a dead link."""
    for package in ("sphinx", "myst_nb", "furo"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no {package}: pip install -e '.[site]'")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "docs.website", str(site), "--run", "1"]
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=here)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    first = (site / "lessons" / "01_slopes.html").read_text(encoding="utf-8")
    assert "h = 1e-17   slope = 0.0000000000" in first
    assert "data:image/png" in first or "_images" in first
    assert "tanh x, whose derivative is 1 - tanh² x." in (site / "api" / "minitorch.html").read_text(encoding="utf-8")
    assert "dead link" not in done.stderr
