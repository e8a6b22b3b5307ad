"""word2vec (Mikolov et al. 2013): vectors such that a word's vector tells its neighbours' (skip-gram), or they tell it (CBOW).

Every word has two rows: v (what is read) and u (what is told). For a pair (v, u) from the text and k words uₙ drawn by chance,
negative sampling (arXiv 1310.4546, equation 4) maximises

    ln σ(u·v) + Σₙ ln σ(-uₙ·v),       so  ∂/∂v = Σ (t - σ(u·v)) u,   ∂/∂u = (t - σ(u·v)) v,   t = 1 for the true word, else 0.

CBOW (arXiv 1301.3781) has the mean of the neighbours' rows as its v. Frequent words are skipped by chance (subsampling, equation
5), and each word looks at 1 to ``window`` neighbours on either side (a dynamic window). Noise words are drawn by frequency^¾.
Every random choice follows from (seed, epoch, chunk of text), so a resumed training is bit-equal to one that never stopped.
Read before: word_vectors.py. Read next: vectors_command.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch.ops.nn import add_rows_kernel

from ..text.words import split_words

NOISE = 64  # words drawn for a batch: one matrix product tells them all from the true words (Ji et al. 2016, arXiv 1604.04661)
CHUNK = 20_000  # words of text whose pairs are drawn and shuffled together


@dataclass
class Text:
    """A text as ids of its frequent words: ``ids``, the number of each word's sentence, the words, and how often each occurs."""

    ids: Any
    sentence: Any
    words: list[str]
    counts: Any

    @classmethod
    def read(cls, documents: Iterable[Sequence[str]], min_count: int) -> Text:
        """Words in lower case, those with a letter, that occur at least ``min_count`` times; the most frequent ones first."""
        sentences = [words_of(line) for document in documents for line in document]
        counts = Counter(word for words in sentences for word in words)
        words = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
        index = {word: i for i, word in enumerate(words)}
        known = [[index[w] for w in line if w in index] for line in sentences]
        sentence = np.repeat(np.arange(len(known)), [len(line) for line in known])
        return cls(np.array([i for line in known for i in line], np.int32), sentence, words, np.array([counts[w] for w in words]))


def words_of(line: str) -> list[str]:
    """The words of a line, in lower case, without punctuation."""
    return [word.lower() for word in split_words(line) if any(c.isalpha() for c in word)]


