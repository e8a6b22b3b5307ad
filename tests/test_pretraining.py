"""minitorch pretrain: that it learns, that a run which stops goes on bit-equal, and that mistakes are one line."""

import argparse
import errno
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minitorch
from minitorch import serialization
from minitorch.parallel import Workers
from models import bert, cli, pretrain_command
from models.bert import pretraining
from models.bert.pretraining import Run, Settings, decay_groups
from models.errors import BadInput
from models.text import prepared, python_docs
from models.text.corpus import Corpus
from models.text.tokenizer import SPECIAL
from models.training.runs import STATE, alone_in

ROOT = Path(__file__).parents[1]
SMALL = {
    "--vocab-size": 50, "--layers": 1, "--hidden": 32, "--length": 18, "--batch-size": 16, "--steps": 30, "--warmup": 5,
    "--lr": 0.01, "--eval-every": 10, "--save-every": 10, "--threads": 1,
}  # fmt: skip


@pytest.fixture
def corpus(tmp_path):
    """Sentences whose words agree: one word tells the others, but none is more frequent than another."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(60):
        lines += [" ".join(f"{role}{kind}" for role in ("a", "b", "c", "d", "e")) for kind in rng.choice(list("pqrstu"), 12)]
        lines.append("")
    (tmp_path / "corpus.txt").write_text("\n".join(lines))
    return tmp_path / "corpus.txt"


def arguments(corpus, output, **changes):
    options = {"--corpus": corpus, "--output": output, **SMALL}
    options.update({f"--{name.replace('_', '-')}": value for name, value in changes.items()})
    flat = [(name,) if value is True else (name, str(value)) for name, value in options.items() if value is not None]
    return ["pretrain", *itertools.chain.from_iterable(flat)]


def pretrain(corpus, output, **changes):
    return cli.main(arguments(corpus, output, **changes))


def resume(output):
    return cli.main(["pretrain", "--resume", "--output", str(output)])


def settings(corpus, output, **changes):
    options = {name.removeprefix("--").replace("-", "_"): value for name, value in SMALL.items()}
    return Settings(**{**options, "corpus": [str(corpus)], "output": str(output), **changes})


def metrics(output):
    """The lines of metrics.jsonl, without the one number that depends on the machine's mood."""
    lines = [json.loads(line) for line in (Path(output) / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "tokens_per_second"} for line in lines]


def weights(folder):
    return {name: value.array.copy() for name, value in minitorch.load(folder / "model.safetensors").items()}


def same_weights(a, b):
    """Bit by bit; of folders, or of what weights() read before."""
    a, b = (weights(x) if isinstance(x, Path) else x for x in (a, b))
    assert a.keys() == b.keys()
    assert [name for name in a if a[name].tobytes() != b[name].tobytes()] == []


def same_runs(a, b):
    same_weights(a, b)
    assert metrics(a) == metrics(b)


# ------------------------------------------------------------------------------------------------------- learning


def test_it_learns_and_leaves_all_that_it_says(corpus, tmp_path, capsys):
    changes = {"steps": 250, "hidden": 64, "lr": 0.003, "warmup": 20, "initializer_range": 0.1, "eval_every": 125}
    assert pretrain(corpus, tmp_path / "run", **changes) == 0
    out = capsys.readouterr().out
    last = metrics(tmp_path / "run")[-1]
    assert last["step"] == 250
    assert last["uniform_baseline"] == pytest.approx(np.log(50))
    assert last["valid_loss"] < last["unigram_baseline"] - 1
    assert last["valid_accuracy"] > 0.35  # a guess of the most frequent word: 0.05
    assert "nats below the unigram baseline" in out
    first = metrics(tmp_path / "run")[0]
    assert (first["step"], first["lr"]) == (0, 0)  # the curve begins at uniform guessing
    assert first["valid_loss"] == pytest.approx(first["uniform_baseline"], abs=0.3)
    assert first["loss"] == pytest.approx(first["uniform_baseline"], abs=0.6)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "run.json", "metrics.jsonl", "curve.png"):
        assert name in out
        assert (tmp_path / "run" / name).stat().st_size > 0
    tokenizer, model = bert.load(tmp_path / "run")
    assert bert.fill_mask(model, tokenizer, "ap bp cp [MASK] ep", top_k=1)[0][0][0].endswith("p")
    sentences = [line.strip() for line in out.splitlines() if line.startswith("  ") and "[MASK]" in line]
    guesses = [line.split()[0] for line in out.splitlines() if line.startswith("      ")]
    assert len(sentences) == len(guesses) == len(set(guesses)) == 5
    for sentence, guess in zip(sentences, guesses, strict=True):
        assert sentence.replace("[MASK]", guess) in corpus.read_text().splitlines()  # it can complete those that it shows
    command = next(line for line in out.splitlines() if line.startswith("fill in a word:"))
    assert cli.main(shlex.split(command.partition(":")[2])[1:]) == 0
    assert capsys.readouterr().out.split()[1] == guesses[0]


