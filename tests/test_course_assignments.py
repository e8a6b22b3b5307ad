"""What every assignment must keep: stubs fail with their own error, references and other right answers pass, mutants do not."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")

from models.course.assignments import BEGIN, END, ORDER, find, make_stub, reference, signatures, solved_tasks
from models.course.grader import grade_source
from models.course.mutants import Mutant, equivalents, fingerprint, first_failure, killer, mutants_of, survey
from models.course.subject import load
from models.course.supervisor import outcome
from models.course.testing import without_answers

ANSWERS = sorted((Path(__file__).parent / "course_answers").glob("*_*.py"))
ANSWERS = [path for path in ANSWERS if path.stem != "__init__"]
WRONG = Path(__file__).parent / "course_answers" / "wrong"
each = pytest.mark.parametrize("name", ORDER)


def outcomes(name, source, tests):
    """What each test brings back from a source, in this process."""
    assignment = find(name)
    module = load(source, str(assignment.folder / assignment.file))
    return {test.name: outcome(test.run, module) for test in tests}


@each
def test_the_reference_passes(name):
    assert first_failure(find(name), reference(find(name).source)) is None


@each
def test_the_stub_fails_every_test_and_only_with_its_own_error(name):
    assignment = find(name)
    for test, result in zip(assignment.tests, outcomes(name, assignment.stub, assignment.tests).values(), strict=True):
        assert result.get("error") == "NotImplementedError", (test.name, result)
        assert result["text"].startswith(f"Task {test.task}: "), (test.name, result["text"])


@each
def test_stub_and_reference_have_the_same_signatures(name):
    assignment = find(name)
    public = signatures(assignment.stub)
    assert public == signatures(reference(assignment.source)) == signatures(assignment.source)
    functions = {f for task in assignment.tasks for f in task.functions}
    assert functions <= set(public)


@each
def test_no_test_needs_a_later_task(name):
    """With the tasks up to one solved, and the later ones as handed out, the tests up to that one pass."""
    assignment = find(name)
    numbers = [task.number for task in assignment.tasks]
    for i, number in enumerate(numbers[:-1]):
        source = make_stub(assignment.source, keep=set(numbers[: i + 1]))
        tests = [t for t in assignment.tests if t.task == number]
        for test_name, result in outcomes(name, source, tests).items():
            assert "error" not in result, (test_name, result)


@each
def test_the_folder_is_complete(name):
    """Markers match, each task has visible and hidden tests and three hints, names differ, points count."""
    assignment = find(name)
    source = assignment.source
    assert source.count(BEGIN) == source.count(END) > 0
    assert "SOLUTION" not in assignment.stub
    assert "SOLUTION" not in reference(source)
    numbers = [task.number for task in assignment.tasks]
    assert solved_tasks(source) == set(numbers)
    assert {t.task for t in assignment.tests} == set(numbers)
    names = [t.name for t in assignment.tests]
    assert len(names) == len(set(names))
    for task in assignment.tasks:
        assert len(task.hints) == 3
        assert assignment.points(task.number, hidden=False) > 0
        assert task.number in assignment.handout
    assert all(t.points > 0 and t.expected is not None for t in assignment.tests)
    assert any(model in t.name for t in assignment.tests for model in ("bert", "gpt"))


@each
def test_the_learners_process_gets_no_answers(name):
    """Neither the functions that say what is expected, nor those that compute it."""
    for file in ("visible_tests.py", "hidden_tests.py"):
        text = without_answers(find(name)._read(file))
        assert "def true_" not in text
        assert "def _()" not in text


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_right_answers_written_differently_pass(path):
    assignment = find(path.stem.partition("_")[0])
    answer = path.read_text(encoding="utf-8")
    written = set(signatures(answer))
    assert {f for task in assignment.tasks for f in task.functions} <= written
    assert first_failure(assignment, assignment.stub + "\n\n" + answer) is None


def test_there_are_three_other_answers_to_each():
    names = [path.stem.partition("_")[0] for path in ANSWERS]
    assert all(names.count(name) >= 3 for name in ORDER)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each is tried in a process of its own")
@each
def test_wrong_answers_that_are_easily_overlooked_are_caught(name):
    """Each cell of wrong/NAME.py replaces something in the reference."""
    assignment = find(name)
    common, *cells = re.split(r"^# %% (.*)\n", (WRONG / f"{name}.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    _ = [t.answers for t in assignment.tests]
    assert len(cells) >= 20
    for title, cell in zip(cells[::2], cells[1::2], strict=True):
        source = f"{reference(assignment.source)}\n\n{common}\n{cell}"
        caught = killer(assignment, Mutant(title, title.split()[0], source))
        assert caught in {t.name for t in assignment.tests}, (title, caught)


# ------------------------------------------------------------------------------------------------------- mutants


@each
def test_the_kill_table_is_in_step(name):
    """Every mutant is in the committed table with the test that catches it, or listed as equivalent with a reason."""
    assignment = find(name)
    table = json.loads((assignment.folder.parent / "mutants.json").read_text(encoding="utf-8"))[name]
    assert table["fingerprint"] == fingerprint(assignment), "run python -m models.course.mutants and commit the table"
    made = {m.name for m in mutants_of(assignment)}
    assert made == set(table["killed"]) | set(table["equivalent"])
    assert [mutant for mutant, by in table["killed"].items() if not by] == []
    assert table["equivalent"] == equivalents(assignment)
    assert all(reason for reason in table["equivalent"].values())
    assert len(table["equivalent"]) < len(made) / 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are tried in forked processes")
@each
def test_a_few_mutants_are_caught(name):
    assignment = find(name)
    mutants = [m for m in mutants_of(assignment) if m.name not in equivalents(assignment)]
    _ = [t.answers for t in assignment.tests]
    kinds = ("flipped sign", "dropped", "in place", "missing sum", "wrong constant")
    chosen = [next((m for m in mutants if m.name.split(" ", 1)[1].startswith(kind)), None) for kind in kinds]
    assert [m.name for m in chosen if m is not None and killer(assignment, m) is None] == []


@pytest.mark.slow
@each
def test_every_mutant_is_caught(name):
    assert [mutant for mutant, by in survey(find(name)).items() if by is None] == []


@pytest.mark.slow
@each
def test_the_grader_itself_gives_full_points_and_none(name):
    """Reference and stub through the separate processes."""
    assignment = find(name)
    path = str(assignment.folder / assignment.file)
    full = grade_source(assignment, reference(assignment.source), path, assignment.tests)
    assert full.points == full.possible, [v.problems for v in full.verdicts if not v.passed]
    assert grade_source(assignment, assignment.stub, path, assignment.tests).points == 0
