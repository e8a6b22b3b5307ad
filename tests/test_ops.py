"""Every public operation, driven by the op table: values, gradients, second gradients, dtypes, and who owns what memory.

Hypothesis draws the calls (see op_table/). What is compared: NumPy's function where the entry names one, central
differences in float64, and PyTorch where it is installed (test_frozen_ops.py has PyTorch's numbers for when it is not).
"""

from __future__ import annotations

import ast
import json
import types
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitorch
from minitorch import autograd, devices, ops
from minitorch.grad_mode import mode

from . import op_edges
from .calls import (
    Inputs,
    as_numpy,
    assert_close,
    assert_derivative,
    assert_same,
    complaint,
    converted,
    directions,
    dot,
    flat,
    gradient_objective,
    in_minitorch,
    in_torch,
    is_floating,
    objective,
    outcome,
    prepared,
    run,
    torch_outcome,
    weights,
)
from .op_table import FLOATS, Op, dotted, table

pytestmark = pytest.mark.filterwarnings("ignore:kl_div")  # torch and minitorch warn of reduction="mean"
TABLE = table()
every_op = pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
differentiable_ops = pytest.mark.parametrize("entry", [e for e in TABLE if e.differentiable], ids=lambda entry: entry.name)
twice_differentiable_ops = pytest.mark.parametrize(
    "entry", [e for e in TABLE if e.differentiable and e.second], ids=lambda entry: entry.name
)


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, on one thread; without it test_frozen_ops.py stands in."""
    return prepared(pytest.importorskip("torch", reason="PyTorch is not installed; test_frozen_ops.py has its numbers"))


# ------------------------------------------------------------------------------------------- values, gradients


@every_op
@given(data=st.data())
def test_value(entry: Op, data: Any, device: str) -> None:
    """The value is NumPy's; inputs stay as they are; nothing is recorded under no_grad or without requires_grad."""
    call = data.draw(entry.samples)
    inputs = in_minitorch(call, device)
    before = [x.copy() for x in inputs.arrays]
    outputs = flat(entry.resolve(minitorch)(*inputs.args, **inputs.kwargs))
    with minitorch.no_grad():
        silent = flat(entry.resolve(minitorch)(*inputs.args, **inputs.kwargs))
    plain = in_minitorch(call, device, grad=False)
    for y, quiet, other in zip(outputs, silent, flat(entry.resolve(minitorch)(*plain.args, **plain.kwargs)), strict=True):
        if isinstance(y, minitorch.Tensor):
            assert y.device.startswith(device) or entry.name == "equal"  # a Python bool, which lies nowhere
            assert quiet is y or quiet.node is None or quiet in inputs.leaves, "recorded under no_grad"
            assert other.node is None, "recorded although no input requires grad"
            assert y.requires_grad == (entry.differentiable and bool(inputs.leaves) and is_floating(y)) or not is_floating(y)
    for x, old in zip(inputs.arrays, before, strict=True):
        np.testing.assert_array_equal(x, old, err_msg="the op changed its input")
    if entry.reference is not None:
        raw = in_numpy(call)
        for y, expected in zip(outputs, flat(entry.reference(*raw[0], **raw[1])), strict=True):
            expected = np.asarray(expected)
            np.testing.assert_allclose(as_numpy(y), expected, rtol=1e-9, atol=1e-11)
            assert as_numpy(y).shape == expected.shape


def in_numpy(call: Any) -> tuple[list[Any], dict[str, Any]]:
    """The call's arguments with nothing but arrays and plain values."""

    def convert(x: Any) -> Any:
        return type(x)(map(convert, x)) if type(x) in (list, tuple) else getattr(x, "array", x)

    return [convert(x) for x in call.args], {k: convert(v) for k, v in call.kwargs.items()}


