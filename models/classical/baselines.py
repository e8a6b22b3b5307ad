"""The alternatives without a neural network, from scikit-learn: a fine-tuned BERT must beat them to be worth its cost.

Each gives predictions of the same form as the model's, so that the same code judges both; its size is counted in
parameters and bytes. Here: majority class, TF-IDF with logistic regression and with a linear SVM (ridge regression for numbers).
Read next: tagging.py, answering.py, then models/finetuning/report.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Baseline:
    """fit(examples), predict(examples) -> predictions as the task has them; parameters and size (bytes) of what was learnt."""

    parameters = 0
    size = 0

    def fit(self, examples: list[Any]) -> Baseline:
        """Learn from the training examples."""
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        """One prediction per example."""
        raise NotImplementedError


class Constant(Baseline):
    """Always the same: the most frequent class, the labels that most examples have, the mean."""

    parameters, size = 1, 8

    def __init__(self, find: Callable[[list[Any]], Any]) -> None:
        self.find = find

    def fit(self, examples: list[Any]) -> Baseline:
        self.answer = self.find(examples)
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        return [self.answer for _ in examples]


# --------------------------------------------------------------------------------------------------------- TF-IDF


class TfIdf:
    """Words and pairs of words, weighted by how rare they are; each text of a pair, or of ``reads``, has its own columns."""

    def __init__(self, reads: Sequence[Callable[[Any], str]] = ()) -> None:
        self.reads = list(reads)
        self.parts: list[tuple[Any, Callable[[Any], str]]] = []

    def fit(self, examples: list[Any], y: Any = None, make: Any = None) -> Any:
        """Learn the vocabulary; the table of the examples."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        pairs = [lambda e: e.pair or ""] if any(getattr(e, "pair", None) for e in examples) else []
        reads = self.reads or [lambda e: e.text, *pairs]
        self.parts = []
        tables = []
        for read in reads:
            texts = [read(e) for e in examples]
            try:
                vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
                tables.append(vectorizer.fit_transform(texts))
            except ValueError:  # no word of two letters or more: take whatever stands between spaces
                vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
                tables.append(vectorizer.fit_transform(texts))
            self.parts.append((vectorizer, read))
        return self.join(tables)

    def transform(self, examples: list[Any]) -> Any:
        """The table of other examples."""
        return self.join([vectorizer.transform([read(e) for e in examples]) for vectorizer, read in self.parts])

    @staticmethod
    def join(tables: list[Any]) -> Any:
        """Side by side."""
        from scipy import sparse

        return sparse.hstack(tables).tocsr()

    @property
    def parameters(self) -> int:
        """Inverse document frequencies."""
        return sum(len(vectorizer.vocabulary_) for vectorizer, _ in self.parts)

    @property
    def size(self) -> int:
        """Bytes of the vocabulary and its frequencies."""
        return sum(len(term.encode()) + 8 for vectorizer, _ in self.parts for term in vectorizer.vocabulary_)


class Linear(Baseline):
    """A linear model of scikit-learn on features of the examples."""

    def __init__(self, make: Callable[[], Any], task: Any, features: Any = None) -> None:
        self.make, self.task, self.features = make, task, features or TfIdf()

    def fit(self, examples: list[Any]) -> Baseline:
        y = np.array([self.task.target(e) for e in examples])
        if self.task.targets == "numbers":
            y = y * self.task.scale + self.task.mean
        self.model = self.make().fit(self.features.fit(examples, y, self.make), y)
        self.parameters = self.features.parameters + learnt(self.model)
        self.size = self.features.size + 8 * learnt(self.model)
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        y = self.model.predict(self.features.transform(examples))
        if self.task.targets == "numbers":
            return y.tolist()
        return list(y.astype(float)) if self.task.targets == "several" else list(np.eye(len(self.task.labels))[y.astype(int)])


def learnt(model: Any) -> int:
    """How many numbers a model of scikit-learn holds: weights, logarithms of naive Bayes, nodes of trees."""
    parts = np.ravel(getattr(model, "estimators_", [model]))
    held = sum(np.size(getattr(part, name, ())) for part in parts for name in ("coef_", "intercept_", "feature_log_prob_"))
    grown = sum(part.tree_.node_count for part in parts if hasattr(part, "tree_"))
    boosted = sum(len(tree.nodes) for part in parts for trees in getattr(part, "_predictors", ()) for tree in trees)
    return int(held + grown + boosted)


