"""Tensor: an array, its gradient, and where it came from.

The arithmetic lives in ops/ and is attached here, one line a method: to find what ``x.exp()`` does, open ops/elementwise.py.
What stays here is what makes an array a tensor: gradients and the graph, devices and dtypes, in-place changes, conversion.
Read before: graph.py. Read next: ops/elementwise.py, the first family of operations.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import arrays, devices, dtypes, graph, ops
from .changes import mark_changed
from .devices import Array
from .grad_mode import mode
from .graph import Leaf, Node, op
from .hooks import Handle


@graph.register
class Tensor:
    """An n-dimensional array that records what is computed from it.

    array: the NumPy or CuPy array itself.  grad: the gradient that backward() left here, a Tensor or None.
    node:  the tensor's place in the graph; None if it needs no gradient.
    Make one with ``minitorch.tensor(data)``; the constructor only wraps an array that is there already.
    """

    __slots__ = ("array", "grad", "node", "__weakref__")
    __array_ufunc__ = None  # numpy_array + tensor is ours to answer

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The functions that apply to Tensors, under NumPy's names: formulas ask for them (devices.array_module)."""
        return ops

    __hash__ = object.__hash__  # by identity: == compares elementwise

    array: Array
    grad: Tensor | None
    node: Node | None

    def __init__(self, array: Array, node: Node | None = None) -> None:
        self.array = array if type(array) is np.ndarray else _as_array(array)
        self.grad = None
        self.node = node

    # ------------------------------------------------------------------------------------------- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each dimension."""
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> dtypes.DType:
        """The elements' type, a NumPy dtype."""
        return self.array.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> devices.device:
        """Where it lives: "cpu" or "cuda:N"."""
        return devices.device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        """Does the array live on a GPU?"""
        return self.device != "cpu"

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim  # type: ignore[no-any-return]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size  # type: ignore[no-any-return]

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize

    def element_size(self) -> int:
        """Bytes an element."""
        return self.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.array.nbytes  # type: ignore[no-any-return]

    def stride(self, dim: int | None = None) -> Any:
        """How many elements apart neighbours along each dimension lie in memory."""
        strides = tuple(s // self.itemsize for s in self.array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """Do the elements lie in memory in row-major order without gaps?"""
        return bool(self.array.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Is the dtype a floating one, which can carry a gradient?"""
        return dtypes.is_floating(self.dtype)

    # ----------------------------------------------------------------------------------- gradients and graph

    @property
    def requires_grad(self) -> bool:
        """Is a gradient wanted here, or for something this was computed from?"""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for (or renounce) a gradient in ``.grad`` after backward()."""
        if requires_grad and self.node is None:
            if not self.is_floating_point():
                raise RuntimeError(
                    f"only floating-point tensors can require gradients, this one is {self.dtype}; "
                    "make it a float: minitorch.tensor(data, dtype=minitorch.float32)"
                )
            self.node = Leaf(self)
        elif not requires_grad and not self.is_leaf:
            raise RuntimeError("requires_grad can be switched off only for leaf tensors; use x.detach() for a computed one")
        elif not requires_grad:
            self.node = None
        return self

    @property
    def is_leaf(self) -> bool:
        """True unless it was computed from something that requires grad."""
        return self.node is None or type(self.node) is Leaf

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made it; None for a leaf."""
        return None if self.is_leaf else self.node

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient of this tensor with respect to every leaf (or to ``inputs``) to its ``.grad``."""
        xs = None if inputs is None else graph.listed(inputs)
        found = graph.walk_from([self], [gradient], xs, retain_graph, create_graph)
        for x in xs or ():
            if x.node in found:
                g = found[x.node]
                x.grad = g if x.grad is None else x.grad + g

    def detach(self) -> Tensor:
        """The same memory, outside of the graph."""
        return Tensor(self.array)

    @property
    def data(self) -> Tensor:
        """The same memory, outside of the graph; assigning replaces the array."""
        return Tensor(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"x.data = value: expected a Tensor, got {type(value).__name__}; wrap it: minitorch.as_tensor(value)")
        self.array = value.array
        if isinstance(self.node, Leaf):
            self.node.shape, self.node.dtype = self.shape, self.dtype

    def retain_grad(self) -> None:
        """Keep this computed tensor's gradient in ``.grad`` too."""
        hooks = () if self.node is None else (self.node.hooks or {}).values()
        if not self.is_leaf and not any(isinstance(hook, _Keep) for hook in hooks):
            self.register_hook(_Keep(self))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Handle:
        """Call ``hook(gradient)`` when this tensor's gradient is complete; what it returns, if anything, replaces it."""
        if self.node is None:
            raise RuntimeError("register_hook: this tensor does not require grad, so no gradient will ever pass")
        if self.node.hooks is None:
            self.node.hooks = {}
        return Handle(self.node.hooks, hook)

    # --------------------------------------------------------------------------------------- dtype and device

    def astype(self, dtype: Any) -> Tensor:
        """The same values as ``dtype``, recorded in the graph."""
        return ops.astype(self, dtype)  # type: ignore[no-any-return]

    def to(
        self, *target: Any, dtype: Any = None, device: str | None = None, copy: bool = False, non_blocking: bool = False
    ) -> Tensor:
        """To a dtype, a device, both, or those of another tensor: ``x.to("cuda")``, ``x.to(float64)``, ``x.to(y)``."""
        for t in target:
            if isinstance(t, Tensor):
                dtype, device = t.dtype, t.device
            elif isinstance(t, str) and t.partition(":")[0] in ("cpu", "cuda"):
                device = t
            elif not isinstance(t, bool):  # a bool is PyTorch's non_blocking
                dtype = t
        x = self if device is None or devices.canonical(device) == self.device else _move(self, device=device)
        x = x if dtype is None else x.astype(dtype)
        return x.clone() if copy and x is self else x

    type = to

    def type_as(self, other: Tensor) -> Tensor:
        """As the other tensor's dtype."""
        return self.astype(other.dtype)

    def cuda(self, index: int = 0) -> Tensor:
        """On the GPU."""
        return self.to(f"cuda:{index}")

    def cpu(self) -> Tensor:
        """In main memory."""
        return self.to("cpu")

    def float(self) -> Tensor:
        """As float32."""
        return self.astype(dtypes.float32)

    def double(self) -> Tensor:
        """As float64."""
        return self.astype(dtypes.float64)

    def half(self) -> Tensor:
        """As float16."""
        return self.astype(dtypes.float16)

    def bfloat16(self) -> Tensor:
        """As bfloat16: float32's range with 3 digits."""
        return self.astype(dtypes.bfloat16)

    def int(self) -> Tensor:
        """As int32."""
        return self.astype(dtypes.int32)

    def long(self) -> Tensor:
        """As int64."""
        return self.astype(dtypes.int64)

    def bool(self) -> Tensor:
        """As bool: is it different from zero?"""
        return self.astype(dtypes.bool_)

    @ops.sizes_by_name("size")
    def new_zeros(self, *size: Any, **options: Any) -> Tensor:
        """Zeros of this tensor's dtype, on its device."""
        return self._new(arrays.filled, "zeros", ops.shape_of(size), **options)

    @ops.sizes_by_name("size")
    def new_ones(self, *size: Any, **options: Any) -> Tensor:
        """Ones of this tensor's dtype, on its device."""
        return self._new(arrays.filled, "ones", ops.shape_of(size), **options)

    @ops.sizes_by_name("size")
    def new_empty(self, *size: Any, **options: Any) -> Tensor:
        """Uninitialised memory of this tensor's dtype, on its device."""
        return self._new(arrays.filled, "empty", ops.shape_of(size), **options)

    def new_full(self, size: Any, fill_value: Any, **options: Any) -> Tensor:
        """A number repeated, as this tensor's dtype, on its device."""
        return self._new(arrays.full, size, fill_value, **options)

    def new_tensor(self, data: Any, **options: Any) -> Tensor:
        """A copy of ``data`` as this tensor's dtype, on its device."""
        return self._new(arrays.array_from, data, **options)

    def _new(self, make: Any, *arguments: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        array = make(*arguments, dtype=dtype or self.dtype, device=device or self.device)
        return Tensor(array).requires_grad_(requires_grad)

    # ------------------------------------------------------------------------------------------- conversion

    def numpy(self) -> np.ndarray[Any, Any]:
        """The array itself, sharing memory."""
        if self.node is not None:
            raise RuntimeError("numpy: this tensor requires grad, and NumPy would not record; use x.detach().numpy()")
        if self.is_cuda:
            raise TypeError(f"numpy: this tensor is on {self.device}; use x.cpu().numpy()")
        return self.array  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The one element, as a Python number."""
        if self.numel() != 1:
            raise RuntimeError(f"item: a tensor of shape {self.shape} holds {self.numel()} elements; index or reduce it")
        return self.array.item()

    def tolist(self) -> Any:
        """Nested Python lists."""
        return self.array.tolist()

    def __float__(self) -> Any:
        return float(self.item())

    def __int__(self) -> Any:
        return int(self.item())

    def __index__(self) -> Any:
        if self.dtype.kind not in "iub":
            raise TypeError(f"only an integer tensor of one element can be an index, this one is {self.dtype}")
        return int(self.item())

    def __bool__(self) -> Any:
        if self.numel() != 1:
            raise RuntimeError(f"a tensor of shape {self.shape} is neither true nor false; use .any() or .all()")
        return bool(self.item())

    def __len__(self) -> Any:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(ops.unbind(self))

    def __contains__(self, value: Any) -> Any:
        return bool((self.array == ops.raw(value)).any())

    def __repr__(self) -> str:
        values = self.array if not self.is_cuda else self.array.get()
        text = np.array2string(values, separator=", ", prefix="tensor(", precision=4, suppress_small=False, threshold=1000)
        plain = (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_)
        notes = "" if self.dtype in plain and self.numel() else f", dtype={self.dtype}"
        notes += f', device="{self.device}"' if self.is_cuda else ""
        notes += ", requires_grad=True" if self.requires_grad and self.is_leaf else ""
        notes += f", grad_fn=<{self.node.name}>" if self.node is not None and not self.is_leaf else ""
        return f"tensor({text}{notes})"

    def __format__(self, spec: str) -> str:
        """f"{loss:.3f}": one element is formatted as the number that it is."""
        return format(self.item(), spec) if spec and self.ndim == 0 else object.__format__(self, spec)

    def __deepcopy__(self, memo: Any) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be deep-copied; use x.detach().clone() for a computed one")
        copy = type(self).__new__(type(self))
        Tensor.__init__(copy, self.array.copy())
        for name, value in getattr(self, "__dict__", {}).items():
            setattr(copy, name, value)
        copy.requires_grad_(self.requires_grad)
        copy.grad = None if self.grad is None else self.grad.detach().clone()
        memo[id(self)] = copy
        return copy

    # -------------------------------------------------------------------------------------- in-place changes

    @np.errstate(over="ignore", invalid="ignore")
    def _change(self, name: str, value: Any, index: Any = ...) -> Tensor:
        """Overwrite ``self.array[index]``, unless that would make a gradient wrong; note the time for graphs that look back."""
        if mode.enabled and (self.requires_grad or getattr(value, "requires_grad", False)):
            raise RuntimeError(
                f"{name}: an in-place change to a tensor of a graph would make its gradient wrong; compute a new one "
                "(x = x + y, where, cat), or work under no_grad() as optimisers do"
            )
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

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self += alpha · other"""
        return self._change("add_", ops.add(self.detach(), other, alpha=alpha))

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self -= alpha · other"""
        return self._change("sub_", ops.sub(self.detach(), other, alpha=alpha))

    def mul_(self, other: Any) -> Tensor:
        """self *= other"""
        return self._change("mul_", ops.mul(self.detach(), other))

    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """self /= other"""
        return self._change("div_", ops.div(self.detach(), other, rounding_mode=rounding_mode))

    def floor_divide_(self, other: Any) -> Tensor:
        """self //= other"""
        return self._change("floor_divide_", ops.floor_divide(self.detach(), other))

    def remainder_(self, other: Any) -> Tensor:
        """self %= other"""
        return self._change("remainder_", ops.remainder(self.detach(), other))

    def pow_(self, exponent: Any) -> Tensor:
        """self **= exponent"""
        return self._change("pow_", ops.pow(self.detach(), exponent))

    def bitwise_and_(self, other: Any) -> Tensor:
        """self &= other"""
        return self._change("bitwise_and_", ops.bitwise_and(self.detach(), other))

    def bitwise_or_(self, other: Any) -> Tensor:
        """self |= other"""
        return self._change("bitwise_or_", ops.bitwise_or(self.detach(), other))

    def bitwise_xor_(self, other: Any) -> Tensor:
        """self ^= other"""
        return self._change("bitwise_xor_", ops.bitwise_xor(self.detach(), other))

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """Limit every element to [min, max]."""
        return self._change("clamp_", ops.clamp(self.detach(), min, max))

    def masked_fill_(self, mask: Tensor, value: Any) -> Tensor:
        """Set the elements where mask holds."""
        return self._change("masked_fill_", ops.masked_fill(self.detach(), mask, value))

    def fill_(self, value: Any) -> Tensor:
        """Set every element to a number, or to what a 0-d tensor holds."""
        if isinstance(value, Tensor) and value.ndim:
            raise RuntimeError(f"fill_: the value must be a number or a 0-d tensor, it has shape {value.shape}; copy_ takes any")
        return self._change("fill_", value.astype(self.dtype) if isinstance(value, Tensor) else value)

    def zero_(self) -> Tensor:
        """Set every element to 0."""
        return self.fill_(0)

    def copy_(self, source: Tensor) -> Tensor:
        """Take over the source's values, converting dtype and device."""
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

    # ----------------------------------------- operations: ops/elementwise.py, comparisons.py, extra_elementwise.py
    __add__ = __radd__ = add = ops.add
    __sub__ = sub = subtract = ops.sub
    __rsub__ = ops.rsub
    __mul__ = __rmul__ = mul = multiply = ops.mul
    __truediv__ = div = divide = ops.div
    true_divide = ops.true_divide
    __floordiv__ = floor_divide = ops.floor_divide
    __mod__ = remainder = ops.remainder
    __pow__ = pow = ops.pow
    __neg__ = neg = negative = ops.neg
    __pos__ = positive = ops.positive
    __abs__ = abs = absolute = ops.abs
    __and__ = __rand__ = bitwise_and = ops.bitwise_and
    __or__ = __ror__ = bitwise_or = ops.bitwise_or
    __xor__ = __rxor__ = bitwise_xor = ops.bitwise_xor
    __invert__ = bitwise_not = ops.bitwise_not
    __lt__ = lt = less = ops.lt
    __le__ = le = less_equal = ops.le
    __gt__ = gt = greater = ops.gt
    __ge__ = ge = greater_equal = ops.ge
    eq = ops.eq
    ne = not_equal = ops.ne
    equal = ops.equal

    __rtruediv__ = ops.elementwise.rdiv

    def __rfloordiv__(self, other: Any) -> Any:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: Any) -> Any:
        return ops.remainder(other, self)

    def __rpow__(self, other: Any) -> Any:
        return ops.pow(other, self)

    def __eq__(self, other: Any) -> Any:
        return ops.eq(self, other) if ops.comparisons.is_operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Any:
        return ops.ne(self, other) if ops.comparisons.is_operand(other) else NotImplemented

    square = ops.square
    float_power = ops.float_power
    sqrt = ops.sqrt
    rsqrt = ops.rsqrt
    reciprocal = ops.reciprocal
    exp = ops.exp
    exp2 = ops.exp2
    expm1 = ops.expm1
    log = ops.log
    log2 = ops.log2
    log10 = ops.log10
    log1p = ops.log1p
    tanh = ops.tanh
    sigmoid = ops.sigmoid
    sin = ops.sin
    cos = ops.cos
    tan = ops.tan
    sinh = ops.sinh
    cosh = ops.cosh
    erf = ops.erf
    erfc = ops.erfc
    sign = ops.sign
    floor = ops.floor
    ceil = ops.ceil
    trunc = ops.trunc
    round = ops.round
    frac = ops.frac
    maximum = ops.maximum
    minimum = ops.minimum
    clamp = clip = ops.clamp
    clamp_min = ops.clamp_min
    clamp_max = ops.clamp_max
    lerp = ops.lerp
    addcmul = ops.addcmul
    addcdiv = ops.addcdiv
    masked_fill = ops.masked_fill
    nan_to_num = ops.nan_to_num
    isnan = ops.isnan
    isinf = ops.isinf
    isfinite = ops.isfinite
    isposinf = ops.isposinf
    isneginf = ops.isneginf
    isclose = ops.isclose
    allclose = ops.allclose
    logical_and = ops.logical_and
    logical_or = ops.logical_or
    logical_xor = ops.logical_xor
    logical_not = ops.logical_not

    def where(self, condition: Any, other: Any) -> Any:
        """self where condition holds, else other"""
        return ops.where(condition, self, other)

    # ----------------------------------------------------------- operations: ops/reductions.py, extra_reductions.py
    sum = ops.sum
    sum_to_size = ops.sum_to_size
    nansum = ops.nansum
    mean = ops.mean
    nanmean = ops.nanmean
    var = ops.var
    std = ops.std
    prod = ops.prod
    amax = ops.amax
    amin = ops.amin
    max = ops.max
    min = ops.min
    argmax = ops.argmax
    argmin = ops.argmin
    logsumexp = ops.logsumexp
    norm = ops.norm
    cumsum = ops.cumsum
    cumprod = ops.cumprod
    sort = ops.sort
    argsort = ops.argsort
    topk = ops.topk
    any = ops.any
    all = ops.all
    count_nonzero = ops.count_nonzero
    # ----------------------------------------------------------------- operations: ops/shaping.py, extra_shaping.py
    reshape = ops.reshape
    view = ops.view
    flatten = ops.flatten
    unflatten = ops.unflatten
    ravel = ops.ravel
    permute = ops.permute
    transpose = ops.transpose
    swapaxes = ops.swapaxes
    swapdims = ops.swapdims
    t = ops.t
    movedim = ops.movedim
    moveaxis = ops.moveaxis
    unsqueeze = ops.unsqueeze
    squeeze = ops.squeeze
    expand = ops.expand
    expand_as = ops.expand_as
    broadcast_to = ops.broadcast_to
    view_as = ops.view_as
    reshape_as = ops.reshape_as
    repeat = ops.repeat
    tile = ops.tile
    split = ops.split
    tensor_split = ops.tensor_split
    chunk = ops.chunk
    unbind = ops.unbind
    flip = ops.flip
    roll = ops.roll
    tril = ops.tril
    triu = ops.triu
    diagonal = ops.diagonal
    diag = ops.diag
    diag_embed = ops.diag_embed
    contiguous = ops.contiguous
    clone = ops.clone
    T = property(ops.shaping.T)
    mT = property(ops.shaping.mT)
    # --------------------------------------------------------------- operations: ops/indexing.py, extra_indexing.py
    __getitem__ = ops.indexing.getitem
    select = ops.select
    narrow = ops.narrow
    index_select = ops.index_select
    gather = ops.gather
    scatter = ops.scatter
    scatter_add = ops.scatter_add
    index_add = ops.index_add
    take_along_dim = ops.take_along_dim
    take = ops.take
    repeat_interleave = ops.repeat_interleave
    masked_select = ops.masked_select
    nonzero = ops.nonzero
    argwhere = ops.argwhere
    # ------------------------------------------------------------------- operations: ops/linalg.py, extra_linalg.py
    __matmul__ = ops.matmul

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(other, self)

    matmul = ops.matmul
    mm = ops.mm
    bmm = ops.bmm
    mv = ops.mv
    dot = ops.dot
    vdot = ops.vdot
    inner = ops.inner
    outer = ops.outer
    addmm = ops.addmm
    addmv = ops.addmv
    baddbmm = ops.baddbmm
    trace = ops.trace
    # -------------------------------------------------------------------------------------- operations: ops/nn.py
    relu = ops.relu
    softmax = ops.softmax
    log_softmax = ops.log_softmax
    xlogy = ops.xlogy
    # ------------------------------------------------------------------------------------------- end of operations


class _Keep:
    """The hook of retain_grad; it knows its tensor weakly, or node and tensor would keep each other alive."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)

    def __call__(self, g: Tensor) -> None:
        tensor = self.tensor()
        if tensor is not None:
            tensor.grad = g.clone() if tensor.grad is None else tensor.grad + g


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Does a value of ``shape``, repeated as broadcasting does, have the shape ``into``?"""
    fitting = all(n in (1, m) for n, m in zip(reversed(shape), reversed(into), strict=False))
    return fitting and len(shape) <= len(into)


def _as_array(x: Any) -> Array:
    """NumPy's scalars (what it returns for 0-d results) as 0-d arrays; lists by the default dtype, as torch.Tensor does."""
    if isinstance(x, np.generic):
        return np.asarray(x)
    return x if hasattr(x, "dtype") else np.asarray(x, dtype=dtypes.get_default_dtype())


@op(linear=True)
def _move(x: Array, *, device: str) -> Any:
    """The same values on another device; the gradient travels back."""
    home = devices.device_of(x)
    return devices.move(x, device), lambda g: g.to(home) if isinstance(g, Tensor) else devices.move(g, home)
