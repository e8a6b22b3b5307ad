"""What this machine offers the engine, and what to do about trouble: ``python -m minitorch.tools.doctor [--json]``.

Each thing that may be missing or broken has its own function; if that raises, the error becomes a line of the report. So
the doctor never ends in a traceback. The exit status is 0 unless the engine itself is broken.
Read before: devices.py.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Report = dict[str, Any]
"""Section -> the findings, a dict or a list."""

_OPTIONAL = {  # package -> its use, the extra of pyproject.toml that installs it
    "cupy": ("arrays on an NVIDIA GPU", "cuda"),
    "ml_dtypes": ("bfloat16", "cuda"),
    "safetensors": ("checkpoints", "models"),
    "scikit-learn": ("data sets and classical baselines", "models"),
    "tqdm": ("progress bars", "models"),
    "matplotlib": ("pictures", "models"),
    "jupytext": ("lessons", "lessons"),
    "threadpoolctl": ("BLAS: which kernels, how many threads", "dev"),
    "numba": ("compiled loops on the CPU", "models"),
    "pytest": ("tests", "dev"),
    "hypothesis": ("tests", "dev"),
    "mpi4py": ("several processes or machines", ""),
}
_VARIABLES = (
    "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NPY_DISABLE_CPU_FEATURES", "MINITORCH_KERNELS", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT",
    "CUDA_VISIBLE_DEVICES", "CUDA_PATH", "CUDA_HOME", "CUPY_CACHE_DIR", "LD_LIBRARY_PATH", "PYTHONPATH",
)  # fmt: skip


def examine() -> Report:
    """The whole report; "trouble" has a line of advice for each thing that is wrong, "absent" for what is merely not there."""
    sections: dict[str, Callable[[], Any]] = {
        "python": python, "cpu": cpu, "numpy": numpy_and_blas, "environment": environment, "cuda": cuda,
        "packages": packages, "engine": engine,
    }  # fmt: skip
    report: Report = {}
    for name, look in sections.items():
        try:
            report[name] = look()
        except Exception as error:
            report[name] = {"error": _brief(error)}
    try:
        report["trouble"], report["absent"] = trouble(report), absent(report)
    except Exception as error:
        report["absent"] = []
        report["trouble"] = [f"the doctor itself failed: {_brief(error)}; please report it"]
    return report


# --------------------------------------------------------------------------------------------------- looking


def python() -> Report:
    """The interpreter and the system."""
    return {"version": platform.python_version(), "executable": sys.executable, "platform": platform.platform()}


def cpu() -> Report:
    """The CPU's name, the cores this process may use, and the vector instructions that matter to BLAS."""
    facts: dict[str, str] = {}
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = (facts.get("flags") or facts.get("Features", "")).split()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable cores": _quota(usable or 1),
        "AVX-512 in halves": facts.get("vendor_id") == "AuthenticAMD" and int(facts.get("cpu family", 0)) < 26,
        "vectors": [name for name in ("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "amx_tile", "asimd") if name in flags],
    }


def _quota(cores: int) -> int:
    """The cores left by a container's limit (cgroup v2)."""
    try:
        allowed, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        return cores if allowed == "max" else max(1, min(cores, round(int(allowed) / int(period))))
    except (OSError, ValueError):
        return cores


def numpy_and_blas() -> Report:
    """NumPy, the BLAS library behind its matrix products, and how fast they are."""
    import numpy as np

    report: Report = {"version": np.__version__}
    configured = np.show_config(mode="dicts") or {}
    blas = configured.get("Build Dependencies", {}).get("blas", {})
    report["blas"] = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    try:
        from threadpoolctl import threadpool_info

        pools = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
        if pools:
            report["blas"] = f"{pools[0].get('internal_api')} {pools[0].get('version')}"
            report["kernels"] = pools[0].get("architecture", "unknown")
            report["threads"] = pools[0].get("num_threads")
    except ImportError:
        report["kernels"] = report["threads"] = "unknown (pip install threadpoolctl)"
    report["float32 matrix product"] = f"{gemm_rate(np):.0f} GFLOP/s"
    return report


def gemm_rate(xp: Any, n: int = 1024, tries: int = 5) -> float:
    """GFLOP/s of an n × n float32 matrix product, 2n³ operations: the best of a few tries."""
    a = xp.ones((n, n), dtype="float32")
    best = float("inf")
    for _ in range(tries + 1):
        start = time.perf_counter()
        float((a @ a)[0, 0])  # reading an element waits for the GPU
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9


def environment() -> dict[str, str]:
    """The variables that are set and change whether things run, or how fast."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def packages() -> dict[str, str | None]:
    """The versions of the optional packages; None for those that are missing."""
    return {name: _version(name) for name in _OPTIONAL}


def _version(name: str) -> str | None:
    for candidate in (name, *cupy_packages()) if name == "cupy" else (name,):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def cupy_packages() -> list[str]:
    """The installed packages that contain a module cupy: there must be at most one."""
    names = {(found.metadata["Name"] or "").lower() for found in importlib.metadata.distributions()}
    return sorted(name for name in names if name == "cupy" or name.startswith(("cupy-cuda", "cupy-rocm")))


def cuda() -> Report:
    """The driver, the GPUs, and CuPy: a kernel is compiled and run."""
    report: Report = {"driver": driver(), "gpus": gpus(), "cupy packages": cupy_packages()}
    try:
        cupy = importlib.import_module("cupy")
    except Exception as error:  # a broken installation raises more than ImportError
        return report | {"cupy": None, "import error": _brief(error) if report["cupy packages"] else None}
    runtime = cupy.cuda.runtime
    report |= {"cupy": cupy.__version__, "runtime": _cuda_version(runtime.runtimeGetVersion())}
    try:
        report["devices"] = runtime.getDeviceCount()
    except Exception as error:
        return report | {"devices": 0, "device error": _brief(error)}
    if report["devices"]:
        try:
            double = cupy.ElementwiseKernel("float32 x", "float32 y", "y = x + x", "minitorch_doctor")
            report["kernel"] = bool((double(cupy.arange(4, dtype="float32")).get() == [0, 2, 4, 6]).all())
            report["float32 matrix product"] = f"{gemm_rate(cupy, 4096):.0f} GFLOP/s"
        except Exception as error:
            report["kernel error"] = _brief(error)
    return report


def driver() -> str | None:
    """The newest CUDA version that the installed NVIDIA driver supports; the driver itself says so."""
    for name in ("libcuda.so.1", "nvcuda.dll", "libcuda.dylib"):
        try:
            version = ctypes.c_int()
            if ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value:
                return _cuda_version(version.value)
        except (OSError, AttributeError):
            continue
    return None


def gpus() -> list[str]:
    """Name, driver and memory of each GPU, from nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def engine() -> Report:
    """Does a gradient come out right?"""
    minitorch = importlib.import_module("minitorch")
    x = minitorch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x * x).sum().backward()
    works = x.grad.tolist() == [2.0, 4.0, 6.0]
    where = os.path.dirname(os.path.dirname(__file__))
    return {"version": minitorch.__version__, "path": where, "works": works, "kernels on the CPU": kernels()}


