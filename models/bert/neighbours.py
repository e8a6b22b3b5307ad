"""The words that are nearest to a word in a model's table of word embeddings, by the cosine.

They are mostly other forms of the word and words of the same kind; opposites (good, bad) are among them, for they stand in the
same places. Mrkšić et al. (2016), "Counter-fitting word vectors to linguistic constraints", https://arxiv.org/abs/1603.00892,
section 1. Who asks: models/augmenting, models/attacking.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..text.tokenizer import Tokenizer
from ..text.typos import like

MOST = 8  # neighbours of a word
LEAST = 0.5  # cosine: in all-MiniLM-L6-v2, movie-film have 0.71, good-great 0.52, good-nice 0.42


class Neighbours:
    """``Neighbours(model, tokenizer)("film")``: the nearest whole words of the vocabulary, the nearest first."""

    def __init__(self, model: Any, tokenizer: Tokenizer, most: int = MOST, least: float = LEAST) -> None:
        """At most ``most``, with a cosine of at least ``least``."""
        table = next(m for name, m in model.named_modules() if name.endswith("word_embeddings")).weight.detach().cpu().numpy()
        self.words = [(i, token) for i, token in enumerate(tokenizer.tokens) if token.isalpha() and len(token) > 2]
        vectors = table[[i for i, _ in self.words]].astype(np.float32)
        self.vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)  # (words, H)
        self.place = {token: k for k, (_, token) in enumerate(self.words)}
        self.tokenizer, self.most, self.least = tokenizer, most, least
        self.known: dict[str, list[str]] = {}

    def __call__(self, word: str) -> list[str]:
        """In the case of ``word``; none for a word of several pieces."""
        plain = word.lower() if self.tokenizer.lowercase else word
        if plain not in self.known:
            self.known[plain] = self.find(plain)
        return [like(word, other) for other in self.known[plain]]

    def find(self, word: str) -> list[str]:
        """Those of a word as the vocabulary writes it."""
        if word not in self.place:
            return []
        cosines = self.vectors @ self.vectors[self.place[word]]
        cosines[self.place[word]] = -1
        nearest = np.argsort(-cosines, kind="stable")[: self.most]
        return [self.words[k][1] for k in nearest if cosines[k] >= self.least]
