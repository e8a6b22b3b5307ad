"""Layers whose weights are whole numbers of eight bits, and how a checkpoint that has such weights is loaded.

    W ≈ s_w ∘ W_q      W_q in -127..127, s_w = max|w| / 127 of each row (output)
    x ≈ s_x (x_q - z)  x_q in 0..255, s_x = (max - min) / 255, z = round(-min / s_x); 0 lies in the range, and is exact
    y = s_x s_w ∘ (x_q - z) W_qᵀ + b

In the dynamic scheme each row of x, a token, has its own s_x and z, so that a text's answer does not depend on those that share
its batch (PyTorch's quantize_dynamic has one of each for the whole call).
A file holds W_q as "weight" (int8), s_w as "weight_scale", and in the static scheme s_x and z as "input_scale" and
"input_zero_point". The key quantization_config of config.json names the scheme.
Jacob et al. (2018), "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
https://arxiv.org/abs/1712.05877, section 2; per row: Krishnamoorthi (2018), https://arxiv.org/abs/1806.08342, section 3.
Read next: saved.py, models/compressing/int8.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, nn
from minitorch.devices import Array, array_module

from ..errors import quoted

METHOD = "minitorch-int8"
SCHEMES = ("weights", "dynamic", "static")
EXACT = 518  # of so many products of 255 · 127 the sum is below 2²⁴, up to where float32 has all whole numbers


def quantized(W: Array, rows: bool = True, most: float = 127) -> tuple[Array, Array]:
    """(W_q int8, s_w (out,)) of W (out, in): a scale per row, or one for all. most: 127.5 is PyTorch's own for one scale."""
    xp = array_module(W)
    largest = xp.abs(W).max(axis=1) if rows else xp.full(len(W), xp.abs(W).max())
    scale = xp.where(largest > 0, largest, 1) / most
    return xp.clip(xp.rint(W / scale[:, None]), -128, 127).astype(np.int8), scale.astype(np.float32)


def input_range(least: Any, most: Any, steps: int = 255) -> tuple[Any, Any]:
    """(s_x, z) of inputs from ``least`` to ``most``."""
    xp = array_module(least)
    least, most = xp.minimum(least, 0), xp.maximum(most, 0)
    scale = xp.where(most > least, most - least, 1) / np.float32(steps)
    return scale, xp.clip(xp.rint(-least / scale), 0, steps)


def product(x: Array, W: Array) -> Array:
    """x Wᵀ of whole numbers, exact: x (n, in) of float32, at most 255; W (out, in) of int8.

    NumPy has no fast product of integers (60 times slower than BLAS), so BLAS multiplies them as float32, in parts small
    enough for every sum to be exact.
    """
    parts = [x[:, i : i + EXACT] @ W[:, i : i + EXACT].astype(np.float32).T for i in range(0, W.shape[1], EXACT)]
    return parts[0] if len(parts) == 1 else sum(part.astype(np.int32) for part in parts)


class Int8Linear(nn.Module):
    """y = x Wᵀ + b with W of int8. It answers, and does not learn: where a gradient is asked for, inputs are not rounded."""

    def __init__(self, like: nn.Linear, scheme: str, static: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features, self.scheme, self.static = like.in_features, like.out_features, scheme, static
        self.register_buffer("weight", minitorch.zeros(*like.weight.shape, dtype=minitorch.int8))
        self.register_buffer("weight_scale", minitorch.ones(self.out_features))
        self.bias = like.bias  # the very one: a vocabulary's projection has it under two names
        if static:
            self.register_buffer("input_scale", minitorch.ones(1))
            self.register_buffer("input_zero_point", minitorch.zeros(1))

    weight: Tensor
    weight_scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.scheme == "weights" or (minitorch.is_grad_enabled() and x.requires_grad):
            y = x @ self.weight.astype(x.dtype).T * self.weight_scale
        else:
            y = Tensor(self.of_integers(x.array.reshape(-1, self.in_features)).reshape(*x.shape[:-1], self.out_features))
        return y if self.bias is None else y + self.bias

    def of_integers(self, x: Array) -> Array:
        """s_x s_w ∘ (x_q - z) W_qᵀ of x (n, in)."""
        xp = array_module(x)
        x = x.astype(np.float32, copy=False)
        if self.static:  # unless no calibration example came here
            s, z = self.input_scale.array, self.input_zero_point.array
        else:
            s, z = input_range(x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True))  # (n, 1)
        whole = x / s
        xp.clip(xp.rint(whole, out=whole), -z, 255 - z, out=whole)  # x_q - z, in one array: these are the largest ones of a call
        return (product(whole, self.weight.array) * (s * self.weight_scale.array)).astype(np.float32, copy=False)


class Int8Embedding(nn.Module):
    """A table of vectors of int8, one scale a row."""

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, like: nn.Embedding) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = like.num_embeddings, like.embedding_dim, like.padding_idx
        self.register_buffer("weight", minitorch.zeros(*like.weight.shape, dtype=minitorch.int8))
        self.register_buffer("weight_scale", minitorch.ones(like.num_embeddings))

    def forward(self, ids: Tensor) -> Tensor:
        rows = self.weight.array[ids.array].astype(np.float32)
        return Tensor(rows * self.weight_scale.array[ids.array][..., None])


def put_int8(model: Any, weights: dict[str, Tensor]) -> None:
    """Layers of int8 in the place of those whose weights are int8 in a file. The model is one that skip_init made."""
    config = model.config.extra.get("quantization_config")
    method, scheme = (config.get(key) if isinstance(config, dict) else None for key in ("quant_method", "scheme"))
    if method != METHOD or scheme not in SCHEMES:
        said = f'quantization_config has quant_method "{METHOD}" and a scheme of {", ".join(SCHEMES)}'
        raise ValueError(f"the weights are int8, of which only this kind can be read: {said}; it is {quoted(config)}")
    tied = model.tied if model.config.tie_word_embeddings else {}
    for path, module in list(model.named_modules()):
        name = f"{path}.weight_scale"
        if not isinstance(module, nn.Linear | nn.Embedding) or not (name in weights or tied.get(name) in weights):
            continue
        new = int8_of(module, scheme, f"{path}.input_scale" in weights)
        if getattr(new, "bias", None) is not None:
            nn.init.zeros_(new.bias)
        replace(model, path, new)
    if model.state_dict().keys() - model.tied.keys() - weights.keys():  # some start at random
        model.initialize()


def int8_of(module: nn.Module, scheme: str, static: bool) -> nn.Module:
    """The layer of int8 that takes this one's place."""
    return Int8Embedding(module) if isinstance(module, nn.Embedding) else Int8Linear(module, scheme, static)  # type: ignore[arg-type]


def replace(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put a layer at a path."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
    new.train(model.training)
