"""Every kernel with its gradient, as a function of the hand (cpu or reference) and of arrays; and the same in PyTorch.

A case's arrays are a function of its shapes alone. ``outputs`` returns the result and the gradients of the differentiable
arguments, in order; in ``torch`` it is the result, and the gradients are PyTorch's own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitorch.devices import array_module


@dataclass
class Case:
    """One kernel: how to make its arguments for given sizes, run it, run PyTorch's, and count its work."""

    name: str
    make: Callable[..., tuple[list[Any], list[Any]]]  # random numbers, sizes -> differentiable arrays, constants
    outputs: Callable[..., list[Any]]  # hand, g, arrays, constants -> result, gradients
    torch: Callable[..., Any]  # torch, arrays, constants -> result
    operations: Callable[..., float]  # sizes -> floating-point operations, an exponential or root counted as one
    small: tuple[int, ...]
    large: tuple[int, ...]

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


# ------------------------------------------------------------------------------------------------ the functions


def run_gelu(kernel: str) -> Callable[..., list[Any]]:
    """Exact or tanh."""

    def outputs(hand: Any, x: Any) -> list[Any]:
        y, slope = getattr(hand, kernel)(x)
        return [y, gradient(y) * slope]

    return outputs


def run_softmax(hand: Any, x: Any) -> list[Any]:
    """Rows."""
    y = hand.softmax(x, (1,))
    return [y, hand.softmax_backward(gradient(y), y, (1,))]


def run_linear(hand: Any, x: Any, w: Any, b: Any) -> list[Any]:
    """x Wᵀ + b"""
    y = hand.linear(x, w, b)
    g = gradient(y)
    return [y, hand.matmul(g, w), hand.matmul(g.T, x), summed(hand.sum_rows(g), b)]


def run_layer_norm(hand: Any, x: Any, w: Any, b: Any) -> list[Any]:
    """Rows."""
    y, mean, r = hand.layer_norm(x, w, b, (1,), 1e-12)
    dx, dw, db = hand.layer_norm_backward(gradient(y), x, w, mean, r, (1,))
    return [y, dx, summed(dw, w), summed(db, b)]


def run_attention(hand: Any, q: Any, k: Any, v: Any, mask: Any) -> list[Any]:
    """Without dropout."""
    scale = q.shape[-1] ** -0.5
    y, weights = hand.attention(q, k, v, mask.astype(q.dtype), None, scale, 1.0)
    return [y, *hand.attention_backward(gradient(y), q, k, v, None, None, scale, 1.0, y, weights)]


def run_cross_entropy(hand: Any, x: Any, target: Any) -> list[Any]:
    """A loss a row."""
    loss, peak, s = hand.cross_entropy(x, target, 1)
    return [loss, hand.cross_entropy_backward(gradient(loss), x, target, 1, peak, s)]


def run_drop(hand: Any, x: Any, keep: Any) -> list[Any]:
    """With a given mask."""
    y = hand.drop(x, keep, 0.9)
    return [y, hand.drop(gradient(y), keep, 0.9)]


def run_embedding(hand: Any, table: Any, index: Any) -> list[Any]:
    """Rows of a table."""
    y = table[index]
    return [y, hand.add_rows(gradient(y), index, len(table))]


def run_adam(hand: Any, p: Any, g: Any) -> list[Any]:
    """Two AdamW steps from zero state, decay included."""
    p, m, v = p.copy(), p * 0, p * 0
    for t in (1, 2):
        p *= 1 - 1e-3 * 0.01
        hand.adam(p, g, m, v, None, t, 1e-3, (0.9, 0.999), 1e-8)
    return [p]


def torch_adam(torch: Any, p: Any, g: Any) -> Any:
    """The same."""
    parameter = p.detach().clone().requires_grad_()
    parameter.grad = g
    optimizer = torch.optim.AdamW([parameter], lr=1e-3, weight_decay=0.01, fused=True)
    for _ in range(2):
        optimizer.step()
    return parameter.detach()


def summed(g: Any, like: Any) -> Any:
    """A gradient that the engine still has to sum."""
    return g.reshape(-1, *like.shape).sum(0)


def word_numbers(rng: Any, n: int, count: int) -> Any:
    """Words as frequent as in a text."""
    return rng.zipf(1.2, n) % count


def masked(rng: Any, B: int, S: int) -> Any:
    """An additive mask that hides the ends of some sequences."""
    lengths = rng.integers(S // 2, S + 1, B)
    return np.where(np.arange(S) < lengths[:, None], 0, -1e9).astype(np.float32)[:, None, None, :]


def heads(rng: Any, B: int, A: int, S: int, d: int) -> list[Any]:
    """Queries, keys and values as views into (B, S, A, d)."""
    return [normal(rng, B, S, A, d).transpose(0, 2, 1, 3) for _ in range(3)]


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
        "softmax", lambda r, n, m: ([normal(r, n, m)], []), run_softmax,
        lambda t, x: t.softmax(x, -1), lambda n, m: 8 * n * m, (5, 7), (8192, 128),
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
        "attention", lambda r, B, A, S, d: (heads(r, B, A, S, d), [masked(r, B, S)]), run_attention,
        lambda t, q, k, v, mask: t.nn.functional.scaled_dot_product_attention(q, k, v, mask),
        lambda B, A, S, d: 12 * B * A * S * S * d, (2, 2, 5, 4), (32, 4, 128, 64),
    ),
    Case(
        "cross_entropy", lambda r, n, m: ([normal(r, n, m)], [r.integers(0, m, n)]), run_cross_entropy,
        lambda t, x, target: t.nn.functional.cross_entropy(x, target, reduction="none"), lambda n, m: 7 * n * m,
        (5, 7), (608, 8192),
    ),
    Case(
        "drop", lambda r, n, m: ([normal(r, n, m)], [r.random((n, m)) < 0.9]), run_drop,
        lambda t, x, keep: x * (keep * (1 / 0.9)), lambda n, m: 4 * n * m, (5, 7), (4096, 256),
    ),
    Case(
        "embedding", lambda r, n, V, m: ([normal(r, V, m)], [word_numbers(r, n, V)]), run_embedding,
        lambda t, table, index: t.nn.functional.embedding(index, table), lambda n, V, m: n * m, (40, 9, 3), (4096, 8192, 256),
    ),
    Case(
        "adam", lambda r, n: ([], [normal(r, n), normal(r, n)]), run_adam, torch_adam, lambda n: 2 * 14 * n, (50,), (2_000_000,),
    ),
]  # fmt: skip


def torch_outputs(torch: Any, case: Case, arrays: list[Any], constants: list[Any]) -> list[Any]:
    """PyTorch's result and gradients."""
    leaves = [x.detach().requires_grad_() for x in arrays]
    y = case.torch(torch, *leaves, *constants)
    if not leaves:
        return [y]
    g = torch.from_numpy(_numbers(tuple(y.shape), np.float64 if y.dtype == torch.float64 else np.float32))
    return [y.detach(), *torch.autograd.grad(y, leaves, g)]


def moved_bytes(outputs: list[Any], arrays: list[Any]) -> float:
    """What must pass through memory at least: every argument read, every result written once."""
    return float(sum(math.prod(x.shape) * x.itemsize for x in [*outputs, *arrays]))
