"""The process that runs the learner's code. It computes; it judges nothing and knows no answers.

grader.py starts it with a request in a file: the learner's source, the tests without their answers, limits. It appends
each test's values to a result file, as JSON with the request's secret. If it is killed, loops, leaves by os._exit or
writes nonsense there, values are missing or wrong, and missing values earn 0 points.

The limits below stop accidents and easy tricks: memory, CPU time, child processes, writing outside the working folder,
reading or importing the answers, replacing parts of NumPy or of the tests. They are no security sandbox: malicious code
can still find a way. Grade strangers' code in a container.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import linecache
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from types import FunctionType, ModuleType
from typing import Any


def main(request_file: str) -> None:
    """Run the requested tests, one after the other."""
    with open(request_file, encoding="utf-8") as file:
        request = json.load(file)
    os.unlink(request_file)
    sys.path[:] = request["paths"]
    sys.dont_write_bytecode = True
    from models.course.testing import Test, encode, task

    results = open(request["results"], "a", encoding="utf-8")  # noqa: SIM115

    def report(**entry: Any) -> None:
        results.write(json.dumps({"nonce": request["nonce"], **entry}) + "\n")
        results.flush()

    tests: list[Test] = []
    for source in request["tests"]:
        names: dict[str, Any] = {"__name__": "tests", "task": task}
        exec(compile(source, "<tests>", "exec"), names)
        tests += [value for value in names.values() if isinstance(value, Test)]
    wanted = set(request["names"])
    limit(request)
    untouched = snapshot(tests)
    try:
        with library_hidden():
            module = load(request["source"], request["path"])
        check_untouched(untouched)
    except BaseException as error:
        report(test=None, **failure(error, request["path"]))
        return
    report(test=None, loaded=True)
    for test in tests:
        if test.name in wanted:
            report(test=test.name, began=True)
            with contextlib.nullcontext() if request["library"] else library_hidden():
                found = outcome(test.run, module, encode, request["path"])
            try:
                check_untouched(untouched)
            except RuntimeError as error:
                found = failure(error, request["path"])
            report(test=test.name, **found)
    results.close()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(0)  # even if the learner's code left threads running


def outcome(run: Any, module: Any, encode: Any, path: str) -> dict[str, Any]:
    """The values that a test returns, or how it failed."""
    start = time.perf_counter()
    try:
        values = {str(label): encode(value) for label, value in run(module).items()}
    except BaseException as error:
        return failure(error, path)
    return {"values": values, "seconds": time.perf_counter() - start}


def load(source: str, path: str) -> ModuleType:
    """The learner's module, made from the source text: no other file of its folder can be imported by accident."""
    module = ModuleType(os.path.splitext(os.path.basename(path))[0])
    module.__file__ = path
    sys.modules[module.__name__] = module
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_allowed}
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)  # for tracebacks
    exec(compile(source, path, "exec"), module.__dict__)
    return module


# ---------------------------------------------------------------------------------- answers cannot be imported

ALLOWED = frozenset({*sys.stdlib_module_names, "numpy"})
LIBRARY = ("minitorch", "models", "lessons", "tests")


def import_allowed(name: str, *where: Any) -> Any:
    """``__import__`` as the learner's file has it: the standard library and NumPy."""
    if name.partition(".")[0] not in ALLOWED or where[3:] not in ((), (0,)):
        raise _refusal(name or "a module next to this file")
    return builtins.__import__(name, *where)


def _refusal(name: str) -> ImportError:
    return ImportError(f"{name} cannot be imported: a solution is one file and uses only NumPy and Python's standard library")


class _Closed:
    """A finder that finds nothing and stops the search."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] not in ALLOWED:
            raise _refusal(name)


@contextlib.contextmanager
def library_hidden() -> Iterator[None]:
    """Within the block only the standard library and NumPy can be imported, by any way; above all not minitorch."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in LIBRARY}
    finder: Any = _Closed()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path[:] = [f for f in sys.meta_path if f is not finder]
        sys.modules.update(hidden)


Snapshot = list[tuple[str, dict[str, Any], dict[str, tuple[Any, ...]]]]


def snapshot(tests: Sequence[Any]) -> Snapshot:
    """The objects in the modules that the tests rely on, and in the tests, with the parts of each function."""
    import math

    import numpy as np

    from models.course import testing

    modules = [builtins, math, time, json, np, np.linalg, np.random, np.testing, testing, sys.modules[__name__]]
    modules += [module for name, module in sys.modules.items() if name == "models.course.tiny_bert"]
    spaces = [(module.__name__, vars(module)) for module in modules]
    spaces += [("tests", names) for names in {id(test.run.__globals__): test.run.__globals__ for test in tests}.values()]
    spaces += [(f"tests.{test.name}", vars(test)) for test in tests]
    return [(name, space, {key: _made_of(value) for key, value in space.items()}) for name, space in spaces]


