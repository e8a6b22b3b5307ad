"""Every kernel with its gradient, as a function of ``hand`` (the set of kernels to call) and of arrays; and the same in PyTorch.

A case's arrays follow from its shapes. ``outputs`` returns the result and the gradients of the differentiable arguments, in
order; ``torch`` returns the result alone, because the gradients are PyTorch's own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch.devices import array_module
from minitorch.kernels import as_array, philox


@dataclass
class Case:
    """One kernel: how to make its arguments for given sizes, run it, run PyTorch's, and count its work."""

    name: str
    make: Callable[..., tuple[list[Any], list[Any]]]  # random numbers, sizes -> differentiable arrays, constants
    outputs: Callable[..., list[Any]]  # hand, g, arrays, constants -> result, gradients
    torch: Callable[..., Any]  # torch, arrays, constants -> result
    operations: Callable[..., float]  # sizes -> floating-point operations; an exponential or root counts as one
    small: tuple[int, ...]
    large: tuple[int, ...]
    tolerance: float = 2e-5  # of the largest number of an output (or of 1)

    def arrays(self, sizes: tuple[int, ...]) -> tuple[list[Any], list[Any]]:
        """The arguments, the same at every call."""
        return self.make(np.random.default_rng([len(self.name), *sizes]), *sizes)


def normal(rng: Any, *shape: int) -> Any:
    """Normal float32 numbers."""
    return rng.standard_normal(shape, np.float32)


def gradient(y: Any) -> Any:
    """The gradient that arrives: some numbers of y's shape."""
    return _numbers(y.shape, y.dtype, array_module(y))


@functools.cache  # making them takes longer than most kernels
def _numbers(shape: tuple[int, ...], dtype: Any, xp: Any = np) -> Any:
    return xp.asarray(np.cos(np.arange(math.prod(shape), dtype=np.float64)).astype(dtype).reshape(shape))


# ------------------------------------------------------------------------------- with this engine's kernels


def run_gelu(kernel: str) -> Callable[..., list[Any]]:
    """Exact or tanh."""

    def outputs(hand: Any, x: Any) -> list[Any]:
        y, slope = getattr(hand, kernel)(x)
        return [y, gradient(y) * slope]

    return outputs


def run_softmax(hand: Any, x: Any, mask: Any = None) -> list[Any]:
    """Softmax of rows; with a mask, some rows may be hidden completely."""
    y = hand.softmax(x, (1,)) if mask is None else hand.softmax(x + mask, (1,), empty=True)
    return [y, hand.softmax_backward(gradient(y), y, (1,))]


def run_linear(hand: Any, x: Any, w: Any, b: Any) -> list[Any]:
    """x Wᵀ + b"""
    y = hand.linear(x, w, b)
    g = gradient(y)
    return [y, hand.matmul(g, w), hand.matmul(g.T, x), summed(hand.sum_rows(g), b)]


def run_bias_gelu(hand: Any, x: Any, b: Any) -> list[Any]:
    """gelu(x + b)"""
    y, kept = hand.bias_gelu(x, b, False)
    dx = hand.bias_gelu_backward(gradient(y), kept)
    return [y, dx, summed(hand.sum_rows(dx), b)]


def run_layer_norm(hand: Any, x: Any, w: Any, b: Any) -> list[Any]:
    """Rows."""
    y, mean, r = hand.layer_norm(x, w, b, (1,), 1e-12)
    dx, dw, db = hand.layer_norm_backward(gradient(y), x, w, mean, r, (1,))
    return [y, dx, summed(dw, w), summed(db, b)]


def run_add_norm(hand: Any, x: Any, residual: Any, w: Any, b: Any, keep: Any) -> list[Any]:
    """LayerNorm(residual + dropout(x))."""
    y, unit, r = hand.add_norm(x, residual, w, b, keep, SHARE, 1e-12)
    dx, dresidual, dw, db = hand.add_norm_backward(gradient(y), unit, w, r, keep, SHARE)
    return [y, dx, dresidual, summed(dw, w), summed(db, b)]


def run_attention(hand: Any, q: Any, k: Any, v: Any, mask: Any, keep: Any = None) -> list[Any]:
    """With dropout if there is a mask for it."""
    scale, share = q.shape[-1] ** -0.5, 1.0 if keep is None else SHARE
    y, weights = hand.attention(q, k, v, mask, keep, scale, share)
    return [y, *hand.attention_backward(gradient(y), q, k, v, mask, keep, scale, share, y, weights)]


