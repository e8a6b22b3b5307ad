"""Running a Call of the op table in minitorch and in torch, its gradients, and central differences.

Used by test_ops.py (drawn samples), frozen/make_ops.py (which stores torch's numbers) and test_frozen_ops.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import autograd, devices

from .op_table import Call, Constant, Op

STEP = 1e-3  # of the five-point stencil, whose error is of the order STEP⁴: arrays stay 0.05 away from kinks


class Inputs:
    """The arguments of a call as tensors of one library; ``leaves`` are those that need a gradient, each once."""

    def __init__(
        self,
        call: Call,
        make: Callable[[np.ndarray, bool], Any],
        replaced: dict[int, np.ndarray] | None = None,
        passed: Callable[[Any], Any] = lambda x: x,  # what the op gets in place of a leaf
    ) -> None:
        self.make, self.replaced, self.passed = make, replaced or {}, passed
        self.tensors: dict[int, Any] = {}
        self.leaves: list[Any] = []
        self.arrays: list[np.ndarray] = []  # of the leaves
        self.args = [self.convert(x) for x in call.args]
        self.kwargs = {name: self.convert(x) for name, x in call.kwargs.items()}

    def convert(self, x: Any) -> Any:
        """Arrays to tensors, one for one; lists and tuples are looked into."""
        if isinstance(x, Constant):
            return self.make(x.array, False)
        if isinstance(x, np.ndarray):
            if id(x) not in self.tensors:
                differentiable = x.dtype.kind == "f"
                made = self.make(self.replaced.get(id(x), x), differentiable)
                if differentiable:
                    self.leaves.append(made)
                    self.arrays.append(x)
                self.tensors[id(x)] = self.passed(made) if differentiable else made
            return self.tensors[id(x)]
        if type(x) in (list, tuple):
            return type(x)(self.convert(item) for item in x)
        return x


def in_minitorch(
    call: Call,
    device: str = "cpu",
    grad: bool = True,
    replaced: dict[int, np.ndarray] | None = None,
    passed: Callable[[Any], Any] = lambda x: x,
) -> Inputs:
    """The call's inputs as minitorch Tensors that share the arrays' memory (on the CPU)."""

    def make(x: np.ndarray, differentiable: bool) -> Any:
        return minitorch.Tensor(devices.move(x, device)).requires_grad_(grad and differentiable)

    return Inputs(call, make, replaced, passed)


def in_torch(torch: Any, call: Call, grad: bool = True) -> Inputs:
    """The call's inputs as torch tensors of the same strides."""

    def make(x: np.ndarray, differentiable: bool) -> Any:
        if any(stride < 0 for stride in x.strides):
            x = x.copy()  # torch has no negative strides
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an expanded array is read-only
            return torch.from_numpy(x).requires_grad_(grad and differentiable)

    inputs = Inputs(call, make)
    inputs.args = [_torch_dtype(torch, x) for x in inputs.args]
    inputs.kwargs = {name: _torch_dtype(torch, x) for name, x in inputs.kwargs.items()}
    return inputs


def prepared(torch: Any) -> Any:
    """PyTorch on one thread, with attention as plain operations (its fused kernels have no second gradient)."""
    torch.set_num_threads(1)
    torch.backends.cuda.enable_flash_sdp(False)  # governs the CPU's kernel too
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    return torch


def _torch_dtype(torch: Any, x: Any) -> Any:
    return getattr(torch, x.name) if isinstance(x, np.dtype) else x


def flat(result: Any) -> list[Any]:
    """The outputs of an op, one after the other: Tensors, and plain values as they are."""
    if isinstance(result, list | tuple):
        return [output for item in result for output in flat(item)]
    return [result]


def as_numpy(x: Any) -> np.ndarray:
    """A tensor of any library, or a plain value, as a NumPy array."""
    if isinstance(x, minitorch.Tensor):
        return devices.move(x.array, "cpu")
    if hasattr(x, "detach"):
        return np.asarray(x.numpy(force=True))  # force: also what torch knows to be all zeros
    return np.asarray(x)


def weights(shape: Sequence[int], dtype: Any = "float64", phase: float = 0.3) -> np.ndarray:
    """A fixed gradient to start from: numbers of both signs, the same on every machine (to the last digits of cos)."""
    size = int(np.prod(shape))
    return np.round(np.cos(1.7 * np.arange(size) + phase), 3).reshape(tuple(shape)).astype(dtype)


class Results:
    """What a call gives in one library: ``outputs``, and with it ``gradients`` and ``second`` gradients, as NumPy arrays."""

    def __init__(self, outputs: list[np.ndarray]) -> None:
        self.outputs = outputs
        self.gradients: list[np.ndarray | None] | None = None
        self.second: list[np.ndarray | None] | None = None


