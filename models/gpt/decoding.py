"""GPT as a Decoder (../generation/decoder.py): tokens in, the next one's logits out, with a cache and prompts of any length.

Rows of different lengths are padded on the left, so that all of them end, and grow, in the same column; the mask hides the
padding, and positions do not count it. A row that has outgrown the model's n_positions loses the older half of what it sees, and
the model reads all rows again, from position 0: a token depends on its own row alone, with or without a cache.
Read before: model.py, ../generation/generate.py. Read next: use.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minitorch
from minitorch import Tensor

from ..checkpoints.parts import Output
from ..errors import BadInput
from ..generation.cache import Cache
from ..generation.decoder import Generated
from ..generation.generate import generate, padded
from ..generation.settings import GenerationConfig

Ids = NDArray[np.int64]


class GPTDecoder:
    """A GPT and the rows of tokens that it has seen."""

    def __init__(self, model: Any, texts: Sequence[Sequence[int]], use_cache: bool = True, vocab_size: int | None = None) -> None:
        """texts: the prompts, without padding. vocab_size: how many tokens may come, if not all of the model's."""
        self.model, self.use_cache, self.vocab_size = model, use_cache, vocab_size
        self.device = model.lm_head.weight.device
        self.rows = [list(text) for text in texts]
        self.starts: list[int] = []  # where what the model sees of each row begins
        self.cache = Cache()

    def __call__(self, ids: Ids) -> NDArray[np.floating[Any]]:
        """New tokens (R, S), the prompts' table at first -> the logits (R, V) of the token that follows."""
        if self.starts:
            for row, new in zip(self.rows, ids.tolist(), strict=True):
                row += new
        starts = [seen_from(len(row), self.model.config.n_positions) for row in self.rows]
        if starts != self.starts or not self.use_cache:
            self.cache, self.starts = Cache(), starts
        seen = [row[start:] for row, start in zip(self.rows, starts, strict=True)]
        n = len(self.cache)
        width = n + ids.shape[1] if n else max(map(len, seen))
        mask = np.arange(width) >= width - np.array([[len(row)] for row in seen])  # (R, n + S)
        new = ids if n else left_padded(seen)  # (R, S)
        with minitorch.no_grad():
            hidden = self.model.transformer(
                self.tensor(new),
                past_key_values=self.cache,
                attention_mask=None if mask.all() else self.tensor(mask.astype(np.int64)),
                use_cache=True,
            ).last_hidden_state[:, -1]  # (R, H)
            logits: NDArray[np.floating[Any]] = self.model.lm_head(hidden).cpu().numpy()[:, : self.vocab_size]
        return logits

    def reorder(self, rows: Ids) -> None:
        """Row i continues what row rows[i] was."""
        self.rows = [list(self.rows[i]) for i in rows]
        self.starts = [self.starts[i] for i in rows]
        self.cache.reorder(rows)

    def tensor(self, ids: NDArray[Any]) -> Tensor:
        """On the model's device."""
        return minitorch.from_numpy(ids).to(self.device)


def seen_from(length: int, positions: int) -> int:
    """Where a text of so many tokens is seen from: whenever all positions are taken, half of them become free."""
    half = max(1, positions // 2)
    return 0 if length <= positions else -((positions - length) // half) * half


def continued(
    model: Any,
    texts: Sequence[Sequence[int]],
    config: GenerationConfig,
    use_cache: bool,
    vocab_size: int | None = None,
    **more: Any,
) -> list[Generated]:
    """generate's results for texts of any length; the model is in eval mode meanwhile, for dropout would make it chance."""
    training = model.training
    model.eval()
    try:
        return generate(GPTDecoder(model, texts, use_cache, vocab_size), left_padded(texts), config, texts, **more)
    finally:
        model.train(training)


def left_padded(rows: Sequence[Sequence[int]]) -> Ids:
    """A table (R, S) whose rows end with the given ones."""
    width = max(map(len, rows))
    return np.array([[0] * (width - len(row)) + list(row) for row in rows], np.int64)


def generate_ids(
    model: Any, input_ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = True, **options: Any
) -> Any:
    """What GPT2LMHeadModel.generate does: prompts (B, S) and what follows them, (B · num_return_sequences, S + longest).

    options: GenerationConfig's (../generation/settings.py), tokenizer for stop_strings, streamer, return_dict_in_generate.
    The end token is the configuration's unless eos_token_id is given.
    """
    tokenizer, streamer = options.pop("tokenizer", None), options.pop("streamer", None)
    whole = options.pop("return_dict_in_generate", False)
    usual = {"eos_token_id": model.config.eos_token_id, "pad_token_id": model.config.pad_token_id}
    config = GenerationConfig.of({**usual, **options})
    model.check_ids(input_ids)
    prompts = input_ids.cpu().numpy()
    mask = np.ones(prompts.shape, bool) if attention_mask is None else attention_mask.cpu().numpy() != 0
    if mask.shape != prompts.shape:
        raise BadInput(f"attention_mask must have the shape of input_ids, {prompts.shape}, got {mask.shape}")
    texts = [row[keep].tolist() for row, keep in zip(prompts, mask, strict=True)]
    if not texts or not all(texts):
        raise BadInput("a prompt without a token: start it with the token that begins or ends a text, or with any other")
    decode = None if tokenizer is None else tokenizer.decode
    results = continued(model, texts, config, use_cache, decode=decode, streamer=streamer)
    table = minitorch.from_numpy(padded(prompts, results, config.filler)).to(input_ids.device)
    scores = minitorch.tensor([result.score for result in results]) if config.num_beams > 1 else None
    return Output(sequences=table, sequences_scores=scores) if whole else table
