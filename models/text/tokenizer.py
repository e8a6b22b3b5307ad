"""WordPiece: text to ids and back, by Hugging Face's `tokenizers` library.

Words are split into the longest pieces that the vocabulary holds ("unaffable" -> una ##ffa ##ble), so that every text can be
written with a few thousand entries. Schuster and Nakajima (2012), "Japanese and Korean voice search"; Wu et al. (2016),
https://arxiv.org/abs/1609.08144, section 4.1. Lesson 7 builds it by hand.
Read next: corpus.py, models/bert/data.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.files import write_text

from ..errors import quoted, short
from ..reading import parse_json, read_json, read_text

try:
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
except ImportError as error:  # pragma: no cover
    hint = "BERT's tokenizer needs the tokenizers library: pip install tokenizers"
    raise ModuleNotFoundError(hint, name="tokenizers") from error

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LARGEST = 32 << 20  # bytes of a vocabulary's file: half a million tokens
CHARACTERS = 1000  # how many different characters a trained vocabulary keeps at most; rarer ones become [UNK]


class Tokenizer:
    """Text -> ids for BERT: clean, lower-case, split at spaces and punctuation, then WordPiece."""

    def __init__(
        self, vocabulary: dict[str, int], lowercase: bool = True, strip_accents: bool | None = None, added: Sequence[str] = ()
    ) -> None:
        """strip_accents: None does so if lowercase; added: entries of the vocabulary that are never split, as [MASK] is not."""
        missing = [token for token in SPECIAL if token not in vocabulary]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}, which BERT needs")
        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise ValueError(f"the ids of its {len(vocabulary)} tokens are not 0 to {len(vocabulary) - 1}, each once")
        self.vocabulary = vocabulary
        self.lowercase = lowercase
        self.tokens = [token for token, _ in sorted(vocabulary.items(), key=lambda item: item[1])]
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (vocabulary[token] for token in SPECIAL)
        self.plain, self.backend = (
            tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=UNK, max_input_chars_per_word=100)) for _ in range(2)
        )
        for backend in (self.plain, self.backend):
            backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
            backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self.backend.decoder = decoders.WordPiece()
        self.backend.post_processor = processors.BertProcessing((SEP, self.sep_id), (CLS, self.cls_id))
        self.backend.add_special_tokens(list(SPECIAL))
        self.backend.add_tokens(list(added))

    def __len__(self) -> int:
        return len(self.vocabulary)

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
        return cls(backend.get_vocab(), lowercase)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Tokenizer:
        """From a folder with tokenizer.json or vocab.txt."""
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
        for name in ("tokenizer.json", "vocab.txt"):
            if (folder / name).is_file():
                return cls.from_file(folder / name)
        raise FileNotFoundError(f"{folder}: no tokenizer here, neither tokenizer.json nor vocab.txt")

    @classmethod
    def from_file(cls, path: str | Path, lowercase: bool | None = None) -> Tokenizer:
        """From a tokenizer.json, or a vocab.txt with one token per line."""
        path = Path(path)
        text = read_text(path, LARGEST)
        if path.suffix == ".json":
            return cls._from_json(path, text, lowercase)
        vocabulary: dict[str, int] = {}
        for i, token in enumerate(text.removesuffix("\n").split("\n")):  # not splitlines(): other line ends may be tokens
            if token in vocabulary:
                raise ValueError(
                    f"{path}:{i + 1}: {quoted(token)} stands already in line {vocabulary[token] + 1}; "
                    "a token's line is its id, so each must be there once"
                )
            vocabulary[token] = i
        if lowercase is None:
            lowercase = _lowercase_in_config(path.parent)
        try:
            return cls(vocabulary, lowercase)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def _from_json(cls, path: Path, text: str, lowercase: bool | None) -> Tokenizer:
        """Only vocabulary and case are read: padding and truncation that some files bake in would spoil every text."""
        try:
            content = parse_json(text)
            if content["model"].get("type", "WordPiece") != "WordPiece":
                raise ValueError(f"its model is {content['model']['type']}, not WordPiece")
            vocabulary = dict(content["model"]["vocab"])
            added = {entry["content"]: entry["id"] for entry in content.get("added_tokens") or ()}
            added = {token: i for token, i in added.items() if token not in SPECIAL}
            normalizer = content.get("normalizer") or {}
            if lowercase is None:
                lowercase = normalizer.get("lowercase", True)
            if not isinstance(lowercase, bool):
                raise ValueError(f"lowercase must be true or false, not {lowercase!r}")
            return cls({**vocabulary, **added}, lowercase, normalizer.get("strip_accents"), list(added))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a WordPiece tokenizer ({short(error, 200)})") from error

    def extend(self, tokens: Sequence[str]) -> list[str]:
        """Give the next ids to those special tokens that the vocabulary lacks, and return them."""
        new = [token for token in tokens if token not in self.vocabulary]
        self.backend.add_special_tokens(new)
        self.vocabulary = {**self.vocabulary, **{token: len(self.tokens) + i for i, token in enumerate(new)}}
        self.tokens = [*self.tokens, *new]
        return new

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer.json, vocab.txt and tokenizer_config.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "vocab.txt", "".join(token + "\n" for token in self.tokens))
        write_text(folder / "tokenizer.json", self.backend.to_str(pretty=False))
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": self.lowercase, "model_max_length": 512}
        special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
        write_text(folder / "tokenizer_config.json", json.dumps({**config, **special}, indent=2) + "\n")

    # ----------------------------------------------------------------------------------------------- using it

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, without special tokens."""
        return list(self.backend.encode(text, add_special_tokens=False).tokens)

    def encode_lines(self, lines: Sequence[str], special: bool = True) -> list[list[int]]:
        """The ids of each line, with no [CLS] and [SEP] around. special: a "[MASK]" in the text is the token, not its letters."""
        backend = self.backend if special else self.plain
        return [encoding.ids for encoding in backend.encode_batch_fast(list(lines), add_special_tokens=False)]

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
            a, b = (a[:room], b) if b is None else shorten(a, b, room)
        ids, types = [self.cls_id, *a, self.sep_id], [0] * (len(a) + 2)
        if b is not None:
            ids, types = [*ids, *b, self.sep_id], types + [1] * (len(b) + 1)
        return ids, types

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


def _lowercase_in_config(folder: Path) -> bool:
    """What the folder's tokenizer_config.json says of case; uncased if it says nothing."""
    path = folder / "tokenizer_config.json"
    lowercase = read_json(path, "a tokenizer's configuration").get("do_lower_case") if path.is_file() else None
    if lowercase is not None and not isinstance(lowercase, bool):
        raise ValueError(f"{path}: do_lower_case must be true or false, not {quoted(lowercase)}")
    return lowercase is not False
