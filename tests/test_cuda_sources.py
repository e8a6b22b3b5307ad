"""The CUDA sources: nvcc and NVRTC take them without a word, and the emulation that tests them finds what it is there to find."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minitorch.kernels.cuda import elementwise, embedding, launch, lists, rows
from tests import emulated_cuda

ATTENTION = sys.modules["minitorch.kernels.cuda.attention"].SOURCE  # the package's attention is the function
needs_compiler = pytest.mark.skipif(emulated_cuda.compiler() is None, reason="no g++")


def sources(kind: str) -> dict[str, tuple[str, dict]]:
    """Every source for one element type, as it is compiled: name -> (text, macros)."""
    found = {
        "elementwise": (elementwise.SOURCE, {"T": kind, "W": "float", "TANH": 0}),
        "gelu by tanh": (elementwise.SOURCE, {"T": kind, "W": kind, "TANH": 1}),
        "cross entropy": (rows.CROSS_ENTROPY, {"T": kind}),
        "sums of rows": (rows.SUM_ROWS, {"T": kind, "R": "float"}),
        "sums of sums": (rows.SUM_ROWS, {"T": "float", "R": kind}),
        "embedding": (embedding.SOURCE, {"T": kind}),
        "lists": (lists.SOURCE, {"MOST": lists.MOST, "CHUNK": lists.CHUNK}),
        "mask": (launch.MASK, {}),
    }
    for items in (1, 2, 4, 8):
        found[f"softmax, {items}"] = (rows.SOFTMAX, {"T": kind, "ITEMS": items})
        found[f"layer norm, {items}"] = (rows.NORM, {"T": kind, "W": "float", "ITEMS": items})
    for width in (32, 64, 128):
        found[f"attention, {width}"] = (ATTENTION, {"T": kind, "D": width})
    return found


def nvcc(folder: Path, name: str, text: str, macros: dict) -> str:
    """Compile for A100 and H100 (and H200), every warning an error; what ptxas reports."""
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc on the PATH")
    source = folder / f"{re.sub(r'[^a-z0-9]', '_', name)}.cu"
    source.write_text(launch.whole(text, **macros))
    cards = [option for arch in (80, 90) for option in ("-gencode", f"arch=compute_{arch},code=sm_{arch}")]
    command = ["nvcc", "-std=c++17", *cards, "-Werror", "all-warnings", "-Xptxas", "-v", "-fatbin", str(source), "-o", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name}:\n{done.stderr}"
    return done.stderr


def check_resources(name: str, report: str) -> None:
    """Registers suffice (next to nothing spilt to memory), and shared memory stays under what CUDA grants unasked."""
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill stores", report)]
    assert spills, f"{name}: ptxas reports nothing:\n{report}"
    assert max(spills) <= 64, f"{name} spills {max(spills)} bytes a thread"
    assert all(int(n) <= 48 << 10 for n in re.findall(r"(\d+) bytes smem", report))


@pytest.mark.parametrize("name", ["layer norm, 1", "attention, 64", "elementwise", "lists"])
def test_nvcc_takes_the_sources(name, tmp_path):
    check_resources(name, nvcc(tmp_path, name, *sources("float16")[name]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float", "float16", "bfloat16"])
def test_nvcc_takes_every_source(kind, tmp_path):
    for name, (text, macros) in sources(kind).items():
        check_resources(name, nvcc(tmp_path, name, text, macros))


def nvrtc() -> ctypes.CDLL:
    """The compiler that CuPy calls: a toolkit's, or what pip installed as nvidia-cuda-nvrtc. It needs no GPU."""
    installed = [str(path) for folder in sys.path for path in Path(folder).glob("nvidia/*/lib/libnvrtc.so.*")]
    for name in [*installed, "libnvrtc.so.13", "libnvrtc.so.12"]:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    pytest.skip("no NVRTC")


