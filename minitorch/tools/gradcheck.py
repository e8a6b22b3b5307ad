"""Checking gradients against finite differences, that is, against the definition of the derivative.

    ∂y/∂x ≈ (f(x + ε) - f(x - ε)) / 2ε,   with an error of order ε² from the formula and of order (rounding / ε) from the
    arithmetic. In float64 with ε = 1e-6 both are far below 1e-5; in float32 the second is larger than the derivative.

Names, arguments and defaults are those of torch.autograd.gradcheck; call it as ``minitorch.autograd.gradcheck``.
Read before: graph.py. Read next: anomaly.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .. import devices, graph
from ..tensor import Tensor

Matrix: TypeAlias = "np.ndarray[Any, Any]"  # a Jacobian: one row per element of the output, one column per element of the input


class GradcheckError(RuntimeError):
    """An analytic gradient and a finite difference disagree."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Compare the gradients of ``func(*inputs)`` with central differences, |analytic - numeric| ≤ atol + rtol·|numeric|.

    inputs: a tensor or a tuple. Tensors that require grad are varied and then restored; anything else is passed through.
    Every output element is compared with every input element; ``fast_mode`` compares one random combination of them, which
    costs three evaluations per input. (check_undefined_grad and check_grad_dtypes are PyTorch's names for two checks that
    are always made here.)
    Returns True, or raises GradcheckError (or returns False, with raise_exception=False).
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    varied = [i for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad]
    if not varied:
        raise ValueError("gradcheck: no input requires grad; make one with minitorch.tensor(..., requires_grad=True)")
    for i in varied:
        if arguments[i].dtype != np.float64:
            warnings.warn(
                f"gradcheck: input {i} is {arguments[i].dtype}, too coarse for a difference of {eps}; pass x.double() "
                "(detached, with requires_grad_()), or a larger eps and atol",
                stacklevel=2,
            )
    compare = _compare_projections if fast_mode else _compare_jacobians
    try:
        _check_repeatable(func, arguments, varied, nondet_tol)
        compare(func, arguments, varied, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Check second derivatives: gradcheck of the function (inputs, grad_outputs) ↦ gradients of ``func``.

    grad_outputs: the output gradients to check at; None draws random ones.
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        random = np.random.default_rng(0)
        seeds: tuple[Any, ...] = tuple(_random_like(y, random).requires_grad_() for y in _outputs(func, arguments))
    else:
        seeds = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)

    def gradients(*both: Any) -> tuple[Tensor, ...]:
        xs, gs = both[: len(arguments)], both[len(arguments) :]
        ys = _outputs(func, xs)
        pairs = [(y, g) for y, g in zip(ys, gs, strict=True) if y.requires_grad]
        varied = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        if not pairs:
            return ()
        found = graph.grad([y for y, _ in pairs], varied, [g for _, g in pairs], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    settings = {"eps": eps, "atol": atol, "rtol": rtol, "nondet_tol": nondet_tol, "fast_mode": fast_mode}
    return gradcheck(gradients, arguments + seeds, raise_exception=raise_exception, **settings)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- the two derivatives


def _difference(func: Any, arguments: Sequence[Any], x: Tensor, direction: Matrix, eps: float) -> list[Matrix]:
    """(f(x + εd) - f(x - εd)) / 2ε for every output; ``x`` gets its own array back afterwards."""
    before, results = x.array, []
    step = devices.move((eps * direction).astype(x.dtype), x.device)
    try:
        for moved in (before + step, before - step):
            x.array = moved
            results.append([_host(y) for y in _outputs(func, arguments)])
    finally:
        x.array = before
    return [(above - below) / (2 * eps) for above, below in zip(*results, strict=True)]


def _numeric_jacobians(func: Any, arguments: Sequence[Any], x: Tensor, eps: float) -> list[Matrix]:
    """∂y/∂x for every output y, column by column: column i is the change of all outputs when element i of x moves."""
    columns = []
    for i in range(x.numel()):
        direction = np.zeros(x.numel())
        direction[i] = 1
        columns.append(_difference(func, arguments, x, direction.reshape(x.shape), eps))
    if not columns:
        return [np.zeros((y.numel(), 0)) for y in _outputs(func, arguments)]
    return [np.stack([d.reshape(-1) for d in of_output], axis=1) for of_output in zip(*columns, strict=True)]


def _analytic_jacobians(y: Tensor, xs: Sequence[Tensor]) -> list[Matrix]:
    """∂y/∂x for every input x, row by row: row k is the gradient of element k of y, from backward."""
    jacobians = [np.zeros((y.numel(), x.numel())) for x in xs]
    for k in range(y.numel()):
        seed = np.zeros(y.numel())
        seed[k] = 1
        for jacobian, g in zip(jacobians, _gradients(y, xs, seed), strict=True):
            jacobian[k] = g.reshape(-1)
    return jacobians


def _gradients(y: Tensor, xs: Sequence[Tensor], seed: Matrix) -> list[Matrix]:
    """seedᵀ ∂y/∂x for every input; zeros where y does not depend on it."""
    if not y.requires_grad:
        return [np.zeros(x.shape) for x in xs]
    u = Tensor(devices.move(seed.reshape(y.shape).astype(y.dtype), y.device))
    found = graph.grad(y, xs, u, retain_graph=True, allow_unused=True)
    for x, g in zip(xs, found, strict=True):
        if g is not None and (g.shape != x.shape or g.dtype != x.dtype):
            raise GradcheckError(f"gradcheck: an input {x.shape} {x.dtype} got a gradient {g.shape} {g.dtype}; they must agree")
    return [np.zeros(x.shape) if g is None else _host(g) for x, g in zip(xs, found, strict=True)]


# ------------------------------------------------------------------------------------------------ comparing them


def _compare_jacobians(func: Any, arguments: Sequence[Any], varied: list[int], eps: float, atol: float, rtol: float) -> None:
    """Every element of every Jacobian."""
    numeric = [_numeric_jacobians(func, arguments, arguments[i], eps) for i in varied]
    for j, y in enumerate(_outputs(func, arguments)):
        analytic = _analytic_jacobians(y, [arguments[i] for i in varied])
        for of_input, a, i in zip(numeric, analytic, varied, strict=True):
            n, x = of_input[j], arguments[i]
            wrong = ~np.isclose(a, n, rtol=rtol, atol=atol)
            if wrong.any():
                error = np.where(wrong, np.nan_to_num(np.abs(a - n), nan=np.inf), -1)
                k, column = np.unravel_index(np.argmax(error), error.shape)
                raise GradcheckError(
                    f"gradcheck: output {j} (shape {y.shape}), input {i} (shape {x.shape}): "
                    f"{wrong.sum()} of {wrong.size} derivatives are wrong\nthe largest error is in "
                    f"∂ output{_at(k, y.shape)} / ∂ input{_at(column, x.shape)}: analytic {a[k, column]:.8g}, "
                    f"numeric {n[k, column]:.8g}, error {abs(a[k, column] - n[k, column]):.3g}"
                )


def _compare_projections(func: Any, arguments: Sequence[Any], varied: list[int], eps: float, atol: float, rtol: float) -> None:
    """One number per pair of output and input: uᵀ (∂y/∂x) v with random u and v."""
    random = np.random.default_rng(0)
    for i in varied:
        x = arguments[i]
        v = random.standard_normal(x.shape)
        numeric = _difference(func, arguments, x, v, eps)
        for j, y in enumerate(_outputs(func, arguments)):
            u = random.standard_normal(y.shape)
            n, a = np.sum(u * numeric[j]), np.sum(_gradients(y, [x], u)[0] * v)
            if not np.isclose(a, n, rtol=rtol, atol=atol):
                raise GradcheckError(
                    f"gradcheck: output {j} (shape {y.shape}), input {i} (shape {x.shape}): along a random direction "
                    f"analytic {a:.8g}, numeric {n:.8g}, error {abs(a - n):.3g}; fast_mode=False names the element"
                )


def _check_repeatable(func: Any, arguments: Sequence[Any], varied: list[int], tolerance: float) -> None:
    """The same inputs must give the same outputs and gradients; otherwise there is nothing to compare."""
    seen = []
    for _ in range(2):
        random = np.random.default_rng(1)
        ys = _outputs(func, arguments)
        xs = [arguments[i] for i in varied]
        seen.append([_host(y) for y in ys] + [g for y in ys for g in _gradients(y, xs, random.standard_normal(y.shape))])
    for first, second in zip(*seen, strict=True):
        if not np.allclose(first, second, rtol=0, atol=tolerance, equal_nan=True):
            raise GradcheckError(
                f"gradcheck: two calls with the same inputs differ by {np.nanmax(np.abs(first - second)):.3g}; take randomness "
                "out of the function (seed it inside, or eval()), or allow it with nondet_tol"
            )


# ------------------------------------------------------------------------------------------------------- helpers


def _outputs(func: Any, arguments: Sequence[Any]) -> list[Tensor]:
    """The outputs that can have a gradient: floating tensors."""
    ys = func(*arguments)
    listed = [ys] if isinstance(ys, Tensor) else list(ys)
    return [y for y in listed if isinstance(y, Tensor) and y.is_floating_point()]


def _host(x: Tensor) -> Matrix:
    """A float64 copy in main memory."""
    return np.array(devices.move(x.array, "cpu"), dtype=np.float64)


def _random_like(y: Tensor, random: np.random.Generator) -> Tensor:
    return Tensor(devices.move(np.asarray(random.uniform(-1, 1, y.shape), dtype=y.dtype), y.device))


def _at(flat: Any, shape: tuple[int, ...]) -> str:
    """The index of an element: "[0, 2]"; nothing for a 0-d tensor."""
    return str([int(i) for i in np.unravel_index(flat, shape)]) if shape else ""
