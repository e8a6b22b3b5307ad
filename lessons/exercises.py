"""The checks of the lessons' exercises: what is wrong, by how much, and a hint on request.

    check(slope, case("x = 2", (2.0,), 12.0))
    hint(slope)      # the next hint in hints.toml; hint(slope, 2) the second one

An exercise is a function that raises NotImplementedError until you write it. The lesson runs on without it.
Arguments are copied for each case, and results compared element by element. A wrong result is also compared with some
typical slips (sign, constant factor, transposed, a missing sum), because the slip often points to the line.
"""

from __future__ import annotations

import copy
import functools
import tomllib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Case:
    """One question: call the function with ``arguments`` and expect ``expected`` (a tuple for several results)."""

    what: str
    arguments: tuple[Any, ...]
    expected: Any
    parts: tuple[str, ...] = ("the result",)
    tolerance: float = 1e-5
    raises: type[Exception] | None = None
    slips: dict[str, Any] = field(default_factory=dict)  # what a known mistake is called, and what it returns


@dataclass
class Exercise:
    """A function to be written, with its cases."""

    name: str
    cases: Sequence[Case]
    through: Callable[..., Any] | None = None  # turns the learner's function into the one to call
    verdict: bool | None = None

    def judge(self, function: Callable[..., Any]) -> tuple[bool | None, str]:
        """(True, False, or None if it is not written yet; the message)."""
        asked = function if self.through is None else self.through(function)
        for n, c in enumerate(self.cases):
            try:
                problem = _run(asked, c, home=getattr(getattr(function, "__code__", None), "co_filename", ""))
            except NotImplementedError:
                return None, f"{self.name}: not done yet. Write it in the cell above and run both cells again.{self._help()}"
            if problem:
                return False, f"{self.name}: {n} of {len(self.cases)} cases right, then: {c.what}\n  {problem}{self._help()}"
        return True, f"{self.name}: right, {len(self.cases)} of {len(self.cases)} cases."

    def _help(self) -> str:
        left = len(hints().get(self.name, ())) - SHOWN.get(self.name, 0)
        return f"\n  hint({self.name}) shows a hint ({left} left)." if left > 0 else ""


EXERCISES: dict[str, Exercise] = {}  # all checked so far, by name
SHOWN: dict[str, int] = {}  # how many hints of each were shown


@functools.cache
def hints() -> dict[str, list[str]]:
    """The hints of every exercise, by its name: in a file of their own, out of the reader's sight."""
    return tomllib.loads(Path(__file__).with_name("hints.toml").read_text(encoding="utf-8"))


def case(
    what: str,
    arguments: Any,
    expected: Any = None,
    parts: Sequence[str] = ("the result",),
    tolerance: float = 1e-5,
    raises: type[Exception] | None = None,
    slips: dict[str, Any] | None = None,
) -> Case:
    """A case for ``check``; parts name the results, raises is the error to raise, slips are known mistakes and their results."""
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    return Case(what, arguments, expected, tuple(parts), tolerance, raises, slips or {})


def check(function: Callable[..., Any], *cases: Case, through: Callable[..., Any] | None = None) -> bool | None:
    """Judge the function, or ``through(function)``, and print the verdict; explain the first case that fails."""
    exercise = EXERCISES[function.__name__] = Exercise(function.__name__, cases, through)
    exercise.verdict, text = exercise.judge(function)
    print({True: "✓ ", False: "✗ ", None: "· "}[exercise.verdict] + text)
    return exercise.verdict


def hint(function: Callable[..., Any], number: int | None = None) -> None:
    """Print the next hint, or the one with this number."""
    known, shown = hints().get(function.__name__, []), SHOWN.get(function.__name__, 0)
    n = min(max(1, shown + 1 if number is None else number), len(known))
    SHOWN[function.__name__] = max(shown, n)
    print(f"Hint {n} of {len(known)}: {known[n - 1]}" if known else f"{function.__name__} has no hints.")


# ----------------------------------------------------------------------------------------------- one case


