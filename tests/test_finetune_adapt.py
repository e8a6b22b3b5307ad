"""`minitorch finetune --adapt`: every method on a task, its folder, prediction, resuming bit for bit, merging, and mistakes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from minitorch import optim

pytest.importorskip("tokenizers", reason="reading a checkpoint needs tokenizers")

from models import cli
from models.adapting import PeftModel
from models.adapting.choosing import METHODS
from models.finetuning.predictor import Predictor
from models.finetuning.run import Run
from models.finetuning.tasks import Settings

from .finetune_cases import WRITERS, checkpoint, stop_at, write_classify, write_relation

NO_CHANGE_OF_A_WEIGHT = ("houlsby", "pfeiffer", "prompt", "ptuning", "prefix", "ptuning2")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(checkpoint(tmp_path_factory.mktemp("base")))


def train(base, folder, task="classify", **changes):
    folder.mkdir(exist_ok=True)
    maker = {**WRITERS, "relation": write_relation}[task]
    files = {name: maker(folder / f"{name}.data", n, seed) for name, n, seed in (("train", 24, 0), ("dev", 8, 1))}
    usual = {"epochs": 2, "batch_size": 8, "threads": 1, "compare": "none", "output": str(folder / "run"), "model": base}
    run = Run(Settings(task=task, **{**usual, **files, **changes}), say=lambda text: None)
    run.train()
    return run


def answers(run):
    predictions, _, _ = run.trainer.report_on(run.data.dev)
    return [run.task.shown(e, p) for e, p in zip(run.data.dev, predictions, strict=True)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_saves_and_answers(method, base, tmp_path):
    """The checkpoint stays as it is; predict gives the answers that the run gave; the folder holds no copy of the base."""
    run = train(base, tmp_path, adapt=method)
    learning = {name for name, p in run.model.named_parameters() if p.requires_grad}
    assert run.s.lr != 5e-5
    assert not learning - {n for n in learning if ".adapters." in n or n.endswith(".bias")}
    found = Predictor(tmp_path / "run").file(str(tmp_path / "dev.data"))
    for one, other in zip(answers(run), found, strict=True):
        assert one["prediction"] == other["prediction"]
        np.testing.assert_allclose(list(one["probabilities"].values()), list(other["probabilities"].values()), atol=1e-6)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    written = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == base
    status = cli.main(["adapt", "merge", str(tmp_path / "run"), str(tmp_path / "merged")])
    assert status == (2 if method in NO_CHANGE_OF_A_WEIGHT else 0)
    if status == 0:
        for one, other in zip(found, Predictor(tmp_path / "merged").file(str(tmp_path / "dev.data")), strict=True):
            np.testing.assert_allclose(list(one["probabilities"].values()), list(other["probabilities"].values()), atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "adalora", "bitfit", "prompt", "prefix"])
def test_a_resumed_run_is_bit_equal(method, base, tmp_path):
    whole = train(base, tmp_path / "a", adapt=method, eval_every=2)
    folder = tmp_path / "b"
    folder.mkdir()
    files = {"train": write_classify(folder / "train.data", 24, 0), "dev": write_classify(folder / "dev.data", 8, 1)}
    usual = {"epochs": 2, "batch_size": 8, "threads": 1, "compare": "none", "output": str(folder / "run"), "model": base}

    def begin():
        return Run(Settings(task="classify", adapt=method, eval_every=2, save_every=1, **usual, **files), say=lambda text: None)

    stop_at(begin(), 3)
    second = begin()
    second.load_state()
    assert second.trainer.step == 3 < second.trainer.steps
    second.train()
    for name, p in whole.model.trained().items():
        np.testing.assert_array_equal(p.numpy(), second.model.trained()[name].numpy(), err_msg=name)


@pytest.mark.parametrize("task", ["tag", "qa", "choice", "relation"])
@pytest.mark.parametrize("method", ["lora", "pfeiffer", "prompt", "ptuning2", "bitfit"])
def test_other_tasks(task, method, base, tmp_path):
    run = train(base, tmp_path, task, adapt=method)
    found = Predictor(tmp_path / "run").file(str(tmp_path / "dev.data"))
    key = "tags" if task == "tag" else "prediction"
    assert [r[key] for r in found] == [r[key] for r in answers(run)]


def test_the_words_of_a_task_are_trained_and_come_along(base, tmp_path):
    """The markers of relations are no words of the checkpoint: the adapter's folder brings their embeddings."""
    run = train(base, tmp_path, "relation", adapt="lora", lr=0.01)
    rows = run.model.own["default"]["bert.embeddings.word_embeddings.token_adapter.trainable_tokens_delta"]
    words = Predictor(tmp_path / "run").trainer.model.own["default"]
    np.testing.assert_array_equal(next(p for name, p in words.items() if "tokens_delta" in name).tolist(), rows.tolist())
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert len(config["trainable_token_indices"]) == len(rows) == 4
    assert cli.main(["adapt", "merge", str(tmp_path / "run"), str(tmp_path / "merged")]) == 0
    found, merged = (Predictor(tmp_path / name).file(str(tmp_path / "dev.data")) for name in ("run", "merged"))
    for one, other in zip(found, merged, strict=True):
        np.testing.assert_allclose(list(one["probabilities"].values()), list(other["probabilities"].values()), atol=1e-5)


