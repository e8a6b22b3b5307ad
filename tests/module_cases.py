"""Modules to compare with torch.nn: how to build each, what to feed it; and the numbers that come out.

Used by test_nn_modules.py and test_transformer.py (against PyTorch itself where it is installed, and against the numbers it
gave before, frozen/nn.npz) and by frozen/make_nn.py, which stores them. All in float64, without dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FROZEN = Path(__file__).parent / "frozen" / "nn.npz"


@dataclass
class Case:
    """``build(nn)`` makes the module from minitorch.nn or torch.nn; ``inputs`` and ``options`` are its arguments."""

    build: Callable[[Any], Any]
    inputs: list[np.ndarray]
    options: dict[str, Any] = field(default_factory=dict)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def integers(high: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, high, *shape]).integers(0, high, shape)


def hidden_after(*lengths: int, size: int) -> np.ndarray:
    """A padding mask: True behind each sequence's length."""
    return np.arange(size) >= np.array(lengths)[:, None]


def causal(size: int) -> np.ndarray:
    return np.triu(np.ones((size, size), dtype=bool), 1)


def additive(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, -np.inf, 0.0)


def _layers() -> dict[str, Case]:
    x = normal(4, 6)
    image = normal(2, 3, 4)
    square = normal(2, 2, 5, 4)
    words = integers(7, 3, 5)
    simple = {
        "ReLU": {}, "SiLU": {}, "GELU": {}, "GELU tanh": {"approximate": "tanh"}, "Tanh": {}, "Sigmoid": {}, "Softplus": {},
        "Softplus sharp": {"beta": 3.0, "threshold": 2.0}, "LogSigmoid": {}, "LeakyReLU": {}, "ELU": {"alpha": 0.7}, "Mish": {},
        "GLU": {}, "Softmax": {"dim": -1}, "LogSoftmax": {"dim": 0}, "Identity": {}, "Dropout": {"p": 0.0}, "Flatten": {},
    }  # fmt: skip
    cases = {
        name: Case(lambda nn, name=name, kwargs=kwargs: getattr(nn, name.split()[0])(**kwargs), [image])
        for name, kwargs in simple.items()
    }
    return cases | {
        "Linear": Case(lambda nn: nn.Linear(6, 3), [x]),
        "Linear 3-d without bias": Case(lambda nn: nn.Linear(4, 3, bias=False), [image]),
        "Embedding": Case(lambda nn: nn.Embedding(7, 4), [words]),
        "Embedding padded": Case(lambda nn: nn.Embedding(7, 4, padding_idx=2), [words]),
        "Embedding by frequency": Case(lambda nn: nn.Embedding(7, 4, scale_grad_by_freq=True), [words]),
        "LayerNorm": Case(lambda nn: nn.LayerNorm(6), [x]),
        "LayerNorm 2-d": Case(lambda nn: nn.LayerNorm([3, 4], eps=1e-3), [image]),
        "LayerNorm without bias": Case(lambda nn: nn.LayerNorm(6, bias=False), [x]),
        "LayerNorm plain": Case(lambda nn: nn.LayerNorm(6, elementwise_affine=False), [x]),
        "RMSNorm": Case(lambda nn: nn.RMSNorm(6), [x]),
        "RMSNorm eps": Case(lambda nn: nn.RMSNorm((3, 4), eps=1e-3), [image]),
        "Sequential": Case(lambda nn: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 2)), [x]),
        "L1Loss": Case(lambda nn: nn.L1Loss(), [x, normal(4, 6, seed=1)]),
        "MSELoss": Case(lambda nn: nn.MSELoss(reduction="none"), [x, normal(4, 6, seed=1)]),
        "HuberLoss": Case(lambda nn: nn.HuberLoss("sum", 0.6), [x, normal(4, 6, seed=1)]),
        "SmoothL1Loss": Case(lambda nn: nn.SmoothL1Loss(beta=0.5), [x, normal(4, 6, seed=1)]),
        "CrossEntropyLoss": Case(lambda nn: nn.CrossEntropyLoss(), [x, integers(6, 4)]),
        "CrossEntropyLoss ignoring": Case(
            lambda nn: nn.CrossEntropyLoss(ignore_index=1, label_smoothing=0.1), [image, np.array([[0, 1, 2, 1], [2, 2, 0, 1]])]
        ),
        "NLLLoss": Case(lambda nn: nn.NLLLoss(reduction="sum"), [x, integers(6, 4)]),
        "BCELoss": Case(lambda nn: nn.Sequential(nn.Sigmoid(), Fixed(nn, nn.BCELoss())), [x]),
        "BCEWithLogitsLoss": Case(lambda nn: nn.BCEWithLogitsLoss(), [x, np.abs(np.sin(x))]),
        "KLDivLoss": Case(lambda nn: nn.KLDivLoss(reduction="batchmean"), [x, np.abs(np.sin(x))]),
        "CosineEmbeddingLoss": Case(
            lambda nn: nn.CosineEmbeddingLoss(0.2), [x, normal(4, 6, seed=1), np.array([1, -1, -1, 1])]
        ),
        "CosineSimilarity": Case(lambda nn: nn.CosineSimilarity(), [x, normal(4, 6, seed=1)]),
        "Conv1d": Case(lambda nn: nn.Conv1d(3, 4, 2, stride=2, padding=1, dilation=2), [image]),
        "Conv1d same": Case(lambda nn: nn.Conv1d(3, 6, 4, padding="same", groups=3, bias=False), [image]),
        "Conv2d": Case(lambda nn: nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0)), [square]),
        **{
            f"Conv2d {mode}": Case(lambda nn, mode=mode: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode=mode), [square])
            for mode in ("reflect", "replicate", "circular")
        },
        "Conv1d same reflect": Case(lambda nn: nn.Conv1d(3, 2, 4, padding="same", padding_mode="reflect"), [image]),
        "MaxPool1d": Case(lambda nn: nn.MaxPool1d(3, 2, 1, ceil_mode=True), [image]),
        "MaxPool2d": Case(lambda nn: nn.MaxPool2d(2, 1, dilation=2), [square]),
        "AvgPool1d": Case(lambda nn: nn.AvgPool1d(3, 2, 1, count_include_pad=False), [image]),
        "AvgPool2d": Case(lambda nn: nn.AvgPool2d(2, divisor_override=3), [square]),
        "AdaptiveAvgPool1d": Case(lambda nn: nn.AdaptiveAvgPool1d(3), [image]),
        "AdaptiveAvgPool2d": Case(lambda nn: nn.AdaptiveAvgPool2d((1, None)), [square]),
        "AdaptiveMaxPool1d": Case(lambda nn: nn.AdaptiveMaxPool1d(3), [image]),
        "AdaptiveMaxPool2d": Case(lambda nn: nn.AdaptiveMaxPool2d(2), [square]),
        "BatchNorm1d": Case(lambda nn: nn.BatchNorm1d(6), [x]),
        "BatchNorm1d evaluated": Case(lambda nn: nn.BatchNorm1d(3, eps=0.1).eval(), [image]),
        "BatchNorm2d plain": Case(lambda nn: nn.BatchNorm2d(2, affine=False, track_running_stats=False).eval(), [square]),
        **{
            f"EmbeddingBag {mode}": Case(lambda nn, mode=mode: nn.EmbeddingBag(7, 4, mode=mode, padding_idx=2), [words])
            for mode in ("sum", "mean", "max")
        },
        "RNN": Case(lambda nn: nn.RNN(4, 5), [image]),
        "RNN relu": Case(lambda nn: nn.RNN(4, 5, 2, "relu", bias=False, bidirectional=True), [image]),
        "LSTM": Case(lambda nn: Flat(nn, nn.LSTM(4, 5, batch_first=True)), [image]),
        "LSTM deep": Case(lambda nn: Flat(nn, nn.LSTM(4, 3, 2, bidirectional=True)), [image]),
        "LSTM projected": Case(lambda nn: Flat(nn, nn.LSTM(4, 5, 2, proj_size=2)), [image]),
        "GRU": Case(lambda nn: nn.GRU(4, 5, 2, batch_first=True, bidirectional=True), [image]),
        "RNNCell": Case(lambda nn: nn.RNNCell(6, 3), [x]),
        "LSTMCell": Case(lambda nn: nn.LSTMCell(6, 3), [x]),
        "GRUCell": Case(lambda nn: nn.GRUCell(6, 3, bias=False), [x]),
    }  # fmt: skip


