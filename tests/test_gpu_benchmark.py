"""benchmarks/gpu.py without a GPU: its checks, table, picture and exits, on the stand-in (whose times mean nothing)."""

from __future__ import annotations

import argparse
import dataclasses
import json

import pytest

import minitorch
import minitorch.kernels.cuda
from benchmarks import bert_job, gpu
from benchmarks.gpu_cases import CASES
from models.bert import config

from . import emulated_cuda, fake_cupy

needs_compiler = pytest.mark.skipif(emulated_cuda.compiler() is None, reason="emulating a GPU needs g++")


@pytest.fixture
def stand_in(monkeypatch):
    """The stand-in; a measurement is two calls."""
    monkeypatch.setattr(gpu, "seconds", lambda run, **named: (run(), 1e-3)[1])
    with fake_cupy.installed():
        yield


def test_without_a_gpu_there_is_one_line_and_status_2(capsys):
    if minitorch.cuda_is_available():
        pytest.skip("there is a GPU")
    assert gpu.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no GPU" in err


@pytest.mark.parametrize("arguments", [["--precision", "int8"], ["--sizes", "huge"], ["--only", "nothing"]])
def test_wrong_options_are_refused(arguments):
    with pytest.raises(SystemExit) as stopped:
        gpu.main(arguments)
    assert stopped.value.code == 2


def test_a_measurement_is_the_median_of_rounds_long_enough_to_be_one():
    """On a clock that goes on by a millisecond between start and end, whatever is between."""
    with fake_cupy.installed():
        calls = []
        taken = gpu.seconds(lambda: calls.append(1), rounds=3, least=0.0005)
        assert taken == 1e-3
        assert len(calls) == 4


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_kernel_is_checked_and_has_a_row(stand_in, capsys, tmp_path, precision):
    """In float32 and in half precision; then the files."""
    pytest.importorskip("ml_dtypes")
    pytest.importorskip("matplotlib")
    files = [str(tmp_path / name) for name in ("figures.json", "picture.png")]
    arguments = ["--small", "--only", "kernels", "--precision", precision, "--json", files[0], "--picture", files[1]]
    assert gpu.main(arguments) == 0, capsys.readouterr().out
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["gpu"] == "a stand-in"
    assert list(report["kernels"]["rows"]) == [case.name for case in CASES]
    assert all(row["seconds"] == 1e-3 and row["bytes"] > 0 for row in report["kernels"]["rows"].values())
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert len(capsys.readouterr().out.splitlines()) == 3 + len(CASES)


@needs_compiler
def test_a_wrong_kernel_gets_no_time_and_fails_the_run(stand_in, capsys, monkeypatch):
    """Here softmax, which forgets to divide."""
    monkeypatch.setattr(minitorch.kernels.cuda, "softmax", lambda x, axis, empty=False: x * 2)
    assert gpu.main(["--small", "--only", "kernels"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "softmax " in line]
    assert len(lines) == 2  # against PyTorch's stored outputs, and the definition
    assert all("WRONG" in line and "µs" not in line for line in lines)


def options(**changes):
    """What the command line gives."""
    usual = {
        "precision": "float32",
        "only": "steps",
        "sizes": ["mini"],
        "rounds": 1,
        "small": True,
        "json": None,
        "picture": None,
    }
    return argparse.Namespace(**{**usual, **changes})


@needs_compiler
def test_steps_of_all_contestants_start_from_the_same_loss(stand_in, capsys, monkeypatch, tmp_path):
    """Ours on the stand-in, eager and as a graph; PyTorch on the CPU, if it is installed."""
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")

    def ask(name, job, rounds):
        if name == "PyTorch, compiled":
            return {"error": "RuntimeError: no compiler"}
        monkeypatch.setattr("benchmarks.bert_pytorch.Program.gpu_memory", lambda self: 1)
        return gpu.work(name, dataclasses.replace(job, device="cpu" if name == "PyTorch" else "cuda"), rounds)

    monkeypatch.setattr(gpu, "ask", ask)
    for sizes in (bert_job.SIZES, config.PRESETS):
        monkeypatch.setitem(sizes, "tiny", (1, 64))
    assert gpu.run(options(json=str(tmp_path / "f.json"), picture=str(tmp_path / "p.png"))) == 0, capsys.readouterr().out
    (result,) = json.loads((tmp_path / "f.json").read_text())["steps"]
    assert list(result["rows"]) == ["minitorch", "minitorch, graph", "PyTorch"]
    assert result["rows"]["PyTorch"]["of_pytorch"] == 1
    assert "did not run: RuntimeError: no compiler" in capsys.readouterr().out


def test_contestants_that_disagree_get_no_times(stand_in, capsys, monkeypatch):
    """And the run fails; so it does if ours does not run."""
    losses = iter((3.0, 3.0, 3.5, 3.0))
    monkeypatch.setattr(gpu, "ask", lambda *_: {"loss": next(losses), "seconds": [1.0], "peak_bytes": 1})
    assert gpu.run(options()) == 1
    assert "WRONG: the contestants disagree" in capsys.readouterr().out
    monkeypatch.setattr(gpu, "ask", lambda *_: {"error": "MemoryError"})
    assert gpu.run(options()) == 1


def test_what_a_contestant_could_not_do_is_its_last_line():
    """From a process of its own."""
    job = gpu.Job(size="no such size")
    assert "no such size" in gpu.ask("minitorch", job, 1)["error"]
