"""The graph and the backward pass: all of it.

An *op* is a plain function of arrays that returns its result and the pullback: the function that turns the gradient of
the result into the gradients of the inputs (one callable per input, or one that returns all when they share work).

    @op
    def tanh(x):
        y = array_module(x).tanh(x)
        return y, lambda g: g * (1 - y * y)

Calling tanh on a Tensor runs the formula on its array and, if the Tensor needs a gradient, records a `Node`: the op, its
parents and the pullback. `backward` walks the nodes from the youngest to the oldest. The same formula runs on three
kinds of arrays: NumPy's, CuPy's and, for gradients of gradients (create_graph=True), Tensors. In the third case the
engine evaluates the formula again, and the graph records the pullback's arithmetic too.

Rules for a formula: it is pure (randomness comes in as an argument), works on all three (functions of
`array_module(x)`, operators, other ops), changes nothing in place, and its pullback never changes or stores ``g``.
Inputs that can have a gradient are positional, everything else (axes, masks, index arrays) is passed by keyword.

Ancestors: HIPS autograd (vjps, borrowed gradients), DeZero (differentiable backward), ChainRules.jl (rrule).
Read before: grad_mode.py. Read next: ops/elementwise.py, the first family of operations.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from . import changes
from .changes import clock, mark_changed
from .devices import array_module
from .errors import explain
from .grad_mode import enable_grad, mode, no_autocast, no_grad


class Box(Protocol):
    """An array with its place in the graph: all that this file needs to know about a Tensor."""

    array: Any
    node: Any  # a Node, or None
    grad: Any

    def __init__(self, array: Any, node: Any = None) -> None: ...


Tensor: Any = None  # the class that boxes arrays, once tensor.py has registered it
FLOAT32 = np.dtype(np.float32)
T = TypeVar("T", bound=type[Box])


def register(box: T) -> T:
    """Make ``box`` the class in which ops return their results."""
    global Tensor
    Tensor = box
    return box


# ---------------------------------------------------------------------------------------------------- the graph


class Node:
    """One recorded operation: the edges to its parents and the pullback.

    ``parents`` has one entry per input (None where no gradient is needed). ``shape`` and ``dtype`` are those of the
    result, and so of its gradient. ``inputs`` are saved for evaluating the formula on Tensors (create_graph); a linear
    op's pullback needs no input, so none is saved.
    """

    __slots__ = ("time", "call", "parents", "pullback", "inputs", "static", "shape", "dtype", "hooks", "where", "__weakref__")
    where: Any  # the line of the user's program that called the op, noted by tools/anomaly.py

    def __init__(
        self, call: Any, parents: tuple[Node | None, ...], pullback: Any, inputs: Any, static: Any, shape: Any, dtype: Any
    ) -> None:
        self.time = next(clock)
        self.call = call
        self.parents = parents
        self.pullback = pullback
        self.inputs = inputs
        self.static = static
        self.shape = shape
        self.dtype = dtype
        self.hooks: dict[int, Any] | None = None

    @property
    def name(self) -> str:
        """The op's name, as in ``minitorch.NAME``."""
        return str(self.call.__name__)

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape}>"


class Leaf(Node):
    """The end of the walk: the node of a tensor that the user made; it adds the gradient to the tensor's ``.grad``."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Box) -> None:
        super().__init__(Leaf, (), None, None, None, tensor.array.shape, tensor.array.dtype)
        self.tensor = weakref.ref(tensor)  # weak, or tensor and node would keep each other alive

    def receive(self, g: Any, owned: bool) -> None:
        """Add ``g`` to the tensor's ``.grad``, copying it if the array may be used elsewhere."""
        tensor = self.tensor()
        if tensor is None:
            return
        if isinstance(g, Tensor):  # create_graph: gradients belong to a graph and never change in place
            tensor.grad = g if tensor.grad is None else tensor.grad + g
        elif tensor.grad is None:
            tensor.grad = Tensor(own(g, owned and not self.hooks))
        elif tensor.grad.node is not None:
            tensor.grad = Tensor(tensor.grad.array + g)
        else:
            tensor.grad.array += g
            mark_changed(tensor.grad.array)


class Output(Node):
    """One output of an op that returns a tuple (split, unbind): the op's pullback gets {index: gradient}."""

    __slots__ = ("index",)
    linear = True

    def __init__(self, whole: Node, index: int, shape: Any, dtype: Any) -> None:
        super().__init__(Output, (whole,), lambda g: {index: g}, (), {}, shape, dtype)
        self.index = index


