"""Recurrent layers: RNN, LSTM, GRU over whole sequences, and their cells for one step.

    x₁ → [step] → [step] → [step] ...     the same weights at every step; the state h goes from left to right
           ↓        ↓        ↓            (and in a second chain, if bidirectional, from right to left)
          h₁       h₂       h₃

A packed sequence (utils/rnn.py) holds the rows of step 1, then those of step 2, ...; shorter sequences have left by then. So
no step computes padding, and a rectangular batch is the case in which nobody leaves.
Read before: ops/recurrent.py (one step). Read next: utils/rnn.py.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import ops
from ..creation import empty, zeros
from ..grad_mode import mode
from ..ops.recurrent import gru_step, lstm_step
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

States = tuple[Any, ...]  # (h,) or, of an LSTM, (h, c)


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters, layers and directions. A subclass has ``gates`` and ``_step``.

    Parameters of layer k, as PyTorch names them: weight_ih_lk (gates · H, in), weight_hh_lk (gates · H, H or proj_size),
    bias_ih_lk, bias_hh_lk (gates · H), of an LSTM with proj_size weight_hr_lk (proj_size, H); with the ending _reverse those
    of the other direction. All start uniform in ±1/√H.
    """

    gates: int
    names: tuple[str, ...] = ("h_0",)  # of the states

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._check_sizes()
        rows, out = self.gates * hidden_size, proj_size or hidden_size
        for name in self._chains():
            inside = input_size if name.startswith("l0") else out * (1 + bidirectional)
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inside), "weight_hh": (rows, out)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            shapes |= {"weight_hr": (proj_size, hidden_size)} if proj_size else {}
            for kind, shape in shapes.items():
                setattr(self, f"{kind}_{name}", Parameter(empty(*shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def _chains(self) -> list[str]:
        """The endings of the parameters' names: l0, l0_reverse, l1, ..."""
        ends = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{k}{end}" for k in range(self.num_layers) for end in ends]

    def _check_sizes(self) -> None:
        for what in ("input_size", "hidden_size", "num_layers"):
            if not isinstance(n := getattr(self, what), int):
                raise TypeError(f"{self.mode}: {what} should be of type int, got: {type(n).__name__}")
            if n <= 0:
                raise ValueError(f"{self.mode}: {what} must be greater than zero, got {n}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"{self.mode}: dropout should be a number in [0, 1], got {self.dropout}")
        if self.proj_size and not self.mode.startswith("LSTM"):
            raise ValueError(f"proj_size is for LSTM only, not for {self.mode}")
        if not 0 <= self.proj_size < self.hidden_size:
            raise ValueError(f"{self.mode}: proj_size must be smaller than hidden_size, {self.hidden_size}; got {self.proj_size}")
        if self.dropout and self.num_layers == 1:
            warnings.warn(f"{self.mode}: dropout acts between layers, and there is one layer", UserWarning, stacklevel=4)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: PyTorch's, for GPU libraries that want the parameters side by side."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each chain of steps: layers, and in each layer its directions."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        names = [[f"{kind}_{chain}" for kind in kinds] for chain in self._chains()]
        return [[self._parameters[n] for n in row if n in self._parameters] for row in names]

    # ---------------------------------------------------------------------------------------------- the computation

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Outputs of the last layer at every step, and each chain's final state.

        input: (T, B, in), (B, T, in) with batch_first, (T, in), or a PackedSequence. hx: the first states, zeros if None:
        (layers · directions, B, H). The output is like the input, of size H (proj_size if given), twice if bidirectional.
        Within autocast it is in half precision; PyTorch agrees, except that a GRU on a CPU stays in float32 there.
        """
        packed = isinstance(input, PackedSequence)
        x = input.data if packed else input
        self._check_input(x, packed)
        alone = not packed and x.ndim == 2
        if alone:
            x = x.unsqueeze(1)
        elif self.batch_first and not packed:
            x = x.transpose(0, 1)  # (T, B, in)
        sizes = [int(n) for n in input.batch_sizes.tolist()] if packed else [x.shape[1]] * x.shape[0]
        states = self._first_states(x, hx, sizes[0], alone)
        if packed and hx is not None and input.sorted_indices is not None:
            states = tuple(s.index_select(1, input.sorted_indices) for s in states)
        y, states = self._layers(x if packed else x.reshape(-1, x.shape[-1]), sizes, states)
        if packed:
            if input.unsorted_indices is not None:
                states = tuple(s.index_select(1, input.unsorted_indices) for s in states)
            output: Any = input._replace(data=y)
        else:
            y = y.reshape(len(sizes), sizes[0], y.shape[-1])
            output = y[:, 0] if alone else y.transpose(0, 1) if self.batch_first else y
            states = tuple(s[:, 0] for s in states) if alone else states
        return output, states if len(states) > 1 else states[0]

    def _layers(self, x: Any, sizes: list[int], states: States) -> tuple[Any, States]:
        """All layers, one above the other, on the rows of all steps; final states (layers · directions, B, H)."""
        finals, directions = [], 1 + self.bidirectional
        for k in range(self.num_layers):
            outputs = []
            for reverse in range(directions):
                chain = k * directions + reverse
                y, final = self._chain(x, sizes, tuple(s[chain] for s in states), self._chains()[chain], bool(reverse))
                outputs.append(y)
                finals.append(final)
            x = ops.cat(outputs, -1) if self.bidirectional else outputs[0]
            if k < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(ops.stack(parts, 0) for parts in zip(*finals, strict=True))

    def _chain(self, x: Any, sizes: list[int], first: States, name: str, reverse: bool) -> tuple[Any, States]:
        """One layer in one direction: step after step, the rows of sequences that have ended set aside (or, from the right,
        the first states of those that begin added)."""
        w_ih, w_hh, b_ih, b_hh, w_hr = (
            self._parameters.get(f"{kind}_{name}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )
        z = ops.split(F.linear(x, w_ih, b_ih), sizes)  # one product for all steps
        outputs: list[Any] = [None] * len(sizes)
        ended: list[States] = []
        states = tuple(s[: sizes[-1]] for s in first) if reverse and sizes[-1] < sizes[0] else first
        for t in reversed(range(len(sizes))) if reverse else range(len(sizes)):
            n, before = sizes[t], len(states[0])
            if n < before:
                ended.append(tuple(s[n:] for s in states))
                states = tuple(s[:n] for s in states)
            elif n > before:
                states = tuple(ops.cat([s, f[before:n]]) for s, f in zip(states, first, strict=True))
            states = self._step(z[t], F.linear(states[0], w_hh, b_hh), states)
            if w_hr is not None:
                states = (F.linear(states[0], w_hr), *states[1:])
            outputs[t] = states[0]
        finals = tuple(ops.cat(parts) if ended else parts[0] for parts in zip(states, *reversed(ended), strict=True))
        return ops.cat(outputs), finals

    def _step(self, x: Any, h: Any, states: States) -> States:
        """The new states, of the weights' products with the input and with the previous h."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------------------- checks

    def _check_input(self, x: Any, packed: bool) -> None:
        if x.ndim not in ((2,) if packed else (2, 3)):
            raise ValueError(f"{self.mode}: the input must be (T, in) or have a batch as third dimension, got shape {x.shape}")
        if x.shape[-1] != self.input_size:
            raise RuntimeError(f"{self.mode}: input.size(-1) must be equal to input_size {self.input_size}, got shape {x.shape}")
        dtype = self._parameters["weight_ih_l0"].dtype
        if x.dtype != dtype and mode.autocast is None:
            raise ValueError(
                f"{self.mode}: the input is {x.dtype}, the weights {dtype}; convert the input: x.to(minitorch.{dtype})"
            )
        if 0 in (x.shape[:1] if packed or not self.batch_first or x.ndim == 2 else x.shape[1:2]):
            raise RuntimeError(f"{self.mode}: expected a sequence length larger than 0, got shape {x.shape}")

    def _first_states(self, x: Any, hx: Any, batch: int, alone: bool) -> States:
        """The given states, checked, or zeros; one sequence's get a batch of 1."""
        chains = self.num_layers * (1 + self.bidirectional)
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: len(self.names)]
        if hx is None:
            return tuple(zeros(chains, batch, n, dtype=x.dtype, device=x.device) for n in sizes)
        given = tuple(hx) if len(sizes) > 1 else (hx,)
        if len(given) != len(sizes) or any(s.ndim != (2 if alone else 3) for s in given):
            raise RuntimeError(
                f"{self.mode}: hx must be {' and '.join(self.names)} with {2 if alone else 3} dimensions, as the input is "
                f"{'one sequence' if alone else 'a batch'}; got {', '.join(str(tuple(s.shape)) for s in given)}"
            )
        given = tuple(s.unsqueeze(1) for s in given) if alone else given
        for name, s, n in zip(self.names, given, sizes, strict=True):
            if s.shape != (chains, batch, n):
                raise RuntimeError(f"{self.mode}: expected {name} of size {(chains, batch, n)}, got {tuple(s.shape)}")
        return given

    def extra_repr(self) -> str:
        parts = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        shown = [f"{name}={getattr(self, name)}" for name, usual in parts.items() if getattr(self, name) != usual]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *shown])


class RNN(RNNBase):
    """hₜ = tanh(W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh) (Elman, 1990), or max(0, ...) with nonlinearity="relu".

    Called with (input, h_0), returns (outputs of every step, h_n); RNNBase.forward has the shapes.
    """

    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        _check_nonlinearity(nonlinearity)
        more = (bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *more)
        self.nonlinearity = nonlinearity

    def _step(self, x: Any, h: Any, states: States) -> States:
        return ((F.tanh if self.nonlinearity == "tanh" else F.relu)(x + h),)


def _check_nonlinearity(nonlinearity: str) -> None:
    """tanh or relu."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")


class LSTM(RNNBase):
    """i, f, o = σ(...), g = tanh(...),  cₜ = f cₜ₋₁ + i g,  hₜ = o tanh cₜ (Hochreiter and Schmidhuber, 1997).

    Each (...) is W_ih xₜ + b_ih + W_hh hₜ₋₁ + b_hh of its gate; the weights' rows have the order i, f, g, o. With proj_size h is
    W_hr hₜ (Sak et al., 2014). Called with (input, (h_0, c_0)), returns (outputs, (h_n, c_n)); RNNBase.forward has the shapes.
    """

    gates, names = 4, ("h_0", "c_0")

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        more = (bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__("LSTM", input_size, hidden_size, num_layers, *more)

    def _step(self, x: Any, h: Any, states: States) -> States:
        return lstm_step(x, h, states[1].to(x.dtype))  # type: ignore[no-any-return]  # in autocast x is half precision


class GRU(RNNBase):
    """r, z = σ(...), n = tanh(W_in xₜ + b_in + r (W_hn hₜ₋₁ + b_hn)),  hₜ = (1 - z) n + z hₜ₋₁ (Cho et al., 2014).

    The weights' rows have the order r, z, n. Called with (input, h_0), returns (outputs, h_n); RNNBase.forward has the shapes.
    """

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        more = (bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("GRU", input_size, hidden_size, num_layers, *more)

    def _step(self, x: Any, h: Any, states: States) -> States:
        return (gru_step(x, h, states[0]),)


# --------------------------------------------------------------------------------------------------------- cells


class RNNCellBase(Module):
    """One step: weight_ih (gates · H, in), weight_hh (gates · H, H), bias_ih, bias_hh (gates · H), uniform in ±1/√H."""

    gates: int

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        for name, shape in (shapes | {"bias_ih": (rows,), "bias_hh": (rows,)}).items():
            wanted = bias or name.startswith("weight")
            self.register_parameter(name, Parameter(empty(*shape, device=device, dtype=dtype)) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state: of input (B, in) and hx (B, H), or without B; an LSTM's hx and result are (h, c)."""
        name, lstm = type(self).__name__, isinstance(self, LSTMCell)
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: expected an input of shape (in,) or (B, in), got {input.shape}")
        if hx is None:
            hx = zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device)
            hx = (hx, hx) if lstm else hx
        wanted = (*input.shape[:-1], self.hidden_size)
        for s in hx if lstm else (hx,):
            if s.shape != wanted:
                raise RuntimeError(f"{name}: an input of shape {input.shape} needs a state of shape {wanted}, got {s.shape}")
        return self._step(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def _step(self, input: Any, hx: Any, *weights: Any) -> Any:
        """The function of ops/recurrent.py."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or max(0, ...) with nonlinearity="relu"."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _check_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def _step(self, input: Any, hx: Any, *weights: Any) -> Any:
        return (ops.rnn_tanh_cell if self.nonlinearity == "tanh" else ops.rnn_relu_cell)(input, hx, *weights)


class LSTMCell(RNNCellBase):
    """One step of LSTM: (input, (h, c)) -> (h', c')"""

    gates = 4

    def _step(self, input: Any, hx: Any, *weights: Any) -> Any:
        return ops.lstm_cell(input, hx, *weights)


class GRUCell(RNNCellBase):
    """One step of GRU: (input, h) -> h'"""

    gates = 3

    def _step(self, input: Any, hx: Any, *weights: Any) -> Any:
        return ops.gru_cell(input, hx, *weights)
