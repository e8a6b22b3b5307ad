"""Tensor: an array, its gradient, and its place in the graph.

This file has everything that makes an array a tensor: gradients and the graph, devices and dtypes, conversion.
The arithmetic is in ops/; methods.py lists it, one line per method. In-place changes are in inplace.py.
Read before: ops/losses.py (or any file of ops/). Read next: nn/module.py.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from . import arrays, devices, dtypes, graph, ops
from .devices import Array
from .graph import Leaf, Node, op
from .hooks import Handle
from .inplace import InPlace
from .methods import Methods


@graph.register
class Tensor(Methods, InPlace):
    """An n-dimensional array that records what is computed from it.

    array: the NumPy or CuPy array itself.  grad: the gradient that backward() stored here, a Tensor or None.
    node:  the tensor's place in the graph; None if it needs no gradient.
    Make one with ``minitorch.tensor(data)``; the constructor only wraps an existing array.
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

    # ------------------------------------------------------------------------------------------- properties

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
        """Its device: "cpu" or "cuda:N"."""
        return devices.device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        """Is the array on a GPU?"""
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
        """The distance in memory, in elements, between neighbours along each dimension."""
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
        """Is a gradient needed for this tensor, or for one that it was computed from?"""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Make backward() store a gradient in ``.grad``, or stop it."""
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
        """True unless it was computed from a tensor that requires grad."""
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
        """Call ``hook(gradient)`` when this tensor's gradient is complete; a tensor that it returns replaces the gradient."""
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
        """All ``fill_value``, in this tensor's dtype, on its device."""
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


class _Keep:
    """The hook of retain_grad; its reference to the tensor is weak, or node and tensor would keep each other alive."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)

    def __call__(self, g: Tensor) -> None:
        tensor = self.tensor()
        if tensor is not None:
            tensor.grad = g.clone() if tensor.grad is None else tensor.grad + g


def _as_array(x: Any) -> Array:
    """NumPy's scalars (its 0-d results) as 0-d arrays; lists in the default dtype, as torch.Tensor does."""
    if isinstance(x, np.generic):
        return np.asarray(x)
    return x if hasattr(x, "dtype") else np.asarray(x, dtype=dtypes.get_default_dtype())


@op(linear=True)
def _move(x: Array, *, device: str) -> Any:
    """The same values on another device; the gradient is copied back."""
    home = devices.device_of(x)
    return devices.move(x, device), lambda g: g.to(home) if isinstance(g, Tensor) else devices.move(g, home)