def test_a_model_that_completes_nothing_shows_nothing(corpus, tmp_path, capsys):
    assert pretrain(corpus, tmp_path / "run", steps=1, lr=1e-6) == 0
    out = capsys.readouterr().out
    assert re.search(r"\nit finds the hidden word in 0 of \d+ held-out sentences\n\nfill in a word:  minitorch fill-mask ", out)


def test_it_says_what_it_does_from_the_start(corpus, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(python_docs, "fingerprint", lambda documents: said.append("it reads") or str(len(list(documents))))
    prepared.prepare(settings(corpus, tmp_path / "run"), said.append)
    assert said[:2] == [f"reading {corpus} ...", "it reads"]
    assert said[3:] == ["learning a vocabulary of 50 pieces ...", "writing the text as numbers of pieces ..."]


def test_ctrl_c_just_before_the_first_step_promises_nothing(corpus, tmp_path, monkeypatch, capsys):
    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Run, "train", stop)
        assert pretrain(corpus, tmp_path / "run") == 130
    assert "stopped at step 0; nothing is saved yet, so the same command starts again" in capsys.readouterr().out
    assert resume(tmp_path / "run") == 2
    one_line(capsys, "nothing to resume")
    assert pretrain(corpus, tmp_path / "run") == 0


@pytest.mark.parametrize("way", ["new", "overwrite", "resume"])
def test_ctrl_c_before_the_first_step(way, corpus, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    if way != "new":
        assert pretrain(corpus, run) == 0
    before = everything(run)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pretraining, "prepare", stop)
        assert (resume(run) if way == "resume" else pretrain(corpus, run, overwrite=way == "overwrite" or None, seed=1)) == 130
    assert "stopped before the first step: nothing is saved, nothing lost" in capsys.readouterr().out
    assert everything(run) == before
    if way == "new":
        assert not run.exists()
        assert resume(run) == 2
        one_line(
            capsys, "nothing to resume; once it trains, a run writes it every --save-every steps and at Ctrl-C. Start one without"
        )


@pytest.mark.slow
def test_what_is_worse_than_the_baseline_is_not_called_better(corpus, tmp_path, capsys):
    assert pretrain(corpus, tmp_path / "run", steps=1, lr=1e-6) == 0
    last = metrics(tmp_path / "run")[-1]
    above = last["valid_loss"] - last["unigram_baseline"]
    assert above > 0
    out = capsys.readouterr().out
    assert f"{above:.2f} nats above the unigram baseline: the model has not even learnt word frequencies" in out
    assert "give it more --steps" in out


