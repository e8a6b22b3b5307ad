"""The two vocabularies of an encoder-decoder, or the one that both sides share: texts to ids and back.

A vocabulary is any tokenizer of models/text with four ids in front of its own: padding, start, end, unknown. The source of a
BERT is the exception: it keeps that BERT's ids, [CLS] ... [SEP].
Read before: models/text/loading.py. Read next: task.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..errors import BadInput
from ..text.bpe import BPETokenizer
from ..text.characters import CharacterTokenizer
from ..text.loading import load_tokenizer
from ..text.tokenizer import Tokenizer

PAD, START, END, UNKNOWN, OWN = range(5)  # OWN: the first id of the tokenizer itself
KINDS = ("bpe", "characters")
SIDES = ("source", "target")


class Vocabulary:
    """A tokenizer's ids behind PAD, START, END and UNKNOWN."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.bert = isinstance(tokenizer, Tokenizer)
        self.pad = tokenizer.pad_id if self.bert else PAD

    @classmethod
    def learn(cls, kind: str, texts: Sequence[str], size: int) -> Vocabulary:
        """Of the texts' characters, or of at most ``size`` pieces that byte-level BPE joins."""
        if kind == "characters":
            return cls(CharacterTokenizer.train(texts))
        return cls(BPETokenizer.train(texts, size - OWN))

    def __len__(self) -> int:
        return len(self.tokenizer) + (0 if self.bert else OWN)

    def encode(self, texts: Sequence[str], most: int) -> tuple[list[list[int]], list[int]]:
        """The ids of each text with its end, at most ``most``; and how many each text has without a limit.

        A text that is too long loses pieces at its end, never the end token itself.
        """
        rows = self.pieces(texts)
        front, end = ([self.tokenizer.cls_id], self.tokenizer.sep_id) if self.bert else ([], END)
        framing = len(front) + 1
        return [[*front, *ids[: most - framing], end] for ids in rows], [len(ids) + framing for ids in rows]

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text alone."""
        if self.bert:
            return self.tokenizer.encode_lines(list(texts), special=False)
        if isinstance(self.tokenizer, CharacterTokenizer):
            known = self.tokenizer.vocabulary
            return [[OWN + known[c] if c in known else UNKNOWN for c in text] for text in texts]
        return [[OWN + i for i in ids] for ids in self.tokenizer.encode_lines(list(texts), special=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to the first END; START and padding are nothing, UNKNOWN is �."""
        parts: list[str] = []
        run: list[int] = []
        for i in ids:
            if i == END:
                break
            if i == UNKNOWN:
                parts += [self.tokenizer.decode(run), "�"]
                run = []
            elif i >= OWN:
                run.append(int(i) - OWN)
        return "".join([*parts, self.tokenizer.decode(run)]).strip()

    def names(self, ids: Iterable[int]) -> list[str]:
        """Each id as people read it, for a picture."""
        if self.bert:
            return [self.tokenizer.tokens[i] for i in ids]
        special = {PAD: "<pad>", START: "<s>", END: "</s>", UNKNOWN: "<unk>"}
        return [special[i] if i in special else visible(self.tokenizer.decode([i - OWN])) for i in ids]

    def batch(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rows padded to the longest, and the mask that hides the padding: (B, S) each."""
        ids, mask = padded(rows, self.pad), padded([[1] * len(row) for row in rows], 0)
        return minitorch.from_numpy(ids), minitorch.from_numpy(mask)

    def save(self, folder: Path) -> None:
        """The tokenizer's own files."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> Vocabulary:
        """What save wrote."""
        return cls(load_tokenizer(folder))


def visible(piece: str) -> str:
    """A piece for a picture, which shows neither a space nor a control character."""
    return "".join("␣" if c == " " else c if c.isprintable() else c.encode("unicode_escape").decode() for c in piece)


def padded(rows: Sequence[Sequence[int]], fill: int) -> Any:
    """(B, S) int64, each row filled up at its end."""
    out = np.full((len(rows), max(map(len, rows), default=0)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def vocabularies(s: Any, sources: Sequence[str], targets: Sequence[str]) -> tuple[Vocabulary, Vocabulary]:
    """Of source and target, learnt from the training pairs: one and the same with --joint; a BERT brings that of the source."""
    sides = [Counter(word for text in side for word in text.split()) for side in (sources, targets)]
    words, once = sum(side.total() for side in sides), sum(n == 1 for side in sides for n in side.values())
    if s.tokenizer == "auto":
        s.tokenizer = "characters" if 2 * once > words else "bpe"
    s.vocab_size = s.vocab_size or max(500, round(5 * words**0.5))
    try:
        if s.init_encoder:
            return Vocabulary(Tokenizer.from_pretrained(s.init_encoder)), Vocabulary.learn(s.tokenizer, targets, s.vocab_size)
        if s.joint:
            both = Vocabulary.learn(s.tokenizer, [*sources, *targets], s.vocab_size)
            return both, both
        return tuple(Vocabulary.learn(s.tokenizer, side, s.vocab_size) for side in (sources, targets))  # type: ignore[return-value]
    except ValueError as error:
        raise BadInput(f"{s.train}: {error}") from error


def save(both: tuple[Vocabulary, Vocabulary], folder: Path) -> None:
    """A joint vocabulary in the folder itself, others in its folders source and target."""
    if both[0] is both[1]:
        both[0].save(folder)
        return
    for name, vocabulary in zip(SIDES, both, strict=True):
        vocabulary.save(folder / name)


def load(folder: Path, joint: bool) -> tuple[Vocabulary, Vocabulary]:
    """What save wrote."""
    if joint:
        both = Vocabulary.load(folder)
        return both, both
    source, target = (Vocabulary.load(folder / name) for name in SIDES)
    return source, target
