"""The operations of layers: linear maps, dropout, embedding, padding, each with its gradient.

Activations, attention, normalisation and losses have files of their own. nn/functional.py has them under PyTorch's
signatures.
Read before: linalg.py. Read next: activations.py.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes, graph
from ..devices import Array, array_module
from ..kernels import as_array, kernel
from ._arguments import may_read, raw
from ._autocast import autocast
from ._op import op
from .linalg import matmul, matmul_kernel, rows, times


@kernel(parts=(matmul_kernel,))
def linear_kernel(x: Array, weight: Array, bias: Array) -> Any:
    """x Wᵀ + b, all leading axes of x as rows."""
    y = times(x, weight.mT)
    return y if bias is None else y + bias


@kernel
def sum_rows(g: Array) -> Any:
    """The gradient of a bias that was added to every row; the engine sums it."""
    return g


@op(half="float32 on CPU")
def _linear(x: Array, weight: Array, bias: Array) -> Any:
    """y = x Wᵀ + b.  dL/dx = g W,  dL/dW = gᵀ x,  dL/db = Σ g, with all leading axes as rows."""
    y = linear_kernel(x, weight, bias)
    return y, (lambda g: times(g, weight), lambda g: matmul_kernel(rows(g).mT, rows(x)), lambda g: sum_rows(g))


@autocast
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b: x (..., in), W (out, in) or (in,), b (out,) -> y (..., out)."""
    x, w = raw(input), raw(weight)  # whose attributes are found sooner
    if w.ndim != 2 or x.ndim == 0:
        if weight.ndim > 2 or (weight.ndim == 1 and bias is not None):
            raise RuntimeError(f"linear: the weight must be a matrix (out, in), got shape {tuple(weight.shape)}")
        return matmul(input, weight.mT if weight.ndim == 2 else weight)
    if x.shape[-1] != w.shape[1]:
        raise RuntimeError(
            f"linear: shapes {tuple(input.shape)} and {tuple(weight.shape)} do not fit: the last size of the input, "
            f"{input.shape[-1]}, must equal the last of the weight (out, in), {weight.shape[1]}"
        )
    dtype = w.dtype
    if x.dtype != dtype or (bias is not None and bias.dtype != dtype):
        kinds = ", ".join(str(x.dtype) for x in (input, weight, bias) if x is not None)
        raise RuntimeError(f"linear: input, weight and bias need the same dtype, got {kinds}; cast with .to(dtype)")
    if dtype.kind == "b" and 0 not in (*input.shape, *weight.shape):
        raise NotImplementedError("linear: a product of bool matrices is not defined; cast them with .to(dtype)")
    return _linear(input, weight, bias)


# --------------------------------------------------------------------------------------------------------- dropout


@kernel
def drop_kernel(x: Array, keep: Array, keep_prob: float) -> Any:
    """x where ``keep`` is True, divided by ``keep_prob`` so that the expectation stays x; 0 elsewhere."""
    return x * (keep * x.dtype.type(1 / keep_prob if keep_prob else 0))


@kernel
def keep_mask(like: Array, shape: tuple[int, ...], p: float, stream: Any) -> Any:
    """True with probability 1 - p: the next mask of ``stream``, on ``like``'s device (kernels/philox.py)."""
    return as_array(stream.key(tuple(shape), p), like)


@op(linear=True, half="float32 on CPU")
def drop(x: Array, *, keep: Array, p: float) -> Any:
    """x where the mask ``keep`` is True, divided by 1 - p so that the expectation stays x; 0 elsewhere.

    The mask is an argument, so the op is pure: evaluated again, it drops the same elements.
    """
    return drop_kernel(x, keep, 1 - p), lambda g: drop_kernel(g, keep, 1 - p)


# ------------------------------------------------------------------------------------------------------- embedding


