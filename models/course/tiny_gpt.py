"""A small GPT that trains and writes with the learner's functions in place of the library's (assignment 8).

    training_with_causal_attention(m)   a few steps: losses and gradients must be those of training()
    texts_with(m)                       greedy, sampled and searched texts must be those of texts()

Writing runs through models/gpt and models/generation as they are; attention, positions, cache, filters and search are replaced.
Read before: tiny_bert.py, models/gpt/decoding.py. Read next: lessons/assignments/gpt/.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, graph, optim

from ..generation.cache import Cache
from .tiny_bert import GRADIENT, Watched, replaced, watched
from .tiny_tokens import LINES

STEPS, TRAINED, LENGTH, BATCH = 4, 120, 32, 8
TEXT = "\n".join(LINES[:4]) + "\n"
PROMPTS = ("A network", "C", "Words")  # of different lengths: the shorter ones are padded on the left
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 45},  # longer than the model's positions: it reads again, from position 0
    "sampled with top_k = 4": {"max_new_tokens": 20, "do_sample": True, "top_k": 4, "seed": 1},
    "sampled with top_p = 0.8": {"max_new_tokens": 20, "do_sample": True, "top_k": 0, "top_p": 0.8, "seed": 2},
}
BEAMS = {"num_beams": 4, "num_return_sequences": 4, "early_stopping": True, "length_penalty": 1.5}
SEARCHES = (("A netw", " ", 12), ("C", ",", 20))  # prompt, the character that ends a text, most tokens: a word, and a long text


def new_model(deviation: float) -> tuple[Any, Any, np.ndarray]:
    """The model, the same every time; its tokenizer, of characters; and the ids of the text."""
    from ..gpt.config import GPT2Config
    from ..gpt.model import GPT2LMHeadModel
    from ..text.characters import CharacterTokenizer

    minitorch.manual_seed(0)
    tokenizer = CharacterTokenizer.train([TEXT])
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=LENGTH, n_embd=32, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, initializer_range=deviation, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return GPT2LMHeadModel(config), tokenizer, np.array(tokenizer.encode_lines([TEXT])[0])


def train(model: Any, ids: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """AdamW on stretches of the text: the loss before each step, and the gradients of the first."""
    from ..gpt.data import Stretches

    batches, step = Stretches(ids, LENGTH, BATCH, seed=0), optim.AdamW(model.parameters(), lr=3e-3)
    history: list[float] = []
    gradients: dict[str, np.ndarray] = {}
    for i in range(steps):
        loss = model(batches.batch(i)["input_ids"], labels=batches.batch(i)["input_ids"]).loss
        step.zero_grad()
        loss.backward()
        if not history:
            gradients = {f"{GRADIENT}{n}": p.grad.array.copy() for n, p in model.named_parameters()}
        step.step()
        history.append(loss.item())
    return {f"the losses of {steps} steps": np.array(history)} | gradients


def training() -> dict[str, np.ndarray]:
    """Losses and gradients of a few steps; the first weights are large, so that attention is far from uniform."""
    model, _, ids = new_model(0.5)
    return train(model, ids, STEPS)


def training_with_causal_attention(m: Any) -> dict[str, np.ndarray]:
    """The same with the learner's attention."""
    with replaced(*causal(Watched(m))):
        return training()


@functools.cache
def trained() -> tuple[Any, Any]:
    """A model that has learned its letters, and its tokenizer.

    It is trained in float64: in float32 the rounding of two machines, or of two kinds of kernels, would grow into other texts.
    """
    model, tokenizer, ids = new_model(0.1)
    train(model.double(), ids, TRAINED)
    return model.float(), tokenizer


def texts() -> dict[str, str]:
    """What the trained model writes after the prompts, in each way."""
    from ..gpt.use import write

    model, tokenizer = trained()
    found = {
        f"{way}, after {text.prompt!r}": text.text
        for way, options in WAYS.items()
        for text in write(model, tokenizer, PROMPTS, **options)
    }
    for prompt, end, most in SEARCHES:
        beams = write(model, tokenizer, prompt, eos_token_id=tokenizer.vocabulary[end], max_new_tokens=most, **BEAMS)
        found |= {f"text {i} of 4 beams, after {prompt!r}": text.text for i, text in enumerate(beams)}
    return found


