"""A folder of every kind that a command leaves, small: for the test that each command names the kind that it cannot use."""

from __future__ import annotations

import shutil
from pathlib import Path

import minitorch
from models.cli import main
from models.training.runs import STATE

from . import finetune_cases, gpt_cases, seq2seq_cases

QUIET = ["--threads", "1", "--compare", "none", "--epochs", "1"]


def make_all(root: Path) -> dict[str, Path]:
    """Every kind by name."""
    bert, gpt = finetune_cases.checkpoint(root / "bert"), gpt_cases.checkpoint(root / "gpt")
    texts = finetune_cases.write_classify(root / "texts.tsv", 24)
    examples = ["--train", texts, "--model", str(bert), "--length", "16", *QUIET]
    command(["finetune", "classify", *examples, "--output", str(root / "finetune")])
    command(["finetune", "classify", *examples, "--adapt", "lora", "--output", str(root / "adapter")])
    how = ["--template", "{text} it was [MASK]", "--words", "good:pos,bad:neg", "--steps", "1", "--threads", "1", "--lr", "1e-3"]
    command(["prompt", "--train", texts, "--model", str(bert), *how, "--output", str(root / "prompt")])
    s = seq2seq_cases.settings(root, epochs=1)
    sizes = ["--hidden", "16", "--heads", "2", "--layers", "1", "--num-beams", "1"]
    command(["seq2seq", "--train", s.train, "--dev", s.dev, *sizes, *QUIET, "--output", str(root / "seq2seq")])
    (root / "words.txt").write_text("the cat sat on the mat and the dog sat on the cat\n" * 20)
    small = ["--min-count", "1", "--size", "4", "--epochs", "1"]
    command(["vectors", "--corpus", str(root / "words.txt"), *small, "--output", str(root / "vectors")])
    for job in ("finetune", "seq2seq", "vectors"):  # stopped before they had anything but a state
        (root / f"half-{job}").mkdir()
        shutil.copy(root / job / STATE, root / f"half-{job}")
    (root / "empty").mkdir()
    (root / "file").write_text("a text\n")
    kinds = ("finetune", "adapter", "prompt", "seq2seq", "vectors", "half-finetune", "half-seq2seq", "half-vectors")
    return {"bert": Path(bert), "gpt": Path(gpt), **{kind: root / kind for kind in (*kinds, "empty", "file", "missing")}}


def command(words: list[str]) -> None:
    """Run one that must succeed."""
    minitorch.manual_seed(0)
    assert main(words) == 0
