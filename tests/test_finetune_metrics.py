"""The metrics of fine-tuning: scikit-learn's, seqeval's, the official SQuAD script's, on random cases and known vectors."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from models.finetuning import metrics

README = (  # seqeval's README
    [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
    [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]],
)


def random_tags(rng, n):
    """Sentences of any tags, sensible or not."""
    return [[str(t) for t in rng.choice(["O", "B-a", "I-a", "B-b", "I-b", "O", "B-c"], rng.integers(1, 9))] for _ in range(n)]


def test_span_f1_of_known_vectors():
    """0.50 for the README's; an I- that begins an entity counts for conlleval and not in strict IOB2."""
    scores = metrics.span_scores(*README)
    assert scores["f1"] == 0.5
    assert scores["classes"]["MISC"]["f1"] == 0.0
    assert scores["classes"]["PER"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    assert metrics.span_scores([["B", "I", "O"]], [["I", "I", "O"]])["f1"] == 1.0
    assert metrics.span_scores([["B", "I", "O"]], [["I", "I", "O"]], strict=True)["f1"] == 0.0
    assert metrics.spans(["B-a", "I-b", "I-b", "O", "I-a"]) == [("a", 0, 0), ("b", 1, 2), ("a", 4, 4)]
    assert metrics.spans(["B-a", "I-b", "I-b", "O", "I-a"], strict=True) == [("a", 0, 0)]
    assert metrics.span_scores([["O"]], [["O"]])["f1"] == 0.0


@pytest.mark.parametrize("mode", ["lenient", "strict"])
def test_span_scores_equal_seqeval_frozen(mode):
    """Per type and all averages, on 40 random cases, whose tags are often malformed."""
    cases = json.loads((Path(__file__).parent / "frozen" / "seqeval.json").read_text(encoding="utf-8"))
    compared = 0
    for case in cases:
        ours = metrics.span_scores(case["gold"], case["predicted"], strict=mode == "strict")["classes"]
        for name, row in (case[mode] or {}).items():
            np.testing.assert_allclose([ours[name][key] for key in ("precision", "recall", "f1", "support")], row, atol=1e-12)
            compared += 1
    assert compared > 150


@pytest.mark.parametrize("strict", [False, True])
def test_span_scores_equal_seqeval(strict):
    """Per type and all averages, on 60 random cases."""
    seqeval = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme")
    rng = np.random.default_rng(0)
    options = {"mode": "strict", "scheme": scheme.IOB2} if strict else {}
    for _ in range(60):
        gold = random_tags(rng, 4)
        predicted = [[str(t) for t in rng.permutation(tags)] for tags in gold]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = seqeval.classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
        ours = metrics.span_scores(gold, predicted, strict)["classes"]
        for name, row in theirs.items():
            values = [ours[name][key] for key in ("precision", "recall", "f1", "support")]
            np.testing.assert_allclose(values, [row[k] for k in ("precision", "recall", "f1-score", "support")], atol=1e-12)


def test_class_metrics_equal_scikit_learn():
    """Also when a class is never predicted or never right."""
    from sklearn import metrics as oracle

    rng = np.random.default_rng(1)
    for _ in range(10):
        gold, predicted = rng.integers(0, 4, 30), rng.integers(0, 3, 30)
        ours = metrics.classes(gold, predicted, ["a", "b", "c", "d"])
        assert ours["accuracy"] == pytest.approx(oracle.accuracy_score(gold, predicted))
        assert ours["matthews"] == pytest.approx(oracle.matthews_corrcoef(gold, predicted))
        for average in ("micro", "macro", "weighted"):
            expected = oracle.precision_recall_fscore_support(gold, predicted, labels=range(4), average=average, zero_division=0)
            row = ours["classes"][f"{average} avg"]
            np.testing.assert_allclose([row["precision"], row["recall"], row["f1"]], expected[:3])
        assert ours["confusion"] == oracle.confusion_matrix(gold, predicted, labels=range(4)).tolist()
        assert [ours["classes"][c]["support"] for c in "abcd"] == np.bincount(gold, minlength=4).tolist()


def test_labels_that_are_called_as_rows_of_the_report():
    """A class called "accuracy" or "macro avg" has its row beside the averages."""
    ours = metrics.classes([0, 1, 1, 2], [0, 1, 0, 2], ["accuracy", "macro avg", "x"])
    assert ours["classes"]["accuracy"]["recall"] == 1
    assert ours["classes"]['"macro avg"']["recall"] == 0.5
    assert ours["classes"]["macro avg"]["recall"] == pytest.approx((1 + 0.5 + 1) / 3)
    spans = metrics.span_scores([["B-micro avg", "B-x"]], [["B-micro avg", "O"]])["classes"]
    assert (spans['"micro avg"']["f1"], spans["x"]["f1"]) == (1, 0)
    assert spans["micro avg"]["recall"] == 0.5


def test_several_labels_equal_scikit_learn():
    """Micro F1, exact matches, Hamming loss."""
    from sklearn import metrics as oracle

    rng = np.random.default_rng(2)
    gold, predicted = rng.integers(0, 2, (20, 3)), rng.integers(0, 2, (20, 3))
    ours = metrics.several(gold, predicted, ["a", "b", "c"])
    assert ours["micro_f1"] == pytest.approx(oracle.f1_score(gold, predicted, average="micro"))
    assert ours["macro_f1"] == pytest.approx(oracle.f1_score(gold, predicted, average="macro"))
    assert ours["accuracy"] == pytest.approx((gold == predicted).all(1).mean())
    assert ours["hamming_loss"] == pytest.approx((gold != predicted).mean())


def test_correlations_equal_scipy():
    """With a constant there is no correlation: 0, no warning and no nan."""
    from scipy import stats

    rng = np.random.default_rng(3)
    gold = rng.normal(size=30)
    predicted = (gold + rng.normal(size=30)).tolist()
    ours = metrics.numbers(gold.tolist(), predicted)
    assert ours["pearson"] == pytest.approx(stats.pearsonr(gold, predicted)[0])
    assert ours["spearman"] == pytest.approx(stats.spearmanr(gold, predicted)[0])
    assert metrics.numbers([1.0, 2.0], [3.0, 3.0])["pearson"] == 0.0


@pytest.mark.parametrize(
    ("predicted", "gold", "em", "f1"),
    [
        ("The Broncos!", ["broncos"], 1, 1),
        ("Denver Broncos", ["the Broncos", "Carolina"], 0, 2 / 3),
        ("a b c d", ["c d e"], 0, 2 * (2 / 3) * (2 / 3) / (4 / 3)),
        ("", [""], 1, 1),
        ("something", [""], 0, 0),
        ("", ["something"], 0, 0),
        ("the", ["a"], 1, 1),  # nothing is left of either
        ("x x y", ["x y y"], 0, 2 / 3),
    ],
)
def test_answers_are_judged_as_by_the_squad_script(predicted, gold, em, f1):
    """Without case, punctuation and articles; words count as often as they occur on both sides."""
    assert metrics.exact_match(predicted, gold) == em
    assert metrics.answer_f1(predicted, gold) == pytest.approx(f1)


def test_questions_without_an_answer_are_reported_apart():
    """As in SQuAD 2.0."""
    scores = metrics.answers([["x"], [""], [""]], ["x", "", "y"])
    assert scores["exact_match"] == pytest.approx(200 / 3)
    assert (scores["has_answer_f1"], scores["no_answer_f1"]) == (100, 50)
    many = [["the", "cat"], ["The!"], [""]]
    assert metrics.answers(many, ["the", "", "x"])["exact_match"] == pytest.approx(100 / 3)  # "the" is no answer beside "cat"
    assert metrics.answers(many[:2], ["the", ""])["exact_match"] == 100  # SQuAD 1.1's script takes it


def test_averages_leave_out_labels_that_do_not_occur():
    """scikit-learn's f1_score: a label neither given nor predicted is not a score of 0; one that is only predicted is."""
    from sklearn.metrics import f1_score

    for gold, predicted in (([0, 1, 0], [0, 1, 1]), ([0, 1, 0], [0, 2, 1]), ([0, 0], [0, 0])):
        scores = metrics.classes(gold, predicted, ["a", "b", "c", "d"])
        assert scores["macro_f1"] == pytest.approx(f1_score(gold, predicted, average="macro"))
        assert scores["weighted_f1"] == pytest.approx(f1_score(gold, predicted, average="weighted"))
        assert scores["classes"]["d"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
