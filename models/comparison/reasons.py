"""What each rung says of its reasons: weights of words, the path through a tree, the rule, the neighbour, or what BERT leans on.

BERT and its like are asked by occlusion: a word is left out, and the fall of the answer's probability is its weight.
Read before: models/classical/pipeline.py, models/explaining/occlusion.py. Read next: page.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..classical.baselines import Constant, Linear, TfIdf
from ..classical.pipeline import KeywordRules, Neighbours
from ..errors import short
from ..explaining.occlusion import occlusion

MOST = 40  # words of an example that is explained
TOP = 6  # words shown


def telling(task: Any, examples: list[Any]) -> list[Any]:
    """The test examples that all rungs explain: the first of ordinary length, one for each of two answers."""
    if task.name not in ("classify", "table"):
        return examples[:1]
    usual = [e for e in examples if 6 <= len(e.text.split()) <= MOST] or examples
    other = [e for e in usual if e.target != usual[0].target]
    return [usual[0], *other[:1]]


def reasons_of(model: Any, task: Any, examples: list[Any]) -> list[str]:
    """Lines about the model as a whole, then one for each example."""
    about = whole_model(model, task)
    each = [(e, line) for e in examples if (line := of_example(model, task, e))]
    return [short(line, 500) for line in (*about, *(f"“{beginning(e)}”: {line}" for e, line in each))]


def whole_model(model: Any, task: Any) -> list[str]:
    """The heaviest words of each class, or the first rules."""
    if isinstance(model, KeywordRules):
        return ["; ".join(f"“{word}” → {task.labels[c]}" for word, c in model.rules[: 2 * TOP])]
    if hasattr(model, "weights_of_words"):
        return list(model.weights_of_words())
    if not isinstance(model, Linear) or not isinstance(model.features, TfIdf) or not hasattr(model.model, "classes_"):
        return importance(model)
    weights = class_weights(model, overall=True)
    if weights is None:
        return importance(model)
    names = np.array(columns(model.features))
    several = [f"{task.labels[c]}: {', '.join(names[np.argsort(-row)[:TOP]])}" for c, row in enumerate(weights[:4])]
    return ["heaviest words for " + "; for ".join(several)]


def importance(model: Any) -> list[str]:
    """Of a forest: the columns that lessened the impurity most."""
    found = getattr(getattr(model, "model", None), "feature_importances_", None)
    names = np.array(columns(model.features)) if found is not None else []
    return [f"it splits most by {', '.join(names[np.argsort(-found)[:TOP]])}"] if len(names) else []


def class_weights(model: Linear, overall: bool = False) -> Any:
    """(C, V): how much a word speaks for each class; None without weights. overall: of naive Bayes, times its frequency."""
    inner = model.model
    if hasattr(inner, "feature_log_prob_"):
        log_p = inner.feature_log_prob_  # (C, V)
        others = np.stack([np.delete(log_p, c, 0).mean(0) for c in range(len(log_p))])
        return (log_p - others) * (np.exp(log_p) if overall else 1.0)
    coef = getattr(inner, "coef_", None)
    if coef is None or np.ndim(coef) != 2:
        return None
    return np.concatenate([-coef, coef]) if len(coef) == 1 else coef


def columns(features: Any) -> list[str]:
    """The names of a table's columns."""
    if hasattr(features, "names"):
        return list(features.names)
    names = [name for vectorizer, _ in features.parts for name in vectorizer.get_feature_names_out()]
    choice = getattr(features, "choice", None)
    return names if choice is None else [names[i] for i in choice.get_support(indices=True)]


def of_example(model: Any, task: Any, e: Any) -> str:
    """Why this answer; "" where there is nothing to say."""
    if isinstance(model, Constant):
        return ""
    if isinstance(model, KeywordRules):
        word, c = model.rule_for(e)
        return f"{task.labels[c]}, because it holds “{word}”" if word else f"{task.labels[c]}, because no rule applies"
    if isinstance(model, Neighbours):
        order, cosine = model.nearest([e])
        near = model.examples[int(order[0, 0])]
        return f"nearest training text (cosine {cosine[0, 0]:.2f}), {task.gold(near)}: “{beginning(near)}”"
    inner = getattr(model, "model", None)
    if isinstance(model, Linear) and hasattr(inner, "tree_"):
        return path(model, task, e)
    if isinstance(model, Linear) and (weights := class_weights(model)) is not None and task.targets == "classes":
        x = np.asarray(model.features.transform([e]).todense())[0]
        c = int(np.argmax(model.predict([e])[0]))
        return spoken(task.labels[c], columns(model.features), weights[c] * x)
    return falls(model, task, e) if task.name == "classify" and task.targets != "several" else ""


def path(model: Linear, task: Any, e: Any) -> str:
    """The questions that a decision tree asks."""
    x = model.features.transform([e])
    x = (x if isinstance(x, np.ndarray) else np.asarray(x.todense()))[0]
    tree, names, node, asked = model.model.tree_, columns(model.features), 0, []
    while tree.children_left[node] >= 0:
        column, limit = int(tree.feature[node]), float(tree.threshold[node])
        left = x[column] <= limit
        if task.name == "table":
            asked.append(f"{names[column]} {'≤' if left else '>'} {model.features.in_units(column, limit):.4g}")
        elif not left:  # of the many words that a text lacks nothing is said
            asked.append(f"“{names[column]}” stands in it")
        node = int((tree.children_left if left else tree.children_right)[node])
    lacking = "" if task.name == "table" else ", and it lacks the other words that the tree asks for"
    return (", ".join(asked) or "none of the tree's words stands in it") + (lacking if asked else "")


def falls(model: Any, task: Any, e: Any) -> str:
    """How much the probability of the answer falls without each word; of a number, by how much it changes."""
    words = e.text.split()[:MOST]
    if len(words) < 2:
        return ""
    (full,) = probabilities(model, task, [e])
    c = slice(None) if task.targets == "numbers" else int(np.argmax(full))

    def f(keep: Any) -> Any:
        texts = [" ".join(word for word, stays in zip(words, row, strict=True) if stays) for row in keep]
        answers = probabilities(model, task, [dataclasses.replace(e, text=text) for text in texts])
        return np.array([np.atleast_1d(p)[c] for p in answers])

    weights = occlusion(f, len(words)).reshape(len(words))
    return spoken(f"{full:.4g}" if task.targets == "numbers" else task.labels[int(c)], words, weights)


def probabilities(model: Any, task: Any, examples: list[Any]) -> list[Any]:
    """Predictions; of scikit-learn's models, which answer with one class, the probabilities that they have too."""
    inner = getattr(model, "model", None)
    if isinstance(model, Linear) and task.targets == "classes" and hasattr(inner, "predict_proba"):
        return list(inner.predict_proba(model.features.transform(examples)))
    return list(model.predict(examples))


def spoken(answer: str, words: list[str], weights: Any) -> str:
    """ "positive: great +0.31, not -0.12" """
    order = [
        i for i in np.argsort(-np.abs(weights), kind="stable")[:TOP].tolist() if abs(weights[i]) > 1e-6 * np.abs(weights).max()
    ]
    return f"{answer}: " + (", ".join(f"{words[i]} {weights[i]:+.2g}" for i in order) or "no single word matters")


def beginning(e: Any, most: int = 60) -> str:
    """The first words of an example."""
    text = getattr(e, "text", None) or getattr(e, "question", None) or " ".join(getattr(e, "words", []))
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
