"""Replacement by a masked LM: some words are hidden, and what the model would put there is drawn.

    w ~ p(w | the text with 15 % of its words masked), of the k = 50 best with p ≥ 5e-4

Whole words that are not the original and fit the label (synonyms.py); where there is none a synonym, and without one the word
is left out. The masked words of a text are guessed together, and a text is read alone: its copy does not depend on others.
Garg and Ramakrishnan (2020), "BAE", https://arxiv.org/abs/2004.01970, section 2, with TextAttack's limits.
Read before: synonyms.py. Read next: choosing.py.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

import minitorch
import minitorch.nn.functional as F

from ..bert.use import load, refuse_without_head, to_device
from ..text.typos import like
from .synonyms import WORD, Fitting

BEST, LEAST = 50, 5e-4


class Guesses:
    """``Guesses(folder, fitting)(text, label, rng)``: a copy of the text in the words of the folder's masked LM."""

    def __init__(self, folder: str, fitting: Fitting, device: str = "cpu", share: float = 0.15) -> None:
        refuse_without_head(folder)
        self.tokenizer, self.model = load(folder, device=device)
        self.model.eval()
        self.fitting, self.share = fitting, share

    def __call__(self, text: str, label: Any, rng: Any) -> str:
        """A copy with some words replaced."""
        units = re.findall(rf"{WORD.pattern}|[^\W_]+|_+|[^\w\s]|\s+", text)
        ids = [
            [] if unit.isspace() else i for unit, i in zip(units, self.tokenizer.encode_lines(units, special=False), strict=True)
        ]
        room, at, starts = self.model.config.max_position_embeddings - 2, 0, {}
        for k, pieces in enumerate(ids):
            if pieces and at + len(pieces) <= room and any(map(str.isalpha, units[k])):
                starts[k] = at
            at += len(pieces)
        places = sorted(rng.permutation(sorted(starts))[: max(1, int(self.share * len(starts)))].tolist()) if starts else []
        for k, p in zip(places, self.guess(ids, places, room), strict=True):
            units[k] = self.draw(units[k], p, label, rng)
        return " ".join("".join(units).split())

    def guess(self, ids: list[list[int]], places: list[int], room: int) -> Any:
        """(places, V): probabilities of the words there, all of them masked."""
        t, masked, at = self.tokenizer, [], []
        for k, pieces in enumerate(ids):
            at += [len(masked) + 1] if k in places else []  # 1: [CLS] comes first
            masked += [t.mask_id] if k in places else pieces
        with minitorch.no_grad():
            batch = to_device(t.batch([t.join(masked[:room])]), self.model)
            states = self.model.bert(**batch).last_hidden_state[0]  # (S, H)
            logits = self.model.cls.predictions(minitorch.index_select(states, 0, minitorch.tensor(at).to(states.device)))
            return F.softmax(logits, dim=-1)[:, : len(t)].cpu().numpy().astype(np.float64)

    def draw(self, word: str, p: Any, label: Any, rng: Any) -> str:
        """What takes the word's place; "" if nothing can."""
        tokens = self.tokenizer.tokens
        best = [i for i in np.argsort(-p, kind="stable")[:BEST] if p[i] >= LEAST]
        best = [i for i in best if tokens[i].isalpha() and tokens[i] != word.lower() and self.fitting.fits(tokens[i], label)]
        if best:
            drawn = np.searchsorted(np.cumsum(p[best]), rng.random() * p[best].sum(), side="right")
            return like(word, tokens[best[min(int(drawn), len(best) - 1)]])
        others = self.fitting(word, label)
        return others[rng.integers(len(others))] if others else ""