def compile_as_cupy_does(library: ctypes.CDLL, text: str, card: str) -> str:
    """What NVRTC says of a source, with the options of launch.py and those that CuPy 14 adds; "" if it says nothing."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    options = [*launch.OPTIONS, "-ftz=true", f"-arch={card}", "--device-as-default-execution-space"]
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options)))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() if status == 0 else f"status {status}: {log.value.decode()}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float", "float16", "bfloat16"])
def test_nvrtc_takes_every_source(kind):
    library = nvrtc()
    for name, (text, macros) in sources(kind).items():
        for card in ("sm_80", "sm_90"):
            assert compile_as_cupy_does(library, launch.whole(text, **macros), card) == "", name
    assert "status 6" in compile_as_cupy_does(library, "nonsense", "sm_90")


def test_sources_stand_alone():
    for text, _ in sources("float").values():
        assert "#include" not in launch.PRELUDE + text
        assert emulated_cuda.parameters(text), "the emulation finds no kernel"


# --------------------------------------------------------------------------------- mistakes that the emulation finds


def run(body: str, *arguments: object, signature: str = "float* x", threads: int = 64, shared: int = 0) -> None:
    """A kernel of one block."""
    source = launch.whole(f'extern "C" __global__ void wrong({signature}) {{ {body} }}')
    emulated_cuda.launch(source, "wrong", (1,), (threads,), list(arguments), shared)


def array(n: int, dtype: str = "float32") -> tuple[np.ndarray, tuple[int, np.dtype]]:
    x = np.zeros(n, dtype)
    return x, (emulated_cuda.address(x), x.dtype)


@needs_compiler
def test_the_emulation_runs_what_is_right():
    x, pointer = array(64)
    body = "__shared__ float room[64]; room[threadIdx.x] = threadIdx.x; __syncthreads(); x[threadIdx.x] = room[63 - threadIdx.x];"
    run(body, pointer)
    np.testing.assert_array_equal(x, np.arange(64)[::-1])
    run("x[threadIdx.x] = over_warp<sum2>(threadIdx.x);", pointer)
    assert x.tolist() == [496.0] * 32 + [1520.0] * 32


@needs_compiler
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("if (threadIdx.x < 32) __syncthreads();", "wait for others that have returned"),
        ("if (threadIdx.x < 8) return; __syncthreads();", "wait for others that have returned"),
        ("if (threadIdx.x < 32) {__syncthreads();}\nelse {__syncthreads();}", "wait at different places"),
        ("if (threadIdx.x % 2) __syncthreads(); else x[0] = over_warp<sum2>(1);", "wait for ever"),
        ("if (threadIdx.x % 2) x[0] = over_warp<sum2>(1);", "wait for others that have returned"),
        ("x[0] = __shfl_xor_sync(1u, 1.0f, 1);", "a shuffle of a part of a warp"),
        ("__shared__ float room[4]; room[threadIdx.x / 12] = 1;", "behind a shared array"),
    ],
)
def test_the_emulation_finds_mistakes_of_threads(body, message):
    _, pointer = array(1)
    with pytest.raises(RuntimeError, match=message):
        run(body, pointer)


@needs_compiler
def test_the_emulation_finds_shared_memory_that_nobody_filled_or_waited_for(monkeypatch):
    x, pointer = array(64)
    found = []
    for backwards in (False, True):
        monkeypatch.setattr(emulated_cuda, "backwards", backwards)
        run("__shared__ float room[64]; room[threadIdx.x] = 1; x[threadIdx.x] = room[threadIdx.x ^ 1];", pointer)
        found.append(np.isnan(x).sum())
    assert found == [32, 32]


@needs_compiler
@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("float* x, int n", [array(4)[1], np.int64(1)]),  # an int of the wrong size
        ("float* x, float a", [array(4)[1], 1.0]),  # CuPy passes a Python number as a double
        ("float* x", [array(4, "float64")[1]]),
        ("float* x, const Mask mask", [array(4)[1], np.zeros((), "f4,f4")]),
        ("float* x", []),
    ],
)
def test_the_emulation_refuses_arguments_that_are_not_what_the_signature_says(signature, arguments):
    with pytest.raises(TypeError, match="wrong"):
        run("", *arguments, signature=signature)


@needs_compiler
def test_the_stand_in_finds_writes_beyond_an_array():
    from tests import emulated_cupy

    x = emulated_cupy.ndarray((5,), np.float32)
    source = launch.whole('extern "C" __global__ void wrong(float* x) { x[threadIdx.x / 4] = 1; }')
    wrong = emulated_cupy.RawKernel(source, "wrong")
    with pytest.raises(RuntimeError, match="wrote beyond an array"):
        wrong((1,), (32,), (x,))
    with pytest.raises(TypeError, match="pass NULL"):
        wrong((1,), (32,), (None,))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    with pytest.raises(TypeError):
        x + np.ones(5, np.float32)


@pytest.mark.slow
@needs_compiler
def test_the_kernels_under_the_address_sanitizer():
    """All of test_cuda_kernels.py once more: no read or write outside of any array, no misaligned access, no overflow."""
    libraries = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(Path(library).is_absolute() for library in libraries):
        pytest.skip("g++ has no sanitizers")
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "EMULATION_SANITIZE": "1",
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/test_cuda_kernels.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
