"""A desk at work: from questions to answers, or to the word that it has none. Read before: faq.py, search.py, tuning.py.

Read next: desk_command.py, which makes one.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..bert.model import BertModel
from ..bert.use import embed, load
from ..errors import BadInput
from ..finetuning.predictor import Predictor
from ..reading import read_bytes, read_json
from .faq import Faq
from .search import of_entries, rankers

DESK, VECTORS = "desk.json", "vectors.npy"
TUNED = "model"  # a trained BERT, in the desk's folder


class Desk:
    """Answers questions: ``desk(["How do I ...?"])`` gives one record per question."""

    def __init__(self, faq: Faq, ranker: Any, entry: np.ndarray, level: float) -> None:
        self.faq, self.ranker, self.entry, self.level = faq, ranker, entry, level

    def __call__(self, questions: list[str], intents: Predictor | None = None) -> list[dict[str, Any]]:
        """The best entry of each, with its score; no answer where the score is below the threshold."""
        if not questions:
            return []
        scores = of_entries(self.ranker.scores(questions), self.entry, len(self.faq.answers))
        names = [record["prediction"] for record in intents(questions)] if intents else [None] * len(questions)
        records = []
        for question, row, name in zip(questions, scores, names, strict=True):
            best = np.argsort(-row, kind="stable")[:3]
            near = [{"answer": self.faq.answers[i], "score": round(float(row[i]), 4)} for i in best]
            answer = near[0]["answer"] if near[0]["score"] >= self.level else None
            records.append({"question": question, "answer": answer, "nearest": near, **({"intent": name} if name else {})})
        return records

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Desk:
        """A desk that ``made`` wrote."""
        facts = read_json(folder / DESK, "a desk")
        if not {"method", "threshold", "model", "answers", "questions", "entry"} <= facts.keys():
            raise BadInput(f"{folder / DESK}: not written by minitorch desk")
        faq = Faq(facts["answers"], facts["questions"], np.array(facts["entry"], int))
        reader, known = None, None
        if facts["method"] in ("vectors", "BM25 and vectors"):
            where = folder / TUNED if facts["model"] == TUNED else Path(facts["model"])
            reader = embedder(str(where), device)[0]
            known = np.load(io.BytesIO(read_bytes(folder / VECTORS)), allow_pickle=False)
        texts, entry = faq.texts(np.arange(len(faq.questions)))
        found = rankers(reader, known)
        for ranker in found.values():
            ranker.fit(texts)
        return cls(faq, found[facts["method"]], entry, facts["threshold"])


def embedder(model: str, device: str) -> tuple[Callable[[Any], np.ndarray], Any, Any]:
    """texts -> vectors, with the model and its tokenizer."""
    tokenizer, bert = load(model, BertModel, device, add_pooling_layer=False)
    return functools.partial(embed, bert, tokenizer), bert, tokenizer
