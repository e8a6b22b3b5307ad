"""Characters: the smallest tokenizer of all. Each character of a text is a token, and its place in the sorted alphabet the id.

It has no special tokens: a text begins and ends as any other piece of it. The file that it leaves is a tokenizer.json, so
Hugging Face's library reads it, too.
Read before: plain.py. Read next: bpe.py, which joins characters that are often neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from minitorch.files import write_text

from ..errors import count, quoted
from . import tokenizer_files as files
from .plain import PlainTokenizer
from .tokenizer_json import check_vocabulary

SPLIT = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}  # newlines, too


class CharacterTokenizer(PlainTokenizer):
    """ids = [index[c] for c in text], and back."""

    def __init__(self, alphabet: Sequence[str]) -> None:
        """alphabet: different characters; the id of each is its place."""
        self.tokens = list(alphabet)
        self.vocabulary = {c: i for i, c in enumerate(self.tokens)}
        wrong = [c for c in self.tokens if len(c) != 1]
        if wrong or len(self.vocabulary) < len(self.tokens) or not self.tokens:
            what = f"{quoted(wrong[0])} is none" if wrong else "one is there twice" if self.tokens else "it is empty"
            raise ValueError(f"an alphabet is a list of different characters: {what}")

    @classmethod
    def train(cls, texts: Iterable[str]) -> Self:
        """The characters of the texts, sorted."""
        found: set[str] = set()
        for text in texts:
            found.update(text)
        if not found:
            raise ValueError("there is no text to learn an alphabet from")
        return cls(sorted(found))

    def encode_lines(self, lines: Sequence[str], special: bool = True) -> list[list[int]]:
        """The ids of each text; a character that the alphabet lacks is a ValueError. There are no special tokens."""
        try:
            return [[self.vocabulary[c] for c in line] for line in lines]
        except KeyError as error:
            raise ValueError(
                f"the text holds {quoted(error.args[0])}, which is not among the {count(len(self), 'character')} that this "
                "tokenizer knows; it can write nothing else"
            ) from None

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """The characters."""
        return "".join(self.tokens[int(i)] for i in ids)

    # ---------------------------------------------------------------------------------------------------- files

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": []}
        content |= {"normalizer": None, "pre_tokenizer": SPLIT, "post_processor": None, "decoder": {"type": "Fuse"}}
        content["model"] = {"type": "WordLevel", "vocab": self.vocabulary, "unk_token": "<unk>"}
        write_text(folder / "tokenizer.json", json.dumps(content))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        sides = {"padding_side": self.padding_side, "truncation_side": self.truncation_side}
        write_text(folder / "tokenizer_config.json", json.dumps({**config, **sides}, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """From a folder's tokenizer.json."""
        return cls.from_file(Path(folder) / "tokenizer.json")

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """From a tokenizer.json that save_pretrained wrote."""
        path = Path(path)
        content = files.read_object(path, "a tokenizer of characters")
        settings = files.read_settings(path.parent, check)
        try:
            model = content["model"] if isinstance(content.get("model"), dict) else {}
            if model.get("type") != "WordLevel" or content.get("pre_tokenizer") != SPLIT or content.get("added_tokens"):
                raise ValueError("its model is not WordLevel of single characters, or it has tokens in addition")
            check_vocabulary(model.get("vocab"))
            vocabulary = model["vocab"]
            if sorted(vocabulary.values()) != list(range(len(vocabulary))):
                raise ValueError("its ids are not 0, 1, 2 and so on")
            self = cls(sorted(vocabulary, key=vocabulary.__getitem__))
        except ValueError as error:
            raise ValueError(f"{path}: not a tokenizer of characters ({error})") from error
        self.padding_side, self.truncation_side = (settings.get(f"{x}_side", "right") for x in ("padding", "truncation"))
        return self


def check(settings: dict[str, Any]) -> None:
    """Refuse a setting that has no meaning."""
    for name in ("padding_side", "truncation_side"):
        if settings.get(name, "right") not in files.SIDE:
            raise ValueError(f"{name} is left or right, not {json.dumps(settings[name])}")
