"""In-place changes of a Tensor: x += y, x[index] = value, x.zero_(). Each overwrites the array and tells changes.py.

A graph may still need the old value. So a tensor that requires a gradient refuses the change, and a graph that uses the
array detects it in the backward pass.
Read before: changes.py, methods.py. Read next: tensor.py.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from . import dtypes, graph, ops
from .changes import mark_changed
from .grad_mode import mode


class InPlace:
    """The methods that end in "_", and the operators that assign. Tensor inherits them."""

    __slots__ = ()

    array: Any
    shape: Any
    dtype: Any
    device: Any
    detach: Any
    requires_grad: Any

    @np.errstate(over="ignore", invalid="ignore")
    def _change(self, name: str, value: Any, index: Any = ...) -> Self:
        """Overwrite ``self.array[index]``, unless that would make a gradient wrong; note the time in changes.py."""
        if mode.enabled and (self.requires_grad or getattr(value, "requires_grad", False)):
            raise RuntimeError(
                f"{name}: an in-place change to a tensor of a graph would make its gradient wrong; compute a new one "
                "(x = x + y, where, cat), or work under no_grad() as optimisers do"
            )
        if isinstance(value, str | bytes | complex):
            raise TypeError(f"{name}: expected a number or a Tensor, got {type(value).__name__}: {value!r}")
        array = dtypes.number_as(name, value, self.dtype) if isinstance(value, int | float) else ops.raw(value)
        if index is ... and not dtypes.can_cast(getattr(array, "dtype", self.dtype), self.dtype):
            raise RuntimeError(f"{name}: a result of type {array.dtype} cannot be stored in a tensor of type {self.dtype}")
        shape = getattr(array, "shape", ())
        if index is ... and not _fits(shape, self.shape):
            raise RuntimeError(f"{name}: a value of shape {shape} does not fit into a tensor of shape {self.shape}")
        shared = any(stride == 0 and n > 1 for stride, n in zip(self.array.strides, self.shape, strict=True))
        if (shared and self.array.size) or not getattr(self.array.flags, "writeable", True):  # CuPy has no such flag
            raise RuntimeError(f"{name}: several elements of this expanded tensor share one memory cell; clone() it first")
        if index is ...:
            self.array[...] = array
        else:
            ops.indexing.assign(self.array, index, array)
        mark_changed(self.array)
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        self._change("x[index] = value", value, index if index is not ... else (...,))

    def add_(self, other: Any, *, alpha: Any = 1) -> Self:
        """self += alpha · other"""
        return self._change("add_", ops.add(self.detach(), other, alpha=alpha))

    def sub_(self, other: Any, *, alpha: Any = 1) -> Self:
        """self -= alpha · other"""
        return self._change("sub_", ops.sub(self.detach(), other, alpha=alpha))

    def mul_(self, other: Any) -> Self:
        """self *= other"""
        return self._change("mul_", ops.mul(self.detach(), other))

    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Self:
        """self /= other"""
        return self._change("div_", ops.div(self.detach(), other, rounding_mode=rounding_mode))

    def floor_divide_(self, other: Any) -> Self:
        """self //= other"""
        return self._change("floor_divide_", ops.floor_divide(self.detach(), other))

    def remainder_(self, other: Any) -> Self:
        """self %= other"""
        return self._change("remainder_", ops.remainder(self.detach(), other))

    def pow_(self, exponent: Any) -> Self:
        """self **= exponent"""
        return self._change("pow_", ops.pow(self.detach(), exponent))

    def bitwise_and_(self, other: Any) -> Self:
        """self &= other"""
        return self._change("bitwise_and_", ops.bitwise_and(self.detach(), other))

    def bitwise_or_(self, other: Any) -> Self:
        """self |= other"""
        return self._change("bitwise_or_", ops.bitwise_or(self.detach(), other))

    def bitwise_xor_(self, other: Any) -> Self:
        """self ^= other"""
        return self._change("bitwise_xor_", ops.bitwise_xor(self.detach(), other))

    def clamp_(self, min: Any = None, max: Any = None) -> Self:
        """Limit every element to [min, max]."""
        return self._change("clamp_", ops.clamp(self.detach(), min, max))

    def masked_fill_(self, mask: Any, value: Any) -> Self:
        """Set the elements where mask is True."""
        return self._change("masked_fill_", ops.masked_fill(self.detach(), mask, value))

    def fill_(self, value: Any) -> Self:
        """Set every element to a number or to the value of a 0-d tensor."""
        if isinstance(value, graph.Tensor) and value.ndim:
            raise RuntimeError(f"fill_: the value must be a number or a 0-d tensor, it has shape {value.shape}; copy_ takes any")
        return self._change("fill_", value.astype(self.dtype) if isinstance(value, graph.Tensor) else value)

    def zero_(self) -> Self:
        """Set every element to 0."""
        return self.fill_(0)

    def copy_(self, source: Any) -> Self:
        """Copy the source's values, converting dtype and device."""
        value = source.to(self.device).astype(self.dtype)
        return self._change("copy_", value)

    __iadd__ = add_
    __isub__ = sub_
    __imul__ = mul_
    __itruediv__ = div_
    __ifloordiv__ = floor_divide_
    __imod__ = remainder_
    __ipow__ = pow_
    __iand__ = bitwise_and_
    __ior__ = bitwise_or_
    __ixor__ = bitwise_xor_


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Does ``shape`` broadcast to ``into``?"""
    fitting = all(n in (1, m) for n, m in zip(reversed(shape), reversed(into), strict=False))
    return fitting and len(shape) <= len(into)
