"""What the small networks share: a vocabulary, and training from scratch with a learning rate chosen on a held-out share.

A network here is fitted and asked as scikit-learn's models are: fit(texts, answers), predict(texts), predict_proba(texts). Every
random choice follows from the seed.
Read before: baselines.py. Read next: convolution.py, lstm.py, lstm_crf.py.
"""

from __future__ import annotations

import time
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

    rates: learning rates to try, each for ``trial`` epochs; the best on the held-out share goes on to ``epochs``, and the best
    epoch is kept. ``seconds`` ends training early. ``vectors`` (word_vectors.py) are what the words start from.
    ``progress`` gets a line after each epoch.
    """

    epochs, trial, batch_size, rates = 10, 2, 32, (1e-3, 3e-3)

    def __init__(
        self, seed: int = 0, vectors: Any = None, held_out: float = 0.1, seconds: float = float("inf"),
        progress: Callable[[str], None] | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        self.seed, self.vectors, self.held_out, self.seconds = seed, vectors, held_out, seconds
        self.progress = progress or (lambda line: None)
        for name, value in settings.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no setting {name!r}")
            setattr(self, name, value)

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

    def fit(self, inputs: Sequence[Any], answers: Sequence[Any]) -> Network:  # type: ignore[override]
        """Learn from inputs and their right answers."""
        state, self.deadline = minitorch.get_rng_state(), time.perf_counter() + self.seconds
        try:
            self.prepare(inputs, answers)
            items = [self.encode(x) for x in inputs]
            held = self.draw_held_out(answers)
            learnt = [i for i in range(len(items)) if i not in held]
            self.train([items[i] for i in learnt], [answers[i] for i in learnt], sorted(held), inputs, answers)
        finally:
            minitorch.set_rng_state(state)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.size = 4 * self.parameters
        return self

    def draw_held_out(self, answers: Sequence[Any]) -> set[int]:
        """A share of the examples, the same of each answer where answers repeat; none of fewer than 20."""
        order = np.random.default_rng(self.seed).permutation(len(answers))
        if len(answers) < 20 or not self.held_out:
            return set()
        keys = [str(a) if isinstance(a, str | int) else "" for a in answers]
        ranked = sorted(order.tolist(), key=lambda i: keys[i])  # stable: random within an answer
        step = max(2, round(1 / self.held_out))
        return set(ranked[step // 2 :: step])

    def train(
        self, items: Sequence[Any], answers: Sequence[Any], held: Sequence[int], inputs: Sequence[Any], truth: Sequence[Any]
    ) -> None:
        """Try the rates, go on with the best one, keep the best epoch."""
        best: Any = (-np.inf, None)
        runs = []
        for lr in self.rates if held else self.rates[:1]:
            minitorch.manual_seed(self.seed)
            model = self.build()
            optimizer = optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
            run = [-np.inf, lr, model, optimizer, np.random.default_rng(self.seed), minitorch.get_rng_state()]
            runs.append(run)
            best = self.some_epochs(run, range(self.trial), best, items, answers, held, inputs, truth)
            if time.perf_counter() > self.deadline:
                break
        run = max(runs, key=lambda run: run[0])
        self.lr = run[1]
        best = self.some_epochs(run, range(self.trial, self.epochs), best, items, answers, held, inputs, truth)
        self.model = run[2] if best[1] is None else best[2]
        if best[1] is not None:
            self.model.load_state_dict(best[1])

    def some_epochs(
        self, run: list[Any], epochs: range, best: Any, items: Any, answers: Any, held: Any, inputs: Any, truth: Any
    ) -> Any:
        """Train a run for some epochs; the best (score, state, model) so far."""
        _, lr, model, optimizer, rng, state = run
        minitorch.set_rng_state(state)
        for epoch in epochs:
            if time.perf_counter() > self.deadline:
                break
            loss = self.one_epoch(model.train(), optimizer, items, answers, rng)
            line = f"rate {lr:g}, epoch {epoch + 1} of {self.epochs}: loss {loss:.3f}"
            if held:
                self.model = model
                run[0] = self.score([truth[i] for i in held], self.predict([inputs[i] for i in held]))
                line += f", held-out score {run[0]:.3f}"
                if run[0] > best[0]:
                    best = run[0], {name: value.clone() for name, value in model.state_dict().items()}, model
            self.progress(line)
        run[5] = minitorch.get_rng_state()
        return best

    def one_epoch(self, model: Any, optimizer: Any, items: Any, answers: Any, rng: np.random.Generator) -> float:
        """Every example once; the mean loss. It ends in its middle when the time is up."""
        losses = []
        batches = batches_by_length(np.array([self.size_of(x) for x in items]), self.batch_size, rng)
        for batch in (batches[i] for i in rng.permutation(len(batches))):
            optimizer.zero_grad()
            loss = self.loss(model, [items[i] for i in batch], [answers[i] for i in batch])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
            if time.perf_counter() > self.deadline:
                break
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