@differentiable_ops
@given(data=st.data())
def test_gradient(entry: Op, data: Any, device: str) -> None:
    """Against central differences, in random directions and for every element; twice over the same graph; nothing mutated."""
    call = data.draw(entry.samples)
    inputs = in_minitorch(call, device)
    before = [x.copy() for x in inputs.arrays]
    ys = [y for y in flat(entry.resolve(minitorch)(*inputs.args, **inputs.kwargs)) if getattr(y, "requires_grad", False)]
    if not ys:
        return
    ws = [minitorch.Tensor(devices.move(weights(y.shape), device)) for y in ys]
    values = [as_numpy(y).copy() for y in ys]
    first = autograd.grad(ys, inputs.leaves, ws, retain_graph=True, allow_unused=True)
    kept = [None if g is None else as_numpy(g).copy() for g in first]
    again = autograd.grad(ys, inputs.leaves, ws, allow_unused=True)
    for x, g, copy, other, old in zip(inputs.leaves, first, kept, again, before, strict=True):
        assert g is not None, "no gradient at all"
        assert (g.shape, g.dtype, g.device) == (x.shape, x.dtype, x.device)
        assert not g.requires_grad, "a gradient is part of a graph only with create_graph=True"
        np.testing.assert_array_equal(as_numpy(g), copy, err_msg="the second walk changed what the first returned")
        np.testing.assert_array_equal(as_numpy(other), copy, err_msg="the second walk gave something else")
        np.testing.assert_array_equal(as_numpy(x), old, err_msg="backward changed an input")
    for y, w, value in zip(ys, ws, values, strict=True):
        np.testing.assert_array_equal(as_numpy(y), value, err_msg="backward changed an output")
        np.testing.assert_array_equal(as_numpy(w), weights(y.shape), err_msg="backward changed the upstream gradient")
    for shifts in directions(inputs.arrays):
        assert_derivative(
            dot(kept, shifts), partial(objective, entry, call, device, shifts, inputs.arrays), entry.tolerance, call
        )


@differentiable_ops
@settings(max_examples=6)
@given(data=st.data())
def test_gradients_add_up(entry: Op, data: Any, device: str) -> None:
    """A residual around two uses of one value, in both orders: no contribution is lost, counted twice or overwritten."""
    call = data.draw(entry.samples)
    function = entry.resolve(minitorch)
    once = run(function, in_minitorch(call, device), minitorch, order=1, device=device).gradients
    if once is None:
        return
    for residual_first in (True, False):
        inputs = in_minitorch(call, device, passed=lambda x: x * 1)
        middle = [inputs.tensors[id(x)] for x in inputs.arrays]
        around = [h * 1 for h in middle] if residual_first else []
        ys = [y for _ in range(2) for y in flat(function(*inputs.args, **inputs.kwargs)) if getattr(y, "requires_grad", False)]
        around = around or [h.reshape(h.shape) for h in middle]
        ones = [minitorch.ones_like(h) for h in around]
        ws = [minitorch.Tensor(devices.move(weights(y.shape, as_numpy(y).dtype), device)) for y in ys]
        gs = autograd.grad([*around, *ys, *around], inputs.leaves, [*ones, *ws, *ones])
        for g, single in zip(gs, once, strict=True):
            np.testing.assert_allclose(as_numpy(g), 2 + 2 * single, rtol=1e-12, atol=1e-12, err_msg=str(call))


@twice_differentiable_ops
@given(data=st.data())
def test_second_gradient(entry: Op, data: Any, device: str) -> None:
    """The gradient of the gradient, with respect to inputs and to the upstream gradient, against central differences."""
    call = data.draw(entry.samples)
    inputs = in_minitorch(call, device)
    results = run(entry.resolve(minitorch), inputs, minitorch, order=2, device=device)
    if results.gradients is None:
        return
    plain = run(entry.resolve(minitorch), in_minitorch(call, device), minitorch, order=1, device=device)
    for with_graph, without in zip(results.gradients, plain.gradients, strict=True):
        assert_close(with_graph, without, f"{call}: gradient with create_graph", rtol=1e-10)
    upstream = [weights(y.shape) for y in results.outputs if y.dtype.kind == "f"]
    for shifts in directions([*inputs.arrays, *upstream], few=4):
        f = partial(gradient_objective, entry, call, device, shifts, inputs.arrays)
        assert_derivative(dot(results.second, shifts), f, 10 * entry.tolerance, call)