def run_cross_entropy(hand: Any, x: Any, target: Any) -> list[Any]:
    """One loss per row."""
    loss, peak, s = hand.cross_entropy(x, target, 1)
    return [loss, hand.cross_entropy_backward(gradient(loss), x, target, 1, peak, s)]


def run_drop(hand: Any, x: Any, keep: Any) -> list[Any]:
    """With a given mask."""
    y = hand.drop(x, keep, SHARE)
    return [y, hand.drop(gradient(y), keep, SHARE)]


def run_keep_mask(hand: Any, like: Any) -> list[Any]:
    """A random mask cannot be compared, but the share that is kept can, and the share of kept neighbours."""
    keep = as_array(hand.keep_mask(like, like.shape, 1 - SHARE, philox.Stream(0)), like)
    return [np.array([keep.mean(), (keep[1:] & keep[:-1]).mean(), (keep[:, 1:] & keep[:, :-1]).mean()])]


def run_embedding(hand: Any, table: Any, index: Any) -> list[Any]:
    """Rows of a table."""
    y = table[index]
    return [y, hand.add_rows(gradient(y), index, len(table))]


def run_adam(hand: Any, *arrays: Any) -> list[Any]:
    """Two AdamW steps from zero state, decay included; the first half of the arrays are parameters, the second gradients."""
    ps, gs = [x.copy() for x in arrays[: len(arrays) // 2]], list(arrays[len(arrays) // 2 :])
    ms, vs = [p * 0 for p in ps], [p * 0 for p in ps]
    for t in (1, 2):
        if len(ps) == 1:
            ps[0] *= 1 - RATE * DECAY
            hand.adam(ps[0], gs[0], ms[0], vs[0], None, t, RATE, (0.9, 0.999), 1e-8)
        else:
            hand.adam_all(ps, gs, ms, vs, None, [t] * len(ps), RATE, (0.9, 0.999), 1e-8, 1 - RATE * DECAY)
    return ps


def run_clip(hand: Any, *gradients: Any) -> list[Any]:
    """Add the gradients of two halves of a batch and scale their joint norm down to 1; the norm, then the gradients."""
    half = len(gradients) // 2
    totals = [x.copy() for x in gradients[:half]]
    hand.add_all(totals, [[x] for x in gradients[half:]])
    norm = hand.norm_all(totals)
    xp = array_module(norm)
    hand.scale_all(totals, xp.minimum(1 / (norm + 1e-6), 1))
    return [xp.asarray(norm), *totals]


def summed(g: Any, like: Any) -> Any:
    """A gradient that the engine still has to sum."""
    return g.reshape(-1, *like.shape).sum(0)


# --------------------------------------------------------------------------------------------- in PyTorch


def torch_masked_softmax(torch: Any, x: Any, mask: Any) -> Any:
    """PyTorch's softmax gives NaN in a row that is hidden completely."""
    empty = (mask == -math.inf).all(-1, keepdim=True)
    return torch.softmax(x + mask.masked_fill(empty, 0), -1).masked_fill(empty, 0)


def torch_attention(torch: Any, q: Any, k: Any, v: Any, mask: Any, keep: Any = None) -> Any:
    """Dropout is written out, because the mask must be ours."""
    if keep is None:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)
    weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + mask, -1)
    return (weights * (keep * (1 / SHARE))) @ v


def torch_add_norm(torch: Any, x: Any, residual: Any, w: Any, b: Any, keep: Any) -> Any:
    """As PyTorch's layers do it, with our mask."""
    return torch.nn.functional.layer_norm(residual + x * (keep * (1 / SHARE)), w.shape, w, b, 1e-12)


def torch_keep_mask(torch: Any, like: Any) -> Any:
    """Of PyTorch's dropout."""
    keep = torch.nn.functional.dropout(torch.ones_like(like), 1 - SHARE) != 0
    few = [keep, keep[1:] & keep[:-1], keep[:, 1:] & keep[:, :-1]]
    return torch.stack([x.double().mean() for x in few])


def torch_adam(torch: Any, *arrays: Any) -> Any:
    """Fused: its fastest."""
    half = len(arrays) // 2
    parameters = [x.clone().requires_grad_() for x in arrays[:half]]
    for parameter, g in zip(parameters, arrays[half:], strict=True):
        parameter.grad = g
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY, fused=True)
    for _ in range(2):
        optimizer.step()
    return [p.detach() for p in parameters]


