"""The doctor: a report without tracebacks, and for each trouble a line that says what to do."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from minitorch.tools import doctor

HEALTHY = {
    "python": {"version": "3.12.1"},
    "cpu": {"model": "a CPU", "usable cores": 8, "vectors": ["avx2", "avx512f"]},
    "numpy": {"version": "2.1.0", "kernels": "SkylakeX", "threads": 8},
    "environment": {},
    "cuda": {"driver": "13.0", "gpus": ["a GPU"], "cupy packages": ["cupy-cuda13x"], "cupy": "14.0.0", "runtime": "13.0",
             "devices": 1, "kernel": True},
    "packages": {"cupy": "14.0.0", "tqdm": None},
    "engine": {"version": "0.1.0", "works": True},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(request, monkeypatch):
    """The matrix products are timed in one test only."""
    if request.node.name != "test_the_command":
        monkeypatch.setattr(doctor, "gemm_rate", lambda *arguments: 1.0)


def advice(**changes):
    report = {name: dict(facts) for name, facts in HEALTHY.items()}
    for name, facts in changes.items():
        report[name] = {**report[name], **facts}
    return doctor.trouble(report)


def test_health_needs_no_advice():
    assert advice() == []


@pytest.mark.parametrize(("section", "facts", "line"), [
    ("engine", {"works": False}, "computes a wrong gradient, or none"),
    ("engine", {"kernels on the CPU": "NumPy: cannot cache function"}, "no loops are compiled: set NUMBA_CACHE_DIR"),
    ("python", {"version": "3.10.2"}, "Python 3.10.2 is too old: minitorch needs 3.11"),
    ("numpy", {"version": "1.26.4"}, 'NumPy 1.26.4 is too old: pip install "numpy>=2"'),
    ("numpy", {"kernels": "Haswell"}, "runs its Haswell kernels, often at half the speed: try OPENBLAS_CORETYPE=SkylakeX"),
    ("numpy", {"threads": 64}, "64 threads on 8 usable cores, in each other's way: set OPENBLAS_NUM_THREADS=8"),
    ("numpy", {"threads": 1}, "BLAS runs one thread on 8 usable cores"),
    ("cuda", {"cupy": None, "cupy packages": []}, 'no CuPy, so "cuda" cannot be used: pip install "cupy-cuda13x[ctk]"'),
    ("cuda", {"cupy": None, "cupy packages": [], "driver": "12.4"}, 'pip install "cupy-cuda12x[ctk]"'),
    ("cuda", {"cupy": None, "import error": "ImportError: no lib"}, "cupy-cuda13x does not import (ImportError: no lib): pip"),
    ("cuda", {"driver": None, "devices": 0}, "CuPy is here but no NVIDIA driver"),
    ("cuda", {"driver": "12.4"}, "the driver supports CUDA 12.4 at most and cupy-cuda13x needs 13.0: update the driver, or"),
    ("cuda", {"cupy packages": ["cupy-cuda12x", "cupy-cuda13x"]}, "cupy-cuda12x and cupy-cuda13x overwrite each other's files"),
    ("cuda", {"devices": 0}, "the driver is here but CuPy finds no GPU (none there): does nvidia-smi list them?"),
    ("cuda", {"kernel": None, "kernel error": "no header"}, "could not be compiled and run (no header): for CUDA's compiler"),
])  # fmt: skip
def test_each_trouble_has_its_advice(section, facts, line):
    (found,) = advice(**{section: facts})
    assert line in found


def test_what_the_environment_forces_is_named():
    (line,) = advice(numpy={"kernels": "Haswell"}, environment={"OPENBLAS_CORETYPE": "Haswell"})
    assert "unset OPENBLAS_CORETYPE (it is Haswell)" in line
    assert advice(numpy={"kernels": "Haswell"}, cpu={"AVX-512 in halves": True}) == []
    (line,) = advice(numpy={"threads": 1}, environment={"OMP_NUM_THREADS": "1"})
    assert "unset OMP_NUM_THREADS" in line
    (line,) = advice(cuda={"devices": 0}, environment={"CUDA_VISIBLE_DEVICES": ""})
    assert "CUDA_VISIBLE_DEVICES='' may hide them" in line


def test_no_gpu_and_no_cupy_is_no_trouble_but_said():
    nothing = {"driver": None, "cupy": None, "cupy packages": [], "devices": 0}
    assert advice(cuda=nothing) == []
    report = {**HEALTHY, "cuda": nothing, "trouble": []}
    assert doctor.absent(HEALTHY) == []
    report["absent"] = doctor.absent(report)
    (line,) = report["absent"]
    assert 'device "cuda" cannot be used here: there is no NVIDIA driver, and CuPy is not installed' in line
    assert 'then pip install "cupy-cuda13x[ctk]"' in line
    assert doctor.text(report).endswith(f"\n{line}\nno trouble found on the CPU")
    assert doctor.text({**report, "absent": []}).endswith("\nno trouble found")


def test_the_command(capsys):
    assert doctor.main([]) == 0
    text = capsys.readouterr().out
    for section in ("python", "cpu", "numpy", "environment", "cuda", "engine", "optional packages"):
        assert f"\n{section}\n" in "\n" + text
    assert "works: yes" in text
    assert "kernels on the CPU: " in text
    assert doctor.main(["--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["engine"]["works"] is True
    assert isinstance(report["trouble"], list)


def test_the_command_in_a_process_of_its_own():
    command = [sys.executable, "-m", "minitorch.tools.doctor", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert json.loads(result.stdout)["python"]["executable"]


@pytest.mark.parametrize("part", ["cpu", "numpy_and_blas", "cuda", "packages", "environment", "python"])
def test_what_fails_becomes_a_line(part, monkeypatch, capsys):
    def fail(*arguments):
        raise OSError("the disk is gone\nand more")

    monkeypatch.setattr(doctor, part, fail)
    assert doctor.main([]) == 0
    out = capsys.readouterr().out
    assert "could not be examined: OSError: the disk is gone" in out
    assert "and more" not in out
    monkeypatch.setattr(doctor, "trouble", fail)
    assert doctor.main([]) == 0
    assert "the doctor itself failed: OSError" in capsys.readouterr().out


def test_a_broken_engine_is_the_exit_status(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "engine", lambda: {"works": False})
    assert doctor.main([]) == 1
    monkeypatch.setattr(doctor, "engine", lambda: 1 / 0)
    assert doctor.main([]) == 1
    assert "engine: could not be examined: ZeroDivisionError" in capsys.readouterr().out


def a_cupy(**runtime):
    def fail(*arguments):
        raise RuntimeError("nvrtc: cannot open source file")

    calls = {"runtimeGetVersion": lambda: 13020, "getDeviceCount": lambda: 1, **runtime}
    return SimpleNamespace(
        __version__="14.2.0", cuda=SimpleNamespace(runtime=SimpleNamespace(**calls)), ElementwiseKernel=fail, arange=range
    )


def test_cupy_is_asked_step_by_step(monkeypatch):
    monkeypatch.setattr(doctor, "driver", lambda: "13.2")
    monkeypatch.setitem(sys.modules, "cupy", a_cupy())
    report = doctor.cuda()
    assert report["runtime"] == "13.2"
    assert report["kernel error"] == "RuntimeError: nvrtc: cannot open source file"

    def no_driver():
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    monkeypatch.setitem(sys.modules, "cupy", a_cupy(getDeviceCount=no_driver))
    assert doctor.cuda()["device error"].startswith("RuntimeError: cudaErrorInsufficientDriver")
    monkeypatch.setitem(sys.modules, "cupy", None)  # what makes an import fail
    assert doctor.cuda()["cupy"] is None


def test_gpus_come_from_nvidia_smi(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'A GPU, 580.1, 81559 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.gpus() == (["A GPU, 580.1, 81559 MiB"] if sys.platform != "win32" else [])
    monkeypatch.setenv("PATH", "")
    assert doctor.gpus() == []
