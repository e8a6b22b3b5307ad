"""Sequences of different lengths in one rectangular tensor, and back (torch.nn.utils.rnn).  Read before: functional.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import stack
from ...tensor import Tensor
from .. import functional as F


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """B tensors (length, ...) side by side as (T, B, ...), or (B, T, ...) with ``batch_first``; T is the longest length.

    What is too short gets ``padding_value`` at its end, or before its beginning (padding_side "left", as for generating text).
    The dtype is the first sequence's. Gradients pass to the sequences.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: expected a list of tensors, got {type(sequences).__name__}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f'pad_sequence: padding_side must be "left" or "right", got {padding_side!r}')
    tensors = list(sequences)
    if not tensors:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"pad_sequence: expected a Tensor at index {i}, got {type(x).__name__}; wrap it: minitorch.tensor(x)")
        if x.ndim == 0 or x.shape[1:] != tensors[0].shape[1:]:
            raise RuntimeError(
                f"pad_sequence: sequences may differ in their first dimension only, but number {i} has shape {tuple(x.shape)} "
                f"and the first {tuple(tensors[0].shape)}"
            )
    longest = max(len(x) for x in tensors)

    def padded(x: Tensor) -> Any:
        room = longest - len(x)
        ends = (room, 0) if padding_side == "left" else (0, room)
        return F.pad(
            x.astype(tensors[0].dtype), (0, 0) * (x.ndim - 1) + ends, value=padding_value
        )  # pad names the last axis first

    return stack([padded(x) for x in tensors], dim=0 if batch_first else 1)  # type: ignore[no-any-return]


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The B sequences that pad_sequence put (at its right) into ``padded_sequences``, given their ``lengths`` (B,)."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)  # (B, T, ...)
    sizes = [int(n) for n in lengths]
    if len(sizes) != len(rows):
        raise ValueError(f"unpad_sequence: {len(sizes)} lengths for a batch of {len(rows)} sequences; pass one per sequence")
    return [row[:n] for row, n in zip(rows, sizes, strict=True)]
