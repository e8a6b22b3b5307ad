"""Hugging Face's call of the tokenizer: padding, truncation, pairs, words, offsets. For scripts that come from there.

    batch = tokenizer(texts, padding="max_length", truncation=True, max_length=128, return_tensors="pt")

The `tokenizers` library cuts and pads; this file gives it PyTorch's and Hugging Face's names. Read before: special_tokens.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tokenizers

import minitorch

from .special_tokens import TokensByName
from .tokenizer import shorten

TRUNCATION = {True: "longest_first", False: None, None: None, "do_not_truncate": None}
TRUNCATION |= {name: name for name in ("longest_first", "only_first", "only_second")}
CLEAN = (".", "?", "!", ",", "' ", "n't", "'m", "'s", "'ve", "'re")  # decoding may join these to the word before them
PADDING = {True: "longest", False: None, None: None, "do_not_pad": None, "longest": "longest", "max_length": "max_length"}


class BatchEncoding(dict[str, Any]):
    """Input names and their values, as batch["input_ids"] or batch.input_ids; and which word and text each token is of."""

    def __init__(self, values: dict[str, Any], encodings: Sequence[tokenizers.Encoding]) -> None:
        super().__init__(values)
        self.encodings = encodings

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"this encoding has no {name!r}, it has {', '.join(self)}")
        return self[name]

    def to(self, device: Any) -> BatchEncoding:
        """Its tensors on the device; returns itself."""
        self.update({name: v.to(device) if isinstance(v, minitorch.Tensor) else v for name, v in self.items()})
        return self

    def tokens(self, i: int = 0) -> list[str]:
        """The pieces of row i."""
        return list(self.encodings[i].tokens)

    def word_ids(self, i: int = 0) -> list[int | None]:
        """Of each token in row i, its word; None for special tokens."""
        return list(self.encodings[i].word_ids)

    def sequence_ids(self, i: int = 0) -> list[int | None]:
        """Of each token in row i, 0 or 1 for the first or second text; None for special tokens."""
        return list(self.encodings[i].sequence_ids)

    def char_to_token(self, i: int, char: int | None = None, sequence_index: int = 0) -> int | None:
        """The token that holds a character; of row 0 if one number is given."""
        row, place = (0, i) if char is None else (i, char)
        return self.encodings[row].char_to_token(place, sequence_index)  # type: ignore[no-any-return]


class BertTokenizer(TokensByName):
    """Tokenizer, called as Hugging Face's BertTokenizer is; return_tensors="pt" gives minitorch's tensors."""

    pad_token_type_id, is_fast = 0, True

    def build(self, content: dict[str, Any], settings: dict[str, Any]) -> None:
        """As Tokenizer does it, and the settings of calls."""
        super().build(content, settings)
        self.model_input_names = list(settings.get("model_input_names", ("input_ids", "token_type_ids", "attention_mask")))
        self.clean_up_tokenization_spaces = bool(settings.get("clean_up_tokenization_spaces"))

    def __call__(  # type: ignore[override]
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """One text, or a list of texts (of lists of words with is_split_into_words), each with its second text if given.

        Without return_tensors: lists, and for one text no batch dimension. "pt": minitorch tensors, "np": arrays, (B, S).
        """
        is_batch = is_batched(text, is_split_into_words)
        texts, pairs = (text, text_pair) if is_batch else ([text], [text_pair] if text_pair else None)  # "" is none, as theirs
        if pairs is not None and len(texts) != len(pairs):
            raise ValueError(f"{len(texts)} texts and {len(pairs)} second texts do not pair up")
        way = self.way(padding, truncation, max_length, stride, pad_to_multiple_of, padding_side)
        rows, owners = self.rows(list(texts), pairs, way, add_special_tokens, is_split_into_words, return_overflowing_tokens)
        wanted = {  # of each row; None: as the folder says
            "input_ids": (True, lambda e: e.ids),
            "token_type_ids": (return_token_type_ids, lambda e: e.type_ids),
            "attention_mask": (return_attention_mask, lambda e: e.attention_mask),
            "special_tokens_mask": (return_special_tokens_mask, lambda e: e.special_tokens_mask),
            "offset_mapping": (return_offsets_mapping, lambda e: e.offsets),
            "length": (return_length, lambda e: len(e.ids)),
        }
        is_wanted = {name: name in self.model_input_names if asked is None else asked for name, (asked, _) in wanted.items()}
        values = {name: [read(e) for e in rows] for name, (_, read) in wanted.items() if is_wanted[name]}
        if return_overflowing_tokens:
            values["overflow_to_sample_mapping"] = owners
        if return_tensors is None and not is_batch and not return_overflowing_tokens:
            return BatchEncoding({name: v[0] if isinstance(v[0], list) else v for name, v in values.items()}, rows)
        return BatchEncoding(as_tensors(values, return_tensors), rows)

    def rows(
        self, texts: list[Any], pairs: Any, way: tuple[Any, ...], add_special: bool, words: bool, overflowing: bool
    ) -> tuple[list[tokenizers.Encoding], list[int]]:
        """The encoded rows, and of which text each is."""
        inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
        _, truncation, most, stride, *_ = way
        if truncation:
            framing = self.backend.num_special_tokens_to_add(pairs is not None) if add_special else 0
            lengths = [
                [len(e.ids) for e in self.backend.encode_batch(part, is_pretokenized=words, add_special_tokens=False)]
                for part in ((texts, list(pairs or ())) if stride or truncation != "longest_first" else ())
            ]
            check_cuts(lengths, most, framing, stride, truncation)
        found = self.copy_for(*way).encode_batch(inputs, is_pretokenized=words, add_special_tokens=add_special)
        more = [[e, *(e.overflowing if overflowing else ())] for e in found]
        return [e for group in more for e in group], [i for i, group in enumerate(more) for _ in group]

    def way(
        self,
        padding: bool | str,
        truncation: bool | str | None,
        max_length: int | None,
        stride: int,
        multiple: int | None,
        side: str | None,
    ) -> tuple[Any, ...]:
        """What `_copy` needs to pad and truncate in this way: defaults filled in, contradictions refused."""
        side = self.padding_side if side is None else side
        known = {"padding": (padding, PADDING), "truncation": (truncation, TRUNCATION), "padding_side": (side, ("left", "right"))}
        for name, (value, choices) in known.items():
            if value not in choices:
                there = ", ".join(repr(k) for k in choices if k is not None)
                raise ValueError(f"{name}={value!r} is unknown; there are {there}")
        if truncation is None and max_length is not None and padding is False:
            truncation = True  # as Hugging Face does, when a length is given alone
        how, cut = PADDING[padding], TRUNCATION[truncation]  # type: ignore[index]
        if max_length is None and self.model_max_length > 1e20:  # the folder names none
            how, cut = None if how == "max_length" else how, None  # there is no length to pad or cut to
        most = self.model_max_length if max_length is None else max_length
        if cut and how and multiple and most % multiple:
            raise ValueError(f"max_length {most} is no multiple of pad_to_multiple_of {multiple}: padded rows would exceed it")
        return how, cut, most, stride, multiple, side, self.truncation_side

    @functools.cached_property
    def copy_for(self) -> Any:
        """``_copy`` that remembers its last eight results: copying a vocabulary takes far longer than encoding a text."""
        return functools.lru_cache(maxsize=8)(self._copy)

    def _copy(
        self, padding: str | None, cut: str | None, most: int, stride: int, multiple: int | None, side: str, cut_side: str
    ) -> Any:
        """A copy of the backend that pads and truncates in this way; the backend itself never does."""
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        backend.encode_special_tokens = self.backend.encode_special_tokens
        if cut:
            try:
                backend.enable_truncation(most, stride=stride, strategy=cut, direction=cut_side)
            except ValueError as error:
                raise ValueError(too_wide(most, backend.num_special_tokens_to_add(False), stride)) from error
        if padding:
            length = most if padding == "max_length" else None
            pad = {"pad_id": self.pad_id, "pad_token": self.names["pad_token"]}
            backend.enable_padding(length=length, direction=side, pad_to_multiple_of=multiple, **pad)
        return backend

    encode_plus = batch_encode_plus = __call__  # their older names

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """The input_ids of a call."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """The pieces of a text, or of two."""
        return list(self.backend.encode(text, pair, add_special_tokens=add_special_tokens).tokens)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Pad what a call returned without padding: one dictionary, or a list of them, as a DataLoader's collate_fn gets it.

        Grows input_ids, token_type_ids, attention_mask and special_tokens_mask; other values stay as they are.
        """
        if isinstance(encoded_inputs, list | tuple):
            if not encoded_inputs:
                raise ValueError("there is nothing to pad: the list is empty")
            encoded_inputs = {name: [example[name] for example in encoded_inputs] for name in encoded_inputs[0]}
        if "input_ids" not in encoded_inputs:
            raise ValueError(f"pad needs input_ids, this has {', '.join(encoded_inputs)}")
        values = {name: as_lists(value) for name, value in encoded_inputs.items()}
        alone = bool(values["input_ids"]) and not isinstance(values["input_ids"][0], list)
        if alone:
            values = {name: [value] for name, value in values.items()}
        lengths = [len(row) for row in values["input_ids"]]
        mask = "attention_mask" in self.model_input_names if return_attention_mask is None else return_attention_mask
        if mask:
            values.setdefault("attention_mask", [[1] * n for n in lengths])
        how, _, most, _, multiple, side, _ = self.way(padding, False, max_length, 0, pad_to_multiple_of, padding_side)
        if how and lengths:
            size = max(lengths) if how == "longest" else most
            size += -size % (multiple or 1)
            fill = {"input_ids": self.pad_id, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}
            for name in fill.keys() & values.keys():
                more = [[fill[name]] * (size - n) for n in lengths]
                values[name] = [row + m if side == "right" else m + row for row, m in zip(values[name], more, strict=True)]
        if alone:
            values = {name: value[0] for name, value in values.items()}
        return BatchEncoding(as_tensors(values, return_tensors), ())

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """Of a piece, or of each in a list, its id; [UNK]'s where the vocabulary lacks it."""
        if isinstance(tokens, str):
            return self.vocabulary.get(tokens, self.unk_id)
        return [self.vocabulary.get(token, self.unk_id) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Of an id, or of each in a list, its piece; None where the vocabulary has none."""
        if np.ndim(ids) == 0:
            return self.backend.id_to_token(int(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self.backend.id_to_token(int(i)) for i in ids if int(i) not in skipped]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None) -> Any:
        """Text again: pieces joined, a space before punctuation removed. Of a list of rows, the list of their texts."""
        ids = as_lists(token_ids)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        row = [int(i) for i in (ids if isinstance(ids, list) else [ids])]
        text = self.backend.decode(row, skip_special_tokens=skip_special_tokens)
        clean = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        for joined in CLEAN if clean else ():
            text = text.replace(f" {joined}", joined.rstrip())
        return text

    def batch_decode(self, sequences: Iterable[Any], *options: Any, **named: Any) -> list[str]:
        """The text of each row."""
        return [self.decode(ids, *options, **named) for ids in sequences]


BertTokenizerFast = BertTokenizer


def is_batched(text: Any, words: bool) -> bool:
    """Is it a list of texts, or with ``words`` a list of lists of words?"""
    if not isinstance(text, str | list | tuple):
        raise TypeError(f"a text is a str, a batch a list of them, got {type(text).__name__}")
    if words:
        return not isinstance(text, str) and len(text) > 0 and isinstance(text[0], list | tuple)
    return not isinstance(text, str)


def as_lists(value: Any) -> Any:
    """Tensors and arrays, also inside of lists, as lists of numbers."""
    if isinstance(value, list | tuple):
        return [as_lists(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


def as_tensors(values: dict[str, Any], kind: str | None) -> dict[str, Any]:
    """Each value as a tensor or an array of int64, or as it is."""
    if kind not in (None, "pt", "np"):
        raise ValueError(f'return_tensors is "pt" (minitorch tensors), "np" or None, got {kind!r}')
    if kind is None:
        return values
    lengths = {np.size(row) for row in values["input_ids"]}
    if len(lengths) > 1:
        raise ValueError(
            f"a tensor has rows of one length, these have {min(lengths)} to {max(lengths)} tokens; "
            "give padding=True (and truncation=True where some are too long)"
        )
    arrays = {name: np.array(rows, dtype=np.int64) for name, rows in values.items()}
    return {name: minitorch.from_numpy(a) if kind == "pt" else a for name, a in arrays.items()}


def too_wide(most: int, framing: int, stride: int) -> str:
    """The message of a stride that leaves no room."""
    if stride >= most - framing:
        return f"stride {stride} must be smaller than max_length {most} less the {framing} tokens of no new text"
    return f"max_length {most} and stride {stride} leave no room for new tokens in a row; take a smaller stride or longer rows"


def check_cuts(lengths: list[list[int]], most: int, framing: int, stride: int, strategy: str) -> None:
    """Refuse what the library cannot cut: a text to a length that is not above the stride, or one that is too short to cut.

    lengths: of the first texts, and of the second ones, in tokens. framing: how many special tokens each row has. Only texts
    that are cut matter. Without any room the library leaves out all of them (below 0: nothing), as Hugging Face's call does.
    """
    room = most - framing
    for sizes in zip(*(part for part in lengths if part), strict=True):
        excess = sum(sizes) - room
        if excess <= 0 or room <= 0:
            continue
        if strategy == "longest_first":
            kept = [len(part) for part in shorten(*(range(n) for n in sizes), room)] if len(sizes) == 2 else [room]
        else:
            place = ("only_first", "only_second").index(strategy)
            if place >= len(sizes):
                raise ValueError('truncation="only_second" needs second texts; there are none')
            if sizes[place] <= excess:
                raise ValueError(
                    f'truncation="{strategy}" cannot shorten {sizes[place]} tokens by the {excess} that are too many; '
                    'take "longest_first" or longer rows'
                )
            kept = [n - excess * (i == place) for i, n in enumerate(sizes)]
        if any(0 < m < n and stride >= m for n, m in zip(sizes, kept, strict=True)):
            raise ValueError(too_wide(most, framing, stride))
