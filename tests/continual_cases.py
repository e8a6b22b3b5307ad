"""Small tasks, one after another, and the command on them."""

from __future__ import annotations

from models import cli

from .finetune_cases import checkpoint, write_classify


def make_files(folder):
    """A checkpoint, and two tasks with the same labels and with others."""
    found = {"model": str(checkpoint(folder / "base"))}
    for k in range(2):
        path = write_classify(folder / f"same{k}.tsv", 24, k)
        text = (folder / f"same{k}.tsv").read_text()
        (folder / f"other{k}.tsv").write_text(text.replace("\tneg", f"\tneg{k}").replace("\tpos", f"\tpos{k}"))
        found |= {f"same{k}": path, f"other{k}": str(folder / f"other{k}.tsv")}
    return found


def arguments(files, output, *more, setting="domain"):
    tasks = [files[f"{'same' if setting == 'domain' else 'other'}{k}"] for k in range(2)]
    usual = ["--epochs", 1, "--batch-size", 8, "--threads", 1, "--lr", 2e-3, "--fisher-examples", 5, "--memory", 7]
    return ["continual", "--model", files["model"], "--setting", setting, "--tasks", *tasks, "--output", output, *usual, *more]


def command(*words):
    return cli.main([str(word) for word in words])
