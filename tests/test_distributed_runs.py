"""Fine-tuning and sequence-to-sequence on several ranks, and runs that end badly. Real MPI processes, skipped without MPI."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import minitorch
from models.bert import BertConfig, BertForMaskedLM
from models.text.tokenizer import Tokenizer
from models.training.runs import alone_in
from tests import mpi


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer.train(["red green blue old new fast slow big dog cat"] * 3, 45)
    BertForMaskedLM(BertConfig.preset("tiny", vocab_size=len(tokenizer), num_hidden_layers=1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    rng, path = np.random.default_rng(1), tmp_path_factory.mktemp("data") / "reviews.tsv"
    words = ["red", "green", "blue", "old", "new", "fast", "slow", "big", "dog", "cat"]
    texts = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(57)]
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{'dog' in text}\n" for text in texts))
    return path


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return np.array([[line["loss"], line["dev_loss"], line["dev_metric"]] for line in lines])


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--adapt", "lora"), ("--class-weights", "balanced", "--accumulate", "2")], ids=str)
def test_finetuning_is_the_same_on_any_number_of_ranks(checkpoint, reviews, tmp_path, options):
    """Epochs end with a batch of 2 examples: on 3 and 4 ranks some have none of it."""
    found = {}
    for n in (1, 3) if options else (1, 2, 4):
        output = tmp_path / str(n)
        run = ["finetune", "classify", "--train", reviews, "--model", checkpoint, "--output", output, "--batch-size", "10"]
        done = mpi.command(n, *run, "--epochs", "2", "--lr", "1e-3", "--compare", "none", "--threads", "1", *options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("use it:") == 1
        found[n] = metrics(output)
        np.testing.assert_allclose(found[n], found[1], rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "shapes"), [("fgm", ((1, 1), (3, 1))), ("smart", ((1, 2), (2, 1)))])
def test_adversarial_training_on_ranks(checkpoint, reviews, tmp_path, method, shapes):
    """What starts from chance starts from the same where as many micro-batches are cut."""
    found = []
    for n, threads in shapes:
        output = tmp_path / f"{n} {threads}"
        run = ["finetune", "classify", "--train", reviews, "--model", checkpoint, "--output", output, "--batch-size", "10"]
        run += ["--epochs", "2", "--lr", "1e-3", "--compare", "none", "--adversarial", method, "--adversarial-radius", "0.5"]
        assert mpi.command(n, *run, "--threads", str(threads)).returncode == 0
        found.append(metrics(output))
    np.testing.assert_allclose(found[1], found[0], rtol=2e-5)


@pytest.mark.slow
def test_sequence_to_sequence_on_two_ranks(tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("source\ttarget\n" + "".join(f"{i} {i * 7 % 13}\t{i * 3 % 10} {i % 3}\n" for i in range(61)))
    found = {}
    for n in (1, 2):
        run = ["seq2seq", "--train", pairs, "--tokenizer", "characters", "--epochs", "2", "--hidden", "32", "--layers", "1"]
        output = tmp_path / str(n)
        rest = ["--heads", "2", "--metric", "bleu", "--compare", "none", "--threads", "1", "--output", output]
        assert mpi.command(n, *run, *rest).returncode == 0
        found[n] = metrics(output)
    np.testing.assert_allclose(found[2], found[1], rtol=2e-5)


# --------------------------------------------------------------------------------------------- runs that end badly


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("text") / "corpus.txt"
    words = ["the", "a", "cat", "dog", "fish", "tree", "sat", "ran", "saw", "by", "near", "red", "old"]
    path.write_text("\n\n".join("\n".join(" ".join(rng.choice(words, 6)) for _ in range(6)) for _ in range(30)))
    return path


def pretraining(corpus, output, steps, *options):
    small = "--vocab-size 40 --layers 1 --hidden 32 --length 12 --long-every 0 --dropout 0.1 --batch-size 8 --threads 1"
    return ["pretrain", "--corpus", corpus, "--output", output, *small.split(), "--steps", str(steps), *options]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="finds the ranks in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "is silent"])
def test_a_rank_that_dies_or_is_silent_ends_the_run_and_is_named(corpus, tmp_path, number):
    run = mpi.Running(2, *pretraining(corpus, tmp_path / "run", 100000, "--save-every", "5"), MINITORCH_TIMEOUT="6")
    run.wait_for(tmp_path / "run" / "training.safetensors")
    lost = run.worker(1)
    os.kill(lost, number)
    status, _, err = run.end()
    assert status != 0
    said = "was ended by SIGKILL; the machine may be out of memory" if number == signal.SIGKILL else "is silent for 6 s"
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.startswith("minitorch: error:")]
    assert len(lines) == 1
    assert "rank 1 (" in lines[0]
    assert f"process {lost}) {said}" in lines[0]
    assert minitorch.load(tmp_path / "run" / "training.safetensors")["step"] % 5 == 0  # whole


def test_input_that_one_rank_alone_finds_bad_is_told_once(corpus, tmp_path):
    """Each of these: one line, status 2."""
    other = tmp_path / "other.txt"
    other.write_text(corpus.read_text() + "\n\nthe dog ran")
    run = pretraining(corpus, tmp_path / "run", 10)
    different = [*run, ":", "-n", "1", sys.executable, "-m", "models.cli", *pretraining(other, tmp_path / "run", 10)]
    for command, text in (
        (different, "error: the ranks differ: --corpus is"),
        ([*run[:-1], "10", "--batch-size", "1"], "--batch-size 1 on 4 ranks: some would have nothing to do"),
        (["compare", "--train", corpus], "but only pretrain, finetune, seq2seq share work between them"),
    ):
        done = mpi.command(1 if command is different else 4, *command)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("error:") == 1
        assert text in done.stderr
    assert not (tmp_path / "run").exists()
    with alone_in(tmp_path):
        done = mpi.command(2, *pretraining(corpus, tmp_path, 10))
    assert done.returncode == 2
    assert done.stderr.count("another run is writing there now") == 1


@pytest.mark.slow
def test_ctrl_c_and_resuming_with_another_number_of_ranks(corpus, tmp_path):
    """2 ranks begin, Ctrl-C, 3 go on: the losses are those of a run that never stopped."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert mpi.command(1, *pretraining(corpus, whole, 60)).returncode == 0
    run = mpi.Running(2, *pretraining(corpus, parts, 60, "--save-every", "10"))
    run.wait_for(parts / "training.safetensors")
    run.process.send_signal(signal.SIGINT)  # to mpiexec, which hands it on
    status, out, _ = run.end()
    assert status == 130, out
    assert "minitorch pretrain --resume" in out
    done = mpi.command(3, "pretrain", "--resume", "--output", parts)
    assert done.returncode == 0, done.stderr
    assert "continuing at step" in done.stdout
    lines = [[json.loads(line)["loss"] for line in (p / "metrics.jsonl").read_text().splitlines()] for p in (whole, parts)]
    np.testing.assert_allclose(lines[1], lines[0], rtol=2e-5)


