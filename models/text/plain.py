"""Text as one stream of ids, with nothing around it: the surface that GPT's tokenizers share.

    tokenizer = load_tokenizer("runs/gpt")                   # loading.py: whichever kind the folder has
    tokenizer.encode("The function returns")                 # [464, 2163, 5860]
    tokenizer.decode([464, 2163, 5860])                      # "The function returns"
    tokenizer(["a", "a longer text"], padding_side="left")   # input_ids and attention_mask, each (B, S)

Read next: characters.py, bpe.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import minitorch
from minitorch import Tensor

from .tokenizer_files import NO_LIMIT


class PlainTokenizer:
    """What a tokenizer of plain text can do. A kind of its own says how text is cut, and how it is saved."""

    tokens: list[str]  # by id
    vocabulary: dict[str, int]
    bos_token: str | None = None  # begins a text, and ends one: GPT-2 has <|endoftext|> for both
    eos_token: str | None = None
    pad_token: str | None = None
    unk_token: str | None = None
    padding_side = truncation_side = "right"
    model_max_length = NO_LIMIT

    def encode_lines(self, lines: Sequence[str], special: bool = True) -> list[list[int]]:
        """The ids of each text. special: a "<|endoftext|>" in it is the token, not its letters."""
        raise NotImplementedError

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Text again."""
        raise NotImplementedError

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files that from_pretrained, and Hugging Face's library, read."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.tokens)

    def id_of(self, token: str | None) -> int | None:
        """The id of a special token; None if the tokenizer has none."""
        return None if token is None else self.vocabulary[token]

    @property
    def bos_token_id(self) -> int | None:
        """Of the token that begins a text."""
        return self.id_of(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        """Of the token that ends a text."""
        return self.id_of(self.eos_token)

    @property
    def unk_token_id(self) -> int | None:
        """Of the token that stands for what the vocabulary lacks."""
        return self.id_of(self.unk_token)

    @property
    def pad_token_id(self) -> int | None:
        """Of the token that fills short rows."""
        return self.id_of(self.pad_token)

    @property
    def document_end(self) -> tuple[int, ...]:
        """The ids that end each document of a corpus."""
        return () if self.eos_token_id is None else (self.eos_token_id,)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.encode_lines([text])[0]

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, as the vocabulary writes them."""
        return [self.tokens[i] for i in self.encode(text)]

    def batch_decode(self, rows: Iterable[Iterable[int]], skip_special_tokens: bool = True) -> list[str]:
        """The text of each row."""
        return [self.decode(ids, skip_special_tokens) for ids in rows]

    def tensors(
        self, text: str | Sequence[str], max_length: int | None = None, padding_side: str | None = None
    ) -> dict[str, Tensor]:
        """input_ids and attention_mask, (B, S). A text of more than ``max_length`` tokens loses its end (truncation_side).

        To generate from prompts of different lengths give padding_side="left", so that each row ends with its text.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise ValueError("there is no text to encode: the list is empty")
        rows = self.encode_lines(texts)
        if max_length is not None:
            rows = [ids[max(0, len(ids) - max_length) :] if self.truncation_side == "left" else ids[:max_length] for ids in rows]
        return self.batch(rows, padding_side)

    __call__ = tensors

    def batch(self, rows: Sequence[Sequence[int]], padding_side: str | None = None) -> dict[str, Tensor]:
        """Rows of ids, padded to the longest; where the tokenizer has no padding, any id will do, for the mask hides it."""
        side = padding_side or self.padding_side
        if side not in ("left", "right"):
            raise ValueError(f"padding_side is left or right, not {side!r}")
        filler = next((i for i in (self.pad_token_id, self.eos_token_id) if i is not None), 0)
        B, S = len(rows), max(map(len, rows), default=0)
        input_ids, attention_mask = np.full((B, S), filler, np.int64), np.zeros((B, S), np.int64)
        for i, ids in enumerate(rows):
            at = slice(S - len(ids), S) if side == "left" else slice(len(ids))
            input_ids[i, at], attention_mask[i, at] = ids, 1
        return {"input_ids": minitorch.from_numpy(input_ids), "attention_mask": minitorch.from_numpy(attention_mask)}
