"""The report of a fine-tuning run: its tables, the layout of confusions, the predictions with their gold labels."""

import json

import numpy as np
import pytest

from models.finetuning import report
from models.finetuning.tag import Tag
from models.text.labelled import Sentence
from models.training.trainer import RUNNING
from tests import finetune_cases as cases

LONG = [f"{name}({way})" for name in ("Cause-Effect", "Entity-Destination") for way in ("e1,e2", "e2,e1")]
each_task = pytest.mark.parametrize("task", list(cases.WRITERS))


def tagger(tmp_path, gold):
    """A Tag task that knows the tags."""
    task = Tag(cases.settings("tag", tmp_path))
    sentences = [Sentence([f"w{i}" for i in range(len(tags))], tags, ["x:1"] * len(tags)) for tags in gold]
    task.learn(sentences)
    return task, sentences


def test_the_table_of_tags_equals_scikit_learns(tmp_path):
    """B-, I- and O with their averages, next to the table of spans; I-PER, which occurs nowhere, is in no average."""
    from sklearn.metrics import classification_report

    rng = np.random.default_rng(0)
    choices = ["O", "O", "B-LOC", "I-LOC", "B-PER"]
    gold = [[str(t) for t in rng.choice(choices, 12)] for _ in range(20)]
    guess = [[str(t) for t in rng.permutation(tags)] if i % 2 else tags for i, tags in enumerate(gold)]
    task, sentences = tagger(tmp_path, gold)
    assert "I-PER" in task.labels
    scores = task.score(sentences, guess)
    flat = [[t for tags in rows for t in tags] for rows in (gold, guess)]
    theirs = classification_report(*flat, output_dict=True)
    ours = scores["words"]["classes"]
    assert list(ours) == ["O", "B-LOC", "I-LOC", "B-PER", "micro avg", "macro avg", "weighted avg"]
    for name, row in ours.items():
        expected = theirs.get(name, dict.fromkeys(("precision", "recall", "f1-score"), theirs["accuracy"]) | {"support": 240})
        assert list(row.values()) == pytest.approx([expected[k] for k in ("precision", "recall", "f1-score", "support")])
    titles = [title for title, _ in report.tables({"task": "tag", "scores": scores})]
    assert titles == ["entities, right in both ends and in type", "tags of words"]


def test_both_tables_of_a_tagger_are_printed_and_saved(tmp_path):
    """Entities first, then B-, I- and O."""
    job = cases.run("tag", tmp_path, epochs=1)
    job.train()
    report.finish(job)
    text = (tmp_path / "out" / "report.txt").read_text()
    spans, tags = text.split("tags of words")
    rows = [[line.split("  ")[0] for line in part.splitlines()] for part in (spans, tags)]
    assert {"LOC", "PER", "micro avg", "macro avg", "weighted avg"} <= set(rows[0])
    assert {"B-LOC", "I-LOC", "B-PER", "O", "micro avg", "macro avg", "weighted avg"} <= set(rows[1])
    written = json.loads((tmp_path / "out" / "report.json").read_text())["scores"]
    assert {"LOC", "PER"} <= written["classes"].keys()
    assert {"B-LOC", "O"} <= written["words"]["classes"].keys()


def test_a_test_file_with_one_tag_warns_of_nothing(tmp_path, recwarn):
    """Only O, and all of it right."""
    task, _ = tagger(tmp_path, [["O", "B-LOC"]])
    sentence = Sentence(["w"], ["O"], ["x:1"])
    assert task.score([sentence], [["O"]])["accuracy"] == 1
    assert not recwarn.list


def test_headers_of_confusions_are_never_cut():
    """Short labels head their columns; long ones are numbered, in rows and columns alike."""
    text = report.confusion_text([[1, 2], [3, 4]], ["negative", "positive"])
    assert text.splitlines() == [
        "right, given  negative  positive",
        "negative             1         2",
        "positive             3         4",
    ]
    table = np.arange(16).reshape(4, 4).tolist()
    lines = report.confusion_text(table, LONG).splitlines()
    assert lines[0].split() == ["right,", "given", "1", "2", "3", "4"]
    for i, line in enumerate(lines[1:]):
        assert line.split() == [str(i + 1), LONG[i], *map(str, table[i])]
    ends = [i for i in range(len(lines[0])) if lines[0][i : i + 1].isdigit()]
    assert all(line[i].isdigit() for i in ends for line in lines), "a column stands under its head"


