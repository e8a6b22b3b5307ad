"""From sources to texts: what a trained model writes, greedily or by beam search, with models/generation.

Read before: model.py, models/generation/decoder.py. Read next: report.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.parallel import Workers

from ..generation.generate import generate
from ..generation.settings import GenerationConfig
from .vocabulary import END, PAD, START, UNKNOWN, Vocabulary, padded

NEVER = [PAD, START, UNKNOWN]  # ids that stand for no text and are never written


class Seq2SeqDecoder:
    """The model, a batch of sources, and the targets so far, as a Decoder of models/generation."""

    def __init__(self, model: Any, input_ids: Tensor, attention_mask: Tensor | None = None, use_cache: bool = True) -> None:
        """input_ids and attention_mask: (B, S). Without a cache every step computes all tokens again, to the same end."""
        self.model, self.mask, self.use_cache = model, attention_mask, use_cache
        with minitorch.no_grad():
            self.memory = model.encode(input_ids, attention_mask)
        self.cache: Any = None
        self.seen: Any = None  # the target's ids, (R, n)

    def __call__(self, ids: Any) -> Any:
        """New ids (R, T) -> logits (R, V) of the next; what is never written has -∞."""
        self.seen = ids if self.seen is None else np.concatenate([self.seen, ids], axis=1)
        new = minitorch.from_numpy(ids if self.use_cache else self.seen).to(self.memory.device)
        with minitorch.no_grad():
            output = self.model(
                attention_mask=self.mask, decoder_input_ids=new, encoder_outputs=self.memory,
                past_key_values=self.cache, use_cache=self.use_cache,
            )  # fmt: skip
        self.cache = output.past_key_values
        logits = output.logits[:, -1].cpu().numpy().copy()
        logits[:, NEVER] = -np.inf
        return logits

    def reorder(self, rows: Any) -> None:
        """Row i continues what row rows[i] was."""
        index = minitorch.from_numpy(np.asarray(rows)).to(self.memory.device)
        self.memory, self.seen = self.memory[index], self.seen[rows]
        self.mask = None if self.mask is None else self.mask[index]
        if self.cache is not None:
            self.cache.reorder(rows)


def write_ids(
    model: Any, input_ids: Tensor, attention_mask: Tensor | None, use_cache: bool = True, **options: Any
) -> list[list[int]]:
    """The target's ids for each source (B, S), each up to its END if that came. options: GenerationConfig's.

    Of a beam and the greedy text the better one is taken: a search may have pruned what greedy steps find.
    """
    options = {"eos_token_id": END, "pad_token_id": PAD, **options}
    shown = np.ones(input_ids.shape, bool) if attention_mask is None else attention_mask.cpu().numpy() != 0
    texts = [row[keep].tolist() for row, keep in zip(input_ids.cpu().numpy(), shown, strict=True)]  # samples go by them
    start = np.full((len(texts), 1), START)

    def run(**changes: Any) -> list[Any]:
        decoder = Seq2SeqDecoder(model, input_ids, attention_mask, use_cache)
        return generate(decoder, start, GenerationConfig.of({**options, **changes}), sources=texts)

    found = run()
    if options.get("num_beams", 1) == 1:
        return [result.tokens for result in found]
    plain = run(num_beams=1)
    scores = score(model, input_ids, attention_mask, [result.tokens for result in plain], options.get("length_penalty", 1.0))
    return [
        greedy.tokens if greedy_score > beam.score else beam.tokens
        for beam, greedy, greedy_score in zip(found, plain, scores, strict=True)
    ]


def score(
    model: Any, input_ids: Tensor, attention_mask: Tensor | None, targets: Sequence[Sequence[int]], length_penalty: float = 1.0
) -> list[float]:
    """Σ log p / length^length_penalty of the target's ids for each source: the score by which a beam search chooses."""
    labels = padded(targets, PAD)  # (B, T)
    ids = np.concatenate([np.full((len(labels), 1), START), labels[:, :-1]], axis=1)
    with minitorch.no_grad():
        logits = model(input_ids, attention_mask, minitorch.from_numpy(ids).to(input_ids.device)).logits.cpu().numpy()
    logits = logits.astype(np.float64)  # (B, T, V)
    logits[..., NEVER] = -np.inf
    log_p = np.take_along_axis(logits, labels[..., None], -1)[..., 0] - np.logaddexp.reduce(logits, axis=-1)  # (B, T)
    return [float(row[: len(ids)].sum() / len(ids) ** length_penalty) for row, ids in zip(log_p, targets, strict=True)]


def write(
    model: Any,
    sources: Sequence[str],
    both: tuple[Vocabulary, Vocabulary],
    s: Any,
    workers: Workers | None = None,
    bar: Any = None,
    **options: Any,
) -> list[str]:
    """The text for each source, in batches of about equal length.

    s: length, target_length, batch_size. options: GenerationConfig's.
    """
    beams = GenerationConfig.of(options).num_beams
    rows, _ = both[0].encode(sources, s.length)
    order = np.argsort([len(row) for row in rows], kind="stable")
    size = max(1, s.batch_size // beams)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    device = next(iter(model.parameters())).device
    model.eval()

    def one(chosen: Any) -> list[str]:
        ids, mask = both[0].batch([rows[i] for i in chosen])
        found = write_ids(model, ids.to(device), mask.to(device), **{"max_new_tokens": s.target_length, **options})
        if bar is not None:
            bar.update(len(chosen))
        return [both[1].decode(ids) for ids in found]

    texts = [""] * len(rows)
    found = map(one, batches) if workers is None else workers.map(one, batches)
    for chosen, written in zip(batches, found, strict=True):
        for i, text in zip(chosen, written, strict=True):
            texts[i] = text
    return texts
