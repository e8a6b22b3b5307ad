"""The alternatives without a neural network, from scikit-learn: what a fine-tuned BERT has to beat to be worth its cost.

Each gives predictions of the same form as the model's, so that the same code judges both; what it learnt is counted in
numbers and bytes. Majority class, TF-IDF with logistic regression and with a linear SVM (ridge regression for numbers);
most-frequent-tag and a linear SVM on a window of words for tagging; the most similar sentence for questions.
Read before: models/finetuning/tasks.py. Read next: models/finetuning/run.py.
"""

from __future__ import annotations

import re
from collections import Counter
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
        """One prediction an example."""
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
    """Words and pairs of words, weighted by how rare they are; each text of a pair has columns of its own."""

    def __init__(self) -> None:
        self.parts: list[tuple[Any, Callable[[Any], str]]] = []

    def fit(self, examples: list[Any], y: Any = None, make: Any = None) -> Any:
        """Learn the vocabulary; the table of the examples."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        reads = [lambda e: e.text] + ([lambda e: e.pair or ""] if any(getattr(e, "pair", None) for e in examples) else [])
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
    """How many numbers a linear model of scikit-learn holds."""
    parts = getattr(model, "estimators_", [model])
    return sum(np.size(part.coef_) + np.size(part.intercept_) for part in parts if hasattr(part, "coef_"))


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


# -------------------------------------------------------------------------------------------------------- tagging


class FrequentTag(Baseline):
    """Each word's most frequent tag in training, the most frequent of all for an unknown word."""

    def fit(self, examples: list[Any]) -> Baseline:
        counts: dict[str, Counter[str]] = {}
        for s in examples:
            for word, tag in zip(s.words, s.tags, strict=True):
                counts.setdefault(word, Counter())[tag] += 1
        self.tags = {word: c.most_common(1)[0][0] for word, c in counts.items()}
        self.other = Counter(tag for s in examples for tag in s.tags).most_common(1)[0][0]
        self.parameters = len(self.tags)
        self.size = sum(len(word.encode()) + 1 for word in self.tags)
        return self

    def predict(self, examples: list[Any]) -> list[list[str]]:
        return [[self.tags.get(word, self.other) for word in s.words] for s in examples]


class WordWindow(Baseline):
    """A linear SVM on the word, its shape, its ends, and its two neighbours on either side: tagging before neural networks."""

    def fit(self, examples: list[Any]) -> Baseline:
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.svm import LinearSVC

        self.columns = DictVectorizer()
        X = self.table(examples, self.columns.fit_transform)
        self.model = LinearSVC(C=0.3).fit(X, [tag for s in examples for tag in s.tags])
        self.parameters = learnt(self.model)
        self.size = 8 * self.parameters + sum(len(name.encode()) for name in self.columns.feature_names_)
        return self

    def predict(self, examples: list[Any]) -> list[list[str]]:
        tags = iter(self.model.predict(self.table(examples, self.columns.transform)).tolist())
        return [[next(tags) for _ in s.words] for s in examples]

    @staticmethod
    def table(examples: list[Any], transform: Callable[[Any], Any]) -> Any:
        """A row a word; with 32-bit indices, the only ones that the SVM takes."""
        X = transform([f for s in examples for f in word_features(s.words)])
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
        return X


def word_features(words: Sequence[str]) -> list[dict[str, int]]:
    """What a word and its neighbours look like, by name."""
    shapes = [re.sub(r"(.)\1+", r"\1", re.sub(r"\d", "0", re.sub(r"[^\W\d_]", shape, w)))[:10] for w in words]
    features = []
    for i, word in enumerate(words):
        low = word.lower()
        names = [f"w={low}", f"shape={shapes[i]}", f"start={low[:3]}", f"end={low[-3:]}", f"first={i == 0}"]
        for j in (-2, -1, 1, 2):
            inside = 0 <= i + j < len(words)
            names.append(f"{j}:{words[i + j].lower() if inside else ''}")
            names.append(f"{j}shape:{shapes[i + j] if inside else ''}")
        features.append(dict.fromkeys(names, 1))
    return features


def shape(m: re.Match[str]) -> str:
    """X for a capital, x for another letter."""
    return "X" if m[0].isupper() else "x"


class Always(Baseline):
    """The most frequent tag for every word."""

    parameters, size = 1, 8

    def fit(self, examples: list[Any]) -> Baseline:
        self.tag = Counter(tag for s in examples for tag in s.tags).most_common(1)[0][0]
        return self

    def predict(self, examples: list[Any]) -> list[list[str]]:
        return [[self.tag] * len(s.words) for s in examples]


def for_tag(task: Any) -> dict[str, Callable[[], Baseline]]:
    """Majority, most-frequent-tag, and the linear model on words and their neighbours."""
    return {"majority tag": Always, "most frequent tag of the word": FrequentTag, "linear SVM on a window of words": WordWindow}


# -------------------------------------------------------------------------------------- questions, multiple choice


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
