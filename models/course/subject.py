"""The process in which the learner's code runs. It computes; it judges nothing and knows no answer.

It is started by grader.py with a request in a file: the learner's source, the tests without their answers, limits. Each
test's values go, as JSON with the request's secret, to the end of a result file. If it is killed, loops, leaves by
os._exit or writes nonsense there, values are missing or wrong, and missing is 0 points.

The limits below stop accidents and easy tricks (memory, processor time, child processes, writing outside of the working
folder). They are no security sandbox: code that means harm can still read what the user may read. Grade strangers' code in
a container.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import time
import traceback
from types import ModuleType
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

    names: dict[str, Any] = {"__name__": "tests", "task": task}
    tests: list[Test] = []
    for source in request["tests"]:
        exec(compile(source, "<tests>", "exec"), names)
        tests += [value for value in names.values() if isinstance(value, Test) and value not in tests]
    wanted = set(request["names"])
    limit(request)
    try:
        module = load(request["source"], request["path"])
    except BaseException as error:
        report(test=None, **failure(error, request["path"]))
        return
    report(test=None, loaded=True)
    for test in tests:
        if test.name in wanted:
            report(test=test.name, began=True)
            report(test=test.name, **outcome(test.run, module, encode, request["path"]))
    report(test=None, done=True)


def outcome(run: Any, module: Any, encode: Any, path: str) -> dict[str, Any]:
    """The values that a test brings back, or how it failed."""
    start = time.perf_counter()
    try:
        values = {str(label): encode(value) for label, value in run(module).items()}
    except BaseException as error:
        return failure(error, path)
    return {"values": values, "seconds": time.perf_counter() - start}


def load(source: str, path: str) -> ModuleType:
    """The learner's module, made of the source itself: no other file of its folder can be imported by accident."""
    module = ModuleType(os.path.splitext(os.path.basename(path))[0])
    module.__file__ = path
    sys.modules[module.__name__] = module
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)  # for tracebacks
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def failure(error: BaseException, path: str) -> dict[str, Any]:
    """An exception in one line, with the innermost line of the learner's file that it passed."""
    line = None
    if isinstance(error, SyntaxError):
        line = error.lineno
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == path:
            line = number
    try:
        text = str(error)[:600]
    except BaseException:
        text = "(an error whose text cannot be shown)"
    return {"error": type(error).__name__, "text": text, "line": line}


def limit(request: dict[str, Any]) -> None:
    """Bounds on memory, processor time, file size; no child processes; no writing outside of the working folder."""
    try:
        import resource
    except ImportError:  # Windows has none: the grader's timeout remains
        return _watch(request["folder"])
    limits = {"AS": request["memory"], "CPU": request["seconds"] + 2, "FSIZE": 1 << 26, "CORE": 0}
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
    return _watch(request["folder"])


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
)
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "os.chmod", "os.chown")


def _watch(folder: str) -> None:
    folder = os.path.realpath(folder) + os.sep
    write = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    realpath, devnull = os.path.realpath, os.devnull
    text = "the grader does not allow"

    def hook(event: str, args: Any) -> None:
        if event in REFUSED:
            raise PermissionError(f"{text} {event}: a solution needs no other process and no network")
        changes = event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & write)
        if not changes or not isinstance(args[0], str | bytes):
            return
        name = os.fsdecode(args[0])
        if name != devnull and not realpath(name).startswith(folder):
            raise PermissionError(f"{text} changing {name}: a solution writes no files")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main(sys.argv[1])
