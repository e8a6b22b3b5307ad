"""Fine-tuning and sequence-to-sequence on several ranks, and runs that end badly. Real MPI processes, skipped without MPI."""

import json

import numpy as np
import pytest

from models.bert import BertConfig, BertForMaskedLM
from models.text.tokenizer import Tokenizer
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
    for n in (1, 2, 3, 4):
        output = tmp_path / str(n)
        run = ["finetune", "classify", "--train", reviews, "--model", checkpoint, "--output", output, "--batch-size", "10"]
        done = mpi.command(n, *run, "--epochs", "2", "--lr", "1e-3", "--compare", "none", "--threads", "1", *options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("use it:") == 1
        found[n] = metrics(output)
        np.testing.assert_allclose(found[n], found[1], rtol=2e-5)


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
