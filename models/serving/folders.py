"""A folder of any kind that the commands write -> a model that answers, with a version that names its content.

Read before: answerers.py. Read next: server.py.
"""

from __future__ import annotations

import hashlib
import re
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..bert.model import BertForMaskedLM, BertModel
from ..bert.use import has_head
from ..bert.use import load as load_bert
from ..checkpoints.files import config_file, locate, refuse_unfinished
from ..errors import BadInput, listing, quoted, short
from ..finetuning.predictor import Predictor
from ..finetuning.run import FACTS
from ..gpt.use import load as load_gpt
from ..prompting.use import PROMPT
from ..prompting.use import load as load_prompt
from ..reading import read_json
from ..seq2seq.predictor import Predictor as Writer
from ..seq2seq.run import FACTS as SEQ2SEQ
from .answerers import Answerer, Labels, Masks, Prompted, Translates, Vectors, Writes

# What an answer depends on: not a run's state, not its reports.
CONTENT = re.compile(r"config\.json|model.*\.safetensors(\.index\.json)?|adapter.*|prompt\.json|finetune\.json|seq2seq\.json"
                     r"|tokenizer.*\.json|vocab\.(txt|json)|merges\.txt|(source|target)/.*")  # fmt: skip
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")


@dataclass
class Served:
    """A model under a name."""

    name: str
    folder: Path
    version: str
    answers: Answerer
    embeds: Answerer | None
    stamp: tuple[Any, ...]  # of the folder's files, to see a change
    base: str = ""
    loaded: float = field(default_factory=time.time)
    reference: Any = False  # of drift.py; False: nobody has asked for it yet
    refused: Any = None  # the stamp of a change that could not be loaded

    @property
    def kind(self) -> str:
        """classify, tag, relation, qa, choice, cloze, mask, embedding, gpt or seq2seq."""
        return self.answers.kind

    @property
    def labels(self) -> list[str]:
        """Of a model that knows some."""
        return list(getattr(getattr(self.answers, "task", None), "labels", ()))


def named(given: Iterable[str]) -> dict[str, Path]:
    """``NAME=FOLDER`` or ``FOLDER``, whose last part is its name then. No two of one name."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not equals or Path(text).is_dir() or "/" in name:
            name, folder = Path(text).resolve().name, text
        if not NAME.fullmatch(name):
            raise BadInput(
                f"--model {short(text)}: {quoted(name)} is no name for an address (letters, digits, . _ -): give NAME=FOLDER"
            )
        if not folder:
            raise BadInput(f"--model {short(text)}: the folder is missing: give NAME=FOLDER")
        if name in found:
            raise BadInput(
                f"two models are called {name!r}, {found[name]} and {folder}: give one another name, as --model NAME=FOLDER"
            )
        found[name] = Path(folder)
    return found


def load(name: str, folder: Path, device: str = "cpu", base: str = "") -> Served:
    """The model of a folder; BadInput says why it is none. Files that change meanwhile are read again."""
    try:
        folder = locate(folder)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*(weights of|has no use for)")
            for _ in range(3):
                before = stamp(folder)
                version, answers = version_of(folder), answerer(folder, device, base)
                if stamp(folder) == before:
                    break
    except (OSError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, BadInput) else BadInput(short(error, 600)) from error
    embeds = answers if type(answers) is Vectors else None
    if isinstance(answers, Masks):
        embeds = Vectors(answers.tokenizer, answers.model, answers.longest, device)
    return Served(name, folder, version, answers, embeds, before, base)


def answerer(folder: Path, device: str, base: str) -> Answerer:
    """By the file that says which command wrote the folder; the others are checkpoints."""
    if (folder / PROMPT).is_file():
        return Prompted(load_prompt(folder, device), device)
    if (folder / SEQ2SEQ).is_file():
        return Translates(Writer(folder, device, say=lambda text: None), device)
    if (folder / FACTS).is_file():
        return Labels(Predictor(folder, device, base), device)
    if within := sorted(f"{path.parent}" for path in folder.glob(f"*/{FACTS}")):
        raise BadInput(f"{folder} holds several models: give {listing(within, 3, 250)}")
    if (folder / "adapter_config.json").is_file():
        raise BadInput(f"{folder}: an adapter without {FACTS}, which says what its answers mean; serve one of finetune --adapt")
    refuse_unfinished(folder)
    config = read_json(config_file(folder), "a model's configuration")
    if config.get("model_type") == "gpt2" or "n_embd" in config:
        tokenizer, model = load_gpt(folder, device)
        return Writes(tokenizer, model, model.config.n_positions, device)
    kind = config.get("model_type", "bert")
    if kind != "bert":
        raise BadInput(f"{folder}: a model of type {quoted(kind)}; served are BERTs, GPT-2s and what minitorch's commands write")
    masked = has_head(folder)
    options = {} if masked else {"add_pooling_layer": False}
    tokenizer, model = load_bert(folder, BertForMaskedLM if masked else BertModel, device, **options)
    return (Masks if masked else Vectors)(tokenizer, model, model.config.max_position_embeddings, device)


def content(folder: Path) -> list[Path]:
    """The files that an answer depends on."""
    found = (path for path in sorted(folder.rglob("*")) if len(path.relative_to(folder).parts) <= 2)
    return [path for path in found if CONTENT.fullmatch(path.relative_to(folder).as_posix()) and path.is_file()]


def stamp(folder: Path) -> tuple[Any, ...]:
    """Names, sizes and times of the content, cheap to compare."""
    states = [(path.name, path.stat()) for path in content(folder)]
    return tuple((name, state.st_size, state.st_mtime_ns, state.st_ino) for name, state in states)


def version_of(folder: Path) -> str:
    """The first digits of a digest of the content."""
    digest = hashlib.sha256()
    for path in content(folder):
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode())
    return digest.hexdigest()[:12]


def share(models: Iterable[Served]) -> int:
    """Let equal weights of different models be one array: adapters on one base cost the base once. The bytes saved."""
    seen: dict[tuple[Any, ...], list[Any]] = {}
    saved = 0
    for served in models:
        for parameter in served.answers.model.parameters():
            x = parameter.array
            if parameter.device != "cpu" or x.nbytes < 1 << 12:
                continue
            alike = seen.setdefault((x.shape, x.dtype, float(x.sum())), [])
            other = next((y for y in alike if np.array_equal(x, y)), None)
            if other is None:
                alike.append(x)
            elif other is not x:
                parameter.array = other
                saved += x.nbytes
    return saved
