"""Text files to documents, and documents to ids on disk.

A text file holds one sentence per line and a blank line between documents. It is read once and written to disk as ids, and
training maps that file: memory does not grow with the corpus.
Read before: tokenizer.py. Read next: models/bert/data.py.
"""

from __future__ import annotations

import itertools
import os
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.files import replacing

from ..errors import BadInput, short

LONGEST_LINE = 1 << 16  # bytes; a longer line is cut, at a space if it has one, so that memory stays bounded
LONGEST_DOCUMENT = 1 << 17  # characters; a longer document is cut between two lines


def read_documents(paths: Sequence[str | Path]) -> Iterator[list[str]]:
    """The documents of text files: lists of lines, one sentence per line, a blank line between documents."""
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


def read_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[str]:
    """The stripped lines of a UTF-8 text file, one at a time; a line of more than ``longest`` bytes comes in several parts."""
    for text in read_parts(path, longest):
        line = text.strip()
        if line or text.endswith("\n"):
            yield line


def read_parts(path: Path, longest: int = LONGEST_LINE) -> Iterator[str]:
    """The lines of a UTF-8 text file as they are, with their ends; one of more than ``longest`` bytes comes in several parts."""
    if path.is_dir():
        raise ValueError(f"{path}: a folder, not a text file")
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: not an ordinary file; it is read several times, so save the text to one first")
    with open(path, "rb") as file:
        number, before = 1, 0  # before: how many bytes of this line earlier parts had
        while line := file.readline(longest):
            ended = line.endswith(b"\n")
            if not ended and len(line) == longest:
                cut = place_to_cut(line)
                file.seek(cut - len(line), os.SEEK_CUR)
                line = line[:cut]
            if b"\0" in line:
                raise ValueError(f"{path}:{number}: holds a zero byte, so this is a binary file (or UTF-16), not UTF-8 text")
            try:
                yield line.decode("utf-8-sig" if (number, before) == (1, 0) else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}:{number}: not UTF-8 ({error.reason} at byte {before + error.start} of the line); "
                    f"if it is a text, convert it: iconv -f LATIN1 -t UTF-8 {path.name}"
                ) from error
            number, before = (number + 1, 0) if ended else (number, before + len(line))


def place_to_cut(line: bytes) -> int:
    """How many bytes of a long line's part to keep: up to its last space, of any script, else up to its last whole character."""
    end = len(line)
    for back in range(1, 4):
        byte = line[-back]
        if byte >= 0xC0:  # the first byte of a character of two, three or four
            end -= back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
        if byte < 0x80 or byte >= 0xC0:
            break
    text = line[:end].decode("utf-8", "surrogateescape")
    spaced = next((i for i in range(len(text), 0, -1) if text[i - 1].isspace()), 0)
    return len(text[:spaced].encode("utf-8", "surrogateescape")) or end


class Incomplete(BadInput):
    """A prepared text whose writing was interrupted."""


@dataclass
class Corpus:
    """A text as ids: one flat array (mapped from disk), and where its sentences and documents start."""

    ids: Any  # (tokens,) int32
    sentences: Any  # (sentences + 1,) int64: token at which each starts
    documents: Any  # (documents + 1,) int64: sentence at which each starts

    @classmethod
    def write(cls, documents: Iterable[Iterable[str]], tokenizer: Any, path: Path) -> Corpus:
        """Tokenise documents into ``path``.ids and ``path``.npz, a thousand sentences at a time, and open them.

        The old index is deleted first and the new one written last, so an interrupted write is never opened by mistake.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        index, file = path.with_suffix(".npz"), path.with_suffix(".ids")
        index.unlink(missing_ok=True)
        lengths = array("i")  # 4 bytes per sentence; a list needs up to 36
        starts = array("q", [0])
        with replacing(file) as temporary, open(temporary, "wb") as out:
            for document in documents:
                for rows in batched(document, 1000):
                    encoded = [ids for ids in tokenizer.encode_lines(rows, special=False) if ids]
                    lengths.extend(map(len, encoded))
                    for ids in encoded:
                        out.write(np.asarray(ids, dtype=np.int32).tobytes())
                if len(lengths) > starts[-1]:
                    lengths[-1] += len(tokenizer.document_end)
                    out.write(np.asarray(tokenizer.document_end, dtype=np.int32).tobytes())
                    starts.append(len(lengths))
        sentences = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        with replacing(index) as temporary:
            np.savez(temporary, sentences=sentences, documents=np.asarray(starts, np.int64))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Map a corpus that ``write`` left."""
        index, file = path.with_suffix(".npz"), path.with_suffix(".ids")
        try:
            sentences, documents = read_index(index)
            size = file.stat().st_size
        except FileNotFoundError as error:
            raise Incomplete(f"{index}: no index of a prepared text ({error}); delete its folder to prepare it again") from error
        except Exception as error:  # of a zip archive that is damaged somewhere, of its compression, of NumPy's headers
            reason = short(error) or type(error).__name__
            raise BadInput(f"{index}: no index of a prepared text ({reason}); delete its folder to prepare it again") from error
        if size != 4 * sentences[-1]:
            holds = f"holds {size // 4} ids, its index says {sentences[-1]}"
            raise Incomplete(f"{file}: {holds}; delete its folder to prepare it again")
        return cls(np.memmap(file, dtype=np.int32, mode="r") if size else np.zeros(0, np.int32), sentences, documents)

    def check_ids(self, path: Path, vocab_size: int) -> None:
        """Refuse ids that the vocabulary does not have."""
        for i in range(0, len(self.ids), 1 << 20):
            part = self.ids[i : i + (1 << 20)]
            for bad in (part.min(), part.max()):
                if not 0 <= bad < vocab_size:
                    raise BadInput(
                        f"{path.with_suffix('.ids')}: holds the id {bad}, the vocabulary has 0 to {vocab_size - 1}; "
                        "delete its folder to prepare it again"
                    )

    def __len__(self) -> int:
        return len(self.documents) - 1

    def bounds(self, i: int) -> list[int]:
        """Offsets in ``ids`` at which the sentences of document i start, and the end of the last."""
        first, last = self.documents[i], self.documents[i + 1]
        return [int(start) for start in self.sentences[first : last + 1]]

    def unigram_entropy(self, reference: Corpus | None = None, vocab_size: int | None = None) -> float:
        """Nats per token of a model that knows word frequencies only.

        ``reference``: use its (add-one smoothed) frequencies to code this text; that is the baseline on held-out text.
        """
        counts = np.bincount(self.ids, minlength=vocab_size or 0).astype(np.float64)
        model = counts if reference is None else np.bincount(reference.ids, minlength=len(counts)) + 1.0
        p = counts / counts.sum()
        q = model / model.sum()
        used = p > 0
        return float(-(p[used] * np.log(q[used])).sum())


def read_index(path: Path) -> tuple[Any, Any]:
    """Where sentences and documents start. Both begin with 0 and rise; the last document ends where the sentences end."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("its arrays are larger than the file")
    with np.load(path, allow_pickle=False) as stored:
        sentences, documents = stored["sentences"], stored["documents"]
    for starts in (sentences, documents):
        if starts.dtype != np.int64 or starts.ndim != 1 or not len(starts) or starts[0] != 0 or (np.diff(starts) <= 0).any():
            raise ValueError("its numbers do not rise from 0")
    if documents[-1] != len(sentences) - 1:
        raise ValueError(f"its documents have {documents[-1]} sentences, its sentences are {len(sentences) - 1}")
    return sentences, documents


def batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Consecutive portions of at most ``size``."""
    left = iter(items)
    while portion := list(itertools.islice(left, size)):
        yield portion
