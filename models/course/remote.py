"""A module in another process, used as if it were here: the tests run in one process, the learner's code in another.

    m = link.module                       a Proxy: m.f(x) sends x, runs f over there, and returns its result
    y, pullback = m.softmax(x)            arrays, numbers, lists, dicts come over as copies, functions as Proxies

A copy stays tied to its original. Arrays, lists, dicts, sets and the objects of tests (class Node ...) are *cells*: both
processes hold one under the same number. Every message carries the cells that changed since the last one, so that what
the far function writes into an argument, keeps, or shares between two results is seen here as if all were one memory.

Only values cross. The far side can name nothing here but the functions that were handed to it, and its attributes with
two underscores are never asked for: __array_interface__, say, would be an address in this process's memory.
Read before: proxy.py. Read next: subject.py (the learner's process), supervisor.py (the tests' process).
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import weakref
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from .proxy import FarError, Proxy, far_error

LARGEST_MESSAGE = 1 << 28  # bytes
MIRRORED = ("visible_tests", "hidden_tests", "models.course.tiny_bert")  # whose objects go over with their attributes
PLAIN = (type(None), bool, int, float, str)
CONTAINERS = (list, dict, set)
TYPES = [bool, int, float, complex, *dict.fromkeys(np.dtype(c).type for c in np.typecodes["AllInteger"] + "?efdFD")]


class Gone(BaseException):
    """The other process ended, or no longer speaks the protocol. No test can catch it as an error of the function."""


class Mirror:
    """The copy of a test's object: it has the attributes, and equals only itself."""