def kernels() -> str:
    """Which hand computes float32 on the CPU, and why."""
    dispatch = importlib.import_module("minitorch.kernels.dispatch")
    if dispatch.prepare() is dispatch.cpu:
        return f"NumPy, not compiled loops: {dispatch.why_numpy}"
    folder = importlib.import_module("minitorch.kernels.loops.compiling").folder
    return f"loops compiled by numba {_version('numba')}, kept in {folder}"


# --------------------------------------------------------------------------------------------------- advising


def trouble(report: Report) -> list[str]:
    """A line per fault: what is wrong, and what to do."""
    lines = [f"{name}: could not be examined: {facts['error']}" for name, facts in report.items() if _failed(facts)]
    usable = {name: {} if _failed(facts) else facts for name, facts in report.items()}
    lines += _engine_trouble(usable["engine"], usable["python"], usable["numpy"])
    lines += _blas_trouble(usable["cpu"], usable["numpy"], usable["environment"])
    lines += _cuda_trouble(usable["cuda"], usable["environment"])
    return lines


def absent(report: Report) -> list[str]:
    """A line if this machine has neither an NVIDIA driver nor CuPy: that is no trouble, but ``--device cuda`` cannot work."""
    cuda = report["cuda"]
    if _failed(cuda) or cuda["driver"] is not None or cuda["cupy"] is not None or cuda["cupy packages"]:
        return []
    return [
        'device "cuda" cannot be used here: there is no NVIDIA driver, and CuPy is not installed. Where there is an NVIDIA GPU: '
        'install its driver (nvidia-smi must list the GPU), then pip install "cupy-cuda13x[ctk]" (CUDA 13) or "cupy-cuda12x[ctk]"'
    ]


def _failed(facts: Any) -> bool:
    return isinstance(facts, dict) and set(facts) == {"error"}


def _engine_trouble(engine: Report, python: Report, numpy: Report) -> list[str]:
    lines = []
    if not engine.get("works"):
        lines.append("the engine computes a wrong gradient, or none: pip install --force-reinstall minitorch-engine")
    if "cannot cache" in engine.get("kernels on the CPU", ""):
        lines.append("numba finds no folder that it may write to, so no loops are compiled: set NUMBA_CACHE_DIR to one")
    if python and _numbers(python["version"]) < (3, 11):
        lines.append(f"Python {python['version']} is too old: minitorch needs 3.11 or newer")
    if numpy and _numbers(numpy["version"]) < (2, 0):
        lines.append(f'NumPy {numpy["version"]} is too old: pip install "numpy>=2"')
    return lines


