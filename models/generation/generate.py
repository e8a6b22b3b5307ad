"""Writing text with any model that says how probable each next token is: greedy, sampled, or (beams.py) by beam search.

    the model's logits of the next token -> filters -> one token -> the model ...

A model takes part as a Decoder: a function from the tokens that are new to the next one's logits, with a cache of its own. The
first call has the prompts, as the model wants them; each later one has one token per row. Rows that are finished leave.

A sample depends on the seed, the text before it and the weights alone, not on the batch, the cache or threads: each row draws
from a stream of its own, a counter-based one (minitorch/kernels/philox.py), whose numbers are a function of the seed, the prompt,
the number of the sequence and the place of the token.
Read before: filters.py, settings.py, decoder.py. Read next: beams.py, gpt/decoding.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from minitorch.kernels.philox import philox
from minitorch.random import default_generator

from ..errors import BadInput
from . import filters
from .beams import search
from .decoder import Decoder, Generated, Ids, Stopping, filtered
from .filters import Logits
from .settings import GenerationConfig

Streamer = Callable[[int, int | None], None]


def generate(
    decoder: Decoder,
    prompts: Ids,
    config: GenerationConfig,
    texts: Sequence[Sequence[int]] | None = None,
    sources: Sequence[Sequence[int]] | None = None,
    *,
    decode: Callable[[list[int]], str] | None = None,
    streamer: Streamer | None = None,
) -> list[Generated]:
    """Continue each prompt; num_return_sequences results for each, in the prompts' order.

    prompts: (B, S), handed to ``decoder`` as they are. texts: the prompts without padding, where they have some. sources: what an
    encoder-decoder has read, one sequence of ids per prompt; random draws depend on it (default: on the texts).
    decode: tokens to text, for stop strings. streamer(i, token) hears of each token of sequence i as it comes (of a beam's when
    the search is over), and streamer(i, None) of its end.
    """
    said = [[int(i) for i in row] for row in (prompts if texts is None else texts)]
    if not len(prompts) or not prompts.shape[1]:
        raise BadInput("there is no prompt: generation starts from at least one token")
    if config.stops and decode is None:
        raise BadInput("stop strings need a tokenizer: a text ends where one stands in it")
    stop = Stopping(config, decode)
    draws = Draws(config.seed, said if sources is None else sources, config.num_return_sequences) if config.do_sample else None
    if config.num_beams > 1:
        results = search(decoder, prompts, said, config, stop)
        if streamer is not None:
            for i, result in enumerate(results):
                for token in (*result.tokens, None):
                    streamer(i, token)
        return results
    return continued(decoder, prompts, said, config, stop, draws, streamer)


def continued(
    decoder: Decoder,
    prompts: Ids,
    texts: Sequence[list[int]],
    config: GenerationConfig,
    stop: Stopping,
    draws: Draws | None,
    streamer: Streamer | None,
) -> list[Generated]:
    """Token by token, the most probable or a drawn one."""
    k = config.num_return_sequences
    results = [Generated(i, []) for i in range(len(prompts)) for _ in range(k)]
    most = [config.new_tokens(len(texts[result.prompt])) for result in results]
    running = np.array([i for i, n in enumerate(most) if n], np.int64)  # the sequences that still grow: the decoder's rows
    if streamer is not None:
        for i in np.delete(np.arange(len(results)), running).tolist():
            streamer(i, None)
    if not len(running):
        return results
    logits = decoder(prompts)  # (B, V)
    if k > 1 or len(running) < len(prompts):
        decoder.reorder(running // k)
        logits = logits[running // k]  # (R, V)
    while True:
        seen = [texts[results[i].prompt] + results[i].tokens for i in running]
        scores = filtered(logits, seen, config)
        ids = scores.argmax(-1) if draws is None else draws(scores, running, [len(results[i].tokens) for i in running])  # (R,)
        for i, token in zip(running.tolist(), ids.tolist(), strict=True):
            results[i].tokens.append(token)
            if streamer is not None:
                streamer(i, token)
        grow = np.flatnonzero([len(results[i].tokens) < most[i] and not stop(results[i].tokens) for i in running])
        if streamer is not None:
            for i in np.delete(running, grow).tolist():
                streamer(i, None)
        if not len(grow):
            return results
        if len(grow) < len(running):
            decoder.reorder(grow)
            running, ids = running[grow], ids[grow]
        logits = decoder(ids[:, None])


class Draws:
    """Random choices: each sequence has a stream of its own, a function of the seed, its prompt and its number."""

    def __init__(self, seed: int | None, texts: Sequence[Sequence[int]], k: int) -> None:
        seed = int(default_generator().numpy.integers(2**63)) if seed is None else int(seed) % 2**64
        self.key = seed & 0xFFFFFFFF, seed >> 32
        hashes = [hashlib.blake2b(np.asarray(ids, "<i8").tobytes(), digest_size=8).digest() for ids in texts]
        self.streams = [(*np.frombuffer(h, "<u4").tolist(), j) for h in hashes for j in range(k)]

    def __call__(self, scores: Logits, sequences: Ids, places: Sequence[int]) -> Ids:
        """A token for each row of logits (R, V), for the sequences' tokens at these places: the inverse of the distribution."""
        low, high, number = np.array([self.streams[i] for i in sequences], np.uint64).T
        first, second, *_ = philox((np.array(places, np.uint64), number, low, high), self.key)
        u = ((first >> np.uint64(5)) * 2.0**26 + (second >> np.uint64(6))) * 2.0**-53  # 53 bits, in [0, 1)
        edges = filters.softmax(scores).cumsum(-1)  # (R, V)
        return np.asarray((edges <= (u * edges[:, -1])[:, None]).sum(-1))


def padded(prompts: Ids, results: Sequence[Generated], filler: int) -> Ids:
    """Prompts and what followed, as one table (B·k, S + longest), as Hugging Face's generate returns it."""
    S = prompts.shape[1]
    table = np.full((len(results), S + max(len(result.tokens) for result in results)), filler, np.int64)
    for row, result in zip(table, results, strict=True):
        row[:S], row[S : S + len(result.tokens)] = prompts[result.prompt], result.tokens
    return table
