"""The lessons: each runs from top to bottom, its notebook is in step, and its checks tell right answers from wrong ones."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitorch

from .lesson_answers import ANSWERS

ROOT = Path(__file__).parents[1]
LESSONS = ROOT / "lessons"
SOURCES = sorted(LESSONS.glob("[0-9][0-9]_*.py"))
LONGEST_CELL = 25
QUICK = {"01_slopes", "09_bert", "12_gpu"}
SLOW = {  # they train for up to a minute
    "09_bert",
    "10_finetuning",
    "13_sequences",
    "15_evaluation",
    "16_adapting",
    "17_prompts",
    "18_generation",
    "19_forgetting",
    "21_explained",
    "22_many",
}

sys.path.insert(0, str(LESSONS))
import build  # noqa: E402

each_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
each_run = pytest.mark.parametrize(
    "source", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in SLOW else []) for p in SOURCES]
)


def cells(source: Path) -> list[tuple[str, str]]:
    """(kind, text) of every cell of a percent file."""
    found = []
    for block in re.split(r"^# %%", source.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        found.append(("markdown" if "[markdown]" in head else "code", body.strip("\n")))
    return found


def exercises(source: Path) -> dict[str, ast.FunctionDef]:
    """The functions that a lesson passes to ``check``."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    asked = [
        node.args[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check" and isinstance(node.args[0], ast.Name)
    ]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name: functions[name] for name in asked}


@functools.cache
def environment() -> dict[str, str]:
    """Pictures into files, one BLAS thread (several lessons run side by side), this tree's packages."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **threads, "MPLBACKEND": "Agg", "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}


# -------------------------------------------------------------------------------------------------- running them


@each_run
def test_runs_as_a_script_and_its_checks_judge_rightly(source: Path, tmp_path: Path) -> None:
    """Unsolved it runs through; right answers pass; wrong ones fail, with the reason."""
    answers = ANSWERS[source.stem]
    asked = {name: [*right, *(text for text, _ in wrong)] for name, (right, wrong) in answers.items()}
    (tmp_path / "answers.json").write_text(json.dumps(asked), encoding="utf-8")
    command = [sys.executable, str(ROOT / "tests" / "run_lesson.py"), str(source), "answers.json", "result.json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert list((tmp_path / "runs" / "lessons").glob("*.png")), "no picture"
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert set(result) == set(answers) == set(exercises(source))
    for name, (right, wrong) in answers.items():
        (unsolved, says), *verdicts = result[name]
        assert unsolved is None, f"{name}: without an answer the check says {says}"
        assert "not done yet" in says
        for verdict, says in verdicts[: len(right)]:
            assert verdict is True, says
        for (verdict, says), (text, expected) in zip(verdicts[len(right) :], wrong, strict=True):
            assert verdict is False, f"{name}: a wrong answer passed:\n{text}"
            assert expected in says, f"{name}: expected {expected!r} in:\n{says}\nfor\n{text}"


@pytest.mark.slow
@each_lesson
def test_runs_as_a_notebook(source: Path, tmp_path: Path) -> None:
    """Through nbclient, from the lessons' folder, as a reader would."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    old = dict(os.environ)
    os.environ.update({k: v for k, v in environment().items() if k != "MPLBACKEND"})
    try:
        book = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        nbclient.NotebookClient(book, timeout=None, resources={"metadata": {"path": str(LESSONS)}}).execute()
    finally:
        os.environ.clear()
        os.environ.update(old)
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), "no picture"


# ------------------------------------------------------------------------------------------------------- their form


@each_lesson
def test_the_notebook_is_in_step(source: Path) -> None:
    """Built again it is the same, byte for byte: python lessons/build.py"""
    pytest.importorskip("jupytext")
    target = source.with_suffix(".ipynb")
    assert target.exists(), "run python lessons/build.py"
    assert target.read_bytes().decode() == build.notebook(source) == build.notebook(source), "run python lessons/build.py"


@each_lesson
def test_the_notebook_holds_no_outputs(source: Path) -> None:
    """And its cell ids are numbers, not chance."""
    book = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))
    for i, cell in enumerate(book["cells"]):
        assert cell["id"] == f"cell-{i:03d}"
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@each_lesson
def test_cells_are_short(source: Path) -> None:
    """One idea a cell: code of at most 25 lines, blank ones and tables of cases aside."""
    for kind, text in cells(source):
        lines = [line for line in text.splitlines() if line.strip()]
        limit = LONGEST_CELL + (10 if "check(" in text else 0)
        assert kind == "markdown" or len(lines) <= limit, f"{len(lines)} lines: {lines[0]}"


