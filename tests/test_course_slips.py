"""Wrong answers as learners write them: hidden tests catch all, visible ones most, and known slips are named.

Each cell of course_answers/slips/NAME.py (of the later assignments: wrong/NAME.py) replaces something in the reference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")
if not hasattr(os, "fork"):
    pytest.skip("each is tried in a process of its own", allow_module_level=True)

from models.course.assignments import find, reference
from models.course.mutants import Mutant, killer

ANSWERS = Path(__file__).parent / "course_answers"
NAMES = ("scalar", "tensors", "engine", "attention", "mlm", "kernel", "adapt", "parallel")


def cells(name):
    """(title, task, source) of each wrong answer."""
    path = next(p for folder in ("slips", "wrong") if (p := ANSWERS / folder / f"{name}.py").exists())
    common, *parts = re.split(r"^# %% (.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for title, cell in zip(parts[::2], parts[1::2], strict=True):
        yield title, title.split()[0], f"{reference(find(name).source)}\n\n{common}\n{cell}"


def unseen(name, tests, every=1):
    """The wrong answers (one of ``every``) that pass these tests."""
    tests, tried = list(tests), list(cells(name))[::every]
    _ = [t.answers for t in tests]
    return [title for title, task, source in tried if killer(find(name), Mutant(title, task, source), tests) is None]


@pytest.mark.parametrize("name", NAMES)
def test_hidden_tests_catch_a_few_of_each_kind(name):
    assert unseen(name, (t for t in find(name).tests if t.hidden), every=5) == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_hidden_tests_catch_all(name):
    assert len(list(cells(name))) >= 35
    assert unseen(name, (t for t in find(name).tests if t.hidden)) == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_visible_tests_catch_most(name):
    """Without the training of BERT, which sees some of the others."""
    missed = unseen(name, (t for t in find(name).tests if not t.hidden and "bert" not in t.name))
    assert len(missed) <= len(list(cells(name))) / 5, missed


@pytest.mark.slow
def test_berts_training_sees_most_wrong_attentions():
    """Masks of the wrong sign, no scale, y (1 - y) g: what AdamW and small weights used to hide."""
    missed = unseen("attention", (t for t in find("attention").tests if "bert" in t.name))
    assert not [title for title in missed if title.startswith(("4.3", "4.4"))]
    assert len(missed) <= 10, missed
