"""Tricks for points without a solution, and for ending the grader: none earns anything, and honest learners lose nothing.

A few run by default, one of each kind; all of them, and what they print, in the slow tests.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="the assignments train a BERT, whose package needs tokenizers")

from models.course import grader, supervisor
from models.course.assignments import find, reference
from models.course.grader import grade_source

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and process groups are POSIX's")

SCALAR = dataclasses.replace(find("scalar"), seconds=2.0)
KERNEL = dataclasses.replace(find("kernel"), seconds=60.0)
STUB = SCALAR.stub
SYSTEM = """
import collections
sys = collections._sys
os = sys.modules["os"]
for _name in ("signal", "ctypes", "gc", "types", "socket", "fcntl", "importlib"):
    try:
        globals()[_name] = sys.modules.get(_name) or __builtins__["__import__"](_name)
    except BaseException as _error:
        globals()[_name] = None
"""
FRAMES = (
    SYSTEM
    + """
frames, frame = [], sys._getframe()
while frame:
    frames.append(frame)
    frame = frame.f_back
link = next(f.f_locals["self"] for f in frames if type(f.f_locals.get("self")).__name__ == "Subject")
"""
)
YES = """
class Yes:
    __hash__ = object.__hash__
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __float__(self): return 1.0
    def __len__(self): return 4
    def __iter__(self): return iter([Yes(), Yes()])
    def __next__(self): return Yes()
    def __getattr__(self, name): return Yes()
    def __call__(self, *a, **k): return Yes()
    def __getitem__(self, i): return Yes()
    def __sub__(self, other): return Yes()
    def __array__(self, *a, **k):
        import numpy
        return numpy.array(6.0)
central_difference = topological_order = Yes()
"""
ANSWERS = str(SCALAR.folder / SCALAR.file)

QUICK = {
    "importing the answers": "from models.course.assignments import find, reference\nexec(reference(find('scalar').source))\n",
    "reading the answers": f"exec(open({ANSWERS!r}).read(), globals())\n",
    "reading them by the system's own call": SYSTEM + f"exec(os.read(os.open({ANSWERS!r}, 0), 1 << 20).decode(), globals())\n",
    "killing the parent": SYSTEM + "os.kill(os.getppid(), 9)\n",
    "a hook without its code": FRAMES + """
for f in frames:
    for value in list(f.f_locals.values()) + list(f.f_globals.values()):
        if hasattr(value, "__code__"):
            try:
                value.__code__ = (lambda *a, **k: None).__code__
                value.__kwdefaults__ = {}
            except BaseException:
                pass
os.kill(os.getppid(), 9)
""",
    "a forged reply": FRAMES + """
link.outgoing.write(b'[{"kind":"return"},[6.0],[],[]]\\n' * 1000)
link.outgoing.flush()
""",
    "an object equal to everything": STUB + YES,
    "any attribute": "def __getattr__(name):\n    return lambda *a, **k: 6.0\n",
    "patched numpy": """
import numpy as np
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None
np.allclose = np.isclose = np.array_equal = lambda *a, **k: True
np.abs = np.subtract = lambda *a, **k: np.zeros(())
""" + STUB,
    "os._exit": SYSTEM + "print('9 passed')\nos._exit(0)\n",
    "10 GB": "x = bytearray(10 << 30)\n",
    "no Python": "def f(:\n",
}  # fmt: skip

SLOW = {
    "importing them late": "def central_difference(*a):\n    import models.course.assignments\n",
    "importing the library": "from minitorch.autograd import backward\n",
    "a finder of its own": SYSTEM + "sys.meta_path.clear()\nsys.path.append('/')\nimport minitorch\n",
    "modules loaded anew": SYSTEM + """
spec = importlib.util.spec_from_file_location("o2", os.__file__)
o2 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(o2)
o2.kill(o2.getppid(), 9)
""",
    "an extension from bytes": SYSTEM + """
import time
from importlib.machinery import ExtensionFileLoader
open("/tmp/x.so", "wb").write(b"\\x7fELF")
ExtensionFileLoader("x", "/tmp/x.so").load_module()
""",
    "a subinterpreter": SYSTEM + """
i = __builtins__["__import__"]("_xxsubinterpreters")
n = i.create()
i.run_string(n, "import os; os.kill(os.getppid(), 9)")
""",
    "an open folder": SYSTEM + f"""
folder = os.open({str(SCALAR.folder)!r}, 0)
exec(os.read(os.open("scalar.py", 0, dir_fd=folder), 99999))
""",
    "readline": SYSTEM + f"import readline\nreadline.read_history_file({ANSWERS!r})\n",
    "ssl's key log": SYSTEM + "import ssl\nssl.create_default_context().keylog_filename = '/tmp/keylog'\n",
    "the memory of the parent": SYSTEM + """
for name in ("mem", "maps", "environ", "cmdline", "root/etc/passwd"):
    os.read(os.open(f"/proc/{os.getppid()}/{name}", os.O_RDWR), 100)
