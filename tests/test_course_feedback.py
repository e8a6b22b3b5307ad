"""Feedback that fits the failure: slips are named, dtypes are looked at per function, hints stay out of sight."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")

from minitorch.ops.activations import gelu_tanh
from models import cli
from models.course import reports
from models.course.assignments import all_assignments, find, reference, regions
from models.course.grader import grade_source
from models.course.handing_out import handed_out
from models.course.subject import load
from models.course.testing import GIVES, SHARED, close, complaint, others, race, twice
from models.course.tiny_bert import DtypeError, training_with_attention


def module(name, extra=""):
    return load(f"{reference(find(name).source)}\n\n{extra}", f"{name}.py")


# ------------------------------------------------------------------------------------------- slips


@pytest.mark.parametrize(
    ("got", "slip"),
    [
        (np.array([2.0, 4.0]), "twice as much"),
        (np.array([2.0, 4.0], np.float32), "twice as much"),
        (np.array([3.0]), "a sum over all"),
        (None, "forgetting to return"),
        ("no error", "no check"),
        (np.array([1.0, 2.0]), ""),
        (np.array([1.0, 2.5]), ""),
    ],
)
def test_the_slip_that_fits_is_named(got, slip):
    slips = {"twice as much": [2.0, 4.0], "a sum over all": [3.0], "forgetting to return": None, "no check": "no error"}
    text = complaint(got, close([1.0, 2.0], slips=slips)) or ""
    assert text.endswith(f"{slip}{GIVES}") if slip else GIVES not in text


def test_a_slip_takes_the_place_of_other_remarks():
    right = close([1.0, 2.0], because="g belongs to others", slips={"the wrong sign": [-1.0, -2.0]})
    text = complaint(np.array([-1.0, -2.0]), right)
    assert text == f"off by 4 at [1]: yours -2, should be 2 (2 of 2 elements); the wrong sign{GIVES}"
    assert complaint(np.array([1.0, 3.0]), right).endswith("; g belongs to others")


def test_no_slip_gives_the_right_value():
    """Else a right answer would be all that its name describes."""
    for a in all_assignments():
        for test in a.tests:
            for label, right in test.answers.items():
                for name, value in getattr(right, "slips", {}).items():
                    strict = close(right.value, right.rtol, right.atol)
                    assert complaint(value, strict), (a.name, test.name, label, name)
                    assert "; " not in name


def test_check_shows_the_slip_before_the_hints(tmp_path, capsys):
    source = reference(find("attention").source)
    (tmp_path / "attention.py").write_text(
        source.replace("mean(axis=-1, keepdims=True) + eps)", "mean(axis=-1, keepdims=True)) + eps")
    )
    assert cli.main(["course", "check", str(tmp_path), "--task", "4.2"]) == 1
    out = capsys.readouterr().out
    assert "your values look like this slip: eps outside of the root" in out
    assert "hint 1" not in out
    assert f"for a hint: minitorch course check {tmp_path} --hints 1" in out
    assert cli.main(["course", "check", str(tmp_path), "--task", "4.2", "--hints", "1"]) == 1
    assert "hint 1" in capsys.readouterr().out


def test_state_of_the_module_is_found_and_named():
    state = """
def tanh(x):
    global _y
    _y = math.tanh(x)
    return _y, lambda g: g * (1 - _y * _y)
