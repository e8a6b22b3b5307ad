"""The parts of minitorch compare: scores and tests of significance, rungs, the split, typing errors, what the page says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.classical import pipeline
from models.comparison import measuring, noise, pictures
from models.comparison.conclusions import amount, elsewhere, finished, ratio
from models.comparison.page import mean_of, verdict_of
from models.comparison.rows import Rows
from models.comparison.rungs import left_out
from models.comparison.settings import Settings, prepare, subset

from .compare_cases import task_of, write_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint and files for each task."""
    return write_files(tmp_path_factory.mktemp("compare"))


# ------------------------------------------------------------------------------------------------- scores and tests


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
    assert measuring.interval(samples["a"], counts["a"]) == pytest.approx([low, high], abs=0.01)
    rows = measuring.against("a", counts)
    assert not rows["b"]["real"]
    assert rows["worse"]["real"]


def test_the_interval_of_answers_that_are_all_right_does_not_end_there():
    counts = measuring.shares([1.0] * 24)
    low, high = measuring.interval(measuring.bootstrap({"a": counts})["a"], counts)
    assert low == pytest.approx(24 / (24 + 1.96**2), abs=1e-4)  # Wilson: n / (n + z²)
    assert high == 1


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
    data = prepare(s).data
    wheres = [{e.where for e in part} for part in (data.train, data.dev, data.test)]
    assert [len(w) for w in wheres] == [65, 7, 18]
    assert not (wheres[0] & wheres[1]) | (wheres[0] & wheres[2]) | (wheres[1] & wheres[2])


# ------------------------------------------------------------------------------------------------------ in words


def test_a_single_draw_has_no_deviation_and_a_tie_no_sign():
    assert mean_of([0.575]) == "0.575 (1)"
    assert mean_of([0.5, 0.7]) == "0.600 ± 0.100 (2)"
    assert mean_of([]) == "-"
    assert verdict_of({"difference": 0.0, "real": False}) == "equal"
    assert verdict_of({"difference": 0.03, "real": True}) == "-0.030, real"
    assert verdict_of({"difference": 0.0001, "real": True}) == "-1.0e-04, real"
    assert ratio(0.107, 0.000619) == "173 times"
    assert ratio(0.004, 0.002) == "2.0 times"
    assert ratio(1.0, 0.0) == "many times"
    assert [amount(x) for x in (0.0, 0.0123, 1.2591, 112.6, 1234.5)] == ["< 0.01", "0.0123", "1.26", "113", "1,234"]


NAMES = ["mean", "TF-IDF: nearest sentence", "TF-IDF: nearest sentence, trimmed", "random forest", "BERT, from random weights"]


@pytest.mark.parametrize(
    ("skip", "away"),
    [
        ("", []),
        ("random", [3, 4]),  # a word: all that have it
        ("random forest", [3]),  # a name
        ("TF-IDF: nearest sentence", [1]),  # a name, although another one begins with it
        ("tf-idf: nearest sentence, trimmed, Mean", [0, 2]),  # names may hold commas
        ("BERT, from random weights; forest", [3, 4]),
        ("BERT, forest", [3, 4]),
        ("nearest,trimmed", [1, 2]),
        (" ; mean ;, ", [0]),
    ],
)
def test_skip_takes_names_or_words_of_names(skip, away):
    assert left_out(skip, NAMES) == {NAMES[i] for i in away}


def test_on_the_other_domain_both_scores_are_named():
    done = {"a": {"score": 0.6, "also": 0.4, "kind": "words"}, "b": {"score": 0.7, "also": 0.3, "kind": "words"}}
    assert elsewhere({}, done, {}) == [
        "On the other domain a is best with 0.400 (on the test examples: 0.600); b loses most, 0.400."
    ]


# -------------------------------------------------------------------------------------------------------- pictures


def drawn(name):
    """The axes of a picture of three rungs, the first two of which cost and score the same."""
    from matplotlib.figure import Figure

    rung = {"status": "done", "kind": "words", "score": 0.8, "train_cpu_seconds": 30.0, "typos": {"0.3": 0.8}, "also": 0.8}
    state = {"order": ["a", "b", "c"], "rungs": {"a": rung, "b": rung, "c": {**rung, "score": 0.5, "train_cpu_seconds": 20.0}}}
    state |= {"tests": {"intervals": dict.fromkeys("abc", (0.4, 0.9))}, "examples": {"train": 64}}
    state["curve"] = {"a": {"10": [0.6], "30": [0.7]}, "b": {"10": [0.6, 0.5], "30": [0.7, 0.7]}}
    axes = Figure(figsize=(9.5, 4.6)).subplots()
    assert pictures.PICTURES[name][1](axes, state, finished(state), "accuracy")
    axes.figure.canvas.draw()
    return axes


def test_points_that_lie_on_each_other_share_a_label_and_ticks_are_plain_numbers():
    axes = drawn("cost.png")
    assert [text.get_text() for text in axes.texts] == ["1, 2", "3"]
    shown = [t.get_text() for t in (*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)) if t.get_text()]
    assert "20" in shown
    assert not any("$" in text for text in shown)


def test_the_learning_curve_has_ticks_at_its_sizes_and_says_which_is_of_one_draw():
    axes = drawn("examples.png")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["10", "30", "64"]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["1  a, one draw", "2  b"]
    assert [text.get_text() for text in axes.texts] == ["1, 2"]


def test_equal_scores_under_typing_errors_do_not_hide_each_other():
    axes = drawn("robustness.png")
    (first, *_), *others = (line.get_ydata() for line in axes.lines)
    assert all(abs(heights[0] - first) > 0.1 for heights in others)
