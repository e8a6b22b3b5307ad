"""Prepare a text for pretraining: read it, learn its vocabulary, hold a part out, write the ids to disk.

BERT's way with a text stands here, Sentences; GPT's is in stream.py.
Read before: corpus.py, python_docs.py. Read next: stream.py, models/bert/data.py.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..errors import BadInput, count, listing
from ..reading import read_json
from . import python_docs
from .bigrams import bigram_entropy
from .corpus import Corpus, Incomplete, read_documents
from .loading import NAMES, load_tokenizer
from .tokenizer import Tokenizer

IN_PYTHON = "the documentation in this Python installation"

Documents = Callable[[], Iterable[Iterable[str]]]  # reads them at every call: the files may be larger than memory


@dataclass
class Text:
    """A prepared corpus: its tokenizer, the two parts as ids, and the baselines on the held-out one."""

    tokenizer: Any
    train: Corpus
    valid: Corpus
    found: dict[str, Any]  # the settings it was made with, and the text's sha256

    @property
    def uniform(self) -> float:
        """ln V: the loss of uniform guessing."""
        return math.log(len(self.tokenizer))

    @functools.cached_property
    def unigram(self) -> float:
        """The loss of a model that knows word frequencies only."""
        return self.valid.unigram_entropy(self.train, len(self.tokenizer))

    @functools.cached_property
    def bigram(self) -> float:
        """The loss of a model that knows only which token follows which."""
        return bigram_entropy(self.valid.ids, self.train.ids, len(self.tokenizer))


def prepare(
    settings: Any,
    say: Callable[[str], None] = print,
    resuming: bool = False,
    output: Path | None = None,
    kind: Callable[[Any], Any] | None = None,
) -> Text:
    """Read the corpus, learn the vocabulary, hold a part out and write the ids, or reuse an earlier result.

    settings: corpus, tokenizer, vocab_size, validation, seed, output. A prepared text is used again while the files are the
    same; a resumed run always keeps its own. ``output``: a run's folder other than settings.output. kind: Sentences or Stream.
    """
    way = (kind or Sentences)(settings)
    folder = (output or Path(settings.output)) / "data"
    wanted = {name: getattr(settings, name) for name in ("corpus", "vocab_size", "tokenizer", "validation", "seed")} | way.mark
    files = stamps(settings)
    for place in dict.fromkeys((folder, Path(settings.output) / "data")):  # the second: of the run that this one overwrites
        with contextlib.suppress(*((Incomplete, FileNotFoundError) if resuming else (ValueError, OSError))):
            done = place / "text.json"
            if done.exists() and (text := reopened(done, wanted, None if resuming else files)):
                return text
    tokenizer = way.given_tokenizer()  # first: reading the text takes time
    corpus = listing(settings.corpus, 4, 250)
    where = corpus or "this Python installation"
    say(f"reading {corpus or IN_PYTHON} ...")
    documents: Documents = way.source()
    sizes: list[int] = []
    sha256 = python_docs.fingerprint(way.counted(documents(), sizes))
    if sum(sizes) < 2:
        raise BadInput(f"{where}: {count(sum(sizes), way.unit)} of text; pretraining needs at least two, one of them to hold out")
    say(f"{count(len(sizes), 'document')}, {count(sum(sizes), way.unit)}; sha256 {sha256[:16]}")
    tokenizer = way.learnt_tokenizer(documents, where, say) if tokenizer is None else tokenizer
    say("writing the text as numbers of pieces ...")
    done = folder / "text.json"
    done.unlink(missing_ok=True)  # until it is written again, the folder is incomplete
    parts = []
    for name, chosen in zip(("train", "valid"), way.divide(documents, sizes), strict=True):
        try:
            parts.append(Corpus.write(chosen(), tokenizer, folder / name))
        except BadInput:
            raise
        except ValueError as error:  # of a tokenizer that lacks a character
            raise BadInput(f"{where}: {error}") from error
        if len(parts[-1].ids) < way.least:
            raise BadInput(f"{where}: the {'held-out' if name == 'valid' else 'training'} documents contain {way.nothing}")
    tokenizer.save_pretrained(folder)
    found = {"settings": wanted, "files": files, "sha256": sha256}
    write_text(done, json.dumps(found, indent=2))
    return Text(tokenizer, *parts, found)


def reopened(done: Path, wanted: dict[str, Any], files: Any) -> Text | None:
    """The text that is there already, if it is of these settings and (unless None) of these files; BadInput if it is damaged."""
    found, folder = read_json(done, "the record of a prepared text"), done.parent
    for name, kind in (("settings", dict), ("files", list), ("sha256", str)):
        if not isinstance(found.get(name), kind):
            raise BadInput(f"{done}: not the record of a prepared text, it lacks {name}; delete its folder to prepare it again")
    if found["settings"] != wanted or files not in (None, found["files"]):
        return None
    text = Text(load_tokenizer(folder), Corpus.open(folder / "train"), Corpus.open(folder / "valid"), found)
    for name, part in (("train", text.train), ("valid", text.valid)):
        part.check_ids(folder / name, len(text.tokenizer))
    return text


def stamps(settings: Any) -> list[list[Any]]:
    """Names, sizes and times of the source files, to notice when one has changed."""
    paths = [Path(path) for path in settings.corpus]
    paths = paths or [folder for _, folder in python_docs.source_folders(python_docs.LIBRARIES)]
    if settings.tokenizer:
        paths += [
            Path(settings.tokenizer),
            *(Path(settings.tokenizer) / name for name in ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")),
        ]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.exists()]


class Sentences:
    """BERT's way: a document is a list of sentences, the vocabulary is WordPiece, and whole documents are held out."""

    unit, least, nothing = "sentence", 1, "no words"
    mark: dict[str, str] = {}  # noqa: RUF012  in the record of a text that was prepared in another way

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def source(self) -> Documents:
        """A function that reads the documents."""
        if self.settings.corpus:
            return lambda: read_documents(self.settings.corpus)
        held = [sentences for _, sentences in python_docs.python_documentation()]
        return lambda: held

    def counted(self, documents: Iterable[Any], sizes: list[int]) -> Iterator[Any]:
        """The documents; ``sizes`` collects how many sentences each has."""
        for document in documents:
            sizes.append(len(document))
            yield document

    def divide(self, documents: Documents, sizes: list[int]) -> tuple[Documents, Documents]:
        """The text to learn from, and the held-out one."""
        if len(sizes) == 1:
            return chosen(cut_in_two(documents), {0}), chosen(cut_in_two(documents), {1})
        held_out = some_of(len(sizes), self.settings)
        return chosen(documents, set(range(len(sizes))) - held_out), chosen(documents, held_out)

    def given_tokenizer(self) -> Any:
        """That of --tokenizer, unless one is to be learnt."""
        path = self.settings.tokenizer
        return given_tokenizer(path, (Tokenizer,), "a BERT needs WordPiece, or no --tokenizer, which learns it") if path else None

    def learnt_tokenizer(self, documents: Documents, where: str, say: Callable[[str], None]) -> Any:
        """WordPiece."""
        return learnt(Tokenizer.train, documents, self.settings.vocab_size, where, say)


