"""The operations of neural networks: activations, softmax, normalisation, dropout, embedding, losses; each with its gradient.

These are the hot ones, so each is one op that keeps as little as its gradient needs; the layers and losses that are made of
them, under PyTorch's signatures, are in nn/functional.py. ``axis`` is a tuple, () for a 0-d tensor.
Read before: elementwise.py, reductions.py, linalg.py. Read next: nn/functional.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import autograd, dtypes, kernels
from ..devices import Array, array_module, device_of
from ..kernels.reference import peak_of
from ._arguments import may_read, numpy_names, one_dim, raw
from ._autocast import autocast
from ._op import in_floats, op
from ._promotion import astype, floating, in_dtype_of
from .elementwise import sigmoid
from .indexing import pick_along, place_along
from .linalg import matmul, product, rows, times
from .shaping import unsqueeze

__all__ = ["layer_norm", "log_softmax", "relu", "rms_norm", "softmax", "xlogy"]  # what PyTorch has beside nn.functional

# ------------------------------------------------------------------------------------------------------- linear


@op(half="float32 on CPU")
def _linear(x: Array, weight: Array, bias: Array) -> Any:
    """y = x Wᵀ + b.  dL/dx = g W,  dL/dW = gᵀ x,  dL/db = Σ g, with all leading axes laid end to end as rows."""
    y = kernels.run("linear", x, weight, bias)
    return y, (lambda g: times(g, weight), lambda g: product(rows(g).mT, rows(x)), lambda g: kernels.run("sum_rows", g))


@autocast
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b: x (..., in), W (out, in) or (in,), b (out,) -> y (..., out)."""
    if weight.ndim != 2 or input.ndim == 0:
        if weight.ndim > 2 or (weight.ndim == 1 and bias is not None):
            raise RuntimeError(f"linear: the weight must be a matrix (out, in), got shape {tuple(weight.shape)}")
        return matmul(input, weight.mT if weight.ndim == 2 else weight)
    if input.shape[-1] != weight.shape[1]:
        raise RuntimeError(
            f"linear: shapes {tuple(input.shape)} and {tuple(weight.shape)} do not fit: the last size of the input, "
            f"{input.shape[-1]}, must equal the last of the weight (out, in), {weight.shape[1]}"
        )
    if input.dtype != weight.dtype or (bias is not None and bias.dtype != weight.dtype):
        kinds = ", ".join(str(x.dtype) for x in (input, weight, bias) if x is not None)
        raise RuntimeError(f"linear: input, weight and bias need the same dtype, got {kinds}; cast with .to(dtype)")
    if input.dtype == bool and 0 not in (*input.shape, *weight.shape):
        raise NotImplementedError("linear: a product of bool matrices is not defined; cast them with .to(dtype)")
    return _linear(input, weight, bias)


# -------------------------------------------------------------------------------------------------- activations


@op(linear=True)  # piecewise: the mask is all that the gradient needs, and the mask's own derivative is 0
def _relu(x: Array) -> Any:
    """max(x, 0), whose derivative is 1 where x > 0, else 0."""
    y = array_module(x).maximum(x, x.dtype.type(0))
    return y, lambda g: g * (y != 0)  # != and not >, so that a NaN stays one


def relu(input: Any) -> Any:
    """max(x, 0)"""
    if input.dtype == bool:
        raise RuntimeError("relu: a bool tensor has no sign; cast it with .to(dtype)")
    return _relu(input)


@op(floats_only=True, half="float32 on CPU")
def _gelu(x: Array) -> Any:
    """x Φ(x), Φ the normal distribution function.  The derivative, kept by the forward pass, is Φ(x) + x φ(x), φ its density."""
    y, slope = kernels.run("gelu", x)
    return y, lambda g: g * slope


@op(floats_only=True, half="float32 on CPU")
def _gelu_tanh(x: Array) -> Any:
    """½x(1 + tanh u) with u = √(2/π)(x + 0.044715 x³).  The derivative is ½(1 + tanh u) + ½x(1 - tanh² u) u'."""
    y, slope = kernels.run("gelu_tanh", x)
    return y, lambda g: g * slope