def _made_of(value: Any) -> tuple[Any, ...]:
    if isinstance(value, FunctionType):
        return value, value.__code__, value.__defaults__, value.__kwdefaults__
    return (value,)


def check_untouched(before: Snapshot) -> None:
    """RuntimeError if one of them was replaced: np.abs = ..., say, would change the results of the tests."""
    for place, now, names in before:
        for name, parts in names.items():
            same = name in now and all(a is b for a, b in zip(_made_of(now[name]), parts, strict=False))
            if not same:
                raise RuntimeError(f"your code has replaced {place}.{name}; other modules must stay as they are")


# ---------------------------------------------------------------------------------------------------------- limits


def failure(error: BaseException, path: str) -> dict[str, Any]:
    """An exception in one line, with the innermost line of the learner's file in its traceback."""
    line = None
    if isinstance(error, SyntaxError):
        line = error.lineno
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == path:
            line = number
    try:
        text = str(error.msg if isinstance(error, SyntaxError) else error)[:600]
    except BaseException:
        text = "(an error whose text cannot be shown)"
    return {"error": type(error).__name__, "text": text, "line": line}


def limit(request: dict[str, Any]) -> None:
    """Limits on memory, CPU time and file size; no child processes; no writing outside the working folder."""
    try:
        import resource
    except ImportError:  # Windows has none: the grader's timeout remains
        return _watch(request["folder"], request["closed"])
    limits = {"AS": request["memory"], "CPU": request["seconds"] + 2, "FSIZE": request["file_size"], "CORE": 0}
    if running := _processes_of_user():
        limits["NPROC"] = running + 32  # the kernel counts the user's threads, all of them; it does not count root's
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(kind)
        value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # macOS does not know all of them
            continue
    return _watch(request["folder"], request["closed"])


def _processes_of_user() -> int:
    """How many threads the user has (Linux; elsewhere 0)."""
    count = 0
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{entry}/task"))
        except OSError:
            continue
    return count


REFUSED = (
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.exec",
    "os.spawn",
    "os.system",
    "os.kill",
    "os.killpg",
    "pty.spawn",
    "subprocess.Popen",
    "socket.connect",
    "socket.bind",
    "ctypes.dlopen",
    "ctypes.dlsym",
    "resource.setrlimit",
    "resource.prlimit",
    "os.fchdir",
    "sqlite3.connect",
    "gc.get_objects",
    "gc.get_referrers",
    "gc.get_referents",
)
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "os.chmod", "os.chown")
LOOKS = ("open", "os.chdir", "os.listdir", "os.scandir")


def _watch(folder: str, closed: Sequence[str]) -> None:
    import ctypes  # noqa: F401  # it opens Python's own symbols when it is imported: NumPy may want it later

    folder = os.path.realpath(folder) + os.sep
    closed = tuple(os.path.realpath(name) + os.sep for name in closed)
    write = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    realpath, isdir, decode, devnull, separator = os.path.realpath, os.path.isdir, os.fsdecode, os.devnull, os.sep
    text = "the grader does not allow"
    refused, changing, looking = frozenset(REFUSED), frozenset(CHANGES), frozenset(LOOKS)  # out of reach, as the names are not

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(f"{text} it: a solution needs no other process")

    def hook(event: str, args: Any) -> None:
        if event in refused:
            raise PermissionError(f"{text} {event}: a solution needs no other process, no network and no C library")
        if event not in looking and event not in changing:
            return
        changes = event in changing or (event == "open" and isinstance(args[2], int) and args[2] & write)
        for value in args[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            if value is None or isinstance(value, int):
                continue
            name = decode(value)
            place = realpath(name)
            if changes and name != devnull and not place.startswith(folder):
                raise PermissionError(f"{text} changing {name}: a solution writes no files")
            if (place + separator).startswith(closed) or (event == "open" and isdir(place)):
                raise PermissionError(f"{text} reading {name}")

    with contextlib.suppress(ImportError):  # beneath subprocess and multiprocessing, and not announced to the hook
        import _posixsubprocess

        _posixsubprocess.fork_exec = refuse
    sys.addaudithook(hook)


if __name__ == "__main__":
    main(sys.argv[1])