@pytest.mark.slow
def test_16_bits_on_the_wire_and_local_steps(corpus, tmp_path):
    """They learn nearly what a run without them does; and ranks of a run in float16 skip the same steps."""
    losses = {}
    for name, n, options in (
        ("plain", 1, []),
        ("bfloat16", 2, ["--wire", "bfloat16"]),
        ("float16", 3, ["--wire", "float16"]),
        ("local", 3, ["--local-steps", "4"]),
        ("fp16", 2, ["--precision", "fp16"]),
    ):
        done = mpi.command(n, *pretraining(corpus, tmp_path / name, 40, "--lr", "0.01", "--save-every", "7", *options))
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        losses[name] = np.array([line["valid_loss"] for line in lines])
    for name in ("bfloat16", "float16", "fp16"):
        np.testing.assert_allclose(losses[name], losses["plain"], rtol=0.03)
    assert losses["local"][-1] < losses["local"][0] - 0.2
    done = mpi.command(2, *pretraining(corpus, tmp_path / "no", 40, "--local-steps", "4", "--precision", "fp16"))
    assert done.returncode == 2
    assert done.stderr.count("ranks must agree in each step") == 1


@pytest.mark.slow
def test_two_hosts(tmp_path):
    """Emulated ones, with a network between them: the operations of test_distributed.py; needs root on Linux."""
    from benchmarks.two_hosts import Refused, hosts
    from tests.test_distributed import OPERATIONS

    (tmp_path / "program.py").write_text(OPERATIONS)
    environment = {"PYTHONPATH": str(mpi.ROOT), "OPENBLAS_NUM_THREADS": "1"}
    try:
        with hosts(mpiexec=mpi.mpiexec()) as where:
            command = [*where, "-n", "2", sys.executable, str(tmp_path / "program.py")]
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, **environment})
    except Refused as reason:
        pytest.skip(f"emulated hosts cannot be made here: {reason}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("0 mpi") == 2  # each is the first rank of its host
