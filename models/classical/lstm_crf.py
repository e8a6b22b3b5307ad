"""LSTM + CRF for tags (Lample et al. 2016, arXiv 1603.01360): the best tagger of entities before BERT.

A word is its vector and what a bidirectional LSTM reads in its letters (endings, capitals, digits); a second one reads the
sentence; a CRF chooses the tags together.
Read before: crf.py, lstm.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import nn
from minitorch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .crf import CRF, legal
from .neural import PADDING, UNKNOWN, Network, Vocabulary, padded

LONGEST_WORD = 25  # letters that are read


class LstmCrf(nn.Module):
    """Words (B, T) and their letters -> e (B, T, K) (sections 2.1, 4.1 and 4.3 of the paper)."""

    def __init__(
        self, table: Any, letters: int, tags: int, allowed: Any, hidden: int, dropout: float, letter_size: int = 25
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=PADDING)
        self.letters = nn.Embedding(letters, letter_size, padding_idx=PADDING)
        self.speller = nn.LSTM(letter_size, letter_size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(table.shape[1] + 2 * letter_size, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, tags)
        self.crf = CRF(tags, allowed)

    def forward(self, ids: Any, lengths: np.ndarray, spelt: list[np.ndarray], which: np.ndarray) -> Any:
        """spelt: the letters of each different word; which (B, T): the number of each word among them."""
        letters, sizes = padded(spelt)
        packed = pack_padded_sequence(self.letters(letters), sizes, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.speller(packed)  # h: (2, words, letter_size), the last states from the left and from the right
        spelling = minitorch.cat([h[0], h[1]], -1)
        x = minitorch.cat([self.embedding(ids), nn.functional.embedding(minitorch.tensor(which), spelling)], -1)  # (B, T, ...)
        x = pack_padded_sequence(self.dropout(x), lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(x)[0], batch_first=True)
        return self.output(self.dropout(y))


class LstmCrfTagger(Network):
    """fit(sentences, tags): lists of words, lists of their tags. predict(sentences): tags; predict_proba: their probabilities.

    While training, a word seen once counts as unknown every second time, so that unknown words have a vector (section 4.3).
    """

    epochs, batch_size, rates = 12, 16, (2e-3, 5e-3)
    width, hidden, dropout = 100, 100, 0.5  # numbers per word, unless vectors are given; of the LSTM, per direction

    def prepare(self, inputs: Sequence[Sequence[str]], answers: Sequence[Sequence[str]]) -> None:
        self.labels = sorted({tag for tags in answers for tag in tags})
        self.allowed = legal(self.labels, [tags for tags in answers if tags])
        self.vocabulary = Vocabulary(([w.lower() for w in words] for words in inputs), least=1, vectors=self.vectors)
        signs = Counter(c for words in inputs for word in words for c in word)
        self.signs = {c: i for i, c in enumerate((c for c, n in signs.most_common(500) if n > 1), UNKNOWN + 1)}
        rare = [self.vocabulary.ids[word] for word, n in self.vocabulary.counts.items() if n == 1 and word in self.vocabulary.ids]
        self.rare = np.zeros(len(self.vocabulary), bool)
        self.rare[rare] = True

    def build(self) -> nn.Module:
        table = self.vocabulary.table(self.width, self.vectors)
        return LstmCrf(table, len(self.signs) + UNKNOWN + 1, len(self.labels), self.allowed, self.hidden, self.dropout)

    def encode(self, item: Sequence[str]) -> Any:
        return self.vocabulary.encode([word.lower() for word in item]), list(item) or [""]

    def size_of(self, item: Any) -> int:
        return len(item[0])

    def scores(self, model: Any, items: Sequence[Any], hide: bool = False) -> tuple[Any, np.ndarray]:
        """e (B, T, K) of a batch, and the lengths; each different word is spelt once."""
        ids, lengths = padded([ids for ids, _ in items])
        if hide:
            hidden = self.rare[ids.numpy()] & (minitorch.rand(*ids.shape).numpy() < 0.5)
            ids = minitorch.tensor(np.where(hidden, UNKNOWN, ids.numpy()))
        numbers: dict[str, int] = {}
        which = np.zeros(ids.shape, int)
        for row, (_, words) in zip(which, items, strict=True):
            row[: len(words)] = [numbers.setdefault(word, len(numbers)) for word in words]
        spelt = [np.array([self.signs.get(c, UNKNOWN) for c in word[:LONGEST_WORD]] or [UNKNOWN]) for word in numbers]
        return model(ids, lengths, spelt, which), lengths

    def loss(self, model: Any, items: Sequence[Any], answers: Sequence[Sequence[str]]) -> Any:
        e, lengths = self.scores(model, items, hide=True)
        index = {label: i for i, label in enumerate(self.labels)}
        tags, _ = padded([np.array([index[tag] for tag in tags] or [0]) for tags in answers])
        return -model.crf.log_likelihood(e, tags.numpy(), lengths).mean()

    def score(self, answers: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
        """F1 of the words' tags other than O; without an O, the share of right tags."""
        pairs = [pair for a, p in zip(answers, predicted, strict=True) for pair in zip(a, p, strict=True)]
        right = sum(a == p != "O" for a, p in pairs)
        asked, answered = sum(a != "O" for a, _ in pairs), sum(p != "O" for _, p in pairs)
        return 2 * right / max(1, asked + answered)

    def predict(self, inputs: Sequence[Sequence[str]]) -> list[list[str]]:
        def ask(items: Sequence[Any]) -> list[list[int]]:
            return self.model.crf.decode(*self.scores(self.model, items))  # type: ignore[no-any-return]

        found = self.in_batches(inputs, ask)
        return [[self.labels[k] for k in path[: len(words)]] for path, words in zip(found, inputs, strict=True)]

    def predict_proba(self, inputs: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each sentence the probability of each of ``labels`` for each word: (words, labels)."""

        def ask(items: Sequence[Any]) -> np.ndarray:
            return self.model.crf.marginals(*self.scores(self.model, items))  # type: ignore[no-any-return]

        return [p[: len(words)] for p, words in zip(self.in_batches(inputs, ask), inputs, strict=True)]