def linear_models(task: Any) -> dict[str, Callable[[], Any]]:
    """Makers of the linear models for the task's kind of target."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    if task.targets == "numbers":
        return {"linear regression (ridge)": lambda: Ridge(alpha=1.0)}
    weight = "balanced" if task.s.class_weights == "balanced" else None
    makers: dict[str, Callable[[], Any]] = {
        "logistic regression": lambda: LogisticRegression(C=10, max_iter=1000, class_weight=weight),
        "linear SVM": lambda: LinearSVC(C=1, class_weight=weight),
    }
    if task.targets == "several":
        return {name: (lambda make=make: OneVsRestClassifier(make())) for name, make in makers.items()}  # type: ignore[misc]
    return makers


def for_classify(task: Any) -> dict[str, Callable[[], Baseline]]:
    """Majority (or mean), and the linear models on TF-IDF."""

    def usual(examples: list[Any]) -> Any:
        targets = np.array([task.target(e) for e in examples], dtype=float)
        if task.targets == "numbers":
            return float(targets.mean() * task.scale + task.mean)
        if task.targets == "several":
            return (targets.mean(0) > 0.5).astype(float)
        return np.eye(len(task.labels))[np.bincount(targets.astype(int)).argmax()]

    found: dict[str, Callable[[], Baseline]] = {
        "mean" if task.targets == "numbers" else "majority class": lambda: Constant(usual)
    }
    for name, make in linear_models(task).items():
        found[f"TF-IDF + {name}"] = lambda make=make: Linear(make, task)  # type: ignore[misc]
    return found


def for_relation(task: Any) -> dict[str, Callable[[], Baseline]]:
    """Majority, and the linear models on TF-IDF: of the text alone; of the entities and what stands between and around them."""

    def between(e: Any) -> str:  # led by the order of the entities, which tells directions apart
        (_, left), (right, _) = sorted((e.e1, e.e2))
        return ("forth " if e.e1 < e.e2 else "back ") + e.text[left:right]

    reads: list[Callable[[Any], str]] = [
        between,
        lambda e: e.text[slice(*e.e1)],
        lambda e: e.text[slice(*e.e2)],
        lambda e: " ".join(["start", *e.text[: min(e.e1, e.e2)[0]].split()[-3:]]),
        lambda e: " ".join([*e.text[max(e.e1, e.e2)[1] :].split()[:3], "end"]),
    ]
    found = for_classify(task)
    for name, make in linear_models(task).items():
        found[f"TF-IDF around the entities + {name}"] = lambda make=make: Linear(make, task, TfIdf(reads))  # type: ignore[misc]
    return found


class Fused:
    """TF-IDF columns and BERT's mean hidden state (of the model before it was fine-tuned) side by side."""

    def __init__(self, embed: Callable[[list[Any]], Any], bert_parameters: int) -> None:
        self.embed, self.bert_parameters = embed, bert_parameters
        self.words = TfIdf()

    def fit(self, examples: list[Any], y: Any, make: Callable[[], Any]) -> Any:
        """The table of the training examples. How much BERT's columns weigh is found by cross-validation on them."""
        from sklearn.model_selection import KFold, cross_val_score

        words, dense = self.words.fit(examples), self.embed(examples)
        self.mean = dense.mean(0)
        unit = np.sqrt(((dense - self.mean) ** 2).sum(1).mean()) or 1.0  # rows as long as TF-IDF's
        folds = KFold(4, shuffle=True, random_state=0)
        best = -np.inf
        for weight in (0.2, 0.1, 0.4, 0.8):
            self.scale = unit / weight
            if len(examples) < 100:  # too few to find out
                break
            score = cross_val_score(make(), self.join(words, dense), y, cv=folds).mean()
            if score > best:
                best, chosen = score, self.scale
        else:
            self.scale = chosen
        return self.join(words, dense)

    def transform(self, examples: list[Any]) -> Any:
        """The table of other examples."""
        return self.join(self.words.transform(examples), self.embed(examples))

    def join(self, words: Any, dense: Any) -> Any:
        """Side by side."""
        from scipy import sparse

        return sparse.hstack([words, sparse.csr_matrix((dense - self.mean) / self.scale)]).tocsr()

    @property
    def parameters(self) -> int:
        """Those of both."""
        return self.words.parameters + self.bert_parameters

    @property
    def size(self) -> int:
        """Bytes of both."""
        return self.words.size + 4 * self.bert_parameters
