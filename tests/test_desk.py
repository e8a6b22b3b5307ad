"""The support desk: rankers against their formulas, the threshold against every level, tuning against NumPy, the command."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitorch import tensor
from models import cli
from models.desk.desk import Desk
from models.desk.faq import held_out, read_faq
from models.desk.search import BM25, at_level, hits_and_misses, of_entries, quality, rankers, ranks, threshold
from models.desk.tuning import TEMPERATURE, in_batch_loss

from .finetune_cases import BAD, GOOD, OTHER, checkpoint

TEXTS = ["the cat sat on the mat", "a dog", "the dog and the other dog ran"]


def test_bm25_by_hand():
    """Robertson and Zaragoza's sum, over what the question's words could score at most."""
    question = "dog dog cat unicorn"
    split = [text.split() for text in TEXTS]
    mean = sum(map(len, split)) / 3

    def idf(word):
        n = sum(word in words for words in split)
        return math.log(1 + (3 - n + 0.5) / (n + 0.5))

    def score(words):
        weight = 1.5 * (1 - 0.75 + 0.75 * len(words) / mean)
        return sum(idf(w) * words.count(w) * 2.5 / (words.count(w) + weight) for w in question.split())

    most = 2.5 * sum(idf(w) for w in question.split())
    got = BM25().fit(TEXTS).scores([question, "nothing of it"])
    np.testing.assert_allclose(got[0], [score(words) / most for words in split], rtol=1e-9)
    np.testing.assert_array_equal(got[1], 0)


def test_scores_lie_between_minus_1_and_1_and_a_text_finds_itself():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((len(TEXTS), 5))
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    found = rankers(lambda texts: unit[[TEXTS.index(t) for t in texts]])
    assert list(found) == ["TF-IDF", "BM25", "vectors", "BM25 and vectors"]
    for ranker in found.values():
        scores = ranker.fit(TEXTS).scores(TEXTS)
        assert (abs(scores) <= 1 + 1e-6).all()
        assert (scores.argmax(1) == np.arange(3)).all()


def test_an_entry_scores_as_its_best_text_and_ties_count_against_it():
    scores = of_entries(np.array([[0.1, 0.5, 0.3], [0.2, 0.2, 0.2]]), np.array([0, 1, 0]), 3)
    np.testing.assert_array_equal(scores, [[0.3, 0.5, -np.inf], [0.2, 0.2, -np.inf]])
    places = ranks(scores, np.array([1, 0]))
    assert places.tolist() == [1, 2]
    assert quality(places) == {"recall@1": 0.5, "recall@3": 1.0, "recall@10": 1.0, "mrr": 0.75}


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 5), st.floats(0, 1))
def test_no_level_does_better_than_the_threshold(seed, questions, entries, unknown):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, (questions, entries)) / 4
    right = rng.integers(-1, entries, questions)
    best = threshold(scores, right, unknown)
    hits, misses = hits_and_misses(scores, right)
    assert best == at_level(best.value, hits, misses)

    def value(t):
        return (1 - unknown) * t.answered + unknown * t.refused

    for level in np.linspace(-1, 1.01, 60):
        assert value(at_level(level, hits, misses)) <= value(best) + 1e-12


def test_hits_and_misses_by_hand():
    """The second question's entry is second; the third has none."""
    hits, misses = hits_and_misses(np.array([[0.9, 0.2], [0.7, 0.6], [0.5, 0.4]]), np.array([0, 1, -1]))
    assert hits.tolist() == [0.9, -np.inf]
    assert misses.tolist() == [0.2, 0.7, 0.5]
    t = at_level(0.6, hits, misses)
    assert (t.answered, t.refused) == (0.5, 2 / 3)


def test_the_in_batch_loss_is_the_mean_log_softmax_without_the_same_entry():
    rng = np.random.default_rng(1)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, 4, 3)))
    entry = np.array([5, 6, 5, 7])
    scores = np.exp(a @ b.T / TEMPERATURE)
    losses = []
    for i in range(4):
        rivals = [j for j in range(4) if j == i or entry[j] != entry[i]]
        losses.append(-np.log(scores[i, i] / scores[i, rivals].sum()))
    assert in_batch_loss(tensor(a), tensor(b), entry).item() == pytest.approx(np.mean(losses), rel=1e-5)


def write(path, n=40, rng=None):
    """n questions about twelve things, in several ways."""
    rng = rng or np.random.default_rng(0)
    things = [*GOOD, *BAD]
    rows = [(f"{rng.choice(OTHER)} {things[i % 12]} {rng.choice(OTHER)}", f"read about {things[i % 12]}") for i in range(n)]
    path.write_text("question\tanswer\n" + "".join(f"{q}\t{a}\n" for q, a in rows))
    return str(path)


