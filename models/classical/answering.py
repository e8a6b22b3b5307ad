"""Answers without a neural network: the sentence, or the choice, that shares the most rare words with the question.

Read before: baselines.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .baselines import Baseline, Constant, learnt


def similarity(texts: Sequence[str], others: Sequence[Sequence[str]]) -> list[Any]:
    """TF-IDF cosines between each text and each of its others; the words are those of all of these."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    vectorizer.fit([*texts, *(t for group in others for t in group)])
    A = vectorizer.transform(texts)
    return [(vectorizer.transform(group) @ A[i].T).toarray()[:, 0] for i, group in enumerate(others)]


class NearestSentence(Baseline):
    """The sentence of the context that shares the most (rare) words with the question; all of it, or what follows them."""

    def __init__(self, trim: bool) -> None:
        self.trim = trim

    def predict(self, examples: list[Any]) -> list[Any]:
        sentences = [re.split(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])", q.context) for q in examples]
        answers = []
        for q, group, score in zip(examples, sentences, similarity([q.question for q in examples], sentences), strict=True):
            best = group[int(score.argmax())]
            answers.append(
                [{"text": trimmed(best, q.question) if self.trim else best, "start": 0, "score": 0.0, "probability": 1.0}]
            )
        return answers


def trimmed(sentence: str, question: str) -> str:
    """The longest stretch of a sentence (at most 6 words) without a word of the question or a small word at its ends."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS as small

    asked = {w.lower() for w in re.findall(r"\w+", question)}
    best: list[str] = []
    current: list[str] = []
    for word in [*sentence.split(), ""]:
        bare = word.lower().strip(".,;:()\"'")
        if word and bare not in asked and bare not in small:
            current.append(word)
        else:
            best, current = (current if len(current) > len(best) else best), []
    return " ".join(best[:6]).strip(".,;:()\"'") or sentence


def for_qa(task: Any) -> dict[str, Callable[[], Baseline]]:
    """Without learning: the sentence most like the question."""

    def usual(examples: list[Any]) -> Any:
        texts = Counter(q.answers[0][0] if q.answers else "" for q in examples)
        return [{"text": texts.most_common(1)[0][0], "start": 0, "score": 0.0, "probability": 1.0}]

    return {
        "most frequent answer": lambda: Constant(usual),
        "TF-IDF: nearest sentence": lambda: NearestSentence(trim=False),
        "TF-IDF: nearest sentence, trimmed": lambda: NearestSentence(trim=True),
    }


class NearestChoice(Baseline):
    """The choice that shares the most (rare) words with the text."""

    def predict(self, examples: list[Any]) -> list[Any]:
        return similarity([e.whole for e in examples], [e.choices for e in examples])


class ChoiceTfIdf(Baseline):
    """Is this choice right? A linear model on the TF-IDF of text and choice; the most confident one is taken."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    @staticmethod
    def rows(examples: list[Any]) -> list[str]:
        """Text and choice: a choice's words are told from the text's by a mark."""
        return [" ".join([e.whole, *("choice_" + w for w in re.findall(r"\w+", c.lower()))]) for e in examples for c in e.choices]

    def fit(self, examples: list[Any]) -> Baseline:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.words = TfidfVectorizer(ngram_range=(1, 2))
        X = self.words.fit_transform(self.rows(examples))
        self.model = self.make().fit(X, [int(i == e.target) for e in examples for i in range(len(e.choices))])
        self.parameters = len(self.words.vocabulary_) + learnt(self.model)
        self.size = 8 * self.parameters + sum(len(term.encode()) for term in self.words.vocabulary_)
        return self

    def predict(self, examples: list[Any]) -> list[Any]:
        scores = self.model.decision_function(self.words.transform(self.rows(examples)))
        ends = np.cumsum([len(e.choices) for e in examples])
        return np.split(scores, ends[:-1])


def for_choice(task: Any) -> dict[str, Callable[[], Baseline]]:
    """Majority, the most similar choice, and linear models on TF-IDF."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    class Majority(Constant):
        def predict(self, examples: list[Any]) -> list[Any]:
            return [np.eye(max(len(e.choices), self.answer + 1))[self.answer][: len(e.choices)] for e in examples]

    return {
        "majority choice": lambda: Majority(lambda examples: Counter(e.target for e in examples).most_common(1)[0][0]),
        "TF-IDF: most similar choice": NearestChoice,
        "TF-IDF + logistic regression": lambda: ChoiceTfIdf(lambda: LogisticRegression(C=10, max_iter=1000)),
        "TF-IDF + linear SVM": lambda: ChoiceTfIdf(lambda: LinearSVC(C=1)),
    }
