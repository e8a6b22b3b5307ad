"""CUDA kernels compiled for this processor: the same source strings, behind tests/emulation.h, called through ctypes.

Two declarations have no counterpart in C++ and are rewritten: arrays in __shared__ memory become memory that the emulation owns,
fills with NaNs for each block and looks after. Everything else is the kernel as NVRTC gets it.
EMULATION_SANITIZE=1 compiles with the address and undefined-behaviour sanitizers; the process must then have been started with
libasan preloaded (test_cuda_kernels.py does so in a process of its own).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

HEADER = Path(__file__).with_name("emulation.h")
SANITIZE = bool(os.environ.get("EMULATION_SANITIZE"))
KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\(([^)]*)\)')
TYPES = {
    "bool": "bool", "int": "int32", "long long": "int64", "unsigned": "uint32",
    "float": "float32", "float16": "float16", "bfloat16": "bfloat16",
}  # fmt: skip
backwards = False  # the order in which the threads of a block take their turns: no result may depend on it
_lock = threading.Lock()  # the emulation has one GPU


def compiler() -> str | None:
    """The C++ compiler, if there is one. (The emulation's flags are those of Linux.)"""
    return shutil.which("g++") if sys.platform == "linux" else None


def parameters(source: str) -> dict[str, list[tuple[str, str]]]:
    """Each kernel's parameters: (type, name)."""
    found = {}
    for name, inside in KERNEL.findall(source):
        pairs = [re.fullmatch(r"(.*?)\s*(\w+)", p.strip(), re.DOTALL) for p in inside.split(",")]
        found[name] = [(" ".join(p[1].replace("__grid_constant__", "").split()), p[2]) for p in pairs]
    return found


def translated(source: str) -> str:
    """The source as C++, and for each kernel a function that takes pointers to its arguments."""
    source = re.sub(r"extern __shared__ (?:__align__\(\d+\) )?(\w+) (\w+)\[\];", r"\1* \2 = (\1*)emulation::dynamic();", source)
    source = re.sub(
        r"__shared__ (\w+) (\w+)((?:\[\w+\])+);",
        r"auto& \2 = *(\1(*)\3)emulation::shared([] { static char site; return &site; }(), sizeof(\1\3));",
        source,
    )
    text = f'#line 1 "kernel"\n{source}\n'
    for name, pairs in parameters(source).items():
        arguments = ", ".join(f"*({kind}*)a[{i}]" for i, (kind, _) in enumerate(pairs))
        sizes = ", ".join(f"sizeof({kind})" for kind, _ in pairs)
        text += f'extern "C" int sizes_{name}[] = {{{sizes}}};\n'
        text += f'extern "C" const char* run_{name}(void** a, unsigned* grid, unsigned threads, size_t shared, bool backwards) '
        text += "{\n"
        text += f"    return emulation::launch(grid, threads, shared, backwards, [=] {{ {name}({arguments}); }});\n}}\n"
    return text


@functools.cache
def library(source: str) -> ctypes.CDLL:
    """The compiled source; kept in the temporary folder under the hash of all it is made of."""
    text, flags = translated(source), ["-std=c++17", "-O1", "-fPIC", "-w", "-ffp-contract=off"]
    if SANITIZE:
        flags += ["-g", "-fsanitize=address,alignment,bounds,shift,signed-integer-overflow", "-fno-sanitize-recover=all"]
    header = _made(HEADER.read_text(), flags, "h", ".gch", ["-x", "c++-header"])  # read once, not with every kernel
    return ctypes.CDLL(str(_made(text, [*flags, "-include", str(header.with_suffix(""))], "cpp", ".so", ["-shared"])))


def _made(text: str, flags: list[str], kind: str, result: str, more: list[str]) -> Path:
    """What g++ makes of a text; made only if it is not there already."""
    key = hashlib.sha256("\n".join([text, *flags]).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"minitorch-emulation-{os.getuid()}"
    source, target = folder / f"{key}.{kind}", folder / f"{key}.{kind}{result}"
    if not target.exists():
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            (Path(work) / source.name).write_text(text)
            os.replace(Path(work) / source.name, source)
            command = [compiler() or "g++", *flags, *more, str(source), "-o", f"{work}/made"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"g++ refuses a kernel:\n{done.stderr[:4000]}")
            os.replace(f"{work}/made", target)
    return target


@functools.cache
def many(kind: type, count: int) -> type:
    return kind * count  # type: ignore[operator,no-any-return]  (a new class each time, and a class is a reference cycle)


def launch(source: str, name: str, grid: tuple, block: tuple, arguments: list, shared: int) -> None:
    """Run a kernel on ``arguments``: (address, dtype) for arrays, np.uint64(0), NumPy scalars, structures as 0-d arrays."""
    loaded, macros = library(source), dict(re.findall(r"^#define (\w+) (\w+)$", source, re.MULTILINE))
    pairs = parameters(source)[name]
    assert len(block) == 1 or block[1:] == (1,) * (len(block) - 1), "the emulation's blocks have one dimension"
    if len(arguments) != len(pairs):
        raise TypeError(f"{name} takes {len(pairs)} arguments, got {len(arguments)}")
    sizes = many(ctypes.c_int, len(pairs)).in_dll(loaded, f"sizes_{name}")
    kept = [_checked(name, kind, what, a, size, macros) for (kind, what), a, size in zip(pairs, arguments, sizes, strict=True)]
    pointers = many(ctypes.c_void_p, len(kept))(*map(address, kept))
    run = getattr(loaded, f"run_{name}")
    run.restype, run.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t, ctypes.c_bool]
    with _lock:
        fault = run(pointers, many(ctypes.c_uint, 3)(*(*grid, 1, 1)[:3]), block[0], shared, backwards)
    if fault:
        raise RuntimeError(f"{name}: {fault.decode()}")


def address(a: np.ndarray) -> int:
    """Where the array's first element lies (a.ctypes.data would leave reference cycles)."""
    return int(a.__array_interface__["data"][0])


def _checked(name: str, kind: str, what: str, a: object, size: int, macros: dict[str, str]) -> np.ndarray:
    """The argument as an array of the bytes that the kernel gets; an error if they are not what its signature says."""
    plain = kind.removeprefix("const ")
    if plain.endswith("*"):
        if isinstance(a, np.uint64) and a == 0:
            return np.array([a])
        where, dtype = a  # type: ignore[misc]
        element = plain.removesuffix("*").strip()
        expected = TYPES[macros.get(element, element)]
        if dtype.name != expected:
            raise TypeError(f"{name}: {what} points to {element} ({expected}), the array is {dtype}")
        return np.array([where], np.uint64)
    if plain in TYPES:
        if not isinstance(a, np.generic) or a.dtype.name != TYPES[plain]:
            raise TypeError(f"{name}: {what} is {plain}, got {a!r} of {type(a).__name__}")
        return np.array([a])
    if not isinstance(a, np.ndarray) or a.size != 1 or a.nbytes != size:
        raise TypeError(f"{name}: {what} is a {plain} of {size} bytes, got {a!r}")
    return a
