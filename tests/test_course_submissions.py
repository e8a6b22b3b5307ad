"""Submissions as they come from a download: who handed in what, by the names of platforms, browsers and learners."""

from __future__ import annotations

import csv

import pytest

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")

from models import cli
from models.course.assignments import find, reference
from models.course.submissions import learners_in, likeness, split
from models.errors import BadInput


def tree(folder, *names, text="x = 1\n"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(folder, name="scalar.py"):
    """{learner: the file that is graded, from the top folder}"""
    paths = {learner.name: learner.find(name) for learner in learners_in(folder)}
    return {who: path and path.relative_to(folder).as_posix() for who, path in paths.items()}


@pytest.mark.parametrize(
    ("name", "who", "original"),
    [
        ("Anna Meier_4711_assignsubmission_file_", "Anna Meier", ""),
        ("Anna Meier_4711_assignsubmission_file", "Anna Meier", ""),
        ("Anna Meier_4711_assignsubmission_file_scalar.py", "Anna Meier", "scalar.py"),
        ("Anna_Maria Meier_4711_assignsubmission_file_my_scalar.py", "Anna_Maria Meier", "my_scalar.py"),
        ("meieranna_4711_90210_scalar.py", "meieranna", "scalar.py"),
        ("meieranna_LATE_4711_90210_scalar-2.py", "meieranna", "scalar-2.py"),
        ("meieranna_late_4711_90210_Scalar (1).py", "meieranna", "Scalar (1).py"),
        ("Exercise 1_ameier_attempt_2024-05-01-12-30-00_scalar.py", "ameier", "scalar.py"),
        ("anna_scalar.py", "anna", "scalar.py"),
        ("Anna Maria-Scalar (2).py", "Anna Maria", "Scalar (2).py"),
        ("anna", "", "anna"),
        ("scalar.py", "", "scalar.py"),
        ("scalar (1).py", "", "scalar (1).py"),
        ("anna_report.pdf", "", "anna_report.pdf"),
        (".._scalar.py", "", "scalar.py"),
    ],
)
def test_names_of_platforms_are_taken_apart(name, who, original):
    assert split(name)[::2] == (who, original)


def test_the_likeness_of_names():
    names = ["scalar.py", "Scalar.PY", "scalar (3).py", "scalar (1).py", "scalar-1.py", "scalar - Copy.py", "my_scalar.py"]
    keys = [likeness(name, "scalar.py") for name in names]
    assert None not in keys
    assert keys[0] == (0, 0) < keys[1] < keys[2] < keys[3] == keys[4] < keys[5] < keys[6]
    for other in ("scalar_final.py", "scalars.py", "scalar.txt", "scalar.py.txt", "myscalar.py", "tensors.py"):
        assert likeness(other, "scalar.py") is None


def test_folders_of_learners(tmp_path):
    tree(tmp_path, "ada/scalar.py", "bob/Scalar.py", "cem/scalar (1).py", "cem/scalar (2).py", "dee/work/scalar.py")
    tree(tmp_path, "eve/__MACOSX/._scalar.py", "eve/__MACOSX/scalar.py", "eve/scalar.py", "flo/my_scalar.py", "gil/notes.txt")
    tree(tmp_path, "__MACOSX/ada/scalar.py", ".git/scalar.py", "hal/a/scalar.py", "hal/b/scalar.py")
    assert found(tmp_path) == {
        "ada": "ada/scalar.py",
        "bob": "bob/Scalar.py",
        "cem": "cem/scalar (2).py",
        "dee": "dee/work/scalar.py",
        "eve": "eve/scalar.py",
        "flo": "flo/my_scalar.py",
        "gil": None,
        "hal": None,
    }


def test_what_is_graded_under_another_name_is_said(tmp_path, capsys):
    tree(tmp_path, "cem/scalar (1).py", "cem/scalar (2).py", "hal/a/scalar.py", "hal/b/scalar.py", "dora.zip")
    found(tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "left out, because they name no learner: dora.zip",
        "cem: scalar (2).py is graded as scalar.py; not graded: scalar (1).py",
        "hal: scalar.py is there several times (a/scalar.py, b/scalar.py); keep only one",
    ]


def test_moodle_in_folders(tmp_path):
    """Text that a learner typed in comes in a folder of its own; two learners may have one name."""
    tree(tmp_path, "Anna Meier_11_assignsubmission_file_/scalar.py", "Anna Meier_11_assignsubmission_onlinetext_/onlinetext.html")
    tree(tmp_path, "Bo Li_12_assignsubmission_file_/scalar.py", "Bo Li_13_assignsubmission_file_/Scalar.py")
    assert found(tmp_path) == {
        "Anna Meier": "Anna Meier_11_assignsubmission_file_/scalar.py",
        "Bo Li 12": "Bo Li_12_assignsubmission_file_/scalar.py",
        "Bo Li 13": "Bo Li_13_assignsubmission_file_/Scalar.py",
    }


def test_canvas(tmp_path):
    """The last upload counts; other files of a learner are no other learner."""
    tree(tmp_path, "liwei_7_101_scalar.py", "liwei_7_102_scalar-1.py", "liwei_7_103_report.pdf", "meieranna_LATE_8_104_scalar.py")
    assert found(tmp_path) == {"liwei": "liwei_7_102_scalar-1.py", "meieranna": "meieranna_LATE_8_104_scalar.py"}


def test_a_flat_folder(tmp_path):
    tree(tmp_path, "anna_scalar.py", "anna_tensors.py", "bob-Scalar.py", "._anna_scalar.py", "readme.txt")
    assert found(tmp_path) == {"anna": "anna_scalar.py", "bob": "bob-Scalar.py"}
    assert found(tmp_path, "tensors.py") == {"anna": "anna_tensors.py", "bob": None}


def test_where_nothing_fits_the_files_are_named(tmp_path):
    tree(tmp_path, "scalar.py", "notes.txt")
    with pytest.raises(BadInput, match=r"holds no folders.*there is notes.txt, scalar.py"):
        learners_in(tmp_path)


def test_a_name_cannot_lead_out_of_the_output_folder(tmp_path):
    tree(tmp_path, ".._scalar.py", "..._scalar.py", "anna_scalar.py")
    assert set(found(tmp_path)) == {"anna"}


def test_totals_have_one_denominator_and_the_wide_table_one_row_per_learner(tmp_path, capsys):
    for name, source in (("mlm", reference(find("mlm").source)), ("tensors", find("tensors").stub)):
        tree(tmp_path / "in", f"ada_{name}.py", text=source)
    tree(tmp_path / "in", "bob_mlm.py", text=find("mlm").stub)
    tree(tmp_path / "in", "cem/Scalar_final.py", "cem/report.pdf")
    assert cli.main(["course", "grade", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    mlm, both = find("mlm").points(), find("mlm").points() + find("tensors").points()
    totals = {line.split()[0]: line.split()[-1] for line in out.splitlines()[1:4]}
    assert totals == {"ada": f"{mlm:g}/{both:g}", "bob": f"0/{both:g}", "cem": f"0/{both:g}"}
    assert "it holds Scalar_final.py, report.pdf" in out
    rows = list(csv.reader((tmp_path / "out" / "grades_wide.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["learner", "tensors", "mlm", "total", "possible"],
        ["ada", "0", f"{mlm:g}", f"{mlm:g}", f"{both:g}"],
        ["bob", "", "0", "0", f"{both:g}"],
        ["cem", "", "", "0", f"{both:g}"],
    ]
