"""minitorch compare: rungs, tests of significance, budget, resume, the page; on small files, in the tests' own BERT."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import cli
from models.classical import pipeline
from models.comparison import bert, cloze, measuring, networks, noise, rungs
from models.comparison.rows import Rows
from models.comparison.settings import Settings, prepare, subset
from models.finetuning.run import TASKS, read_data
from models.finetuning.tasks import Settings as FinetuneSettings

from .finetune_cases import checkpoint, write_classify, write_qa, write_tag
from .processes import heed_ctrl_c

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint and files for each task."""
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 120))
    kinds = rng.choice(["red", "blue"], 120)
    rows = [
        f"{a:.3f},{'' if i % 17 == 0 else f'{b:.3f}'},{k},{3 * a - b + (k == 'red'):.3f}"
        for i, (a, b, k) in enumerate(zip(x, z, kinds))
    ]
    (folder / "table.csv").write_text("\n".join(["width,big_height,colour,price", *rows]) + "\n")
    return {
        "model": str(checkpoint(folder / "model")),
        "train": write_classify(folder / "train.tsv", 90),
        "test": write_classify(folder / "test.tsv", 40, 1),
        "tag": write_tag(folder / "train.conll", 60),
        "qa": write_qa(folder / "train.json", 40),
        "table": str(folder / "table.csv"),
    }


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


# ------------------------------------------------------------------------------------------------- scores and tests


def task_of(files, name="classify", **settings):
    s = FinetuneSettings(task=name, train=files["train" if name == "classify" else name], **settings)
    s.check()
    task = TASKS[name](s)
    return task, read_data(s, task)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_sums_of_counts_give_the_metrics_of_the_report(files, seed):
    rng = np.random.default_rng(seed)
    task, data = task_of(files)
    guesses = list(rng.dirichlet([1, 1], len(data.train)))
    name, counts = measuring.evidence(task, data.train, guesses)
    assert name == "accuracy"
    assert measuring.folded(counts.sum(0)) == pytest.approx(task.score(data.train, guesses)["accuracy"])
    task, data = task_of(files, "tag")
    tags = [[str(t) for t in rng.choice(task.labels, len(s.words))] for s in data.train]
    name, counts = measuring.evidence(task, data.train, tags)
    assert name == "span F1"
    assert measuring.folded(counts.sum(0)) == pytest.approx(task.score(data.train, tags)["f1"])


def test_r_squared_and_the_f1_of_answers_are_those_of_the_report(files):
    task = Rows(Settings(table=files["table"], target="price"))
    examples = task.read(files["table"])
    task.learn(examples)
    guesses = [e.target + 0.1 * i for i, e in enumerate(examples)]
    _, counts = measuring.evidence(task, examples, guesses)
    assert measuring.folded(counts.sum(0)) == pytest.approx(task.score(examples, guesses)["r2"])
    task, data = task_of(files, "qa")
    guesses = [[{"text": q.answers[0][0] + " and" * (i % 3)}] for i, q in enumerate(data.train)]
    _, counts = measuring.evidence(task, data.train, guesses)
    assert 100 * measuring.folded(counts.sum(0)) == pytest.approx(task.score(data.train, guesses)["f1"])


def test_mcnemar_is_the_binomial_test_of_the_examples_that_one_alone_gets_right():
    a = np.array([1.0] * 9 + [0.0] * 1 + [1.0] * 20)
    b = np.array([0.0] * 9 + [1.0] * 1 + [1.0] * 20)
    assert measuring.mcnemar(a, b) == pytest.approx(2 * (1 + 10) / 2**10)
    assert measuring.mcnemar(a, a) == 1
    assert measuring.mcnemar(a, b / 2) is None  # half right is neither


def test_the_bootstrap_is_paired_and_its_interval_is_the_binomial_one():
    rng = np.random.default_rng(1)
    right = rng.random(400) < 0.8
    counts = {"a": measuring.shares(right.astype(float).tolist()), "b": measuring.shares(right.astype(float).tolist())}
    counts["worse"] = measuring.shares((right & (rng.random(400) < 0.9)).astype(float).tolist())
    samples = measuring.bootstrap(counts)
    assert (samples["a"] == samples["b"]).all()
    low, high = measuring.interval(samples["a"])
    error = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert [low, high] == pytest.approx([right.mean() - error, right.mean() + error], abs=0.01)
    rows = measuring.against("a", counts)
    assert not rows["b"]["real"]
    assert rows["worse"]["real"]