class Word2Vec:
    """The two tables and their training, batch by batch; the rate falls linearly to 0 over all epochs.

    Rows start as in the original program: v uniform in ±½/size, u as zeros.
    """

    def __init__(
        self, text: Text, size: int = 100, model: str = "skipgram", window: int = 5, negative: int = 5, sample: float = 1e-3,
        epochs: int = 6, lr: float = 0.1, batch_size: int = 512, seed: int = 0,
    ) -> None:  # fmt: skip
        self.text, self.cbow, self.window, self.negative = text, model == "cbow", window, negative
        self.epochs, self.lr, self.batch_size, self.seed = epochs, lr, batch_size, seed
        rng = np.random.default_rng([seed, 0])
        self.v = ((rng.random((len(text.words), size)) - 0.5) / size).astype(np.float32)
        self.u = np.zeros_like(self.v)
        self.squares_v, self.squares_u = (np.zeros((len(text.words), 1), np.float32) for _ in "vu")  # Adagrad's sums
        share = text.counts / text.counts.sum()
        self.kept = np.minimum(1, np.sqrt(sample / share) + sample / share) if sample else np.ones(len(share))
        self.drawn = np.cumsum(text.counts**0.75) / (text.counts**0.75).sum()
        self.chunks = math.ceil(len(text.ids) / CHUNK)
        self.step = 0  # chunks that are done, of all epochs

    @property
    def steps(self) -> int:
        """Chunks of all epochs."""
        return self.epochs * self.chunks

    def one_step(self) -> tuple[float, int]:
        """Learn the next chunk of text: the mean loss per prediction, and how many there were."""
        epoch, i = divmod(self.step, self.chunks)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.chunks)
        rng = np.random.default_rng([self.seed, 2, self.step])
        part = slice(order[i] * CHUNK, (order[i] + 1) * CHUNK)
        losses, n = 0.0, 0
        batches = list(self.batches(self.text.ids[part], self.text.sentence[part], rng))
        for j, (read, told) in enumerate(batches):
            rate = self.lr * max(1e-4, 1 - (self.step + j / len(batches)) / self.steps)
            losses += self.learn(read, told, self.draw(rng), rate)
            n += len(told)
        self.step += 1
        return losses / max(n, 1), n

    def draw(self, rng: np.random.Generator) -> Any:
        """The noise of a batch: words by chance, each by its frequency to the power ¾."""
        return np.searchsorted(self.drawn, rng.random(NOISE)).clip(max=len(self.drawn) - 1)

    def batches(self, ids: Any, sentence: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
        """(words read, word told) in random order: a word and one neighbour, (B, 1) and (B,); for CBOW all of a word's
        neighbours, (B, 2 · window) with -1 where there is none."""
        kept = rng.random(len(ids)) < self.kept[ids]
        ids, sentence = ids[kept], sentence[kept]
        reach = rng.integers(1, self.window + 1, len(ids))  # of each word's window
        near = np.full((len(ids), 2 * self.window), -1)
        for d in range(1, self.window + 1):
            together = np.flatnonzero(sentence[d:] == sentence[:-d]) if d < len(ids) else np.zeros(0, int)
            left, right = together, together + d
            near[left[reach[left] >= d], d - 1] = ids[right[reach[left] >= d]]
            near[right[reach[right] >= d], -d] = ids[left[reach[right] >= d]]
        if self.cbow:
            some = (near >= 0).any(1)
            read, told = near[some], ids[some]
        else:
            word, place = np.nonzero(near >= 0)
            read, told = ids[word][:, None], near[word, place]
        order = rng.permutation(len(told))
        for start in range(0, len(told), self.batch_size):
            yield read[order[start : start + self.batch_size]], told[order[start : start + self.batch_size]]

    def learn(self, read: Any, told: Any, noise: Any, rate: float) -> float:
        """One step of gradient descent for a batch; the loss before it, summed."""
        loss, dv, du, dnoise = gradients(self.v, self.u, read, told, noise, self.negative / len(noise))
        descend(self.v, self.squares_v, read.reshape(-1), dv, rate)
        descend(self.u, self.squares_u, np.concatenate([told, noise]), np.concatenate([du, dnoise]), rate)
        return loss


def gradients(v: Any, u: Any, read: Any, told: Any, noise: Any, weight: float) -> tuple[float, Any, Any, Any]:
    """The summed loss of a batch, and its gradients by the rows v[read], u[told] and u[noise].

    read (B, n): the words whose mean is read, -1 for none; told (B,); noise (K,), each of ``weight`` k/K, so that together they
    stand for k words. A noise word that is the true one does not count.
    """
    there = (read >= 0)[..., None].astype(v.dtype)
    number = there.sum(1)  # (B, 1)
    h = (v[read] * there).sum(1) / number  # (B, d)
    true, drawn = u[told], u[noise]  # (B, d), (K, d)
    x, y = (true * h).sum(1), h @ drawn.T  # (B,), (B, K)
    counts = weight * (told[:, None] != noise)
    loss = float(np.logaddexp(0, -x).sum() + (counts * np.logaddexp(0, y)).sum())  # -ln σ(x) = ln(1 + e⁻ˣ)
    g = (-1 / (1 + np.exp(x))).astype(v.dtype)[:, None]  # ∂loss/∂x = -(1 - σ(x))
    gn = (counts / (1 + np.exp(-y))).astype(v.dtype)  # ∂loss/∂y = σ(y)
    dh = g * true + gn @ drawn  # (B, d)
    dv = (dh / number)[:, None, :] * there  # (B, n, d)
    return loss, dv.reshape(-1, v.shape[1]), g * h, gn.T @ h


def descend(table: Any, squares: Any, index: Any, gradient: Any, rate: float) -> None:
    """Adagrad with one rate per row (Duchi et al. 2011): g = the row's gradients summed, s ← s + mean g², row ← row - rate g/√s.

    A batch holds a frequent word often; plain descent would take all those steps from one place, and in a small vocabulary
    overshoot.
    """
    rows, place = np.unique(index, return_inverse=True)
    g = add_rows_kernel(gradient, place, len(rows))
    rows, g = rows[rows >= 0], g[rows >= 0]
    squares[rows] += (g * g).mean(1, keepdims=True)
    table[rows] -= rate * g / np.sqrt(squares[rows] + 1e-10)
