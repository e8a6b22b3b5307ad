"""An object of another process: what is done to it is done there, and what goes wrong there is raised here.

Read next: remote.py.
"""

from __future__ import annotations

import builtins
import operator
from typing import Any


class FarError(Exception):
    """An error over there: its name, its text, and the line of the learner's file."""

    name, line = "FarError", None

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def far_error(name: str, base: str, text: str, line: int | None) -> FarError:
    """The error as it is raised here: also an instance of the same built-in class, so that ``except ValueError`` works."""
    kind = getattr(builtins, base, Exception)
    kind = kind if isinstance(kind, type) and issubclass(kind, Exception) else Exception
    try:
        error = type(name, (FarError, kind), {})(text)
    except TypeError:  # UnicodeDecodeError and the like want more arguments
        error = FarError(text)
    error.name, error.line = name, line
    return error


class Proxy:
    """An object of the other process. What is done to it is done there."""

    __slots__ = ("__weakref__", "_link", "_name", "_number")

    def __init__(self, link: Any, number: int, name: str) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_name", str(name))

    def __repr__(self) -> str:
        return f"<{self._name} of the learner's process>"

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._link.request("call", self, args, tuple(options.items()))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self._name} has no attribute {name}")
        return self._link.request("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.request("set", self, name, value)

    def __next__(self) -> Any:
        try:
            return self._link.request("next", self)
        except FarError as error:
            if isinstance(error, StopIteration):
                raise StopIteration from None
            raise

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        return bool(self._link.request("exit", self, *(["", "", ""] if error is None else self._link.failure(error)[:3])))

    def __enter__(self) -> Any:
        return self._link.request("enter", self)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return self._link.request("iter", self)

    def __len__(self) -> int:
        return self._link.request("len", self)


def _forward(name: str, reflected: bool = False) -> Any:
    def method(self: Proxy, *others: Any) -> Any:
        return self._link.request("operator", name, *((*others, self) if reflected else (self, *others)))

    return method


ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
OTHERS = ("neg", "pos", "abs", "getitem", "setitem")
for _name in (*ARITHMETIC, *OTHERS):
    setattr(Proxy, f"__{_name}__", _forward(_name))
for _name in ARITHMETIC:
    setattr(Proxy, f"__r{_name}__", _forward(_name, reflected=True))
OPERATORS = {name: getattr(operator, name) for name in (*ARITHMETIC, *OTHERS)}