def run(function: Callable[..., Any], inputs: Inputs, library: Any, order: int, device: str = "cpu") -> Results:
    """Call the function; differentiate ``order`` times: Σ wᵢ·yᵢ by the leaves, then Σ vⱼ·gⱼ by the leaves and the w.

    The second gradient with respect to the w tests that the gradient is the linear function of them that it must be.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torch|tests")  # torch warns of var() without degrees of freedom
        outputs = flat(function(*inputs.args, **inputs.kwargs))
    results = Results([as_numpy(y) for y in outputs])
    ys = [y for y in outputs if getattr(y, "requires_grad", False)]
    if order == 0 or not ys or not inputs.leaves:
        return results
    tensor = library_tensor(library, device)
    ws = [tensor(weights(y.shape, as_numpy(y).dtype)) for y in ys]
    if order > 1:
        ws = [w.requires_grad_() for w in ws]
    differentiate = library.autograd.grad
    gs = differentiate(ys, inputs.leaves, ws, create_graph=order > 1, allow_unused=True)
    results.gradients = [None if g is None else as_numpy(g) for g in gs]
    live = [g for g in gs if g is not None and g.requires_grad]
    if order > 1:
        variables = [*inputs.leaves, *ws]
        vs = [tensor(weights(g.shape, as_numpy(g).dtype, phase=1.1)) for g in live]
        second = differentiate(live, variables, vs, allow_unused=True) if live else [None] * len(variables)
        results.second = [None if g is None else as_numpy(g) for g in second]
    return results


def library_tensor(library: Any, device: str) -> Callable[[np.ndarray], Any]:
    """How ``library`` makes a tensor of a NumPy array."""
    if library is minitorch:
        return lambda array: minitorch.Tensor(devices.move(array, device))
    return lambda array: library.from_numpy(np.ascontiguousarray(array).reshape(array.shape))


# ------------------------------------------------------------------------------------------------ differences


def difference(function: Callable[[float], float], h: float = STEP) -> float:
    """f'(0) from five points: (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h, exact to the order h⁴."""
    return (function(-2 * h) - 8 * function(-h) + 8 * function(h) - function(2 * h)) / (12 * h)


def assert_derivative(analytic: float, function: Callable[[float], float], tolerance: float, what: Any) -> None:
    """``analytic`` is f'(0): by differences, of smaller steps too where f is wild (a product of many numbers, say)."""
    for h in (STEP, STEP / 10, STEP / 100):
        numeric = difference(function, h)
        if abs(analytic - numeric) <= tolerance * max(1, abs(numeric)):
            return
    raise AssertionError(f"{what}: {analytic}, but {numeric} by differences")


def directions(arrays: Sequence[np.ndarray], few: int = 5) -> list[list[np.ndarray]]:
    """Directions in the space of all inputs together: two random ones; each single element too if there are few."""
    rng = np.random.default_rng(7)
    chosen = [[rng.uniform(-1, 1, x.shape) for x in arrays] for _ in range(2)]
    if sum(x.size for x in arrays) <= few:
        for k, x in enumerate(arrays):
            for i in range(x.size):
                one = [np.zeros(a.shape) for a in arrays]
                one[k].reshape(-1)[i] = 1.0
                chosen.append(one)
    return chosen


