"""The grader: what it says, and what it is not taken in by."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")

from models import cli
from models.course import grader, grading, reports
from models.course.assignments import all_assignments, find, reference, regions
from models.course.grader import grade, grade_source
from models.course.nbgrader_export import notebook
from models.course.testing import close, complaint, decode, encode

SCALAR = find("scalar")
QUICK = dataclasses.replace(SCALAR, seconds=2.0)
REFERENCE = reference(SCALAR.source)
ROOT = Path(__file__).parents[1]


def graded(source, tasks=("1.1", "1.3"), assignment=QUICK):
    return grade_source(assignment, source, "/nowhere/scalar.py", [t for t in SCALAR.tests if t.task in tasks])


def test_the_reference_earns_all_points():
    result = graded(REFERENCE)
    assert result.points == result.possible == 10


def test_wrong_values_are_named_with_formula_and_amount():
    source = REFERENCE.replace("lambda g: g * y, lambda g: g * x", "lambda g: -g * y, lambda g: g * x")
    verdict = next(v for v in graded(source, ["1.2"]).verdicts if v.test.name == "the_rule_of_mul")
    assert verdict.problems == ["dx: g·y: off by 20: yours -10, should be 10; yours has the opposite sign"]
    assert verdict.points == 0


def test_an_error_is_named_with_its_line():
    source = REFERENCE.replace("    values = list(values)\n", "    values = list(values) + nonsense\n")
    problem = graded(source, ["1.1"]).verdicts[0].problems[0]
    line = source.splitlines().index("    values = list(values) + nonsense") + 1
    assert problem == f"NameError: name 'nonsense' is not defined (line {line} of scalar.py)"


@pytest.mark.skipif(os.name != "posix", reason="limits and process groups are POSIX's")
def test_an_endless_loop_costs_its_task_alone():
    source = REFERENCE.replace("    order, seen, stack = ", "    while True:\n        pass\n    order, seen, stack = ")
    result = graded(source)
    assert {v.test.task for v in result.verdicts if v.passed} == {"1.1"}
    problems = [v.problems[0] for v in result.of_task("1.3")]
    assert problems[0] == "no result: stopped after 2 seconds: an endless loop?"
    assert problems[1] == "not run: order_of_a_diamond ended the process"
    text = reports.check_text(result)
    assert "Task 1.3  the order of the walk: 0 of 7 points" in text
    assert text.count("endless loop") == text.count("not run") == 1
    assert reports.feedback("ada", result).count("- 5 more tests of this task: not run") == 1


@pytest.mark.skipif(os.name != "posix", reason="limits and process groups are POSIX's")
def test_an_endless_loop_in_one_test_alone_names_its_task():
    source = reference(find("kernel").source).replace("    return [slice(", "    while True:\n        pass\n    return [slice(")
    kernel = dataclasses.replace(find("kernel"), seconds=1.0)
    test = next(t for t in kernel.tests if t.task == "6.2")
    text = reports.check_text(grade_source(kernel, source, "/nowhere/kernel.py", [test]))
    assert "Task 6.2  blocks: 0 of 1 points" in text
    assert "no result: stopped after 1 seconds: an endless loop?" in text


def test_files_beside_the_submission_are_not_looked_at(tmp_path):
    """A conftest, a numpy.py, other tests, a module to import: only the named file counts."""
    (tmp_path / "scalar.py").write_text(SCALAR.stub)
    for name in ("conftest.py", "numpy.py", "visible_tests.py", "sitecustomize.py", "json.py"):
        (tmp_path / name).write_text("import os; os._exit(0)\n")
    result = grade(SCALAR, tmp_path / "scalar.py", tasks=["1.1"])
    assert result.points == 0
    assert all(v.undone for v in result.verdicts)
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "scalar.py").write_text("import helper\n" + REFERENCE)
    assert "helper cannot be imported" in grade(SCALAR, tmp_path / "scalar.py", tasks=["1.1"]).verdicts[0].problems[0]


def test_odd_files_are_refused(tmp_path):
    path = tmp_path / "scalar.py"
    assert "no such file" in grade(SCALAR, path).verdicts[0].problems[0]
    path.write_bytes(b"x = '\xff'\n")
    assert "not a UTF-8 text" in grade(SCALAR, path).verdicts[0].problems[0]
    path.write_bytes(b"#" * (grader.LARGEST_SOURCE + 1))
    assert "bytes" in grade(SCALAR, path).verdicts[0].problems[0]
    path.unlink()
    path.symlink_to(SCALAR.folder / SCALAR.file)
    assert "not an ordinary file" in grade(SCALAR, path).verdicts[0].problems[0]


def test_the_learners_process_has_no_library_and_no_tests():
    """Also where BERT trains on the learner's functions: it trains in the supervisor's process."""
    seen = "import collections\nprint(sorted(n for n in collections._sys.modules if n.startswith(('minitorch', 'models'))))\n"
    result = grade_source(QUICK, seen + REFERENCE, "/nowhere/scalar.py", [t for t in SCALAR.tests if t.task == "1.5"])
    assert result.points == result.possible > 0
    assert "models.course.remote" in result.output
    assert not [name for name in ("minitorch", "tiny_bert", "testing", "grader", "supervisor") if name in result.output]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the means are Linux's")
def test_what_closes_the_learners_process_is_named():
    result = graded(REFERENCE, ["1.1"])
    assert result.means is not None
    assert ", ".join(result.means) in reports.protection([result])
    assert "Python's own checks" in reports.protection([dataclasses.replace(result, means=[])])


def test_names_that_a_solution_hardly_needs_are_noted():
    tricks = {
        "import gc\n": "gc",
        "from types import CodeType\n": "types",
        "compile('1', '', 'eval')\n": "compile",
        "(lambda: 0).__code__\n": "__code__",
        "frame.f_back\n": "f_back",
        "sys._getframe()\n": "_getframe",
        "getattr(f, '__globals__')\n": "__globals__",
    }
    for source, name in tricks.items():
        assert f"{name} (line 2)" in grader.odd_names("x = 1\n" + source), source
    for a in all_assignments():
        assert grader.odd_names(reference(a.source)) == []


def test_what_a_submission_prints_is_kept_and_bounded():
    result = graded("print('hello')\nprint('x' * 10_000_000)\n" + REFERENCE, ["1.1"])
    assert result.points == 3
    assert len(result.output) <= 4000


# ----------------------------------------------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    "value", [1, -2.5, float("nan"), True, None, "text", [1, 2], np.arange(6.0).reshape(2, 3).T, np.float32(3)]
)
def test_values_come_through_unchanged(value):
    got = decode(json.loads(json.dumps(encode(value))))
    np.testing.assert_array_equal(got, value)


@pytest.mark.parametrize("value", [object(), {"a": 1}, 1j, np.array(["a"]), np.array([object()]), lambda: 1, [[1], [1, 2]]])
def test_anything_but_numbers_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        encode(value)


@pytest.mark.parametrize(
    ("got", "expected", "says"),
    [
        (1.0, 1.0 + 1e-9, None),
        (np.nan, 1.0, "not finite: yours nan, should be 1"),
        (1.0, np.nan, "should be nan"),
        (np.inf, np.inf, None),
        (np.inf, close(1e300, 10), "yours inf"),
        (np.ones(3), np.ones((3, 1)), "yours has shape (3,), it should have (3, 1)"),
        (np.array([2.0, 4.0]), np.array([1.0, 2.0]), "yours is 2 times the right one everywhere"),
        (np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 3], [2, 4]]), "yours is the transpose"),
        (np.array([2.0, 3.0]), np.array([1.0, 2.0]), "yours is the right one +1 everywhere"),
        (np.float64(1), close(1.0, dtype=np.float32), "yours has dtype float64, it should have float32"),
        ("ValueError", "ValueError", None),
        ("no error", "ValueError", "yours is 'no error', it should be 'ValueError'"),
        (None, 1.0, "yours is None"),
        (True, True, None),
        (1.0, True, "it should be True"),
    ],
)
def test_complaints(got, expected, says):
    text = complaint(got, expected)
    assert (text is None) if says is None else (says in (text or ""))


# ------------------------------------------------------------------------------------------------ the command line


def course(capsys, *arguments):
    status = cli.main(["course", *map(str, arguments)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_list_names_every_task(capsys):
    status, out, _ = course(capsys, "list")
    assert status == 0
    assert all(f"{i}.1" in out for i in range(1, 7))


def test_start_and_check(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert course(capsys, "start", "1", folder)[0] == 0
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "assignment.toml", "scalar.py", "visible_tests.py"]
    status, _, err = course(capsys, "start", "scalar", folder)
    assert status == 2
    assert "is not overwritten" in err
    status, out, _ = course(capsys, "check", folder)
    assert status == 1
    assert f"Checked the file {folder / 'scalar.py'}" in out
    assert "hint 1" in out
    assert "hint 2" not in out
    again = shlex.split(out.rpartition("for a plainer hint: minitorch course ")[2])  # as it stands, from where one is
    assert "hint 2" in course(capsys, *again)[1]
    (folder / "scalar.py").write_text(REFERENCE)
    (folder / "visible_tests.py").write_text("import os; os._exit(0)\n")
    status, out, _ = course(capsys, "check", folder)
    assert status == 0
    assert "All visible tests pass." in out


def test_check_says_what_is_off_and_gives_more_hints(tmp_path, capsys):
    (tmp_path / "scalar.py").write_text(REFERENCE.replace("/ (2 * eps)", "/ eps"))
    status, out, _ = course(capsys, "check", tmp_path, "--task", "1.1", "--hints", "3")
    assert status == 1
    assert "off by 6: yours 12, should be 6" in out
    assert "hint 3" in out
    assert "Task 1.2" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["start", "algebra", "x"], "there is no assignment 'algebra'"),
        (["check", "nowhere"], "there is no such folder"),
        (["check", "."], "holds no assignment's file"),
        (["grade", "nowhere"], "there is no such folder"),
        (["grade", "."], "holds no folders"),
        (["grade", __file__], "is a file; give the folder"),
        (["grade", Path(__file__).parent, "--output", __file__], "is a file; give a folder"),
    ],
)
def test_mistakes_are_one_line_and_status_2(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, _, err = course(capsys, *arguments)
    assert status == 2
    assert says in err
    assert err.count("\n") == 1


def test_grade_writes_table_feedback_csv_and_gradescope(tmp_path, capsys):
    mlm = find("mlm")
    for learner, source in (("ada", reference(mlm.source)), ("=bob", mlm.stub)):
        (tmp_path / "in" / learner).mkdir(parents=True)
        (tmp_path / "in" / learner / "mlm.py").write_text(source)
    status, out, _ = course(capsys, "grade", tmp_path / "in", "--output", tmp_path / "out")
    assert status == 0
    assert "no security sandbox" in out
    assert f"{mlm.points():g}/{mlm.points():g}" in out
    assert f"0/{mlm.points():g}" in out
    rows = list(csv.DictReader(open(tmp_path / "out" / "grades.csv", encoding="utf-8")))  # noqa: SIM115
    totals = {row["learner"]: row["points"] for row in rows if row["task"] == "total"}
    assert totals == {"ada": f"{mlm.points():g}", "'=bob": "0"}
    assert "not written yet: Task 5.1" in (tmp_path / "out/feedback/=bob/mlm.md").read_text(encoding="utf-8")
    results = json.loads((tmp_path / "out/gradescope/ada/mlm/results.json").read_text(encoding="utf-8"))
    assert results["score"] == sum(t["score"] for t in results["tests"]) == sum(t["max_score"] for t in results["tests"])
    assert {t["visibility"] for t in results["tests"]} == {"visible", "after_published"}


def test_a_learner_whose_file_has_another_name_is_told_of(tmp_path, capsys):
    (tmp_path / "in" / "dora" / "deeper").mkdir(parents=True)
    for name in ("Scalar_final.py", "deeper/other.py", "visible_tests.py"):
        (tmp_path / "in" / "dora" / name).write_text("")
    (tmp_path / "in" / "empty").mkdir()
    status, out, err = course(capsys, "grade", tmp_path / "in", "--output", tmp_path / "out")
    assert status == 0
    files = ", ".join(a.file for a in all_assignments())
    said = f"dora: none of {files} is there; it holds Scalar_final.py, other.py"
    for text in (out, err):
        assert said in text.splitlines()
        assert f"{files} is there" in next(line for line in text.splitlines() if line.startswith("empty: "))
    status, out, _ = course(capsys, "grade", tmp_path / "in", "--assignment", "mlm", "--output", tmp_path / "out")
    assert "dora: mlm.py is not there; it holds Scalar_final.py, other.py" in out.splitlines()


def test_odd_folders_and_names_are_named(tmp_path, capsys):
    """No name can turn or break the line; what is left out is said."""
    source = find("mlm").stub
    for name in ("ada", "ev\u202eil\n\x1b[31m", ".hidden", "__MACOSX", "ada/__MACOSX"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "mlm.py").write_text(source)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in" / "ada")
    status, out, err = course(capsys, "grade", tmp_path / "in", "--assignment", "mlm", "--output", tmp_path / "out")
    assert status == 0
    assert not [c for c in out + err if not c.isprintable() and c != "\n"]
    assert r"ev\u202eil\n\x1b[31m" in out
    for name in (".hidden", "__MACOSX", "link"):
        assert f"{name} is left out" in err
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["ada", r"ev\u202eil\n\x1b[31m"]


def test_no_symbolic_link_in_the_output_is_followed(tmp_path, capsys):
    (tmp_path / "in" / "ada").mkdir(parents=True)
    (tmp_path / "in" / "ada" / "mlm.py").write_text(find("mlm").stub)
    (tmp_path / "away").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "feedback").symlink_to(tmp_path / "away")
    status, _, err = course(capsys, "grade", tmp_path / "in", "--output", tmp_path / "out")
    assert status == 2
    assert "is a symbolic link" in err
    assert list((tmp_path / "away").iterdir()) == []


def test_a_run_that_was_stopped_goes_on(tmp_path, capsys, monkeypatch):
    """Each result is on the disk before the next begins; the second run grades the rest, and what has changed since."""
    mlm, really, asked = find("mlm"), grading.grade, []
    for name in ("ada", "bob", "cid"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "mlm.py").write_text(reference(mlm.source) if name == "ada" else mlm.stub)

    def stop_at_cid(assignment, path):
        asked.append(path.parent.name)
        if path.parent.name == "cid" and asked.count("cid") == 1:
            raise KeyboardInterrupt
        return really(assignment, path)

    monkeypatch.setattr(grading, "grade", stop_at_cid)
    arguments = ("grade", tmp_path / "in", "--assignment", "mlm", "--output", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        grading.grade_folder(tmp_path / "in", "mlm", tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/grades.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["learner"] for row in rows} == {"ada", "bob"}
    with open(tmp_path / "out" / "unfinished.jsonl", "a", encoding="utf-8") as file:
        file.write('\n{"learner": "ada", "assign')  # killed in the middle of a line
    (tmp_path / "in" / "bob" / "mlm.py").write_text(mlm.stub + "# a new version\n")
    status, out, err = course(capsys, *arguments)
    assert status == 0
    assert "2 files graded already" in err
    assert asked == ["ada", "bob", "cid", "bob", "cid"]
    totals = [line.split()[-1] for line in out.splitlines()[1:4]]
    assert totals == [f"{mlm.points():g}/{mlm.points():g}", *[f"0/{mlm.points():g}"] * 2]
    assert not (tmp_path / "out" / "unfinished.jsonl").exists()


def test_release_holds_no_solutions(tmp_path, capsys):
    assert course(capsys, "release", tmp_path / "folder")[0] == 0
    assert course(capsys, "release", tmp_path / "all.zip")[0] == 0
    files = {str(p.relative_to(tmp_path / "folder")): p.read_text() for p in (tmp_path / "folder").rglob("*.*")}
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert {name.replace("/", os.sep): archive.read(name).decode() for name in archive.namelist()} == files
    assert len(files) == 4 * len(all_assignments())
    assert not [name for name in files if "hidden" in name or "mutant" in name]
    assert not [name for name, text in files.items() if "SOLUTION" in text]
    for name, text in files.items():
        solutions = (body for a in all_assignments() for _, _, body in regions(a.source) if not name.endswith(".toml"))
        lines = {line.strip() for body in solutions for line in body.splitlines()}
        assert [line for line in lines if len(line) > 22 and line in text] == []
    assert course(capsys, "release", tmp_path / "all.zip")[0] == 2


def test_the_exported_notebook_is_nbgraders(tmp_path, capsys):
    assert course(capsys, "export-nbgrader", tmp_path / "nb", "--assignment", "tensors")[0] == 0
    written = json.loads((tmp_path / "nb/source/tensors/tensors.ipynb").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(notebook(find("tensors"))))
    cells = written["cells"]
    ids = [c["id"] for c in cells]
    assert len(ids) == len(set(ids))
    about = [c["metadata"]["nbgrader"] for c in cells]
    assert sum(a.get("points", 0) for a in about) == find("tensors").points()
    for cell, note in zip(cells, about, strict=True):
        text = "".join(cell["source"])
        assert note["solution"] == ("### BEGIN SOLUTION\n" in text) == ("### END SOLUTION" in text)


@pytest.mark.parametrize("assignment", all_assignments(), ids=lambda a: a.name)
def test_the_notebook_speaks_of_nothing_that_is_not_there(assignment):
    text = "".join("".join(cell["source"]) for cell in notebook(assignment)["cells"])
    assert [word for word in ("README", "visible_tests", "course check", "in this folder", assignment.file) if word in text] == []
    assert text.count("**Check**") == text.count("**Rules.**") == 1


def test_the_notebook_runs_in_order():
    """As a kernel would: solution cells with their solutions, graded cells without a complaint."""
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in notebook(find("attention"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)


@pytest.mark.slow
def test_nbgrader_generates_and_grades(tmp_path, capsys):
    """nbgrader itself: release version without solutions, full points for the reference, none for the stub."""
    command = shutil.which("nbgrader")
    if command is None:
        pytest.skip("nbgrader is not installed: pip install -e '.[nbgrader]'")
    assert course(capsys, "export-nbgrader", tmp_path / "nb", "--assignment", "scalar")[0] == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def nbgrader(*arguments):
        done = subprocess.run(
            [command, *arguments], cwd=tmp_path / "nb", env=environment, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stderr[-3000:]

    nbgrader("generate_assignment", "scalar")
    released = (tmp_path / "nb/release/scalar/scalar.ipynb").read_text(encoding="utf-8")
    assert "SOLUTION" not in released
    assert "HIDDEN" not in released
    assert "order, seen, stack" not in released
    for learner, kind in (("ada", "source"), ("bob", "release")):
        (tmp_path / "nb/submitted" / learner / "scalar").mkdir(parents=True)
        shutil.copy(tmp_path / "nb" / kind / "scalar/scalar.ipynb", tmp_path / "nb/submitted" / learner / "scalar")
    nbgrader("autograde", "scalar", "--create")
    nbgrader("export")
    rows = list(csv.DictReader(open(tmp_path / "nb/grades.csv", encoding="utf-8")))  # noqa: SIM115
    assert {row["student_id"]: float(row["score"]) for row in rows} == {"ada": SCALAR.points(), "bob": 0.0}


def test_the_grader_says_in_its_help_that_it_is_no_sandbox():
    done = subprocess.run([sys.executable, "-m", "models.cli", "course", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert "no security sandbox" in " ".join(done.stdout.split())
