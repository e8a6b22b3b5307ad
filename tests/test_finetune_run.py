"""Fine-tuning runs: the loop equals PyTorch's, learns, resumes bit-equal, keeps the best, reports, predicts."""

import dataclasses
import json

import numpy as np
import pytest

import minitorch
from minitorch.parallel import Workers
from models import bert, finetuning
from models.cli import main
from models.errors import BadInput
from models.finetuning import report, tag, tasks
from models.finetuning.documentation import tagged
from models.finetuning.qa import Question, best_window, window_starts
from models.finetuning.run import Run, too_little
from models.finetuning.tag import owned, windows
from models.training.batches import Batches
from tests import finetune_cases as cases

each_task = pytest.mark.parametrize("task", list(cases.WRITERS))


def weights(job):
    """All weights by name."""
    return {name: value.numpy().copy() for name, value in job.model.state_dict().items()}


def quiet(**settings):
    """A run that says nothing."""
    return Run(settings.pop("settings"), say=lambda text: None, **settings)


# ------------------------------------------------------------------------------------------------------ the numbers


@each_task
def test_50_steps_equal_hugging_face_frozen(tmp_path, task):
    """Same weights, data order and hyperparameters: the losses that PyTorch gave."""
    _, _, _, losses = cases.ours_50_steps(task, tmp_path)
    np.testing.assert_allclose(losses, json.loads(cases.FROZEN.read_text())[task], atol=2e-5)


@pytest.mark.slow
@each_task
def test_50_steps_equal_hugging_face(tmp_path, task):
    """The same, with PyTorch at hand."""
    pytest.importorskip("transformers")
    job, start, batches, losses = cases.ours_50_steps(task, tmp_path)
    np.testing.assert_allclose(losses, cases.theirs_50_steps(job, start, batches), atol=1e-5)


@each_task
def test_micro_batches_change_nothing(tmp_path, task):
    """Accumulated, on threads or all at once: the same step, also where parts hold different numbers of labels."""
    results = []
    for parts in (1, 2, 3):
        job = cases.run(task, tmp_path, n=24, accumulate=parts, label_smoothing=0.1)
        with Workers(1) as workers:
            job.model.train()
            loss = sum(part.item() for part in job.trainer.one_step(job.trainer.features[:7], workers))
        results.append((loss, {name: p.grad.numpy().copy() for name, p in job.model.named_parameters() if p.grad is not None}))
    for loss, gradients in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-5)
        for name, value in gradients.items():
            np.testing.assert_allclose(value, results[0][1][name], atol=1e-6)


@pytest.mark.parametrize(("weights", "smoothing"), [("neg=1,pos=3", 0.0), ("none", 0.1)])
def test_weighted_and_smoothed_losses_equal_pytorch(tmp_path, weights, smoothing):
    """Each alone."""
    torch = pytest.importorskip("torch")
    job = cases.run("classify", tmp_path, class_weights=weights, label_smoothing=smoothing)
    batch = job.task.batch(job.trainer.features[:6], job.tokenizer)
    loss, output = job.task.loss(job.model, batch)
    logits, labels = torch.tensor(output.logits.detach().numpy()), torch.tensor(batch["labels"].numpy())
    weight = None if weights == "none" else torch.tensor([1.0, 3.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight, label_smoothing=smoothing)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert job.task.weight(batch) == pytest.approx(float((1 + 2 * labels).sum() if weight is not None else 6))


def test_class_weights_count_examples_and_smoothing_does_not_spread_by_them():
    """A weighted mean of smoothed losses, each of which treats all classes alike; ignored labels are left out."""
    rng = np.random.default_rng(0)
    logits, labels, weight = rng.normal(size=(5, 3)), np.array([0, 2, -100, 1, 0]), np.array([0.5, 1.0, 300.0])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    asked = np.flatnonzero(labels >= 0)
    each = [-(0.9 * log_p[i, labels[i]] + 0.1 * log_p[i].mean()) for i in asked]
    expected = np.average(each, weights=weight[labels[asked]])
    found = tasks.weighted_smoothed(minitorch.tensor(logits), minitorch.tensor(labels), weight, 0.1)
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_labels_weigh_their_ones(tmp_path, smoothing):
    """A label's weight multiplies the loss where it is given, not where smoothing makes the target a little more than 0."""
    torch = pytest.importorskip("torch")
    rows = "".join(f"the film {i}\t{'a' if i else 'a|b'}\n" for i in range(12)) + "the plot\tb\n"
    (tmp_path / "several.tsv").write_text("text\tlabel\n" + rows)
    job = quiet(
        settings=cases.settings(
            "classify", tmp_path, train=str(tmp_path / "several.tsv"), dev=str(tmp_path / "several.tsv"),
            class_weights="balanced", label_smoothing=smoothing,
        )
    )  # fmt: skip
    np.testing.assert_allclose(job.task.class_weight, [1 / 12, 11 / 2], rtol=1e-6)
    batch = job.task.batch(job.trainer.features, job.tokenizer)
    loss, output = job.task.loss(job.model, batch)
    ones = torch.tensor(batch["labels"].numpy())
    weight = torch.where(ones == 1, torch.tensor(job.task.class_weight), 1.0)
    logits, targets = torch.tensor(output.logits.detach().numpy()), ones * (1 - smoothing) + smoothing / 2
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, weight)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


