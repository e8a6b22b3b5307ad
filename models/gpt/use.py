"""Using a GPT: continue texts.

    from models import gpt

    tokenizer, model = gpt.load("runs/gpt")
    for text in gpt.write(model, tokenizer, "The function returns", max_new_tokens=40, do_sample=True, seed=1):
        print(text.prompt + text.text)

On the command line: generate_command.py.
Read before: decoding.py, ../text/loading.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoints.files import locate
from ..errors import BadInput
from ..generation.settings import GenerationConfig
from ..generation.streaming import TextStream
from ..text.loading import load_tokenizer
from .decoding import continued
from .model import GPT2LMHeadModel

ROUNDED = 256  # so many tokens may a model have more than its tokenizer: some round the vocabulary up
Hears = Callable[[int, str | None], None]  # (sequence, a new piece of its text), or None for its end


def load(folder: str | Path, device: str = "cpu") -> tuple[Any, Any]:
    """The tokenizer and the model of a folder; a missing or damaged file is an error that names it."""
    where = locate(folder)
    if (where / "training.safetensors").is_file() and not (where / "config.json").is_file():
        raise BadInput(
            f"{where}: this run is not finished; continue it with minitorch pretrain --model gpt --resume --output {where}"
        )
    model = GPT2LMHeadModel.from_pretrained(where)
    tokenizer = load_tokenizer(where)
    V = model.config.vocab_size
    if not 0 <= V - len(tokenizer) < max(ROUNDED, V // 10):
        sizes = f"the tokenizer has {len(tokenizer):,} tokens, the model {V:,}"
        raise BadInput(f"{where}: {sizes}; they do not belong together")
    return tokenizer, model.to(device)


@dataclass
class Text:
    """A prompt and what was written after it."""

    prompt: str
    text: str
    tokens: list[int]  # the new ones
    end: str  # why it ended: "end" of text, "stop" string, or "length"
    score: float | None = None  # of a beam: Σ log p / length^length_penalty


def write(
    model: Any,
    tokenizer: Any,
    prompts: str | Sequence[str],
    hears: Hears | None = None,
    use_cache: bool = True,
    **options: Any,
) -> list[Text]:
    """Continue one text or several, with num_return_sequences results for each.

    options: GenerationConfig's (../generation/settings.py). hears(i, piece) gets sequence i's text as it
    comes, (i, None) at its end.
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    rows = prompt_ids(tokenizer, prompts)
    ends = model.config.eos_token_ids or ([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])
    config = GenerationConfig.of({"eos_token_id": ends, **options})
    streams = [
        TextStream(tokenizer.decode, config.stops, (lambda piece, i=i: hears(i, piece)) if hears else None)
        for i in range(len(prompts) * config.num_return_sequences)
    ]

    def hear(i: int, token: int | None) -> None:
        if token is not None:
            streams[i].put(token)
            return
        streams[i].end()
        if hears is not None:
            hears(i, None)

    results = continued(model, rows, config, use_cache, len(tokenizer), decode=tokenizer.decode, streamer=hear)
    texts = []
    for stream, result in zip(streams, results, strict=True):
        why = "end" if result.tokens and result.tokens[-1] in ends else "stop" if stream.stopped else "length"
        texts.append(Text(prompts[result.prompt], stream.text, result.tokens, why, result.score))
    return texts


def prompt_ids(tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    """The prompts' tokens; an empty one is the token that begins a text."""
    if not prompts:
        raise BadInput("there is no prompt")
    try:
        rows = [tokenizer.encode(prompt) for prompt in prompts]
    except ValueError as error:
        raise BadInput(str(error)) from error
    if not all(rows):
        if tokenizer.bos_token_id is None:
            raise BadInput("an empty prompt needs a token that begins a text; this tokenizer has none, so give a letter")
        rows = [row or [tokenizer.bos_token_id] for row in rows]
    return rows