def test_questions_are_dealt_once(tmp_path):
    faq = read_faq(write(tmp_path / "faq.tsv"))
    assert len(faq.answers) == 12
    parts = held_out(faq, 0.2, 0)
    assert [len(part) for part in parts] == [32, 4, 4]
    assert sorted(np.concatenate(parts).tolist()) == list(range(40))


@pytest.mark.parametrize("tune", [[], ["--tune", "pairs", "--lr", "0.01", "--epochs", "3"], ["--tune", "simcse"]])
def test_a_desk_is_made_and_answers_the_same_from_its_folder(tmp_path, capsys, tune):
    faq, model, output = write(tmp_path / "faq.tsv"), str(checkpoint(tmp_path / "bert")), tmp_path / "desk"
    tune = [*tune, "--batch-size", "8"] if tune else []
    assert cli.main(["desk", "--faq", faq, "--model", model, "--output", str(output), *tune, "the lovely film", "--json"]) == 0
    out = capsys.readouterr().out
    assert ("vectors, tuned" in out) == bool(tune)
    record = out.strip().splitlines()[-1]
    assert '"answer": "read about lovely"' in record
    assert cli.main(["desk", "--model", str(output), "the lovely film", "--json"]) == 0
    assert capsys.readouterr().out.strip() == record
    assert cli.main(["desk", "--faq", faq, "--model", model, "--output", str(output)]) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_without_a_bert_at_hand_it_counts_words(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "faq.tsv")
    assert cli.main(["desk", "--faq", "faq.tsv"]) == 0
    assert "runs/pretrain is not there, so this desk counts words alone" in capsys.readouterr().out
    assert cli.main(["desk", "--faq", "faq.tsv", "--tune", "pairs", "--output", "other"]) == 2
    assert "runs/pretrain: no such folder; `minitorch pretrain` makes one" in capsys.readouterr().err


def test_it_says_that_it_does_not_know(tmp_path, capsys):
    output = str(tmp_path / "desk")
    assert cli.main(["desk", "--faq", write(tmp_path / "faq.tsv"), "--model", "none", "--output", output]) == 0
    capsys.readouterr()
    assert cli.main(["desk", "--model", output, "where is paris ?"]) == 0
    assert "I do not know. The nearest (0.00)" in capsys.readouterr().out
    desk = Desk.load(tmp_path / "desk")
    records = desk(["where is paris ?", desk.faq.questions[0]])
    assert [record["answer"] for record in records] == [None, desk.faq.answers[0]]


def test_another_file_judges_and_may_ask_what_nobody_knows(tmp_path, capsys):
    faq, test = write(tmp_path / "faq.tsv"), tmp_path / "test.tsv"
    test.write_text("question\tanswer\na sad end\tread about sad\nwho went to rome\t\nnew bert\tread about bert\n")
    usual = ["desk", "--faq", faq, "--model", "none", "--output", str(tmp_path / "desk")]
    assert cli.main([*usual, "--test", str(test)]) == 0
    assert "8 choose method and threshold, 3 judge" in capsys.readouterr().out
    test.write_text("question\tanswer\nnew bert\tread about bert\n")
    assert cli.main([*usual, "--overwrite", "--test", str(test)]) == 2
    assert "none of its answers is one of the desk's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("question\tanswer\na\tb\n", [], "all questions have the same answer"),
        ("question\tanswer\na\tb\nc\td\n", [], "2 questions; a desk needs at least 20"),
        ("x\ty\na\tb\n", [], "which column holds the question?"),
        ("question\tanswer\na\t\n", [], 't.tsv:2: the text in "answer" is empty'),
        ("", [], "the file is empty"),
        (None, ["--tune", "pairs"], "--tune trains a BERT"),
        (None, ["--tune", "all"], "--tune must be pairs or simcse"),
        (None, ["--held-out", "0.9"], "--held-out must be from 0.02 to 0.5"),
        (None, [" "], "a question is empty"),
        (None, ["--resume"], "a desk is made in one go"),
    ],
)
def test_a_slip_is_one_line(tmp_path, capsys, content, options, says):
    file = tmp_path / "t.tsv"
    write(file) if content is None else file.write_text(content)
    assert cli.main(["desk", "--faq", str(file), "--model", "none", "--output", str(tmp_path / "desk"), *options]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "desk").exists()