@every_op
@given(data=st.data())
def test_float32_stays_float32(entry: Op, data: Any, device: str) -> None:
    """Nothing drifts to float64: not the values, not the gradients, not the second gradients."""
    call = converted(data.draw(entry.samples), "float32")
    inputs = in_minitorch(call, device)
    results = run(entry.resolve(minitorch), inputs, minitorch, order=1 + entry.second, device=device)
    asked = [x for x in (*call.args, *call.kwargs.values()) if isinstance(x, np.dtype)]
    for y in results.outputs:
        if inputs.leaves and not asked:
            assert y.dtype != np.float64
    for g in [*(results.gradients or []), *(results.second or [])[: len(inputs.leaves)]]:
        assert g is None or g.dtype == np.float32


@every_op
@settings(max_examples=8)
@given(data=st.data())
def test_bfloat16_is_float32_with_fewer_digits(entry: Op, data: Any, device: str) -> None:
    """The same call on the same numbers: results and gradients differ by bfloat16's rounding alone, dtypes not at all."""
    bfloat16 = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    call = converted(data.draw(entry.samples), "float32")

    def outcomes(dtype: Any) -> Any:
        def make(x: np.ndarray, differentiable: bool) -> Any:
            x = x.astype(bfloat16).astype(dtype) if x.dtype.kind == "f" else x
            return minitorch.Tensor(devices.move(x, device)).requires_grad_(differentiable)

        inputs = Inputs(call, make)
        ys = flat(entry.resolve(minitorch)(*inputs.args, **inputs.kwargs))
        live = [y for y in ys if getattr(y, "requires_grad", False)]
        ws = [minitorch.Tensor(devices.move(weights(y.shape, "float32").astype(y.dtype), device)) for y in live]
        gs = autograd.grad(live, inputs.leaves, ws, allow_unused=True) if live and inputs.leaves else ()
        return [*ys, *gs]

    for a, b in zip(outcomes(bfloat16), outcomes(np.float32), strict=True):
        if not isinstance(b, minitorch.Tensor) or b.dtype == bool:  # x == 0.1: the number is rounded, too
            continue
        assert a.dtype == (bfloat16 if b.dtype == np.float32 else b.dtype)
        x, y = as_numpy(a).astype("float64"), as_numpy(b).astype("float64")
        assert x.shape == y.shape
        scale = np.abs(y[np.isfinite(y)]).max(initial=1)  # the numbers put in are about 1
        np.testing.assert_allclose(x, y, rtol=0.05, atol=0.03 * scale, err_msg=repr(call))


def test_bfloat16_is_sorted_as_any_float(device: str) -> None:
    """NaN is the greatest, both zeros are equal, infinities stand at the ends."""
    values = [1.5, float("nan"), -float("inf"), 0.0, -2.0, float("inf"), -0.0]
    for descending in (False, True):
        x = minitorch.tensor(values, dtype=minitorch.bfloat16, device=device)
        expected = minitorch.sort(x.float(), descending=descending)
        got = minitorch.sort(x, descending=descending)
        assert got.indices.tolist() == expected.indices.tolist()
        assert minitorch.argsort(x, descending=descending).tolist() == expected.indices.tolist()
        assert minitorch.topk(x, 3, largest=descending).indices.tolist() == expected.indices.tolist()[:3]
        np.testing.assert_array_equal(got.values.float().cpu().numpy(), expected.values.cpu().numpy())


def test_a_place_that_is_written_twice(device: str) -> None:
    """scatter: the last value stands, and it alone has a gradient (PyTorch leaves open which; its gradient counts all)."""
    x = minitorch.zeros(3, device=device, requires_grad=True)
    v = minitorch.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
    y = minitorch.scatter(x, 0, minitorch.tensor([1, 1, 0], device=device), v)
    if device == "cpu":
        assert y.tolist() == [3, 2, 0]
    (y * minitorch.tensor([10.0, 20.0, 30.0], device=device)).sum().backward()
    assert x.grad.tolist() == [0, 0, 30]
    assert sorted(v.grad.tolist()[:2]) == [0, 20]
    assert v.grad.tolist()[2] == 10


