"""Pruning layers: the encoder with some of its layers only, as DistilBERT starts and LayerDrop prunes.

Fan, Grave and Joulin (2019), "Reducing Transformer Depth on Demand with Structured Dropout", https://arxiv.org/abs/1909.11556,
section 3.2. Without training afterwards (--epochs) the score falls fast. Read next: command.py.
"""

from __future__ import annotations

from typing import Any

from minitorch import nn

from ..bert.config import BertConfig
from ..errors import BadInput
from .heads import encoder, model_layers


def chosen_layers(text: str, L: int) -> list[int]:
    """ "0,2,4": layers to keep, in their order; BadInput for one that is not there."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise BadInput(f"--layers {text}: give the numbers of the layers to keep, such as 0,2,4")
    if odd := [part for part in parts if int(part) >= L]:
        raise BadInput(f"--layers {text}: there is no layer {odd[0]}; there are layers 0 to {L - 1}")
    numbers = [int(part) for part in parts]
    if numbers != sorted(set(numbers)):
        raise BadInput(f"--layers {text}: name each layer once, in their order")
    if len(numbers) == L:
        raise BadInput(f"--layers {text}: these are all {L} layers; leave some out")
    return numbers


def keep(model: Any, numbers: list[int]) -> None:
    """Take all other layers out of the model."""
    old, stack = model.config, model_layers(model)
    heads = old.extra.get("pruned_heads") or {}
    fewer = {**old.to_dict(), "num_hidden_layers": len(numbers)}
    if heads:
        fewer["pruned_heads"] = {new: heads[i] for new, i in enumerate(numbers) if i in heads}
    model.config = encoder(model).config = BertConfig.from_dict(fewer)
    encoder(model).encoder.layer = nn.ModuleList([stack[i] for i in numbers])
