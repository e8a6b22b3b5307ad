"""int8: the weights of linear layers, of the word embeddings if asked, and what enters a layer, as whole numbers of eight bits.

    weights    W alone; a layer turns them back into float32 as it computes
    dynamic    inputs too, each token by its own range
    static     inputs too, by ranges that calibration examples had: no search for the range in use

Equations and layers: models/checkpoints/int8.py, which loads such folders. Read next: command.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minitorch
from minitorch import nn

from ..checkpoints.int8 import METHOD, Int8Linear, input_range, int8_of, quantized, replace

DECODER = "cls.predictions.decoder"  # its weights are the word embeddings'


def quantize(model: Any, scheme: str, embeddings: bool = False, calibrate: Callable[[], Any] | None = None) -> int:
    """Put layers of int8 into the model; return how many. calibrate (static): runs the model on examples."""
    tied = model.config.tie_word_embeddings
    chosen = {
        path: module
        for path, module in model.named_modules()
        if (isinstance(module, nn.Linear) and (embeddings or not tied or path != DECODER))
        or (embeddings and path.endswith("word_embeddings"))
    }
    ranges = input_ranges(model, chosen, calibrate) if calibrate else {}
    for path, module in chosen.items():
        new = int8_of(module, scheme, path in ranges)
        W, scale = quantized(module.weight.array)
        new.weight, new.weight_scale = minitorch.Tensor(W), minitorch.Tensor(scale)
        if path in ranges and isinstance(new, Int8Linear):
            s, z = input_range(*(minitorch.tensor([x]).array for x in ranges[path]))
            new.input_scale, new.input_zero_point = minitorch.Tensor(s), minitorch.Tensor(z)
        replace(model, path, new)
    model.tie_weights()
    model.config.extra["quantization_config"] = {"quant_method": METHOD, "scheme": scheme}
    return len(chosen)


def input_ranges(model: Any, chosen: dict[str, Any], run: Callable[[], Any]) -> dict[str, tuple[float, float]]:
    """The least and the largest number that enters each linear layer while the model runs."""
    found: dict[str, tuple[float, float]] = {}

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            x = inputs[0].array
            least, most = found.get(path, (0.0, 0.0))
            found[path] = min(least, float(x.min())), max(most, float(x.max()))

        return hook

    linear = {path: module for path, module in chosen.items() if isinstance(module, nn.Linear)}
    hooks = [module.register_forward_pre_hook(note(path)) for path, module in linear.items()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return found
