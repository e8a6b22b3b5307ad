"""The rungs between counting words and a neural network, each with the one setting that held-out examples choose.

Over TF-IDF, from scikit-learn: naive Bayes, logistic regression, linear SVM, decision tree, random forest, gradient boosting.
Of our own: keyword rules found on the training file, and nearest neighbours on vectors of whole texts.
Read before: baselines.py. Read next: models/comparison/rungs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .baselines import Baseline, Linear, TfIdf


@dataclass(frozen=True)
class Rung:
    """A way to learn the task: ``make(value)`` gives an untrained Baseline with that value of its setting."""

    name: str
    make: Callable[[Any], Baseline]
    setting: str = ""  # what the held-out examples choose, and its values, the usual one first
    grid: Sequence[Any] = (None,)


class Chosen(TfIdf):
    """The ``most`` columns of TF-IDF that say most about the target (χ², or F of a number), as a dense table."""

    def __init__(self, numbers: bool, most: int = 300) -> None:
        super().__init__()
        self.numbers, self.most = numbers, most

    def fit(self, examples: list[Any], y: Any = None, make: Any = None) -> Any:
        from sklearn.feature_selection import SelectKBest, chi2, f_regression

        table = super().fit(examples)
        self.choice = SelectKBest(f_regression if self.numbers else chi2, k=min(self.most, table.shape[1]))
        with np.errstate(all="ignore"):  # of a word that stands in every text, or of one label
            return self.choice.fit_transform(table, y).toarray()

    def transform(self, examples: list[Any]) -> Any:
        return self.choice.transform(super().transform(examples)).toarray()


class KeywordRules(Baseline):
    """A decision list: "if the text holds w, it is class c", in order; else the class that no rule explains.

    Each rule is the word with the highest log-likelihood ratio, ln((n_c + ½)/(n_other + ½)) above the classes' own, among the
    examples that no rule before it explains. Rivest (1987), "Learning decision lists"; Yarowsky (1994), section 4.
    """

    def __init__(self, task: Any, most: int) -> None:
        self.task, self.most = task, most

    def fit(self, examples: list[Any]) -> Baseline:
        from sklearn.feature_extraction.text import CountVectorizer

        self.words = CountVectorizer(binary=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", min_df=min(3, len(examples)))
        X = self.words.fit_transform([whole(e) for e in examples]).astype(np.int64)  # (n, V)
        names = self.words.get_feature_names_out()
        Y = np.eye(len(self.task.labels), dtype=np.int64)[[self.task.target(e) for e in examples]]  # (n, C)
        self.rules: list[tuple[str, int]] = []
        left = np.ones(len(examples), dtype=bool)
        while left.any() and len(self.rules) < self.most:
            n = np.asarray(X[left].T @ Y[left])  # (V, C): in how many texts of each class
            prior = Y[left].sum(0) + 0.5
            others = n.sum(1, keepdims=True) - n
            ratio = np.log((n + 0.5) / (others + 0.5)) - np.log(prior / (prior.sum() - prior + 0.5))
            ratio[n < 3] = -np.inf
            word, c = np.unravel_index(int(ratio.argmax()), ratio.shape)
            if not ratio[word, c] > 0:
                break
            self.rules.append((str(names[word]), int(c)))
            left &= np.asarray(X[:, [int(word)]].todense())[:, 0] == 0
        self.other = int((Y[left] if left.any() else Y).sum(0).argmax())
        self.parameters = len(self.rules) + 1
        self.size = sum(len(word.encode()) + 1 for word, _ in self.rules) + 1
        return self

    def rule_for(self, example: Any) -> tuple[str, int]:
        """The first rule that the text fulfils; ("", c) if none."""
        there = set(self.words.build_analyzer()(whole(example)))
        return next(((word, c) for word, c in self.rules if word in there), ("", self.other))

    def predict(self, examples: list[Any]) -> list[Any]:
        return [np.eye(len(self.task.labels))[self.rule_for(e)[1]] for e in examples]


class Neighbours(Baseline):
    """The mean target of the k training texts whose vectors are nearest (cosine), weighted by how near they are."""

    def __init__(self, embed: Callable[[list[Any]], Any], task: Any, k: int, parameters: int) -> None:
        self.embed, self.task, self.k, self.model = embed, task, k, parameters

    def fit(self, examples: list[Any]) -> Baseline:
        self.examples, self.vectors = list(examples), self.embed(examples)  # (n, H)
        targets = np.array([self.task.target(e) for e in examples])
        self.Y = targets if self.task.targets != "classes" else np.eye(len(self.task.labels))[targets.astype(int)]
        self.parameters = self.model + self.vectors.size
        self.size = 4 * self.parameters
        return self

    def nearest(self, examples: list[Any]) -> tuple[Any, Any]:
        """(numbers of the k nearest training texts, their cosines), both (m, k), the nearest first."""
        cosine = self.embed(examples) @ self.vectors.T  # (m, n); the vectors have length 1
        order = np.argsort(-cosine, axis=1, kind="stable")[:, : self.k]
        return order, np.take_along_axis(cosine, order, 1)

    def predict(self, examples: list[Any]) -> list[Any]:
        order, cosine = self.nearest(examples)
        weight = np.maximum(cosine, 1e-3)[..., None]  # (m, k, 1)
        Y = self.Y.reshape(len(self.Y), -1)[order]  # (m, k, C)
        mean = (weight * Y).sum(1) / weight.sum(1)
        return (mean[:, 0] * self.task.scale + self.task.mean).tolist() if self.task.targets == "numbers" else list(mean)


def whole(e: Any) -> str:
    """The text, or both of a pair."""
    return f"{e.text} {e.pair}" if getattr(e, "pair", None) else str(e.text)


def for_texts(task: Any) -> list[Rung]:
    """The rungs over words for classes, several labels or numbers, roughly by their cost."""
    from sklearn import linear_model, naive_bayes, svm
    from sklearn.multiclass import OneVsRestClassifier

    weight = {"class_weight": "balanced" if task.s.class_weights == "balanced" else None}
    several, numbers, seed = task.targets == "several", task.targets == "numbers", task.s.seed

    def linear(maker: Callable[[Any], Any], features: Callable[[], Any] = TfIdf) -> Callable[[Any], Baseline]:
        single = (lambda value: OneVsRestClassifier(maker(value))) if several else maker
        return lambda value: Linear(lambda: single(value), task, features())

    grown = trees(numbers, seed, weight)
    found = [
        Rung(f"TF-IDF + {name}", linear(make, (lambda: Chosen(numbers)) if "boosting" in name else TfIdf), setting, grid)
        for name, make, setting, grid in grown
    ]
    if numbers:
        return [Rung("TF-IDF + ridge regression", linear(lambda λ: linear_model.Ridge(alpha=λ)), "λ", (1.0, 0.1, 10.0)), *found]
    rungs = [] if several else [Rung("keyword rules", lambda most: KeywordRules(task, most), "rules", (100, 30, 300))]
    return [
        *rungs,
        Rung("TF-IDF + naive Bayes", linear(lambda α: naive_bayes.MultinomialNB(alpha=α)), "α", (0.1, 0.01, 1.0)),
        Rung(
            "TF-IDF + logistic regression",
            linear(lambda C: linear_model.LogisticRegression(C=C, max_iter=1000, **weight)),
            "C",
            (10, 1, 100),
        ),
        Rung("TF-IDF + linear SVM", linear(lambda C: svm.LinearSVC(C=C, **weight)), "C", (1, 0.1, 10)),
        *found,
    ]


def trees(numbers: bool, seed: int, weight: dict[str, Any]) -> list[tuple[str, Callable[[Any], Any], str, Sequence[Any]]]:
    """(name, maker, setting, its values): a tree, a forest of them, and trees that each mend the errors of those before."""
    from sklearn import ensemble, tree

    one = tree.DecisionTreeRegressor if numbers else tree.DecisionTreeClassifier
    many = ensemble.RandomForestRegressor if numbers else ensemble.RandomForestClassifier
    boosted = ensemble.HistGradientBoostingRegressor if numbers else ensemble.HistGradientBoostingClassifier
    weight = {} if numbers else weight
    share: dict[str, Any] = {"max_features": 1 / 3} if numbers else {}  # Breiman (2001), section 11: a third in regression
    return [
        ("decision tree", lambda leaf: one(min_samples_leaf=leaf, random_state=seed, **weight), "examples per leaf", (5, 2, 20)),
        (
            "random forest",
            lambda leaf: many(200, min_samples_leaf=leaf, random_state=seed, n_jobs=1, **share, **weight),
            "examples per leaf",
            (1, 3),
        ),
        (
            "gradient boosting",
            lambda rate: boosted(learning_rate=rate, random_state=seed, early_stopping=False, **weight),
            "rate",
            (0.1, 0.03),
        ),
    ]
