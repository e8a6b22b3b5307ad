"""Autocast (minitorch/amp) for operations: PyTorch's lists, and the casts.

Products of matrices gain most from half precision and lose least; sums and powers need float32's digits and range; other
operations keep their operands' dtype. The lists are PyTorch's (aten/src/ATen/autocast_mode.h), one per kind of device.
Read before: _promotion.py. Read next: _op.py, minitorch/amp/autocast.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .. import dtypes, graph
from ..devices import device_of
from ..grad_mode import mode
from ._arguments import raw
from ._promotion import astype

HALF = "matmul mm bmm addmm baddbmm linear einsum conv1d conv2d scaled_dot_product_attention"
FLOAT32 = (
    "prod mse_loss l1_loss smooth_l1_loss huber_loss cosine_embedding_loss cross_entropy nll_loss kl_div "
    "binary_cross_entropy_with_logits add_layer_norm"  # the last is ours, treated like layer_norm
)
LISTS = {  # the cast of the floating operands -> the functions
    "cuda": {
        "half": HALF + " mv addmv",
        "float32": FLOAT32
        + " pow rdiv reciprocal rsqrt exp expm1 log log10 log1p log2 tan cosh sinh sum cumsum cumprod norm vector_norm logsumexp "
        "softmax log_softmax softplus layer_norm rms_norm cosine_similarity",
        "widest": "addcdiv addcmul dot vdot inner tensordot scatter_add",  # inner is a tensordot there
        "refused": "binary_cross_entropy",
    },
    "cpu": {"half": HALF + " inner tensordot", "float32": FLOAT32 + " trace binary_cross_entropy", "widest": "stack cat"},
}
KIND = {device: {name: kind for kind, names in kinds.items() for name in names.split()} for device, kinds in LISTS.items()}


def autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of the lists above obey this thread's autocast block. Outside such a block nothing changes."""
    name = function.__name__.lstrip("_")
    assert any(name in kinds for kinds in KIND.values()), f"{name} is in none of the lists"

    @functools.wraps(function)
    def call(*inputs: Any, **named: Any) -> Any:
        if mode.autocast is None:
            return function(*inputs, **named)
        return _cast_and_call(function, name, inputs, named)

    return call


def _cast_and_call(function: Callable[..., Any], name: str, inputs: Any, named: dict[str, Any]) -> Any:
    """The function on operands cast as its list says; functions that it calls do not cast again."""
    tensors = [x for x in _flat((inputs, list(named.values()))) if isinstance(x, graph.Tensor)]
    device = "cuda" if any(device_of(x.array) != "cpu" for x in tensors) else "cpu"
    half = (mode.autocast or {}).get(device)
    kind = KIND[device].get(name)
    if half is None or kind is None or not tensors:
        return function(*inputs, **named)
    if kind == "refused":
        raise RuntimeError(f"{name}: its logarithms overflow in half precision; use {name}_with_logits, or leave autocast for it")
    target = half if kind == "half" else dtypes.float32
    if kind == "widest" and not any(x.dtype == dtypes.float32 for x in tensors):
        target = half

    def cast(x: Any) -> Any:
        if isinstance(x, graph.Tensor):
            return _cast_once(x, target) if _may_change(x, device) else x
        return type(x)([cast(y) for y in x]) if type(x) in (tuple, list) else x

    before, mode.autocast = mode.autocast, None
    try:
        return function(*cast(inputs), **{key: cast(x) for key, x in named.items()})
    finally:
        mode.autocast = before


def _flat(x: Any) -> list[Any]:
    return [z for y in x for z in _flat(y)] if type(x) in (tuple, list) else [x]


def _may_change(x: Any, device: str) -> bool:
    """A floating tensor on the block's device; float64 was chosen on purpose and stays."""
    here = "cpu" if device_of(raw(x)) == "cpu" else "cuda"
    return here == device and dtypes.is_floating(x.dtype) and x.dtype != dtypes.float64


def _cast_once(x: Any, dtype: Any) -> Any:
    """x as dtype; a weight's half copy is made once per block (the gradients of its uses then add up before they are widened)."""
    if x.dtype == dtype or dtype.itemsize != 2 or not (x.is_leaf and x.requires_grad):
        return astype(x, dtype)
    key = id(x), dtype, mode.enabled  # a copy made under no_grad has no gradient for x
    held = mode.casts.get(key)
    if held is None or held[0] is not x:
        held = mode.casts[key] = x, astype(x, dtype)
    return held[1]