def given_tokenizer(path: str, kinds: tuple[type, ...], needs: str) -> Any:
    """The tokenizer of --tokenizer PATH, which must be of one of these kinds."""
    if not Path(path).exists():
        raise BadInput(f"--tokenizer {path}: no such file or folder; {needs}")
    tokenizer = load_tokenizer(path)
    if not isinstance(tokenizer, kinds):
        raise BadInput(f"--tokenizer {path}: {NAMES[type(tokenizer)]}; {needs}")
    return tokenizer


def learnt(train: Any, documents: Documents, vocab_size: int, where: str, say: Callable[[str], None]) -> Any:
    """A tokenizer learnt from the text, with as many pieces as were asked for."""
    say(f"learning a vocabulary of {vocab_size:,} pieces ...")
    try:
        tokenizer = train((line for document in documents() for line in document), vocab_size)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from error
    if len(tokenizer) < vocab_size:
        raise BadInput(
            f"{where}: the text supports a vocabulary of {len(tokenizer)} pieces, not {vocab_size}; "
            f"give --vocab-size {len(tokenizer)} or less, or more text"
        )
    return tokenizer


def some_of(documents: int, settings: Any) -> set[int]:
    """Which documents are held out."""
    order = np.random.default_rng([settings.seed, 3]).permutation(documents)
    return set(order[: min(documents - 1, max(1, round(settings.validation * documents)))].tolist())


def chosen(documents: Documents, which: set[int]) -> Documents:
    """These of the documents."""
    return lambda: (document for i, document in enumerate(documents()) if i in which)


def cut_in_two(documents: Documents) -> Documents:
    """Split a single document: its last twentieth becomes a second one, to be held out."""

    def halves() -> Iterable[list[str]]:
        for document in documents():
            lines = list(document)
            cut = len(lines) - max(1, len(lines) // 20)
            yield lines[:cut]
            yield lines[cut:]

    return halves