@kernel
def add_rows_kernel(g: Array, index: Array, count: int) -> Any:
    """``count`` rows of zeros, to which g's rows are added at ``index``."""
    xp = array_module(g)
    total = xp.zeros((count, *g.shape[index.ndim :]), g.dtype)
    xp.add.at(total, index, g)  # not total[index] += g, which counts a repeated index once
    return total


@op(linear=True)
def _rows_at(weight: Array, *, index: Array, factor: Array | None) -> Any:
    """The rows W[index].  Their gradients, each times its factor (if given), are added to the rows they came from."""
    count = weight.shape[0]

    def pullback(g: Array) -> Any:
        return _add_rows(g if factor is None else g * factor, index=index, count=count)

    return weight[index], pullback


@op(linear=True, half="float32 on CPU")
def _add_rows(g: Array, *, index: Array, count: int) -> Any:
    """``count`` rows of zeros, to which g's rows are added at ``index``: the transpose of taking rows."""
    total = add_rows_kernel(g, index, count)
    return total, lambda h: _rows_at(h, index=index, factor=None)


def embedding(
    input: Any, weight: Any, padding_idx: int | None = None, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    """The rows of ``weight`` (entries, size) that the integers in ``input`` name: (...) -> (..., size).

    Row ``padding_idx`` gets no gradient. With scale_grad_by_freq each row's gradient is divided by how often the row was
    taken. Gradients are dense arrays, also with sparse=True.
    """
    index = raw(input)
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: the weight must be a matrix (entries, size), got shape {tuple(weight.shape)}")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"embedding: indices must be int64 or int32, got {index.dtype}; convert them with .long()")
    if may_read(index) and not dtypes.all_below(index, weight.shape[0]):
        bad = index.min() if index.min() < 0 else index.max()
        raise IndexError(f"embedding: index {bad} is out of range for a table of {weight.shape[0]} rows")
    factor = None
    if padding_idx is not None:
        factor = (index != padding_idx)[..., None]
    if scale_grad_by_freq:
        xp = array_module(index)
        often = xp.bincount(index.reshape(-1).astype(xp.intp), minlength=weight.shape[0])[index][..., None]
        factor = ((1 if factor is None else factor) / often).astype(dtypes.promote_types(weight.dtype, dtypes.float32))
    return _rows_at(weight, index=index, factor=factor)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """A row of zeros with a 1 at the given class: int64 (...) -> int64 (..., num_classes); -1 means the largest class + 1."""
    index = raw(tensor)
    xp = array_module(index)
    if index.dtype != dtypes.int64:
        raise RuntimeError(f"one_hot: the classes must be int64, got {index.dtype}; convert them with .long()")
    if index.size == 0 and num_classes <= 0:
        raise RuntimeError("one_hot: the number of classes cannot be told from an empty tensor; pass num_classes")
    if index.size and may_read(index) and int(index.min()) < 0:
        raise RuntimeError(f"one_hot: classes must not be negative, got {int(index.min())}")
    if index.size and num_classes != -1 and may_read(index) and int(index.max()) >= num_classes:
        raise RuntimeError(
            f"one_hot: class {int(index.max())} needs num_classes of at least {int(index.max()) + 1}, got {num_classes}"
        )
    classes = int(index.max()) + 1 if num_classes == -1 else num_classes
    return graph.Tensor((index[..., None] == xp.arange(classes)).astype(dtypes.int64))


# --------------------------------------------------------------------------------------------------------- padding


@op(linear=True)
def pad_constant(x: Array, *, pairs: dict[int, tuple[int, int]], value: float) -> Any:
    """x between before and after elements of ``value`` along each dimension of ``pairs``; negative numbers cut instead.

    The gradient is padded by the same numbers with opposite signs: added elements are cut off, cut elements get 0.
    """
    xp = array_module(x)
    widths = [pairs.get(dim, (0, 0)) for dim in range(x.ndim)]
    middle = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    y = xp.pad(middle, [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value)
    back = {dim: (-a, -b) for dim, (a, b) in pairs.items()}
    return y, lambda g: pad_constant(g, pairs=back, value=0)