def test_next_sentence_prediction_learns(tmp_path):
    """Documents of one kind of word each: whether B follows A can be seen."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(200):
        kind = rng.choice(list("pqrstuvw"))
        lines += [*(" ".join(f"{role}{kind}" for role in rng.choice(list("abcde"), 5)) for _ in range(10)), ""]
    (tmp_path / "corpus.txt").write_text("\n".join(lines))
    run = Run(settings(tmp_path / "corpus.txt", tmp_path / "run", nsp=True, length=48, steps=400, lr=0.003))
    run.train()
    run.model.eval()
    right = total = 0
    for step in range(10):
        batch = run.valid_data.batch(step)
        labels = batch.pop("next_sentence_label").array
        batch.pop("labels")
        right += (run.model(**batch).seq_relationship_logits.array.argmax(-1) == labels).sum()
        total += len(labels)
    assert right / total > 0.75  # a random B is of the same kind once in eight times


@pytest.mark.parametrize("options", [{"nsp": True}, {"whole_word": True}, {"static_masking": True}, {"dropout": 0.1}])
def test_the_options_run(options, corpus, tmp_path):
    assert pretrain(corpus, tmp_path / "run", **options) == 0
    first, *_, last = metrics(tmp_path / "run")
    assert last["loss"] < first["loss"]


def test_micro_batches_in_turn_and_on_threads_give_the_same_numbers(corpus, tmp_path):
    changes = [{}, {"accumulate": 2}, {"threads": 2}, {"threads": 2, "accumulate": 2}]
    runs = [Run(settings(corpus, tmp_path / str(i), **change), say=lambda _: None) for i, change in enumerate(changes)]
    for run in runs:
        run.train()
    for run in runs[1:]:
        for a, b in zip(run.metrics, runs[0].metrics, strict=True):
            assert a["valid_loss"] == pytest.approx(b["valid_loss"], abs=2e-4)
    for a, b in zip(runs[1].model.parameters(), runs[2].model.parameters(), strict=True):
        # Two micro-batches either way; but BLAS on one thread (with workers) and on several (without) rounds differently.
        np.testing.assert_allclose(a.array, b.array, rtol=1e-3, atol=1e-4)


def test_the_same_settings_give_the_same_bits(corpus, tmp_path):
    for name in ("a", "b"):
        assert pretrain(corpus, tmp_path / name, dropout=0.1, threads=2) == 0
    same_runs(tmp_path / "a", tmp_path / "b")
    assert pretrain(corpus, tmp_path / "c", dropout=0.1, threads=2, seed=1) == 0
    assert metrics(tmp_path / "c") != metrics(tmp_path / "a")


def test_rows_in_which_no_word_can_be_masked_are_no_trouble(tmp_path):
    """Every word has three pieces, and of eight tokens one may be masked: with whole words, none."""
    (tmp_path / "corpus.txt").write_text("\n".join(["xyz zyx yzx"] * 20 + [""] + ["zxy yxz"] * 20))
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, *"xyz", "##x", "##y", "##z"]))
    changes = {"tokenizer": tmp_path / "vocab.txt", "length": 8, "whole_word": True, "batch_size": 2, "steps": 5}
    assert pretrain(tmp_path / "corpus.txt", tmp_path / "run", **changes) == 0
    assert np.isfinite(metrics(tmp_path / "run")[-1]["loss"])


def test_decay_goes_by_name():
    model = bert.BertForPreTraining(bert.BertConfig.preset("tiny", vocab_size=50))
    decayed, exempt = decay_groups(model, 0.01)
    names = {id(p): name for name, p in model.named_parameters()}
    without = [names[id(p)] for p in exempt["params"]]
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.01, 0.0)
    assert len(decayed["params"]) + len(without) == len(names)
    assert all(name.endswith(("bias", "LayerNorm.weight")) for name in without)
    assert not any(names[id(p)].endswith("bias") or "LayerNorm" in names[id(p)] for p in decayed["params"])
    assert "bert.embeddings.word_embeddings.weight" in {names[id(p)] for p in decayed["params"]}


def test_the_schedule_is_the_published_one(corpus, tmp_path):
    """transformers' get_linear_schedule_with_warmup: t/w on the way up, (N-t)/(N-w) on the way down."""
    run = Run(settings(corpus, tmp_path / "run", steps=20, warmup=5, lr=1.0), say=lambda _: None)
    rates = []
    for _ in range(20):
        rates.append(run.schedule.get_last_lr()[0])
        run.optimizer.step()
        run.schedule.step()
    assert rates == pytest.approx([*(t / 5 for t in range(5)), *((20 - t) / 15 for t in range(5, 20))])