def gelu(input: Any, *, approximate: str = "none") -> Any:
    """x Φ(x), or with approximate="tanh" Hendrycks and Gimpel's formula for it (arXiv 1606.08415)."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f'gelu: approximate must be "none" or "tanh", not {approximate!r}')
    return _gelu(input) if approximate == "none" else _gelu_tanh(input)


@op(floats_only=True, half="float32 on CPU")
def _bias_gelu(x: Array, bias: Array, *, tanh: bool) -> Any:
    """gelu(x + b), b being added to every row."""
    y, kept = kernels.run("bias_gelu", x, bias, tanh)

    def pullback(g: Array) -> Any:
        dx = kernels.run("bias_gelu_backward", g, kept)
        return dx, kernels.run("sum_rows", dx)

    return y, pullback


def linear_gelu(input: Any, weight: Any, bias: Any = None, *, approximate: str = "none") -> Any:
    """gelu(linear(input, weight, bias)).  On a GPU the bias is added inside of GELU's kernel: one pass over memory less."""
    if bias is None or device_of(raw(input)) == "cpu":
        return gelu(linear(input, weight, bias), approximate=approximate)
    h = linear(input, weight)
    return _bias_gelu(h, bias, tanh=approximate == "tanh")


@op(floats_only=True, half="float32")
def silu(input: Array) -> Any:
    """x σ(x), whose derivative is σ(1 + x(1 - σ))."""
    x, s = input, sigmoid(input)
    return x * s, lambda g: g * (s * (x * (1 - s) + 1))


@op(floats_only=True, half="float32")
def _softplus(x: Array, *, beta: float, threshold: float) -> Any:
    """ln(1 + eᵝˣ)/β, whose derivative is σ(βx); beyond βx > threshold it is x to all digits."""
    xp = array_module(x)
    z = x * beta
    y = xp.where(z > threshold, x, xp.log1p(xp.exp(xp.where(z > threshold, 0, z))) / beta)
    return y, lambda g: xp.where(z >= threshold, g, g * sigmoid(z))


@autocast
def softplus(input: Any, beta: float = 1, threshold: float = 20) -> Any:
    """ln(1 + eᵝˣ)/β, a smooth relu; x itself where βx > threshold."""
    return _softplus(input, beta=beta, threshold=threshold)


@op(floats_only=True, half="float32")
def log_sigmoid(input: Array) -> Any:
    """ln σ(x) = min(x, 0) - ln(1 + e^-|x|), whose derivative is σ(-x)."""
    x, xp = input, array_module(input)
    return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x))), lambda g: g * sigmoid(-x)


@op(linear=True, floats_only=True, half="float32")
def _leaky_relu(x: Array, *, slope: float) -> Any:
    """x where x > 0, else slope · x."""
    factor = array_module(x).where(x > 0, x.dtype.type(1), x.dtype.type(slope))
    return x * factor, lambda g: g * factor


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where x > 0, else negative_slope · x"""
    return _leaky_relu(input, slope=negative_slope)


@op(floats_only=True, half="float32")
def _elu(x: Array, *, alpha: float) -> Any:
    """x where x > 0, else α(eˣ - 1), whose derivative is αeˣ."""
    xp = array_module(x)
    below = xp.where(x <= 0, x, 0)
    return xp.where(x <= 0, xp.expm1(below) * alpha, x), lambda g: g * xp.where(x <= 0, xp.exp(below) * alpha, 1)


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else α(eˣ - 1)"""
    return _elu(input, alpha=alpha)


def mish(input: Any) -> Any:
    """x tanh(ln(1 + eˣ))"""
    return input * array_module(input).tanh(_softplus(input, beta=1, threshold=20))


def glu(input: Any, dim: int = -1) -> Any:
    """a σ(b), a and b being the halves of the input along ``dim``."""
    return _glu(input, dim=dim)


@in_floats
def _glu(input: Any, *, dim: int) -> Any:
    d = one_dim(dim, input.ndim)
    if input.ndim == 0 or input.shape[d] % 2:
        raise RuntimeError(f"glu: the size along dim {dim} must be even to be halved, got shape {tuple(input.shape)}")
    n = input.shape[d] // 2
    before = (slice(None),) * d
    return input[(*before, slice(n))] * sigmoid(input[(*before, slice(n, None))])