def Fixed(nn: Any, loss: Any) -> Any:
    """A loss against a target of its own, so that it can end a Sequential."""

    class WithTarget(nn.Module):
        def forward(self, input: Any) -> Any:
            return loss(input, input.detach() * 0 + 0.25)

    return WithTarget()


def Flat(nn: Any, lstm: Any) -> Any:
    """An LSTM whose output, h_n and c_n are one tuple."""

    class OneTuple(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = lstm

        def forward(self, input: Any) -> Any:
            output, states = self.lstm(input)
            return (output, *states)

    return OneTuple()


def _transformers() -> dict[str, Case]:
    x, y = normal(5, 3, 8), normal(6, 3, 8, seed=1)  # (L, B, E), (S, B, E)
    first, second = x.swapaxes(0, 1).copy(), y.swapaxes(0, 1).copy()  # batch first
    padding, memory_padding = hidden_after(5, 2, 4, size=5), hidden_after(1, 6, 3, size=6)
    cross = np.random.default_rng(5).random((5, 6)) < 0.4
    cross[:, 0] = False
    heads = np.random.default_rng(6).standard_normal((6, 5, 6))  # (B·H, L, S)
    attention: Any = lambda **kwargs: lambda nn: nn.MultiheadAttention(8, 2, **kwargs)  # noqa: E731

    def stack(order: str, **kwargs: Any) -> Callable[[Any], Any]:
        def build(nn: Any) -> Any:
            part = getattr(nn, f"Transformer{order}Layer")(8, 2, 12, dropout=0.0, **kwargs)
            extra = {"enable_nested_tensor": False} if order == "Encoder" else {}
            return getattr(nn, f"Transformer{order}")(part, 2, nn.LayerNorm(8), **extra)

        return build

    def layer(order: str, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        return lambda nn: getattr(nn, f"Transformer{order}Layer")(8, 2, 12, 0.0, *args, **kwargs)

    masks = {"tgt_mask": causal(5), "memory_mask": cross}
    masks |= {"tgt_key_padding_mask": padding, "memory_key_padding_mask": memory_padding}
    return {
        "attention to itself": Case(attention(), [x] * 3),
        "attention across": Case(attention(), [x, y, y]),
        "attention to three": Case(attention(batch_first=True), [first, second, second[::-1].copy()]),
        "attention without weights": Case(attention(), [x, y, y], {"need_weights": False}),
        "attention, each head": Case(attention(), [x, y, y], {"average_attn_weights": False}),
        "attention without bias": Case(attention(bias=False), [x] * 3),
        "attention kdim vdim": Case(attention(kdim=4, vdim=3), [x, normal(6, 3, 4), normal(6, 3, 3)]),
        "attention kdim without bias": Case(attention(kdim=4, bias=False), [x, normal(6, 3, 4), y], {"need_weights": False}),
        "attention bool mask": Case(attention(), [x, y, y], {"attn_mask": cross}),
        "attention float mask": Case(attention(), [x, y, y], {"attn_mask": normal(5, 6, seed=3)}),
        "attention mask a head": Case(attention(), [x, y, y], {"attn_mask": heads}),
        "attention padding": Case(attention(batch_first=True), [first, second, second], {"key_padding_mask": memory_padding}),
        "attention float padding": Case(attention(), [x, y, y], {"key_padding_mask": additive(memory_padding)}),
        "attention both masks": Case(attention(), [x, y, y], {"attn_mask": cross, "key_padding_mask": memory_padding}),
        "attention both, no weights": Case(
            attention(), [x, y, y], {"attn_mask": heads, "key_padding_mask": additive(memory_padding), "need_weights": False}
        ),
        "attention causal": Case(attention(), [x] * 3, {"attn_mask": causal(5), "is_causal": True, "need_weights": False}),
        "attention causal, weights": Case(attention(), [x] * 3, {"attn_mask": causal(5), "is_causal": True}),
        "attention added keys": Case(
            attention(add_bias_kv=True, add_zero_attn=True), [x, y, y], {"attn_mask": cross, "key_padding_mask": memory_padding}
        ),
        "attention unbatched": Case(attention(batch_first=True), [x[:, 0].copy()] * 3, {"key_padding_mask": padding[1]}),
        "attention unbatched, each head": Case(
            attention(), [x[:, 0].copy(), y[:, 0].copy(), y[:, 0].copy()], {"average_attn_weights": False, "attn_mask": cross}
        ),
        "encoder layer": Case(layer("Encoder"), [x]),
        "encoder layer norm first": Case(layer("Encoder", norm_first=True), [x]),
        "encoder layer gelu": Case(layer("Encoder", "gelu", 1e-3, batch_first=True), [first]),
        "encoder layer own activation": Case(lambda nn: nn.TransformerEncoderLayer(8, 2, 12, 0.0, nn.Tanh()), [x]),
        "encoder layer without bias": Case(layer("Encoder", bias=False, norm_first=True), [x]),
        "encoder layer masked": Case(
            layer("Encoder", batch_first=True), [first], {"src_mask": causal(5), "src_key_padding_mask": padding}
        ),
        "encoder layer causal": Case(layer("Encoder", norm_first=True), [x], {"src_mask": causal(5), "is_causal": True}),
        "encoder layer unbatched": Case(layer("Encoder"), [x[:, 0].copy()], {"src_mask": additive(causal(5))}),
        "encoder": Case(stack("Encoder", activation="gelu"), [x], {"mask": causal(5), "src_key_padding_mask": padding}),
        "encoder norm first": Case(
            stack("Encoder", norm_first=True, batch_first=True), [first], {"src_key_padding_mask": padding}
        ),
        "decoder layer": Case(layer("Decoder"), [x, y]),
        "decoder layer norm first": Case(layer("Decoder", "gelu", norm_first=True, bias=False), [x, y], masks),
        "decoder layer masked": Case(layer("Decoder", batch_first=True), [first, second], masks),
        "decoder layer causal": Case(layer("Decoder"), [x, y], {"tgt_mask": causal(5), "tgt_is_causal": True}),
        "decoder": Case(stack("Decoder"), [x, y], masks),
        "decoder norm first": Case(stack("Decoder", norm_first=True, batch_first=True), [first, second], masks),
    }  # fmt: skip


LAYERS = _layers()
TRANSFORMERS = _transformers()


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Numbers for parameters of these shapes: none of them 0 or 1, as biases and norms begin, so that every one matters."""
    return {name: normal(*shape, seed=i) * 0.4 + 0.1 for i, (name, shape) in enumerate(shapes.items())}


def run(case: Case, module: Any, tensor: Callable[[np.ndarray], Any], array: Callable[[Any], Any]) -> dict[str, np.ndarray]:
    """Outputs, and gradients of Σ cos(i)·outputᵢ, of a float64 module, with either library's ``tensor`` and ``array``.

    An array given twice becomes one tensor.
    """
    made = {id(x): tensor(x) for x in [*case.inputs, *(v for v in case.options.values() if isinstance(v, np.ndarray))]}
    inputs = {id(x): made[id(x)].requires_grad_() for x in case.inputs if x.dtype.kind == "f"}
    options = {name: made.get(id(value), value) for name, value in case.options.items()}
    outputs = module(*(made[id(x)] for x in case.inputs), **options)
    outputs = [y for y in (outputs if isinstance(outputs, tuple) else (outputs,)) if y is not None]
    loss = sum((y * tensor(np.cos(np.arange(array(y).size)).reshape(array(y).shape))).sum() for y in outputs)
    loss.backward()
    results = {f"output {i}": array(y) for i, y in enumerate(outputs)}
    results |= {f"input gradient {i}": array(x.grad) for i, x in enumerate(inputs.values())}
    return results | {f"gradient of {name}": array(p.grad) for name, p in module.named_parameters()}


def run_torch(case: Case) -> dict[str, np.ndarray]:
    """The case in PyTorch."""
    import torch

    module = case.build(torch.nn).double()
    state = weights({name: tuple(p.shape) for name, p in module.named_parameters()})
    module.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()}, strict=False)  # without buffers
    return run(case, module, lambda x: torch.from_numpy(x.copy()), lambda x: x.detach().numpy())


def run_minitorch(case: Case, device: str) -> dict[str, np.ndarray]:
    """The case in minitorch."""
    import minitorch

    module = case.build(minitorch.nn).double().to(device)
    state = weights({name: p.shape for name, p in module.named_parameters()})
    module.load_state_dict(state, strict=False)
    return run(case, module, lambda x: minitorch.tensor(x, device=device), lambda x: x.detach().cpu().numpy())


def flat(results: dict[str, np.ndarray]) -> np.ndarray:
    """All numbers in one row, as frozen/nn.npz has them: to nine digits, the last 24 bits being 0, which compress."""
    row = np.concatenate([x.ravel() for x in results.values()])
    return (row.view(np.int64) & ~0xFFFFFF).view(np.float64)


def frozen(name: str, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """PyTorch's numbers for a case, as frozen/make_nn.py stored them, under the names and in the shapes of ``like``."""
    with np.load(FROZEN) as file:
        numbers = file[name]
    ends = np.cumsum([x.size for x in like.values()])
    assert numbers.size == ends[-1]
    return {key: part.reshape(x.shape) for (key, x), part in zip(like.items(), np.split(numbers, ends[:-1]), strict=True)}


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], tolerance: float = 1e-10) -> None:
    """Same names, and numbers equal to the tolerance."""
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        np.testing.assert_allclose(ours[name], expected, rtol=tolerance, atol=tolerance, err_msg=name)


def all_cases() -> Iterator[tuple[str, Case]]:
    """Layers, losses, attention and transformers."""
    yield from LAYERS.items()
    yield from TRANSFORMERS.items()