def torch_clip(torch: Any, *gradients: Any) -> Any:
    """clip_grad_norm_ of the sums."""
    half = len(gradients) // 2
    leaves = [x.clone().requires_grad_() for x in gradients[:half]]
    for leaf, first, second in zip(leaves, gradients[:half], gradients[half:], strict=True):
        leaf.grad = first + second
    norm = torch.nn.utils.clip_grad_norm_(leaves, 1.0)
    return [norm, *(leaf.grad for leaf in leaves)]


# -------------------------------------------------------------------------------------------- the arguments

SHARE, RATE, DECAY = 0.9, 1e-3, 0.01


def word_numbers(rng: Any, n: int, count: int) -> Any:
    """Ids with the frequencies of words in a text."""
    return rng.zipf(1.2, n) % count


def masked(rng: Any, B: int, S: int) -> Any:
    """An additive mask that hides the ends of some sequences."""
    lengths = rng.integers(S // 2, S + 1, B)
    return np.where(np.arange(S) < lengths[:, None], 0, -1e9).astype(np.float32)[:, None, None, :]


def hidden(rng: Any, *shape: int) -> Any:
    """An additive mask with -inf at random places, in all of every fourth row, and nowhere in the last."""
    mask = np.where(rng.random(shape) < 0.3, -np.inf, 0).astype(np.float32)
    mask[..., ::4, :], mask[..., -1, :] = -np.inf, 0
    return mask


def heads(rng: Any, B: int, A: int, S: int, d: int) -> list[Any]:
    """Queries, keys and values as views into (B, S, A, d)."""
    return [normal(rng, B, S, A, d).transpose(0, 2, 1, 3) for _ in range(3)]


def kept(rng: Any, *shape: int) -> Any:
    """Dropout's mask."""
    return rng.random(shape) < SHARE


def weights(rng: Any, H: int, V: int) -> list[Any]:
    """Arrays of the shapes of a small BERT's parameters."""
    return [normal(rng, *shape) for shape in ((V, H), *[(H, H), (4 * H, H), (H, 4 * H), (H,), (H,)] * 4)]


CASES = [
    Case(
        "gelu", lambda r, n, m: ([normal(r, n, m)], []), run_gelu("gelu"),
        lambda t, x: t.nn.functional.gelu(x), lambda n, m: 25 * n * m, (5, 7), (4096, 512),
    ),
    Case(
        "gelu_tanh", lambda r, n, m: ([normal(r, n, m)], []), run_gelu("gelu_tanh"),
        lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), lambda n, m: 20 * n * m, (5, 7), (4096, 512),
    ),
    Case(
        "bias_gelu", lambda r, n, m: ([normal(r, n, m), normal(r, m)], []), run_bias_gelu,
        lambda t, x, b: t.nn.functional.gelu(x + b), lambda n, m: 27 * n * m, (5, 7), (4096, 512),
    ),
    Case(
        "softmax", lambda r, n, m: ([normal(r, n, m)], []), run_softmax,
        lambda t, x: t.softmax(x, -1), lambda n, m: 8 * n * m, (5, 7), (8192, 128),
    ),
    Case(
        "softmax, large numbers", lambda r, n, m: ([normal(r, n, m) * np.float32(300)], []), run_softmax,
        lambda t, x: t.softmax(x, -1), lambda n, m: 8 * n * m, (5, 7), (8192, 128), 1e-4,  # of float32, whose steps are e^(1e-5)
    ),
    Case(
        "softmax, masked", lambda r, n, m: ([normal(r, n, m)], [hidden(r, n, m)]), run_softmax,
        torch_masked_softmax, lambda n, m: 9 * n * m, (9, 7), (8192, 128),
    ),
    Case(
        "linear", lambda r, n, i, o: ([normal(r, n, i), normal(r, o, i), normal(r, o)], []), run_linear,
        lambda t, x, w, b: t.nn.functional.linear(x, w, b), lambda n, i, o: 6 * n * i * o, (5, 4, 3), (4096, 256, 256),
    ),
    Case(
        "layer_norm", lambda r, n, m: ([normal(r, n, m), normal(r, m), normal(r, m)], []), run_layer_norm,
        lambda t, x, w, b: t.nn.functional.layer_norm(x, w.shape, w, b, 1e-12), lambda n, m: 18 * n * m, (5, 7), (4096, 256),
    ),
    Case(
        "add_norm, dropout", lambda r, n, m: ([normal(r, n, m), normal(r, n, m), normal(r, m), normal(r, m)], [kept(r, n, m)]),
        run_add_norm, torch_add_norm, lambda n, m: 22 * n * m, (5, 7), (4096, 256),
    ),
    Case(
        "attention", lambda r, B, A, S, d: (heads(r, B, A, S, d), [masked(r, B, S)]), run_attention,
        torch_attention, lambda B, A, S, d: 12 * B * A * S * S * d, (2, 2, 5, 4), (32, 4, 128, 64),
    ),
    Case(
        "attention, dropout", lambda r, B, A, S, d: (heads(r, B, A, S, d), [masked(r, B, S), kept(r, B, A, S, S)]), run_attention,
        torch_attention, lambda B, A, S, d: 12 * B * A * S * S * d, (2, 2, 5, 4), (32, 4, 128, 64),
    ),
    Case(
        "attention, rows of -inf", lambda r, B, A, S, d: (heads(r, B, A, S, d), [hidden(r, B, 1, S, S)]), run_attention,
        torch_attention, lambda B, A, S, d: 12 * B * A * S * S * d, (2, 2, 5, 4), (32, 4, 128, 64),
    ),
    Case(
        "cross_entropy", lambda r, n, m: ([normal(r, n, m)], [r.integers(0, m, n)]), run_cross_entropy,
        lambda t, x, target: t.nn.functional.cross_entropy(x, target, reduction="none"), lambda n, m: 7 * n * m,
        (5, 7), (608, 8192),
    ),
    Case(
        "cross_entropy, 30522 words", lambda r, n, m: ([normal(r, n, m) * np.float32(20)], [r.integers(0, m, n)]),
        run_cross_entropy, lambda t, x, target: t.nn.functional.cross_entropy(x, target, reduction="none"),
        lambda n, m: 7 * n * m, (3, 11), (608, 30522),
    ),
    Case(
        "drop", lambda r, n, m: ([normal(r, n, m)], [kept(r, n, m)]), run_drop,
        lambda t, x, keep: x * (keep * (1 / SHARE)), lambda n, m: 4 * n * m, (5, 7), (4096, 256),
    ),
    Case(
        "keep_mask", lambda r, n, m: ([], [np.zeros((n, m), np.float32)]), run_keep_mask,
        torch_keep_mask, lambda n, m: n * m, (400, 300), (4096, 256), 5e-3,  # 5 standard deviations of the small one
    ),
    Case(
        "embedding", lambda r, n, V, m: ([normal(r, V, m)], [word_numbers(r, n, V)]), run_embedding,
        lambda t, table, index: t.nn.functional.embedding(index, table), lambda n, V, m: n * m, (40, 9, 3), (4096, 8192, 256),
    ),
    Case(
        "adam", lambda r, n: ([], [normal(r, n), normal(r, n)]), run_adam, torch_adam, lambda n: 2 * 14 * n, (50,), (2_000_000,),
    ),
    Case(
        "adam_all", lambda r, H, V: ([], [*weights(r, H, V), *weights(r, H, V)]), run_adam, torch_adam,
        lambda H, V: 2 * 14 * (V * H + 4 * (9 * H * H + 2 * H)), (3, 5), (256, 8192),
    ),
    Case(
        "clip", lambda r, H, V: ([], [*weights(r, H, V), *weights(r, H, V)]), run_clip, torch_clip,
        lambda H, V: 4 * (V * H + 4 * (9 * H * H + 2 * H)), (3, 5), (256, 8192),
    ),
]  # fmt: skip


def wide(x: Any) -> Any:
    """float64 instead of float32."""
    return x.astype(np.float64) if x.dtype == np.float32 else x


def outputs_of(case: Case, hand: Any, arrays: list[Any], constants: list[Any]) -> list[Any]:
    """Result and gradients by the kernels of ``hand``."""
    return case.outputs(hand, *arrays, *constants)


def torch_outputs(torch: Any, case: Case, arrays: list[Any], constants: list[Any]) -> list[Any]:
    """PyTorch's result and gradients."""
    leaves = [x.detach().requires_grad_() for x in arrays]
    y = case.torch(torch, *leaves, *constants)
    if not leaves:
        return y if isinstance(y, list) else [y]
    g = torch.from_numpy(_numbers(tuple(y.shape), np.float64 if y.dtype == torch.float64 else np.float32))
    return [y.detach(), *torch.autograd.grad(y, leaves, g)]


def moved_bytes(outputs: list[Any], arrays: list[Any]) -> float:
    """The least that must pass through memory: every argument read once, every result written once."""
    return float(sum(math.prod(x.shape) * x.itemsize for x in [*outputs, *arrays]))
