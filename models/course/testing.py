"""How to write a test of an assignment: in two halves that never meet in one process.

    @task("1.2", points=2)
    def product_rule(m):
        "d(xy)/dx = y"
        value, (dx, dy) = m.mul(3.0, 5.0)           # m is the learner's module, in a process of its own (remote.py)
        return {"xy": value, "dx: g·y": dx(2.0)}    # plain numbers and arrays

    @product_rule.expects
    def _():
        return {"xy": 15.0, "dx: g·y": 10.0}        # runs in the grader, which neither runs tests nor learners' code

So an object that claims to equal everything, or a tampered NumPy, cannot fool the comparison. An expected value may also be
a function of the value that returns None or a complaint. ``close(...)`` sets tolerances and a dtype, and names what known
slips give: close(right, slips={"eps outside of the root": wrong}). ``twice`` calls an operation again before its pullback.
Read next: remote.py.
"""

from __future__ import annotations

import ast
import base64
import functools
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .proxy import Proxy
from .subject import digest

LARGEST = 1 << 24  # bytes of one returned value
WARMING_UP, ROUNDS = 2, 8  # of a race
TRIAL, HOPELESS = 32, 0.5  # a race is run on a part of the numbers first; less than half as fast needs no second run
NUMBERS = (int, float, np.number, np.bool_, np.ndarray, list, tuple)