@pytest.mark.slow
def test_the_curve_is_that_of_pytorch(tmp_path):
    """200 steps from the same weights, on the same batches, with the same hyperparameters."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    text = [line for _, sentences in python_docs.python_documentation(()) for line in sentences][:6000]
    lines = [line + "\n" * (1 + (i % 20 == 19)) for i, line in enumerate(text)]
    (tmp_path / "corpus.txt").write_text("".join(lines), encoding="utf-8")
    changes = {"vocab_size": 1000, "layers": 2, "hidden": 64, "length": 32, "steps": 200, "warmup": 20, "lr": 1e-3}
    run = Run(settings(tmp_path / "corpus.txt", tmp_path / "run", **changes), say=lambda _: None)
    run.finish()
    theirs = transformers.BertForMaskedLM.from_pretrained(tmp_path / "run").train()
    named = dict(theirs.named_parameters())
    groups = [[], []]
    for name, p in named.items():
        groups[name.endswith("bias") or "LayerNorm" in name].append(p)
    optimizer = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": run.settings.weight_decay}, {"params": groups[1], "weight_decay": 0.0}],
        lr=run.settings.lr, betas=(0.9, run.settings.beta2), eps=1e-6,
    )  # fmt: skip
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 20, 200)
    run.model.train()
    ours, torchs = [], []
    with Workers(1) as workers:
        for step in range(200):
            batch = {name: torch.tensor(value.array) for name, value in run.batch(step).items()}
            loss = theirs(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), run.settings.clip)
            optimizer.step()
            schedule.step()
            torchs.append(loss.item())
            ours.append(run.one_step(workers).mean_loss)
            run.step += 1
    assert np.mean(torchs[-10:]) < torchs[0] - 0.9, np.mean(torchs[-10:])  # there is a curve to speak of
    assert abs(np.array(ours) - np.array(torchs)).max() < 2e-3


# --------------------------------------------------------------------------------------------------------- resume


def crash_at(step, monkeypatch):
    """A run that breaks off there, as if the power went."""
    original = Run.one_step

    def one_step(self, workers):
        if self.step == step:
            raise RuntimeError("power cut")
        return original(self, workers)

    monkeypatch.setattr(Run, "one_step", one_step)


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"nsp": True, "accumulate": 2}])
def test_a_run_that_broke_off_goes_on_as_if_it_had_not(options, corpus, tmp_path, monkeypatch, capsys):
    assert pretrain(corpus, tmp_path / "whole", **options) == 0
    with monkeypatch.context() as patched:
        crash_at(17, patched)
        with pytest.raises(RuntimeError, match="power cut"):
            pretrain(corpus, tmp_path / "broken", **options)
    corpus.unlink()  # the prepared text is in the run's folder
    assert resume(tmp_path / "broken") == 0
    assert "continuing at step 10 of 30" in capsys.readouterr().out
    same_runs(tmp_path / "whole", tmp_path / "broken")


STOPPED = """if True:
    import os, sys
    from models import cli
    from models.bert.pretraining import Run

    save = Run.save_state

    def save_and_be_stopped(self):
        save(self)
        Run.save_state = save
        os.kill(os.getpid(), int(sys.argv[1]))

    Run.save_state = save_and_be_stopped
    sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_real_process_that_is_stopped_goes_on_bit_equal(how, corpus, tmp_path):
    """The signal comes right after the first state is saved, so however busy the machine is, the run is not over by then."""
    changes = {"steps": 40, "save_every": 10, "eval_every": 20, "dropout": 0.1}
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def process(*command):
        return subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    stopped = process("-c", STOPPED, str(int(how)), *arguments(corpus, tmp_path / "stopped", **changes))
    assert "Traceback" not in stopped.stderr
    assert stopped.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert "--resume --output" in stopped.stdout
        assert stopped.stderr.endswith("minitorch pretrain: stopped\n")
    assert pretraining.read_state(tmp_path / "stopped" / STATE)["step"] == 10
    again = process("-m", "models.cli", "pretrain", "--resume", "--output", str(tmp_path / "stopped"))
    whole = process("-m", "models.cli", *arguments(corpus, tmp_path / "whole", **changes))
    assert (again.returncode, whole.returncode) == (0, 0), again.stderr + whole.stderr
    same_runs(tmp_path / "whole", tmp_path / "stopped")


def test_two_runs_do_not_write_to_one_folder(corpus, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    with alone_in(out):
        assert pretrain(corpus, out) == 2
        assert "another run is writing there" in capsys.readouterr().err
    assert pretrain(corpus, out) == 0
    before = weights(out)
    with alone_in(out):
        assert resume(out) == 2
        assert pretrain(corpus, out, overwrite=True) == 2
    same_weights(out, before)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "config.json"])
