"""The keys and values of the tokens so far, kept so that a new token costs one column of attention and not all of them.

    keys, values (B, A, n, d) per layer + those of S new tokens -> (B, A, n + S, d)

Arrays double their room when it is full: appending then copies every number twice on average, however long the text gets.
Read next: generate.py; who appends is an attention layer (gpt/model.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minitorch
from minitorch import Tensor
from minitorch.devices import array_module


class Cache:
    """What the layers of one model keep of the tokens they have seen; empty at first. ``len(cache)``: how many tokens.

    Hugging Face's DynamicCache, for one generation: a layer calls ``update``, a beam search ``reorder``.
    """

    def __init__(self, past: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        self.layers = [(Growing(k), Growing(v)) for k, v in past]

    def __len__(self) -> int:
        return self.layers[0][0].kept.shape[2] if self.layers else 0

    def __getitem__(self, layer: int) -> tuple[Tensor, Tensor]:
        return self.layers[layer][0].kept, self.layers[layer][1].kept

    def get_seq_length(self) -> int:
        """Hugging Face's name for ``len``."""
        return len(self)

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Add new keys and values (B, A, S, d) of a layer; all of that layer's (B, A, n + S, d)."""
        if layer == len(self.layers):
            self.layers.append((Growing(k), Growing(v)))
        else:
            self.layers[layer][0].append(k)
            self.layers[layer][1].append(v)
        return self[layer]

    def reorder(self, rows: Any) -> None:
        """From here on row i continues what row rows[i] had (rows may repeat, and be fewer or more)."""
        for pair in self.layers:
            for growing in pair:
                growing.reorder(rows)


class Growing:
    """A tensor (B, A, n, d) that grows along n."""

    def __init__(self, first: Tensor) -> None:
        self.kept = first
        self.room: Any = None

    def append(self, new: Tensor) -> None:
        """Put ``new`` (B, A, S, d) behind; where gradients are wanted by a plain concatenation, else into room made before."""
        if new.requires_grad or self.kept.requires_grad:
            self.kept = minitorch.cat([self.kept, new], dim=2)
            return
        n, end = self.kept.shape[2], self.kept.shape[2] + new.shape[2]
        if self.room is None or end > self.room.shape[2]:
            B, A, _, d = new.shape
            self.room = array_module(new.array).empty((B, A, 2 * end, d), new.dtype)
            self.room[:, :, :n] = self.kept.array
        self.room[:, :, n:end] = new.array
        self.kept = Tensor(self.room[:, :, :end])

    def reorder(self, rows: Any) -> None:
        """Take these rows."""
        kept = self.kept.array
        taken = kept[array_module(kept).asarray(rows)]
        if self.room is not None and len(rows) == len(self.room):  # the room is there: use it
            self.room[:, :, : taken.shape[2]] = taken
        else:
            self.kept, self.room = Tensor(taken), None