# ------------------------------------------------------------------------------------------------- recording ops


def op(
    formula: Any = None, *, linear: Any = False, idempotent: Any = False, promote: Any = None, widen: Any = None
) -> Callable[..., Any]:
    """Turn a formula into a differentiable operation (see the head of this file).

    linear:  the pullback needs no input's value, so the inputs are not saved; it must itself work on Tensors.
    idempotent: f(f(x)) = f(x), and the pullback needs only the result, which is saved in the input's place.
    promote: brings the operands to one dtype first (ops/elementwise.py).
    widen:   for operands that are not float32: None, or wider operands and the function that casts the result (ops/_op.py).
    Called on arrays, the operation returns plain arrays, so formulas can call each other.
    """
    if formula is None:
        return functools.partial(op, linear=linear, idempotent=idempotent, promote=promote, widen=widen)
    arity = formula.__code__.co_argcount

    def call(*inputs: Any, **static: Any) -> Any:
        if static and len(inputs) < arity:  # mul(x, other=y)
            inputs, static = by_position(formula, inputs, static)
        arrays, boxed = [], False
        for x in inputs:
            if isinstance(x, Tensor):
                boxed, x = True, x.array
            arrays.append(x)
        if widen is not None and arrays[0].dtype is not FLOAT32 and (wider := widen(inputs)) is not None:
            return wider[1](call(*wider[0], **static))
        if not boxed:
            return formula(*inputs, **static)[0]
        if promote is not None and (promoted := promote(inputs)) is not inputs:
            inputs = promoted
            arrays = [x.array if isinstance(x, Tensor) else x for x in inputs]
        try:
            if mode.observer is None:
                y, pullback = quiet.copy().run(formula, *arrays, **static)
            else:
                y, pullback = mode.observer.forward(call, functools.partial(quiet.copy().run, formula), arrays, static)
        except (TypeError, ValueError) as error:
            raise explain(call.__name__, arrays, error) from error
        if mode.enabled:
            parents = tuple([x.node if isinstance(x, Tensor) else None for x in inputs])
            if any(parents):
                return record(call, inputs, parents, static, y, pullback)
        return tuple(map(Tensor, y)) if type(y) is tuple else Tensor(y)

    functools.update_wrapper(call, formula)
    call.__name__ = formula.__name__.lstrip("_")
    call.formula, call.linear, call.idempotent = formula, linear, idempotent  # type: ignore[attr-defined]
    return call


quiet = contextvars.copy_context()  # NumPy does not warn here: as in PyTorch log(0) is -inf; tools/anomaly.py finds its source
quiet.run(np.seterr, all="ignore")  # (entering a copy of it is three times as fast as np.errstate)


