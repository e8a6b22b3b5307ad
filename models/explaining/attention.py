"""Attention: maps by layer and head, rollout, and maps by the importance of their heads.

    rollout     R = Ã_L ... Ã_2 Ã_1,  Ã = ½A + ½I, rows normalised, heads averaged   (Abnar and Zuidema 2020,
                                                                                     https://arxiv.org/abs/2005.00928, equation 2)
    importance  I_h = |∂f/∂ξ_h| = |Σ context_h · ∂f/∂context_h|, ξ_h = 1 a factor of head h   (Michel, Levy and Neubig 2019,
                                                                                     https://arxiv.org/abs/1905.10650, equation 2)

An attention weight says where a head looked, not what the answer hangs on (Jain and Wallace 2019): compare with occlusion.
Read before: subject.py, models/bert/model.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minitorch.autograd import grad

from ..adapting.prompt import body, plain_body
from .subject import Array, Subject


def maps(subject: Subject) -> list[Array]:
    """Of each layer its heads' weights (A, S, S): row i is where place i looks. Virtual tokens of adapters are left out."""
    S = len(subject.ids)
    return [table.cpu().numpy()[0, :, -S:, -S:] for table in subject.encoded(output_attentions=True).attentions]


def rollout(layers: Sequence[Array]) -> Array:
    """How much of each place's first state is in each place's last one: maps (S, S) of layers 1 to L -> (S, S)."""
    R = np.eye(layers[0].shape[-1])
    for A in layers:
        A = (A / A.sum(-1, keepdims=True) + np.eye(len(A))) / 2
        R = A @ R
    return R


def head_gradients(context: Array, gradient: Array, heads: int) -> Array:
    """∂f/∂ξ of each head, of contexts (S, A·d) and their gradients: (A,)"""
    return (context * gradient).reshape(-1, heads, context.shape[-1] // heads).sum((0, 2))  # type: ignore[no-any-return]


def importance(subject: Subject) -> list[Array]:
    """|∂f/∂ξ| of each layer's heads, (A,)."""
    layers = attention_layers(subject.model)
    contexts: list[Any] = []
    handles = [out.register_forward_pre_hook(lambda _, args: contexts.append(args[0])) for out, _ in layers]
    try:
        f = subject.f(subject.embeddings(subject.ids[None]).detach().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    found = grad(f.sum(), contexts)
    return [
        np.abs(head_gradients(c.detach().cpu().numpy()[0], g.cpu().numpy()[0], heads))
        for c, g, (_, heads) in zip(contexts, found, layers, strict=True)
    ]


def attention_layers(model: Any) -> list[tuple[Any, int]]:
    """Of each layer the projection that reads all heads' contexts, and how many heads there are."""
    bare = plain_body(body(model)[1])
    if hasattr(bare, "h"):
        return [(block.attn.c_proj, block.attn.heads) for block in bare.h]
    return [(layer.attention.output.dense, layer.attention.self.heads) for layer in bare.encoder.layer]


def looked_at(subject: Subject, table: Array) -> Array:
    """How much the places that the answer is read at look at each word: (S, S) -> (W,)"""
    return subject.per_word(table[subject.at].mean(0))


def by_importance(subject: Subject) -> Array:
    """Σ I_h A_h / Σ I over the heads of all layers, (W,); I divided by its norm in the layer."""
    weights = [I / max(float(np.linalg.norm(I)), 1e-30) for I in importance(subject)]  # each layer counts alike
    total = sum(np.tensordot(I, A, 1) for I, A in zip(weights, maps(subject), strict=True))
    return looked_at(subject, total / max(sum(I.sum() for I in weights), 1e-30))


def shape(model: Any) -> list[int]:
    """How many heads each layer has."""
    return [heads for _, heads in attention_layers(model)]
