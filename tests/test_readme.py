"""README.md, CONTRIBUTING.md and docs/ keep their word: code runs, commands parse, files, names and links are there."""

import argparse
import functools
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import minitorch
from models import cli

from . import finetune_cases, gpt_cases

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("CONTRIBUTING.md")), *sorted((ROOT / "docs").glob("*.md"))]
BESIDE = [*PAGES, ROOT / "lessons/README.md", ROOT / "benchmarks/README.md"]
DRAWN = {"docs/rooms.svg"}  # a script draws it

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in fences(page) if name == language]


def fences(page: Path) -> list[tuple[str, str]]:
    """(language, text) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_readme_has_exactly_two_shell_blocks_each_with_its_own_set_up():
    shell = blocks(ROOT / "README.md", "bash")
    assert len(shell) == 2
    assert all("pip install -e" in block for block in shell)
    assert "minitorch pretrain" in shell[0]
    assert "pytest" in shell[1]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


@each_page
def test_the_python_blocks_run_in_order(page, tmp_path, monkeypatch):
    """In a folder with pretrained models and two labelled files."""
    if not blocks(page, "python"):
        return
    monkeypatch.chdir(tmp_path)
    finetune_cases.checkpoint(tmp_path / "runs/pretrain")
    gpt_cases.checkpoint(tmp_path / "runs/gpt")
    for name, count in (("train.tsv", 40), ("dev.tsv", 20)):
        finetune_cases.write_classify(tmp_path / name, count)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)
    if page.name == "README.md":
        assert np.isfinite(float(names["loss"]))  # type: ignore[arg-type]


def test_the_readme_shows_tanh_as_it_is():
    (shown,) = [block for block in blocks(ROOT / "README.md", "") if "def tanh" in block]
    body = shown.partition(":\n")[2]
    assert body
    assert body in (ROOT / "minitorch/ops/elementwise.py").read_text(encoding="utf-8")


def test_the_operation_of_contributing_is_right():
    """softsign, as the page writes it down, among the names of a file of ops."""
    (shown,) = [block for block in blocks(ROOT / "CONTRIBUTING.md", "") if "def softsign" in block]
    names = dict(vars(minitorch.ops.elementwise))
    exec(compile(shown, "CONTRIBUTING.md", "exec"), names)
    x = minitorch.tensor([-2.0, -0.5, 0.25, 3.0], dtype=minitorch.float64, requires_grad=True)
    np.testing.assert_allclose(names["softsign"](x).tolist(), [-2 / 3, -1 / 3, 0.2, 0.75])
    assert minitorch.autograd.gradcheck(names["softsign"], (x,))
    assert minitorch.autograd.gradgradcheck(names["softsign"], (x,))


@functools.cache
def options(job: str) -> set[str]:
    """What a command knows, or a module that is run with python -m."""
    parser = argparse.ArgumentParser(add_help=False)
    module = importlib.import_module(cli.JOBS[job][0] if job in cli.JOBS else f"{job}.__main__")
    if not hasattr(module, "add_arguments"):  # doctor, which reads its own
        return {"--json", "--help"}
    module.add_arguments(parser)
    return {option for action in walk(parser) for option in action.option_strings} | {"--help"}


def walk(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Its actions, and those of its subcommands."""
    below = [p for a in parser._actions if isinstance(a, argparse._SubParsersAction) for p in a.choices.values()]
    return [*parser._actions, *(action for p in below for action in walk(p))]


@each_page
def test_every_command_and_option_is_there(page):
    text = page.read_text(encoding="utf-8")
    fenced = "".join(block for _, block in fences(page))
    for line in re.findall(r"^minitorch ([a-z].*)", fenced, re.MULTILINE) + re.findall(r"`minitorch ([a-z][^`\n]*)`", text):
        job, *rest = line.partition("#")[0].split()
        assert job in cli.JOBS, line
        assert {word for word in rest if word.startswith("--")} <= options(job), line
    assert set(re.findall(r"`(--[\w-]+)", text)) <= set().union(*map(options, [*cli.JOBS, "lessons.browser", "docs.website"]))


@each_page
def test_every_file_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:minitorch|models|tests|benchmarks|lessons|docs)/[\w./]*)`", text))
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert named or page.name != "README.md"


@each_page
def test_every_name_of_the_engine_is_there(page):
    for name in set(re.findall(r"`minitorch\.([\w.]+)", page.read_text(encoding="utf-8"))):
        found = minitorch
        for part in name.split("."):
            assert hasattr(found, part), f"minitorch.{name}"
            found = getattr(found, part)


@pytest.mark.parametrize("page", BESIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() or link in DRAWN, link
        assert not place or place in places(target), link


def places(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