def test_a_model_of_another_program_is_not_overwritten_by_mistake(name, corpus, tmp_path, capsys):
    (tmp_path / name).write_text("mine")
    assert pretrain(corpus, tmp_path) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"


def test_a_finished_run_is_not_overwritten_by_mistake(corpus, tmp_path, capsys):
    assert pretrain(corpus, tmp_path / "run") == 0
    before = weights(tmp_path / "run")
    assert pretrain(corpus, tmp_path / "run", seed=1) == 2
    assert "holds a run already" in capsys.readouterr().err
    same_weights(tmp_path / "run", before)
    assert resume(tmp_path / "run") == 0  # there is nothing left to do, and the same comes out
    same_weights(tmp_path / "run", before)
    assert pretrain(corpus, tmp_path / "run", seed=1, overwrite=True) == 0
    after = weights(tmp_path / "run")
    assert all((after[name] != before[name]).any() for name in before)


def test_a_run_that_overwrites_takes_its_place_only_when_complete(corpus, tmp_path, monkeypatch, capsys):
    """The old run stays usable until then, and the new one resumes like any other."""
    run = tmp_path / "run"
    assert pretrain(corpus, run) == 0
    (run / "notes.txt").write_text("mine")
    (run / "added_tokens.json").write_text('{"<old>": 50}')  # would be read with the new vocabulary
    old = everything(run)
    for step, where in ((3, "no state yet"), (17, "a state at step 10")):
        with monkeypatch.context() as patched:
            crash_at(step, patched)
            with pytest.raises(RuntimeError, match="power cut"):
                pretrain(corpus, run, overwrite=True, seed=1)
        assert f"the run in {run} stays as it is until this one, in {run / '.new'}, is complete" in capsys.readouterr().out
        assert {name: content for name, content in everything(run).items() if not name.startswith(".new")} == old
        assert (run / ".new" / STATE).exists() == (where == "a state at step 10")
    assert resume(run) == 0
    assert "continuing at step 10 of 30" in capsys.readouterr().out
    assert pretrain(corpus, tmp_path / "whole", seed=1) == 0
    same_runs(tmp_path / "whole", run)
    assert set(everything(run)) == {"notes.txt", *everything(tmp_path / "whole")}  # and nothing of the old one
    assert resume(run) == 0
    same_runs(tmp_path / "whole", run)


def test_what_killed_runs_leave_is_removed(corpus, tmp_path):
    """Half files, and an overwriting run without a state, as SIGKILL leaves them."""
    run = tmp_path / "run"
    assert pretrain(corpus, run) == 0
    kept = set(everything(run))
    for folder in (run, run / "data", run / ".new", run / ".new" / "data"):
        folder.mkdir(exist_ok=True)
        (folder / ".minitorch-0123abcd.safetensors").write_bytes(b"half")
    assert resume(run) == 0
    assert set(everything(run)) == kept
    assert not (run / ".new").exists()


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_text_that_changed_is_prepared_anew(corpus, tmp_path):
    first = pretraining.prepare(settings(corpus, tmp_path / "run"), lambda _: None)
    again = pretraining.prepare(settings(corpus, tmp_path / "run"), pytest.fail)  # says nothing: all is there
    assert again.found == first.found
    corpus.write_text(corpus.read_text() + "\nap ap ap ap\n")
    changed = pretraining.prepare(settings(corpus, tmp_path / "run"), lambda _: None)
    assert changed.found["sha256"] != first.found["sha256"]


def test_a_preparation_that_was_interrupted_is_not_trusted(corpus, tmp_path, monkeypatch):
    whole = pretraining.prepare(settings(corpus, tmp_path / "run"), lambda _: None)
    kept = whole.train.ids[:].copy()
    written = Corpus.write.__func__

    def stop_at_valid(cls, documents, tokenizer, path):
        if path.name == "valid":
            raise KeyboardInterrupt
        return written(cls, documents, tokenizer, path)

    with monkeypatch.context() as patched:
        patched.setattr(Corpus, "write", classmethod(stop_at_valid))
        with pytest.raises(KeyboardInterrupt):
            pretraining.prepare(settings(corpus, tmp_path / "run", validation=0.5), lambda _: None)
    said = []
    again = pretraining.prepare(settings(corpus, tmp_path / "run"), said.append)
    assert said
    assert (again.train.ids == kept).all()


