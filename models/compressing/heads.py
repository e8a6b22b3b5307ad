"""Pruning attention heads: which ones the loss hardly needs, and a checkpoint without them.

Put a gate ξ = 1 on each head's context, before attention.output.dense. How much the loss hangs on it is

    I_h = E_x |∂L(x)/∂ξ_h| = E_x |Σ ctx_h · ∂L(x)/∂ctx_h|         absolute for each example, each layer over its L2 norm

Michel, Levy and Neubig (2019), "Are Sixteen Heads Really Better than One?", https://arxiv.org/abs/1905.10650, section 4.1.
A pruned head's rows leave query, key and value, and its columns attention.output.dense: fewer products, a smaller file.
Read before: models/bert/model.py. Read next: command.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, nn

from ..bert.config import BertConfig
from ..errors import BadInput, listing

STEP = 0.1  # of all heads go at a time; then the others are measured again


def gate_gradients(ctx: Any, grad: Any, heads: int) -> Any:
    """∂L/∂ξ of each example's heads: (B, ..., A d) twice -> (B, A)."""
    return (ctx * grad).reshape(len(ctx), -1, heads, ctx.shape[-1] // heads).sum((1, 3))


def importance(model: Any, losses: Iterable[tuple[Any, Any]]) -> list[Any]:
    """I_h of each layer's heads, (A,).

    losses: pairs of a function that computes a batch's loss, and for each example ∂L(x)/∂loss (B,): a mean over B gives B.
    """
    layers = model_layers(model)
    contexts: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        inputs[0].retain_grad()
        contexts.append(inputs[0])

    learning = {name: p.requires_grad for name, p in model.named_parameters()}
    for p in model.parameters():
        p.requires_grad_(False)
    encoder(model).embeddings.LayerNorm.weight.requires_grad_(True)  # all contexts depend on it, no other gradient is needed
    hooks = [layer.attention.output.dense.register_forward_pre_hook(keep) for layer in layers]
    total: list[Any] = [0.0] * len(layers)
    try:
        model.eval()
        for loss, scale in losses:
            contexts.clear()
            loss().backward()
            for i, (layer, ctx) in enumerate(zip(layers, contexts, strict=True)):
                assert ctx.grad is not None
                B, W = len(scale), ctx.shape[-1]  # a choice has several texts per example
                x, g = (t.detach().numpy().astype(np.float64).reshape(B, -1, W) for t in (ctx, ctx.grad))
                total[i] = total[i] + (np.abs(gate_gradients(x, g, layer.attention.self.heads)) * scale[:, None]).sum(0)
            model.zero_grad()
    finally:
        for hook in hooks:
            hook.remove()
        for name, p in model.named_parameters():
            p.requires_grad_(learning[name])
    return [scores / max(float(np.linalg.norm(scores)), 1e-30) for scores in total]


def encoder(model: Any) -> Any:
    """The BertModel within a model with a head, or the model itself."""
    return getattr(model, "bert", model)


def model_layers(model: Any) -> list[Any]:
    """The encoder's layers."""
    return list(encoder(model).encoder.layer)


def standing(config: BertConfig, layer: int) -> list[int]:
    """The numbers of the heads that a layer still has."""
    gone = (config.extra.get("pruned_heads") or {}).get(layer, ())
    return [h for h in range(config.num_attention_heads) if h not in gone]


def least(scores: Sequence[Any], n: int) -> list[tuple[int, int]]:
    """The n lowest (layer, place) of scores [(A,), ...], but never the last of a layer; BadInput if that leaves too few."""
    free = sum(len(row) - 1 for row in scores)
    if n > free:
        raise BadInput(f"{n} heads cannot go: each of the {len(scores)} layers keeps one, so at most {free} can")
    left, chosen = [len(row) for row in scores], []
    for _, layer, place in sorted((value, i, j) for i, row in enumerate(scores) for j, value in enumerate(row)):
        if len(chosen) < n and left[layer] > 1:
            left[layer] -= 1
            chosen.append((layer, place))
    return chosen


def prune(model: Any, heads: Iterable[tuple[int, int]]) -> None:
    """Take these heads, (layer, number in the original model), out of the model."""
    config, gone = model.config, dict(model.config.extra.get("pruned_heads") or {})
    for layer, head in heads:
        gone[layer] = sorted({*gone.get(layer, ()), head})
    try:
        smaller = BertConfig.from_dict({**config.to_dict(), "pruned_heads": gone})
    except ValueError as error:
        raise BadInput(str(error)) from error
    d = config.hidden_size // config.num_attention_heads
    for i, layer in enumerate(model_layers(model)):
        there, after = standing(config, i), standing(smaller, i)
        if there == after:
            continue
        kept = np.concatenate([np.arange(d) + d * there.index(h) for h in after])
        attention = layer.attention.self
        for name in ("query", "key", "value"):
            setattr(attention, name, narrowed(getattr(attention, name), kept, 0))
        layer.attention.output.dense = narrowed(layer.attention.output.dense, kept, 1)
        attention.heads = len(after)
    model.config = encoder(model).config = smaller


def narrowed(linear: nn.Linear, kept: Any, dim: int) -> nn.Linear:
    """The same layer with these of its outputs (dim 0) or inputs (dim 1)."""
    weight, bias = linear.weight.detach(), linear.bias
    new = nn.Linear(len(kept) if dim else linear.in_features, linear.out_features if dim else len(kept))
    index = minitorch.tensor(kept).to(weight.device)
    with minitorch.no_grad():
        new.weight = nn.Parameter(minitorch.index_select(weight, dim, index))
        if bias is not None:
            new.bias = nn.Parameter(bias.detach() if dim else minitorch.index_select(bias.detach(), 0, index))
    return new


def prune_share(model: Any, share: float, measure: Any, step: float = STEP) -> list[tuple[int, int]]:
    """Take out a share of the original heads: those that ``measure(model)`` scores lowest, measured again after each step."""
    config = model.config
    everything = config.num_hidden_layers * config.num_attention_heads
    wanted = round(share * everything) - sum(len(h) for h in (config.extra.get("pruned_heads") or {}).values())
    if wanted < 1:
        raise BadInput(f"--heads {share:g} of {everything} heads: no head would go")
    if wanted > (most := sum(config.heads_of(i) - 1 for i in range(config.num_hidden_layers))):
        raise BadInput(f"--heads {share:g}: {wanted} heads would go, but each layer keeps one, so at most {most} can")
    taken: list[tuple[int, int]] = []
    while len(taken) < wanted:
        n = min(wanted - len(taken), max(1, round(step * everything)))
        some = [(layer, standing(model.config, layer)[place]) for layer, place in least(measure(model), n)]
        prune(model, some)
        taken += some
    return taken


def chosen_heads(text: str, config: BertConfig) -> list[tuple[int, int]]:
    """ "0:3,0:5,2:1": heads by layer and number; BadInput for one that is not there."""
    L, A = config.num_hidden_layers, config.num_attention_heads
    found = []
    for part in text.split(","):
        layer, colon, head = part.strip().partition(":")
        if not (colon and layer.isdecimal() and head.isdecimal()):
            raise BadInput(f"--heads {text}: give a share, such as 0.3, or heads as LAYER:HEAD,LAYER:HEAD, such as 0:3,2:1")
        if int(layer) >= L or int(head) >= A:
            raise BadInput(f"--heads {part.strip()}: there is no such head; layers are 0 to {L - 1}, heads 0 to {A - 1}")
        if int(head) not in (there := standing(config, int(layer))):
            raise BadInput(f"--heads {part.strip()}: this head is gone already; layer {layer} has {listing(map(str, there))}")
        found.append((int(layer), int(head)))
    for layer in {i for i, _ in found}:
        if len({h for i, h in found if i == layer}) == config.heads_of(layer):
            raise BadInput(f"--heads {text}: these are all heads of layer {layer}; a layer needs one")
    return found
