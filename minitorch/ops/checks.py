"""Checks of arguments: each raises an error that gives the rule, the arguments that clash and the cure.

They are here so that the operations read as their equations. An operation calls its check before computing and passes its own
name; a check that returns something returns the argument in the form that the operation needs.
Read before: _arguments.py. Read next: checks_indexing.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..devices import Array, array_module
from ._arguments import many_dims, one_dim

# ------------------------------------------------------------------------------------------------------ dtypes


def no_bools(name: str, *operands: Any, error: type[Exception] = NotImplementedError) -> None:
    """For operations that make no sense for bools: at least one operand must have another dtype."""
    if all(x.dtype == bool if hasattr(x, "dtype") else isinstance(x, bool) for x in operands):
        raise error(f"{name}: not defined for bool tensors; make numbers of them first: x.int()")


def refuse_integers(name: str, dtype: Any) -> None:
    """For operations that only make sense on floats."""
    if not dtypes.is_floating(dtype):
        raise NotImplementedError(f"{name} is not defined for {dtype}; make the input floating: x.float()")


def no_difference_of_bools(operands: Sequence[Any]) -> None:
    """Bools have no difference."""
    for x in operands:
        if getattr(x, "dtype", None) is dtypes.bool_ or isinstance(x, bool):
            raise RuntimeError("sub: bool tensors have no difference; use logical_xor (a ^ b), or make numbers of them: x.int()")


def no_negative_of_bools(x: Any) -> None:
    """Bools have no negative."""
    if x.dtype == bool:
        raise RuntimeError("neg: a bool tensor has no negative; use logical_not (~x) to invert it")


def alpha_fits(alpha: Any, dtype: Any) -> None:
    """The factor of add and sub does not turn integers into floats."""
    if isinstance(alpha, float) and not dtypes.is_floating(dtype):
        raise RuntimeError(f"for tensors of type {dtype} alpha must be an integer, not {alpha}")


def power_is_whole(exponent: Any, dtype: Any) -> None:
    """An integer to a negative power is a fraction."""
    if exponent < 0 and not dtypes.is_floating(dtype):
        raise RuntimeError("pow: integers to negative integer powers are not allowed; make the base a float: x.float()")


def condition(mask: Array) -> Array:
    """The condition of where as bools; uint8 was once PyTorch's dtype for masks."""
    if mask.dtype == bool:
        return mask
    if mask.dtype != np.uint8:
        raise RuntimeError(f"where: the condition must be a bool tensor, not {mask.dtype}; compare: x != 0")
    return mask.astype(bool)


def fills(mask: Array, value: Any) -> None:
    """masked_fill takes a bool mask and one value."""
    if mask.dtype != bool:
        raise RuntimeError(f"masked_fill: the mask must be a bool tensor, not {mask.dtype}; compare: mask != 0")
    if getattr(value, "ndim", 0) > 0:
        raise RuntimeError(f"masked_fill: the value must be a number or a 0-d tensor, it has shape {tuple(value.shape)}")


def limits(input: Any, min: Any, max: Any) -> None:
    """clamp needs one limit or two, and numbers to compare with them."""
    if min is None and max is None:
        raise RuntimeError("clamp: give min, max or both")
    if min is not None and max is not None:
        no_bools("clamp", input, min, max)


def no_bool_limit(x: Array, limit: Any) -> None:
    """Bools are not compared with a number."""
    if isinstance(limit, bool | np.generic):
        no_bools("clamp", x, limit)


def can_be_inverted(dtype: Any) -> None:
    """~x is for bools and integers."""
    if dtypes.is_floating(dtype):
        raise TypeError(f"bitwise_not: ~x is for bool and integer tensors, not for {dtype}; compare first: ~(x != 0)")


def has_bits(dtype: Any) -> None:
    """x & y and the like are for bools and integers."""
    if dtypes.is_floating(dtype):
        raise NotImplementedError(f"bitwise operations work on bool and integer tensors, not on {dtype}; compare first: x != 0")


# -------------------------------------------------------------------------------------------------- reductions


def has_mean(dtype: Any) -> None:
    """The mean of integers is a fraction."""
    if not dtypes.is_floating(dtype):
        raise RuntimeError(f"mean: the mean of {dtype} values is not {dtype}; choose a dtype: x.mean(dtype=minitorch.float32)")


def nonempty_dims(name: str, x: Any, dim: int | Sequence[int] | None) -> tuple[int, ...]:
    """The dims of a reduction that has no value for an empty input."""
    axis = many_dims(dim, x.ndim)
    if 0 not in x.shape:
        return axis
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        error = IndexError if name.startswith("arg") else RuntimeError
        raise error(f"{name}: the input of shape {tuple(x.shape)} has no elements; reduce along a non-empty dimension: dim=...")
    for i in axis:
        if x.shape[i] == 0:
            raise IndexError(f"{name}: dimension {i} of shape {tuple(x.shape)} has no elements to choose from")
    return axis