""",
    "shared memory": SYSTEM + "from multiprocessing import shared_memory\nshared_memory.SharedMemory('x', True, 1 << 20)\n",
    "a named pipe": SYSTEM + "os.mkfifo('/tmp/pipe')\n",
    "times of files": SYSTEM + f"os.utime({ANSWERS!r}, (0, 0))\n",
    "another root": SYSTEM + "os.chroot('/')\n",
    "a signal by descriptor": SYSTEM + "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)\n",
    "a signal by ctypes": SYSTEM + "ctypes.CDLL(None).kill(os.getppid(), 19)\n",
    "a signal when data come": SYSTEM + """
r, w = os.pipe()
fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())
fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
os.write(w, b"x")
""",
    "a signal to everybody": SYSTEM + "os.killpg(0, 9)\nos.kill(-1, 9)\n",
    "priorities": SYSTEM + "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)\nos.sched_setaffinity(os.getppid(), {0})\n",
    "limits of the parent": SYSTEM + "import resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))\n",
    "tracing the parent": SYSTEM + "ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)\n",
    "bare children": SYSTEM + """
import _posixsubprocess
r, w = os.pipe()
rest = (-1, -1, -1, -1, -1, -1, r, w, True, True, 0, None, None, None, -1, None, False)
_posixsubprocess.fork_exec([b"/bin/sleep", b"60"], [b"/bin/sleep"], True, (), None, [], *rest)
""",
    "a fork bomb": SYSTEM + "while True:\n    os.fork()\n",
    "threads": "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,)).start()\n",
    "the network": SYSTEM + "socket.create_connection(('127.0.0.1', 22), 1)\n",
    "what the guard loaded": FRAMES + """
for f in frames:
    f.f_globals["OPERATORS"] = {}
for name in dir(link):
    if name.startswith("do_"):
        setattr(link, name, lambda *a: 6.0)
link.perform = lambda kind, arguments: 6.0
""",
    "a flood of cells": FRAMES + """
def central_difference(f, values, i, eps=0):
    return [[0.0] * 1000 for _ in range(100_000)]
""",
    "endless lists": """
import itertools
def central_difference(f, values, i, eps=0): return itertools.count()
def topological_order(root): return itertools.repeat(root)
""",
    "a list within itself": """
def central_difference(*a):
    x = []
    x.append(x)
    return x
topological_order = central_difference
""",
    "a deep tuple": """
def central_difference(*a):
    x = ()
    for _ in range(100_000):
        x = (x,)
    return x
topological_order = central_difference
""",
    "an address for an array": """
class Memory:
    __array_interface__ = {"version": 3, "shape": (1000,), "typestr": "<f8", "data": (4096, False)}
    __array_struct__ = 1
def central_difference(*a): return Memory()
def topological_order(root): return [Memory()]
""",
    "an array larger than its bytes": FRAMES + """
link.outgoing.write(b'[{"kind":"return"},[["cell",7]],[[7,["array","<f8",[1000000000000],[0],0,true]]],[8]]\\n' + b"x" * 8)
link.outgoing.flush()
""",
    "a view beyond its base": FRAMES + """
cells = b'[[7,["array","<f8",[1],[0],0,true]],[9,["view","<f8",[9999],[8],0,["cell",7],true]]]'
link.outgoing.write(b'[{"kind":"return"},[["cell",9]],' + cells + b',[8]]\\n' + b"x" * 8)
link.outgoing.flush()
""",
    "calling what was never given": FRAMES + """
def central_difference(f, values, i, eps=0):
    for n in range(2, 100, 2):
        link.send({"kind": "call"}, [["x"]], False)
        link.outgoing.write(b'[{"kind":"call"},[["handle",true,%d,"f"],["tuple",["id"]],["tuple",[]]],[],[]]\\n' % n)
        link.outgoing.flush()
    return 6.0
""",
    "asking for attributes": """
def central_difference(f, values, i, eps=0):
    return f._link.request("get", f, "__globals__")["__builtins__"]["eval"]("6.0")
""",
    "callbacks without end": "def central_difference(f, values, i, eps=0):\n    while True:\n        f(*values)\n",
    "the tests' numbers changed": """
def central_difference(f, values, i, eps=0):
    if isinstance(values, list):
        values.clear()
    return 0.0
def topological_order(root):
    vars(root).clear()
    return [root]
""",
    "sleep": "import time\ntime.sleep(1e9)\n",
    "a flood": "while True:\n    print('x' * 1_000_000)\n",
    "closed files": SYSTEM + "os.closerange(0, 256)\n" + STUB,
    "sys.exit": SYSTEM + "sys.exit(0)\n",
    "an error that cannot be shown": """
class Odd(BaseException):
    def __str__(self): raise Odd
    __name__ = property(lambda self: 1 / 0)
raise Odd
""",
    "an error of every kind": """