@each_lesson
def test_no_exercise_holds_its_answer(source: Path) -> None:
    """A docstring and NotImplementedError, in a cell of its own; nor does the lesson hold it elsewhere."""
    found = exercises(source)
    assert 2 <= len(found) <= 5
    text = source.read_text(encoding="utf-8")
    for name, node in found.items():
        first, second = node.body
        assert isinstance(first, ast.Expr)
        assert isinstance(first.value, ast.Constant)
        assert ast.unparse(second) == "raise NotImplementedError", name
        cell = next(body for kind, body in cells(source) if kind == "code" and f"def {name}(" in body)
        assert [n.name for n in ast.parse(cell).body] == [name], f"{name} is not alone in its cell"
        for right in ANSWERS[source.stem][name][0]:
            body = " ".join(ast.unparse(statement) for statement in ast.parse(right).body[0].body)  # type: ignore[attr-defined]
            assert len(body) < 40 or body not in " ".join(text.split()), f"the answer of {name} stands in the lesson"


@each_lesson
def test_each_exercise_has_hints_in_steps(source: Path) -> None:
    """Two hints at least, out of the lesson's sight, and none of them is an answer's body."""
    import exercises as lib

    for name in exercises(source):
        hints = lib.hints()[name]
        assert len(hints) >= 2
        assert not any(hint in source.read_text(encoding="utf-8") for hint in hints)
        for right in ANSWERS[source.stem][name][0]:
            body = ast.parse(right).body[0].body  # type: ignore[attr-defined]
            assert len(body) > 1 or len(ast.unparse(body)) < 25 or ast.unparse(body) not in " ".join(hints)


def test_hints_belong_to_one_exercise_each() -> None:
    """A file for all lessons finds them by the exercise's name alone."""
    import exercises as lib

    names = [name for source in SOURCES for name in exercises(source)]
    assert len(set(names)) == len(names), "two exercises have one name"
    assert set(lib.hints()) == set(names)


@each_lesson
def test_a_notebook_hides_the_expected_results(source: Path) -> None:
    """Its cells with checks are folded."""
    book = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))
    folded = ["".join(cell["source"]) for cell in book["cells"] if cell["metadata"] == {"jupyter": {"source_hidden": True}}]
    for name in exercises(source):
        assert sum(bool(re.search(rf"\bcheck\(\s*{name},", text)) for text in folded) == 1, name


@each_lesson
def test_what_a_lesson_names_exists(source: Path) -> None:
    """Files, and the functions said to be in them; the next lesson."""
    text = " ".join(body for kind, body in cells(source) if kind == "markdown")
    named = re.findall(r"`((?:minitorch|models|tests|benchmarks|lessons)/[\w./]+)`", text)
    assert named, "it does not say what to read next"
    assert "## Read next" in text
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [name for name in re.findall(r"`(\d\d_\w+\.py)`", text) if not (LESSONS / name).exists()]
    assert not missing
    for file, symbols in re.findall(r"`((?:minitorch|models)/[\w/]+\.py)`[,:]((?: (?:and )?`\w+`,?)+)", text):
        defined = (ROOT / file).read_text(encoding="utf-8")
        for symbol in re.findall(r"`(\w+)`", symbols):
            assert re.search(rf"(def|class) {symbol}\b|^{symbol} =", defined, re.MULTILINE), f"{file} has no {symbol}"


def test_the_index_names_every_lesson() -> None:
    """lessons/README.md, in order."""
    text = (LESSONS / "README.md").read_text(encoding="utf-8")
    places = [text.find(source.stem) for source in SOURCES]
    assert -1 not in places
    assert places == sorted(places)


# ------------------------------------------------------------------------------------------------------- the checks


def test_hints_come_one_by_one(capsys: Any, monkeypatch: Any) -> None:
    """And do not run out with an error."""
    import exercises as lib

    def twice(x: float) -> float:
        raise NotImplementedError

    lib.hint(twice)
    monkeypatch.setattr(lib, "hints", lambda: {"twice": ["one", "two"]})
    assert lib.check(twice, lib.case("two", 2.0, 4.0)) is None
    for number in (None, None, None, 1, 7):
        lib.hint(twice, number)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "twice has no hints."
    assert said[2] == "  hint(twice) shows a hint (2 left)."
    assert [line[5:] for line in said[3:]] == ["1 of 2: one", "2 of 2: two", "2 of 2: two", "1 of 2: one", "2 of 2: two"]
    del lib.EXERCISES["twice"], lib.SHOWN["twice"]


def test_a_known_slip_is_named(capsys: Any) -> None:
    """Only if it is that one."""
    import exercises as lib

    two = lib.case("two", (), (4.0, 1.0), parts=("a", "b"), slips={"with half of it": (2.0, 1.0), "without it": (0.0, 1.0)})
    assert "This is what you get with half of it." in verdict(capsys, lambda: (2.0, 1.0), two)
    assert "This is what" not in verdict(capsys, lambda: (2.0, 2.0), two)
    assert "This is what" not in verdict(capsys, lambda: (4.0, 1.0), two)


