"""Lessons in which later cells use the reader's own functions: with right answers written into them, they run through, too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .lesson_answers import ANSWERS
from .test_lessons import LESSONS, environment, exercises

SAYS = {  # what only a solved lesson prints, as regular expressions
    "13_sequences": [r"100% right \(your step\)"],
    "14_pieces": ["200 of 200 joins are the library's", "150 of 150 new pieces are the library's", "by score: "],
    "15_evaluation": ["have an exact one", "A against B: p = 0.031"],
    "16_adapting": ["customer 1 with your forward pass: 9", r"your merged weight and the checkpoint's differ by at most 0e\+00"],
    "17_prompts": [r"(9\d\.\d|100\.0)% with your calibration"],
    "18_generation": ["with your filters: ", "your cache writes the same tokens as the library"],
    "19_forgetting": [],
    "20_small": [],
    "21_explained": [r"anna -> bert: p\(praise\) changes by -0\.[5-9].*(100|[89]\d)% of the answers flip"],
    "22_many": ["largest difference from one process: [0-9.]+e-0[6-9]"],
}
UNTIL = {  # what comes after it uses no answer, or only again, and takes long
    "15_evaluation": "# ## Every rung",
    "18_generation": "# What is it worth?",
}
NAMES = {"19_forgetting", "20_small", "21_explained", "22_many"}  # they say whose functions they use


def solved(source: Path) -> str:
    """The lesson with the first right answer in place of each exercise."""
    text = source.read_text(encoding="utf-8")
    lines = text[: text.find(UNTIL[source.stem]) if source.stem in UNTIL else None].splitlines()
    for name, node in sorted(exercises(source).items(), key=lambda item: -item[1].lineno):
        lines[node.lineno - 1 : node.end_lineno] = ANSWERS[source.stem][name][0][0].strip("\n").splitlines()
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("lesson", sorted(SAYS))
def test_a_solved_lesson_uses_the_answers(lesson: str, tmp_path: Path) -> None:
    """All checks are passed, and what is built on them does what it should."""
    source = LESSONS / f"{lesson}.py"
    (tmp_path / source.name).write_text(solved(source), encoding="utf-8")
    run = f"import runpy, sys; sys.path.insert(0, {str(LESSONS)!r}); runpy.run_path({source.name!r}, run_name='__main__')"
    command = [sys.executable, "-c", run]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.count("✓ ") == len(exercises(source)), done.stdout
    for line in SAYS[lesson]:
        assert re.search(line, done.stdout), done.stdout
    if lesson in NAMES:
        yours = " ".join(line for line in done.stdout.splitlines() if line.startswith("yours:"))
        assert all(name in yours for name in ANSWERS[lesson]), done.stdout