def test_a_bottleneck_is_exported_to_adapterhub(base, tmp_path, capsys):
    run = train(base, tmp_path, adapt="houlsby")
    assert cli.main(["adapt", "export", str(tmp_path / "run"), str(tmp_path / "hub")]) == 0
    names = {"adapter.safetensors", "adapter_config.json", "head_config.json", "model_head.safetensors"}
    assert {path.name for path in (tmp_path / "hub").iterdir()} == names
    again = PeftModel.from_pretrained(run.model.unload(), tmp_path / "hub")
    assert again.peft_config["default"].style == "houlsby"
    train(base, tmp_path, adapt="lora", output=str(tmp_path / "lora"))
    assert cli.main(["adapt", "export", str(tmp_path / "lora"), str(tmp_path / "no")]) == 2
    assert "is for houlsby and pfeiffer, not LORA" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{}, {"eval_every": 1, "patience": 1}, {"rank": 3, "epochs": 4, "batch_size": 5}])
def test_adaloras_folder_has_the_ranks_that_were_asked_for(options, base, tmp_path):
    """Whichever evaluation was best: one before the budget's end does not count."""
    run = train(base, tmp_path, adapt="adalora", **options)
    kept = json.loads((tmp_path / "run" / "adapter_config.json").read_text())["rank_pattern"]
    assert sum(map(sum, kept.values())) == run.s.rank * len(kept)


def test_numbers_come_back_in_the_units_of_the_file(base, tmp_path):
    rows = "\n".join(f"{'good' if i % 2 else 'bad'} film\t{100 + 10 * (i % 2)}" for i in range(24))
    (tmp_path / "n.tsv").write_text(f"text\tlabel\n{rows}\n")
    run = Run(
        Settings(task="classify", train=str(tmp_path / "n.tsv"), output=str(tmp_path / "run"), model=base, adapt="lora",
                 targets="numbers", epochs=1, compare="none", threads=1), say=lambda text: None,
    )  # fmt: skip
    run.train()
    found = Predictor(tmp_path / "run")(["good film"])[0]["prediction"]
    assert 50 < found < 160


