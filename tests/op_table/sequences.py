"""The entries of convolution, pooling, batch norm, recurrent cells and bags: ops/convolution.py, pooling.py, recurrent.py, ..."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from . import Call, Constant, Op, call
from .nn import options
from .strategies import array, integers

some = st.integers(1, 3)


def images(draw: Any, dims: int, channels: int, least: int, **how: Any) -> np.ndarray:
    """One image or a batch, now and then an empty one."""
    sizes = tuple(draw(st.integers(least, least + 3)) for _ in range(dims))
    batch = draw(st.sampled_from([(), (1,), (2,), (0,)]))
    return draw(array((*batch, channels, *sizes), **how))  # type: ignore[no-any-return]


@st.composite
def convolutions(draw: Any, dims: int) -> Call:
    """Groups, strides, padding as numbers and words, dilation; with and without bias."""
    groups, inside, outside = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(some)
    kernel = tuple(draw(some) for _ in range(dims))
    named = options(draw, stride=[1, 2, (2,) * dims], padding=[0, 1, "same", "valid"], dilation=[1, 2])
    if named.get("padding") == "same":
        named.pop("stride", None)
    if groups > 1 or draw(st.booleans()):
        named["groups"] = groups
    x = images(draw, dims, groups * inside, 1 + named.get("dilation", 1) * (max(kernel) - 1))
    weight = draw(array((groups * outside, inside, *kernel)))
    return call(x, weight, *([draw(array((groups * outside,)))] if draw(st.booleans()) else []), **named)


@st.composite
def poolings(draw: Any, dims: int, largest: bool, most: int = 3) -> Call:
    """Windows of one size per dimension, strides, padding up to half of them, ceil_mode."""
    kernel = tuple(draw(st.integers(1, most)) for _ in range(dims))
    named = options(draw, stride=[1, 2, 3], ceil_mode=[True, False])
    if draw(st.booleans()):
        named["padding"] = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    named |= options(draw, **({"dilation": [1, 2]} if largest else {"count_include_pad": [True, False]}))
    least = 1 + named.get("dilation", 1) * (max(kernel) - 1)
    return call(images(draw, dims, draw(some), least, **({"distinct": True} if largest else {})), kernel, **named)


@st.composite
def adaptive(draw: Any, dims: int, **how: Any) -> Call:
    """Fewer and more windows than elements."""
    size = draw(st.sampled_from([1, 2, 3, 5] if dims == 1 else [1, 2, (1, 3), (None, 2), (5, 4)]))
    return call(images(draw, dims, draw(some), 2, **how), size)


@st.composite
def batches(draw: Any) -> Call:
    """In training, with at least three numbers per channel, and in evaluation.

    Both weight and bias, or none: with a bias alone torch has no second gradient.
    """
    channels, rest = draw(some), tuple(draw(some) for _ in range(draw(st.integers(0, 2))))
    x = draw(array((draw(st.integers(3, 4)), channels, *rest)))
    training = draw(st.booleans())
    running: Any = (None, None)
    if not training:  # contiguous: torch's gradient reads the running variance, and the weight, as if they were
        running = [Constant(draw(array((channels,), low, 2, strided=False))) for low in (-2, 0.5)]
    named = {name: draw(array((channels,), strided=False)) for name in ("weight", "bias")} if draw(st.booleans()) else {}
    return call(x, *running, **named, training=training, eps=draw(st.sampled_from([0.1, 1.0])))


@st.composite
def cells(draw: Any, gates: int, away: bool = False) -> Call:
    """A batch of inputs and states, weights, perhaps biases. away: all sums positive (relu's kink)."""
    batch, inside, size = draw(some), draw(some), draw(some)
    low = 0.1 if away else -2
    x, h = draw(array((batch, inside), low, 2)), draw(array((batch, size), low, 2))
    weights = draw(array((gates * size, inside), low, 2)), draw(array((gates * size, size), low, 2))
    biases = [draw(array((gates * size,), low, 2)) for _ in range(2)] if draw(st.booleans()) else []
    return call(x, (h, draw(array((batch, size)))) if gates == 4 else h, *weights, *biases)


@st.composite
def bags(draw: Any) -> Call:
    """Bags as rows of a table and as stretches of a list, empty ones too; a row that does not count; factors of a sum.

    With "max" no row is taken twice in a bag, where the gradient's place would be a matter of taste, and none is a strided one.
    """
    rows, mode = draw(st.integers(3, 5)), draw(st.sampled_from(["sum", "mean", "max"]))
    weight = draw(array((rows, draw(some)), distinct=True))
    named: dict[str, Any] = {"mode": mode}
    index = draw(integers((draw(some), draw(some)), 0, rows))
    if mode == "max":
        index = np.argsort(np.cos(np.arange(index.shape[0] * rows)).reshape(-1, rows) + index[:, :1], axis=1)[:, : index.shape[1]]
    if draw(st.booleans()):
        named["offsets"] = np.array([0, index.shape[1], index.shape[1]])[: 1 + draw(st.integers(0, 2))]
        index = index[:1].reshape(-1)
    if mode == "sum" and draw(st.booleans()):
        named["per_sample_weights"] = draw(array(index.shape))
    return call(index, weight, **named)


OPS = [
    Op("nn.functional.conv1d", convolutions(1)),
    Op("nn.functional.conv2d", convolutions(2)),
    Op("nn.functional.max_pool1d", poolings(1, largest=True)),
    Op("nn.functional.max_pool2d", poolings(2, largest=True)),
    Op("nn.functional.avg_pool1d", poolings(1, largest=False)),
    Op("nn.functional.avg_pool2d", poolings(2, largest=False)),
    Op("nn.functional.adaptive_avg_pool1d", adaptive(1)),
    Op("nn.functional.adaptive_avg_pool2d", adaptive(2)),
    Op("nn.functional.adaptive_max_pool1d", adaptive(1, distinct=True)),
    Op("nn.functional.adaptive_max_pool2d", adaptive(2, distinct=True)),
    Op("nn.functional.batch_norm", batches()),
    Op("nn.functional.embedding_bag", bags(), second=False),  # torch has none; ours is checked in test_sequences.py
    Op("lstm_cell", cells(4)),
    Op("gru_cell", cells(3)),
    Op("rnn_tanh_cell", cells(1)),
    Op("rnn_relu_cell", cells(1, away=True)),
]
