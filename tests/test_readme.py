"""README.md keeps its word: two shell blocks, and Python blocks that run."""

import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_exactly_two_shell_blocks_each_with_its_own_set_up():
    assert len(blocks("bash")) == 2
    assert all("pip install -e" in block for block in blocks("bash"))
    assert "pytest" in blocks("bash")[1]


def test_the_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert np.isfinite(float(names["loss"]))  # type: ignore[arg-type]


def test_every_file_that_the_reading_map_names_is_there():
    root = Path(__file__).parents[1]
    named = re.findall(r"`((?:minitorch|models|tests|benchmarks)/[\w./]*)`", README)
    assert named
    assert [name for name in named if not (root / name).exists()] == []