def by_position(formula: Any, inputs: Sequence[Any], static: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The formula's positional and keyword arguments, however the caller passed them."""
    given = inspect.signature(formula).bind(*inputs, **static)
    given.apply_defaults()
    return given.args, given.kwargs


def record(call: Any, inputs: Sequence[Any], parents: tuple[Any, ...], static: dict[str, Any], y: Any, pullback: Any) -> Any:
    """An op's result as a Tensor (or a tuple of them) with its node in the graph."""
    saved = () if call.linear else (Tensor(y, parents[0]),) if call.idempotent else inputs
    if type(y) is tuple:
        node = Node(call, parents, pullback, saved, static, None, None)
        results: Any = tuple([Tensor(part, Output(node, i, part.shape, part.dtype)) for i, part in enumerate(y)])
    else:
        node = Node(call, parents, pullback, saved, static, y.shape, y.dtype)
        results = Tensor(y, node)
    if mode.observer is not None:
        mode.observer.recorded(node)
    return results


# --------------------------------------------------------------------------------------------- the backward pass


def backward(
    roots: list[Node], gradients: list[Any], wanted: set[Node] | None, retain_graph: bool = False, create_graph: bool = False
) -> dict[Node, Any]:
    """Walk from ``roots``, whose gradients are given, to the leaves; return the gradients of the ``wanted`` nodes.

    Reverse-mode differentiation: a node is visited after everything younger, so its gradient is complete by then.
    Without ``wanted`` every leaf reached receives its gradient; with it the walk follows only the paths to those nodes
    and changes no leaf.
    """
    order, leads = youngest_first(roots, wanted)
    pending: dict[Node, Any] = {}  # gradients not yet passed on
    owned: set[Node] = set()  # nodes whose pending gradient the engine owns and may add to in place
    for root, g in zip(roots, gradients, strict=True):
        accumulate(pending, owned, root, g, fresh=False)
    found: dict[Node, Any] = {}
    walked: dict[Node, Any] = {}
    with enable_grad() if create_graph else no_grad(), no_autocast(), np.errstate(all="ignore"):
        while order:
            node = order.pop()
            g = pending.pop(node, None)
            if g is None:
                continue
            if node.hooks is not None:
                g = run_hooks(node, g)
            if leads is None:  # the walk into the leaves
                if type(node) is Leaf:
                    node.receive(g, node in owned)
                    continue
                parents = node.parents
            else:  # the walk to the wanted nodes, on the paths that lead there
                if node in wanted:  # type: ignore[operator]
                    found[node] = own(g, node in owned)
                parents = tuple([parent if parent in leads else None for parent in node.parents])
                if not any(parents):
                    continue
            for parent, contribution in zip(parents, pull_back(node, parents, g, create_graph), strict=True):
                if parent is not None and contribution is not None:
                    accumulate(pending, owned, parent, contribution, fresh=contribution is not g)
            if not retain_graph:  # free the activations during the walk
                node.pullback = node.inputs = node.static = None
                walked[node], node.parents = node.parents, ()
    mode.walked = walked
    return found


def youngest_first(roots: list[Node], wanted: set[Node] | None) -> tuple[list[Node], set[Node] | None]:
    """The nodes to visit, oldest first (so that ``pop()`` gives the youngest), and those that lead to ``wanted``.

    A node is always younger than its parents, so sorting by time is a topological order (a leaf follows the oldest node that
    uses it). The walk is iterative and visits each node once: long chains need no recursion, ladders of diamonds little time.
    """
    time: dict[Node, float] = {node: node.time for node in roots}
    stack = list(time)
    while stack:
        node = stack.pop()
        if node.pullback is None and type(node) is not Leaf:
            raise RuntimeError(
                f"backward: the graph behind {node.name} was already walked and freed; "
                "pass retain_graph=True to the first backward() if you need to walk it again"
            )
        for parent in node.parents:
            if parent is not None and parent not in time:
                stack.append(parent)
            if parent is not None:
                time[parent] = parent.time if type(parent) is not Leaf else min(time.get(parent, node.time), node.time - 0.5)
    order = sorted(time, key=time.__getitem__)
    if wanted is None:
        return order, None
    leads = set(wanted)  # add the nodes from which a wanted one is reached
    for node in order:
        if node not in leads and any(parent in leads for parent in node.parents):
            leads.add(node)
    return [node for node in order if node in leads], leads


def pull_back(node: Node, parents: Sequence[Node | None], g: Any, create_graph: bool) -> Sequence[Any]:
    """The contributions of ``g`` to each of the node's parents (anything where the parent is None)."""
    if changes.last_change > node.time:
        changes.check_unchanged(node, create_graph)
    pullback = node.pullback
    if create_graph and not node.call.linear:  # evaluate the formula on Tensors, so that the pullback is recorded
        pullback = node.call.formula(*node.inputs, **node.static)[1]
    if mode.observer is not None:
        pullback = mode.observer.backward(node, pullback)
    if type(pullback) is tuple:
        return [None if parent is None else p(g) for p, parent in zip(pullback, parents, strict=True)]
    if len(parents) == 1:
        return (pullback(g),)
    contributions = pullback(g)
    ids = [id(c) for c in contributions]  # neither of two parents may own an array that both get; a view marks it as borrowed
    return [c if c is None or ids.count(id(c)) == 1 else c[...] for c in contributions]


def accumulate(pending: dict[Node, Any], owned: set[Node], node: Node, g: Any, fresh: bool) -> None:
    """Add a contribution to a node's pending gradient.

    The first contribution is borrowed (``x + y`` gives one array to both), the second allocates the sum, later ones are
    added to that sum in place. The engine owns a fresh array at once if nothing else refers to it.
    """
    if type(g) is dict:  # from an Output
        pending.setdefault(node, {}).update(g)
        return
    if g.shape != node.shape:
        g = undo_broadcast(g, node.shape)
    if g.dtype != node.dtype:
        g = g.astype(node.dtype)
    held = pending.get(node)
    if held is None:
        pending[node] = g
        if fresh and not isinstance(g, Tensor) and g.base is None:
            owned.add(node)
    elif node in owned:
        held += g
        pending[node] = held  # store again: NumPy's 0-d results are immutable scalars, so += creates a new one
    else:
        pending[node] = held + g
        if not isinstance(g, Tensor):
            owned.add(node)


def own(g: Any, owned: bool) -> Any:
    """A gradient to return: a copy if the array may be used elsewhere, so that changing one never changes the other."""
    return g if owned or isinstance(g, Tensor) else array_module(g).array(g)


def undo_broadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``g`` over the axes along which a value of ``shape`` was repeated: broadcasting's adjoint, for every op."""
    extra = len(g.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    g = g.astype(np.float32) if g.dtype.itemsize == 2 else g  # sums of float16 need more digits; accumulate casts back
    summed = array_module(g).sum(g, axis=axes, keepdims=True) if axes else g
    return summed.reshape(shape)


def run_hooks(node: Node, g: Any) -> Any:
    """Call the tensor's hooks with the gradient; a tensor that one returns replaces it."""
    for hook in list((node.hooks or {}).values()):
        shown = g if isinstance(g, Tensor) else Tensor(g)
        if (changed := hook(shown)) is not None:
            if changed.shape != shown.shape:
                raise RuntimeError(f"hook: a gradient of shape {shown.shape} cannot become one of shape {changed.shape}")
            g = changed if isinstance(g, Tensor) else changed.array
    return g


# ------------------------------------------------------------------------------------------------- for users


def grad(
    outputs: Box | Sequence[Box],
    inputs: Box | Sequence[Box],
    grad_outputs: Box | Sequence[Box | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of ``outputs`` with respect to ``inputs``, returned; no ``.grad`` is touched (torch.autograd.grad)."""
    ys, xs = listed(outputs), listed(inputs)
    for i, x in enumerate(xs):
        if x.node is None:
            raise RuntimeError(f"grad: input {i} does not require grad; call requires_grad_() on it before using it")
    found = walk_from(ys, listed(grad_outputs, len(ys)), xs, retain_graph, create_graph)
    results: list[Any] = [found.get(x.node) for x in xs]
    if materialize_grads:
        results = [x.new_zeros(x.shape) if g is None else g for x, g in zip(xs, results, strict=True)]
    elif None in results and not allow_unused:
        unused = results.index(None)
        raise RuntimeError(f"grad: input {unused} was not used to compute the outputs; pass allow_unused=True to get None for it")
    return tuple(results)


def listed(x: Any, count: int = 1) -> list[Any]:
    """One or several as a list; None becomes ``count`` times None."""
    return [None] * count if x is None else [x] if isinstance(x, Tensor) else list(x)


def walk_from(ys: Any, seeds: Any, xs: Any, retain_graph: bool | None, create_graph: bool) -> dict[Node | None, Box]:
    """Walk from the tensors ys to the tensors xs and return their gradients; xs None adds to every leaf's ``.grad``."""
    roots, gradients = start(ys, seeds, create_graph)
    wanted = None if xs is None else {x.node for x in xs if x.node is not None}
    found = backward(roots, gradients, wanted, create_graph if retain_graph is None else retain_graph, create_graph)
    return {node: g if isinstance(g, Tensor) else Tensor(g) for node, g in found.items()}


def start(ys: Sequence[Box], seeds: Sequence[Box | None], create_graph: bool) -> tuple[list[Node], list[Any]]:
    """The nodes to start from and their gradients: 1 for a scalar, otherwise those that the caller gave."""
    roots, gradients = [], []
    for y, seed in zip(ys, seeds, strict=True):
        if y.node is None:
            raise RuntimeError("backward: this tensor does not require grad: nothing it was computed from does")
        if seed is None:
            if y.array.size != 1:
                raise RuntimeError(
                    f"backward: only a scalar has a gradient of its own, this tensor has shape {tuple(y.array.shape)}; "
                    "reduce it first (y.sum(), y.mean()) or pass gradient= of the same shape"
                )
            seed = Tensor(array_module(y.array).ones_like(y.array))
        elif tuple(seed.array.shape) != tuple(y.array.shape):
            raise RuntimeError(
                f"backward: gradient has shape {tuple(seed.array.shape)}, but the tensor has shape {tuple(y.array.shape)}"
            )
        roots.append(y.node)
        gradients.append(seed if create_graph else seed.array.astype(y.array.dtype, copy=False))
    return roots, gradients
