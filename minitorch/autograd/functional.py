"""Derivatives of functions: Jacobians, Hessians, and their products with a vector (torch.autograd.functional).

With f: ℝⁿ → ℝᵐ, J the m x n matrix of ∂fᵢ/∂xⱼ and, for m = 1, H the n x n matrix of ∂²f/∂xᵢ∂xⱼ:

    vjp     vᵀJ, one backward pass, as backward()                  jacobian    J, one backward pass per row
    jvp     J v, two backward passes                               hessian     H, the Jacobian of the gradient
    vhp     vᵀH, the vjp of the gradient                           hvp         H v, its jvp

jvp goes backward twice: vᵀJ is linear in v, with the matrix Jᵀ; so the gradient of u·(vᵀJ) with respect to v is J u.

Everywhere ``inputs`` and the function's outputs are a tensor or a tuple of them, and the result is nested likewise: J[i][j] is
of output i and input j, and has the shape of output i followed by that of input j.
create_graph: the results can be differentiated again.  strict: an error if a result does not depend on an input or output;
otherwise its derivative is 0.  ``vectorize`` and the strategies are PyTorch's; they have no effect here.
Read before: graph.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..creation import zeros_like
from ..grad_mode import enable_grad
from ..graph import grad
from ..ops import stack
from ..tensor import Tensor

Tensors: TypeAlias = tuple[Tensor, ...]
STRATEGIES = ("reverse-mode", "forward-mode")

# --------------------------------------------------------------------------------------------------- first order


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), vᵀJ), for v like the outputs; v may be omitted for an output of one element."""
    with enable_grad():
        several, xs = _as_tuple("vjp", "inputs", inputs)
        xs = _separate(xs, create_graph)
        several_ys, ys = _outputs("vjp", func, xs, strict)
        v = _vector("vjp", v, ys, several_ys, "the output", create_graph)
        product = _filled("vjp: the output", _grads(ys, xs, v, create_graph), xs, strict, create_graph)
    return _result(ys, several_ys, create_graph), _result(product, several, create_graph)


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), J v), for v like the inputs; v may be omitted for an input of one element."""
    with enable_grad():
        several, xs = _as_tuple("jvp", "inputs", inputs)
        xs = _separate(xs, create_graph)
        v = _vector("jvp", v, xs, several, "the input", create_graph)
        several_ys, ys = _outputs("jvp", func, xs, strict)
        product = _backward_twice("jvp: the output", ys, xs, v, strict, create_graph)
    return _result(ys, several_ys, create_graph), _result(product, several_ys, create_graph)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """J of func at ``inputs``, one backward pass per element of the outputs."""
    _check_strategy("jacobian", strategy)
    with enable_grad():
        several, xs = _as_tuple("jacobian", "inputs", inputs)
        xs = _separate(xs, create_graph)
        several_ys, ys = _outputs("jacobian", func, xs, strict)
        rows = [_result(_jacobian_of(i, y, xs, strict, create_graph), several, create_graph) for i, y in enumerate(ys)]
    return tuple(rows) if several_ys else rows[0]


def _jacobian_of(i: int, y: Tensor, xs: Tensors, strict: bool, create_graph: bool) -> Tensors:
    """∂y/∂x for each x, for y the output i: the gradients of y's elements, stacked."""
    rows = []
    for j in range(y.numel()):
        seed = zeros_like(y)
        seed.array.reshape(-1)[j] = 1
        found = _grads((y,), xs, (seed,), create_graph, retain_graph=True)
        rows.append(_filled(f"jacobian: output {i}", found, xs, strict, create_graph))
    columns = zip(*rows, strict=True)
    return tuple([stack(column).reshape(y.shape + x.shape) for x, column in zip(xs, columns, strict=True)])


# -------------------------------------------------------------------------------------------------- second order


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """H of func, which returns one element, at ``inputs``: the Jacobian of its gradient."""
    _check_strategy("hessian", outer_jacobian_strategy)
    several, xs = _as_tuple("hessian", "inputs", inputs)

    def gradient(*xs: Tensor) -> Tensors:
        return _gradient("hessian", func, xs, strict)[1]

    rows = jacobian(gradient, xs, create_graph, strict)
    return rows if several else rows[0][0]


def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), vᵀH), for v like the inputs: cheaper than hvp, and the same where H is symmetric (f twice continuous)."""
    with enable_grad():
        several, xs = _as_tuple("vhp", "inputs", inputs)
        xs = _separate(xs, create_graph)
        v = _vector("vhp", v, xs, several, "the input", create_graph)
        y, first = _gradient("vhp", func, xs, strict)
        product = _filled("vhp: the gradient", _grads(first, xs, v, create_graph), xs, strict, create_graph)
    return _result((y,), False, create_graph), _result(product, several, create_graph)


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(*inputs), H v), for v like the inputs."""
    with enable_grad():
        several, xs = _as_tuple("hvp", "inputs", inputs)
        xs = _separate(xs, create_graph)
        v = _vector("hvp", v, xs, several, "the input", create_graph)
        y, first = _gradient("hvp", func, xs, strict)
        product = _backward_twice("hvp: the gradient", first, xs, v, strict, create_graph)
    return _result((y,), False, create_graph), _result(product, several, create_graph)