def _run(function: Callable[..., Any], c: Case, home: str = "") -> str:
    """The problem with this case; empty if it is right. ``home`` is the file of the learner's function."""
    arguments = copy.deepcopy(c.arguments)
    try:
        got = function(*arguments)
    except NotImplementedError:
        raise
    except Exception as error:
        if c.raises is not None and isinstance(error, c.raises):
            return ""
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if f.filename == home), frames[-1])  # the learner's line, not one of NumPy's
        return f"it stops with {type(error).__name__}: {error}\n  at: {frame.line or f'line {frame.lineno}'}"
    if c.raises is not None:
        return f"it should raise a {c.raises.__name__}, yours returns {_short(got)}"
    for before, after in zip(c.arguments, arguments, strict=True):
        if _changed(before, after):
            kind = type(before).__name__ if isinstance(before, list | dict | set) else "array"
            return f"your function changes its argument in place; the caller may still need the old value. Make a new {kind}."
    if got is None:
        return "your function returns None; is a `return` missing?"
    problem = _differs(got, c.expected, c)
    known = [words for words, result in c.slips.items() if problem and not _differs(got, result, c)]
    return problem + "".join(f"\n  This is what you get {words}." for words in known[:1])


def _differs(got: Any, expected: Any, c: Case) -> str:
    """Part by part; empty if all are as expected."""
    if len(c.parts) == 1:
        return _compare(c.parts[0], got, expected, c.tolerance)
    got = getattr(got, "array", got)
    several = isinstance(got, tuple | list) or (isinstance(got, np.ndarray) and got.ndim > 0)
    if not several or len(got) != len(c.parts):
        return f"{len(c.parts)} things should come back ({', '.join(c.parts)}), yours is {_short(got)}"
    problems = [_compare(part, g, e, c.tolerance) for part, g, e in zip(c.parts, got, expected, strict=True)]
    right = [part for part, problem in zip(c.parts, problems, strict=True) if not problem]
    wrong = [problem for problem in problems if problem]
    return "\n  ".join(wrong) + (f"\n  ({', '.join(right)}: right)" if right else "") if wrong else ""


def _changed(before: Any, after: Any) -> bool:
    if isinstance(before, list | tuple):
        return len(before) != len(after) or any(map(_changed, before, after))
    if isinstance(before, dict | set):
        return bool(before != after)
    a, b = getattr(before, "array", before), getattr(after, "array", after)
    if isinstance(a, str | int | float):
        return bool(a != b and a == a)  # NaN is no change
    return isinstance(a, np.ndarray) and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _plain(x: Any) -> Any:
    """A Tensor, array or number as an array; anything else as it is."""
    x = getattr(x, "array", x)
    if isinstance(x, bool | int | float | np.generic | np.ndarray):
        return np.asarray(x)
    if isinstance(x, list | tuple) and x and not any(isinstance(item, str) for item in x):
        try:
            return np.asarray([getattr(item, "array", item) for item in x])
        except ValueError:
            return x
    return x


def _compare(part: str, got: Any, expected: Any, tolerance: float) -> str:
    g, e = _plain(got), _plain(expected)
    if not isinstance(e, np.ndarray):
        g, e = (list(x) if isinstance(x, tuple) else x for x in (g, e))
        return "" if type(g) is type(e) and g == e else f"{part}: yours is {_short(g)}, it should be {_short(e)}"
    if not isinstance(g, np.ndarray) or g.dtype.kind not in "biuf":
        return f"{part}: numbers of shape {e.shape} should come back, yours is {_short(got)}"
    if g.shape != e.shape:
        return f"{part} has shape {g.shape}, it should have {e.shape}.{_shape_slip(g, e, tolerance)}"
    kinds = _dtype_slip(part, got, expected)
    g, e = g.astype(np.float64), e.astype(np.float64)
    if np.allclose(g, e, rtol=tolerance, atol=tolerance, equal_nan=True):
        return kinds
    with np.errstate(all="ignore"):
        error = np.where(np.isnan(g) != np.isnan(e), np.inf, np.nan_to_num(np.abs(g - e), nan=0.0, posinf=np.inf))
    at = np.unravel_index(int(np.argmax(error)), error.shape)
    wrong = int((error > tolerance + tolerance * np.abs(e)).sum())
    place = "" if e.ndim == 0 else f" at {[int(i) for i in at]}"
    share = "" if e.size == 1 else f", {wrong} of {e.size} numbers are off"
    off = "" if not np.isfinite(g[at]) else f", off by {abs(g[at] - e[at]):.4g}"
    return f"{part}{place}: yours is {g[at]:.6g}, it should be {e[at]:.6g}{off}{share}.{_slip(g, e, tolerance)}"


