"""Comparisons and logic: elementwise operations whose results are bools, and so have no gradient.

Read before: elementwise.py.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .. import dtypes, graph
from ..devices import array_module
from ..errors import explain
from . import checks
from ._arguments import raw
from ._promotion import common

__all__ = [
    "bitwise_and", "bitwise_not", "bitwise_or", "eq", "ge", "gt", "isfinite", "isnan", "le", "logical_not", "lt", "ne",
]  # fmt: skip


def _apply(function: Callable[..., Any], *operands: Any, promote: bool = False, **static: Any) -> Any:
    """function of the operands' arrays; a Tensor if an operand is one, a plain array otherwise."""
    arrays = [raw(x) for x in (common(operands) if promote else operands)]
    try:
        y = graph.quiet.copy().run(function, *arrays, **static)
    except (TypeError, ValueError) as error:
        raise explain(function.__name__.strip("_"), arrays, error) from error
    for x in operands:
        if isinstance(x, graph.Tensor):
            return graph.Tensor(y)
    return y


def is_operand(x: Any) -> bool:
    """Can x be compared with a tensor: is it a tensor, an array or a number?"""
    return hasattr(x, "dtype") or isinstance(x, bool | int | float)


def eq(input: Any, other: Any) -> Any:
    """input == other"""
    return _apply(operator.eq, input, other, promote=True)


def ne(input: Any, other: Any) -> Any:
    """input != other"""
    return _apply(operator.ne, input, other, promote=True)


def lt(input: Any, other: Any) -> Any:
    """input < other"""
    return _apply(operator.lt, input, other, promote=True)


def le(input: Any, other: Any) -> Any:
    """input <= other"""
    return _apply(operator.le, input, other, promote=True)


def gt(input: Any, other: Any) -> Any:
    """input > other"""
    return _apply(operator.gt, input, other, promote=True)


def ge(input: Any, other: Any) -> Any:
    """input >= other"""
    return _apply(operator.ge, input, other, promote=True)


def isnan(input: Any) -> Any:
    """Where is it not a number?"""
    return _apply(array_module(raw(input)).isnan, input)


def isfinite(input: Any) -> Any:
    """Where is it neither infinite nor NaN?"""
    return _apply(array_module(raw(input)).isfinite, input)


def logical_not(input: Any) -> Any:
    """Is it zero?"""
    return _apply(array_module(raw(input)).logical_not, input)


def bitwise_and(input: Any, other: Any) -> Any:
    """input & other, of bools or of the bits of integers"""
    return _apply(operator.and_, *_bits(input, other), promote=True)


def bitwise_or(input: Any, other: Any) -> Any:
    """input | other, of bools or of the bits of integers"""
    return _apply(operator.or_, *_bits(input, other), promote=True)


def bitwise_not(input: Any) -> Any:
    """~input, of bools or of the bits of integers"""
    checks.can_be_inverted(input.dtype)
    return _apply(operator.invert, input)


def _bits(*operands: Any) -> tuple[Any, ...]:
    checks.has_bits(dtypes.result_type(*operands))
    return operands
