"""Calls and their results in a small file: arrays in one flat buffer a dtype, everything else as JSON beside them.

A file is a compressed .npz (no pickle): "cases" holds UTF-8 JSON, and each dtype's name holds that dtype's numbers one
array after the other. Stored floats keep 28 bits of mantissa (relative error 4e-9), which halves the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..op_table import Call, Constant


class Writer:
    """Collects cases; ``save`` writes them."""

    def __init__(self, **versions: str) -> None:
        self.versions, self.cases = versions, []
        self.parts: dict[str, list[np.ndarray]] = {}
        self.lengths: dict[str, int] = {}

    def array(self, x: np.ndarray, short: bool = False) -> list[Any]:
        """Put ``x`` into its dtype's buffer: [dtype, offset, shape]."""
        x = np.ascontiguousarray(x).reshape(x.shape)
        if short and x.dtype == np.float64:
            x = (x.reshape(-1).view("int64") & ~0xFFFFFF).view("float64").reshape(x.shape)
        name = x.dtype.name
        offset = self.lengths.setdefault(name, 0)
        self.parts.setdefault(name, []).append(x.reshape(-1))
        self.lengths[name] += x.size
        return [name, offset, list(x.shape)]

    def value(self, x: Any, seen: dict[int, Any]) -> Any:
        """An argument as JSON; an array that occurs twice is stored once, and so is one tensor when read."""
        if isinstance(x, Constant):
            return {"constant": self.array(x.array)}
        if isinstance(x, np.ndarray):
            if id(x) not in seen:
                seen[id(x)] = {"array": [*self.array(x), len(seen)]}
            return seen[id(x)]
        if isinstance(x, np.dtype):
            return {"dtype": x.name}
        if isinstance(x, slice):
            return {"slice": [x.start, x.stop, x.step]}
        if x is Ellipsis:
            return {"ellipsis": True}
        if isinstance(x, tuple):
            return {"tuple": [self.value(item, seen) for item in x]}
        if isinstance(x, list):
            return [self.value(item, seen) for item in x]
        if x is None or isinstance(x, bool | int | float | str):
            return x
        raise TypeError(f"cannot store {x!r}")

    def add(self, op: str, call: Call, order: int, results: Any = None, error: str | None = None) -> None:
        """One case: the call, and torch's results (or the name of its exception)."""
        seen: dict[int, Any] = {}
        case: dict[str, Any] = {"op": op, "order": order, "args": [self.value(x, seen) for x in call.args]}
        case["kwargs"] = {name: self.value(x, seen) for name, x in call.kwargs.items()}
        if error is not None:
            case["error"] = error
        else:
            for kind in ("outputs", "gradients", "second"):
                arrays = getattr(results, kind)
                case[kind] = None if arrays is None else [None if a is None else self.array(a, short=True) for a in arrays]
        self.cases.append(case)

    def save(self, path: Path) -> None:
        """Write the file."""
        text = json.dumps({"versions": self.versions, "cases": self.cases}, separators=(",", ":"))
        buffers = {name: np.concatenate(parts) for name, parts in self.parts.items()}
        np.savez_compressed(path, cases=np.frombuffer(text.encode(), dtype="uint8"), **buffers)


class Case:
    """One stored case: ``op``, ``order``, ``call``, and ``error`` or ``outputs``, ``gradients``, ``second``."""

    def __init__(self, stored: dict[str, Any], buffers: Any) -> None:
        self.buffers = buffers
        self.op, self.order, self.error = stored["op"], stored["order"], stored.get("error")
        seen: dict[int, np.ndarray] = {}
        args = tuple(self.value(x, seen) for x in stored["args"])
        self.call = Call(args, {name: self.value(x, seen) for name, x in stored["kwargs"].items()})
        self.outputs, self.gradients, self.second = (
            [None if ref is None else self.array(ref) for ref in stored[kind]] if stored.get(kind) is not None else None
            for kind in ("outputs", "gradients", "second")
        )

    def array(self, ref: list[Any]) -> np.ndarray:
        """The array that ``ref`` names."""
        name, offset, shape = ref[:3]
        size = int(np.prod(shape, dtype=int))
        return self.buffers[name][offset : offset + size].reshape(shape).copy()

    def value(self, x: Any, seen: dict[int, np.ndarray]) -> Any:
        """What Writer.value stored."""
        if isinstance(x, list):
            return [self.value(item, seen) for item in x]
        if not isinstance(x, dict):
            return x
        ((kind, content),) = x.items()
        if kind == "array":
            return seen.setdefault(content[3], self.array(content))
        if kind == "tuple":
            return tuple(self.value(item, seen) for item in content)
        return {
            "constant": lambda: Constant(self.array(content)),
            "dtype": lambda: np.dtype(content),
            "slice": lambda: slice(*content),
            "ellipsis": lambda: Ellipsis,
        }[kind]()


def load(path: Path) -> list[Case]:
    """All cases of a file."""
    with np.load(path) as file:
        buffers = {name: file[name] for name in file.files}
    return [Case(stored, buffers) for stored in json.loads(bytes(buffers["cases"]).decode())["cases"]]