# ------------------------------------------------------------------------------------------------------ softmax


@op(floats_only=True, half="float32 on CPU")
def _softmax(x: Array, *, axis: tuple[int, ...]) -> Any:
    """yᵢ = eˣⁱ / Σⱼ eˣʲ.  dL/dx = y (g - Σ g y)."""
    y = kernels.run("softmax", x, axis)
    return y, lambda g: kernels.run("softmax_backward", g, y, axis)


@op(floats_only=True, half="float32 on CPU")
def softmax_or_zero(x: Array, *, axis: tuple[int, ...]) -> Any:
    """Softmax for attention: where every score is -inf (nothing may be attended to) the result is 0, not NaN."""
    y = kernels.run("softmax", x, axis, empty=True)
    return y, lambda g: kernels.run("softmax_backward", g, y, axis)


@op(floats_only=True, half="float32 on CPU")
def attention(q: Array, k: Array, v: Array, *, mask: Array | None, keep: Array | None, scale: float, share: float) -> Any:
    """softmax(Q Kᵀ·scale + mask) V, of whose weights only those that ``keep`` names count, divided by ``share``.

    The gradients are in kernels/reference.py.  Of the tables (L, S) only the weights are kept, if the kernel keeps them.
    """
    y, weights = kernels.run("attention", q, k, v, mask, keep, scale, share)
    return y, lambda g: kernels.run("attention_backward", g, q, k, v, mask, keep, scale, share, y, weights)


@op(floats_only=True, half="float32")
def _log_softmax(x: Array, *, axis: tuple[int, ...]) -> Any:
    """yᵢ = xᵢ - ln Σⱼ eˣʲ.  dL/dx = g - eʸ Σ g."""
    xp = array_module(x)
    shifted = x - peak_of(x, axis)
    y = shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))
    return y, lambda g: g - xp.exp(y) * xp.sum(g, axis=axis, keepdims=True)


def _along(input: Any, dim: int) -> tuple[int, ...]:
    d = one_dim(dim, input.ndim)
    return (d,) if input.ndim else ()


@autocast
@numpy_names
def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """eˣⁱ / Σⱼ eˣʲ along ``dim``: positive numbers that sum to 1."""
    return _softmax(input if dtype is None else astype(input, dtype), axis=_along(input, dim))


@autocast
@numpy_names
def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """ln softmax(x) = xᵢ - ln Σⱼ eˣʲ along ``dim``, accurate where softmax underflows to 0."""
    return _log_softmax(input if dtype is None else astype(input, dtype), axis=_along(input, dim))


# ------------------------------------------------------------------------------------------------ normalisation


@op(floats_only=True, half="float32 on CPU")
def _layer_norm(x: Array, weight: Array, bias: Array, *, axis: tuple[int, ...], eps: float) -> Any:
    """y = x̂ w + b, x̂ = (x - mean) / √(var + eps).  With h = g w:  dL/dx = (h - mean h - x̂ mean(h x̂)) / √(var + eps)."""
    y, mean, rstd = kernels.run("layer_norm", x, weight, bias, axis, eps)
    return y, lambda g: kernels.run("layer_norm_backward", g, x, weight, mean, rstd, axis)


@op(floats_only=True, half="float32 on CPU")
def _add_norm(x: Array, residual: Array, weight: Array, bias: Array, *, keep: Array | None, share: float, eps: float) -> Any:
    """y = layer_norm(residual + dropout(x)): ``keep`` names the elements of x that count, divided by ``share``."""
    y, unit, rstd = kernels.run("add_norm", x, residual, weight, bias, keep, share, eps)
    return y, lambda g: kernels.run("add_norm_backward", g, unit, weight, rstd, keep, share)


@op(floats_only=True, half="float32")
def _rms_norm(x: Array, weight: Array, *, axis: tuple[int, ...], eps: float | None) -> Any:
    """y = x̂ w, x̂ = x / √(mean x² + eps).  With h = g w:  dL/dx = (h - x̂ mean(h x̂)) / √(mean x² + eps)."""
    xp = array_module(x, weight)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    rstd = 1 / xp.sqrt(xp.mean(x * x, axis=axis, keepdims=True) + eps)
    y = x * rstd if weight is None else x * rstd * weight

    def pullback(g: Array) -> Any:
        unit = x * rstd
        h = g if weight is None else g * weight
        dx = (h - unit * xp.mean(h * unit, axis=axis, keepdims=True)) * rstd
        return dx, None if weight is None else g * unit

    return y, pullback


