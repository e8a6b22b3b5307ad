"""Hugging Face's call of the tokenizer: padding, truncation, pairs, words, offsets. For scripts that come from there.

    batch = tokenizer(texts, padding="max_length", truncation=True, max_length=128, return_tensors="pt")

The `tokenizers` library cuts and pads; this file gives it PyTorch's and Hugging Face's names. Read before: tokenizer.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tokenizers

import minitorch

from .tokenizer import CLS, MASK, PAD, SEP, SPECIAL, UNK, Tokenizer

TRUNCATION = {True: "longest_first", False: None, None: None, "do_not_truncate": None}
TRUNCATION |= {name: name for name in ("longest_first", "only_first", "only_second")}
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


class BertTokenizer(Tokenizer):
    """Tokenizer, called as Hugging Face's BertTokenizer is; return_tensors="pt" gives minitorch's tensors."""

    model_max_length = 512

    pad_token, unk_token, cls_token, sep_token, mask_token = PAD, UNK, CLS, SEP, MASK
    pad_token_id = property(lambda self: self.pad_id)
    unk_token_id = property(lambda self: self.unk_id)
    cls_token_id = property(lambda self: self.cls_id)
    sep_token_id = property(lambda self: self.sep_id)
    mask_token_id = property(lambda self: self.mask_id)
    all_special_tokens = property(lambda self: list(SPECIAL))
    all_special_ids = property(lambda self: [self.vocabulary[token] for token in SPECIAL])
    vocab_size = property(lambda self: len(self.vocabulary))

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
        return_tensors: str | None = None,
        return_token_type_ids: bool = True,
        return_attention_mask: bool = True,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """One text, or a list of texts (of lists of words with is_split_into_words), each with its second text if given.

        Without return_tensors: lists, and for one text no batch dimension. "pt": minitorch tensors, "np": arrays, (B, S).
        """
        if return_tensors not in (None, "pt", "np"):
            raise ValueError(f'return_tensors is "pt" (minitorch tensors), "np" or None, got {return_tensors!r}')
        is_batch = is_batched(text, is_split_into_words)
        texts, pairs = (text, text_pair) if is_batch else ([text], [text_pair] if text_pair else None)  # "" is none, as theirs
        if pairs is not None and len(texts) != len(pairs):
            raise ValueError(f"{len(texts)} texts and {len(pairs)} second texts do not pair up")
        inputs = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        reserved = 1 if not add_special_tokens else 2 if pairs is None else 3  # as the tokenizers library reserves them
        backend = self.shaped(padding, truncation, max_length, stride, pad_to_multiple_of, reserved)
        try:
            found = backend.encode_batch(inputs, is_pretokenized=is_split_into_words, add_special_tokens=add_special_tokens)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # what the library's Rust raises where a stride leaves no room
                raise
            room = f"max_length {max_length} and stride {stride} leave no room for new tokens"
            raise ValueError(f"{room} in a row; take a smaller stride or longer rows") from None
        more = [[e, *(e.overflowing if return_overflowing_tokens else ())] for e in found]
        rows = [e for group in more for e in group]
        values = {"input_ids": [e.ids for e in rows]}
        if return_token_type_ids:
            values["token_type_ids"] = [e.type_ids for e in rows]
        if return_attention_mask:
            values["attention_mask"] = [e.attention_mask for e in rows]
        if return_special_tokens_mask:
            values["special_tokens_mask"] = [e.special_tokens_mask for e in rows]
        if return_offsets_mapping:
            values["offset_mapping"] = [e.offsets for e in rows]
        if return_length:
            values["length"] = [len(e.ids) for e in rows]  # type: ignore[misc]
        if return_overflowing_tokens:
            values["overflow_to_sample_mapping"] = [i for i, group in enumerate(more) for _ in group]  # type: ignore[misc]
        if return_tensors is None:
            alone = not is_batch and not return_overflowing_tokens
            return BatchEncoding({name: v[0] if alone else v for name, v in values.items()}, rows)
        return BatchEncoding(as_tensors(values, return_tensors), rows)

    def shaped(
        self,
        padding: bool | str,
        truncation: bool | str | None,
        max_length: int | None,
        stride: int,
        multiple: int | None,
        reserved: int,
    ) -> tokenizers.Tokenizer:
        """A copy of the backend that pads and truncates in this way; the backend itself never does."""
        for name, value, known in (("padding", padding, PADDING), ("truncation", truncation, TRUNCATION)):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; there are {', '.join(repr(k) for k in known if k is not None)}")
        if truncation is None and max_length is not None and padding is False:
            truncation = True  # as Hugging Face does, when a length is given alone
        most = self.model_max_length if max_length is None else max_length
        if TRUNCATION[truncation] and PADDING[padding] and multiple and most % multiple:  # type: ignore[index]
            raise ValueError(f"max_length {most} is no multiple of pad_to_multiple_of {multiple}: padded rows would exceed it")
        if TRUNCATION[truncation] and stride and stride >= most - reserved:  # type: ignore[index]
            raise ValueError(f"stride {stride} must be smaller than max_length {most} less the {reserved} tokens of no new text")
        return self.copy_for(PADDING[padding], TRUNCATION[truncation], most, stride, multiple)  # type: ignore[index, no-any-return]

    @functools.cached_property
    def copy_for(self) -> Any:
        """``_copy`` that remembers its last eight results: copying a vocabulary takes far longer than encoding a text."""
        return functools.lru_cache(maxsize=8)(self._copy)

    def _copy(self, padding: str | None, truncation: str | None, most: int, stride: int, multiple: int | None) -> Any:
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        if truncation:
            backend.enable_truncation(most, stride=stride, strategy=truncation)
        if padding:
            length = most if padding == "max_length" else None
            backend.enable_padding(length=length, pad_id=self.pad_id, pad_token=PAD, pad_to_multiple_of=multiple)
        return backend

    encode_plus = batch_encode_plus = __call__  # their older names

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """The input_ids of a call."""
        return self(text, text_pair, **options)["input_ids"]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """Of a piece, or of each in a list, its id; [UNK]'s where the vocabulary lacks it."""
        if isinstance(tokens, str):
            return self.vocabulary.get(tokens, self.unk_id)
        return [self.vocabulary.get(token, self.unk_id) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """Of an id, or of each in a list, its piece."""
        return self.tokens[int(ids)] if np.ndim(ids) == 0 else [self.tokens[int(i)] for i in ids]

    def decode(self, token_ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Text again: pieces joined, a space before punctuation removed."""
        return str(self.backend.decode([int(i) for i in token_ids], skip_special_tokens=skip_special_tokens))

    def batch_decode(self, sequences: Iterable[Iterable[int]], skip_special_tokens: bool = False) -> list[str]:
        """The text of each row."""
        return [self.decode(ids, skip_special_tokens) for ids in sequences]


BertTokenizerFast = BertTokenizer


def is_batched(text: Any, words: bool) -> bool:
    """Is it a list of texts, or with ``words`` a list of lists of words?"""
    if not isinstance(text, str | list | tuple):
        raise TypeError(f"a text is a str, a batch a list of them, got {type(text).__name__}")
    if words:
        return not isinstance(text, str) and len(text) > 0 and isinstance(text[0], list | tuple)
    return not isinstance(text, str)


def as_tensors(values: dict[str, Any], kind: str) -> dict[str, Any]:
    """Each value as a tensor or an array of int64."""
    lengths = {len(row) for row in values["input_ids"]}
    if len(lengths) > 1:
        raise ValueError(
            f"a tensor has rows of one length, these have {min(lengths)} to {max(lengths)} tokens; "
            "give padding=True (and truncation=True where some are too long)"
        )
    arrays = {name: np.array(rows, dtype=np.int64) for name, rows in values.items()}
    return {name: minitorch.from_numpy(a) if kind == "pt" else a for name, a in arrays.items()}
