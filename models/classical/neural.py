"""What the small networks share: a vocabulary, and training from scratch.

A network here is fitted and asked as scikit-learn's models are: fit(texts, answers), predict(texts), predict_proba(texts). Every
random choice follows from the seed.
Read before: baselines.py. Read next: convolution.py, lstm.py, lstm_crf.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import nn, optim

from ..text.words import split_words
from ..training.batches import batches_by_length
from .baselines import Baseline

PADDING, UNKNOWN = 0, 1  # ids
Dev = tuple[Sequence[Any], Sequence[Any]]  # inputs and their right answers


class Vocabulary:
    """Ids of the words seen at least ``least`` times, and of those that ``vectors`` know; 0 is padding, 1 an unknown word."""

    def __init__(self, texts: Iterable[Sequence[str]], least: int = 2, vectors: Any = None, most: int = 50_000) -> None:
        self.counts = Counter(word for text in texts for word in text)
        words = [word for word, n in self.counts.most_common(most) if n >= least or (vectors is not None and word in vectors)]
        seen = set(words)
        words += [word for word in (vectors.words[:most] if vectors is not None else ()) if word not in seen]
        self.ids = {word: i for i, word in enumerate(words, UNKNOWN + 1)}

    def __len__(self) -> int:
        return len(self.ids) + UNKNOWN + 1

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """One id per word; a text without words is one unknown word."""
        return np.array([self.ids.get(word, UNKNOWN) for word in words] or [UNKNOWN])

    def table(self, size: int, vectors: Any = None) -> Any:
        """The rows from which training starts: the vectors', as long on average as random ones, and random ones; padding is 0."""
        rows = minitorch.randn(len(self), size).numpy() * 0.1
        if vectors is not None:
            rows = minitorch.randn(len(self), vectors.size).numpy() * 0.1
            scale = 0.1 / max(float(vectors.table.std()), 1e-12)
            for word, i in self.ids.items():
                if word in vectors:
                    rows[i] = vectors[word] * scale
        rows[PADDING] = 0
        return minitorch.tensor(rows)


def padded(rows: Sequence[np.ndarray], least: int = 1) -> tuple[Any, np.ndarray]:
    """Ids side by side, (B, T), padded at their ends to the longest (and ``least``); and their lengths, (B,)."""
    lengths = np.array([len(row) for row in rows])
    table = np.full((len(rows), max(least, int(lengths.max()))), PADDING)
    for row, ids in zip(table, rows, strict=True):
        row[: len(ids)] = ids
    return minitorch.tensor(table), lengths