@dataclass
class Test:
    """One test: the half that runs with the learner's module, and the half with the expected values."""

    task: str
    points: float
    run: Callable[[Any], dict[str, Any]]
    hidden: bool = False
    expected: Callable[[], dict[str, Any]] | None = None
    __test__ = False  # not pytest's

    @property
    def name(self) -> str:
        """Its name in reports."""
        return self.run.__name__

    @property
    def about(self) -> str:
        """One line about the test."""
        return (self.run.__doc__ or self.name.replace("_", " ")).strip()

    def expects(self, function: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        """Decorate the function that returns the expected values, under the same labels."""
        self.expected = function
        return function

    @functools.cached_property
    def answers(self) -> dict[str, Any]:
        """The expected values; computed once."""
        assert self.expected is not None, f"the test {self.name} does not say what it expects"
        return self.expected()


def task(number: str, points: float) -> Callable[[Callable[[Any], dict[str, Any]]], Test]:
    """Make a test of a function that takes the learner's module and returns {label: number or array}."""
    return lambda run: Test(number, points, run)


@dataclass
class close:
    """An expected value with its own tolerances: |got - value| ≤ atol + rtol |value|; and perhaps a dtype."""

    value: Any
    rtol: float = 1e-6
    atol: float = 1e-9
    dtype: Any = None
    because: str = field(default="")  # said after "off by"
    slips: Mapping[str, Any] = field(default_factory=dict)  # what known mistakes give instead, by their names


def single(value: Any, rtol: float = 2e-5, atol: float = 2e-6, slips: Mapping[str, Any] | None = None) -> close:
    """An expected value in float32."""
    return close(value, rtol, atol, np.float32, slips=slips or {})


def exact(value: Any, because: str = "an argument must stay as it is, to the last bit") -> close:
    """An expected value without tolerance, such as an input after the call."""
    return close(value, 0.0, 0.0, because=because)


# --------------------------------------------------------------------------- helpers for the half that runs with m

SHARED = "keeping what the pullback needs in a variable that the next call overwrites"


def true_slopes(f: Callable[..., Any], arrays: Sequence[np.ndarray], g: np.ndarray, eps: float = 1e-5) -> list[np.ndarray]:
    """The slopes of Σ g f(arrays) along every element of every array, measured."""
    slopes = []
    for a in arrays:
        slope = np.empty(a.shape)
        for i in np.ndindex(a.shape):
            held = a[i]
            a[i] = held + eps
            up = (g * f(*arrays)).sum()
            a[i] = held - eps
            down = (g * f(*arrays)).sum()
            a[i] = held
            slope[i] = (up - down) / (2 * eps)
        slopes.append(slope)
    return slopes


def twice(operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The result of operation(*arguments), after a second call with other numbers.

    So whoever keeps what a pullback needs in a variable of the module has the second call's in it.
    """
    result = operation(*arguments, **options)
    operation(*others(*arguments), **options)
    return result


def others(*arguments: Any) -> list[Any]:
    """Other numbers of the same kind, for the second call: arrays in reverse, floats half as large again."""

    def other(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            turned = value.reshape(-1)[::-1].reshape(value.shape)
            return turned * value.dtype.type(1.5) if value.dtype.kind == "f" else turned
        return 1.5 * value if type(value) is float else value

    return [other(value) for value in arguments]


def raises(function: Callable[..., Any], *args: Any, **options: Any) -> str:
    """The name of the exception that the call raises, or "no error"; a stub's NotImplementedError passes through.

    For the learner's own exception class it is the name of its built-in base class.
    """
    try:
        function(*args, **options)
    except NotImplementedError:
        raise
    except Exception as error:
        return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return "no error"


def race(m: Any, function: Callable[[Any], Any], rival: Any, size: int) -> tuple[float, float]:
    """How many times as fast as a kernel's definition a function of m is, x (float32) → arrays of its size; and how far off.

    The CPU time of a round, with all threads, and of all rounds the mean of the middle half. Both take turns at going first.
    A round's x is known only when its time begins, and the time ends with a sum of the results under signs drawn
    beforehand (see ``digest``): so it cannot be computed earlier, later, or in part. The error is the difference of those
    sums over √size, the size of a difference in every element.
    """
    trial = _race(m, function, rival, size // TRIAL, 0, 2)  # a slow one is told how slow it is, before its time is over
    return trial if trial[0] < HOPELESS else _race(m, function, rival, size, WARMING_UP, ROUNDS)


def _race(m: Any, function: Any, rival: Any, size: int, warming_up: int, rounds: int) -> tuple[float, float]:
    rng = np.random.default_rng()
    base, signs = rng.standard_normal(size, np.float32), rng.choice(np.float32([-1, 1]), size)
    if isinstance(m, Proxy):  # the definition has a process of its own too, so that the conditions are equal
        runners = [m._link.timed(function, base, signs), m._link.timed_definition(rival, base, signs)]
    else:
        both = (function, rival.__wrapped__)
        runners = [(time.process_time, lambda *numbers, f=f: digest(f, base, *numbers, signs)) for f in both]
    times, wrong = [], 0.0
    for round in range(warming_up + rounds):
        numbers = rng.uniform(0.9, 1.1, 2).tolist()
        pair, sums = [0.0, 0.0], [[0.0], [0.0]]
        for i in (0, 1) if round % 2 else (1, 0):
            clock, run = runners[i]
            start = clock()
            sums[i] = run(*numbers)
            pair[i] = clock() - start
        wrong = max(wrong, float(np.abs(np.subtract(*sums)).max()) / size**0.5)
        times += [pair] if round >= warming_up else []
    mine, plain = np.sort(times, axis=0)[rounds // 4 : rounds - rounds // 4].mean(0)  # a clock may tick in steps of 10 ms
    return float(plain / max(mine, 1e-9)), wrong


def new_memory(m: Any, function: Callable[..., Any], *arguments: Any) -> int:
    """The most bytes that a function of m holds in new arrays at a time."""
    far = m._link.peak(function, arguments) if isinstance(m, Proxy) else None
    if far is not None:
        return far
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        function(*arguments)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------------------------------- loading test files


def load_tests(path: Path, hidden: bool) -> list[Test]:
    """The tests of a file, in order, with both halves."""
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    tests = [value for value in names.values() if isinstance(value, Test)]
    for test in tests:
        test.hidden = hidden
    return tests


def without_answers(source: str) -> str:
    """The source of a test file without the functions that hold expected values."""
    tree = ast.parse(source)

    def expects(node: ast.stmt) -> bool:
        return isinstance(node, ast.FunctionDef) and any(
            isinstance(mark, ast.Attribute) and mark.attr == "expects" for mark in node.decorator_list
        )

    tree.body = [n for n in tree.body if not (isinstance(n, ast.FunctionDef) and (expects(n) or n.name.startswith("true_")))]
    return ast.unparse(tree)


# ---------------------------------------------------------------------------------- values between the processes


def encode(value: Any) -> Any:
    """A number, a text, None or an array of numbers in a form for JSON; anything else is a TypeError."""
    if value is None or type(value) in (bool, str):
        return {"plain": value}
    if type(value) in (list, tuple) and all(type(v) is int for v in value):
        return {"plain": list(value)}
    if not isinstance(value, NUMBERS):
        raise TypeError(f"returned {describe(value)} where a number or an array of numbers is needed")
    array = np.asarray(value)
    if type(array) is not np.ndarray or array.dtype.kind not in "fiub":
        raise TypeError(f"returned {describe(value)} where a number or an array of numbers is needed")
    if array.nbytes > LARGEST:
        raise TypeError(f"returned {array.nbytes:,} bytes where far fewer are expected (shape {array.shape})")
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def describe(value: Any) -> str:
    """The kind of a value, in words."""
    name = value._name if isinstance(value, Proxy) else type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def decode(entry: Any) -> Any:
    """Undo ``encode``; ValueError for anything that it did not write."""
    if not isinstance(entry, dict):
        raise ValueError("not a value")
    if "plain" in entry:
        return entry["plain"]
    dtype = np.dtype(str(entry["dtype"]))
    if dtype.kind not in "fiub" or len(str(entry["data"])) > 2 * LARGEST:
        raise ValueError("not a value")
    shape = tuple(int(n) for n in entry["shape"])
    return np.frombuffer(base64.b64decode(entry["data"]), dtype).reshape(shape)


# -------------------------------------------------------------------------------------------- what is off, and how


def complaint(got: Any, expected: Any) -> str | None:
    """None if the value is right, else what is wrong and by how much, and which known slip gives it."""
    if callable(expected):
        return expected(got)
    if not isinstance(expected, close):
        expected = close(expected)
    wrong = _difference(got, expected)
    slip = _slip(got, expected) if wrong and expected.slips else None
    if slip is None:
        return wrong and wrong + _because(expected)
    return f"{str(wrong).partition('; ')[0]}; {slip}{GIVES}"


GIVES = " gives exactly this"


def _slip(got: Any, expected: close) -> str | None:
    """The name of the slip that gives just this."""
    near = max(1e-5, expected.rtol), max(1e-6, expected.atol)
    return next((name for name, value in expected.slips.items() if not _difference(got, close(value, *near))), None)


def _difference(got: Any, expected: close) -> str | None:
    right = expected.value
    if right is None or isinstance(right, str | bool) or isinstance(got, str | bool) or got is None:
        plain = bool(got) if isinstance(got, np.ndarray) and got.dtype == bool and got.shape == () else got
        same = type(plain) is type(right) and plain == right
        hint = " (is a return missing?)" if plain is None else ""
        return None if same else f"yours is {_short(plain)}, it should be {_short(right)}{hint}"
    x, y = np.asarray(got), np.asarray(right)
    if x.shape != y.shape:
        return f"yours has shape {x.shape}, it should have {y.shape}"
    if expected.dtype is not None and x.dtype != np.dtype(expected.dtype):
        leak = "" if x.dtype != np.float64 or expected.because else f"; {LEAK}"
        return f"yours has dtype {x.dtype}, it should have {np.dtype(expected.dtype)}{leak}"
    return _numbers(x.astype(np.float64), y.astype(np.float64), expected)


LEAK = "a NumPy number such as np.sqrt(3) makes float32 arrays float64, a Python number such as math.sqrt(3) does not"


def _numbers(x: np.ndarray, y: np.ndarray, expected: close) -> str | None:
    with np.errstate(all="ignore"):
        near = np.isfinite(x) & np.isfinite(y) & (np.abs(x - y) <= expected.atol + expected.rtol * np.abs(y))
        same = (x == y) | (np.isnan(x) & np.isnan(y)) | near
        if same.all():
            return None
        off = np.where(same, 0, np.abs(x - y))
        off = np.where(np.isnan(off), np.inf, off)
        at = np.unravel_index(int(off.argmax()), off.shape)
        where = f" at [{', '.join(str(int(i)) for i in at)}]" if x.ndim else ""
        count = f" ({int((~same).sum())} of {same.size} elements)" if x.size > 1 else ""
        by = f"off by {off[at]:.3g}" if np.isfinite(off[at]) else "not finite" if not np.isfinite(x[at]) else "finite"
        return f"{by}{where}: yours {x[at]:.7g}, should be {y[at]:.7g}{count}{_likeness(x, y)}"


def _likeness(x: np.ndarray, y: np.ndarray) -> str:
    """A remark on how the wrong values relate to the right ones, if it is obvious."""

    def alike(a: np.ndarray, b: np.ndarray) -> bool:
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-7)

    if not x.size or not np.isfinite(x).all() or not np.isfinite(y).all() or not y.any():
        return ""
    if not x.any():
        return "; yours is 0 everywhere" if x.size > 1 else ""
    if alike(x, -y):
        return "; yours has the opposite sign"
    if y.ndim >= 2 and x.shape[-1] == x.shape[-2] and alike(x.swapaxes(-1, -2), y):
        return "; yours is the transpose"
    factor = float((x * y).sum() / (y * y).sum())
    if y.size > 1 and factor and abs(factor - 1) > 1e-3 and alike(x, factor * y):
        return f"; yours is {factor:.6g} times the right one everywhere"
    difference = x - y
    if y.size > 1 and np.allclose(difference, difference.flat[0], rtol=1e-4):
        return f"; yours is the right one {difference.flat[0]:+.6g} everywhere"
    return ""


def _because(expected: close) -> str:
    return f"; {expected.because}" if expected.because else ""


def _short(value: Any) -> str:
    text = np.array2string(value, precision=6, threshold=8) if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
