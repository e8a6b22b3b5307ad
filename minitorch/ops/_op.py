"""``@op(...)``: the one decorator of every formula in this folder.

graph.op turns a formula into a differentiable operation. This decorator does the same, and its arguments name PyTorch's
conversions of the operands before the formula runs:

    @op(promote=floating, autocast=True)
    def exp(input):
        y = array_module(input).exp(input)
        return y, lambda g: g * y

Each argument adds one step; a step that is off costs nothing. They run in this order:
    autocast     within an autocast block, cast the operands as PyTorch's lists say (_autocast.py)
    floats_only  refuse integers and bools
    half         compute 16-bit floats in float32, and cast the result back
    promote      bring the operands to one dtype (_promotion.py)
Read before: graph.py. Read next: _promotion.py, elementwise.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from .. import dtypes, graph
from ..devices import device_of
from ._arguments import raw
from ._autocast import autocast as obey_autocast
from ._promotion import astype
from .checks import refuse_integers


def op(
    formula: Any = None,
    *,
    linear: bool = False,
    idempotent: bool = False,
    promote: Callable[..., Sequence[Any]] | None = None,
    floats_only: bool = False,
    half: str | None = None,
    autocast: bool = False,
) -> Callable[..., Any]:
    """Turn a formula, which returns its result and the pullback, into a differentiable operation.

    linear:      the pullback needs no input's value; idempotent: it needs only the result (graph.op).
    promote:     ``common`` or ``floating``: the dtype to which the operands are brought.
    floats_only: refuse integers, as PyTorch does for operations that only make sense on floats.
    half:        "float32" computes 16-bit floats in float32; "float32 on CPU" only there: NumPy has no BLAS for them,
                 and its sums of float16 stop growing at 2048; "float32 with numbers" where they meet a number or a tensor
                 of another dtype: 70,000 is infinite in float16, 1e-8 is 0. None leaves them unchanged.
    autocast:    the operation is in one of the lists of _autocast.py.
    """
    if formula is None:
        options: Any = {"promote": promote, "floats_only": floats_only, "half": half, "autocast": autocast}
        return functools.partial(op, linear=linear, idempotent=idempotent, **options)
    numbers = half == "float32 with numbers"
    widen = widening(formula, floats_only, half) if (floats_only or half) and not numbers else None
    call = graph.op(formula, linear=linear, idempotent=idempotent, promote=promote, widen=widen)
    call = with_numbers(call) if numbers else call
    return obey_autocast(call) if autocast else call


def widening(function: Any, floats_only: bool, half: str | None) -> Callable[[Sequence[Any]], Any]:
    """The steps ``floats_only`` and ``half`` of op, as graph.op's argument ``widen``."""
    assert half in (None, "float32", "float32 on CPU")
    name = function.__name__.strip("_")

    def widen(inputs: Sequence[Any]) -> Any:
        dtype = inputs[0].dtype
        if dtype.kind == "f" and dtype.itemsize > 2:  # the usual case
            return None
        if floats_only:
            refuse_integers(name, dtype)
        if half is None or not is_half(dtype) or (half == "float32 on CPU" and device_of(raw(inputs[0])) != "cpu"):
            return None
        wide = [x if x is None or x.dtype != dtype else astype(x, dtypes.float32) for x in inputs]
        return wide, functools.partial(astype, dtype=dtype)

    return widen


def in_floats(function: Any = None, *, floats_only: bool = True, half: str | None = "float32") -> Callable[..., Any]:
    """The same steps for a function that calls several ops."""
    if function is None:
        return functools.partial(in_floats, floats_only=floats_only, half=half)
    widen = widening(function, floats_only, half)

    @functools.wraps(function)
    def call(*inputs: Any, **static: Any) -> Any:
        if not inputs:  # sigmoid(input=x)
            inputs, static = graph.by_position(function, inputs, static)
        wide, cast = widen(inputs) or (inputs, None)
        result = function(*wide, **static)
        return result if cast is None else cast(result)

    return call


def with_numbers(function: Any) -> Callable[..., Any]:
    """The step ``half="float32 with numbers"`` of op: the dtype of the result is the usual one."""

    @functools.wraps(function)
    def call(*inputs: Any, **static: Any) -> Any:
        for x in inputs:
            if isinstance(x, graph.Tensor) and x.array.dtype.itemsize == 2:
                break
        else:  # the usual case
            return function(*inputs, **static)
        inputs, _ = graph.by_position(function, inputs, static)
        dtype = dtypes.result_type(*inputs)
        if not is_half(dtype) or all(getattr(x, "dtype", None) == dtype for x in inputs):
            return function(*inputs)
        return in_float32(function, *inputs)

    return call


def in_float32(function: Callable[..., Any], *operands: Any) -> Any:
    """function(*operands), whose result has their common dtype; half precision is left for its intermediate results."""
    dtype = dtypes.result_type(*operands)
    if not is_half(dtype):
        return function(*operands)
    return astype(function(*[astype(x, dtypes.float32) if hasattr(x, "dtype") else x for x in operands]), dtype)


def is_half(dtype: Any) -> bool:
    """float16 or bfloat16?"""
    return dtype.itemsize == 2 and dtypes.is_floating(dtype)