# ---------------------------------------------------------------------------------------- promises of a pullback


class Watch:
    """An observer of every op (grad_mode.mode.observer) that looks at each pullback as it is made."""

    def __init__(self) -> None:
        self.seen = 0

    def forward(self, call: Any, run: Any, arrays: Any, static: Any) -> Any:
        """Run the formula, then hold its pullback to its promises."""
        y, pullback = run(*arrays, **static)
        self.seen += 1
        inputs = [a for a in arrays if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
        held = list(arrays_in(pullback))
        if call.linear:
            for a in inputs:
                assert not any(np.shares_memory(a, h) for h in held), f"{call.__name__} says linear, yet keeps an input"
        g = {i: upstream(part) for i, part in enumerate(y)} if type(y) is tuple else upstream(np.asarray(y))
        if any(v.dtype.kind == "f" for v in (g.values() if type(g) is dict else [g])):
            self.call_twice(call, pullback, g, held, arrays)
        return y, pullback

    def call_twice(self, call: Any, pullback: Any, g: Any, held: list[Any], arrays: Any) -> None:
        """The same both times, g untouched, and no array handed out that the pullback (or the caller) keeps."""
        gs = list(g.values()) if type(g) is dict else [g]
        before = [v.copy() for v in gs]
        first = self.pull(pullback, g, arrays)
        copies = [None if r is None else np.array(r) for r in first]
        for r, copy, other in zip(first, copies, self.pull(pullback, g, arrays), strict=True):
            if r is None:
                continue
            np.testing.assert_array_equal(other, copy, err_msg=f"{call.__name__}: the pullback is not pure")
            np.testing.assert_array_equal(r, copy, err_msg=f"{call.__name__}: a later call changed what an earlier returned")
            for kept in [*held, *(a for a in arrays if isinstance(a, np.ndarray))]:
                assert not np.shares_memory(r, kept), f"{call.__name__}: the pullback returns memory that it keeps"
            if np.shares_memory(r, other):
                assert any(np.shares_memory(r, v) for v in gs), f"{call.__name__}: the pullback returns one array twice"
        for i, r in enumerate(first):  # one array for two inputs is seen by the engine, two views of one are not
            for other in first[:i]:
                if r is not None and other is not None and r is not other and np.shares_memory(r, other):
                    assert any(np.shares_memory(r, v) for v in gs), f"{call.__name__}: two inputs get one array that is not g"
        for v, old in zip(gs, before, strict=True):
            np.testing.assert_array_equal(v, old, err_msg=f"{call.__name__}: the pullback changed g")

    @staticmethod
    def pull(pullback: Any, g: Any, arrays: Any) -> list[Any]:
        """The gradients of all floating inputs, as NumPy arrays."""
        wanted = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays]
        with np.errstate(all="ignore"):
            if type(pullback) is tuple:
                return [np.asarray(p(g)) if want else None for p, want in zip(pullback, wanted, strict=True)]
            gradients = (pullback(g),) if len(arrays) == 1 else pullback(g)
        return [np.asarray(r) if want and r is not None else None for r, want in zip(gradients, wanted, strict=True)]

    def backward(self, node: Any, pullback: Any) -> Any:
        """Not looked at."""
        return pullback

    def recorded(self, node: Any) -> None:
        """Not looked at."""


def upstream(y: np.ndarray) -> np.ndarray:
    """A gradient for y that is no 0-d scalar and owns its memory."""
    return np.array(weights(y.shape, y.dtype if y.dtype.kind == "f" else "float64"))


