"""Prepare a text for pretraining: read it, learn its vocabulary, hold out documents, write the ids to disk.

Read before: corpus.py, python_docs.py. Read next: models/bert/data.py.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import write_text

from ..errors import BadInput, listing
from ..reading import read_json
from . import python_docs
from .corpus import Corpus, Incomplete, read_documents
from .tokenizer import Tokenizer

IN_PYTHON = "the documentation in this Python installation"

Documents = Callable[[], Iterable[list[str]]]


@dataclass
class Text:
    """A prepared corpus: its tokenizer, the two parts as ids, and the two baselines."""

    tokenizer: Tokenizer
    train: Corpus
    valid: Corpus
    found: dict[str, Any]  # the settings it was made with, and the text's sha256

    @property
    def uniform(self) -> float:
        """ln V: the loss of uniform guessing."""
        return math.log(len(self.tokenizer))

    @property
    def unigram(self) -> float:
        """The loss on the held-out text of a model that knows word frequencies only."""
        return self.valid.unigram_entropy(self.train, len(self.tokenizer))


def prepare(settings: Any, say: Callable[[str], None] = print, resuming: bool = False, output: Path | None = None) -> Text:
    """Read the corpus, learn the vocabulary, hold out documents and write the ids, or reuse an earlier result.

    settings: corpus, tokenizer, vocab_size, validation, seed, output. A prepared text is used again while the files are the
    same; a resumed run always keeps its own. ``output``: a run's folder other than settings.output.
    """
    folder = (output or Path(settings.output)) / "data"
    wanted = {name: getattr(settings, name) for name in ("corpus", "vocab_size", "tokenizer", "validation", "seed")}
    files = stamps(settings)
    for place in dict.fromkeys((folder, Path(settings.output) / "data")):  # the second: of the run that this one overwrites
        with contextlib.suppress(*((Incomplete, FileNotFoundError) if resuming else (ValueError, OSError))):
            done = place / "text.json"
            if done.exists() and (text := reopened(done, wanted, None if resuming else files)):
                return text
    corpus = listing(settings.corpus, 4, 250)
    where = corpus or "this Python installation"
    say(f"reading {corpus or IN_PYTHON} ...")
    documents = source(settings)
    sizes: list[int] = []
    sha256 = python_docs.fingerprint(counted(documents(), sizes))
    if sum(sizes) < 2:
        sentences = f"{sum(sizes)} sentence{'s' * (sum(sizes) != 1)} of text"
        raise BadInput(f"{where}: {sentences}; pretraining needs at least two, one of them to hold out")
    say(f"{len(sizes):,} documents, {sum(sizes):,} sentences; sha256 {sha256[:16]}")
    if not settings.tokenizer:
        say(f"learning a vocabulary of {settings.vocab_size:,} pieces ...")
    tokenizer = make_tokenizer(settings, documents, where)
    say("writing the text as numbers of pieces ...")
    if len(sizes) == 1:
        documents, held_out = cut_in_two(documents), {1}
    else:
        order = np.random.default_rng([settings.seed, 3]).permutation(len(sizes))
        held_out = set(order[: min(len(sizes) - 1, max(1, round(settings.validation * len(sizes))))].tolist())
    done = folder / "text.json"
    done.unlink(missing_ok=True)  # until it is written again, the folder is incomplete
    parts = []
    for name, is_held_out in (("train", False), ("valid", True)):
        chosen = (d for i, d in enumerate(documents()) if (i in held_out) == is_held_out)
        parts.append(Corpus.write(chosen, tokenizer, folder / name))
        if not len(parts[-1].ids):
            raise BadInput(f"{where}: the {'held-out' if is_held_out else 'training'} documents contain no words")
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
    text = Text(Tokenizer.from_pretrained(folder), Corpus.open(folder / "train"), Corpus.open(folder / "valid"), found)
    for name, part in (("train", text.train), ("valid", text.valid)):
        part.check_ids(folder / name, len(text.tokenizer))
    return text


def stamps(settings: Any) -> list[list[Any]]:
    """Names, sizes and times of the source files, to notice when one has changed."""
    paths = [Path(path) for path in settings.corpus]
    paths = paths or [folder for _, folder in python_docs.source_folders(python_docs.LIBRARIES)]
    if settings.tokenizer:
        paths += [Path(settings.tokenizer), *(Path(settings.tokenizer) / name for name in ("tokenizer.json", "vocab.txt"))]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.exists()]


def counted(documents: Iterable[list[str]], sizes: list[int]) -> Iterator[list[str]]:
    """The documents; ``sizes`` collects how many sentences each has."""
    for document in documents:
        sizes.append(len(document))
        yield document


def source(settings: Any) -> Documents:
    """A function that reads the documents at every call: the files may be larger than memory."""
    if settings.corpus:
        return lambda: read_documents(settings.corpus)
    held = [sentences for _, sentences in python_docs.python_documentation()]
    return lambda: held


def cut_in_two(documents: Documents) -> Documents:
    """Split a single document: its last twentieth becomes a second one, to be held out."""

    def halves() -> Iterable[list[str]]:
        for document in documents():
            cut = len(document) - max(1, len(document) // 20)
            yield document[:cut]
            yield document[cut:]

    return halves


def make_tokenizer(settings: Any, documents: Documents, where: str) -> Tokenizer:
    """The tokenizer that was asked for, or one learnt from the text."""
    if settings.tokenizer:
        path = Path(settings.tokenizer)
        return Tokenizer.from_pretrained(path) if path.is_dir() else Tokenizer.from_file(path)
    try:
        tokenizer = Tokenizer.train((line for document in documents() for line in document), settings.vocab_size)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from error
    if len(tokenizer) < settings.vocab_size:
        raise BadInput(
            f"{where}: the text supports a vocabulary of {len(tokenizer)} pieces, not {settings.vocab_size}; "
            f"give --vocab-size {len(tokenizer)} or less, or more text"
        )
    return tokenizer