class Link:
    """One end of the connection. ``owner``: the end that calls first and decides how long cells are kept."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO, owner: bool) -> None:
        self.incoming, self.outgoing, self.owner = incoming, outgoing, owner
        self.depth = 0
        self.forget()

    def forget(self) -> None:
        """Drop all cells and handles; both ends must do it together."""
        self.cells: dict[int, Any] = {}  # number: the object
        self.numbers: dict[int, int] = {}  # id of the object: number
        self.known: dict[int, Any] = {}  # number: the content that the other end has
        self.given: dict[int, Any] = {}  # handles of this end's objects
        self.handles: dict[int, int] = {}  # id of the object: handle
        self.proxies: weakref.WeakValueDictionary[int, Proxy] = weakref.WeakValueDictionary()
        self.named: set[int] = set()  # the other end's handles that are in use here
        self.unused = itertools.count(2 if self.owner else 1, 2)  # the two ends never give the same number

    # ------------------------------------------------------------------------------------------- asking and answering

    def request(self, kind: str, *arguments: Any) -> Any:
        """Have the other end do something; meanwhile answer what it asks."""
        whole = self.depth == 0 and kind != "digest"  # a digest changes nothing, and is timed
        dropped = self.sweep() if self.owner and whole else [[], []]
        self.send({"kind": kind, "dropped": dropped}, list(arguments), whole)
        self.depth += 1
        try:
            while True:
                head, value = self.receive()
                if head["kind"] == "return":
                    return value[0]
                if head["kind"] == "raise":
                    raise far_error(*value)
                self.answer(head["kind"], value)
        finally:
            self.depth -= 1

    def answer(self, kind: str, arguments: list[Any]) -> None:
        """Do what the other end asks, and send the result or the error."""
        self.depth += 1
        try:
            reply, value = "return", [self.perform(kind, arguments)]
        except Gone:
            raise
        except BaseException as error:
            reply, value = "raise", self.failure(error)
        finally:
            self.depth -= 1
        arguments.clear()
        self.send({"kind": reply}, value, self.depth == 0 and kind != "digest")

    def perform(self, kind: str, arguments: list[Any]) -> Any:
        """This end's part: only functions that were handed over are called."""
        function, positional, named = arguments
        if kind != "call" or isinstance(function, Proxy) or not callable(function):
            raise TypeError("only functions can be used from here")
        return function(*positional, **dict(named))

    def failure(self, error: BaseException) -> list[Any]:
        """An error as name, built-in base class, text and line."""
        base = next((c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"), "Exception")
        try:
            text = str(error.msg if isinstance(error, SyntaxError) else error)[:600]
        except BaseException:
            text = "(an error whose text cannot be shown)"
        name = error.name if isinstance(error, FarError) else type(error).__name__
        return [name, base, text, self.line(error)]

    def line(self, error: BaseException) -> int | None:
        """The line of the learner's file, where this end knows it."""
        return error.line if isinstance(error, FarError) else None

    def sweep(self) -> list[list[int]]:
        """Drop the cells and handles that nothing here uses any more; return their numbers for the other end."""
        dead = []
        for number in list(self.cells):
            if sys.getrefcount(self.cells[number]) == 2:  # the table's own reference and getrefcount's argument
                self.discard(number)
                dead.append(number)
        handles = sorted(self.named - set(self.proxies))
        self.named -= set(handles)
        return [dead, handles]

    def drop(self, cells: list[int], handles: list[int]) -> None:
        """Forget what the owner no longer uses."""
        for number in cells:
            self.discard(number)
        for number in handles:
            self.handles.pop(id(self.given.pop(number)), None)

    def discard(self, number: int) -> None:
        """Forget one cell."""
        self.numbers.pop(id(self.cells.pop(number)), None)
        self.known.pop(number, None)

    # ------------------------------------------------------------------------------------------------------ messages

    def send(self, head: dict[str, Any], value: list[Any], whole: bool) -> None:
        """One message: the value, and the cells that it reaches and the other end does not have as they are now.

        ``whole``: all cells are looked at, for what a function changed without being given it.
        """
        self.waiting: list[int] = []
        body = [self.write(v) for v in value]
        if whole:
            self.waiting += self.cells
        cells, blobs, reached = [], [], set()
        while self.waiting:
            number = self.waiting.pop()
            if number in reached or number not in self.cells:
                continue
            reached.add(number)
            content, blob = self.content(self.cells[number])
            if content != self.known.get(number):
                self.known[number] = content
                cells.append([number, content])
                if blob is not None:
                    blobs.append(blob)
        text = json.dumps([head, body, cells, [b.nbytes for b in blobs]], separators=(",", ":"))
        try:
            self.outgoing.write(text.encode() + b"\n")
            for blob in blobs:
                self.outgoing.write(blob)
            self.outgoing.flush()
        except (OSError, ValueError):
            raise Gone from None

    def receive(self) -> tuple[dict[str, Any], list[Any]]:
        """The next message; Gone if there is none, or if it is none of this protocol's."""
        try:
            text = self.incoming.readline(LARGEST_MESSAGE)
            head, body, cells, sizes = json.loads(text)
            if sum(sizes) + len(text) > LARGEST_MESSAGE:
                raise ValueError("too large")
            if not self.owner:
                self.drop(*head.pop("dropped", [[], []]))
            self.place(cells, iter([self.read(n) for n in sizes]))
            return head, [self.take(v) for v in body]
        except Gone:
            raise
        except Exception as error:
            raise Gone(f"{type(error).__name__}: {error}") from None

    def read(self, size: int) -> bytes:
        """So many bytes of the stream."""
        data = self.incoming.read(max(0, size))
        if len(data) < size:
            raise Gone
        return data

    # -------------------------------------------------------------------------------------------------------- values

    def write(self, value: Any) -> Any:
        """A value in JSON: plain as it is, the rest as a list that begins with its kind."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is tuple:
            return ["tuple", [self.write(v) for v in value]]
        if kind is slice:
            return ["slice", [self.write(v) for v in (value.start, value.stop, value.step)]]
        if isinstance(value, np.generic) and value.dtype.kind in "fiubc":
            return ["number", value.dtype.str, value.tobytes().hex()]
        if isinstance(value, np.dtype) or (isinstance(value, type) and value in TYPES):
            return ["type", np.dtype(value).str, isinstance(value, type) and TYPES.index(value)]
        if kind is Proxy and value._link is self:
            return ["handle", not self.owner, value._number, value._name]
        if kind in CONTAINERS or kind is Mirror or _array(value) or _mirrored(value) or _generator(value):
            return ["cell", self.number(value)]
        number = self.handles.get(id(value))
        if number is None:
            number = self.handles[id(value)] = next(self.unused)
            self.given[number] = value
        return ["handle", self.owner, number, kind.__name__]

    def take(self, value: Any) -> Any:
        """Undo ``write``."""
        if type(value) in PLAIN:
            return value
        kind, first, *rest = value
        if kind == "tuple":
            return tuple([self.take(v) for v in first])
        if kind == "slice":
            return slice(*[self.take(v) for v in first])
        if kind == "number":
            return np.frombuffer(bytes.fromhex(rest[0]), _dtype(first))[0]
        if kind == "type":
            return _dtype(first) if rest[0] is False else TYPES[rest[0]]
        if kind == "cell":
            return self.cells[first]
        number, name = rest
        if first is self.owner:
            return self.given[number]
        proxy = self.proxies.get(number)
        if proxy is None:
            proxy = self.proxies[number] = Proxy(self, number, name)
            self.named.add(number)
        return proxy

    def number(self, cell: Any) -> int:
        """The number of a cell, a new one if it has none; it is looked at before the message goes."""
        number = self.numbers.get(id(cell))
        if number is None:
            number = self.numbers[id(cell)] = next(self.unused)
            self.cells[number] = cell
        self.waiting.append(number)
        return number

    def content(self, cell: Any) -> tuple[list[Any], memoryview | None]:
        """What a cell holds, in JSON; of an array the memory as well."""
        if isinstance(cell, list):
            return ["list", [self.write(v) for v in cell]], None
        if isinstance(cell, dict):
            return ["dict", [[self.write(k), self.write(v)] for k, v in cell.items()]], None
        if isinstance(cell, set):
            return ["set", [self.write(v) for v in cell]], None
        if _generator(cell):
            return ["generator", cell.bit_generator.state], None
        if not isinstance(cell, np.ndarray):
            return ["object", [[k, self.write(v)] for k, v in vars(cell).items()]], None
        base = cell
        while type(base.base) is np.ndarray:
            base = base.base
        about = [cell.dtype.str, list(cell.shape)]
        if base is not cell and cell.size and _dense(base):
            offset = cell.__array_interface__["data"][0] - base.__array_interface__["data"][0]
            return ["view", *about, list(cell.strides), offset, ["cell", self.number(base)], cell.flags.writeable], None
        memory = _memory(cell if _dense(cell) else np.ascontiguousarray(cell))
        return ["array", *about, _axes(cell), zlib.crc32(memory), cell.flags.writeable], memory.data

    def place(self, cells: list[Any], blobs: Iterator[bytes]) -> None:
        """Put the contents that came into the cells of these numbers, first those that others refer to."""
        for number, content in cells:
            self.known[number] = content
            kind, *about = content
            if kind == "array":
                self._fill_array(number, *about, next(blobs))
            elif number not in self.cells and kind != "view":
                empty = {"list": list, "dict": dict, "set": set, "object": Mirror, "generator": np.random.default_rng}[kind]()
                self._keep(number, empty)
        for number, (kind, *about) in cells:
            if kind == "view" and number not in self.cells:
                dtype, shape, strides, offset, base, writeable = about
                memory = _memory(self.take(base))
                view = np.ndarray(shape, _dtype(dtype), memory, offset, strides)
                view.flags.writeable = writeable
                self._keep(number, view)
        for number, (kind, *about) in cells:
            self._fill(self.cells[number], kind, about[0])

    def _keep(self, number: int, cell: Any) -> None:
        self.cells[number] = cell
        self.numbers[id(cell)] = number

    def _fill_array(self, number: int, dtype: str, shape: list[int], axes: list[int], _: int, write: bool, data: bytes) -> None:
        if math.prod(shape) * _dtype(dtype).itemsize != len(data):
            raise ValueError("an array of another size")
        if number not in self.cells:
            like = np.empty([shape[i] for i in axes], _dtype(dtype)).transpose(np.argsort(axes))
            self._keep(number, np.empty_like(like))  # the same order in memory: views of one are views of the other
        array = self.cells[number]
        if array.nbytes != len(data):
            raise ValueError("an array of another size")
        array.flags.writeable = True
        _memory(array)[:] = np.frombuffer(data, np.uint8)
        array.flags.writeable = write

    def _fill(self, cell: Any, kind: str, content: Any) -> None:
        if kind == "list":
            cell[:] = [self.take(v) for v in content]
        elif kind == "dict":
            items = [(self.take(k), self.take(v)) for k, v in content]
            cell.clear()
            cell.update(items)
        elif kind == "set":
            items = [self.take(v) for v in content]
            cell.clear()
            cell.update(items)
        elif kind == "object":
            attributes = {str(k): self.take(v) for k, v in content}
            vars(cell).clear()
            vars(cell).update(attributes)
        elif kind == "generator":
            cell.bit_generator.state = content


def _array(value: Any) -> bool:
    return type(value) is np.ndarray and value.dtype.kind in "fiubc"


def _generator(value: Any) -> bool:
    return type(value) is np.random.Generator and type(value.bit_generator) is np.random.PCG64


def _mirrored(value: Any) -> bool:
    return type(value).__module__ in MIRRORED and hasattr(value, "__dict__") and not callable(value)


def _dtype(text: str) -> np.dtype:
    dtype = np.dtype(str(text))
    if dtype.kind not in "fiubc":
        raise ValueError("not a dtype of numbers")
    return dtype


def _axes(array: np.ndarray) -> list[int]:
    """The axes from the slowest to the fastest in memory."""
    return sorted(range(array.ndim), key=lambda i: -abs(array.strides[i]))


def _dense(array: np.ndarray) -> bool:
    return array.transpose(_axes(array)).flags.c_contiguous


def _memory(array: np.ndarray) -> np.ndarray:
    """The bytes of a dense array, in memory order."""
    return array.transpose(_axes(array)).reshape(-1).view(np.uint8)
