"""Sequences of different lengths in one rectangular tensor, and back (torch.nn.utils.rnn).  Read before: functional.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ...creation import full, tensor
from ...ops import cat, index_select, raw, stack
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


# --------------------------------------------------------------------------------------------------------- packed


class PackedSequence(NamedTuple):
    """Sequences without padding: the rows of step 1, longest sequence first, then those of step 2, ...

    data: (Σ lengths, ...); batch_sizes: how many sequences reach each step; sorted_indices: which sequence of the batch each is,
    unsorted_indices: the way back; both None if the batch came sorted. pack_padded_sequence and pack_sequence make it.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data, and the indices, on another device; the data in another dtype."""
        data = self.data.to(*args, **kwargs)
        indices = [None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(data, self.batch_sizes, *indices)


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """The first ``lengths`` rows of each sequence of ``input``, (T, B, ...) or (B, T, ...) with ``batch_first``, without padding.

    lengths: (B,), on the CPU. enforce_sorted: they must not grow from one sequence to the next; False sorts the batch.
    """
    rows = input.transpose(0, 1) if batch_first else input  # (T, B, ...)
    n = np.asarray(raw(lengths) if isinstance(lengths, Tensor) else lengths, dtype=np.int64).reshape(-1)
    if rows.shape[1] == 0 or len(n) != rows.shape[1]:
        raise RuntimeError(f"pack_padded_sequence: needs one length per sequence; got {len(n)} for a batch of {rows.shape[1]}")
    if n.min() < 1 or n.max() > len(rows):
        raise RuntimeError(f"pack_padded_sequence: lengths must be from 1 to {len(rows)}, the padded length; got {n.tolist()}")
    order = np.argsort(-n, kind="stable")
    if enforce_sorted and np.any(np.diff(n) > 0):
        raise RuntimeError(
            "pack_padded_sequence: with enforce_sorted=True the lengths must be in decreasing order; pass enforce_sorted=False"
        )
    sizes = (n[:, None] > np.arange(n.max())).sum(0)  # how many sequences reach each step
    places = np.concatenate([t * rows.shape[1] + order[:k] for t, k in enumerate(sizes)])
    data = index_select(rows.reshape(-1, *rows.shape[2:]), 0, tensor(places, device=input.device))
    if enforce_sorted:
        return PackedSequence(data, tensor(sizes))
    indices = (tensor(i, device=input.device) for i in (order, np.argsort(order)))
    return PackedSequence(data, tensor(sizes), *indices)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The sequences as (T, B, ...), or (B, T, ...), and their lengths (B,), in the order they had before packing.

    T is the longest length, or ``total_length``; what is too short gets ``padding_value`` at its end.
    """
    sizes = np.asarray(raw(sequence.batch_sizes))
    T = len(sizes) if total_length is None else total_length
    if len(sizes) > T:
        raise ValueError(f"pad_packed_sequence: total_length {T} is less than the longest sequence, {len(sizes)}")
    lengths = (sizes[:, None] > np.arange(sizes[0])).sum(0)
    b, begins = np.arange(sizes[0]), (np.cumsum(sizes) - sizes)[:, None]
    places = np.full((T, sizes[0]), sizes.sum())  # behind the data stands a row of padding
    places[: len(sizes)] = np.where(b < sizes[:, None], begins + b, sizes.sum())
    if sequence.unsorted_indices is not None:
        back = np.asarray(raw(sequence.unsorted_indices.cpu()))
        lengths, places = lengths[back], places[:, back]
    data = sequence.data
    row = full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    places = places.T if batch_first else places
    padded = index_select(cat([data, row]), 0, tensor(places.reshape(-1), device=data.device))
    return padded.reshape(*places.shape, *data.shape[1:]), tensor(lengths)


def pack_sequence(sequences: Iterable[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Tensors (length, ...) packed."""
    rows = list(sequences)
    return pack_padded_sequence(pad_sequence(rows), [len(x) for x in rows], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The tensors that pack_sequence packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
