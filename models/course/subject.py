"""The process that runs the learner's code. It holds no tests, no answers, no library: only the learner's file and NumPy.

supervisor.py starts it, and asks for one function call after the other over a pipe (remote.py). Whatever the learner's
code does to this process, to its modules, its frames or its memory, it can change nothing but the values that go back.
Once the permitted modules are loaded the kernel closes the rest (confine.py); where it cannot, an audit hook does what
Python can do: that stops accidents and easy tricks, and is no security sandbox.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import linecache
import os
import sys
import traceback
from types import ModuleType
from typing import Any

import numpy as np

from .confine import confine
from .proxy import OPERATORS, far_error
from .remote import Link

ALLOWED_TEXT = """
    __future__ abc array bisect calendar cmath collections contextlib contextvars copy dataclasses datetime decimal enum fractions
    functools graphlib heapq itertools json keyword math numbers operator pprint queue random re reprlib secrets statistics string
    struct textwrap threading time timeit types typing unicodedata warnings weakref zlib numpy"""
WITHIN_TEXT = """
    collections.abc _strptime numpy.linalg numpy.random numpy.fft numpy.polynomial numpy.lib.stride_tricks numpy.typing"""
REFUSED_TEXT = """
    open import os. socket. subprocess. shutil. tempfile. ctypes. mmap. sqlite3. gc. pty. resource. fcntl. signal. syslog. ftplib.
    http. smtplib. imaplib. urllib. webbrowser. winreg. msvcrt. _winapi. code.__new__ cpython. sys._current_frames sys.setprofile
    sys.settrace pathlib. glob. marshal. pickle."""
ALLOWED = ALLOWED_TEXT.split()


class Subject(Link):
    """The learner's end: it runs functions, reads and sets attributes, and does arithmetic with its own objects."""

    path = ""
    module: ModuleType | None = None

    def perform(self, kind: str, arguments: list[Any]) -> Any:
        try:
            if kind == "call":
                function, positional, named = arguments
                return function(*positional, **dict(named))
            return getattr(self, f"do_{kind}")(*arguments)
        finally:
            if self.depth == 1:  # the supervisor may end this process after the reply
                with contextlib.suppress(Exception):
                    sys.stdout.flush()

    def line(self, error: BaseException) -> int | None:
        line = error.lineno if isinstance(error, SyntaxError) else super().line(error)
        for frame, number in traceback.walk_tb(error.__traceback__):
            line = number if frame.f_code.co_filename == self.path else line
        return line

    def do_confine(self, limits: dict[str, int]) -> list[str]:
        """Load what is permitted, then close the doors."""
        preload()
        limit(limits)
        means = confine()
        watch()
        return means

    def do_load(self, source: str, path: str) -> ModuleType:
        self.path, self.module = path, load(source, path)
        return self.module

    def do_module(self) -> ModuleType | None:
        return self.module

    def do_get(self, owner: Any, name: str) -> Any:
        return getattr(owner, name)

    def do_set(self, owner: Any, name: str, value: Any) -> None:
        setattr(owner, name, value)

    def do_operator(self, name: str, *operands: Any) -> Any:
        return OPERATORS[name](*operands)

    def do_iter(self, owner: Any) -> Any:
        return iter(owner)

    def do_next(self, owner: Any) -> Any:
        return next(owner)

    def do_len(self, owner: Any) -> int:
        return len(owner)

    def do_enter(self, owner: Any) -> Any:
        return type(owner).__enter__(owner)

    def do_exit(self, owner: Any, name: str, base: str, text: str) -> Any:
        error = far_error(name, base, text, None) if name else None
        return bool(type(owner).__exit__(owner, error and type(error), error, None))

    def do_definition(self, module: str, name: str) -> Any:
        return getattr(importlib.import_module(module), name).__wrapped__

    def do_digest(self, *arguments: Any) -> list[float]:
        return digest(*arguments)

    def do_forget(self) -> None:
        self.forget()


def main() -> None:
    """Serve until the other end closes the pipe."""
    outgoing = os.fdopen(os.dup(1), "wb")
    gc.disable()  # 100,000 nodes of a test are no garbage
    os.dup2(2, 1)  # what the learner's code prints goes where its errors go
    subject = Subject(os.fdopen(os.dup(0), "rb"), outgoing, owner=False)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    while True:
        head, arguments = subject.receive()
        subject.answer(head["kind"], arguments)


def digest(function: Any, base: Any, scale: float, shift: float, signs: Any) -> list[float]:
    """Σ ± of each array that the function returns for scale · base + shift: few numbers that need all elements."""
    x = base * np.float32(scale)
    x += np.float32(shift)
    return [float(np.vdot(array, signs)) for array in function(x)]


def preload() -> None:
    """Import all that a solution may import: afterwards no file can be opened."""
    for name in (*ALLOWED, *WITHIN_TEXT.split()):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def load(source: str, path: str) -> ModuleType:
    """The learner's module, made from the source text: no other file of its folder can be imported by accident."""
    module = ModuleType(os.path.splitext(os.path.basename(path))[0])
    module.__file__ = path
    sys.modules[module.__name__] = module
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_allowed}
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)  # for tracebacks
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def import_allowed(name: str, *where: Any) -> Any:
    """``__import__`` as the learner's file has it: NumPy, and of the standard library the modules that compute."""
    if name.partition(".")[0] not in ALLOWED or where[3:] not in ((), (0,)):
        raise ImportError(
            f"{name or 'a module next to this file'} cannot be imported: a solution is one file and uses only NumPy and "
            "modules of Python's standard library that compute, such as math, itertools or dataclasses"
        )
    return builtins.__import__(name, *where)


# ---------------------------------------------------------------------------------------------------------- limits


def limit(limits: dict[str, int]) -> None:
    """Limits on memory (AS), CPU time, the size of files, threads (NPROC), as far as the system knows them."""
    try:
        import resource
    except ImportError:  # Windows has none: the grader's timeout remains
        return
    for name, value in {**limits, "CORE": 0}.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):
            kind = getattr(resource, f"RLIMIT_{name}")
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))


def watch() -> None:
    """An audit hook that refuses files, processes, the network, C code, and modules that are not loaded yet."""
    refused = tuple(REFUSED_TEXT.split())
    known = frozenset(("os.listdir", "os.scandir"))  # a module's folder is looked through before it is not found
    text = "the grader does not allow"

    def hook(event: str, args: Any) -> None:
        if event.startswith(refused) and event not in known:
            raise PermissionError(f"{text} {event}: a solution needs no files, no other process, no network and no C library")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main()
