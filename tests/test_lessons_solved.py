"""Lessons 19 to 22 with right answers in their exercises: the cells below use the reader's functions, and reach the end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .lesson_answers import ANSWERS
from .test_lessons import LESSONS, environment, exercises

SHORTCUT = r"anna -> bert: p\(praise\) changes by -0\.[5-9].*(100|[89]\d)% of the answers flip"  # what lesson 21 must find
SOLVED = ["19_forgetting", "20_small", "21_explained", "22_many"]


def solved(source: Path, which: int) -> str:
    """The lesson's text with right answers in place of the exercises."""
    lines = source.read_text(encoding="utf-8").split("\n")
    for name, node in sorted(exercises(source).items(), key=lambda item: -item[1].lineno):
        right = ANSWERS[source.stem][name][0]
        lines[node.lineno - 1 : node.end_lineno] = right[which % len(right)].strip("\n").split("\n")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVED)
def test_a_solved_lesson_runs_on_the_readers_functions(name: str, tmp_path: Path) -> None:
    """All checks pass, and the lesson says whose functions it uses."""
    source = LESSONS / f"{name}.py"
    (tmp_path / source.name).write_text(solved(source, 1), encoding="utf-8")
    where = {**environment(), "PYTHONPATH": f"{LESSONS}:{environment()['PYTHONPATH']}"}
    command = [sys.executable, source.name]
    done = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True, timeout=280, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    names = list(ANSWERS[name])
    assert [line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("✓")] == names, done.stdout
    assert sorted(line.split()[1] for line in done.stdout.splitlines() if line.startswith("yours:")) == sorted(names)
    assert name != "21_explained" or re.search(SHORTCUT, done.stdout), done.stdout
