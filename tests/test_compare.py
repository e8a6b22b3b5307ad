"""minitorch compare: all rungs, budget, resume, mistakes, the page; on small files, in the tests' own BERT."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import cli
from models.classical import pipeline
from models.comparison import bert, cloze, networks, rungs
from models.comparison.rows import Rows
from models.comparison.settings import Settings

from .compare_cases import write_files
from .processes import heed_ctrl_c

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint and files for each task."""
    return write_files(tmp_path_factory.mktemp("compare"))


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Networks need not learn here."""
    for module in (bert, rungs, networks, cloze):
        monkeypatch.setattr(module, "STEPS", 4)
    for kind in (networks.ConvolutionalClassifier, networks.LstmClassifier, networks.LstmCrfTagger):
        monkeypatch.setattr(kind, "epochs", 1)


def run(files, tmp_path, *options, **other):
    """The record of ``minitorch compare`` with one thread, without learning curves."""
    usual = ["--model", files["model"], "--output", str(tmp_path / "out"), "--threads", "1", "--epochs", "1"]
    if "--draws" not in options:
        usual += ["--draws", "0"]
    assert cli.main(["compare", *usual, *options]) == other.get("status", 0)
    return json.loads((tmp_path / "out" / "report.json").read_text())


def test_all_rungs_of_classification(files, tmp_path, capsys):
    options = ["--train", files["train"], "--test", files["test"], "--also", files["test"], "--draws", "1", "--skip", "forest"]
    state = run(files, tmp_path, *options)
    assert [r["status"] for r in state["rungs"].values()] == ["done"] * 15
    for r in state["rungs"].values():
        assert r["also"] == r["score"]  # the same file
        assert set(r["typos"]) == {"0.1", "0.3"}
        assert len(r["counts"]) == len(r["answers"]) == 40
        assert r["score"] == pytest.approx(np.mean(np.array(r["counts"])[:, 0]))
        if r["tried"]:
            assert r["chosen"] == max(r["tried"], key=lambda pair: pair[1])[0]  # the first of the best
    assert all(len(scores) == 1 for sizes in state["curve"].values() for scores in sizes.values())
    said = capsys.readouterr().out
    assert re.search(r"3 of 15: .*; next: TF-IDF", said)
    assert (tmp_path / "out" / "report.txt").read_text().strip() in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r"(src|href)=\"?(http|//)", page)


@pytest.mark.parametrize(("name", "rungs"), [("tag", 9), pytest.param("qa", 7, marks=pytest.mark.slow)])
def test_all_rungs_of_tags_and_questions(files, tmp_path, name, rungs):
    state = run(files, tmp_path, "--train", files[name], "--skip", "LoRA")
    assert state["task"] == name
    assert all(r["status"] == "done" for r in state["rungs"].values())
    assert len(state["rungs"]) == rungs - 1


def test_all_rungs_of_a_table(files, tmp_path):
    state = run(files, tmp_path, "--table", files["table"], "--target", "price", "--skip", "LoRA,random weights")
    rungs = state["rungs"]
    assert all(r["status"] == "done" for r in rungs.values())
    linear = [rungs[f"linear regression, {name}"]["score"] for name in ("normal equations", "least squares", "gradient descent")]
    assert linear == pytest.approx([linear[0]] * 3, abs=1e-4)
    assert linear[0] > 0.9 > 0.1 > rungs["mean"]["score"]  # of gaps that the mean fills
    assert rungs["neural network (MLP) on the engine"]["score"] > 0.8


def test_a_row_is_a_sentence_and_numbers(files):
    task = Rows(Settings(table=files["table"], target="price"))
    examples = task.read(files["table"])
    task.learn(examples)
    assert re.fullmatch(r"width is -?\d\.\d+, big height is unknown, colour is (red|blue)", examples[0].text)
    assert task.heads == ["width", "big_height", "colour = blue", "colour = red"]
    X = task.table_of(examples)
    assert X.mean(0) == pytest.approx(0, abs=1e-9)
    assert X[0, 1] == 0  # a gap is the mean


def test_the_page_escapes_whatever_a_file_holds(tmp_path, files):
    text = Path(files["train"]).read_text().replace("\tneg", "\t<script>neg & co").replace("book", "<img src=x>")
    (tmp_path / "odd.tsv").write_text(text)
    run(files, tmp_path, "--train", str(tmp_path / "odd.tsv"), "--skip", "BERT,forest,boosting,network,LSTM")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;neg &amp; co" in page


def test_a_budget_that_ends_leaves_lines_with_the_reason(files, tmp_path, capsys):
    state = run(files, tmp_path, "--train", files["train"], "--budget", "0.00001")
    assert {r["status"] for r in state["rungs"].values()} == {"out of time"}
    assert "No rung was finished" in (tmp_path / "out" / "report.html").read_text()
    again = run(
        files, tmp_path, "--resume", "--budget", "5", "--skip", "BERT,forest,network,LSTM"
    )  # a new budget, and fewer rungs
    assert {again["rungs"][name]["status"] for name in again["order"]} == {"done"}


def test_a_rung_that_fails_is_a_line_and_the_others_go_on(files, tmp_path, monkeypatch):
    def fail(self, examples):
        raise RuntimeError("it <broke>\nat line 2")

    monkeypatch.setattr(pipeline.KeywordRules, "fit", fail)
    state = run(files, tmp_path, "--train", files["train"], "--skip", "BERT,forest,boosting,network,LSTM")
    assert state["rungs"]["keyword rules"] == {"kind": "rules", "status": "failed", "reason": "it <broke>"}
    assert sum(r["status"] == "done" for r in state["rungs"].values()) == 5
    assert "failed: it &lt;broke&gt;" in (tmp_path / "out" / "report.html").read_text()


def test_tuning_does_not_look_at_the_test_examples(files, tmp_path):
    other = tmp_path / "turned.tsv"
    swap = {"neg": "pos", "pos": "neg"}
    other.write_text(re.sub(r"\t(neg|pos)$", lambda m: f"\t{swap[m[1]]}", Path(files["test"]).read_text(), flags=re.MULTILINE))
    a, b = (
        run(files, tmp_path / f"{i}", "--train", files["train"], "--test", str(f), "--skip", "BERT,network,LSTM,forest,boosting")
        for i, f in enumerate((files["test"], other))
    )
    for name, r in a["rungs"].items():
        assert (r["tried"], r["chosen"]) == (b["rungs"][name]["tried"], b["rungs"][name]["chosen"])
        assert r["score"] == pytest.approx(1 - b["rungs"][name]["score"])


@pytest.mark.slow
def test_stopped_and_resumed_it_gives_the_same_scores(files, tmp_path):
    options = [
        "--train",
        files["train"],
        "--test",
        files["test"],
        "--model",
        files["model"],
        "--threads",
        "1",
        "--skip",
        "forest,LoRA,random,network,LSTM,cloze",
    ]
    command = [
        sys.executable,
        "-m",
        "models.cli",
        "compare",
        *options,
        "--draws",
        "0",
        "--epochs",
        "1",
        "--output",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ),
        preexec_fn=heed_ctrl_c,
    )
    for line in process.stdout:
        if "5 of" in line:
            process.send_signal(signal.SIGINT)
            break
    said = process.stdout.read()
    assert process.wait() == 130
    assert "--resume" in said
    half = json.loads((tmp_path / "out" / "report.json").read_text())
    assert 0 < len(half["rungs"]) < len(half["order"])
    assert "not begun" in (tmp_path / "out" / "report.html").read_text()
    done = run(files, tmp_path, "--resume")
    whole = run(files, tmp_path / "whole", *options)
    assert {name: r["score"] for name, r in done["rungs"].items()} == {name: r["score"] for name, r in whole["rungs"].items()}
    for name, r in half["rungs"].items():
        assert done["rungs"][name] == r  # taken as it was


def test_what_resumes_must_be_the_same_comparison(files, tmp_path, capsys):
    run(files, tmp_path, "--train", files["train"], "--skip", "BERT,TF-IDF,network,LSTM")
    out = ["compare", "--resume", "--output", str(tmp_path / "out")]
    assert cli.main([*out, "--seed", "7"]) == 2
    assert "that comparison has --seed 0; --resume keeps it" in capsys.readouterr().err
    record = tmp_path / "out" / "report.json"
    whole = json.loads(record.read_text())
    for damage in (
        {"rungs": {"a": 1}},
        {"curve": []},
        {"chosen": {"x": 1}},
        {"rungs": {"a": {**whole["rungs"]["keyword rules"], "counts": 3}}},
    ):
        record.write_text(json.dumps({**whole, **damage}))
        assert cli.main(out) == 2
        assert "not the record of a comparison" in capsys.readouterr().err
    record.write_text("{")
    assert cli.main(out) == 2
    assert "not a JSON file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", "absent.tsv"], "absent.tsv: no such file"),
        (["--train", "absent.tsv", "--model", "nofolder"], "nofolder: no such folder"),  # before the examples are read
        (["--model", "nofolder"], "nofolder: no such folder"),
        (["--train", "TRAIN", "--budget", "-1"], "--budget is a number of minutes above 0, and at most 1,000,000; not -1"),
        (["--train", "TRAIN", "--budget", "0"], "--budget is a number of minutes above 0"),
        (["--train", "TRAIN", "--budget", "nan"], "--budget is a number of minutes above 0"),
        (["--train", "TRAIN", "--validation", "2"], "--validation must be from 0.01 to 0.9, not 2"),
        (["--train", "TRAIN", "--skip", "perceptron"], "--skip perceptron: no rung has that in its name"),
        (["--train", "TRAIN", "--table", "TABLE"], "--table compares on a table, --train on a file of texts"),
        (["--table", "TABLE"], "--table FILE needs --target COLUMN"),
        (["--table", "TABLE", "--target", "prise"], 'there is no column "prise", did you mean "price"?'),
        (["--table", "TABLE", "--target", "colour"], 'column "colour": the target holds text'),
        (["--also", "TRAIN"], "--also needs --train"),
        (["tag", "--train", "TRAIN"], "which `minitorch finetune classify` reads"),
        (["--resume"], "nothing to resume"),
        (["--train", "TRAIN", "--output", "TRAIN"], "is a file; give a folder"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(files, tmp_path, capsys, options, message):
    named = {"TRAIN": files["train"], "TABLE": files["table"]}
    options = [named.get(word, word) for word in options]
    usual = [] if "--output" in options else ["--output", str(tmp_path / "out")]
    usual += [] if "--model" in options else ["--model", files["model"]]
    assert cli.main(["compare", *options, *usual]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("minitorch compare: error: ")
    assert message in last
    assert not (tmp_path / "out").exists()


def test_the_help_is_short_and_of_this_command_alone(capsys):
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    said = capsys.readouterr().out
    assert len(said.splitlines()) < 90
    assert "adapt" not in said
    assert "--skip SKIP" not in said  # a type, not the name again
    assert "--query-length" in re.sub(r"\s", "", said)  # named, but not explained


def test_skip_says_what_is_left_out(files, tmp_path, capsys):
    run(files, tmp_path, "--train", files["train"], "--skip", "BERT,network,LSTM,boosting,random")
    said = capsys.readouterr().out
    assert (
        "left out: TF-IDF + random forest; TF-IDF + gradient boosting; convolutional network (Kim 2014); bidirectional LSTM;"
        in said
    )
