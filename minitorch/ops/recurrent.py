"""One time step of recurrent networks: plain (Elman, 1990), LSTM (Hochreiter and Schmidhuber, 1997), GRU (Cho et al., 2014).

A step gets the products of the input and of the previous state with their weights, gate beside gate, and returns the new
state. Backpropagation through time is the engine's walk over the steps.
Read before: nn.py, elementwise.py. Read next: nn/rnn.py, which runs the steps.
"""

from __future__ import annotations

from typing import Any

from ..devices import Array, array_module
from ._op import op
from .activations import relu
from .elementwise import sigmoid, tanh
from .nn import linear

__all__ = ["gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"]


@op
def lstm_step(x: Array, h: Array, c: Array) -> Any:
    """i, f, o = σ(zᵢ), σ(z_f), σ(zₒ),  g = tanh z_g,  z = x + h  ->  c' = f c + i g,  h' = o tanh c'.

    x = W_ih xₜ + b_ih and h = W_hh hₜ₋₁ + b_hh: (B, 4H) in the order i, f, g, o; c and the results h', c': (B, H).
    """
    xp, H, z = array_module(x, h, c), c.shape[-1], x + h
    s, g = sigmoid(z), xp.tanh(z[..., 2 * H : 3 * H])  # one call for all σ, though g needs none
    i, f, o = (s[..., k * H : (k + 1) * H] for k in (0, 1, 3))
    new = f * c + i * g
    t = xp.tanh(new)

    def pullback(gs: Any) -> Any:
        dh = gs.get(0, new * 0)
        dc = dh * o * (1 - t * t) + gs.get(1, 0)
        dz = (dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o))
        joined = xp.concatenate(dz, axis=-1)
        return joined, joined, dc * f

    return (o * t, new), pullback


@op(half="float32 on CPU")
def gru_step(x: Array, h: Array, state: Array) -> Any:
    """r, u = σ(x + h) of the first two parts,  n = tanh(xₙ + r hₙ)  ->  n + u (state - n).

    x = W_ih xₜ + b_ih and h = W_hh hₜ₋₁ + b_hh: (B, 3H) in the order r, u (PyTorch's z), n; state = hₜ₋₁: (B, H).
    """
    xp, H = array_module(x, h, state), state.shape[-1]
    r, u = (sigmoid(x[..., k * H : (k + 1) * H] + h[..., k * H : (k + 1) * H]) for k in (0, 1))
    hn = h[..., 2 * H :]
    n = xp.tanh(x[..., 2 * H :] + r * hn)

    def pullback(g: Any) -> Any:
        du, dn = g * (state - n) * u * (1 - u), g * (1 - u) * (1 - n * n)
        dr = dn * hn * r * (1 - r)
        return xp.concatenate((dr, du, dn), axis=-1), xp.concatenate((dr, du, dn * r), axis=-1), g * u

    return n + u * (state - n), pullback


# -------------------------------------------------------------------------------------- a step with its weights


def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One LSTM step: x (B, in), (h, c) (B, H) each -> (h', c'). The weights' rows are the gates i, f, g, o: (4H, in), (4H, H)."""
    h, c = hx
    return lstm_step(linear(input, w_ih, b_ih), linear(h, w_hh, b_hh), c)


def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One GRU step: x (B, in), h (B, H) -> h'. The weights' rows are the gates r, z, n: (3H, in), (3H, H)."""
    return gru_step(linear(input, w_ih, b_ih), linear(hx, w_hh, b_hh), hx)


def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh): x (B, in), h (B, H)"""
    return tanh(linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))


def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """h' = max(0, W_ih x + b_ih + W_hh h + b_hh): x (B, in), h (B, H)"""
    return relu(linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))
