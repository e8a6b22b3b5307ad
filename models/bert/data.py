"""Text to training batches: documents, ids on disk, masking, sentence pairs.

A text file holds one sentence a line and a blank line between documents. It is read once, turned into ids and laid on disk,
from where training maps it: memory does not grow with the corpus. Every batch is a function of (seed, step), so a run that
stops can go on with the very batch that comes next.
The recipe is that of Devlin et al. (2018), section 3.1 and appendix A.1, as in the code released with it.
Read before: tokenizer.py. Read next: pretraining.py.
"""

from __future__ import annotations

import os
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.files import replacing

from .tokenizer import Tokenizer

IGNORED = -100  # the label of a position at which nothing is asked
LONGEST_LINE = 1 << 16  # bytes; a longer line is cut at a space,
LONGEST_DOCUMENT = 1 << 17  # characters; and a longer document between two lines: so that memory stays bounded

# --------------------------------------------------------------------------------------------------- reading text


def read_documents(paths: Sequence[str | Path]) -> Iterator[list[str]]:
    """The documents of text files: lists of lines, one sentence a line, a blank line between documents."""
    for path in paths:
        document: list[str] = []
        size = 0
        for line in read_lines(Path(path)):
            if line:
                document.append(line)
                size += len(line)
            if document and (not line or size >= LONGEST_DOCUMENT):
                yield document
                document, size = [], 0
        if document:
            yield document


def read_lines(path: Path) -> Iterator[str]:
    """The stripped lines of a UTF-8 text file, one at a time."""
    if path.is_dir():
        raise ValueError(f"{path}: a folder, not a text file")
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not an ordinary file; it is read several times, so save the text to one first")
    with open(path, "rb") as file:
        number, first = 1, True
        while line := file.readline(LONGEST_LINE):
            ended = line.endswith(b"\n")
            if not ended and len(line) == LONGEST_LINE and (cut := line.rfind(b" ") + 1):
                file.seek(cut - len(line), os.SEEK_CUR)
                line = line[:cut]
            if b"\0" in line:
                raise ValueError(f"{path}:{number}: holds a zero byte, so this is a binary file (or UTF-16), not UTF-8 text")
            try:
                text = line.decode("utf-8-sig" if first else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start} of the line); "
                    f"if it is a text, convert it: iconv -f LATIN1 -t UTF-8 {path.name}"
                ) from error
            if text or ended:
                yield text
            number, first = number + ended, False


# --------------------------------------------------------------------------------------------------- ids on disk


