"""The logit lens: what the model would answer if it stopped after layer l (nostalgebraist 2020, "interpreting GPT").

    p_l = softmax(head(h_l)),   h_l the state after layer l where the answer is read

BERT's head was trained for the last layer alone, and GPT's middle layers have not passed the last LayerNorm, which is put
before the head here: read early rows as hints.
Read before: subject.py, models/gpt/model.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minitorch
import minitorch.nn.functional as F

from ..errors import BadInput
from .subject import Subject

NEEDS_WORDS = "--method lens reads words out of each layer: it needs a masked LM or a GPT; this model has another head"


class Layer(NamedTuple):
    """The best tokens after a layer with their probabilities; the answer's probability and rank (1: the best)."""

    best: list[tuple[str, float]]
    probability: float
    rank: int


def logit_lens(subject: Subject, tokenizer: Any, top: int = 5) -> list[Layer]:
    """One entry for the embeddings and one for each layer."""
    model = subject.model
    if not hasattr(model, "cls") and not hasattr(model, "lm_head"):
        raise BadInput(NEEDS_WORDS)
    states = subject.encoded(output_hidden_states=True).hidden_states
    with minitorch.no_grad():
        h = minitorch.stack([state[0, int(subject.at[0])] for state in states])  # (L + 1, H)
        if hasattr(model, "cls"):
            logits = model.cls.predictions(h)
        else:  # the last state has passed ln_f already
            logits = model.lm_head(minitorch.cat([model.transformer.ln_f(h[:-1]), h[-1:]]))
        p = F.softmax(logits, dim=-1).cpu().numpy()[:, : len(tokenizer)]  # (L + 1, V)
    (answer,) = subject.target or (0,)
    found = []
    for row in p:
        order = np.argsort(-row, kind="stable")[:top]
        best = [(tokenizer.tokens[i] if hasattr(model, "cls") else tokenizer.decode([int(i)]), float(row[i])) for i in order]
        found.append(Layer(best, float(row[answer]), int((row > row[answer]).sum()) + 1))
    return found
