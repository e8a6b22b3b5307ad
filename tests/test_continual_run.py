"""`minitorch continual`: stopped at any moment and resumed, bit for bit; mistakes; the default tasks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers", reason="reading a checkpoint needs tokenizers")

import minitorch
from benchmarks import continual as benchmark
from models import cli
from models.continual import documentation, run
from models.continual.settings import STRATEGIES
from models.finetuning.predictor import Predictor
from models.reading import named_tensors

from . import emulated_cupy
from .continual_cases import arguments, command, make_files
from .finetune_cases import checkpoint, write_classify
from .processes import heed_ctrl_c

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("files"))


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def results(folder):
    """Of every run, all that does not depend on the clock."""
    clock = ("seconds", "cpu_seconds")
    return {key: {k: v for k, v in r.items() if k not in clock} for key, r in report_of(folder)["runs"].items()}


# ---------------------------------------------------------------------------------------------- stopped and resumed


@pytest.mark.parametrize("setting", ["class", pytest.param("task", marks=pytest.mark.slow)])
def test_runs_that_are_stopped_again_and_again_end_bit_equal(setting, files, tmp_path, monkeypatch, capsys):
    """Weights, Fisher information, memory, old answers and scores: each third write of a state does not happen any more."""
    ends, go = {}, run.Run.go

    def watched(self, label):
        record = go(self, label)
        tensors = {**self.model.state_dict(), **dict(named_tensors(self.strategy.kept))}
        ends[self.key] = {name: value.numpy().tobytes() for name, value in tensors.items()}
        ends[self.key]["memory"] = json.dumps(self.strategy.kept.get("memory"))
        return record

    monkeypatch.setattr(run.Run, "go", watched)
    often = ["--save-every", 2, "--dropout", 0.1, "--strategy", "ewc", "online-ewc", "replay", "lwf", "adapters"]
    often += ["--adapt", "adalora", "--epochs", 3] if setting == "task" else []
    assert command(*arguments(files, tmp_path / "whole", *often, setting=setting)) == 0
    whole, writes, save = dict(ends), 0, minitorch.save
    ends.clear()

    def failing(*what):
        nonlocal writes
        writes += 1
        if writes % 4 == 0:
            raise KeyboardInterrupt
        save(*what)

    monkeypatch.setattr(minitorch, "save", failing)
    status = command(*arguments(files, tmp_path / "parts", *often, setting=setting))
    stops = 0
    while status == 130:
        stops += 1
        status = command("continual", "--resume", "--output", tmp_path / "parts")
    assert status == 0
    assert stops > 5
    assert ends == whole
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


def test_more_seeds_and_strategies_can_be_added(files, tmp_path, capsys):
    few = ("--strategy", "sequential,joint", "--orders", 2)
    assert command(*arguments(files, tmp_path / "run", *few)) == 0
    first = results(tmp_path / "run")
    assert list(first) == [
        f"{name}, seed 0, order {order}" for name, order in (("sequential", "1 2"), ("joint", "1 2"), ("sequential", "2 1"))
    ]
    assert command("continual", "--resume", "--output", tmp_path / "run", "--seeds", 2, "--strategy", "sequential", "replay") == 0
    found = results(tmp_path / "run")
    assert len(found) == 3 + 2 + 2 * 2
    assert {key: found[key] for key in first} == first
    assert report_of(tmp_path / "run")["strategies"]["sequential"]["runs"] == 4


@pytest.mark.parametrize("setting", ["domain", "class", "task"])
def test_models_are_kept_for_predict(setting, files, tmp_path, capsys):
    """They answer the test files as well as the report says; in --setting task each of the models its own."""
    strategies = ["--strategy", "sequential", "joint", "adapters", "--save", "all"]
    more = [*strategies, "--epochs", 3, "--test", files["same0"], files["same1"]]
    more = more if setting == "domain" else [*more[:-3], "--test", files["other0"], files["other1"]]
    assert command(*arguments(files, tmp_path / "run", *more, setting=setting)) == 0
    assert f"{tmp_path / 'run' / 'joint'}" in capsys.readouterr().out
    tests = [files[f"{'same' if setting == 'domain' else 'other'}{k}"] for k in range(2)]
    for name in ("sequential", "joint"):
        scores = results(tmp_path / "run")[f"{name}, seed 0, order 1 2"]["R"][-1]
        for k, (test, score) in enumerate(zip(tests, scores, strict=True), 1):
            predictor = Predictor(tmp_path / "run" / (f"{name}-task-{k}" if setting == "task" else name))
            rows = [line.split("\t")[1] for line in Path(test).read_text().splitlines()[1:]]
            right = [record["prediction"] == label for record, label in zip(predictor.file(test), rows, strict=True)]
            assert np.mean(right) == pytest.approx(score)
    assert not list((tmp_path / "run").glob("adapters*"))


def test_a_kept_model_is_of_the_run_that_stands_there(files, tmp_path, capsys):
    run = tmp_path / "run"
    assert command(*arguments(files, run, "--strategy", "sequential")) == 0
    capsys.readouterr()
    assert command("continual", "--resume", "--output", run, "--save", "sequential") == 2
    assert "--save sequential: its first run is finished, and its weights are gone" in capsys.readouterr().err
    assert command("continual", "--resume", "--output", run, "--strategy", "replay", "sequential", "--save", "replay") == 0
    assert (run / "replay" / "finetune.json").is_file()
    assert command("continual", "--resume", "--output", run, "--save", "replay") == 0  # it is there
    assert command(*arguments(files, run, "--strategy", "lwf", "--save", "lwf", "--overwrite")) == 0
    assert Predictor(run / "lwf")(["a good film"])[0]["prediction"] in ("neg", "pos")
    assert not (run / "replay").exists()


@pytest.mark.slow
@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_killed_goes_on(with_signal, files, tmp_path):
    """Killed after about each second of work, until it is done."""
    words = list(map(str, arguments(files, tmp_path / "parts", "--save-every", 1, "--epochs", 3)))
    whole = [*words[: words.index("--output") + 1], str(tmp_path / "whole"), *words[words.index("--output") + 2 :]]
    assert subprocess.run([sys.executable, "-m", "models.cli", *whole], cwd=ROOT, capture_output=True).returncode == 0
    state, again = tmp_path / "parts" / "training.safetensors", ["continual", "--resume", "--output", str(tmp_path / "parts")]
    status, stops = 1, 0
    while status != 0:
        process = subprocess.Popen(
            [sys.executable, "-m", "models.cli", *(again if state.exists() else words)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=heed_ctrl_c,
        )  # fmt: skip
        before = state.stat().st_mtime_ns if state.exists() else 0
        while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
            time.sleep(0.02)
        time.sleep(0.3)
        if process.poll() is None and stops < 4:
            os.kill(process.pid, with_signal)
            stops += 1
        output = process.communicate()[0].decode()
        status = process.returncode
        assert "Error" not in output, output  # a KeyboardInterrupt while Python itself ends is nobody's fault
    assert stops > 1
    assert results(tmp_path / "parts") == results(tmp_path / "whole")


@pytest.mark.slow
def test_the_benchmark_learns_domains_and_topics_and_goes_on(files, tmp_path):
    for domain in "abcde":
        (tmp_path / domain).mkdir()
        for kind, n in (("train", 24), ("dev", 8)):
            write_classify(tmp_path / domain / f"{kind}.tsv", n, ord(domain) + n)
    words = ["--model", files["model"], "--data", str(tmp_path), "--output", str(tmp_path / "out")]
    words += ["--strategy", "sequential", "--epochs", "1", "--threads", "1"]
    assert benchmark.main(words) == benchmark.main(words) == 0
    assert report_of(tmp_path / "out" / "domain")["names"] == list("abcde")
    assert report_of(tmp_path / "out" / "class")["names"] == ["a-b", "c-d"]  # e is left out


# ---------------------------------------------------------------------------------------------------------- mistakes


def refusal(capsys, *words):
    """The error of a command, which is one line."""
    assert command(*words) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    return text.removeprefix("minitorch continual: error: ").rstrip("\n")


MISTAKES = [
    (["--tasks", "same0"], "to learn one task after another there must be two or more"),
    (["--tasks", "same0", "same1", "same0"], "--tasks: same0.tsv is given twice; a task is learnt once"),
    (["--tasks", "same0", "copy"], "--tasks: copy.tsv has the same content as same0.tsv"),
    (["--tasks", "same0", "empty"], "empty.tsv:1: the file is empty"),
    (["--tasks", "same0", "header"], "header.tsv: the file has a header and no rows"),
    (["--tasks", "same0", "missing"], "missing.tsv: no such file"),
    (["--tasks", "same0", "nul"], "nul.tsv"),
    (["--tasks", "same0", "other1"], "in --setting domain the tasks share their labels, but other1.tsv has no 'neg'"),
    (["--tasks", "same0", "same1", "--setting", "class"], "each task brings new classes, but same0.tsv has 'neg' too"),
    (["--tasks", "numbers", "numbers2"], "minitorch continual learns one class per example, these are numbers"),
    (["--tasks", "other0", "one", "--setting", "task"], "one.tsv: all examples have the label 'pos'"),
    (["--test", "same0"], "--test: 1 file for 2 tasks; give one for each"),
    (["--test", "same1", "other0"], "other0.tsv:2: the label"),
    (["--strategy", "ecw"], "--strategy ecw: there is no such strategy; did you mean ewc? There are sequential"),
    (["--strategy", "ewc", "--save", "lwf"], "--save lwf: --strategy does not run it; it runs ewc"),
    (["--save", "adapters"], "--save adapters: an adapter per task is no model that answers alone"),
    (["--save", "jont"], "--save jont: there is no such strategy; did you mean joint?"),
    (["--setting", "time"], "--setting must be one of domain, task, class, not 'time'"),
    (["--fisher", "full"], "--fisher must be one of sampled, exact, empirical, batched, not 'full'"),
    (["--orders", "3"], "--orders 3: 2 tasks have only 2 orders"),
    (["--seeds", "100000000"], "--seeds must be from 1 to 1000"),
    (["--memory", "0"], "--memory must be at least 1, not 0"),
    (["--ewc-lambda", "nan"], "--ewc-lambda must be from 0 to 1e+15, not nan"),
    (["--temperature", "0"], "--temperature must be from 0.001 to 1000, not 0.0"),
    (["--adapt", "lore"], "--adapt lore: there is no such method; did you mean lora?"),
    (["--model", "nowhere"], "nowhere"),
    (["--resume"], "nothing to resume"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "wanted"), MISTAKES, ids=lambda case: " ".join(case) if isinstance(case, list) else "")
def test_a_mistake_is_one_line_and_leaves_nothing(words, wanted, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("same0", "same1", "other0", "other1"):
        Path(f"{name}.tsv").write_text(Path(files[name]).read_text())
    rows = Path("same0.tsv").read_text().splitlines()
    made = {"copy": "\n".join(rows) + "\n", "empty": "", "header": rows[0], "nul": "text\tlabel\n\0\0\0"}
    made |= {name: "text\tlabel\n" + "".join(f"{name} {i}\t{i / 7:.2f}\n" for i in range(20)) for name in ("numbers", "numbers2")}
    made |= {"one": "\n".join([rows[0], *(row.replace("neg", "pos") for row in rows[1:])])}
    for name, text in made.items():
        Path(f"{name}.tsv").write_text(text)
    words = [f"{word}.tsv" if Path(f"{word}.tsv").exists() or word == "missing" else word for word in words]
    plain = ["continual", "--model", files["model"], "--output", "out", "--tasks", "same0.tsv", "same1.tsv"]
    assert wanted in refusal(capsys, *plain, *words)
    assert not Path("out").exists()


def test_a_finished_run_is_not_overwritten_and_keeps_its_settings(files, tmp_path, capsys):
    words = arguments(files, tmp_path / "run", "--strategy", "sequential")
    assert command(*words) == 0
    before = (tmp_path / "run" / "report.json").read_bytes()
    capsys.readouterr()
    assert "holds a run already: use --resume, --overwrite or another --output" in refusal(capsys, *words)
    again = ("continual", "--resume", "--output", tmp_path / "run")
    assert "that run has --memory 7; --resume keeps it: leave out --memory 9" in refusal(capsys, *again, "--memory", 9)
    assert (tmp_path / "run" / "report.json").read_bytes() == before
    assert cli.main(["finetune", "--resume", "--output", str(tmp_path / "run")]) == 2
    assert "continue it with minitorch continual --resume" in capsys.readouterr().err


def test_a_damaged_state_is_one_line(files, tmp_path, capsys, monkeypatch):
    def stopping(*what):
        save(*what)
        if "kept" in what[0] and what[0]["R"]:
            raise KeyboardInterrupt

    save = minitorch.save
    monkeypatch.setattr(minitorch, "save", stopping)
    assert command(*arguments(files, tmp_path / "run", "--strategy", "ewc", "replay")) == 130
    monkeypatch.setattr(minitorch, "save", save)
    state = tmp_path / "run" / "training.safetensors"
    good = minitorch.load(state)
    term = good["kept"]["terms"][0]
    bad = [{"R": [[0.5]]}, {"kept": 3}, {"kept": {"terms": [{"F": {}, "θ": {}}]}}, {"kept": {"terms": [{**term, "F": 1}]}}]
    bad += [{"b": None}, {"peak": "many"}, {"sha256": "other"}, {"settings": {}}, {"R": [good["b"]] * 9}]
    for change in bad:
        minitorch.save({**good, **change}, state)
        capsys.readouterr()
        assert refusal(capsys, "continual", "--resume", "--output", tmp_path / "run")
    minitorch.save({"run": ""}, state)
    assert refusal(capsys, "continual", "--resume", "--output", tmp_path / "run")
    minitorch.save(good, state)
    whole = state.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:100], b"", b"\0" * 50):
        state.write_bytes(part)
        assert refusal(capsys, "continual", "--resume", "--output", tmp_path / "run")
    state.write_bytes(whole)
    for text in ("{", "{}", '{"runs": 3}', '{"runs": {"a": {}}}'):
        (tmp_path / "run" / "report.json").write_text(text)
        assert refusal(capsys, "continual", "--resume", "--output", tmp_path / "run")
    (tmp_path / "run" / "report.json").unlink()
    assert command("continual", "--resume", "--output", tmp_path / "run") == 0


# ------------------------------------------------------------------------------------------------------- no files


def test_the_default_tasks_are_libraries(files, tmp_path, monkeypatch, capsys):
    words = ("alpha", "beta", "gamma", "delta")
    lines = [(f"{lib}/{k % 40}.py", f"the very end of {lib} {k} .\t{lib}\n") for lib in words for k in range(300)]
    monkeypatch.setattr(documentation, "which_library", lambda: iter(lines))
    some = ("--epochs", 1, "--threads", 1, "--examples", 30, "--strategy", "sequential", "--output", tmp_path / "run")
    assert command("continual", "--model", files["model"], *some) == 0
    report = report_of(tmp_path / "run")
    assert report["settings"]["setting"] == "class"
    assert report["names"] == ["alpha-beta", "gamma-delta"]
    train, test = (Path(report["settings"][kind][0]).read_text().splitlines()[1:] for kind in ("tasks", "test"))
    assert not {re.search(r" (\d+) ", line)[1] for line in train} & {re.search(r" (\d+) ", line)[1] for line in test}
    assert command("continual", "--resume", "--output", tmp_path / "run") == 0
    capsys.readouterr()
    other = ("--model", files["model"], "--setting", "domain", "--output", tmp_path / "other")
    assert "--setting domain needs --tasks" in refusal(capsys, "continual", *other)


def test_what_the_room_offers_is_what_the_help_lists(capsys):
    with pytest.raises(SystemExit):
        command("continual", "--help")
    text = capsys.readouterr().out
    assert all(name in text for name in STRATEGIES)
    assert set(STRATEGIES) == set(run.KINDS)
    assert np.all([f"--{name}" in text for name in ("tasks", "test", "setting", "orders", "seeds", "memory", "gamma")])
    assert not any(f"--{name} " in text for name in ("train", "dev", "fuse", "adversarial", "n-best", "eval-every", "wire"))


@pytest.mark.slow
def test_a_gpu_learns_what_the_cpu_learns(files, tmp_path):
    """On a GPU or its emulation, the same scores, and as much is kept."""
    model = {"model": str(checkpoint(tmp_path / "base", hidden_size=64))}  # heads of 32, which the tiles' kernels know
    with emulated_cupy.card():
        for device in ("cpu", "cuda"):
            assert command(*arguments({**files, **model}, tmp_path / device, "--device", device, setting="class")) == 0
    assert results(tmp_path / "cuda") == results(tmp_path / "cpu")