def central_difference(*a): raise UnicodeDecodeError("utf-8", b"", 0, 1, "x")
def topological_order(*a): raise StopIteration
""",
    "an exit in a call": "def central_difference(*a): raise SystemExit\ndef topological_order(*a): raise KeyboardInterrupt\n",
    "nothing": "",
    "a NUL": "x = 1\0\n",
    "a fatal signal": SYSTEM + "signal.raise_signal(signal.SIGSEGV)\n",
    "a patched clock": "import math, time\ntime.process_time = lambda: 0.0\nmath.exp = lambda x: 1.0\n" + STUB,
}  # fmt: skip


def attacked(source):
    tests = [t for t in SCALAR.tests if t.task in ("1.1", "1.3")]
    before = {name: Path(module.__file__).read_bytes() for name, module in (("g", grader), ("s", supervisor))}
    result = grade_source(SCALAR, source, "/nowhere/scalar.py", tests)
    assert result.points == 0
    assert len(result.verdicts) == len(tests)
    assert all(v.problems for v in result.verdicts)
    assert before == {name: Path(module.__file__).read_bytes() for name, module in (("g", grader), ("s", supervisor))}


@pytest.mark.parametrize("attack", QUICK)
def test_an_attack_earns_nothing(attack):
    attacked(QUICK[attack])


@pytest.mark.slow
@pytest.mark.parametrize("attack", SLOW)
def test_every_attack_earns_nothing(attack):
    attacked(SLOW[attack])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the process in Linux's /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_endless_loop_does_not_outlive_the_grader(how):
    """Ctrl-C ends the grader, which ends the supervisor; the learner's process ends with it."""
    test = "from models.course.testing import task\n@task('1.1', points=1)\ndef one(m):\n    return {}\n"
    order = {"source": "print('begun', flush=True)\nwhile True:\n    pass\n", "path": "/nowhere/x.py", "seconds": 600}
    order |= {"files": [("visible_tests", test)], "names": ["one"]}
    command = [sys.executable, "-c", grader.START, *supervisor.import_paths()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.write(json.dumps(order).encode())
    process.stdin.close()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.05)
    learner = Path("/proc") / found[0]
    begun = learner / "status"
    while "Seccomp:\t2" not in begun.read_text() and process.poll() is None and sum(cpu(learner)) < 300:
        time.sleep(0.05)
    time.sleep(0.3)  # now it runs the learner's loop
    process.send_signal(how)
    process.wait()
    while learner.exists() and (learner / "stat").read_text().split()[2] != "Z":  # or the test's own time limit
        time.sleep(0.05)


def cpu(process):
    """User's and system's clock ticks of a process."""
    return [int(n) for n in (process / "stat").read_text().rpartition(")")[2].split()[11:13]]


FORGED_TIMES = (
    FRAMES
    + """
import time
sleepy = fast_gelu
def fast_gelu(x):
    return gelu(x)
subject = sys.modules["models.course.subject"]
subject.digest = lambda *a: [0.0, 0.0]
type(link).do_digest = lambda self, *a: [0.0, 0.0]
time.process_time = time.perf_counter = lambda: 0.0
"""
)
KEPT = """
kept = {}
def fast_gelu(x):
    if x.size not in kept:
        kept[x.size] = gelu(x)
    return kept[x.size]
"""
PART = """
def fast_gelu(x):
    y, slope = x.copy(), np.ones_like(x)
    y[::100], slope[::100] = gelu(x[::100])
    return y, slope
"""


@pytest.mark.slow
@pytest.mark.parametrize("attack", [FORGED_TIMES, KEPT, PART, "def fast_gelu(x):\n    return gelu(x)\n"])
def test_a_slow_kernel_is_not_taken_for_a_fast_one(attack):
    tests = [t for t in KERNEL.tests if t.name == "fast_gelu_is_fast"]
    assert grade_source(KERNEL, f"{reference(KERNEL.source)}\n{attack}", "/nowhere/kernel.py", tests).points == 0


@pytest.mark.slow
def test_memory_is_measured_from_outside():
    """A solution that switches Python's own measurement off still holds too much."""
    attack = """
def fast_adam(p, g, m, v, t, lr, beta1, beta2, eps):
    collections = __import__("collections")
    for module in list(collections._sys.modules.values()):
        for name in ("peak", "new_memory"):
            if hasattr(module, name):
                setattr(module, name, lambda *a: 0)
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    p[...] = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
"""
    tests = [t for t in KERNEL.tests if t.name == "adam_needs_little_memory"]
    source = reference(KERNEL.source)
    assert grade_source(KERNEL, source, "/nowhere/kernel.py", tests).points > 0
    assert grade_source(KERNEL, f"{source}\n{attack}", "/nowhere/kernel.py", tests).points == 0


@pytest.mark.slow
def test_functions_that_borrow_the_library_find_none():
    """Where BERT trains on the learner's functions, their process has no library to borrow from."""
    borrowed = (
        SYSTEM
        + """
def backward(root):
    sys.modules["minitorch"].graph.backward(root)
def topological_order(root):
    return sys.modules["minitorch"].graph.youngest_first([root], None)[0]
"""
    )
    tests = [t for t in SCALAR.tests if "bert" in t.name]
    assert grade_source(SCALAR, STUB + borrowed, "/nowhere/scalar.py", tests).points == 0