@autocast
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(x - mean)/√(var + eps) · weight + bias, over the last axes, whose sizes are ``normalized_shape`` (arXiv 1607.06450)."""
    axis = _last_axes("layer_norm", input, normalized_shape, weight, bias)
    return _layer_norm(input, weight, bias, axis=axis, eps=eps)


@autocast
def add_layer_norm(
    input: Any, residual: Any, weight: Any, bias: Any, eps: float, keep: Array | None = None, share: float = 1.0
) -> Any:
    """layer_norm(residual + dropout(input)) over the last axis in one operation, which keeps one array of that size."""
    _last_axes("add_layer_norm", residual, (input.shape[-1],), weight, bias)
    return _add_norm(input, residual, weight, bias, keep=keep, share=share, eps=eps)


@autocast
def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x/√(mean x² + eps) · weight, over the last axes; eps None is the dtype's own (arXiv 1910.07467)."""
    return _rms_norm(input, weight, axis=_last_axes("rms_norm", input, normalized_shape, weight, None), eps=eps)


def _last_axes(name: str, input: Any, normalized_shape: Any, weight: Any, bias: Any) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape:
        raise RuntimeError(f"{name}: normalized_shape needs at least one size, got {normalized_shape}")
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"{name}: normalized_shape {shape} must be the last sizes of the input, whose shape is {tuple(input.shape)}"
        )
    for what, x in (("weight", weight), ("bias", bias)):
        if x is not None and tuple(x.shape) != shape:
            raise RuntimeError(f"{name}: the {what} must have shape {shape}, as normalized_shape says, got {tuple(x.shape)}")
        if x is not None and x.dtype != input.dtype and input.dtype.itemsize != 2:
            raise RuntimeError(f"{name}: the {what} is {x.dtype}, the input {input.dtype}; cast one with .to(dtype)")
    return tuple(range(input.ndim - len(shape), input.ndim))


# ---------------------------------------------------------------------------------------- dropout and embedding


@op(linear=True)
def drop(x: Array, *, keep: Array, p: float) -> Any:
    """x where the mask ``keep`` is True, divided by 1 - p so that the expectation stays x; 0 elsewhere.

    The mask is an argument, so the op is pure: evaluated again, it drops the same elements.
    """
    return kernels.run("drop", x, keep, 1 - p), lambda g: kernels.run("drop", g, keep, 1 - p)


@op(linear=True)
def _rows_at(weight: Array, *, index: Array, share: Array | None) -> Any:
    """The rows W[index].  Their gradients are added up where they came from, each multiplied by its share, if there is one."""
    count = weight.shape[0]

    def pullback(g: Array) -> Any:
        return _add_rows(g if share is None else g * share, index=index, count=count)

    return weight[index], pullback


@op(linear=True)
def _add_rows(g: Array, *, index: Array, count: int) -> Any:
    """``count`` rows of zeros, to which g's rows are added at ``index``: the transpose of taking rows."""
    total = kernels.run("add_rows", g, index, count)
    return total, lambda h: _rows_at(h, index=index, share=None)


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
    if index.size and may_read(index) and (int(index.min()) < 0 or int(index.max()) >= weight.shape[0]):
        bad = index.min() if index.min() < 0 else index.max()
        raise IndexError(f"embedding: index {bad} is out of range for a table of {weight.shape[0]} rows")
    share = None
    if padding_idx is not None:
        share = (index != padding_idx)[..., None]
    if scale_grad_by_freq:
        often = array_module(index).bincount(index.reshape(-1), minlength=weight.shape[0])[index][..., None]
        share = ((1 if share is None else share) / often).astype(weight.dtype)
    return _rows_at(weight, index=index, share=share)


# --------------------------------------------------------------------------------------- the cores of the losses


def pick(x: Any, *, index: Array, axis: int) -> Any:
    """One value along ``axis`` for each position of the others: (..., C, ...) -> (...)."""
    return pick_along(x, index=unsqueeze(index, axis), axis=axis).reshape(index.shape)


