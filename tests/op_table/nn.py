"""The entries of ops/nn.py and nn/functional.py: activations, normalisation, losses, similarity, padding, attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from . import Call, Constant, Op, call
from .strategies import array, booleans, broadcastable, integers, one_dim, reduction, shapes, unary

REDUCTION = ["none", "mean", "sum"]
side = st.integers(0, 3)
some = st.integers(1, 3)


def options(draw: Any, **choices: Any) -> dict[str, Any]:
    """Each keyword argument, or left out."""
    return {name: draw(st.sampled_from(values)) for name, values in choices.items() if draw(st.booleans())}


@st.composite
def linears(draw: Any) -> Call:
    """linear(x, W) and linear(x, W, b)."""
    inside, outside = draw(side), draw(side)
    x = draw(array((*draw(shapes(max_dims=2, max_side=3)), inside)))
    weight = draw(array((outside, inside)))
    return call(x, weight, draw(array((outside,)))) if draw(st.booleans()) else call(x, weight)


@st.composite
def residuals(draw: Any) -> Call:
    """dropout_add_layer_norm without dropout."""
    shape, size = draw(shapes(max_dims=2, max_side=3)), draw(st.integers(2, 4))
    x, residual = (draw(array((*shape, size))) for _ in range(2))
    weight, bias = (draw(array((size,))) for _ in range(2))
    return call(x, residual, weight, bias, 0.0, draw(st.sampled_from([0.1, 1.0])))


@st.composite
def normalizations(draw: Any, bias: bool) -> Call:
    """layer_norm and rms_norm over one or two last axes; eps large enough for central differences.

    Rows have two numbers at least: in a row of one, torch's gradients are rounding errors where ours are 0.
    """
    shape = (*draw(shapes(max_dims=1, min_side=1)), draw(st.integers(2, 4)))
    x = draw(array(draw(shapes(max_dims=2, max_side=3)) + shape))
    named = {name: draw(array(shape)) for name in ("weight", "bias")[: draw(st.integers(0, 1 + bias))]}
    return call(x, shape, **named, eps=draw(st.sampled_from([0.1, 1.0])))


@st.composite
def glus(draw: Any) -> Call:
    """glu halves an even dimension."""
    shape = list(draw(shapes(min_dims=1, max_side=2)))
    dim = draw(one_dim(len(shape)))
    shape[dim] *= 2
    return call(draw(array(tuple(shape))), dim)


@st.composite
def lookups(draw: Any) -> Call:
    """embedding(index, weight), with rows taken several times. (A padding row's gradient is 0 by decree, not by calculus.)"""
    count = draw(st.integers(1, 4))
    index = draw(integers(shapes(max_dims=2, max_side=3), 0, count))
    weight = draw(array((count, draw(side))))
    return call(index, weight)


@st.composite
def classifications(draw: Any, soft: bool) -> Call:
    """Scores (C), (N, C), (N, C, d1) and class numbers, some of them ignored, or (soft) probabilities too."""
    classes, positions = draw(some), draw(shapes(max_dims=2, max_side=3))
    shape = (*positions[:1], classes, *positions[1:])
    x = draw(array(shape))
    named = options(draw, reduction=REDUCTION)
    if draw(st.booleans()):
        named["weight"] = Constant(draw(array((classes,), 0.2, 2)))
    if soft:
        named |= options(draw, label_smoothing=[0.1, 1.0])
        if draw(st.booleans()) and x.size:
            return call(x, draw(array(shape, 0, 1)), **named)
    target = draw(integers(positions, 0, classes))
    if target.size == 0:
        named["reduction"] = "sum"  # the mean of nothing is nan
    if target.size > 1:
        target = np.asarray(np.where(np.arange(target.size).reshape(target.shape) % 3 == 1, -100, target))
    return call(x, target, **named)


@st.composite
def losses(draw: Any, target: tuple[float, float] = (-3, 3), apart: bool = False, input: Any = (-3, 3), **choices: Any) -> Call:
    """A loss of two tensors of one shape.  apart: their difference stays away from the kinks at 0, ±½ and ±1."""
    shape = draw(shapes(min_side=1))
    y = draw(array(shape, *target))
    if apart:
        x = np.asarray(y + draw(array(shape, -3, 3, avoid=[0, 0.5, -0.5, 1, -1])))
        return call(x, y, **options(draw, reduction=REDUCTION, **choices))
    return call(draw(array(shape, *input)), y, **options(draw, reduction=REDUCTION, **choices))


@st.composite
def weighted_bce(draw: Any) -> Call:
    """binary_cross_entropy_with_logits with both weights."""
    drawn = draw(losses((0, 1)))
    shape = drawn.args[0].shape
    named = {name: Constant(draw(array(shape[-1:], 0.2, 2))) for name in ("weight", "pos_weight") if draw(st.booleans())}
    return call(*drawn.args, **drawn.kwargs, **named)


@st.composite
def similarities(draw: Any) -> Call:
    """cosine_similarity of operands that broadcast, along one dimension of the result."""
    a, b = draw(broadcastable(2))
    ndim = max(len(a), len(b))
    if ndim == 0:
        a = b = (3,)
    x, y = draw(array(a, 0.2, 3)), draw(array(b, -3, -0.2))
    return call(x, y, **options(draw, dim=range(-max(ndim, 1), max(ndim, 1)))) if ndim > 1 else call(x, y, dim=-1)


@st.composite
def classes(draw: Any) -> Call:
    """one_hot."""
    return call(draw(integers(shapes(max_dims=2), 0, 4)), draw(st.integers(4, 6)))


@st.composite
def pads(draw: Any) -> Call:
    """constant: any widths that leave something, the negative ones too; the other modes pad the last one or two dimensions."""
    mode = draw(st.sampled_from(["constant", "constant", "reflect", "replicate", "circular"]))
    if mode == "constant":
        x = draw(array(shapes()))
        dims = draw(st.integers(0, x.ndim))
        widths = [draw(st.integers(-(n // 2), 2)) for n in x.shape[::-1][:dims] for _ in "ab"]
        return call(x, tuple(widths), **options(draw, value=[0.0, 1.5]))
    dims = draw(st.integers(1, 2))
    x = draw(array(shapes(min_dims=dims + 1, max_dims=dims + 2, min_side=2)))
    return call(x, tuple(draw(st.integers(0, 1)) for _ in range(2 * dims)), mode=mode)


@st.composite
def attentions(draw: Any) -> Call:
    """Queries, keys and values; causal, or with a mask of either kind; a query that sees nothing gives 0."""
    batch = draw(shapes(max_dims=2, min_side=1, max_side=2))
    L, S, E = draw(some), draw(some), draw(some)
    q, k, v = draw(array((*batch, L, E))), draw(array((*batch, S, E))), draw(array((*batch, S, draw(some))))
    kind = draw(st.sampled_from(["free", "causal", "bool", "float"]))
    mask = {
        "causal": {"is_causal": True},
        "bool": {"attn_mask": draw(booleans((L, S)))},
        "float": {"attn_mask": draw(array((L, S)))},
    }
    return call(q, k, v, **mask.get(kind, {}), **options(draw, scale=[0.5, 1 / math.sqrt(2)]))


def always(strategy: st.SearchStrategy[Call], **named: Any) -> st.SearchStrategy[Call]:
    """The same calls, with these arguments."""
    return strategy.map(lambda drawn: Call(drawn.args, {**drawn.kwargs, **named}))


EXACT = ("float64",)  # the gradient of a direction along itself is 0: in fewer digits only rounding is left to compare

along = reduction(none=False, tuples=False, keepdim=False)


def F(torch: Any) -> Any:
    """PyTorch's functions."""
    return torch.nn.functional


OPS = [
    Op("nn.functional.linear", linears()),
    Op("relu", unary(avoid=[0]), reference=lambda x: np.maximum(x, 0), covers=["nn.functional.relu"]),
    Op("nn.functional.gelu", unary(approximate=["none", "tanh"])),
    Op("nn.functional.linear_gelu", linears(), torch=lambda torch: lambda *a: F(torch).gelu(F(torch).linear(*a))),
    Op("nn.functional.silu", unary(), reference=lambda x: x / (1 + np.exp(-x))),
    Op("nn.functional.softplus", unary(avoid=[1], beta=[1, 2], threshold=[20])),
    Op("nn.functional.logsigmoid", unary(), reference=lambda x: -np.log1p(np.exp(-x))),
    Op("nn.functional.leaky_relu", unary(avoid=[0], negative_slope=[0.1, -0.5])),
    Op("nn.functional.elu", unary(avoid=[0], alpha=[0.5, 2.0])),
    Op("nn.functional.mish", unary()),
    Op("nn.functional.glu", glus()),
    Op("softmax", along, covers=["nn.functional.softmax"]),
    Op("log_softmax", along, covers=["nn.functional.log_softmax"]),
    Op("layer_norm", normalizations(bias=True), torch="nn.functional.layer_norm", covers=["nn.functional.layer_norm"]),
    Op(
        "nn.functional.dropout_add_layer_norm",
        residuals(),
        dtypes=("float32", "float64"),  # of float16 PyTorch rounds the sum
        torch=lambda torch: lambda x, y, w, b, p, eps: F(torch).layer_norm(x + y, (x.shape[-1],), w, b, eps),
    ),
    Op("rms_norm", normalizations(bias=False), torch="nn.functional.rms_norm", covers=["nn.functional.rms_norm"]),
    Op("nn.functional.dropout", always(unary(), p=1.0), reference=lambda x, p: 0 * x),
    Op("nn.functional.embedding", lookups()),
    Op("nn.functional.cross_entropy", classifications(soft=True)),
    Op("nn.functional.nll_loss", classifications(soft=False)),
    Op("nn.functional.mse_loss", losses()),
    Op("nn.functional.l1_loss", losses(apart=True)),
    Op("nn.functional.huber_loss", losses(apart=True, delta=[0.5, 1.0])),
    Op("nn.functional.smooth_l1_loss", losses(apart=True, beta=[0.5, 1.0])),
    Op("nn.functional.binary_cross_entropy", losses((0.6, 0.9), input=(0.1, 0.4))),
    Op("nn.functional.binary_cross_entropy_with_logits", weighted_bce()),
    Op("nn.functional.kl_div", losses((0.1, 1), log_target=[False, True])),
    Op("xlogy", losses((0.1, 3)).map(lambda drawn: Call(drawn.args))),
    Op("nn.functional.normalize", always(unary(0.2, 3, shape=shapes(min_dims=2), p=[1.0, 2.0, 3.0]), dim=-1), dtypes=EXACT),
    Op("nn.functional.cosine_similarity", similarities(), dtypes=EXACT),
    Op("nn.functional.pairwise_distance", similarities().map(lambda drawn: Call(drawn.args))),
    Op("nn.functional.cosine_embedding_loss", losses((0.2, 3), input=(-3, -0.2)).map(lambda c: embeddings(c)), dtypes=EXACT),
    Op("nn.functional.one_hot", classes(), differentiable=False),
    Op("nn.functional.pad", pads()),
    Op("nn.functional.scaled_dot_product_attention", attentions()),
]


def embeddings(drawn: Call) -> Call:
    """Two stacks of vectors and what they should be: alike (1) or not (-1)."""
    x, y = (np.atleast_2d(a) if a.ndim < 3 else a[0] for a in drawn.args)
    return Call((x, y, np.where(np.arange(len(x)) % 2, 1, -1)), drawn.kwargs)