def test_one_long_document_lends_its_end_for_validation(tmp_path):
    (tmp_path / "corpus.txt").write_text("\n".join(["one two three"] * 38 + ["four five", "four five"]))
    text = pretraining.prepare(settings(tmp_path / "corpus.txt", tmp_path / "run", vocab_size=40), lambda _: None)
    assert (len(text.train.ids), len(text.valid.ids)) == (38 * 3, 2 * 3)  # of "five" and of its letters


# --------------------------------------------------------------------------------------------------------- errors


def one_line(capsys, *parts):
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("minitorch pretrain: error: ")
    for part in parts:
        assert part in error, error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "corpus.txt: 0 sentences of text; pretraining needs at least two"),
        (b"\n \n\n", "corpus.txt: 0 sentences of text"),
        (b"The only sentence.\n", "corpus.txt: 1 sentence of text"),
        (b"\x07\n\n\x07\n", "corpus.txt: there is no text to learn a vocabulary from"),
        (b"one\n\x00\x00\n", "corpus.txt:2: holds a zero byte"),
        (b"one\ntwo \xe9\n", "corpus.txt:2: not UTF-8"),
        (b"one two\n\nthree four\n", "corpus.txt: the text supports a vocabulary of"),
        (None, "corpus.txt: no such file"),
    ],
)
def test_a_bad_corpus_is_one_line_and_status_2(content, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / "corpus.txt").write_bytes(content)
    assert pretrain(tmp_path / "corpus.txt", tmp_path / "run") == 2
    one_line(capsys, message)
    assert not list((tmp_path / "run").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1, not 0"),
        ({"batch_size": -4}, "--batch-size must be at least 1, not -4"),
        ({"batch_size": 15, "accumulate": 2}, "--batch-size 15 does not divide into 2 micro-batches on 1 threads"),
        ({"length": 3}, "--length must be at least 4, not 3"),
        ({"length": 4, "nsp": True}, "--length must be at least 5, not 4"),
        ({"lr": 0}, "--lr must be from 1e-12 to 1e+12, not 0"),
        ({"lr": "nan"}, "--lr must be from 1e-12 to 1e+12, not nan"),
        ({"dropout": 1}, "--dropout must be"),
        ({"mask_probability": 0}, "--mask-probability must be"),
        ({"validation": 1.5}, "--validation must be"),
        ({"seed": -1}, "--seed must be at least 0, not -1"),
        ({"size": "huge"}, "--size must be one of tiny, mini, small, medium, base, not 'huge'"),
        ({"device": "tpu"}, "--device: unknown device"),
        ({"vocab_size": 7}, "a vocabulary of 7 is too small: 5 special tokens and the text's 11 characters"),
        ({"vocab_size": 5000}, "corpus.txt: the text supports a vocabulary of"),
        ({"tokenizer": "absent.txt"}, "absent.txt"),
        ({"lr": 1e9, "clip": 1e9, "steps": 60}, "the rate 1000000000.0 is too high here; try --lr"),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(changes, message, corpus, tmp_path, capsys):
    assert pretrain(corpus, tmp_path / "run", **changes) == 2
    one_line(capsys, message)


def test_a_gpu_that_is_not_there(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # what makes its import fail
    assert pretrain(corpus, tmp_path / "run", device="cuda") == 2
    one_line(capsys, '--device cuda:0: device "cuda" needs CuPy, which is not installed: pip install "cupy-cuda13x[ctk]"')
    assert not (tmp_path / "run").exists()  # before anything is computed


def test_settings_in_a_toml_file(corpus, tmp_path):
    (tmp_path / "run.toml").write_text(f'corpus = "{corpus}"\nsteps = 7\nlr = 1\nbatch-size = 32\nnsp = true\n')
    parser = argparse.ArgumentParser()
    pretrain_command.add_arguments(parser)
    chosen = Settings(
        **pretrain_command.given(parser.parse_args(["--config", str(tmp_path / "run.toml"), "--steps", "9"]), Settings)
    )
    assert (chosen.corpus, chosen.steps, chosen.lr, chosen.batch_size, chosen.nsp) == ([str(corpus)], 9, 1.0, 32, True)
    assert chosen.warmup == Settings().warmup


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("stepps = 3", "run.toml: no setting is called 'stepps'; did you mean 'steps'?"),
        ("xyzzy = 3", "run.toml: no setting is called 'xyzzy'"),
        ("steps = 2.5", "run.toml: steps must be of type int, not 2.5"),
        ("steps = true", "run.toml: steps must be of type int, not True"),
        ('lr = "fast"', "run.toml: lr must be of type float, not 'fast'"),
        ("corpus = [1]", "run.toml: corpus must be of type list[str], not [1]"),
        ("steps =", "run.toml: "),
        (None, "run.toml: no such file"),
    ],
)
def test_a_bad_toml_file_is_one_line(content, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / "run.toml").write_text(content)
    assert cli.main(["pretrain", "--config", str(tmp_path / "run.toml"), "--output", str(tmp_path / "run")]) == 2
    one_line(capsys, message)


