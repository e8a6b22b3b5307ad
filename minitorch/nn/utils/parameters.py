"""Functions of all parameters at once: clip their gradients, or join them to one vector.

Read before: module.py. Read next: optim/.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ... import devices, dtypes
from ...changes import mark_changed
from ...devices import Array, array_module
from ...grad_mode import no_grad
from ...kernels import reference
from ...kernels.lists import norm_all, scale_all
from ...ops import cat, raw
from ...ops._arguments import may_read
from ...ops.extra_reductions import vector_norm
from ...tensor import Tensor
from .._arguments import check_limit

SQUARES_FIT = 1e-15, 1e18  # norms for which float32 squares neither vanish nor overflow


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Array]:
    """The gradients' own arrays, each once."""
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    found = {id(p.grad): p.grad for p in tensors if p.grad is not None}
    return [grad.array for grad in found.values()]


def _total_norm(grads: list[Array], norm_type: float) -> Array:
    """The norm of all arrays as one long vector: a kernel for p = 2, else the norm of their norms."""
    if not grads:
        return array_module().zeros((), dtypes.get_default_dtype())
    home, xp = devices.device_of(grads[0]), array_module(grads[0])
    if norm_type == 2:
        total = norm_all(grads)
        trusted = not may_read(total) or SQUARES_FIT[0] < total < SQUARES_FIT[1]
        return total if trusted else xp.asarray(reference.norm_all(grads))
    wide = [Tensor(g.astype(dtypes.promote_types(g.dtype, dtypes.float32), copy=False)) for g in grads]
    norms = [devices.move(raw(vector_norm(g, norm_type)), home) for g in wide]  # float16 overflows easily
    return raw(vector_norm(Tensor(xp.stack(norms)), norm_type))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor so that their joint norm is at most ``max_norm``; return the norm it was before.

    One norm over all gradients keeps the step's direction (Pascanu, Mikolov and Bengio, 2013). ``foreach`` is PyTorch's and
    does nothing here.
    """
    check_limit("clip_grad_norm_", "max_norm", max_norm)
    grads = _gradients(parameters)
    total = _total_norm(grads, float(norm_type))
    xp = array_module(total)
    if error_if_nonfinite and not bool(xp.isfinite(total)):
        raise RuntimeError(
            f"clip_grad_norm_: the gradients' total norm of order {norm_type} is {float(total)}, so they cannot be clipped; "
            "find the first bad value with detect_anomaly(), or pass error_if_nonfinite=False to scale them anyway"
        )
    factor = xp.minimum(max_norm / (total + 1e-6), 1.0)  # stays on the device, so nothing waits for the GPU
    with np.errstate(invalid="ignore"):  # ∞ · 0
        if grads:
            scale_all(grads, factor)
    for grad in grads:
        mark_changed(grad)
    return Tensor(total)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value]."""
    check_limit("clip_grad_value_", "clip_value", clip_value)
    for grad in _gradients(parameters):
        array_module(grad).clip(grad, -float(clip_value), float(clip_value), out=grad)
        mark_changed(grad)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters in one vector, recorded in the graph."""
    return cat([p.reshape(-1) for p in parameters])  # type: ignore[no-any-return]


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write one long vector back into the parameters."""
    start = 0
    with no_grad():
        for p in parameters:
            p.copy_(vec.detach()[start : start + p.numel()].reshape(p.shape))
            start += p.numel()