def arrays_in(x: Any, depth: int = 6) -> Any:
    """Every array that a function holds on to: in closures, defaults, partials, containers."""
    if depth == 0:
        return
    if isinstance(x, np.ndarray):
        yield x
    elif isinstance(x, minitorch.Tensor):
        yield x.array
    elif isinstance(x, types.FunctionType):
        for cell in x.__closure__ or ():
            try:
                yield from arrays_in(cell.cell_contents, depth - 1)
            except ValueError:  # an empty cell: a name that the formula did not get to
                continue
        yield from arrays_in(x.__defaults__, depth - 1)
    elif hasattr(x, "func") and hasattr(x, "keywords"):
        yield from arrays_in((x.func, x.args, x.keywords), depth - 1)
    elif isinstance(x, types.MethodType):
        yield from arrays_in(x.__self__, depth - 1)
    elif isinstance(x, tuple | list | dict):
        for item in x.values() if isinstance(x, dict) else x:
            yield from arrays_in(item, depth - 1)


@differentiable_ops
@given(data=st.data())
def test_pullbacks_keep_their_promises(entry: Op, data: Any) -> None:
    """A pullback is pure, never changes g, never hands out what it keeps; a "linear" one keeps no input (CPU arrays)."""
    call = data.draw(entry.samples)
    inputs = in_minitorch(call)
    mode.observer = watch = Watch()
    try:
        result = entry.resolve(minitorch)(*inputs.args, **inputs.kwargs)
    finally:
        mode.observer = None
    assert watch.seen or not inputs.leaves or any(result is x for x in inputs.leaves)  # sum_to_size of the same size


# ------------------------------------------------------------------------------------------------ against PyTorch


@every_op
@given(data=st.data())
def test_against_torch(entry: Op, data: Any, torch: Any) -> None:
    """Values, dtypes, gradients and second gradients in float64 are PyTorch's."""
    theirs = entry.resolve(torch)
    if theirs is None:
        return
    call = data.draw(entry.samples)
    order = 0 if not entry.differentiable else 1 + entry.second
    mine = run(entry.resolve(minitorch), in_minitorch(call), minitorch, order)
    assert_same(mine, run(theirs, in_torch(torch, call), torch, order), call)


@every_op
@settings(max_examples=4)
@given(data=st.data())
def test_dtypes_against_torch(entry: Op, data: Any, torch: Any) -> None:
    """In each dtype that the entry allows: values, result dtype and, for floats, gradients."""
    theirs = entry.resolve(torch)
    if theirs is None:
        return
    drawn = data.draw(entry.samples)
    for dtype in entry.dtypes:
        call = converted(drawn, dtype)
        order = int(entry.differentiable and dtype in FLOATS)
        order, expected = torch_outcome(torch, theirs, call, order)
        got = outcome(entry.resolve(minitorch), in_minitorch(call), minitorch, order)
        assert not complaint(call, got, expected)


EDGES = [(e.name, e.resolve, c) for e in TABLE for c in e.edges]
EDGES += [(name, partial(dotted, name=name), c) for family in op_edges.families() for name, c in op_edges.edges(family)]


@pytest.mark.parametrize("name", list(dict.fromkeys(name for name, _, _ in EDGES)))
def test_edges_against_torch(name: str, torch: Any) -> None:
    """The calls written by hand; what torch refuses is refused with the same type of exception."""
    failures = []
    for _, resolve, call in [edge for edge in EDGES if edge[0] == name]:
        theirs = resolve(torch)
        if theirs is not None:
            order, expected = torch_outcome(torch, theirs, call, call.order)
            got = outcome(resolve(minitorch), in_minitorch(call), minitorch, order)
            failures += complaint(call, got, expected)
    assert not failures, f"{len(failures)} calls differ from torch:\n" + "\n".join(failures)


# ----------------------------------------------------------------------------------------------- the table itself


def public_ops() -> set[str]:
    """What minitorch.ops and minitorch.nn.functional define and show."""
    names = {name for name, f in vars(ops).items() if _is_public(name, f, "minitorch.ops.")}
    functional = getattr(getattr(minitorch, "nn", None), "functional", None)
    if functional is not None:
        names |= {f"nn.functional.{n}" for n, f in vars(functional).items() if _is_public(n, f, "minitorch.nn.functional")}
        names |= {f"nn.functional.{n}" for n, f in vars(functional).items() if _is_public(n, f, "minitorch.ops.nn")}
    return names