@dataclass
class Corpus:
    """A text as ids: one flat array (mapped from disk), and where its sentences and documents start."""

    ids: Any  # (tokens,) int32
    sentences: Any  # (sentences + 1,) int64: token at which each starts
    documents: Any  # (documents + 1,) int64: sentence at which each starts

    @classmethod
    def write(cls, documents: Iterable[Sequence[str]], tokenizer: Tokenizer, path: Path) -> Corpus:
        """Tokenise documents into ``path``.ids and ``path``.npz, a thousand sentences at a time, and open them.

        The index goes first and comes back last: what an interruption leaves has none, and is not opened by mistake.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        index, file = path.with_suffix(".npz"), path.with_suffix(".ids")
        index.unlink(missing_ok=True)
        lengths = array("i")  # 4 bytes a sentence, where a list takes up to 36
        starts = array("q", [0])
        with replacing(file) as beside, open(beside, "wb") as out:
            for document in documents:
                for rows in batched(document, 1000):
                    encoded = [ids for ids in tokenizer.encode_lines(rows, special=False) if ids]
                    lengths.extend(map(len, encoded))
                    for ids in encoded:
                        np.asarray(ids, dtype=np.int32).tofile(out)
                if len(lengths) > starts[-1]:
                    starts.append(len(lengths))
        sentences = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        with replacing(index) as beside:
            np.savez(beside, sentences=sentences, documents=np.asarray(starts))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Map a corpus that ``write`` left."""
        index, file = path.with_suffix(".npz"), path.with_suffix(".ids")
        try:
            with np.load(index, allow_pickle=False) as stored:
                sentences, documents = stored["sentences"], stored["documents"]
            size = file.stat().st_size
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{index}: no index of a prepared text ({error}); delete its folder to prepare it anew") from error
        if size != 4 * sentences[-1] or documents[-1] != len(sentences) - 1:
            holds = f"holds {size // 4} ids, its index says {sentences[-1]}"
            raise ValueError(f"{file}: {holds}; delete its folder to prepare it anew")
        return cls(np.memmap(file, dtype=np.int32, mode="r") if size else np.zeros(0, np.int32), sentences, documents)

    def __len__(self) -> int:
        return len(self.documents) - 1

    def bounds(self, i: int) -> list[int]:
        """Where in ``ids`` the sentences of document i start, and where the last one ends."""
        first, last = self.documents[i], self.documents[i + 1]
        return [int(start) for start in self.sentences[first : last + 1]]

    def unigram_entropy(self, reference: Corpus | None = None, vocab_size: int | None = None) -> float:
        """Nats a token that word frequencies alone cost: the loss of a model that has learnt nothing else.

        With ``reference`` its (add-one smoothed) frequencies are used to code this text: the floor on held-out text.
        """
        counts = np.bincount(self.ids, minlength=vocab_size or 0).astype(np.float64)
        model = counts if reference is None else np.bincount(reference.ids, minlength=len(counts)) + 1.0
        p = counts / counts.sum()
        q = model / model.sum()
        used = p > 0
        return float(-(p[used] * np.log(q[used])).sum())


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Consecutive slices of at most ``size``."""
    for i in range(0, len(items), size):
        yield items[i : i + size]


# ------------------------------------------------------------------------------------------------------- masking


def mask_tokens(
    ids: Any,
    maskable: Any,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    probability: float = 0.15,
    max_predictions: int | None = None,
    whole_word: bool = False,
) -> tuple[Any, Any]:
    """BERT's masking of ids (B, S): the masked ids, and labels with the original at chosen places and -100 elsewhere.

    In a row of n tokens (special ones counted) round(n · probability) are chosen, at least 1, at most max_predictions: of
    these 80 % become [MASK], 10 % a random token of the vocabulary, 10 % stay. whole_word: the pieces of a word go together.
    """
    B, S = ids.shape
    length = (ids != tokenizer.pad_id).sum(1)
    wanted = np.maximum(1, np.rint(length * probability)).astype(int)
    if max_predictions is not None:
        wanted = np.minimum(wanted, max_predictions)
    if whole_word:
        chosen = np.zeros((B, S), dtype=bool)
        for row in range(B):
            choose_words(chosen[row], maskable[row], continuation(tokenizer)[ids[row]], int(wanted[row]), rng)
    else:
        keys = np.where(maskable, rng.random((B, S)), np.inf)
        rank = keys.argsort(1).argsort(1)
        chosen = (rank < wanted[:, None]) & maskable
    labels = np.where(chosen, ids, IGNORED)
    u = rng.random((B, S))
    masked = np.where(chosen & (u < 0.8), tokenizer.mask_id, ids)
    random_token = rng.integers(0, len(tokenizer), (B, S))
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
    return np.array([token.startswith("##") for token in tokenizer.tokens])


# ------------------------------------------------------------------------------------------------------ examples


def batches_by_length(sizes: Any, batch_size: int, rng: np.random.Generator) -> list[Any]:
    """0, 1, ... in batches of about the same size, so that little is computed on padding: shuffled, sorted within portions of
    32 batches, cut. The batches themselves still come in order."""
    order = rng.permutation(len(sizes))
    portions = (order[i : i + 32 * batch_size] for i in range(0, len(order), 32 * batch_size))
    parts = [part[np.argsort(sizes[part], kind="stable")] for part in portions]
    return [part[i : i + batch_size] for part in parts for i in range(0, len(part), batch_size)]


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
        """What the epoch consists of, drawn once (batches come from several threads, each keeps hold of what it got)."""
        number_held, held = self._epoch
        if number_held != number:
            held = self.draw(number)
            self._epoch = number, held
        return held

    def mask(self, ids: Any, keys: Sequence[int], step: int) -> tuple[Any, Any]:
        """Masked ids and labels: one stream of random numbers a step, or one an example where its masks are to come again."""
        special = np.isin(ids, [self.tokenizer.pad_id, self.tokenizer.cls_id, self.tokenizer.sep_id])
        if self.dynamic:
            return mask_tokens(ids, ~special, self.tokenizer, np.random.default_rng([self.seed, 2, step]), **self.masking)
        rows = []
        for i, key in enumerate(keys):
            rng, n = np.random.default_rng([self.seed, 2, key]), int((ids[i] != self.tokenizer.pad_id).sum())
            masked, labels = mask_tokens(ids[i : i + 1, :n], ~special[i : i + 1, :n], self.tokenizer, rng, **self.masking)
            rows.append((np.append(masked, ids[i, n:]), np.append(labels, np.full(len(ids[i]) - n, IGNORED))))
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

    def batch(self, step: int) -> dict[str, Tensor]:
        """Batch number ``step``: input_ids and labels, (B, S)."""
        ids = np.empty((self.batch_size, self.body + 2), dtype=np.int64)
        ids[:, 0], ids[:, -1] = self.tokenizer.cls_id, self.tokenizer.sep_id
        blocks = []
        for i in range(self.batch_size):
            epoch, position = divmod(step * self.batch_size + i, self.count)
            order, offset = self.epoch(epoch)
            blocks.append(int(order[position]))
            ids[i, 1:-1] = self.corpus.ids[offset + blocks[-1] * self.body :][: self.body]
        masked, labels = self.mask(ids, blocks, step)
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
    """Masked-LM and next-sentence batches of sentence pairs of about the same length; each epoch walks the corpus anew."""

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

    def batch(self, step: int) -> dict[str, Tensor]:
        """Batch number ``step``: input_ids, token_type_ids, attention_mask, labels (B, S), next_sentence_label (B,)."""
        rows, keys, relation = [], [], []
        for i in range(step * self.batch_size, (step + 1) * self.batch_size):
            epoch, position = divmod(i, self.count)
            pairs = self.epoch(epoch)
            a_start, a_end, b_start, b_end, is_random = pairs[position % len(pairs)].tolist()
            rows.append(self.tokenizer.join(self.corpus.ids[a_start:a_end].tolist(), self.corpus.ids[b_start:b_end].tolist()))
            keys.append(a_start)
            relation.append(is_random)
        batch = self.tokenizer.batch(rows)
        masked, labels = self.mask(batch["input_ids"].numpy(), keys, step)
        return {
            **batch,
            "input_ids": minitorch.from_numpy(masked),
            "labels": minitorch.from_numpy(labels),
            "next_sentence_label": minitorch.from_numpy(np.array(relation)),
        }