@pytest.mark.parametrize(
    "source", [pytest.param(p, id=p.stem, marks=[] if p.stem in QUICK else [pytest.mark.slow]) for p in SOURCES]
)
def test_exercises_can_be_checked_alone(source: Path, tmp_path: Path) -> None:
    """python lessons/check.py NUMBER: right answers pass, though nothing was trained; unsolved ones say so."""
    shutil.copytree(LESSONS, tmp_path / "lessons", ignore=shutil.ignore_patterns("assignments", "runs", "*.ipynb"))
    lines = source.read_text(encoding="utf-8").splitlines()
    for name, node in reversed(exercises(source).items()):
        lines[node.lineno - 1 : node.end_lineno] = [ANSWERS[source.stem][name][0][0]]
    cases = [("\n".join(lines) + "\n", 0, "✓"), (source.read_text(encoding="utf-8"), 1, "·")]
    for text, status, mark in cases if source.stem in QUICK else cases[:1]:
        (tmp_path / "lessons" / source.name).write_text(text, encoding="utf-8")
        command = [sys.executable, "lessons/check.py", source.stem[:2]]
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == status, done.stdout + done.stderr
        assert sum(line.startswith(mark) for line in done.stdout.splitlines()) == len(exercises(source)), done.stdout


def test_a_misspelt_exercise_is_guessed() -> None:
    """In one line."""
    command = [sys.executable, str(LESSONS / "check.py"), "mask_piece"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 2
    assert "did you mean mask_pieces?" in done.stderr


def verdict(capsys: Any, function: Any, *cases: Any) -> str:
    """What the check says."""
    import exercises as lib

    lib.check(function, *cases)
    del lib.EXERCISES[function.__name__]
    return str(capsys.readouterr().out)


def test_a_check_names_wrong_dtypes_and_changed_arguments(capsys: Any) -> None:
    """Right numbers are not enough: float32 stays float32, ids stay integers, what belongs to the caller stays as it was."""
    import exercises as lib

    def f(x: Any) -> Any:
        return x * np.float64(2)

    def ids(x: Any) -> Any:
        return x + 0.0

    def empties(names: dict[str, int]) -> Any:
        names.clear()
        return 0

    single = np.ones(3, np.float32)
    assert "float32 should come back" in verdict(capsys, f, lib.case("three", single, 2 * single))
    assert "✓" in verdict(capsys, f, lib.case("three", np.ones(3), 2 * np.ones(3)))
    assert "they should be integers" in verdict(capsys, ids, lib.case("three", np.arange(3), np.arange(3)))
    assert "Make a new dict" in verdict(capsys, empties, lib.case("names", {"a": 1}, 0))
    assert "Make a new list" in verdict(capsys, lambda words: words.sort() or words, lib.case("words", (["b", "a"],), ["a", "b"]))
    assert "✓" in verdict(capsys, sorted, lib.case("words", (["b", "a"],), ["a", "b"]))
    assert "✓" in verdict(capsys, len, lib.case("numbers", ([1.0, float("nan")],), 2))


def test_a_check_takes_lists_tuples_and_tensors(capsys: Any) -> None:
    """And arrays in place of tuples of results."""
    import exercises as lib

    expected = np.array([1.0, 2.0])
    for result in ([1, 2], (1.0, 2.0), expected, minitorch.tensor([1.0, 2.0]), [np.float32(1), minitorch.tensor(2.0)]):
        assert "✓" in verdict(capsys, lambda x, result=result: result, lib.case("two", 0.0, expected))
        assert "✓" in verdict(capsys, lambda x, result=result: result, lib.case("two", 0.0, (1.0, 2.0), parts=("a", "b")))
    assert "✓" in verdict(capsys, lambda x: ("a", "b"), lib.case("names", 0.0, ["a", "b"]))
    for result in ("1, 2", {1.0: 2.0}, None, expected.reshape(1, 2), np.array([1.0, np.nan]), [1.0, 2.0, 3.0], 1j * expected):
        assert "✗" in verdict(capsys, lambda x, result=result: result, lib.case("two", 0.0, expected))


def test_a_check_points_at_the_learners_line(capsys: Any) -> None:
    """Not at the line of the library that raised."""
    import exercises as lib

    def adds(x: Any) -> Any:
        return x + minitorch.ones(7)

    assert "at: return x + minitorch.ones(7)" in verdict(capsys, adds, lib.case("three", minitorch.ones(3), 0.0))


def test_a_single_number_is_not_called_a_multiple(capsys: Any) -> None:
    """Every number is a multiple of every other; only a telling factor is worth a word."""
    import exercises as lib

    assert "times" not in verdict(capsys, lambda x: 1.2345, lib.case("one", 0.0, 1.0))
    assert "That is 2 times" in verdict(capsys, lambda x: 2.0, lib.case("one", 0.0, 1.0))
    assert "in reverse order" in verdict(capsys, lambda x: [3.0, 2.0, 1.0], lib.case("three", 0.0, np.arange(1.0, 4.0)))
