"""GPT's way with a text: every character of it, spaces and line ends included, as one stream.

A file is a document, and so is the documentation in each source file of Python's. The text comes in pieces, so that files may be
larger than memory; they are cut where byte-level BPE cuts, too, so the ids are those of the whole text.
Read before: prepared.py. Read next: models/gpt/data.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import python_docs
from .bpe import BPETokenizer
from .characters import CharacterTokenizer
from .corpus import LONGEST_LINE, read_parts
from .prepared import Documents, chosen, given_tokenizer, learnt, some_of

LEARNT = ("characters", "bpe")  # --tokenizer, unless it is a path
END_SPACE = re.compile(r"[^\S\x1c-\x1f]*\Z")  # what the `tokenizers` library takes for space
MANY = 10  # held-out documents, from which on whole ones are held out


class Stream:
    """A document is a stream of pieces; the tokenizer is byte-level BPE or characters; the last part of each file is held out."""

    unit, least, nothing = "character", 2, "fewer than two tokens"
    mark = {"way": "stream"}  # noqa: RUF012

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def source(self) -> Documents:
        """A function that reads the documents."""
        if self.settings.corpus:
            return lambda: (pieces(Path(path)) for path in self.settings.corpus)
        held = [sentences for _, sentences in python_docs.python_documentation()]
        return lambda: (lines(sentences) for sentences in held)

    def counted(self, documents: Iterable[Iterable[str]], sizes: list[int]) -> Iterator[Iterator[str]]:
        """The documents; ``sizes`` collects how many characters each has, once it has been read."""

        def tallied(document: Iterable[str]) -> Iterator[str]:
            for piece in document:
                sizes[-1] += len(piece)
                yield piece

        for document in documents:
            sizes.append(0)
            yield tallied(document)

    def divide(self, documents: Documents, sizes: list[int]) -> tuple[Documents, Documents]:
        """The text to learn from, and the held-out one: of many documents some, of few the last share of each."""
        share = self.settings.validation
        if round(share * len(sizes)) >= MANY:
            held_out = some_of(len(sizes), self.settings)
            return chosen(documents, set(range(len(sizes))) - held_out), chosen(documents, held_out)
        cuts = [min(size - 1, int(size * (1 - share))) for size in sizes]
        return (
            lambda: (stretch(d, 0, cut) for d, cut in zip(documents(), cuts, strict=True)),
            lambda: (stretch(d, cut, size) for d, cut, size in zip(documents(), cuts, sizes, strict=True)),
        )

    def given_tokenizer(self) -> Any:
        """That of --tokenizer, unless one is to be learnt: one that gives a text back as it was, which BERT's does not."""
        choice = self.settings.tokenizer
        needs = f"a GPT needs {' or '.join(LEARNT)}, or the file or folder of a tokenizer of one of these kinds"
        return None if choice in LEARNT else given_tokenizer(choice, (BPETokenizer, CharacterTokenizer), needs)

    def learnt_tokenizer(self, documents: Documents, where: str, say: Callable[[str], None]) -> Any:
        """Byte-level BPE, or characters."""
        if self.settings.tokenizer == "bpe":
            return learnt(BPETokenizer.train, documents, self.settings.vocab_size, where, say)
        say("collecting the characters of the text ...")
        return CharacterTokenizer.train(piece for document in documents() for piece in document)


def lines(sentences: Sequence[str]) -> Iterator[str]:
    """Sentences as text, one per line, and a blank line at the end."""
    yield sentences[0]
    for sentence in sentences[1:]:
        yield "\n" + sentence
    yield "\n\n"


def pieces(path: Path) -> Iterator[str]:
    """The text of a file. Each piece ends before space, because BPE joins no space to what stands before it."""
    space = ""
    for part in read_parts(path):
        text = space + part.replace("\r\n", "\n")
        cut = len(text) if len(text) > 2 * LONGEST_LINE else END_SPACE.search(text).start()  # type: ignore[union-attr]
        if cut:
            yield text[:cut]
        space = text[cut:]
    if space:
        yield space


def stretch(document: Iterable[str], start: int, end: int) -> Iterator[str]:
    """The characters of a document from ``start`` to before ``end``."""
    at = 0
    for piece in document:
        part = piece[max(0, start - at) : max(0, end - at)]
        if part:
            yield part
        at += len(piece)
