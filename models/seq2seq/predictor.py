"""A trained model at work: from sources to texts.

    from models.seq2seq import load

    write = load("runs/seq2seq")
    write(["Go on ahead."], num_beams=4)        # [{"text": "Go on ahead.", "prediction": "Continue en avant."}]

On the command line: minitorch predict. Read before: run.py, writing.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.parallel import Workers

from ..checkpoints.kinds import why_not
from ..errors import BadInput, count, quoted, short
from ..reading import read_json
from ..text.labelled import refuse_halves
from ..training.settings import checked
from .model import Seq2SeqTransformer
from .pairs import read_pairs
from .run import FACTS
from .task import Settings
from .vocabulary import UNKNOWN
from .vocabulary import load as load_vocabularies
from .writing import write


class Predictor:
    """A model that ``minitorch seq2seq`` trained: ``Predictor(folder)(["a text", ...])`` gives one record per text."""

    def __init__(self, folder: str | Path, device: str = "cpu", say: Callable[[str], None] = print, **reading: str) -> None:
        """``reading``: of the settings that say how files are read (columns, delimiter, encoding), those that differ."""
        folder, self.say = Path(folder), say
        path = folder / FACTS
        if not path.is_file():
            raise BadInput(why_not(folder, FACTS, "`minitorch seq2seq`"))
        saved = checked(path, read_json(path).get("settings"), Settings)
        self.s = Settings(**{**saved, "device": device, "precision": "float32", "threads": 0, **reading})
        try:
            self.s.check()
        except BadInput as error:
            raise BadInput(f"{path}: {short(error, 300)}") from error
        try:
            self.model = Seq2SeqTransformer.from_pretrained(folder).to(device)
            self.vocabularies = load_vocabularies(folder, self.model.config.joint)
        except (OSError, ValueError) as error:
            raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
        config = self.model.config
        for vocabulary, size in zip(self.vocabularies, (config.vocab_size, config.target_vocab_size), strict=True):
            if len(vocabulary) != size:
                sizes = f"a vocabulary has {len(vocabulary):,} entries, the model {size:,} for it"
                raise BadInput(f"{folder}: {sizes}; they do not belong together")
        if max(self.s.length, self.s.target_length) > config.max_position_embeddings or self.s.length < 4:
            lengths = f"--length {self.s.length} and --target-length {self.s.target_length}"
            raise BadInput(f"{path}: {lengths}, but the model has {config.max_position_embeddings} positions")

    def __call__(self, texts: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """What the model writes to each source, greedily or as ``options`` say (num_beams, do_sample, ...: GenerationConfig)."""
        if isinstance(texts, str):
            raise BadInput(f"give a list of texts, such as [{texts[:30]!r}]; a single string would be read letter by letter")
        for i, text in enumerate(texts, 1):
            if not isinstance(text, str) or not text.strip():
                raise BadInput(f"text {i}: a source is a text of at least one letter, not {quoted(text, 40)}")
            refuse_halves(f"text {i}", text)  # of the command line, where bytes that are no UTF-8 become such
        return self.records([text.strip() for text in texts], [f"text {i}" for i in range(1, len(texts) + 1)], options)

    def file(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """The same of a file: of pairs, as in training, or one source per line. Targets are not looked at."""
        pairs = read_pairs(path, self.s, alone=True)
        return self.records([p.source for p in pairs], [p.where for p in pairs], options)

    def records(self, sources: list[str], places: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
        """One record per source; says which are cut, and which hold characters without an id."""
        rows, sizes = self.vocabularies[0].encode(sources, self.s.length)
        for place, ids in zip(places, rows, strict=True):
            if not self.vocabularies[0].bert and UNKNOWN in ids:
                self.say(f"{place}: holds characters that no training pair has; the model cannot tell them apart")
        long = np.flatnonzero(np.array(sizes) > self.s.length)
        if len(long):
            others = f" (and {count(len(long) - 1, 'other')})" if len(long) > 1 else ""
            first = f"{places[long[0]]}{others}: {sizes[long[0]]:,} pieces, the model reads {self.s.length}"
            self.say(f"{first}; what is beyond is cut off")
        with Workers(self.s.workers) as workers:
            texts = write(self.model, sources, self.vocabularies, self.s, workers, **options)
        return [{"text": source, "prediction": text} for source, text in zip(sources, texts, strict=True)]


def load(folder: str | Path, device: str = "cpu") -> Predictor:
    """The model of a folder that ``minitorch seq2seq`` wrote."""
    return Predictor(folder, device)