def test_a_state_that_cannot_be_used_is_named(corpus, tmp_path, capsys):
    assert resume(tmp_path / "none") == 2
    one_line(capsys, "none/training.safetensors: nothing to resume")
    assert pretrain(corpus, tmp_path / "run") == 0
    state = tmp_path / "run" / STATE
    content = state.read_bytes()
    assert cli.main(["pretrain", "--resume", "--output", str(tmp_path / "run"), "--lr", "0.5"]) == 2
    one_line(capsys, "training.safetensors: that run has --lr 0.01; --resume keeps it: leave out --lr 0.5")
    state.write_bytes(content[:-100])
    assert resume(tmp_path / "run") == 2
    one_line(capsys, str(state), "truncated")
    minitorch.save({"weight": minitorch.ones(2)}, state)
    assert resume(tmp_path / "run") == 2
    one_line(capsys, f"{state}: not the state of a pretraining run")
    state.write_bytes(content)
    (tmp_path / "run" / "data" / "train.ids").write_bytes(b"1234")  # damaged: prepared anew, which is the same
    assert resume(tmp_path / "run") == 0
    corpus.write_text(corpus.read_text().replace("ap", "zp"))
    (tmp_path / "run" / "data" / "text.json").unlink()
    assert resume(tmp_path / "run") == 2
    one_line(capsys, "that run used another text")


def test_a_disk_that_fills_up_leaves_the_last_state(corpus, tmp_path, capsys, monkeypatch):
    original, calls = serialization._write, []

    def filling(file, tensors, metadata):
        calls.append(file)
        if len(calls) > 1:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(file, tensors, metadata)

    with monkeypatch.context() as patched:
        patched.setattr(serialization, "_write", filling)
        assert pretrain(corpus, tmp_path / "run") == 2
    one_line(capsys, str(tmp_path / "run" / STATE), "No space left on device", "the old file there is untouched")
    assert pretraining.read_state(tmp_path / "run" / STATE)["step"] == 10
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")] == []  # no half files
    assert resume(tmp_path / "run") == 0
    assert pretrain(corpus, tmp_path / "whole") == 0
    same_runs(tmp_path / "whole", tmp_path / "run")


def test_sentences_longer_than_the_model_reads_are_not_shown(corpus, tmp_path, capsys):
    """The held-out ones have five words."""
    assert pretrain(corpus, tmp_path / "run", length=6, long_length=6, steps=2) == 0
    shown = capsys.readouterr().out.replace("fill-mask 'a [MASK]'", "")  # the command to type next
    assert "[MASK]" not in shown
    assert pretrain(corpus, tmp_path / "long", length=8, long_length=24, steps=2) == 0
    assert "[MASK]" in capsys.readouterr().out


def test_an_output_that_is_a_file(corpus, tmp_path, capsys):
    (tmp_path / "run").write_text("")
    assert pretrain(corpus, tmp_path / "run") == 2
    one_line(capsys, str(tmp_path / "run"))


def test_settings_refuse_before_anything_is_read():
    for wrong, says in (
        ({"warmup": -1}, "--warmup must be at least 0, not -1"),
        ({"long_length": 0, "long_every": 0}, "--long-length must be at least 4, not 0"),
        ({"long_length": 4, "nsp": True}, "--long-length must be at least 5, not 4"),
        ({"long_every": -1}, "--long-every must be at least 0, not -1"),
    ):
        with pytest.raises(BadInput, match=says):
            Settings(**wrong).check()