def texts_with(m: Any) -> dict[str, str]:
    """The same with the learner's attention, positions, cache, filters and beam search."""
    from ..generation import filters, generate
    from ..gpt import decoding
    from ..gpt.model import GPT2Model

    trained()
    watching = Watched(m)

    def positions(self: Any, attention_mask: Tensor | None, S: int, n: int) -> Tensor:
        tokens = np.ones((1, n + S), np.int64) if attention_mask is None else attention_mask.array
        return Tensor(np.asarray(m.positions(tokens, S), np.int64))

    with replaced(
        *causal(watching),
        (GPT2Model, "positions", positions),
        (decoding, "Cache", lambda: LearnersCache(m)),
        (filters, "top_k", lambda logits, k: m.top_k(logits, k)),  # in float64
        (filters, "top_p", lambda logits, p: m.top_p(logits, p)),
        (generate, "search", functools.partial(search, m)),
    ):
        return texts()


def causal(m: Any) -> list[tuple[Any, str, Any]]:
    """What ``replaced`` needs to have the learner's attention in the model: padding is handed on in place of a mask."""
    from ..gpt import model

    attention = graph.op(lambda q, k, v, *, tokens: m.causal_attention(q, k, v, tokens))

    def forward(self: Any, x: Tensor, padding: Tensor | None, output_attentions: bool, cache: Any) -> tuple[Tensor, None]:
        B, S, H = x.shape
        q, k, v = (part.transpose(1, 2) for part in self.c_attn(x).reshape(B, S, 3, self.heads, H // self.heads).unbind(2))
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        y = attention(q, k, v, tokens=None if padding is None else padding.array)  # (B, A, S, d)
        return self.c_proj(y.transpose(1, 2).reshape(B, S, H)), None

    return [(model, "causal_mask", lambda padding, *_: padding), (model.GPT2Attention, "forward", forward)]


class LearnersCache(Cache):
    """The library's cache of all layers, made of the learner's caches of one layer each."""

    def __init__(self, m: Any) -> None:
        super().__init__()
        self.m, self.caches = m, list[Any]()

    def __len__(self) -> int:
        return len(self.caches[0]) if self.caches else 0

    def update(self, k: Tensor, v: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        if layer == len(self.caches):
            self.caches.append(self.m.Cache())
        keys, values = watched("Cache.update", self.caches[layer].update)(k.array, v.array)
        return Tensor(keys), Tensor(values)

    def reorder(self, rows: Any) -> None:
        for cache in self.caches:
            cache.reorder([int(row) for row in rows])


def search(m: Any, decoder: Any, prompts: Any, texts: Sequence[list[int]], config: Any, stop: Any) -> list[Any]:
    """The learner's beam search in the place of the library's, for one prompt."""
    from ..generation.decoder import Generated

    ask = Asked(decoder, prompts)
    found = m.beam_search(ask, config.num_beams, config.new_tokens(len(texts[0])), config.ends[0], config.length_penalty)
    if len(found) != config.num_return_sequences:
        raise ValueError(
            f"beam_search gives {len(found)} texts where {config.num_beams} beams find {config.num_return_sequences}"
        )
    return [Generated(0, [int(token) for token in tokens], float(score)) for score, tokens in found]


class Asked:
    """log_p of a beam search: the rows of a model's decoder follow the texts that are asked for."""

    def __init__(self, decoder: Any, prompts: Any) -> None:
        self.decoder, self.prompts, self.rows = decoder, prompts, dict[tuple[int, ...], int]()

    def __call__(self, texts: Any) -> np.ndarray:
        from ..generation.filters import log_softmax

        said = [tuple(int(token) for token in text) for text in texts]
        if said == [()]:
            logits = self.decoder(self.prompts)
        else:
            lost = next((text for text in said if text[:-1] not in self.rows), None)
            if lost is not None:
                raise ValueError(f"log_p is asked for {list(lost)}, which continues no text that it was asked for just before")
            self.decoder.reorder(np.array([self.rows[text[:-1]] for text in said], np.int64))
            logits = self.decoder(np.array([text[-1] for text in said], np.int64)[:, None])
        self.rows = {text: row for row, text in enumerate(said)}
        return np.asarray(log_softmax(logits.astype(np.float64)))
