"""The tokenizer of a model's folder, whichever kind it is. Read before: tokenizer.py, characters.py, bpe.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BadInput, quoted
from .bpe import BPETokenizer
from .characters import CharacterTokenizer
from .tokenizer import Tokenizer
from .tokenizer_files import read_object

KINDS: dict[str, Any] = {"WordPiece": Tokenizer, "BPE": BPETokenizer, "WordLevel": CharacterTokenizer}  # as tokenizer.json says
NAMES = {Tokenizer: "WordPiece, BERT's", BPETokenizer: "byte-level BPE, GPT's", CharacterTokenizer: "characters"}
FILES = ("tokenizer.json", "vocab.json", "vocab.txt")  # the first that is there counts; merges.txt belongs to vocab.json


def load_tokenizer(path: str | Path) -> Any:
    """From a folder, or from one of its FILES; BadInput if there is none, or none that is known here."""
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in FILES if (path / name).is_file()]
        if not found:
            raise BadInput(f"{path}: no tokenizer here, neither {', '.join(FILES[:-1])} nor {FILES[-1]}")
        path = found[0]
    try:
        return kind_of(path).from_file(path)
    except FileNotFoundError as error:
        raise BadInput(f"{error.filename or path}: no such file") from None
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(str(error)) from error


def kind_of(path: Path) -> Any:
    """The class that reads the file."""
    if path.suffix != ".json":
        return Tokenizer
    content = read_object(path, "a tokenizer")
    if path.name != "tokenizer.json" and "model" not in content:
        return BPETokenizer
    model = content.get("model")
    kind = model.get("type", "WordPiece" if "merges" not in model else "BPE") if isinstance(model, dict) else None
    if kind not in KINDS:
        raise BadInput(f"{path}: its model is {quoted(kind)}; known are {', '.join(KINDS)}")
    return KINDS[kind]
