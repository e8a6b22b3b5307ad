"""What a pretrained GPT can do: a few lines of its own, and the commands to go on with. Read before: pretraining.py."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import Any

import minitorch

from ..errors import short

LETTERS = 400  # about as much text as the sample has
LINES, WIDTH = 8, 100  # of it that are shown


def sample(model: Any, text: Any, seed: int) -> str:
    """A text that begins where a document does, drawn from the model's 40 most probable tokens at a time, a little sharpened."""
    tokenizer = text.tokenizer
    first = next(i for i in (tokenizer.bos_token_id, tokenizer.vocabulary.get("\n"), int(text.valid.ids[0])) if i is not None)
    per_token = len(tokenizer.decode(text.valid.ids[:1000])) / min(1000, len(text.valid.ids))  # letters
    options = {"do_sample": True, "temperature": 0.8, "top_k": 40, "eos_token_id": None, "seed": seed}
    ids = model.generate(
        minitorch.tensor([[first]]).to(model.lm_head.weight.device), max_new_tokens=int(LETTERS / max(1.0, per_token)), **options
    )
    return str(tokenizer.decode(ids[0].tolist()[1:]))


def showing(model: Any, text: Any, folder: Path, seed: int) -> str:
    """The lines that ``minitorch pretrain --model gpt`` ends with."""
    written = [part for line in sample(model, text, seed).splitlines() for part in textwrap.wrap(line, WIDTH)]
    prompt = " ".join(text.tokenizer.decode(text.valid.ids[:64].tolist()).split()[1:4])  # the first may be half a word
    command = f"minitorch generate {shlex.quote(prompt)} --model {shlex.quote(str(folder))}"
    shown = [f"  {short(line, WIDTH)}" for line in written[:LINES]]
    return "\n".join(["it writes:", *shown, "", f"let it write more:  {command}"])
