"""WordPiece: text to ids and back, by Hugging Face's `tokenizers` library.

Words are split into the longest pieces that the vocabulary holds ("unaffable" -> una ##ffa ##ble), so that every text can be
written with a few thousand entries. Schuster and Nakajima (2012), "Japanese and Korean voice search"; Wu et al. (2016),
https://arxiv.org/abs/1609.08144, section 4.1. Lesson 7 builds it by hand.
Read before: tokenizer_files.py, tokenizer_json.py. Read next: corpus.py, models/bert/data.py.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.files import write_text

from ..errors import short

try:
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers
except ImportError as error:  # pragma: no cover
    hint = "BERT's tokenizer needs the tokenizers library: pip install tokenizers"
    raise ModuleNotFoundError(hint, name="tokenizers") from error

from . import tokenizer_files as files
from . import tokenizer_json
from .tokenizer_files import SPECIAL, UNK
from .tokenizer_json import encode_lines

CHARACTERS = 1000  # how many different characters a trained vocabulary keeps at most; rarer ones become [UNK]
# Keywords of Hugging Face's from_pretrained that say where to find or download files; here they are on the disk.
HUB = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token", "trust_remote_code", "use_fast")


class Tokenizer:
    """Text -> ids for BERT: clean, lower-case, split at spaces and punctuation, then WordPiece."""

    document_end: tuple[int, ...] = ()  # of a corpus: batches put [SEP] where they need it

    def __init__(
        self,
        vocabulary: dict[str, int] | str | Path,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        **settings: Any,
    ) -> None:
        """vocabulary: token -> id, or a vocab.txt. settings: others of tokenizer_config.json, as cls_token="<s>".

        strip_accents: None does so if lowercase.
        """
        files.check_names(settings)
        vocabulary = files.read_vocabulary(Path(vocabulary)) if isinstance(vocabulary, str | Path) else vocabulary
        self.build(files.bert(vocabulary), {"do_lower_case": lowercase, "strip_accents": strip_accents, **settings})

    def build(self, content: dict[str, Any], settings: dict[str, Any]) -> None:
        """From what would be in tokenizer.json and the settings next to it; errors and rules are tokenizer_files.py's."""
        self.backend, self.settings = tokenizer_json.build(content, settings), settings
        self.names = tokenizer_json.names_of(settings, self.backend.model.unk_token)
        padding, truncation = content.get("padding") or {}, content.get("truncation") or {}  # their sides alone count
        self.padding_side = settings.get("padding_side", str(padding.get("direction", "right")).lower())
        self.truncation_side = settings.get("truncation_side", str(truncation.get("direction", "right")).lower())
        self.model_max_length = files.longest(settings)
        self.prefix = self.backend.model.continuing_subword_prefix  # of pieces inside of a word
        self.number()

    def number(self) -> None:
        """The vocabulary as it is now. Ids without a token (of blank lines in vocab.txt) are there as ""."""
        for cached in ("plain", "copy_for"):  # copies of the backend as it was
            self.__dict__.pop(cached, None)
        self.vocabulary = self.backend.get_vocab(with_added_tokens=True)
        self.tokens = [""] * (max(self.vocabulary.values()) + 1)
        for token, i in self.vocabulary.items():
            self.tokens[i] = token
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.vocabulary[self.names[name]] for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        )

    @functools.cached_property
    def plain(self) -> tokenizers.Tokenizer:
        """The backend, to which a "[MASK]" in a text is letters; tokens that a folder added to BERT's are tokens here, too."""
        content = json.loads(self.backend.to_str())
        usual = {self.names[name]: self.vocabulary[self.names[name]] for name in files.NAMES}
        content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in usual]
        content["model"]["vocab"] |= usual
        plain = tokenizers.Tokenizer.from_str(json.dumps(content))
        plain.encode_special_tokens = self.backend.encode_special_tokens
        return plain

    @property
    def lowercase(self) -> bool:
        """Does it lower-case?"""
        return self.backend.normalizer is not None and self.backend.normalizer.normalize_str("A") == "a"

    def __len__(self) -> int:
        return len(self.tokens)

    # ------------------------------------------------------------------------------------------------ making one

    @classmethod
    def train(cls, lines: Iterable[str], vocab_size: int = 8192, lowercase: bool = True, progress: bool = False) -> Tokenizer:
        """Learn a vocabulary from lines of text. The same text gives the same ids, always.

        The library numbers single characters in the order in which it meets them, which changes from run to run, and
        breaks ties between merges by those numbers; given to it in a fixed order, everything after them is fixed too.
        """
        normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        splitter = pre_tokenizers.BertPreTokenizer()
        words: Counter[str] = Counter()
        for line in lines:
            words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(line)))
        if not words:
            raise ValueError("there is no text to learn a vocabulary from")
        counts: Counter[str] = Counter()
        for word, n in words.items():
            for character in word:
                counts[character] += n
        characters = sorted(sorted(sorted(counts), key=lambda c: -counts[c])[:CHARACTERS])
        fixed = [*SPECIAL, *characters, *("##" + c for c in characters)]
        if vocab_size < len(fixed):
            raise ValueError(
                f"a vocabulary of {vocab_size} is too small: {len(SPECIAL)} special tokens and the text's {len(characters)} "
                f"characters, each at the start and inside of a word, need {len(fixed)}"
            )
        backend = tokenizers.Tokenizer(models.WordPiece(unk_token=UNK))
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab_size, special_tokens=fixed, limit_alphabet=CHARACTERS, show_progress=progress, min_frequency=2
        )
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        kept = set(characters)
        portions = ((word, min(10_000, n - i)) for word, n in words.items() for i in range(0, n, 10_000))
        repeated = (f"{word} " * n for word, n in portions if kept.issuperset(word))
        backend.train_from_iterator(repeated, trainer)
        return cls(backend.get_vocab(), lowercase, model_max_length=512)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **changes: Any) -> Self:
        """From a folder with tokenizer.json or vocab.txt. changes: settings other than the folder's, as do_lower_case=False."""
        folder = Path(folder)
        if folder.is_file():
            return cls.from_file(folder, **changes)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
        for name in ("tokenizer.json", "vocab.txt"):
            if (folder / name).is_file():
                return cls.from_file(folder / name, **changes)
        raise FileNotFoundError(f"{folder}: no tokenizer here, neither tokenizer.json nor vocab.txt")

    @classmethod
    def from_file(cls, path: str | Path, lowercase: bool | None = None, **changes: Any) -> Self:
        """From a tokenizer.json, or a vocab.txt with one token per line, and the settings in the files next to it."""
        files.check_names(changes, HUB)
        if lowercase is not None:
            changes["do_lower_case"] = lowercase
        path = Path(path)
        content, settings = files.read(path, {name: value for name, value in changes.items() if name not in HUB})
        self = cls.__new__(cls)
        try:
            self.build(content, settings)
        except ValueError as error:
            text = f"not a WordPiece tokenizer ({short(error, 300)})" if path.suffix == ".json" else short(error, 300)
            raise ValueError(f"{path}: {text}") from error
        return self

    def add(self, tokens: Sequence[Any], special: bool) -> int:
        """Add tokens that are never split, with the next ids; how many were new. special: decoding may skip them."""
        if tokens and len(self.vocabulary) < len(self.tokens):
            raise ValueError(
                f"{len(self.tokens) - len(self.vocabulary)} ids have no token (blank lines of vocab.txt?), and Hugging Face's "
                "library would give a new token one that is taken; write a name of its own into each blank line"
            )
        count = (self.backend.add_special_tokens if special else self.backend.add_tokens)(list(tokens))
        self.number()
        return int(count)

    def extend(self, tokens: Sequence[str]) -> list[str]:
        """Give the next ids to those special tokens that the vocabulary lacks, and return them."""
        new = [token for token in dict.fromkeys(tokens) if token not in self.vocabulary]
        self.add(new, special=True)
        return new

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer.json, vocab.txt (without added tokens) and tokenizer_config.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = json.loads(self.backend.to_str())
        tokens = [""] * (max(content["model"]["vocab"].values()) + 1)
        for token, i in content["model"]["vocab"].items():
            tokens[i] = token if token == token.rstrip() and "\n" not in token else ""  # a line cannot hold it
        write_text(folder / "vocab.txt", "".join(token + "\n" for token in tokens))
        write_text(folder / "tokenizer.json", json.dumps(content, ensure_ascii=False, separators=(",", ":")))
        sides = {name: getattr(self, name) for name in ("padding_side", "truncation_side", "model_max_length")}
        config = {**tokenizer_json.settings_for(content, self.settings), **self.names, **sides}
        write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    # ----------------------------------------------------------------------------------------------- using it

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, without special tokens."""
        return list(self.backend.encode(text, add_special_tokens=False).tokens)

    def encode_lines(self, lines: Sequence[str], special: bool = True) -> list[list[int]]:
        """The ids of each line, with no [CLS] and [SEP] around. special: a "[MASK]" in the text is the token, not its letters."""
        backend = self.backend if special else self.plain
        return encode_lines(backend, lines)

    def tensors(
        self, text: str | Sequence[str], pair: str | Sequence[str] | None = None, max_length: int | None = 512
    ) -> dict[str, Tensor]:
        """input_ids, token_type_ids, attention_mask, each (B, S): [CLS] A [SEP] or [CLS] A [SEP] B [SEP], padded at the end.

        Longer than ``max_length``: the longer of the two texts loses its end first.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise ValueError("there is no text to encode: the list is empty")
        pairs = [pair] if isinstance(pair, str) else None if pair is None else list(pair)
        if pairs is not None and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts and {len(pairs)} second texts do not pair up")
        first = self.encode_lines(texts)
        second = [None] * len(first) if pairs is None else self.encode_lines(pairs)
        return self.batch([self.join(a, b, max_length) for a, b in zip(first, second, strict=True)])

    __call__ = tensors  # BertTokenizer (encoding.py) is called as Hugging Face's is

    def join(
        self, a: Sequence[int], b: Sequence[int] | None = None, max_length: int | None = None
    ) -> tuple[list[int], list[int]]:
        """Ids and segments of [CLS] a [SEP] (b [SEP])."""
        if max_length is not None:
            room = max_length - (2 if b is None else 3)
            if room < 0:
                raise ValueError(f"max_length {max_length} leaves no room for [CLS] and [SEP]")
            a, b = self.cut(a, b, room)
        ids, types = [self.cls_id, *a, self.sep_id], [0] * (len(a) + 2)
        if b is not None:
            ids, types = [*ids, *b, self.sep_id], types + [1] * (len(b) + 1)
        return ids, types

    def cut(self, a: Sequence[int], b: Sequence[int] | None, room: int) -> tuple[Sequence[int], Sequence[int] | None]:
        """a and b without what does not fit into the room, at their ends or, with truncation_side "left", at their starts."""
        if self.truncation_side == "left":
            a, b = a[::-1], None if b is None else b[::-1]
        a, b = (a[:room], b) if b is None else shorten(a, b, room)
        return (a, b) if self.truncation_side == "right" else (a[::-1], None if b is None else b[::-1])

    def batch(self, examples: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, Tensor]:
        """Pad examples of (ids, segments) to the longest."""
        B, S = len(examples), max(len(ids) for ids, _ in examples)
        input_ids = np.full((B, S), self.pad_id, dtype=np.int64)
        token_type_ids = np.zeros((B, S), dtype=np.int64)
        attention_mask = np.zeros((B, S), dtype=np.int64)
        for i, (ids, types) in enumerate(examples):
            input_ids[i, : len(ids)] = ids
            token_type_ids[i, : len(ids)] = types
            attention_mask[i, : len(ids)] = 1
        return {
            "input_ids": minitorch.from_numpy(input_ids),
            "token_type_ids": minitorch.from_numpy(token_type_ids),
            "attention_mask": minitorch.from_numpy(attention_mask),
        }

    def decode(self, ids: Iterable[int]) -> str:
        """Text again: pieces joined, special tokens left out."""
        return str(self.backend.decode([int(i) for i in ids]))


def shorten(a: Sequence[int], b: Sequence[int], room: int) -> tuple[Sequence[int], Sequence[int]]:
    """Cut the end off the longer one, and where both are longer than half of the room, off both."""
    if len(a) + len(b) <= room:
        return a, b
    shorter = min(len(a), len(b), room // 2)
    longer = room - shorter
    return (a[:longer], b[:shorter]) if len(a) > len(b) else (a[:shorter], b[:longer])