def dot(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    """Σ x·y over all pairs of arrays, a None counting as 0."""
    return float(sum((np.asarray(x) * y).sum() for x, y in zip(xs, ys, strict=True) if x is not None and y is not None))


def objective(entry: Op, call: Call, device: str, shifts: Sequence[np.ndarray], arrays: Sequence[np.ndarray], t: float) -> float:
    """Σ wᵢ·yᵢ at inputs + t · shifts, no graph recorded."""
    replaced = {id(x): x + t * d for x, d in zip(arrays, shifts, strict=True)}
    inputs = in_minitorch(call, device, grad=False, replaced=replaced)
    outputs = [y for y in flat(entry.resolve(minitorch)(*inputs.args, **inputs.kwargs)) if is_floating(y)]
    return dot([as_numpy(y) for y in outputs], [weights(y.shape) for y in outputs])


def gradient_objective(
    entry: Op, call: Call, device: str, shifts: Sequence[np.ndarray], arrays: Sequence[np.ndarray], t: float
) -> float:
    """Σ vⱼ·gⱼ at (inputs, w) + t · shifts, by plain first-order backward passes."""
    k = len(arrays)
    replaced = {id(x): x + t * d for x, d in zip(arrays, shifts[:k], strict=True)}
    inputs = in_minitorch(call, device, replaced=replaced)
    ys = [y for y in flat(entry.resolve(minitorch)(*inputs.args, **inputs.kwargs)) if getattr(y, "requires_grad", False)]
    tensor = library_tensor(minitorch, device)
    ws = [tensor(weights(y.shape) + t * d) for y, d in zip(ys, shifts[k:], strict=True)]
    gs = autograd.grad(ys, inputs.leaves, ws, allow_unused=True)
    return sum(dot([as_numpy(g)], [weights(g.shape, phase=1.1)]) for g in gs if g is not None)


def is_floating(y: Any) -> bool:
    """Is it a Tensor of floating numbers?"""
    return isinstance(y, minitorch.Tensor) and y.dtype.kind == "f"


# ------------------------------------------------------------------------------------------------- comparing

TOLERANCE = {"float64": 2e-8, "float32": 2e-5, "float16": 4e-3}  # frozen numbers keep 28 bits of float64's mantissa


def precision(call: Call) -> float:
    """The tolerance that the coarsest floating dtype of a call allows."""
    arrays = Inputs(call, lambda x, _: x)
    dtypes = [x.dtype.name for x in arrays.tensors.values()] + [x.name for x in call.kwargs.values() if isinstance(x, np.dtype)]
    return max((TOLERANCE.get(name, 0) for name in dtypes), default=0) or TOLERANCE["float32"]


def difference_text(mine: Any, theirs: Any, rtol: float) -> str:
    """What is wrong with ``mine``: shape, dtype or values (relative to the largest element; NaN equals NaN); "" if nothing."""
    if theirs is None or mine is None:  # torch and minitorch may disagree on "unused" and "zero"
        known = mine if theirs is None else theirs
        return "" if known is None or not np.any(known) else f"one gradient is None, the other {known}"
    if mine.shape != theirs.shape:
        return f"shape {mine.shape}, expected {theirs.shape}"
    if mine.dtype != theirs.dtype:
        return f"dtype {mine.dtype}, expected {theirs.dtype}"
    finite = np.abs(theirs[np.isfinite(theirs)]).astype("float64") if theirs.dtype.kind == "f" else np.zeros(0)
    atol = rtol * min(max(float(finite.max(initial=0.0)), 1e-2), 1e3)
    if theirs.dtype.kind == "f" and np.allclose(mine.astype("float64"), theirs.astype("float64"), rtol, atol, equal_nan=True):
        return ""
    if theirs.dtype.kind != "f" and np.array_equal(mine, theirs):
        return ""
    return f"{' '.join(str(mine).split())[:300]} instead of {' '.join(str(theirs).split())[:300]}"


def assert_close(mine: Any, theirs: Any, what: str, rtol: float) -> None:
    """Equal shapes, dtypes and values."""
    text = difference_text(mine, theirs, rtol)
    assert not text, f"{what}: {text}"


def converted(call: Call, dtype: str) -> Call:
    """The call with its float64 arrays as ``dtype``; for integers they are scaled and rounded first."""
    done: dict[int, np.ndarray] = {}

    def convert(x: Any) -> Any:
        if isinstance(x, Constant):
            return Constant(convert(x.array)) if np.dtype(dtype).kind == "f" else x
        if isinstance(x, np.ndarray) and x.dtype == np.float64:
            if id(x) not in done:
                numbers = x if np.dtype(dtype).kind == "f" else np.rint(2 * x)
                numbers = np.abs(numbers) if np.dtype(dtype).kind == "u" else numbers
                done[id(x)] = np.asarray(numbers.astype(dtype))
            return done[id(x)]
        return type(x)(convert(item) for item in x) if type(x) in (list, tuple) else x

    return Call(tuple(convert(x) for x in call.args), {k: convert(v) for k, v in call.kwargs.items()}, call.error)


def outcome(function: Callable[..., Any], inputs: Inputs, library: Any, order: int, device: str = "cpu") -> Any:
    """The results, or the exception."""
    try:
        return run(function, inputs, library, order, device)
    except Exception as error:  # any: what is compared is how both refuse
        return error


def torch_outcome(torch: Any, function: Callable[..., Any], call: Call, order: int) -> tuple[int, Any]:
    """What torch gives, and how often it could be differentiated: where torch's own gradient fails, one time less."""
    got = outcome(function, in_torch(torch, call), torch, order)
    while isinstance(got, Exception) and order > 0:
        order -= 1
        got = outcome(function, in_torch(torch, call), torch, order)
    return order, got


def assert_same(mine: Any, theirs: Any, call: Call) -> None:
    """All outputs, gradients and second gradients agree."""
    rtol, where = precision(call), " ".join(repr(call).split())
    assert len(mine.outputs) == len(theirs.outputs), f"{where}: {len(mine.outputs)} outputs, expected {len(theirs.outputs)}"
    for kind in ("outputs", "gradients", "second"):
        ours, expected = getattr(mine, kind), getattr(theirs, kind)
        n = len(ours or expected or [])
        for i, (a, b) in enumerate(zip(ours or [None] * n, expected or [None] * n, strict=True)):
            assert_close(a, b, f"{where}: {kind}[{i}]", rtol)


def complaint(call: Call, mine: Any, theirs: Any) -> list[str]:
    """What differs between two outcomes, as a list of at most one text; the type of exception counts, its words do not."""
    where = " ".join(repr(call).split())
    if isinstance(theirs, Exception):
        if not isinstance(mine, Exception):
            return [f"{where}: no {type(theirs).__name__} {str(theirs)[:80]}"]
        accepted = RuntimeError if isinstance(theirs, NotImplementedError) else type(theirs)
        return [] if isinstance(mine, accepted) else [f"{where}: {mine!r} instead of {type(theirs).__name__}: {str(theirs)[:80]}"]
    if isinstance(mine, Exception):
        return [f"{where}: {mine!r}"]
    try:
        assert_same(mine, theirs, call)
    except AssertionError as error:
        return [str(error)]
    return []
