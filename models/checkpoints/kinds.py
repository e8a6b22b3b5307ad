"""What a folder holds, and the command for it: for the error of a command that was given a folder of another kind.

Read before: ../reading.py. Read next: files.py.
"""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

from minitorch.serialization import read_shapes

from ..reading import read_json, read_tensors

HEAD = "cls.predictions.transform.dense.weight"  # in a BERT's file that has the head which guesses masked words
STATE = "training.safetensors"  # in the folder of a run that can be resumed
# A file, the model_type that config.json has with it, what such a folder holds, and a command for it. The first that fits counts.
KINDS = (
    ("prompt.json", "bert", "a trained prompt", 'prompt --model {} "a text"'),
    ("finetune.json", "bert", "a fine-tuned model", 'predict --model {} "a text"'),
    ("seq2seq.json", "minitorch-seq2seq", "a sequence-to-sequence model", 'predict --model {} "a text"'),
    ("config.json", "bert", "a BERT", 'fill-mask "a [MASK] text" --model {}'),
    ("config.json", "gpt2", "a GPT", 'generate "a text" --model {}'),
    ("vectors.txt", "", "word vectors", "vectors --vectors {} --nearest WORD"),
)
JOBS = {"init_encoder": "seq2seq", "task": "finetune", "min_count": "vectors", "initializer_range": "pretrain"}  # by a setting
JOBS = {"ewc_lambda": "continual", **JOBS}  # which has finetune's settings, too


def holding(folder: Path) -> str:
    """ "this folder holds a GPT; use it: minitorch generate ...", "this run is not finished; ...", or "" if that is unknown."""
    kind, where = "", shlex.quote(str(folder))
    if (folder / "config.json").is_file():
        kind = "?"
        with contextlib.suppress(ValueError):
            kind = str(read_json(folder / "config.json").get("model_type", "bert"))
    for file, model_type, thing, command in KINDS:
        if (folder / file).is_file() and kind in ("", model_type):
            if thing == "a BERT" and not can_guess(folder):
                command = 'embed "a text" --model {}'
            return f"this folder holds {thing}; use it: minitorch {command.format(where)}"
    if (folder / STATE).is_file() and not kind:
        return f"this run is not finished; continue it with minitorch {job_of_state(folder)} --resume --output {where}"
    return ""


def can_guess(folder: Path) -> bool:
    """Do a BERT's files hold the head that guesses masked words?"""
    with contextlib.suppress(ValueError, OSError):
        return any(HEAD in read_shapes(path) for path in folder.glob("model*.safetensors"))
    return False


def job_of(settings: Any) -> str:
    """The command whose runs have such settings, or ""."""
    return next((job for name, job in JOBS.items() if isinstance(settings, dict) and name in settings), "")


def job_of_state(folder: Path) -> str:
    """The command that wrote a folder's state."""
    with contextlib.suppress(ValueError, OSError):
        state = read_tensors(folder / STATE)
        return job_of(state.get("settings") if isinstance(state, dict) else None) or "pretrain"
    return "pretrain"


def why_not(folder: Path, file: str, jobs: str) -> str:
    """The error for a folder without ``file``, which ``jobs`` write: what it is instead."""
    if not folder.exists():
        return f"{folder}: no such folder; give one that {jobs} wrote"
    if not folder.is_dir():
        return f"{folder}: this is a file; give a folder that {jobs} wrote"
    return f"{folder}: no {file} here; {holding(folder) or f'give a folder that {jobs} wrote'}"