def norm_is_defined(x: Any, ord: Any, dtype: Any) -> None:
    """vector_norm takes floats and a number; dtype cannot be narrower than the input's."""
    if not dtypes.is_floating(x.dtype):
        raise RuntimeError(f"vector_norm: needs floats, got {x.dtype}; make the input floating: x.float()")
    if isinstance(ord, str):
        raise TypeError(f"vector_norm: ord must be a number, not {ord!r}")
    if dtype is not None and np.promote_types(x.dtype, dtype) != dtype:
        raise RuntimeError(f"vector_norm: {x.dtype} does not fit into {np.dtype(dtype)}; dtype can only widen it")


def norm_of_something(x: Any, ord: float, dim: Any, count: int) -> None:
    """A largest or smallest element needs an element."""
    if (ord < 0 or ord == np.inf) and count == 0:
        raise RuntimeError(f"vector_norm: the {ord} norm of no elements does not exist; shape {tuple(x.shape)}, dim {dim}")


def order_of_norm(p: Any) -> None:
    """norm takes a number or "fro"."""
    if isinstance(p, str) and p != "fro":
        raise NotImplementedError(f'norm: p must be a number or "fro", not {p!r}')


def enough_to_choose(x: Any, k: int, axis: int, n: int) -> None:
    """topk chooses k among n."""
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: k = {k} is out of range; dimension {axis} of shape {tuple(x.shape)} has {n} elements")


# ------------------------------------------------------------------------------------------------------ shapes


def has_dimension(name: str, x: Any, purpose: str, error: type[Exception] = RuntimeError) -> None:
    """For operations along a dimension."""
    if x.ndim == 0:
        raise error(f"{name}: a 0-d tensor has no dimension to {purpose}")


def cannot_reshape(x: Array, shape: tuple[int, ...]) -> RuntimeError:
    """The error for elements of x that do not fit into ``shape``."""
    unknown = [n for n in shape if n < 0]
    if unknown and min(unknown) < -1:
        return RuntimeError(f"reshape: invalid size {min(unknown)} in shape {shape}; only -1 (infer it) may be negative")
    if len(unknown) > 1:
        return RuntimeError(f"reshape: only one size can be inferred, shape {shape} holds -1 {len(unknown)} times")
    if unknown and x.size == 0:
        return RuntimeError(f"reshape: 0 elements into shape {shape}: any size would fit the -1; give the size")
    return RuntimeError(f"reshape: shape {shape} is invalid for input of size {x.size} and shape {tuple(x.shape)}")