def _dtype_slip(part: str, got: Any, expected: Any) -> str:
    """Right numbers of a wrong kind: float64 where float32 came in, or floats where ids should be."""
    g, e = getattr(getattr(got, "array", got), "dtype", None), getattr(getattr(expected, "array", expected), "dtype", None)
    if g is None or e is None or np.ndim(getattr(got, "array", got)) == 0:
        return ""
    if e == np.float32 and g == np.float64:
        return f"{part}: the numbers are right, but float64. float32 came in, so float32 should come back: what made it wider?"
    if e.kind in "iu" and g.kind == "f":
        return f"{part}: the numbers are right, but of dtype {g}; these are ids or counts, so they should be integers."
    return ""


def _slip(g: Any, e: Any, tolerance: float) -> str:
    """A guess at the slip behind the wrong numbers."""

    def alike(a: Any) -> bool:
        return bool(a.shape == e.shape and np.allclose(a, e, rtol=10 * tolerance, atol=10 * tolerance))

    if np.isnan(g).any() and not np.isnan(e).any():
        return " There is a NaN: look for ∞ - ∞, ∞/∞ or 0/0."
    if np.isinf(g).any() and not np.isinf(e).any():
        return " There is an infinity: an overflow, or a division by 0."
    if g.size > 1 and not np.any(g):
        return " Yours is 0 everywhere: does the formula reach the end?"
    if alike(-g):
        return " All numbers have the wrong sign."
    if g.ndim == 2 and alike(g.T):
        return " It is transposed."
    if g.ndim == 1 and alike(g[::-1]):
        return " It is in reverse order."
    if np.abs(e).max() > 0:
        factor = float((g * e).sum() / (e * e).sum())
        if e.size == 1:
            return f" That is {factor:.6g} times what it should be: is a factor missing, or too much?" if _telling(factor) else ""
        if factor and alike(g / factor) and abs(factor - 1) > 0.01:
            return f" All numbers are {factor:.6g} times what they should be: a constant factor is missing or too much."
        shift = float((g - e).mean())
        if e.size > 1 and alike(g - shift):
            return f" All numbers are shifted by {shift:.6g}: a term is missing or too much."
    return ""


def _telling(factor: float) -> bool:
    """Any two numbers are multiples of each other; only n, 1/n and the factors of another logarithm base tell something."""
    known = [2, 3, 4, 5, 8, 10, 16, 32, 100, 1000, 1 / np.log(2), 1 / np.log(10)]
    return bool(np.isclose([*known, *(1 / k for k in known)], abs(factor), rtol=1e-4, atol=0).any())


def _shape_slip(g: Any, e: Any, tolerance: float) -> str:
    """Does a sum turn it into the right result?"""
    if g.ndim == 2 and g.T.shape == e.shape and np.allclose(g.T, e, rtol=tolerance, atol=tolerance):
        return " The numbers are right, but transposed."
    if g.size == e.size:
        same = np.allclose(g.reshape(-1), e.reshape(-1), rtol=tolerance, atol=tolerance)
        return " The numbers are right: only the shape is not (reshape, or keepdims)." if same else ""
    for axes in [(i,) for i in range(g.ndim)] + [tuple(range(g.ndim))]:
        for keep in (False, True):
            total = g.sum(axis=axes, keepdims=keep)
            if total.shape == e.shape and np.allclose(total, e, rtol=tolerance, atol=tolerance):
                return f" Summed over axis {axes[0] if len(axes) == 1 else axes} it would be right: a sum is missing."
    return ""


def _short(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 80 else text[:77] + "..."
