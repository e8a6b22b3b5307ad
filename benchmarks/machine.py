"""The machine that a number was measured on, described so that others can compare; and how busy it was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from models import startup


def describe() -> dict[str, str]:
    """CPU, cores, system, and the versions that decide speed."""
    facts = {"processor": _processor(), "cores": str(cores()), "system": f"{platform.system()} {platform.machine()}"}
    facts["python"] = platform.python_version()
    for package in ("numpy", "torch"):
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "not installed"
    facts["BLAS kernels by itself"] = blas_kernels(prepared=False)
    facts["BLAS kernels as the command sets them"] = blas_kernels(prepared=True)
    return facts


def short_name() -> str:
    """The CPU in a few letters, for a folder's name: amd-26-2, intel-6-167, or what the system calls it."""
    facts = dict(line.replace("\t", "").split(": ", 1) for line in startup.cpu_info().splitlines() if ": " in line)
    vendor = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(facts.get("vendor_id", ""))
    if vendor is not None:
        return f"{vendor}-{facts['cpu family']}-{facts['model']}"
    return "".join(c if c.isalnum() else "-" for c in (platform.processor() or platform.machine()).lower()).strip("-")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = {}
    for line in info.read_text().splitlines() if info.exists() else []:
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    if "model name" not in found:
        return platform.processor() or platform.machine()
    return f"{found['model name']} (family {found.get('cpu family', '?')}, model {found.get('model', '?')})"


def has_avx512() -> bool:
    """Does the first core have the instructions of OpenBLAS's SkylakeX kernels?"""
    flags = next((line for line in startup.cpu_info().splitlines() if line.startswith("flags")), "")
    return set(flags.split()) >= startup.AVX512


def blas_kernels(prepared: bool) -> str:
    """The kernels that NumPy's BLAS runs in a new process: its own choice, or (prepared) the command's."""
    code = f"from models import startup; {prepared} and startup.prepare(); import numpy, threadpoolctl; "
    code += "print(*sorted({x.get('architecture', x['internal_api']) for x in threadpoolctl.threadpool_info()}))"
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def peak_memory() -> float:
    """Peak MiB of this process. (Not ru_maxrss, which starts from the parent process's peak.)"""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_now() -> float:
    """MiB of this process now."""
    return _status("VmRSS")


def _status(name: str) -> float:
    path = Path("/proc/self/status")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_ticks() -> tuple[float, float]:
    """The clock, and the CPU seconds of all programs on all cores."""
    path = Path("/proc/stat")
    fields = [int(x) for x in path.read_text().split("\n")[0].split()[1:]] if path.exists() else [0] * 8
    return time.perf_counter(), (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def others(before: tuple[float, float], ours: float) -> float:
    """The average number of cores that other programs kept busy since ``before``; ``ours`` is our own CPU time."""
    now = cpu_ticks()
    return max(0.0, (now[1] - before[1] - ours) / (now[0] - before[0]))