"""
    source = reference(find("scalar").source) + state
    tests = [t for t in find("scalar").tests if t.task == "1.2"]
    grade = grade_source(find("scalar"), source, "/nowhere/scalar.py", tests)
    assert {v.test.name for v in grade.verdicts if not v.passed} == {"the_rule_of_tanh", "rules_at_other_places"}
    assert reports.known_slips(grade.verdicts) == [SHARED]


def test_twice_calls_with_other_numbers_of_the_same_kind():
    calls = []
    x, index, mask = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([0, 2, 1]), np.array([0.0, -np.inf])
    twice(lambda *arguments, **options: calls.append((arguments, options)), x, index, mask, 2.0, 3, None, True, axis=0)
    (first, options), (second, same) = calls
    assert all(a is b for a, b in zip(first, (x, index, mask, 2.0, 3, None, True), strict=True))
    assert options == same == {"axis": 0}
    np.testing.assert_array_equal(second[0], np.float32([[6.0, 4.5], [3.0, 1.5]]), strict=True)
    np.testing.assert_array_equal(second[1], [1, 2, 0])
    np.testing.assert_array_equal(second[2], [-np.inf, 0.0])
    assert second[3:] == (3.0, 3, None, True)
    assert others(np.array(4.0)) == [6.0]


# ---------------------------------------------------------------------------------- dtypes, speed, errors


@pytest.mark.parametrize(
    ("line", "wrong", "says"),
    [
        ("scale = float(1 / np.sqrt(q.shape[-1]))", "scale = 1 / np.sqrt(q.shape[-1])", "attention returns float64"),
        ("return unit * weight + bias, pullback", "return (unit * weight + bias).astype(float), pullback", "layer_norm returns"),
        ("return dx, (g * unit)", "return dx.astype(np.float16), (g * unit)", "the pullback of layer_norm returns float16"),
    ],
)
def test_a_dtype_that_slips_out_is_named_with_its_function(line, wrong, says):
    source = find("attention").source
    assert line in source
    with pytest.raises(DtypeError, match=f"{says}.*where all that comes in is float32"):
        training_with_attention(load(source.replace(line, wrong), "attention.py"))


def test_a_slow_kernel_is_told_how_slow_it_is_after_two_rounds():
    calls = []

    def slow(x):
        calls.append(x.size)
        for _ in range(100):  # so slow that a first call, which costs more, does not hide it
            y, slope = gelu_tanh.__wrapped__(x)
        return y, slope

    ratio, wrong = race(SimpleNamespace(), slow, gelu_tanh, 1 << 21)
    assert ratio < 0.5
    assert wrong < 1e-5
    assert calls == [1 << 16] * 2


def test_common_errors_have_a_remark():
    source = reference(find("scalar").source) + "\n\ndef tanh(x):\n    y = math.tanh(x)\n"
    tests = [t for t in find("scalar").tests if t.name == "the_rule_of_tanh"]
    problem = grade_source(find("scalar"), source, "/nowhere/scalar.py", tests).verdicts[0].problems[0]
    assert problem.endswith("; is a return missing?")


# ------------------------------------------------------------------------------------- hints out of sight


@pytest.mark.parametrize("assignment", all_assignments(), ids=lambda a: a.name)
def test_the_learners_folder_holds_no_hints(assignment):
    text = "\n".join(handed_out(assignment).values())
    assert [hint for task in assignment.tasks for hint in task.hints if hint in text] == []
    assert set(handed_out(assignment)) == {"README.md", assignment.file, "visible_tests.py", "assignment.toml"}


@pytest.mark.parametrize("assignment", all_assignments(), ids=lambda a: a.name)
def test_no_hint_is_the_solution(assignment):
    """No line of the solution stands in a hint, whatever the spaces."""
    lines = {re.sub(r"\s", "", line) for *_, body in regions(assignment.source) for line in body.splitlines()}
    hints = re.sub(r"\s", "", " ".join(hint for task in assignment.tasks for hint in task.hints))
    assert [line for line in lines if len(line) > 15 and line in hints] == []


def test_hidden_points_are_named_where_points_are(capsys):
    assert cli.main(["course", "list"]) == 0
    out = capsys.readouterr().out
    assert "slopes by measurement: central_difference, 2 points (1 more in hidden tests)" in out
    assert "strides: row_major_strides, offset, 1 point (2 more in hidden tests)" in out


@pytest.mark.parametrize("name", ["scalar", "mlm"])
def test_the_last_line_fits_the_assignment(name, tmp_path, capsys):
    (tmp_path / f"{name}.py").write_text(reference(find(name).source))
    assert cli.main(["course", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"Think of {find(name).think_of}.\n")
    assert ("empty arrays" in out) is False


# -------------------------------------------------------------------------------------------- references


def test_references_do_more_than_tests_ask():
    """1e25 in float32, parameters in Fortran's order, an object nested in itself."""
    engine, kernel = module("engine"), module("kernel")
    huge = [np.float32([3e25]), np.float32([[-4e25]])]
    assert engine.clip_gradients(huge, 1.0) == pytest.approx(5e25)
    np.testing.assert_allclose(np.concatenate([g.reshape(-1) for g in huge]), [0.6, -0.8], rtol=1e-6)
    block = engine.no_grad()
    with block:
        with block:
            assert not engine.mode.recording
        assert not engine.mode.recording
    assert engine.mode.recording
    rng = np.random.default_rng(0)
    flat = [rng.random((3, 4)) for _ in range(4)]
    fortran = [np.asfortranarray(x) for x in flat]
    for arrays in (flat, fortran):
        kernel.fast_adam(*arrays, 3, 0.1, 0.9, 0.99, 1e-8)
    for a, b in zip(flat, fortran, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_array_that_is_added_to_in_place_is_found_in_berts_training():
    """In the grader's processes, too: there the learner's function has a copy that is tied to the array."""
    aliasing = """
def accumulate(pending, node, g):
    if node in pending:
        pending[node] += g
    else:
        pending[node] = g
"""
    engine = find("engine")
    bert = next(t for t in engine.tests if "bert" in t.name)
    verdict = grade_source(engine, reference(engine.source) + aliasing, "/nowhere/engine.py", [bert]).verdicts[0]
    assert verdict.problems[0].startswith("BorrowedError: accumulate changes an array in place that others hold")
