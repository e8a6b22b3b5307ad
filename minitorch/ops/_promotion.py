"""Bringing operands to one dtype before an op runs, by PyTorch's rules (dtypes.result_type).

The casts are ops themselves, so each operand's gradient has the operand's own dtype.
Read before: _op.py, dtypes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes, graph
from ..devices import Array
from ..graph import op


@op(linear=True)
def _cast(x: Array, *, dtype: dtypes.DType) -> Any:
    source = x.dtype
    return x.astype(dtype), lambda g: g.astype(source)


def astype(x: Any, dtype: Any) -> Any:
    """``x`` as ``dtype``; ``x`` itself if it is already. Integers and booleans carry no gradient, so a cast to them ends it."""
    dtype = np.dtype(dtype)
    if x.dtype == dtype:
        return x
    if not dtypes.is_floating(dtype) and isinstance(x, graph.Tensor):
        return graph.Tensor(graph.quiet.copy().run(x.array.astype, dtype))
    return _cast(x, dtype=dtype)


def common(operands: Sequence[Any]) -> Sequence[Any]:
    """Operands of an op whose result has the operands' common dtype (add, maximum, where)."""
    return operands if _agree(operands, floating=False) else _promote(operands, floating=False)


def floating(operands: Sequence[Any]) -> Sequence[Any]:
    """Operands of an op whose result is a floating number: integers become the default dtype first (exp, div)."""
    return operands if _agree(operands, floating=True) else _promote(operands, floating=True)


def _agree(operands: Sequence[Any], floating: bool) -> bool:
    """The usual case, decided in under a microsecond: Tensors of one dtype, and numbers too weak to change it."""
    dtype = None
    numbers = False
    for x in operands:
        if isinstance(x, graph.Tensor):
            if dtype is None:
                dtype = x.array.dtype
            elif x.array.dtype is not dtype:
                return False
        elif type(x) is float or type(x) is int:
            numbers = True
        else:
            return False
    return dtype is not None and (dtype.kind == "f" or not (floating or numbers))


def _promote(operands: Sequence[Any], floating: bool) -> list[Any]:
    operands = [x.item() if isinstance(x, np.generic) else x for x in operands]
    for x in operands:
        if not (hasattr(x, "dtype") or isinstance(x, bool | int | float)):
            raise TypeError(f"expected a Tensor or a number, got {type(x).__name__}; make a tensor of it: minitorch.tensor(x)")
    dtype = dtypes.result_type(*operands)
    if floating and not dtypes.is_floating(dtype):
        dtype = dtypes.get_default_dtype()
    return [
        astype(x, dtype) if hasattr(x, "dtype") else x if dtype.kind == "f" else np.asarray(x).astype(dtype)[()] for x in operands
    ]


def in_dtype_of(y: Any, like: Any) -> Any:
    """y in the dtype of ``like``: some of CuPy's functions (where, round, tril, erf) turn bfloat16 into float32."""
    return y if y.dtype == like.dtype else y.astype(like.dtype)