def test_the_confusions_of_many_labels_are_listed():
    """The most frequent first, out of how many; right answers are none."""
    labels = [f"a rather long label {i}" for i in range(40)]
    table = (9 * np.eye(40, dtype=int)).tolist()
    table[3][7], table[30][2] = 5, 8
    lines = report.confusion_text(table, labels).splitlines()[1:]
    assert [" ".join(line.split()) for line in lines] == [f"{labels[30]} {labels[2]} 8 of 17", f"{labels[3]} {labels[7]} 5 of 14"]
    assert report.confusion_text((9 * np.eye(40, dtype=int)).tolist(), labels) == "no label was taken for another"


@each_task
def test_predictions_hold_the_gold_label(tmp_path, task):
    """In the form of the prediction, so that the two can be compared line by line."""
    job = cases.run(task, tmp_path, epochs=1)
    job.train()
    report.finish(job)
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    if task == "qa":
        right = np.mean([line["prediction"] in line["gold"] for line in lines]) * 100
        assert right == pytest.approx(job.report["scores"]["exact_match"])
    elif task == "tag":
        same = [a == b for line in lines for a, b in zip(line["tags"], line["gold"], strict=True)]
        assert np.mean(same) == pytest.approx(job.report["scores"]["accuracy"])
    else:
        assert np.mean([line["prediction"] == line["gold"] for line in lines]) == pytest.approx(job.report["scores"]["accuracy"])


def test_gold_of_several_labels_and_numbers(tmp_path):
    """A list; a number."""
    for name, rows, gold in (
        ("several", "a film\tx|y\nthe book\tx\na plot\ty\nthe end\ty|x\n" * 5, ["x", "y"]),
        ("numbers", "a film\t1.5\nthe book\t2\na plot\t0.25\nthe end\t3\n" * 5, 1.5),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + rows)
        path = str(tmp_path / f"{name}.tsv")
        job = cases.run("classify", tmp_path / name, train=path, dev=path, epochs=1)
        assert job.task.gold(job.data.dev[0]) == gold


def test_the_loss_on_the_bar_runs_on_over_an_evaluation(tmp_path):
    """Always the mean of the last RUNNING steps; the metrics hold the mean since the last evaluation, as before."""
    job = cases.run("classify", tmp_path, n=96, epochs=6, eval_every=7)
    losses, shown = [], []
    one_step, read = job.trainer.one_step, job.trainer.read

    def step(features, workers):
        parts = one_step(features, workers)
        losses.append(sum(part.item() for part in parts))
        return parts

    job.trainer.one_step = step
    job.trainer.on_state = lambda: None
    job.trainer.read = lambda: (read(), shown.append(job.trainer.running_loss))
    job.train()
    assert len(losses) == 72 > RUNNING
    assert shown == pytest.approx([np.mean(losses[max(0, i + 1 - RUNNING) : i + 1]) for i in range(72)], rel=1e-5)
    assert job.trainer.running_loss == pytest.approx(np.mean(losses[-RUNNING:]), rel=1e-5)
    assert job.trainer.metrics[1]["loss"] == pytest.approx(np.mean(losses[7:14]), rel=1e-5)


def test_answering_and_the_alternatives_show_how_far_they_are(tmp_path, capsys):
    """Between the end of training and the report."""
    job = cases.run("classify", tmp_path, epochs=1, compare="all")
    job.train()
    capsys.readouterr()
    report.finish(job)
    bars = capsys.readouterr().err
    assert "answering dev" in bars
    assert "16/16" in bars
    assert "alternatives: TF-IDF + linear SVM" in bars
    assert "answering from random weights" in bars