RARE = [(f"{word} film {i}", label) for i in range(75) for word, label in (("good", "pos"), ("bad", "neg"))]


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_balanced_weights_and_smoothing_learn_together(tmp_path, task):
    """A class of 2 examples among 150, an I-PER that never occurs: neither becomes the answer to everything."""
    options = {"class_weights": "balanced", "label_smoothing": 0.1, "epochs": 6, "lr": 5e-3, "dev": ""}
    if task == "classify":
        rows = [*RARE, ("plot of story", "odd"), ("story and plot", "odd")]
        (tmp_path / "rare.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
        job = quiet(settings=cases.settings("classify", tmp_path, train=str(tmp_path / "rare.tsv"), **options))
    else:
        job = cases.run("tag", tmp_path, n=150, **options)
        assert dict(zip(job.task.labels, job.task.class_weight, strict=True))["I-PER"] == 1
    job.train()
    assert job.trainer.best > 0.9
    assert any("class weights (with how often the label occurs in training) run from" in note for note in job.task.notes)


def test_balanced_weights_are_scikit_learns(tmp_path):
    """n / (classes · n_class)"""
    from sklearn.utils.class_weight import compute_class_weight

    job = cases.run("classify", tmp_path, n=30, class_weights="balanced")
    targets = [job.task.target(e) for e in job.data.train]
    np.testing.assert_allclose(
        job.task.class_weight, compute_class_weight("balanced", classes=np.arange(2), y=targets), rtol=1e-6
    )


@each_task
def test_padding_changes_nothing(tmp_path, task):
    """A text alone and beside longer ones."""
    job = cases.run(task, tmp_path)
    rows, _ = job.trainer.answer(job.trainer.features)
    for i in (0, 3, 11):
        alone, _ = job.trainer.answer(job.trainer.features[i : i + 1])
        for a, b in zip(np.atleast_2d(alone[0]), np.atleast_2d(rows[i]), strict=False):
            n = min(len(a), len(b))
            np.testing.assert_allclose(np.asarray(a)[:n], np.asarray(b)[:n], atol=2e-5)


# ------------------------------------------------------------------------------------------------------- holding out


def held_out(tmp_path, text, task="classify", suffix="tsv", **options):
    """The run of a file without --dev."""
    (tmp_path / f"some.{suffix}").write_text(text)
    return quiet(settings=cases.settings(task, tmp_path, train=str(tmp_path / f"some.{suffix}"), dev="", **options))


@pytest.mark.parametrize("seed", range(4))
def test_training_keeps_rare_labels(tmp_path, seed):
    """36 rows, the last two of a rare label: it needs both, and a note says that the dev scores leave it out."""
    rows = "".join(f"{w} film {i}\t{label}\n" for i in range(17) for w, label in (("good", "pos"), ("bad", "neg")))
    job = held_out(tmp_path, f"text\tlabel\n{rows}plot\trare\nstory\trare\n", seed=seed)
    assert sum(e.target == "rare" for e in job.data.train) == 2
    assert sorted(e.target for e in job.data.dev) == ["neg", "neg", "pos", "pos"]
    assert "no held-out example has rare (2 examples): the dev scores do not cover them" in " ".join(job.task.notes)


@pytest.mark.parametrize("seed", range(4))
def test_every_label_gives_its_share(tmp_path, seed):
    """10 % of 100, 50 and 10; labels and their weights are counted in what is left to learn from."""
    names = ["a"] * 100 + ["b"] * 50 + ["c"] * 10
    rows = "".join(f"film {i}\t{name}\n" for i, name in enumerate(names))
    job = held_out(tmp_path, "text\tlabel\n" + rows, seed=seed, class_weights="balanced")
    assert sorted(e.target for e in job.data.dev) == ["a"] * 10 + ["b"] * 5 + ["c"]
    np.testing.assert_allclose(job.task.class_weight, [144 / (3 * n) for n in (90, 45, 9)], rtol=1e-6)
    assert not any("no held-out example" in note for note in job.task.notes)


@pytest.mark.parametrize("seed", range(3))
def test_other_tasks_keep_their_rare_kinds(tmp_path, seed):
    """The only sentence with a place, the only question without an answer, the only right choice at the end: all train."""
    people = "anna\tB-PER\nwent\tO\n\n" * 12
    job = held_out(tmp_path, f"rome\tB-LOC\n\n{people}", "tag", "conll", seed=seed, validation=0.5)
    assert sum("B-LOC" in s.tags for s in job.data.train) == 1
    assert len(job.data.dev) == 6
    cases.write_qa(tmp_path / "qa.json", 12)
    content = json.loads((tmp_path / "qa.json").read_text())
    content["data"][0]["paragraphs"][3]["qas"][0] |= {"is_impossible": True, "answers": []}
    job = held_out(tmp_path, json.dumps(content), "qa", "json", seed=seed, validation=0.5)
    assert job.task.may_be_none
    assert all(q.answers for q in job.data.dev)
    assert any("no held-out example has no answer (1 example)" in note for note in job.task.notes)
    line = '{"question": "it was", "choices": ["good", "bad", "sad"], "label": %d}\n'
    job = held_out(tmp_path, line % 2 + "".join(line % (i % 2) for i in range(12)), "choice", "jsonl", seed=seed, validation=0.5)
    assert all(e.target < 2 for e in job.data.dev)


def test_several_labels_are_held_out_together(tmp_path):
    """Every label of a row must be able to do without it."""
    rows = "".join(f"film {i}\t{'a|b' if i % 2 else 'a'}{'|c' if i in (3, 7) else ''}\n" for i in range(40))
    job = held_out(tmp_path, "text\tlabel\n" + rows, validation=0.25)
    counts = {name: sum(name in job.task.names(e) for e in job.data.dev) for name in "abc"}
    assert counts["a"] == 10
    assert counts["b"] in (4, 5)
    assert counts["c"] == 0


def test_too_few_to_hold_some_out(tmp_path):
    """Training needs two examples of each label, and there are no more."""
    with pytest.raises(BadInput, match=r"too few examples to hold some out \(training keeps 2 of each label\); give --dev"):
        held_out(tmp_path, "text\tlabel\ngood\tpos\nfine\tpos\nbad\tneg\nsad\tneg\n")


# ----------------------------------------------------------------------------------------------- learning, resuming


@pytest.mark.parametrize(("task", "least"), [("classify", 0.85), ("tag", 0.9), ("qa", 60.0), ("choice", 0.85)])
def test_each_task_is_learnt(tmp_path, task, least):
    """A small BERT from random weights gets it; the best checkpoint is what the folder holds, for Hugging Face's names too."""
    job = cases.run(task, tmp_path, n=300, epochs=8, lr=5e-3)
    job.train()
    assert job.trainer.best >= least
    _, scores, _ = job.trainer.report_on(job.data.dev)
    assert scores[job.trainer.metric] == pytest.approx(job.trainer.best)
    config = bert.BertConfig.from_json_file(tmp_path / "out" / "config.json")
    if task in ("classify", "tag"):
        assert list(config.id2label.values()) == job.task.labels
    predictor = finetuning.load(tmp_path / "out")
    records = predictor.file(job.s.dev)
    rows, _ = job.trainer.answer(job.trainer.dev_features)
    expected = [
        job.task.shown(e, p)
        for e, p in zip(job.data.dev, job.task.predictions(job.data.dev, job.trainer.dev_features, rows), strict=True)
    ]
    key = {"tag": "tags"}.get(task, "prediction")
    assert [r[key] for r in records] == [r[key] for r in expected]


@each_task
def test_a_resumed_run_is_bit_equal(tmp_path, task):
    """With dropout, threads and early stopping on: the state at any step is all that the rest depends on."""
    options = {"n": 40, "epochs": 2, "dropout": 0.1, "threads": 2, "save_every": 1, "patience": 5}
    whole = cases.run(task, tmp_path, **options)
    whole.train()
    broken = quiet(settings=dataclasses.replace(whole.s, output=str(tmp_path / "broken")))
    cases.stop_at(broken, 7)
    going_on = quiet(settings=dataclasses.replace(whole.s, output=str(tmp_path / "broken")))
    going_on.load_state()
    assert going_on.trainer.step == 7
    going_on.train()
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(value, weights(going_on)[name])
    assert going_on.trainer.metrics == whole.trainer.metrics


def test_resume_wants_the_same_files(tmp_path):
    """A changed file is refused."""
    job = cases.run("classify", tmp_path)
    job.save_state()
    cases.write_classify(tmp_path / "train.tsv", 48, seed=9)
    with pytest.raises(BadInput, match="that run used other files, or they have changed since"):
        quiet(settings=job.s).load_state()


def test_early_stopping_and_the_best_checkpoint(tmp_path):
    """With a metric that cannot get better it stops after ``patience`` more evaluations; the first one is kept."""
    job = cases.run("classify", tmp_path, epochs=9, patience=2, lr=1e-12)
    job.train()
    assert len(job.trainer.metrics) == 3
    assert [line["best"] for line in job.trainer.metrics] == [True, False, False]


@pytest.mark.parametrize("option", [{}, {"warmup": 0.5}, {"batch_size": 1, "n": 120, "epochs": 3}])
def test_early_stopping_waits_for_evidence(tmp_path, option):
    """Evaluated at every step: an epoch, or 100 steps, after the best step and the warmup at the earliest."""
    options = {"epochs": 9, "patience": 1, "eval_every": 1, "lr": 1e-12, "warmup": 0.0, **option}
    job = cases.run("classify", tmp_path, **options)
    job.train()
    assert job.trainer.step < job.trainer.steps
    best = job.trainer.last_best["step"]
    assert job.trainer.step == max(job.trainer.warmup, best) + min(job.trainer.batches.count, 100)


def test_early_stopping_goes_on_while_the_loss_falls(tmp_path, monkeypatch):
    """A score often rests on a plateau while the model learns: only when the dev loss stops falling, too, is it over."""
    job = cases.run("classify", tmp_path, epochs=9, patience=2, lr=1e-12)
    losses = iter([0.9, 0.8, 0.7, 0.75, 0.71, 0.6, 0.5, 0.4, 0.3])
    answer = job.trainer.answer
    monkeypatch.setattr(job.trainer, "answer", lambda *args: (answer(*args)[0], next(losses)))
    monkeypatch.setattr(job.task, "score", lambda examples, predictions: {"accuracy": 0.5})
    job.trainer.train()
    assert [line["dev_loss"] for line in job.trainer.metrics] == [0.9, 0.8, 0.7, 0.75, 0.71]
    assert [line["best"] for line in job.trainer.metrics] == [True, True, True, False, False]


def test_a_higher_score_is_kept_though_its_loss_is_higher(tmp_path, monkeypatch):
    """The loss decides between equal scores alone; a lower loss with a lower score only lets training go on."""
    job = cases.run("classify", tmp_path, epochs=6, patience=1, lr=1e-12)
    seen = iter([(0.9, 0.5), (0.8, 0.4), (0.7, 0.3), (0.9, 0.45), (0.9, 0.5), (1.0, 0.1)])
    now = [(0.0, 0.0)]

    def answer(features, workers=None):
        now[0] = next(seen)
        return original(features, workers)[0], now[0][1]

    original = job.trainer.answer
    monkeypatch.setattr(job.trainer, "answer", answer)
    monkeypatch.setattr(job.task, "score", lambda examples, predictions: {"accuracy": now[0][0]})
    job.trainer.train()
    assert [line["best"] for line in job.trainer.metrics] == [True, False, False, True, False]
    assert job.trainer.best == 0.9


def test_among_equal_scores_the_lowest_loss_is_kept(tmp_path):
    """Few dev examples tie: the checkpoint with the best score and, of those, the lowest dev loss is in the folder."""
    (tmp_path / "few.tsv").write_text("text\tlabel\ngood film\tpos\nbad film\tneg\n")
    job = cases.run("classify", tmp_path, n=300, epochs=6, eval_every=20, lr=5e-3, dev=str(tmp_path / "few.tsv"))
    job.train()
    lines = job.trainer.metrics
    assert [line["dev_accuracy"] for line in lines].count(1.0) > 1
    kept = max(lines, key=lambda line: (line["dev_accuracy"], -line["dev_loss"]))
    assert kept["step"] == json.loads((tmp_path / "out" / "finetune.json").read_text())["step"]
    assert [line["step"] for line in lines if line["best"]][-1] == kept["step"] > lines[0]["step"]
    _, scores, _ = job.trainer.report_on(job.data.dev)
    assert scores["loss"] == pytest.approx(kept["dev_loss"], rel=1e-5)


def test_a_metric_that_the_dev_examples_do_not_give_is_refused(tmp_path):
    """R² of one number."""
    (tmp_path / "many.tsv").write_text("text\tscore\n" + "".join(f"film {i}\t{i / 4}\n" for i in range(9)))
    (tmp_path / "one.tsv").write_text("text\tscore\nfilm\t0.5\n")
    with pytest.raises(BadInput, match="--metric r2 cannot be computed from 1 dev example; take another"):
        cases.run("classify", tmp_path, train=str(tmp_path / "many.tsv"), dev=str(tmp_path / "one.tsv"), metric="r2")


def test_loss_as_the_metric_is_best_when_smallest(tmp_path):
    """--metric loss"""
    job = cases.run("classify", tmp_path, epochs=4, metric="loss", lr=5e-3)
    job.train()
    assert job.trainer.best == min(line["dev_loss"] for line in job.trainer.metrics)
    with pytest.raises(BadInput, match="there is no such metric for this task; there are accuracy"):
        cases.run("classify", tmp_path, metric="pearson")


def test_frozen_layers_do_not_move(tmp_path):
    """--freeze 1: embeddings and the first layer; -1: embeddings alone."""
    for layers, still in ((1, ("embeddings", "layer.0.")), (-1, ("embeddings",))):
        job = cases.run("classify", tmp_path, freeze=layers, lr=1e-2)
        before = weights(job)
        job.trainer.train()
        for name, value in weights(job).items():
            assert (value == before[name]).all() == any(part in name for part in still), name


def test_regression_is_saved_in_the_files_units(tmp_path):
    """Learnt standardised, saved so that the model's own output is the number itself."""
    rows = [(text, str(1000 + 50.5 * (label == "pos"))) for text, label in cases.classify_rows(200)]
    (tmp_path / "n.tsv").write_text("sentence\tscore\n" + "".join("\t".join(row) + "\n" for row in rows))
    s = cases.settings("classify", tmp_path, train=str(tmp_path / "n.tsv"), dev="", epochs=8, lr=5e-3)
    job = quiet(settings=s)
    job.train()
    assert job.task.targets == "numbers"
    assert job.trainer.best > 0.9
    predictor = finetuning.load(tmp_path / "out")
    good, bad = (r["prediction"] for r in predictor(["the good film was good", "the bad film was bad"]))
    assert 1030 < good < 1070
    assert 980 < bad < 1020
    assert predictor.trainer.model.config.problem_type == "regression"
    found = report.alternatives(quiet(settings=dataclasses.replace(s, compare="classical")), job.data.dev)
    assert [row["name"] for row in found] == ["mean", "TF-IDF + linear regression (ridge)"]
    assert found[1]["pearson"] > 0.9


def test_several_labels_and_pairs(tmp_path):
    """Lists in JSONL are several labels; a second text makes a pair."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(300):
        person, place = (rng.random(2) < 0.5).tolist()
        text = " ".join([*rng.choice(cases.OTHER, 4), *(["anna"] * person), *(["rome"] * place)])
        lines.append({"text": text, "text2": "who", "labels": ["person"] * int(person) + ["place"] * int(place)})
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    s = cases.settings("classify", tmp_path, train=str(tmp_path / "m.jsonl"), dev="", epochs=8, lr=5e-3, compare="classical")
    job = quiet(settings=s)
    job.train()
    assert (job.task.targets, job.task.labels) == ("several", ["person", "place"])
    assert job.trainer.best > 0.9
    assert 1 in job.trainer.features[0].types
    assert job.task.usage == "--file FILE"  # a single text, as others are shown to take, would be refused
    (record,) = finetuning.load(tmp_path / "out")(["film it was of anna rome\twho"])
    assert record["prediction"] == ["person", "place"]
    assert {row["name"] for row in report.alternatives(job, job.data.dev)} >= {"TF-IDF + linear SVM", "majority class"}


# --------------------------------------------------------------------------------------------- commands and reports


@each_task
def test_the_command_and_its_report(tmp_path, capsys, task):
    """finetune writes the report in three forms, predict uses the model; a finished run is not overwritten by accident."""
    s = cases.settings(task, tmp_path)
    out = str(tmp_path / "out")
    argv = ["finetune", task, "--model", s.model, "--train", s.train, "--test", s.dev, "--output", out, "--epochs", "1"]
    argv += ["--batch-size", "16", "--threads", "1", "--length", "32", *(["--fuse"] if task == "classify" else [])]
    assert main(argv) == 0
    shown = capsys.readouterr().out
    assert "the same BERT from random weights" in shown
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["judged_on"] == "test"
    assert (tmp_path / "out" / "report.txt").read_text().strip() in shown
    assert ("; labels " in shown) == (task in ("classify", "tag"))  # of the others they are no one's words
    assert shown.endswith(f"predict --model {out} {'--file FILE' if task in ('qa', 'choice') else repr('a text')}\n")
    assert (tmp_path / "out" / "report.png").stat().st_size > 5000
    for row in written["alternatives"]:
        assert {"train_seconds", "parameters", "bytes", "ms_per_example", written["metric"]} <= row.keys()
    assert main(argv) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["finetune", "--resume", "--output", out, "--compare", "none"]) == 0
    assert "nothing is left to train" in capsys.readouterr().out
    assert main(["predict", "--model", out, "--file", s.dev, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all("prediction" in json.loads(line) or "tags" in json.loads(line) for line in lines)
    predictions = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert len(predictions) == len(lines) == written["examples"]["test"]


def row(name, **scores):
    """A line of the comparison."""
    return report.row_of(name, scores, (1.0, 2.0), (0.003, 0.004), 10, 80)


@pytest.mark.parametrize(
    ("rows", "marked"),
    [
        ([row("a", accuracy=0.9)], {}),
        ([row("a", accuracy=0.9), row("b", accuracy=0.8)], {"a": "<- best"}),
        ([row("a", accuracy=0.9), row("b", accuracy=0.9), row("c", accuracy=0.1)], {}),
        ([row("a", accuracy=0.90001), row("b", accuracy=0.90002)], {}),
        ([row("a", accuracy=0.9, macro_f1=0.5), row("b", accuracy=0.8, macro_f1=0.6)], {"a": "<- best accuracy"}),
        ([row("a", accuracy=0.9, macro_f1=0.5), row("b", accuracy=0.8, macro_f1=0.5)], {"a": "<- best"}),
        ([row("a", rmse=0.9), row("b", rmse=0.8)], {"b": "<- best"}),
        ([row("a", hamming_loss=0.9), row("b", hamming_loss=0.8)], {"b": "<- best"}),
        ([row("a", r2=float("nan")), row("b", r2=float("nan"))], {}),
    ],
)
def test_at_most_one_row_is_marked_best(rows, marked):
    """The one that wins alone, as printed; with the metric's name where the other metric prefers another row."""
    head, *lines = report.comparison(rows, list(rows[0])[1]).splitlines()
    found = {line.split()[0]: line[line.index("<-") :] for line in lines if "<-" in line}
    assert found == marked
    titles = [part for part in head.split("  ") if part]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("task", ["qa", "classify"])
def test_what_an_alternative_loads_is_not_on_its_clock(tmp_path, task):
    """It runs once on a few examples before the clock starts."""
    job = cases.run(task, tmp_path)
    events = []

    class Slow:
        parameters = size = 0

        def fit(self, examples):
            events.append(("fit", len(examples)))
            return self

        def predict(self, examples):
            events.append(("predict", len(examples)))
            return examples

    report.measured(Slow, job.data.train, job.data.dev)
    few = len(job.data.train[:: max(1, len(job.data.train) // 30)])
    assert events == [("fit", few), ("predict", len(job.data.dev)), ("fit", len(job.data.train)), ("predict", len(job.data.dev))]


@pytest.mark.parametrize("option", [{"patience": 2}, {"metric": "macro_f1"}])
def test_what_needs_dev_examples_says_so(tmp_path, option):
    """Without any, early stopping and the choice of a checkpoint would do nothing."""
    test = cases.write_classify(tmp_path / "test.tsv", 16)
    with pytest.raises(BadInput, match=f"--{next(iter(option))} needs dev examples: give --dev, or a --validation share above 0"):
        cases.run("classify", tmp_path, dev="", test=test, validation=0.0, **option)


def test_fuse_alone(tmp_path):
    """--fuse asks for its row even where --compare none leaves the others out."""
    job = cases.run("classify", tmp_path, epochs=1, fuse=True)
    assert [row["name"] for row in report.alternatives(job, job.data.dev)] == ["TF-IDF + BERT features, logistic regression"]


def test_predict_complains(tmp_path, capsys):
    """One line."""
    for argv, says in ((["a"], "no finetune.json here; give a folder"), ([], "give texts, or --file FILE")):
        assert main(["predict", "--model", str(tmp_path), *argv]) == 2
        assert says in capsys.readouterr().err
    for name in ("tag", "classify"):  # what `minitorch finetune` without files leaves
        (tmp_path / name).mkdir()
        (tmp_path / name / "finetune.json").write_text("{}")
    assert main(["predict", "--model", str(tmp_path), "a"]) == 2
    assert capsys.readouterr().err.endswith(f"give {tmp_path / 'classify'} or {tmp_path / 'tag'}\n")


@each_task
def test_texts_from_python(tmp_path, task):
    """Several texts in one example are a string with tabs or a tuple; what is neither is refused in words."""
    job = cases.run(task, tmp_path, epochs=1)
    job.train()
    predictor = finetuning.load(tmp_path / "out")
    parts = {"classify": ("good film",), "tag": ("anna", "went"), "qa": ("who went?", "anna went"), "choice": ("a b", "a", "b")}[
        task
    ]
    typed = predictor(["\t".join(parts)])
    assert predictor([parts]) == predictor([list(parts)]) == typed
    assert predictor([]) == []
    for wrong, says in (
        ("anna went", "give a list of texts"),
        ([3], "text 1: a text is a string"),
        ([parts, (1, 2)], "text 2: a"),
    ):
        with pytest.raises(BadInput, match=says):
            predictor(wrong)
    if task == "tag":
        assert predictor([("U.S.", "don't")])[0]["words"] == ["U.S.", "don't"]  # as given, and not cut


@pytest.mark.parametrize(("changes", "said"), [({"lr": 5e-5}, True), ({"lr": 5e-3}, False), ({"lr": 1e-3, "epochs": 20}, False)])
def test_a_run_that_cannot_learn_says_so_before_it_starts(tmp_path, changes, said):
    """12 steps of 5e-5 move no weight by a tenth of its size."""
    notes = []
    job = Run(cases.settings("classify", tmp_path, **changes), say=notes.append)
    assert any("hardly anything will be learnt" in note for note in notes) == said
    if said:
        before = weights(job)
        job.trainer.train()
        after = weights(job)
        assert max(np.abs(after[name] - before[name]).max() for name in before) < 12 * 5e-5


def test_python_in_a_few_lines(tmp_path):
    """finetune(...) and load(...)."""
    s = cases.settings("classify", tmp_path, n=60)
    done = finetuning.finetune(
        "classify", train=s.train, model=s.model, output=s.output, epochs=1, compare="classical", say=lambda text: None
    )
    assert 0 <= done.report["scores"]["accuracy"] <= 1
    assert finetuning.load(s.output)(["good film"])[0]["prediction"] in ("neg", "pos")
    before = weights(done)
    with pytest.raises(ValueError, match="holds a run already: give another output, or overwrite=True"):
        finetuning.finetune("classify", train=s.train, model=s.model, output=s.output)
    again = finetuning.finetune(
        "classify", s.train, lambda text: None, True, model=s.model, output=s.output, epochs=1, compare="none", seed=1
    )
    assert any((weights(again)[name] != before[name]).any() for name in before)


@each_task
def test_hugging_face_reads_the_checkpoint(tmp_path, task):
    """Labels inside, logits equal, the tokenizer too."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    job = cases.run(task, tmp_path, epochs=1)
    job.train()
    folder = tmp_path / "out"
    theirs = getattr(transformers, type(job.model).__name__).from_pretrained(folder, attn_implementation="eager").eval()
    if task in ("classify", "tag"):
        assert list(theirs.config.id2label.values()) == job.task.labels
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer("The good film.")["input_ids"] == job.tokenizer("The good film.")["input_ids"].tolist()[0]
    batch = job.task.batch(job.trainer.features[:4], job.tokenizer)
    batch = {name: value for name, value in batch.items() if name not in ("labels", "start_positions", "end_positions")}
    job.model.eval()
    with minitorch.no_grad():
        ours = job.model(**batch)
    batch.pop("rows", None)  # a shortening that Hugging Face's model does not have
    expected = theirs(**{name: torch.tensor(value.numpy()) for name, value in batch.items()})
    for name in ("start_logits", "end_logits") if task == "qa" else ("logits",):
        np.testing.assert_allclose(ours[name].numpy(), expected[name].detach().numpy(), atol=1e-5)


# -------------------------------------------------------------------------------------------------- pieces, windows


def test_batches_are_of_one_length_and_complete():
    """Every feature once an epoch; little padding; a function of (seed, epoch)."""
    rng = np.random.default_rng(0)
    features = [tasks.Feature(i, [0] * int(n), []) for i, n in enumerate(rng.integers(5, 100, 500))]
    batches = Batches(features, 16, seed=1)
    epochs = [batches.epoch(n) for n in (0, 1, 0)]
    assert sorted(np.concatenate(epochs[0]).tolist()) == list(range(500))
    assert all((a == b).all() for a, b in zip(epochs[0], epochs[2], strict=True))
    assert any(a.tolist() != b.tolist() for a, b in zip(epochs[0], epochs[1], strict=True))
    padded = sum(len(b) * batches.sizes[b].max() for b in epochs[0])
    assert padded < 1.06 * batches.sizes.sum()
    assert len(epochs[0]) == batches.count == 32


def test_windows():
    """Words whole, contexts overlapping, every piece read where it has the most context."""
    assert windows([2, 2, 3, 1, 4], 4, 2) == [range(2), range(1, 2), range(2, 4), range(3, 4), range(4, 5)]
    assert windows([1, 1, 1], 4, 2) == [range(3)]
    own = owned([2, 2, 3, 1, 4], windows([2, 2, 3, 1, 4], 4, 2))
    assert own == [(range(2), [0, 1]), (range(2, 4), [2, 3]), (range(4, 5), [4])]
    assert window_starts(10, 4, 3) == [0, 3, 6]
    assert window_starts(4, 4, 3) == [0]
    assert [best_window(t, [0, 3, 6], 10, 4) for t in range(10)] == [0, 0, 0, 0, 3, 3, 3, 6, 6, 6]


def test_windows_of_a_context_overlap_however_short_they_are(tmp_path):
    """With --length 24 the usual --stride of 128 would leave gaps, and answers across them could not be found."""
    job = cases.run("qa", tmp_path, length=24, stride=128)
    question = Question("q", "who went ?", " ".join(["the film"] * 40), [("film the film", 4)], "here")
    features = job.task.features([question], job.tokenizer)
    room = 24 - 3 - 3
    assert [sum(own) for f in features for _, _, own in [f.extra]][1:-1] == [room // 2] * (len(features) - 2)
    assert all(len(f.extra[1]) == room for f in features[:-1])
    starts = [f.extra[1][0][0] for f in features]
    ends = [f.extra[1][-1][1] for f in features]
    assert all(start < end for start, end in zip(starts[1:], ends[:-1], strict=True))


def test_sub_word_policy(tmp_path):
    """The first piece carries the label, the rest -100; long sentences are cut between words and every word is asked for."""
    job = cases.run("tag", tmp_path, length=8)
    (tmp_path / "long.conll").write_text("".join(f"{w}\tO\n" for w in ["xyz", "the", *["film"] * 20]))
    sentences = job.task.read(str(tmp_path / "long.conll"))
    features = job.task.features(sentences, job.tokenizer)
    assert features[0].target == [-100, 0, -100, -100, 0, 0, -100, -100]  # xyz is three pieces; the next window answers the last
    assert sorted(word for f in features for _, word in f.extra) == list(range(22))


@pytest.mark.parametrize(("room", "stride"), [(6, 3), (6, 1), (9, 4), (20, 10), (5, 5)])
def test_each_word_is_answered_where_it_has_the_most_context(room, stride):
    """Once, in a window that holds all of it; away from the ends, with half of the overlap on either side (less a word)."""
    rng = np.random.default_rng(room)
    for _ in range(50):
        lengths = rng.integers(1, 4, int(rng.integers(1, 60))).tolist()
        edge = np.cumsum([0, *lengths])
        parts = owned(lengths, windows(lengths, room, stride))
        assert sorted(w for _, own in parts for w in own) == list(range(len(lengths)))
        for words, own in parts:
            assert set(own) <= set(words)
            assert edge[words.stop] - edge[words.start] <= room
            for w in own:
                left, right = edge[w] - edge[words.start], edge[words.stop] - edge[w + 1]
                least = (room - stride) / 2 - 4
                assert left >= min(edge[w], least), "the start of the sentence, or context"
                assert right >= min(edge[-1] - edge[w + 1], least), "the end of the sentence, or context"


def test_windows_answer_as_the_whole_sentence_does(tmp_path, monkeypatch):
    """A model to which a word is an entity if "went" stands in the three pieces before it, or "film" in the three after it."""
    rng = np.random.default_rng(0)
    job = cases.run("tag", tmp_path, length=64)
    texts = [[str(w) for w in rng.choice([*cases.OTHER, "went", "xyz"], int(rng.integers(30, 50)))] for _ in range(30)]
    sentences = job.task.from_text(texts)
    went, film = (job.tokenizer.vocabulary[word] for word in ("went", "film"))
    entity = job.task.labels.index("B-PER")

    def answers(length):
        job.task.s.length = length
        features = job.task.features(sentences, job.tokenizer)
        rows = [np.zeros((f.size, len(job.task.labels))) for f in features]
        for row, f in zip(rows, features, strict=True):
            for i in range(f.size):
                row[i, entity] = went in f.ids[max(0, i - 3) : i] or film in f.ids[i + 1 : i + 4]
        tags = job.task.predictions(sentences, features, rows)
        return len(features), [tag for row in tags for tag in row]

    n, whole = answers(64)
    assert n == len(sentences)
    assert 0.2 < np.mean([tag != "O" for tag in whole]) < 0.8
    n, overlapping = answers(24)
    assert n > 2 * len(sentences)
    assert overlapping == whole
    monkeypatch.setattr(tag, "windows", lambda lengths, room, stride: windows(lengths, room, room))  # edge to edge
    assert answers(24)[1] != whole


def test_iob1_and_iobes_become_iob2(tmp_path):
    """--iob1 takes an I- that begins an entity; E- and S- are I- and B-."""
    job = cases.run("tag", tmp_path, iob1=True)
    path = tmp_path / "x.conll"
    path.write_text("a\tI-LOC\nb\tI-LOC\nc\tB-LOC\nd\tO\ne\tI-PER\nf\tI-LOC\n\ng\tS-PER\nh\tB-LOC\ni\tE-LOC\n")
    assert [s.tags for s in job.task.read(str(path))] == [
        ["B-LOC", "I-LOC", "B-LOC", "O", "B-PER", "B-LOC"],
        ["B-PER", "B-LOC", "I-LOC"],
    ]


def test_questions_without_an_answer(tmp_path):
    """SQuAD 2.0: "" is an answer; 1.1: never."""
    train = cases.write_qa(tmp_path / "two.json", 60, impossible=True)
    job = quiet(settings=cases.settings("qa", tmp_path, train=train, dev="", epochs=1))
    assert job.task.may_be_none
    rows, _ = job.trainer.answer(job.trainer.dev_features)
    predictions = job.task.predictions(job.data.dev, job.trainer.dev_features, rows)
    assert all("" in [p["text"] for p in answer] for answer in predictions)
    job.s.null_threshold = -1e9
    assert all(p[0]["text"] == "" for p in job.task.predictions(job.data.dev, job.trainer.dev_features, rows))
    assert "no_answer_f1" in job.task.score(job.data.dev, predictions)


def test_markup_becomes_tags():
    """``x`` LITERAL, :role:`x` REF, `x` and *x* PARAM if the function has that parameter; the text loses its markup."""
    words, tags = tagged("If ``x`` is *axis* or `other`, see :func:`~np.sum`.", {"axis"})
    assert words == ["If", "x", "is", "axis", "or", "other", ",", "see", "np", ".", "sum", "."]
    assert tags == ["O", "B-LITERAL", "O", "B-PARAM", "O", "O", "O", "O", "B-REF", "I-REF", "I-REF", "O"]


def library(folder, words, files=60):
    """Source files with docstrings, the parameter and a literal marked."""
    rng = np.random.default_rng(len(words))
    for i in range(files):
        functions = []
        for j in range(6):
            text = " ".join(map(str, rng.choice([*words, *cases.OTHER], 24)))
            functions.append(f'def f{j}(axis):\n    """The {text} along `axis` gives ``None`` in {i} {text[:40]} cases."""\n')
        (folder / f"m{i}.py").write_text("\n".join(functions).replace(f" {i} ", " "))
    return folder


def test_with_no_files_it_makes_its_own(tmp_path, capsys, monkeypatch):
    """Two tasks from the documentation that is there, split by source file; ordinary files are left to look at."""
    from models.text import python_docs

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    found = [("alpha", library(tmp_path / "a", cases.GOOD)), ("beta", library(tmp_path / "b", cases.BAD[:5]))]
    monkeypatch.setattr(python_docs, "source_folders", lambda libraries: found)
    model = str(cases.checkpoint(tmp_path / "start"))
    argv = [
        "finetune",
        "--model",
        model,
        "--output",
        str(tmp_path / "out"),
        "--epochs",
        "1",
        "--compare",
        "classical",
        "--lr",
        "3e-3",
    ]
    assert main(argv) == 0
    assert "TF-IDF + logistic regression" in capsys.readouterr().out
    for task in ("classify", "tag"):
        done = json.loads((tmp_path / "out" / task / "report.json").read_text())
        assert done["judged_on"] == "test"
        assert done["examples"]["train"] > done["examples"]["test"] > 20
    lines = (tmp_path / "out" / "classify" / "data" / "test.tsv").read_text().splitlines()
    assert {line.split("\t")[1] for line in lines[1:]} == {"alpha", "beta"}
    assert "axis\tB-PARAM\n" in (tmp_path / "out" / "tag" / "data" / "train.conll").read_text()
    assert main(argv) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_no_rate_is_advised_that_is_not_higher():
    assert too_little(tasks.Settings(lr=5e-5), 4, 0.02).endswith(", or a higher --lr: a small BERT bears 1e-3")
    assert too_little(tasks.Settings(lr=1e-3), 2, 0.02).endswith("Try more --epochs or a smaller --batch-size")


def test_a_setting_that_does_not_exist_is_named():
    with pytest.raises(TypeError, match="finetune: no setting is called 'trian'; did you mean 'train'"):
        finetuning.finetune("classify", trian="x.tsv")


def test_a_question_and_a_sentence_are_a_pair(tmp_path):
    """QNLI's columns."""
    rows = "".join(f"{i}\twho went?\tanna went {i}\t{('entailment', 'not')[i % 2]}\n" for i in range(8))
    (tmp_path / "q.tsv").write_text("index\tquestion\tsentence\tlabel\n" + rows)
    job = quiet(settings=cases.settings("classify", tmp_path, train=str(tmp_path / "q.tsv"), dev="", validation=0.3))
    assert job.task.columns == {"text": "question", "pair": "sentence", "label": "label"}