def test_vectors_do_not_decay(base, tmp_path):
    run = train(base, tmp_path, adapt="ia3", weight_decay=0.5)
    groups = {id(p): group["weight_decay"] for group in run.trainer.optimizer.param_groups for p in group["params"]}
    named = dict(run.trainer.model.named_parameters())
    assert isinstance(run.trainer.optimizer, optim.AdamW)
    assert [groups[id(p)] for n, p in named.items() if n.endswith("ia3_l") and id(p) in groups] == [0.0] * len(
        [n for n, p in named.items() if n.endswith("ia3_l") and id(p) in groups]
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--adapt", "lore"], "there is no such method; did you mean lora? There are lora"),
        (["--adapt", "ia3", "--rank", "4"], "--rank is for lora, rslora, dora, adalora"),
        (["--rank", "4"], "--rank is a setting of --adapt METHOD"),
        (["--adapt", "lora", "--freeze", "1"], "leave out --freeze"),
        (["--adapt", "lora", "--rank", "99"], "a rank of 99 is larger than its own"),
        (["--adapt", "lora", "--adapt-layers", "q_proj"], "no layer is called q_proj; there are"),
        (["--adapt", "prompt", "--virtual-tokens", "0"], "at least 1"),
        (["--adapt", "prompt", "--virtual-tokens", "99"], "reads at most 64 pieces, and --virtual-tokens takes 99 of them"),
    ],
)
def test_mistakes_are_one_line(options, says, base, tmp_path, capsys):
    file = write_classify(tmp_path / "t.tsv", 20)
    output = str(tmp_path / "run")
    assert cli.main(["finetune", "classify", "--model", base, "--train", file, "--output", output, *options]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_an_adapter_without_its_checkpoint_says_which(base, tmp_path, capsys):
    """And takes it from another place, but not another one."""
    moved = checkpoint(tmp_path / "first")
    train(str(moved), tmp_path, adapt="lora")
    moved.rename(tmp_path / "second")
    predict = ["predict", "--model", str(tmp_path / "run"), "a film"]
    assert cli.main(predict) == 2
    assert f"is an adapter for the checkpoint {moved}, which is not there" in capsys.readouterr().err
    assert cli.main([*predict, "--base", str(tmp_path / "second")]) == 0
    other = checkpoint(tmp_path / "third", hidden_size=16, num_hidden_layers=2, intermediate_size=24, initializer_range=0.3)
    assert cli.main([*predict, "--base", str(other)]) == 2
    assert "was trained on another checkpoint" in capsys.readouterr().err


@pytest.mark.slow
def test_all_ways_are_compared_in_one_table_and_picture(base, tmp_path, capsys):
    """Each way has a run that predict can use; a second call with --resume trains nothing again."""
    file, dev = write_classify(tmp_path / "t.tsv", 40), write_classify(tmp_path / "d.tsv", 10, 1)
    command = ["finetune", "classify", "--model", base, "--train", file, "--dev", dev, "--epochs", "1", "--adapt", "all"]
    command += ["--output", str(tmp_path / "out")]
    assert cli.main(command) == 0
    rows = json.loads((tmp_path / "out" / "ways.json").read_text())["ways"]
    assert [row["name"] for row in rows] == ["full", "frozen", *METHODS]
    by_name = {row["name"]: row for row in rows}
    assert by_name["head"]["trained"] < by_name["lora"]["trained"] < by_name["frozen"]["trained"] < by_name["full"]["trained"]
    assert (tmp_path / "out" / "ways.png").read_bytes().startswith(b"\x89PNG")
    assert "TF-IDF" in (tmp_path / "out" / "ways.txt").read_text()
    capsys.readouterr()
    assert cli.main([*command, "--resume"]) == 0
    assert capsys.readouterr().out.count("finished before") == len(rows)
    assert cli.main(["predict", "--model", str(tmp_path / "out" / "pfeiffer"), "a good film"]) == 0
    assert cli.main(command) == 2  # the runs are there
    assert cli.main([*command, "--resume", "--seed", "1"]) == 2
    assert "that comparison has another --seed (none)" in capsys.readouterr().err
    write_classify(tmp_path / "t.tsv", 30)
    assert cli.main([*command, "--resume"]) == 2
    assert "that comparison has other files" in capsys.readouterr().err


@pytest.mark.slow
def test_the_benchmark_of_all_ways_goes_on_where_it_was(base, tmp_path):
    """Two seeds of three ways: the search with the first, means and costs in one table; nothing is trained twice."""
    files = {name: write_classify(tmp_path / f"{name}.tsv", n, seed) for name, n, seed in (("train", 40, 0), ("test", 10, 1))}
    command = [sys.executable, "-m", "benchmarks.adapting", "classify", "--model", base, "--train", files["train"]]
    command += ["--test", files["test"], "--epochs", "1", "--compare", "classical", "--output", str(tmp_path / "out")]

    def run(*more):
        return subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout

    assert run("--ways", "full,lora", "--seeds", "1").count("on held-out examples") == 2 * 3
    assert run("--ways", "full,lora,head", "--seeds", "2").count("on held-out examples") == 3 + 3 * 1
    rows = json.loads((tmp_path / "out" / "adapting.json").read_text())
    assert [row["name"] for row in rows["ways"]] == ["full", "lora", "head"]
    for row in rows["ways"]:
        assert len(row["scores"]) == 2
        assert row["search"][str(row["lr"])] == max(row["search"].values())
        assert row["peak_mib"] > row["imports_mib"] > 0
    assert rows["ways"][0]["ratio"] == 1
    assert rows["command"].startswith("python -m benchmarks.adapting classify --model MODEL --output OUTPUT --train ")
    assert "TF-IDF" in (tmp_path / "out" / "adapting.txt").read_text()
    assert (tmp_path / "out" / "adapting.png").exists()


def test_comparing_all_ways_needs_one_task_with_files(base, capsys):
    assert cli.main(["finetune", "--model", base, "--adapt", "all"]) == 2
    assert "compares on one task with files" in capsys.readouterr().err
