"""Function: an operation of your own, written as PyTorch asks for it, with a static forward and a static backward.

    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):            # g = dL/dy; returns dL/dx
            (y,) = ctx.saved_tensors
            return g * y

    y = Exp.apply(x)

Like ``op``, but on Tensors and with a context instead of a closure: the graph gets one node for the whole call, none for
the operations inside forward. A backward that consists of tensor operations can itself be differentiated.
Names and rules are those of torch.autograd.Function.  Read before: graph.py.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import devices
from ..grad_mode import is_grad_enabled, mode, no_grad
from ..graph import Node, Output
from ..tensor import Tensor


class FunctionCtx:
    """The values that forward saves for backward, for one call. Set attributes of your own for values that are not tensors.

    needs_input_grad: for each argument of ``apply``, does it require a gradient?
    """

    def __init__(self, inputs: Sequence[Any]) -> None:
        self.needs_input_grad = tuple([isinstance(x, Tensor) and x.requires_grad for x in inputs])
        self._materialize = True
        self._non_differentiable: tuple[Any, ...] = ()
        self._saved: tuple[Any, ...] = ()
        self._call: Callable[[], Node | None]
        self._alone: bool  # is the output a single value, not a tuple?
        self._outputs: list[Any]  # (shape, dtype, device), or None if not a tensor
        self._inputs: list[Any]  # (shape, device), likewise
        self._places: list[Any] = []  # the outputs' nodes, weakly: strong references would be cyclic

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Save inputs or outputs of forward for backward, which reads them from ``saved_tensors``.

        An in-place change in between is detected, and second derivatives flow through them.
        """
        for i, x in enumerate(tensors):
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    f"save_for_backward keeps tensors, but argument {i} is {type(x).__name__}; "
                    "set that as an attribute: ctx.name = value"
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors passed to save_for_backward."""
        return tuple([x.tensor(self) if isinstance(x, _Saved) else x for x in self._saved])

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """These outputs of forward need no gradient; backward gets zeros for them. (Integer outputs never do.)"""
        self._non_differentiable = outputs

    def mark_dirty(self, *tensors: Tensor) -> None:
        """In PyTorch: forward changed these inputs in place. Here it must not."""
        raise RuntimeError("mark_dirty: forward must not change its inputs in place here; compute and return a new tensor")

    def set_materialize_grads(self, value: bool) -> None:
        """False: backward gets None, not zeros, for an output that the loss does not depend on."""
        self._materialize = value


class _Saved:
    """A saved tensor: its array and its place in the graph (a weak reference for the call's own outputs, ``output``)."""

    def __init__(self, tensor: Tensor, output: int | None) -> None:
        self.array, self.node, self.output = tensor.array, tensor.node, output

    def tensor(self, ctx: FunctionCtx) -> Tensor:
        """The tensor again, with its place in the graph."""
        if self.output is None:
            return Tensor(self.array, self.node)
        node, call = ctx._places[self.output](), ctx._call()
        if node is None and call is not None:  # this one of several outputs is gone
            node = Output(call, self.output, self.array.shape, self.array.dtype)
            ctx._places[self.output] = weakref.ref(node)  # never two per output: the engine takes one gradient from each
        return Tensor(self.array, node)


class Function:
    """Base of operations with a gradient of your own: define forward and backward, call ``apply`` (see the head of this file).

    forward(ctx, *inputs): computes without recording. Or, in two steps: forward(*inputs) and setup_context(ctx, inputs, output).
    backward(ctx, *gradients): one gradient per output of forward; returns one per input, None for an input that has none.
    """

    linear: ClassVar[bool] = True  # tells the engine that backward itself works on Tensors, so forward need not run again

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The result: a tensor, or a tuple, in which other values are passed through."""
        raise NotImplementedError("a Function needs a static forward(ctx, *inputs)")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> None:
        """If forward takes no ctx, save here what backward needs."""
        raise NotImplementedError("setup_context is not defined")

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """The gradients of the inputs, given those of the outputs."""
        raise NotImplementedError("a Function needs a static backward(ctx, *gradients) to be differentiated")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Compute forward(*args) and record it as one operation."""
        ctx = FunctionCtx(args)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        outputs = result if type(result) is tuple else (result,)
        if mode.enabled and any(ctx.needs_input_grad):
            outputs = _record(cls, ctx, args, outputs, alone=type(result) is not tuple)
        else:  # a returned input is another tensor on the same memory, as it is when recorded
            outputs = tuple([Tensor(y.array) if any(y is x for x in args) else y for y in outputs])
        return outputs if type(result) is tuple else outputs[0]


def _record(
    cls: type[Function], ctx: FunctionCtx, inputs: tuple[Any, ...], outputs: tuple[Any, ...], alone: bool
) -> tuple[Any, ...]:
    """The outputs as tensors of the graph, with one node for the call."""
    marked = [
        isinstance(y, Tensor) and y.is_floating_point() and not any(y is x for x in ctx._non_differentiable) for y in outputs
    ]
    own = {id(y): i for i, y in enumerate(outputs) if marked[i] and not any(y is x for x in inputs)}
    ctx._saved = tuple([x if x is None else _Saved(x, own.get(id(x))) for x in ctx._saved])
    ctx._non_differentiable, ctx._alone = (), alone
    ctx._outputs = [(y.shape, y.dtype, y.device) if isinstance(y, Tensor) else None for y in outputs]
    ctx._inputs = [(x.shape, x.device) if isinstance(x, Tensor) else None for x in inputs]
    pullback = functools.partial(_pull_back, cls, ctx, [x.array for x in ctx._saved if x is not None])
    parents = tuple([x.node if isinstance(x, Tensor) else None for x in inputs])
    shape, dtype = (outputs[0].shape, outputs[0].dtype) if alone and marked[0] else (None, None)
    node = Node(cls, parents, pullback, (), {}, shape, dtype)
    if mode.observer is not None:
        mode.observer.recorded(node)
    ctx._call, results = weakref.ref(node), []
    for i, y in enumerate(outputs):
        place = None if not marked[i] else node if alone else Output(node, i, y.shape, y.dtype)
        ctx._places.append(None if place is None else weakref.ref(place))
        results.append(Tensor(y.array, place) if isinstance(y, Tensor) else y)
    return tuple(results)


def _pull_back(cls: type[Function], ctx: FunctionCtx, arrays: Any, g: Any) -> Any:
    """The engine's pullback: the user's backward, on Tensors. ``arrays`` are the saved ones; changes.py looks for them here."""
    name, count, given = f"{cls.__name__}.backward", len(ctx._inputs), {0: g} if ctx._alone else g
    gradients = [_gradient(given.get(i), kind if ctx._materialize else None) for i, kind in enumerate(ctx._outputs)]
    found = cls.backward(ctx, *gradients)
    found = tuple(found) if isinstance(found, tuple | list) else (found,)
    if len(found) < count or any(x is not None for x in found[count:]):
        raise RuntimeError(
            f"{name} returned an incorrect number of gradients: expected {count}, one per input of forward "
            f"(None where there is none), got {len(found)}"
        )
    checked = [_checked(name, i, x, like) for i, (x, like) in enumerate(zip(found, ctx._inputs, strict=False))]
    recording = any(isinstance(x, Tensor) for x in given.values())  # create_graph
    # Views otherwise: the engine adds in place to arrays that are not views, and these may be the user's own.
    results = tuple([x if x is None or recording else x.array[...] for x in checked])
    return results if count > 1 else results[0]


def _gradient(g: Any, kind: Any) -> Any:
    """An output's gradient as a Tensor; if there is none, zeros of its ``kind`` (shape, dtype, device), or None without one."""
    if g is not None:
        return g if isinstance(g, Tensor) else Tensor(g)
    return None if kind is None else Tensor(devices.module_for(kind[2]).zeros(kind[0], kind[1]))


def _checked(name: str, i: int, g: Any, like: Any) -> Any:
    """The gradient of input i, checked against the input's shape and device ``like`` (None: not a tensor)."""
    if g is None:
        return None
    if not isinstance(g, Tensor):
        raise RuntimeError(f"{name} must return Tensors or None, but the gradient of input {i} is {type(g).__name__}")
    if like is None:
        raise RuntimeError(f"{name} returned a gradient for input {i}, which is not a tensor; return None for it")
    shape, device = like
    if g.device != device:
        raise RuntimeError(
            f"{name} returned a gradient on {g.device} for input {i}, which is on {device}; move it: g.to(x.device)"
        )
    tail = g.shape[len(g.shape) - len(shape) :] if len(g.shape) >= len(shape) else None
    if tail is None or any(n not in (1, m) for n, m in zip(shape, tail, strict=True)):
        raise RuntimeError(
            f"{name} returned an invalid gradient for input {i}: it has shape {tuple(g.shape)}, the input has {tuple(shape)}; "
            "they must agree (dimensions that the input repeats may be left: they are summed)"
        )
    return g


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a backward that cannot itself be differentiated (NumPy in it, say): differentiating it is then an error.

    @staticmethod
    @once_differentiable
    def backward(ctx, g): ...
    """

    @functools.wraps(backward)
    def once(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            found = backward(ctx, *gradients)
        parents = tuple([g.node for g in gradients if isinstance(g, Tensor)])
        if not is_grad_enabled() or not any(parents):
            return found
        results = found if isinstance(found, tuple | list) else (found,)
        dead_ends = tuple([Tensor(x.array, _dead_end(x, parents)) if isinstance(x, Tensor) else x for x in results])
        return dead_ends if isinstance(found, tuple | list) else dead_ends[0]

    return once


def _dead_end(x: Tensor, parents: tuple[Node | None, ...]) -> Node:
    def refuse(g: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function whose backward is marked with @once_differentiable; write it in tensor "
            "operations and remove the mark"
        )

    return Node(_Once, parents, refuse, (), {}, x.shape, x.dtype)


class _Once(Function):
    """The name in the graph of a backward under once_differentiable."""