def _is_public(name: str, f: Any, module: str) -> bool:
    home = getattr(f, "__module__", "")
    return callable(f) and not isinstance(f, type) and not name.startswith("_") and home.startswith(module) and "._" not in home


def test_every_public_op_is_in_the_table() -> None:
    """An operation that nobody tests is an operation that nobody knows to be right."""
    present = {name for entry in TABLE for name in (entry.name, *entry.covers)}
    present |= {f"nn.functional.{name}" for name in present} | {name.rpartition(".")[2] for name in present}
    missing = sorted(public_ops() - present)
    assert not missing, f"no entry in tests/op_table for {', '.join(missing)}"


def test_no_op_is_in_the_table_twice() -> None:
    """One entry a name."""
    names = [entry.name for entry in TABLE]
    assert sorted(names) == sorted(set(names))


# --------------------------------------------------------------------------------------- what array libraries offer

PACKAGE = Path(minitorch.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "cublas.py")  # speaks to CuPy alone
LIBRARY_CALLS = {"array_module", "module_for"}


def library_names(tree: ast.AST) -> set[str]:
    """Dotted names that code takes from an array library: ``xp.where``, ``array_module(x).linalg.norm``."""
    found = set()
    for node in ast.walk(tree):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LIBRARY_CALLS
        if parts and (called or (isinstance(node, ast.Name) and node.id == "xp")):
            found.add(".".join(reversed(parts)))
    return found


def nonlinear_formulas(tree: ast.AST) -> list[ast.FunctionDef]:
    """The functions under @op, but for the linear ones."""
    chosen = []
    for node in ast.walk(tree):
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            name = mark.func if isinstance(mark, ast.Call) else mark
            linear = isinstance(mark, ast.Call) and any(k.arg == "linear" for k in mark.keywords)
            if isinstance(name, ast.Name) and name.id == "op" and not linear:
                chosen.append(node)
    return chosen


def works_on_raw_arrays(formula: ast.FunctionDef) -> bool:
    """Does its xp belong to an array that was unwrapped, a constant of the formula: ``xp = array_module(raw(x))``?"""
    calls = [n for n in ast.walk(formula) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    unwrapped = {
        target.id
        for n in ast.walk(formula)
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call) and getattr(n.value.func, "id", "") == "raw"
        for target in n.targets
        if isinstance(target, ast.Name)
    }
    of = [n.args[0] for n in calls if n.func.id == "array_module" and n.args]
    return bool(of) and all(getattr(x, "id", "") in unwrapped or getattr(getattr(x, "func", None), "id", "") == "raw" for x in of)


def has(library: Any, dotted: str) -> bool:
    """Does ``library`` have ``dotted``? A method of an array found there counts (x.linalg.norm and the like resolve)."""
    for part in dotted.split("."):
        if not hasattr(library, part):
            return False
        library = getattr(library, part)
    return True


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_array_libraries_have_what_formulas_use(path: Path) -> None:
    """Each xp.NAME exists in NumPy and in CuPy; in formulas that are evaluated on Tensors, in minitorch.ops as well."""
    tree = ast.parse(path.read_text())
    used = library_names(tree)
    frozen = json.loads((Path(__file__).parent / "frozen" / "cupy_names.json").read_text())
    assert not {name for name in used if not has(np, name)}, "not in NumPy"
    assert not used - set(frozen["names"]), f"not in CuPy {frozen['cupy']} (tests/frozen/cupy_names.json)"
    for formula in nonlinear_formulas(tree):
        missing = {name for name in library_names(formula) if not has(ops, name) and not works_on_raw_arrays(formula)}
        assert not missing, f"{formula.name} is evaluated on Tensors for second gradients: minitorch.ops needs {missing}"


def test_frozen_names_are_cupys() -> None:
    """The committed list against the library, where CuPy can be imported (a card is not needed)."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed; the frozen list of its names stands in")
    used = set().union(*(library_names(ast.parse(path.read_text())) for path in SOURCES))
    assert not {name for name in used if not has(cupy, name)}