def place(x: Any, *, index: Array, axis: int, size: int) -> Any:
    """Each value at its index along a new ``axis`` of zeros, (...) -> (..., C, ...): the transpose of pick."""
    return place_along(unsqueeze(x, axis), index=unsqueeze(index, axis), axis=axis, size=size)


@op(floats_only=True, half="float32 on CPU")
def cross_entropy_at(x: Array, *, target: Array, axis: int) -> Any:
    """-ln softmax(x)ₜ = ln Σⱼ eˣʲ - xₜ at each position.  dL/dx = g (softmax(x) - onehot(t)).

    Nothing of the size of x is kept: softmax, eˣ over the sum s, is computed again from x.
    """
    loss, peak, s = kernels.run("cross_entropy", x, target, axis)
    return loss, lambda g: kernels.run("cross_entropy_backward", g, x, target, axis, peak, s)


@op(floats_only=True, half="float32")
def huber(d: Array, *, delta: float) -> Any:
    """½d² for |d| ≤ δ, beyond it the straight line δ(|d| - ½δ): c(d - ½c) with c = d limited to ±δ, its derivative."""
    xp = array_module(d)
    c = xp.where(xp.abs(d) >= delta, xp.sign(d) * delta, d)
    return c * (d - c * 0.5), lambda g: g * c


def xlogy(input: Any, other: Any) -> Any:
    """x ln y, and 0 where x is 0; one of the two may be a number."""
    if not hasattr(input, "dtype"):
        input = _beside(other, input)
    return _xlogy(input, other if hasattr(other, "dtype") else _beside(input, other))


def _beside(x: Any, number: Any) -> Array:
    """The number as an array, in the dtype in which it meets x."""
    dtype = dtypes.result_type(x, number)
    return array_module(raw(x)).asarray(number, dtype if dtypes.is_floating(dtype) else dtypes.get_default_dtype())


@op(promote=floating)
def _xlogy(x: Array, y: Array) -> Any:
    """x ln y, and 0 where x is 0.  The derivatives are ln y and x/y."""
    xp, like = array_module(x, y), x if hasattr(x, "dtype") else y
    zero = xp.logical_and(x == 0, xp.logical_not(xp.isnan(y)))

    def dx(g: Array) -> Array:
        flat = xp.logical_and(x == 0, y <= 0)
        return in_dtype_of(xp.where(flat, 0, g * xp.log(in_dtype_of(xp.where(flat, 1, y), like))), like)

    return in_dtype_of(xp.where(zero, 0, x * xp.log(in_dtype_of(xp.where(zero, 1, y), like))), like), (dx, lambda g: g * x / y)


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
    return autograd.Tensor((index[..., None] == xp.arange(classes)).astype(dtypes.int64))


@op(floats_only=True, half="float32")
def bernoulli_entropy(p: Array, y: Array) -> Any:
    """-(y ln p + (1 - y) ln(1 - p)), logarithms at least -100.  dL/dp = g (p - y)/(p(1 - p)),  dL/dy = g (ln(1 - p) - ln p)."""
    xp = array_module(p, y)
    log_p, log_q = xp.log(p), xp.log1p(-p)
    dp = lambda g: g * (p - y) / xp.maximum(p * (1 - p), 1e-12)  # noqa: E731
    return -(y * xp.maximum(log_p, -100.0) + (1 - y) * xp.maximum(log_q, -100.0)), (dp, lambda g: g * (log_q - log_p))


@op(linear=True)
def pad_constant(x: Array, *, pairs: dict[int, tuple[int, int]], value: float) -> Any:
    """x between before and after elements of ``value`` along each dimension of ``pairs``; negative numbers cut instead.

    The gradient is padded by the same numbers with the sign changed: what was added is cut off, what was cut off gets 0.
    """
    xp = array_module(x)
    widths = [pairs.get(dim, (0, 0)) for dim in range(x.ndim)]
    kept = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    y = xp.pad(kept, [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value)
    back = {dim: (-a, -b) for dim, (a, b) in pairs.items()}
    return y, lambda g: pad_constant(g, pairs=back, value=0)
