"""What a pretrained GPT can do: a few lines of its own, and the commands to go on with. Read before: pretraining.py."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any


def showing(model: Any, text: Any, folder: Path) -> str:
    """The lines that ``minitorch pretrain --model gpt`` ends with."""
    prompt = " ".join(text.tokenizer.decode(text.valid.ids[:64].tolist()).split()[:3])
    return f"let it write:  minitorch generate {shlex.quote(prompt)} --model {shlex.quote(str(folder))}"