def _blas_trouble(cpu: Report, numpy: Report, environment: dict[str, str]) -> list[str]:
    lines = []
    kernels, threads, cores = numpy.get("kernels"), numpy.get("threads"), cpu.get("usable cores", 1)
    wide = "avx512f" in cpu.get("vectors", ()) and not cpu.get("AVX-512 in halves")
    if wide and kernels in ("Haswell", "Zen", "Sandybridge", "Prescott"):
        forced = environment.get("OPENBLAS_CORETYPE")
        cure = f"unset OPENBLAS_CORETYPE (it is {forced})" if forced else "try OPENBLAS_CORETYPE=SkylakeX"
        lines.append(
            f"the CPU has AVX-512 but OpenBLAS runs its {kernels} kernels, often at half the speed: "
            f"{cure} before Python starts, and compare the matrix product's rate here"
        )
    if isinstance(threads, int) and threads > cores:
        lines.append(
            f"BLAS runs {threads} threads on {cores} usable cores, in each other's way: set OPENBLAS_NUM_THREADS={cores}"
        )
    if isinstance(threads, int) and threads == 1 < cores:
        named = [name for name in environment if name.endswith("NUM_THREADS")]
        lines.append(f"BLAS runs one thread on {cores} usable cores" + (f": unset {' and '.join(named)}" if named else ""))
    return lines


def _cuda_trouble(cuda: Report, environment: dict[str, str]) -> list[str]:
    if not cuda:
        return []
    newest, names = cuda["driver"], cuda["cupy packages"]
    fits = f"cupy-cuda{12 if newest and _numbers(newest) < (13,) else 13}x"
    if len(names) > 1:
        return [f"{' and '.join(names)} overwrite each other's files: pip uninstall {' '.join(names)}, then pip install {fits}"]
    if cuda.get("import error"):
        return [f'{names[0]} does not import ({cuda["import error"]}): pip install --force-reinstall "{fits}[ctk]"']
    if newest is None:
        if cuda["cupy"] is None:
            return []  # no GPU, no CuPy: nothing is wrong (see absent)
        return ["CuPy is here but no NVIDIA driver: install the driver (nvidia-smi must list a GPU); until then use the CPU"]
    if cuda["cupy"] is None:
        return [f'a GPU is here but no CuPy, so "cuda" cannot be used: pip install "{fits}[ctk]"']
    if _numbers(newest)[:1] < _numbers(cuda["runtime"])[:1]:
        return [
            f"the driver supports CUDA {newest} at most and {' '.join(names)} needs {cuda['runtime']}: "
            f"update the driver, or pip uninstall {' '.join(names)} and pip install {fits}"
        ]
    if not cuda.get("devices"):
        hidden = environment.get("CUDA_VISIBLE_DEVICES")
        why = f"CUDA_VISIBLE_DEVICES={hidden!r} may hide them" if hidden is not None else "does nvidia-smi list them?"
        return [f"the driver is here but CuPy finds no GPU ({cuda.get('device error', 'none there')}): {why}"]
    if not cuda.get("kernel"):
        reason = cuda.get("kernel error", "a wrong result")
        return [f'a kernel could not be compiled and run ({reason}): for CUDA\'s compiler and headers pip install "{fits}[ctk]"']
    return []


# -------------------------------------------------------------------------------------------------- reporting


def text(report: Report) -> str:
    """The report to read."""
    lines = []
    for section in ("python", "cpu", "numpy", "environment", "cuda", "engine"):
        lines.append(section)
        lines += [f"  {key}: {_show(value)}" for key, value in report[section].items()] or ["  nothing set"]
    lines.append("optional packages")
    for name, version in report["packages"].items():
        purpose, extra = _OPTIONAL.get(name, ("", ""))
        cure = f"pip install -e '.[{extra}]'" if extra else f"pip install {name}"
        lines.append(f"  {name}: {version}" if version else f"  {name}: not installed ({purpose}): {cure}")
    lines += report["absent"]
    lines.append("trouble" if report["trouble"] else "no trouble found" + (" on the CPU" if report["absent"] else ""))
    lines += [f"  - {line}" for line in report["trouble"]]
    return "\n".join(lines)


def _show(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else "yes" if value is True else "no" if value is False else str(value)


def _cuda_version(number: int) -> str:
    """13020 -> "13.2"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _numbers(version: str) -> tuple[int, ...]:
    """ "2.1.0rc1" -> (2, 1)."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _brief(error: BaseException) -> str:
    """The first line that says something."""
    lines = [line.strip(" =") for line in str(error).splitlines() if line.strip(" =")]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def main(arguments: Sequence[str] | None = None, prog: str = "python -m minitorch.tools.doctor") -> int:
    """The command: print the report; 1 if the engine itself is broken, else 0."""
    parser = argparse.ArgumentParser(prog=prog, description="What this machine offers minitorch.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    report = examine()
    print(json.dumps(report, indent=2, ensure_ascii=False, default=str) if options.json else text(report))
    return 0 if isinstance(report["engine"], dict) and report["engine"].get("works") else 1


if __name__ == "__main__":
    sys.exit(main())