def test_holms_correction_stops_at_the_first_difference_that_is_chance():
    rows = {name: {"mcnemar_p": p, "bootstrap_p": 1.0} for name, p in {"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.04}.items()}
    measuring.holm(rows)  # .001 <= .05/4, .02 > .05/3: none after it
    assert [rows[name]["real"] for name in "abcd"] == [True, False, False, False]


# ------------------------------------------------------------------------------------------------------------ rungs


def test_the_first_keyword_rule_is_the_word_with_the_highest_likelihood_ratio(files):
    task, data = task_of(files)
    rules = pipeline.KeywordRules(task, 100).fit(data.train)
    texts = [(set(e.text.split()), task.target(e)) for e in data.train]
    prior = np.bincount([y for _, y in texts]) + 0.5

    def ratio(word, c):
        n = [sum(word in words and y == k for words, y in texts) for k in (0, 1)]
        return -np.inf if n[c] < 3 else np.log((n[c] + 0.5) / (n[1 - c] + 0.5)) - np.log(prior[c] / (prior[1 - c] + 0.5))

    single = [(word, c) for word, c in rules.rules if " " not in word]
    words = {word for words, _ in texts for word in words}
    best = max(ratio(word, c) for word in words for c in (0, 1))
    assert ratio(*single[0]) >= best - 1e-9 or " " in rules.rules[0][0]
    right = [np.argmax(p) == task.target(e) for e, p in zip(data.train, rules.predict(data.train))]
    assert np.mean(right) > 0.9


def test_every_rung_over_words_learns_what_a_word_decides(files):
    task, data = task_of(files)
    for rung in pipeline.for_texts(task):
        if "boosting" in rung.name:
            continue  # its leaves need more examples than these
        model = rung.make(rung.grid[0]).fit(data.train)
        assert task.score(data.train, model.predict(data.train))["accuracy"] > 0.8, rung.name
        assert model.parameters > 0 < model.size


def test_neighbours_are_the_nearest_and_weigh_by_nearness(files):
    task, data = task_of(files)
    vectors = {e.text: np.eye(4)[i % 4] for i, e in enumerate(data.train)}
    near = pipeline.Neighbours(lambda examples: np.stack([vectors[e.text] for e in examples]), task, 5, 100).fit(data.train)
    order, cosine = near.nearest(data.train[:3])
    for e, row, c in zip(data.train[:3], order, cosine):
        assert [float(vectors[e.text] @ vectors[data.train[i].text]) for i in row] == c.tolist()
        assert (np.diff(c) <= 0).all()
    assert np.allclose(np.stack(near.predict(data.train)).sum(1), 1)


def test_numbers_and_several_labels_have_rungs_too(tmp_path):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["good", "bad", "long", "short", "film", "book"], 6)) for _ in range(80)]
    numbers = [f"{t}\t{1 + t.count('good') - 0.5 * t.count('bad')}" for t in texts]
    several = [f"{t}\t{'|'.join(sorted({*t.split()} & {'good', 'bad', 'long'})) or 'none'}" for t in texts]
    for rows, metric, least in ((numbers, "R²", 0.3), (several, "micro F1", 0.6)):
        path = tmp_path / "rows.tsv"
        path.write_text("\n".join(["text\tlabel", *rows]) + "\n")
        task, data = task_of({"train": str(path)}, min_examples=1)
        for rung in pipeline.for_texts(task):
            if "forest" in rung.name:
                continue  # as the tree, and slower
            answers = rung.make(rung.grid[-1]).fit(data.train).predict(data.train)
            name, counts = measuring.evidence(task, data.train, answers)
            assert name == metric
            if "boosting" not in rung.name and "leaf" not in rung.setting:
                assert measuring.folded(counts.sum(0)) > least, rung.name


# -------------------------------------------------------------------------------------------------- split and noise


def test_typing_errors_are_the_same_for_all_and_leave_first_letters_and_the_rest_alone(files):
    task, data = task_of(files)
    a, b = (noise.with_typos(task, data.train, 0.3, 5) for _ in range(2))
    assert a == b != data.train
    words = [(w, v) for e, f in zip(data.train, a) for w, v in zip(e.text.split(), f.text.split(), strict=True)]
    changed = [(w, v) for w, v in words if w != v]
    assert all(w[0] == v[0] and abs(len(w) - len(v)) <= 1 for w, v in changed)
    assert 0.15 < len(changed) / sum(len(w) > 2 for w, _ in words) < 0.45
    assert noise.with_typos(task, data.train, 0.0, 5) == data.train
    table = Rows(Settings(table=files["table"], target="price"))
    assert noise.with_typos(table, table.read(files["table"]), 0.3, 5) is None


def test_a_subset_has_every_label_and_differs_by_draw(files):
    task, data = task_of(files)
    parts = [subset(task, data.train, 10, draw, 0) for draw in range(5)]
    assert all({e.target for e in part} == {"neg", "pos"} and len(part) == 10 for part in parts)
    assert len({tuple(e.text for e in part) for part in parts}) == 5
    assert subset(task, data.train, 10, 0, 0) == parts[0]


def test_without_a_test_file_the_three_parts_share_no_example(files):
    s = Settings(train=files["train"], model=files["model"])
    data = prepare(s, lambda text: None).data
    wheres = [{e.where for e in part} for part in (data.train, data.dev, data.test)]
    assert [len(w) for w in wheres] == [65, 7, 18]
    assert not (wheres[0] & wheres[1]) | (wheres[0] & wheres[2]) | (wheres[1] & wheres[2])


# -------------------------------------------------------------------------------------------------------- the command


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
        (["--train", "TRAIN", "--model", "absent"], "absent"),
        (["--train", "TRAIN", "--budget", "-1"], "--budget must be from 0 to 1e+06, not -1"),
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


def test_a_single_draw_has_no_deviation_and_a_tie_no_sign():
    from models.comparison.conclusions import ratio
    from models.comparison.page import mean_of, verdict_of

    assert mean_of([0.575]) == "0.575 (1)"
    assert mean_of([0.5, 0.7]) == "0.600 ± 0.100 (2)"
    assert mean_of([]) == "-"
    assert verdict_of({"difference": 0.0, "real": False}) == "equal"
    assert verdict_of({"difference": 0.03, "real": True}) == "-0.030, real"
    assert verdict_of({"difference": 0.0001, "real": True}) == "-1.0e-04, real"
    assert ratio(0.107, 0.000619) == "173 times"
    assert ratio(0.004, 0.002) == "2.0 times"
    assert ratio(1.0, 0.0) == "many times"