class Network(Baseline):
    """A network with its training. A subclass makes the vocabulary, the model, a batch's loss and answers.

    lr: the learning rate; ``rates`` are those worth trying, the usual one first. ``vectors`` (word_vectors.py) are what the words
    start from. ``progress`` gets a line after each epoch.
    """

    epochs, batch_size, rates = 10, 32, (1e-3, 3e-3)

    def __init__(
        self, lr: float | None = None, seed: int = 0, vectors: Any = None, progress: Callable[[str], None] | None = None,
        **settings: Any,
    ) -> None:  # fmt: skip
        self.seed, self.vectors = seed, vectors
        self.progress = progress or (lambda line: None)
        for name, value in settings.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no setting {name!r}")
            setattr(self, name, value)
        self.lr = self.rates[0] if lr is None else lr

    # ---- what a subclass defines

    def prepare(self, inputs: Sequence[Any], answers: Sequence[Any]) -> None:
        """Vocabulary and labels, from the examples to learn from."""
        raise NotImplementedError

    def build(self) -> nn.Module:
        """A fresh model."""
        raise NotImplementedError

    def encode(self, item: Any) -> Any:
        """An input as ids."""
        raise NotImplementedError

    def loss(self, model: Any, items: Sequence[Any], answers: Sequence[Any]) -> Any:
        """The mean loss of a batch of encoded inputs."""
        raise NotImplementedError

    def score(self, answers: Sequence[Any], predicted: Sequence[Any]) -> float:
        """How good predictions are: the share of right ones."""
        return float(np.mean([a == p for a, p in zip(answers, predicted, strict=True)]))

    def size_of(self, item: Any) -> int:
        """How long an encoded input is; equally long ones make a batch."""
        return len(item)

    # ---- training

    def fit(self, inputs: Sequence[Any], answers: Sequence[Any], dev: Dev = ((), ())) -> Network:  # type: ignore[override]
        """Learn from inputs and their right answers; keep the epoch that is best on ``dev``, others, if they are given."""
        state = minitorch.get_rng_state()
        try:
            self.prepare(inputs, answers)
            minitorch.manual_seed(self.seed)
            self.model = self.build()
            self.train([self.encode(x) for x in inputs], answers, dev)
        finally:
            minitorch.set_rng_state(state)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.size = 4 * self.parameters
        return self

    def train(self, items: Sequence[Any], answers: Sequence[Any], dev: Dev) -> None:
        """All epochs."""
        model, rng = self.model, np.random.default_rng(self.seed)
        optimizer = optim.AdamW(model.parameters(), lr=self.lr, weight_decay=0.01)
        best, kept = -np.inf, None
        for epoch in range(self.epochs):
            loss = self.one_epoch(model.train(), optimizer, items, answers, rng)
            line = f"epoch {epoch + 1} of {self.epochs}: loss {loss:.3f}"
            if len(dev[0]):
                score = self.score(dev[1], self.predict(dev[0]))
                line += f", dev score {score:.3f}"
                if score > best:
                    best, kept = score, {name: value.clone() for name, value in model.state_dict().items()}
            self.progress(line)
        if kept is not None:
            model.load_state_dict(kept)

    def one_epoch(self, model: Any, optimizer: Any, items: Any, answers: Any, rng: np.random.Generator) -> float:
        """Every example once; the mean loss."""
        losses = []
        batches = batches_by_length(np.array([self.size_of(x) for x in items]), self.batch_size, rng)
        for batch in (batches[i] for i in rng.permutation(len(batches))):
            optimizer.zero_grad()
            loss = self.loss(model, [items[i] for i in batch], [answers[i] for i in batch])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    def in_batches(self, inputs: Sequence[Any], ask: Callable[[Any], Any], size: int = 64) -> list[Any]:
        """ask(encoded inputs) for all, similar lengths together, in the order of the inputs."""
        items = [self.encode(x) for x in inputs]
        order = sorted(range(len(items)), key=lambda i: self.size_of(items[i]))
        found: list[Any] = [None] * len(items)
        self.model.eval()
        with minitorch.no_grad():
            for start in range(0, len(order), size):
                part = order[start : start + size]
                for i, answer in zip(part, ask([items[i] for i in part]), strict=True):
                    found[i] = answer
        return found


class TextClassifier(Network):
    """A network that gives each text one of some classes. A subclass has ``network(classes)``.

    Words are those of models/text/words.py in lower case; of a longer text the first ``length`` count.
    """

    length, width = 256, 100  # most words of a text; numbers per word, unless vectors are given

    def words(self, text: str) -> list[str]:
        """The words that the network sees."""
        return [word.lower() for word in split_words(text)[: self.length]]

    def prepare(self, inputs: Sequence[str], answers: Sequence[Any]) -> None:
        self.classes = sorted(set(answers), key=str)
        self.vocabulary = Vocabulary((self.words(text) for text in inputs), vectors=self.vectors)

    def build(self) -> nn.Module:
        return self.network(self.vocabulary.table(self.width, self.vectors), len(self.classes))

    def network(self, table: Any, classes: int) -> nn.Module:
        """The model, whose words start as the rows of ``table``: ids (B, T) and lengths (B,) -> scores (B, classes)."""
        raise NotImplementedError

    def encode(self, item: str) -> np.ndarray:
        return self.vocabulary.encode(self.words(item))

    def loss(self, model: Any, items: Sequence[np.ndarray], answers: Sequence[Any]) -> Any:
        target = minitorch.tensor([self.classes.index(a) for a in answers])
        return nn.functional.cross_entropy(model(*padded(items)), target)

    def predict_proba(self, inputs: Sequence[str]) -> np.ndarray:
        """The probability of each of ``classes``: (texts, classes)."""
        rows = self.in_batches(inputs, lambda items: nn.functional.softmax(self.model(*padded(items)), -1).numpy())
        return np.array(rows).reshape(-1, len(self.classes))

    def predict(self, inputs: Sequence[str]) -> list[Any]:
        return [self.classes[i] for i in self.predict_proba(inputs).argmax(1)]
