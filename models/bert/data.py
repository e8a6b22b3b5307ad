"""BERT's training batches from a text on disk: masked words and sentence pairs.

Every batch is a function of (seed, step), so a run that stops can go on with the very batch that comes next.
The recipe is that of Devlin et al. (2018), section 3.1 and appendix A.1, as in the code released with it.
Read before: models/text/corpus.py. Read next: pretraining.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..text.corpus import Corpus
from ..text.tokenizer import Tokenizer
from ..training.batches import batches_by_length

IGNORED = -100  # the label of a position that the loss ignores

# ------------------------------------------------------------------------------------------------------- masking


def mask_tokens(
    ids: Any,
    maskable: Any,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    probability: float = 0.15,
    max_predictions: int | None = None,
    whole_word: bool = False,
    rows: tuple[int, int] | None = None,
) -> tuple[Any, Any]:
    """BERT's masking of ids (B, S): the masked ids, and labels with the original at chosen places and -100 elsewhere.

    In a row of n tokens (special ones counted) round(n · probability) are chosen, at least 1, at most max_predictions: of
    these 80 % become [MASK], 10 % a random token of the vocabulary, 10 % stay. whole_word: the pieces of a word go together.
    rows: (first, of), where these rows stand in a batch of so many; they are masked as there (not with whole_word).
    """
    B, S = ids.shape
    first, of = rows or (0, B)
    length = (ids != tokenizer.pad_id).sum(1)
    wanted = np.maximum(1, np.rint(length * probability)).astype(np.int64)
    if max_predictions is not None:
        wanted = np.minimum(wanted, max_predictions)
    if whole_word:
        chosen = np.zeros((B, S), dtype=bool)
        for row in range(B):
            choose_words(chosen[row], maskable[row], continuation(tokenizer)[ids[row]], int(wanted[row]), rng)
    else:
        keys = np.where(maskable, rng.random((of, S))[first : first + B], np.inf)
        rank = keys.argsort(1).argsort(1)
        chosen = (rank < wanted[:, None]) & maskable
    labels = np.where(chosen, ids, IGNORED)
    u = rng.random((of, S))[first : first + B]
    masked = np.where(chosen & (u < 0.8), tokenizer.mask_id, ids)
    random_token = rng.integers(0, len(tokenizer), (of, S))[first : first + B]
    return np.where(chosen & (u >= 0.9), random_token, masked), labels


def choose_words(chosen: Any, maskable: Any, continues: Any, wanted: int, rng: np.random.Generator) -> None:
    """Mark whole words in random order until ``wanted`` pieces are chosen; a word that would overshoot is skipped."""
    words: list[list[int]] = []
    for i in np.flatnonzero(maskable).tolist():
        if continues[i] and words and words[-1][-1] == i - 1:
            words[-1].append(i)
        else:
            words.append([i])
    left = wanted
    for w in rng.permutation(len(words)):
        if len(words[w]) <= left:
            chosen[words[w]] = True
            left -= len(words[w])


def continuation(tokenizer: Tokenizer) -> Any:
    """For every id: is it a piece that continues a word (##...)?"""
    return np.array([token.startswith(tokenizer.prefix) for token in tokenizer.tokens])


# ------------------------------------------------------------------------------------------------------ examples


class Examples:
    """Batches of masked examples. Each is a function of (seed, step): the same whatever was drawn before.

    dynamic: every epoch has new examples and new masks; otherwise those of the first come again, in another order.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: Tokenizer, length: int, batch_size: int, seed: int, dynamic: bool = True, **masking: Any
    ) -> None:
        self.corpus, self.tokenizer, self.length, self.batch_size, self.seed = corpus, tokenizer, length, batch_size, seed
        self.dynamic, self.masking = dynamic, masking
        self._epoch: tuple[int, Any] = (-1, None)
        if not len(corpus.ids):
            raise ValueError("the corpus holds no word")

    count: int  # examples in an epoch

    def draw(self, epoch: int) -> Any:
        """What an epoch consists of."""
        raise NotImplementedError

    def epoch(self, number: int) -> Any:
        """The epoch's examples, drawn once (several threads ask for batches, and each keeps the array it got)."""
        number_held, held = self._epoch
        if number_held != number:
            held = self.draw(number)
            self._epoch = number, held
        return held

    def mask(self, ids: Any, keys: Sequence[int], step: int, first: int = 0) -> tuple[Any, Any]:
        """Masked ids and labels: one random stream per step, or per example if its masks must come back."""
        special = np.isin(ids, [self.tokenizer.pad_id, self.tokenizer.cls_id, self.tokenizer.sep_id])
        if self.dynamic:
            rng, rows = np.random.default_rng([self.seed, 2, step]), (first, max(self.batch_size, len(ids)))
            return mask_tokens(ids, ~special, self.tokenizer, rng, rows=rows, **self.masking)
        if not keys:
            return ids, ids
        rows = []
        for i, key in enumerate(keys):
            rng, n = np.random.default_rng([self.seed, 2, key]), int((ids[i] != self.tokenizer.pad_id).sum())
            masked, labels = mask_tokens(ids[i : i + 1, :n], ~special[i : i + 1, :n], self.tokenizer, rng, **self.masking)
            rows.append((np.append(masked, ids[i, n:]), np.append(labels, np.full(len(ids[i]) - n, IGNORED, np.int64))))
        return np.stack([masked for masked, _ in rows]), np.stack([labels for _, labels in rows])


class Blocks(Examples):
    """Masked-LM batches of full blocks: [CLS] the next S-2 tokens of the text [SEP].

    Each epoch cuts the text at other places and visits the blocks in another order.
    """

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, length: int, batch_size: int, seed: int, **options: Any) -> None:
        super().__init__(corpus, tokenizer, length, batch_size, seed, **options)
        self.body = min(length - 2, len(corpus.ids))
        self.count = max(1, len(corpus.ids) // self.body - (1 if self.dynamic else 0))  # one less, so that there is room to shift

    def draw(self, epoch: int) -> tuple[Any, int]:
        """The order of the blocks in an epoch, and the token at which the first one starts."""
        rng = np.random.default_rng([self.seed, 1, epoch])
        slack = len(self.corpus.ids) - self.count * self.body
        return rng.permutation(self.count), int(rng.integers(0, slack + 1)) if self.dynamic else 0

    def batch(self, step: int, rows: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Batch number ``step``: input_ids and labels, (B, S); or these ``rows`` of it (first, stop), and no others are read."""
        if rows and self.masking.get("whole_word"):  # which words are masked depends on the rows before
            return {name: value[slice(*rows)] for name, value in self.batch(step).items()}
        first, stop = rows or (0, self.batch_size)
        ids = np.empty((stop - first, self.body + 2), dtype=np.int64)
        ids[:, 0], ids[:, -1] = self.tokenizer.cls_id, self.tokenizer.sep_id
        blocks = []
        for i in range(first, stop):
            epoch, position = divmod(step * self.batch_size + i, self.count)
            order, offset = self.epoch(epoch)
            blocks.append(int(order[position]))
            ids[i - first, 1:-1] = self.corpus.ids[offset + blocks[-1] * self.body :][: self.body]
        masked, labels = self.mask(ids, blocks, step, first)
        return {"input_ids": minitorch.from_numpy(masked), "labels": minitorch.from_numpy(labels)}


# ------------------------------------------------------------------------------------- examples: sentence pairs

Span = tuple[int, int]  # tokens from the first to before the second, in Corpus.ids


def sentence_pairs(corpus: Corpus, length: int, rng: np.random.Generator, short_probability: float = 0.1) -> Any:
    """One walk over the corpus in random order, as create_pretraining_data.py does it.

    (pairs, 5): where A starts and ends, where B starts and ends, and 1 if B is from another document and does not follow A.
    Numbers of tokens and not the tokens, so that an epoch of a large corpus fits into memory.
    """
    pairs = array("q")
    for i in rng.permutation(len(corpus)):
        for a, b, is_random in pairs_of_document(corpus, int(i), length, rng, short_probability):
            pairs.extend((*a, *b, is_random))
    return rng.permutation(np.frombuffer(pairs, dtype=np.int64).reshape(-1, 5)) if pairs else np.zeros((0, 5), np.int64)


def pairs_of_document(
    corpus: Corpus, index: int, length: int, rng: np.random.Generator, short_probability: float
) -> Iterator[tuple[Span, Span, bool]]:
    """Collect sentences to the target length, split them at random into A and B; half of the time B comes from elsewhere."""
    room = length - 3  # [CLS] A [SEP] B [SEP]
    target = int(rng.integers(2, room + 1)) if rng.random() < short_probability else room
    bounds = corpus.bounds(index)  # sentence i is from bounds[i] to bounds[i + 1]
    first = last = 0
    while last < len(bounds) - 1:
        last += 1
        if bounds[last] - bounds[first] < target and last < len(bounds) - 1:
            continue
        n = last - first  # sentences collected
        middle = first + (int(rng.integers(1, n)) if n > 1 else 1)
        a, b = (bounds[first], bounds[middle]), (bounds[middle], bounds[last])
        is_random = n == 1 or bool(rng.random() < 0.5)
        if is_random:
            b = random_continuation(corpus, index, target - (a[1] - a[0]), rng)
            last = middle  # sentences that were not used go back
        yield *shortened(a, b, room, rng), is_random
        first = last


def random_continuation(corpus: Corpus, not_this: int, target: int, rng: np.random.Generator) -> Span:
    """Sentences of another document from a random one on, until ``target`` tokens."""
    for _ in range(10):
        other = int(rng.integers(len(corpus)))
        if other != not_this:
            break
    bounds = corpus.bounds(other)
    first = int(rng.integers(len(bounds) - 1))
    return bounds[first], next((end for end in bounds[first + 1 :] if end - bounds[first] >= target), bounds[-1])


def shortened(a: Span, b: Span, room: int, rng: np.random.Generator) -> tuple[Span, Span]:
    """The longer one loses tokens, at its front or its end by a coin, until both fit."""
    spans = [list(a), list(b)]
    lengths = [a[1] - a[0], b[1] - b[0]]
    while sum(lengths) > room:
        longer = 0 if lengths[0] > lengths[1] else 1
        lengths[longer] -= 1
        if rng.random() < 0.5:
            spans[longer][0] += 1
        else:
            spans[longer][1] -= 1
    (a_start, a_end), (b_start, b_end) = spans
    return (a_start, a_end), (b_start, b_end)


class Pairs(Examples):
    """Masked-LM and next-sentence batches of sentence pairs of about the same length; each epoch walks the corpus again."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, length: int, batch_size: int, seed: int, **options: Any) -> None:
        if length < 5:
            raise ValueError(f"sentence pairs need a length of 5 at least, for [CLS] A [SEP] B [SEP], not {length}")
        super().__init__(corpus, tokenizer, length, batch_size, seed, **options)
        self.count = len(self.epoch(0))

    def draw(self, epoch: int) -> Any:
        """The pairs of an epoch, in order."""
        walk = epoch if self.dynamic else 0
        pairs = sentence_pairs(self.corpus, self.length, np.random.default_rng([self.seed, 1, walk]))
        if not len(pairs):
            return pairs
        rng = np.random.default_rng([self.seed, 4, epoch])
        batches = batches_by_length(pairs[:, 1] - pairs[:, 0] + pairs[:, 3] - pairs[:, 2], self.batch_size, rng)
        order = sorted(rng.permutation(len(batches)), key=lambda i: len(batches[i]) < self.batch_size)  # a short one comes last
        begun = -epoch * self.count % self.batch_size if epoch else 0  # examples that complete the last batch of the epoch before
        return pairs[np.roll(np.concatenate([batches[i] for i in order]), begun)]

    def batch(self, step: int, rows: tuple[int, int] | None = None) -> dict[str, Tensor]:
        """Batch number ``step``: input_ids, token_type_ids, attention_mask, labels (B, S), next_sentence_label (B,); or these
        ``rows`` of it: the others are read, too, because all are padded to the longest."""
        if rows:
            return {name: value[slice(*rows)] for name, value in self.batch(step).items()}
        pieces, keys, relation = [], [], []
        for i in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, position = divmod(i, self.count)
            pairs = self.epoch(epoch)
            a_start, a_end, b_start, b_end, is_random = pairs[position % len(pairs)].tolist()
            pieces.append(self.tokenizer.join(self.corpus.ids[a_start:a_end].tolist(), self.corpus.ids[b_start:b_end].tolist()))
            keys.append(a_start)
            relation.append(is_random)
        batch = self.tokenizer.batch(pieces)
        masked, labels = self.mask(batch["input_ids"].numpy(), keys, step)
        return {
            **batch,
            "input_ids": minitorch.from_numpy(masked),
            "labels": minitorch.from_numpy(labels),
            "next_sentence_label": minitorch.from_numpy(np.array(relation, np.int64)),
        }