def _gradient(name: str, func: Callable[..., Any], xs: Tensors, strict: bool) -> tuple[Tensor, Tensors]:
    """f(x) and its gradient, which can be differentiated."""
    several, (y, *others) = _outputs(name, func, xs, strict)
    if several or others or y.numel() != 1:
        raise RuntimeError(f"{name}: the function must return one tensor of one element; sum its result, or use jacobian")
    found = _filled(f"{name}: the output", _grads((y,), xs, (None,), True), xs, strict, False)
    _require_grad(f"{name}: the gradient", found, strict)
    return y, found


# -------------------------------------------------------------------------------------------------- common parts


def _backward_twice(what: str, ys: Tensors, xs: Tensors, v: Sequence[Any], strict: bool, create_graph: bool) -> Tensors:
    """J v (see the head of this file). The first pass is linear in its seeds, so any will do: zeros."""
    seeds = tuple([zeros_like(y).requires_grad_() for y in ys])
    passed = _grads(ys, xs, seeds, create_graph=True)
    _filled(what, passed, xs, strict, create_graph=True)
    return _filled(what, _grads(passed, seeds, v, create_graph), ys, strict, create_graph)


def _as_tuple(name: str, what: str, x: Any) -> tuple[bool, Tensors]:
    """Is it a tuple? And as one."""
    several = isinstance(x, tuple)
    for i, item in enumerate(x if several else (x,)):
        if not isinstance(item, Tensor):
            at = f" at index {i}" if several else ""
            raise TypeError(f"{name}: the {what} must be a Tensor or a tuple of Tensors, got {type(item).__name__}{at}")
    return several, x if several else (x,)


def _separate(xs: Sequence[Tensor], create_graph: bool, needed: bool = True) -> Tensors:
    """New Tensors on the same memory, so that a tensor the function captures does not count as an argument."""
    return tuple([x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_(needed) for x in xs])


def _outputs(name: str, func: Callable[..., Any], xs: Tensors, strict: bool) -> tuple[bool, Tensors]:
    several, ys = _as_tuple(name, "function's outputs", func(*xs))
    _require_grad(f"{name}: the output", ys, strict)
    return several, ys


def _vector(name: str, v: Any, like: Tensors, several: bool, whose: str, create_graph: bool) -> Sequence[Any]:
    """v as a tuple that fits ``like``; (None,), which stands for 1, where it may be omitted."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"{name}: v can be omitted only where {whose} is one tensor of one element; pass v like {whose}")
        return (None,)
    _, v = _as_tuple(name, "vector v", v)
    wanted, got = [tuple(x.shape) for x in like], [tuple(x.shape) for x in v]
    if wanted != got:
        raise RuntimeError(
            f"{name}: v must have the shape of {whose}: {wanted if several else wanted[0]}, got {got if len(got) > 1 else got[0]}"
        )
    return _separate(v, create_graph, needed=False)


def _grads(ys: Sequence[Any], xs: Tensors, seeds: Sequence[Any], create_graph: bool, retain_graph: bool | None = None) -> Any:
    """grad, where outputs may be None or constant: their gradient is None."""
    pairs = [(y, seed) for y, seed in zip(ys, seeds, strict=True) if y is not None and y.requires_grad]
    if not pairs:
        return (None,) * len(xs)
    return grad([y for y, _ in pairs], xs, [s for _, s in pairs], retain_graph, create_graph, allow_unused=True)


def _filled(what: str, grads: Sequence[Any], like: Tensors, strict: bool, create_graph: bool) -> Tensors:
    """The gradients, zeros for None; with ``strict`` None is an error, and so is a constant that is to be differentiated."""
    for i, g in enumerate(grads):
        if strict and g is None:
            raise RuntimeError(f"{what} is independent of input {i}, which strict=True does not allow")
        if strict and create_graph and not g.requires_grad:
            raise RuntimeError(f"{what} depends on input {i} linearly, which strict=True does not allow with create_graph=True")
    return tuple([zeros_like(x) if g is None else g for g, x in zip(grads, like, strict=True)])


def _require_grad(what: str, tensors: Tensors, strict: bool) -> None:
    for i, x in enumerate(tensors):
        if strict and not x.requires_grad:
            raise RuntimeError(f"{what} (number {i}) does not depend on the inputs, which strict=True does not allow")


def _result(tensors: Tensors, several: bool, create_graph: bool) -> Any:
    """Nested like the caller's values, and detached if no graph is needed."""
    tensors = tensors if create_graph else tuple([x.detach() for x in tensors])
    return tensors if several else tensors[0]


def _check_strategy(name: str, strategy: str) -> None:
    if strategy not in STRATEGIES:
        raise ValueError(f'{name}: the strategy must be "reverse-mode" or "forward-mode", got {strategy!r}')