def permutation(dims: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """All dimensions, each once, counted from the front."""
    if len(dims) != ndim:
        raise RuntimeError(f"permute: {len(dims)} dims {dims} for a tensor of {ndim} dimensions; name each once")
    order = tuple(one_dim(d, ndim) for d in dims)
    if len(set(order)) < len(order):
        raise RuntimeError(f"permute: duplicate dims are not allowed, got {order}")
    return order


def expands(old: tuple[int, ...], shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    """Does a tensor of shape ``old`` expand to ``target``, which the caller wrote as ``shape``?"""
    extra = len(shape) - len(old)
    if extra < 0:
        raise RuntimeError(f"expand: {len(shape)} sizes {shape} are too few for a tensor of {len(old)} dimensions")
    for i, n in enumerate(target):
        if n < 0 or (i >= extra and old[i - extra] not in (1, n)):
            raise RuntimeError(
                f"expand: shape {old} does not expand to {shape}: at dimension {i} the size must be 1 or stay the same"
            )


def common_shape(tensors: Sequence[Any]) -> tuple[int, ...]:
    """The shape that all tensors broadcast to."""
    try:
        return np.broadcast_shapes(*[tuple(x.shape) for x in tensors])
    except ValueError:
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
        raise RuntimeError(
            f"broadcast_tensors: shapes {shapes} do not broadcast: aligned from the right, sizes must be equal or hold a 1"
        ) from None


def is_view(y: Array, source: Array) -> None:
    """view never copies."""
    if source.size and not array_module(source).may_share_memory(source, y):
        raise RuntimeError(
            f"view: shape {tuple(y.shape)} is not compatible with the strides {source.strides} of shape {tuple(source.shape)}: "
            "no view has this shape; use reshape(...), which copies"
        )


def in_order(start_dim: int, end_dim: int, ndim: int) -> tuple[int, int]:
    """The first and the last of the dimensions that flatten joins."""
    first, last = one_dim(start_dim, ndim), one_dim(end_dim, ndim)
    if first > last:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return first, last


def has_matrices(x: Any) -> None:
    """A vector has no matrix to transpose."""
    if x.ndim == 1:
        raise RuntimeError("mT: only a matrix or a batch of matrices has one, not a 1-d tensor; unsqueeze it")


def counts_of_repeats(counts: tuple[int, ...], ndim: int) -> None:
    """repeat needs a count for each dimension."""
    if len(counts) < ndim or min(counts, default=0) < 0:
        raise RuntimeError(f"repeat: a tensor of {ndim} dimensions needs a non-negative count for each, got {counts}")


def list_of_tensors(name: str, tensors: Any) -> list[Any]:
    """The tensors that cat, stack and the like join."""
    if not isinstance(tensors, list | tuple):
        raise TypeError(f"{name}: expected a list of tensors, got {type(tensors).__name__}; write {name}([a, b])")
    for i, x in enumerate(tensors):
        if not hasattr(x, "shape"):
            raise TypeError(f"{name}: expected a Tensor at position {i}, got {type(x).__name__}; make a tensor of it: tensor(x)")
    return list(tensors)


def some_to_join(tensors: list[Any]) -> None:
    """cat needs tensors of at least one dimension each."""
    if not tensors:
        raise ValueError("cat: expected at least one tensor, got an empty list")
    for x in tensors:
        has_dimension("cat", x, "join along; use stack, or unsqueeze it")


def sizes_match(tensors: list[Any], shape: tuple[int, ...], d: int) -> None:
    """Tensors to join along d agree with ``shape`` in all other sizes."""
    for i, x in enumerate(tensors):
        if x.ndim != len(shape):
            raise RuntimeError(f"cat: the number of dimensions must be the same, got {shape} and {tuple(x.shape)} (tensor {i})")
        if any(a != b for j, (a, b) in enumerate(zip(shape, x.shape, strict=True)) if j != d):
            raise RuntimeError(f"cat: sizes must match except in dimension {d}, got {shape} and {tuple(x.shape)} (tensor {i})")


def one_shape(tensors: list[Any]) -> None:
    """stack needs tensors, all of one shape."""
    if not tensors:
        raise RuntimeError("stack: expected at least one tensor, got an empty list")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise RuntimeError(
                f"stack: tensors must have one shape, got {tuple(tensors[0].shape)} at first and {tuple(x.shape)} at position {i}"
            )


def split_size(size: int, n: int, d: int) -> None:
    """A dimension splits into pieces of one size if the size is positive."""
    if size < 0 or (size == 0 and n > 0):
        raise RuntimeError(f"split: split_size must be positive, got {size} for dimension {d} of size {n}")


def sizes_add_up(sizes: tuple[int, ...], n: int, d: int) -> None:
    """Pieces of given sizes must cover the dimension."""
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise RuntimeError(f"split: sizes {sizes} must be non-negative and add up to {n}, the size of dimension {d}")


def some_chunks(chunks: int) -> None:
    """chunk makes at least one piece."""
    if chunks <= 0:
        raise RuntimeError(f"chunk: chunks must be positive, got {chunks}")


# ---------------------------------------------------------------------------------------------------- products


def product(name: str, a: Any, b: Any) -> None:
    """a @ b: two tensors of one dtype, whose inner sizes are equal and whose leading sizes broadcast."""
    for x in (a, b):
        if not hasattr(x, "dtype"):
            raise TypeError(f"{name}: expected two Tensors, got {type(x).__name__}; multiply by a number with *")
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"{name}: both operands need at least 1 dimension, but have {a.ndim} and {b.ndim}; a number needs *")
    if a.dtype != b.dtype:
        raise RuntimeError(f"{name}: both operands need the same dtype, got {a.dtype} and {b.dtype}; cast one with .to(dtype)")
    if a.dtype == bool and 0 not in (*a.shape, *b.shape):
        raise NotImplementedError(f"{name}: a product of bool matrices is not defined; cast them with .to(dtype)")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise RuntimeError(
            f"{name}: shapes {tuple(a.shape)} and {tuple(b.shape)} cannot be multiplied: "
            f"the last size of the first, {a.shape[-1]}, must equal the {'second-to-last' if b.ndim > 1 else 'only'} size "
            f"of the second, {inner}"
        )
    if a.ndim > 2 and b.ndim > 2 and a.shape[:-2] != b.shape[:-2]:
        _leading_sizes(name, a, b)


def _leading_sizes(name: str, a: Any, b: Any) -> None:
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError as error:
        raise RuntimeError(
            f"{name}: the leading sizes {tuple(a.shape[:-2])} and {tuple(b.shape[:-2])} of shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)} do not broadcast: each pair must be equal or hold a 1"
        ) from error


def ranks(name: str, *wanted: tuple[Any, int]) -> None:
    """Tensors of given numbers of dimensions."""
    for x, ndim in wanted:
        if x.ndim != ndim:
            raise RuntimeError(f"{name}: expected a {ndim}-D tensor, got one of shape {tuple(x.shape)}; matmul takes any rank")
