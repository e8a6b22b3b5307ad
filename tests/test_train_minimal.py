"""models/bert/train_minimal.py: the smallest training learns more than word frequencies."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.bert import train_minimal


def test_the_smallest_training_falls_below_word_frequencies(capsys):
    loss, frequencies = train_minimal.train(steps=150)
    assert loss < frequencies - 0.15
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("baselines: uniform 6.24, word frequencies ")
    assert [line.split()[1] for line in printed[1:]] == ["50", "100", "150"]
    assert float(printed[-1].split()[-1]) < float(printed[1].split()[-1])


def test_every_sequence_has_a_mask_and_labels_are_the_hidden_words():
    import numpy as np

    tokenizer, ids = train_minimal.read_ids(60)
    masked, labels = (t.numpy() for t in train_minimal.batch(ids, tokenizer, np.random.default_rng(0)))
    asked = labels != -100
    assert asked.any(1).all()
    assert (masked[asked] == tokenizer.mask_id).all()
    text = np.where(asked, labels, masked)
    whole = " ".join(map(str, ids))
    assert all(" ".join(map(str, row)) in whole for row in text)


@pytest.mark.parametrize(("steps", "status", "shown"), [("2", 0, ["step     2 "]), ("0", 2, ["must be at least 1, not 0"])])
def test_the_command_has_its_one_option(steps, status, shown):
    command = [sys.executable, "-m", "models.bert.train_minimal", "--steps", steps]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    last = (done.stdout if status == 0 else done.stderr).splitlines()[-1]
    assert all(part in last for part in shown)
