"""What is explained: an input x and one number f(x) that a model says of it, the logit of an answer.

Attributions say how much each word adds to f. The logit, and not the probability: it does not flatten where the model is sure.
An answer is read at certain places: [CLS] for a class, a word for its tag, two places for a span, [MASK] or the last token for a
word.
Shapes: B variants of the input, S places, H hidden size, W words, P places that are read.
Read before: words.py. Read next: sources.py, gradients.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor

from ..adapting.prompt import body, plain_body, words_of
from ..errors import BadInput
from .words import Word

AT_ONCE = 4096  # tokens of variants that are computed together
Array = np.ndarray[Any, Any]


@dataclass
class Subject:
    """An input, a model, and where and how its answer is read."""

    model: Any
    read: Callable[[Any, dict[str, Tensor], Tensor], list[Tensor]]  # tables of logits (B, N), of each of which one is f's
    ids: Array  # (S,)
    types: Array | None  # (S,) segments
    words: list[Word]
    of: Array  # (S,) the word of each place; -1: a special token, which always stays
    at: Array  # (P,)
    target: tuple[int, ...] | None  # the column of each table; None: the places themselves (a span)
    answer: str
    link: str = "softmax"  # from f to a probability: softmax, sigmoid, or none (a number)
    filler: int = 0  # the id that stands in for a word that is taken out
    remove: str = "mask"  # or delete: take its places away
    padding: int | None = None  # the id of [PAD], if there is one
    note: str = ""  # of what is not read
    temperature: float = 1.0  # of the probability, fitted after training (Guo et al. 2017); f is the logit as it is

    @property
    def is_read(self) -> Array:
        """(W,) Does the model see the word?"""
        return np.isin(np.arange(len(self.words)), self.of)

    @property
    def body(self) -> Any:
        """The encoder or decoder under the head, adapters included."""
        return body(self.model)[1]

    def embeddings(self, ids: Array) -> Tensor:
        """Word embeddings (..., S) -> (..., S, H)."""
        table = words_of(plain_body(self.body))
        return table(minitorch.tensor(ids).to(table.weight.device))  # type: ignore[no-any-return]

    def encoded(self, **options: Any) -> Any:
        """What the encoder or decoder says of the input itself, with states or attentions if these are asked for."""
        device = next(iter(self.model.parameters())).device
        types = {} if self.types is None else {"token_type_ids": minitorch.tensor(self.types[None]).to(device)}
        with minitorch.no_grad():
            return self.body(input_ids=minitorch.tensor(self.ids[None]).to(device), **types, **options)

    def score(self, x: Tensor, types: Array | None = None, mask: Array | None = None, at: Array | None = None) -> Any:
        """Of embeddings (B, S, H): f (B,) and the answer's probability (B,)."""
        B, device = x.shape[0], x.device
        at = np.tile(self.at, (B, 1)) if at is None else at  # (B, P)
        types = np.tile(self.types, (B, 1)) if types is None and self.types is not None else types
        inputs = {"inputs_embeds": x}
        inputs |= {} if types is None else {"token_type_ids": minitorch.tensor(types).to(device)}
        inputs |= {} if mask is None else {"attention_mask": minitorch.tensor(mask).to(device)}
        tables = self.read(self.model, inputs, minitorch.tensor(at).to(device))
        columns = at.T if self.target is None else [np.full(B, c) for c in self.target]
        f, log_z = 0.0, 0.0
        for table, column in zip(tables, columns, strict=True):
            f = f + minitorch.gather(table, 1, minitorch.tensor(column[:, None]).to(device))[:, 0]
            log_z = log_z + (table / self.temperature).logsumexp(-1)
        if self.link == "softmax":
            return f, minitorch.exp(f / self.temperature - log_z)
        return f, minitorch.sigmoid(f / self.temperature) if self.link == "sigmoid" else f

    def f(self, x: Tensor) -> Tensor:
        """f alone."""
        return self.score(x)[0]  # type: ignore[no-any-return]

    def variants(self, keep: Array) -> tuple[Array, Array]:
        """keep (n, W), which words stay -> f (n,) and the probability (n,)."""
        rows = max(1, AT_ONCE // len(self.ids))
        with minitorch.no_grad():
            parts = [self.some_variants(keep[i : i + rows]) for i in range(0, len(keep), rows)]
        f, p = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not np.isfinite(f).all():
            raise BadInput("the model's answers are NaN or infinite, so its weights are damaged")
        return f, p

    def some_variants(self, keep: Array) -> tuple[Array, Array]:
        """The same for as many as are computed at once."""
        n = len(keep)
        stays = np.concatenate([keep, np.ones((n, 1), bool)], 1)[:, self.of]  # (n, S); the last column is the special tokens'
        ids = np.tile(self.ids, (n, 1))
        if self.remove == "mask":
            f, p = self.score(self.embeddings(np.where(stays, ids, self.filler)))
            return f.cpu().numpy(), p.cpu().numpy()
        stays[:, self.at] = True  # what is asked cannot go
        order = np.argsort(~stays, 1, kind="stable")
        ids, mask = (np.take_along_axis(a, order, 1) for a in (ids, stays.astype(np.int64)))
        types = None if self.types is None else np.take_along_axis(np.tile(self.types, (n, 1)), order, 1)
        f, p = self.score(self.embeddings(ids), types, mask, (stays.cumsum(1) - 1)[:, self.at])
        return f.cpu().numpy(), p.cpu().numpy()

    def baseline(self, kind: str = "pad") -> Tensor:
        """The embeddings (S, H) of an input without words: [PAD], the filler ([MASK]) or zeros in their places."""
        x = self.embeddings(self.ids)
        if kind == "zero" or (kind == "pad" and self.padding is None):
            return x * minitorch.tensor(self.of < 0).to(x.device).astype(x.dtype)[:, None]
        return self.embeddings(np.where(self.of < 0, self.ids, self.filler if kind == "mask" else self.padding))  # type: ignore

    def per_word(self, of_places: Array) -> Array:
        """Sums over each word's pieces: (..., S) -> (..., W)."""
        sums = np.zeros((*of_places.shape[:-1], len(self.words) + 1))
        for place, word in enumerate(self.of):  # -1 is the last column
            sums[..., word] += of_places[..., place]
        return sums[..., :-1]


def frozen(model: Any) -> Any:
    """In evaluation mode, and with no gradient for its weights: what is asked for are gradients of inputs."""
    for p in model.parameters():
        p.requires_grad_(False)
    return model.eval()
