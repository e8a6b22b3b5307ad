"""Scores of predictions: scikit-learn's metrics of classes and numbers, spans as conlleval counts them, answers as SQuAD does.

Span F1: Tjong Kim Sang and De Meulder (2003), "Introduction to the CoNLL-2003 shared task"; a span counts if its ends and
its type are right. Answers: Rajpurkar et al. (2016), "SQuAD", section 6.1, and (2018) for questions without an answer.
Read next: tasks.py.
"""

from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Span = tuple[str, int, int]  # type, first word, last word
AVERAGES = ("micro avg", "macro avg", "weighted avg")  # rows of a table after those of the classes

# -------------------------------------------------------------------------------------------------- classes, numbers


def classes(gold: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> dict[str, Any]:
    """One class each: accuracy, averages of precision, recall and F1, Matthews, the confusion matrix (rows: gold)."""
    from sklearn import metrics

    numbers = list(range(len(labels)))
    table = table_of(gold, predicted, numbers, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a split with one class, on which Matthews is 0
        matthews = float(metrics.matthews_corrcoef(gold, predicted))
        confusion = metrics.confusion_matrix(gold, predicted, labels=numbers).tolist()
    return {
        "accuracy": float(metrics.accuracy_score(gold, predicted)),
        **{f"{name}_f1": table[f"{name} avg"]["f1"] for name in ("macro", "micro", "weighted")},
        "matthews": matthews,
        "classes": table,
        "confusion": confusion,
        "labels": list(labels),
    }


def several(gold: Any, predicted: Any, labels: Sequence[str]) -> dict[str, Any]:
    """Several labels at once, tables of 0 and 1 (examples, labels): per label, and how many examples are right in all."""
    from sklearn import metrics

    table = table_of(gold, predicted, list(range(len(labels))), labels)
    return {
        **{f"{name}_f1": table[f"{name} avg"]["f1"] for name in ("micro", "macro", "weighted")},
        "accuracy": float(metrics.accuracy_score(gold, predicted)),
        "hamming_loss": float(metrics.hamming_loss(gold, predicted)),
        "classes": table,
        "confusion": metrics.multilabel_confusion_matrix(gold, predicted).tolist(),
        "labels": list(labels),
    }


def numbers(gold: Sequence[float], predicted: Sequence[float]) -> dict[str, Any]:
    """Numeric targets: Pearson, Spearman, R² and the errors; a correlation with a constant is 0."""
    from scipy import stats
    from sklearn import metrics

    varies = len(gold) > 1 and np.ptp(gold) > 0 and np.ptp(predicted) > 0
    return {
        "pearson": float(stats.pearsonr(gold, predicted)[0]) if varies else 0.0,
        "spearman": float(stats.spearmanr(gold, predicted)[0]) if varies else 0.0,
        "r2": float(metrics.r2_score(gold, predicted)) if len(gold) > 1 else float("nan"),
        "rmse": float(metrics.root_mean_squared_error(gold, predicted)),
        "mae": float(metrics.mean_absolute_error(gold, predicted)),
        "points": [[float(a), float(b)] for a, b in zip(gold, predicted, strict=True)],
    }


def table_of(gold: Any, predicted: Any, numbers: Sequence[int], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, f1, support of each label and of the averages, as plain numbers.

    The averages are scikit-learn's own: of single labels, over those that are given or predicted at least once.
    """
    from sklearn.metrics import precision_recall_fscore_support

    def judge(average: Any, labels: Any = None) -> Any:
        return precision_recall_fscore_support(gold, predicted, labels=labels, average=average, zero_division=0)

    each = judge(None, numbers)
    rows = {row_name(label): [column[i] for column in each] for i, label in enumerate(labels)}
    rows |= {name: [*judge(name.split()[0])[:3], each[3].sum()] for name in AVERAGES}
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, (p, r, f, n) in rows.items()
    }


def row_name(label: str) -> str:
    """A label's row in a table that also has rows of averages."""
    return f'"{label}"' if label in AVERAGES else label


# ------------------------------------------------------------------------------------------------------------ spans


def spans(tags: Sequence[str], strict: bool = False) -> list[Span]:
    """The entities of one sentence's tags (B-x, I-x, O).

    conlleval's reading, which is lenient: an I-x after O or after another type begins a span. strict (IOB2): only B-x does,
    and an I-x that continues nothing is no part of any span.
    """
    found: list[Span] = []
    kind, first = "", -1  # the open span; kind "" is none
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        continues = prefix == "I" and kind == (name or "_") and first >= 0
        if continues:
            continue
        if first >= 0:
            found.append((kind, first, i - 1))
            first = -1
        if prefix == "B" or (prefix == "I" and not strict):
            kind, first = name or "_", i
    return found


def span_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], strict: bool = False) -> dict[str, Any]:
    """Precision, recall and F1 of spans over all sentences: per type, and micro, macro and weighted averages."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for g, p in zip(gold, predicted, strict=True):
        truth, guess = set(spans(g, strict)), set(spans(p, strict))
        asked.update(kind for kind, _, _ in truth)
        answered.update(kind for kind, _, _ in guess)
        right.update(kind for kind, _, _ in truth & guess)
    return averaged(right, answered, asked, sorted(asked | answered))


def averaged(
    right: Counter[str], answered: Counter[str], asked: Counter[str], kinds: Sequence[str], left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """Of counts per kind their precision, recall and F1, and the averages, in which those left out have no part."""
    rows = {row_name(kind): prf(right[kind], answered[kind], asked[kind]) for kind in [*kinds, *left_out]}
    micro = prf(*(sum(counts[kind] for kind in kinds) for counts in (right, answered, asked)))
    averages = {"micro avg": micro}
    for name, weight in (("macro avg", dict.fromkeys(kinds, 1)), ("weighted avg", asked)):
        total = sum(weight[kind] for kind in kinds) or 1
        keys = ("precision", "recall", "f1")
        mean = {key: sum(rows[row_name(kind)][key] * weight[kind] for kind in kinds) / total for key in keys}
        averages[name] = {**mean, "support": micro["support"]}
    return {"f1": micro["f1"], "precision": micro["precision"], "recall": micro["recall"], "classes": {**rows, **averages}}


def prf(right: int, answered: int, asked: int) -> dict[str, Any]:
    """precision = right/answered, recall = right/asked, F1 their harmonic mean; 0 where there is nothing to divide by."""
    p, r = right / answered if answered else 0.0, right / asked if asked else 0.0
    return {"precision": p, "recall": r, "f1": 2 * p * r / (p + r) if p + r else 0.0, "support": asked}


# -------------------------------------------------------------------------------------------------------- relations


def undirected(label: str) -> str:
    """Cause-Effect(e1,e2) is Cause-Effect."""
    return re.sub(r"\(e[12],e[12]\)$", "", label)


def relations(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """relation_f1 is SemEval-2010 Task 8's official score: F1 of each relation, averaged over the relations but those left out
    ("Other"); an answer with the right relation in the wrong direction counts as given, and is not right.

    micro_f1: of the sums over relations (TACRED's score). undirected_f1: directions do not matter. macro_f1: each direction of a
    relation is a class of its own. As in the official scorer, version 1.2, a relation that is nobody's right answer is in no
    average. Hendrickx et al. (2010), "SemEval-2010 Task 8", section 5.
    """

    def judge(name: Callable[[str], str], same: Callable[[str], str]) -> dict[str, Any]:
        asked, answered = Counter(map(name, gold)), Counter(map(name, predicted))
        right = Counter(name(g) for g, p in zip(gold, predicted, strict=True) if same(g) == same(p))
        order = dict.fromkeys(name(label) for label in labels if asked[name(label)])
        without = [kind for kind in order if undirected(kind) in left_out]
        table: dict[str, Any] = averaged(right, answered, asked, [k for k in order if k not in without], without)["classes"]
        return table

    official, single = judge(undirected, str), judge(str, str)
    number = {label: i for i, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(table, ([number[g] for g in gold], [number[p] for p in predicted]), 1)
    scores = {
        "relation_f1": official["macro avg"]["f1"],
        "micro_f1": official["micro avg"]["f1"],
        "macro_f1": single["macro avg"]["f1"],
        "accuracy": float(np.trace(table) / max(1, table.sum())),
        "classes": official,
        "confusion": table.tolist(),
        "labels": list(labels),
        "left_out": list(left_out),
    }
    if any(undirected(label) != label for label in labels):
        scores["undirected_f1"] = judge(undirected, undirected)["macro avg"]["f1"]
        scores |= {"directed": single, "directions": directions(gold, predicted, labels)}
    return scores


def directions(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Of each directed label: how often the answer was right, the same relation turned round, and another answer."""
    found = {label: {"right": 0, "turned": 0, "another": 0} for label in labels if undirected(label) != label}
    for g, p in zip(gold, predicted, strict=True):
        if g in found:
            found[g]["right" if g == p else "turned" if undirected(g) == undirected(p) else "another"] += 1
    return found


# ---------------------------------------------------------------------------------------------------------- answers


def normalized(answer: str) -> list[str]:
    """The words of an answer without case, punctuation and articles."""
    answer = "".join(c for c in answer.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", answer).split()


def exact_match(predicted: str, gold: Sequence[str]) -> float:
    """1 if the answer is one of the right ones."""
    return float(any(normalized(predicted) == normalized(answer) for answer in gold))


def answer_f1(predicted: str, gold: Sequence[str]) -> float:
    """F1 of the words in common with the right answer that is nearest; with no answer on either side, 1 if on both."""

    def one(answer: str) -> float:
        a, b = normalized(predicted), normalized(answer)
        if not a or not b:
            return float(a == b)
        common = (Counter(a) & Counter(b)).total()
        return 2 * common / (len(a) + len(b))

    return max(map(one, gold))


def answers(gold: Sequence[Sequence[str]], predicted: Sequence[str]) -> dict[str, Any]:
    """Exact match and F1 in percent, as the official script prints them; an unanswerable question's right answer is "".

    Where there are such questions, that is SQuAD 2.0's script: a right answer of which normalising leaves nothing is none.
    """
    has = np.array([any(g) for g in gold])
    if not has.all():
        gold = [[answer for answer in g if normalized(answer)] or [""] for g in gold]
    em = np.array([exact_match(p, g) for g, p in zip(gold, predicted, strict=True)])
    f1 = np.array([answer_f1(p, g) for g, p in zip(gold, predicted, strict=True)])
    scores: dict[str, Any] = {"f1": 100 * float(f1.mean()), "exact_match": 100 * float(em.mean())}
    if not has.all():
        for name, part in (("has_answer", has), ("no_answer", ~has)):
            if part.any():
                scores[f"{name}_f1"] = 100 * float(f1[part].mean())
                scores[f"{name}_exact_match"] = 100 * float(em[part].mean())
    return scores
