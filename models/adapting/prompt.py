"""Prompt tuning and P-tuning: trained vectors in front of the embeddings of the text.

    [P; E(x)]            P (n, H): nH parameters                                              prompt tuning
    P = MLP(e)           e (n, H), three Linear with two ReLU between: only P is needed later  P-tuning (v1)

Lester, Al-Rfou and Constant (2021), "The Power of Scale for Parameter-Efficient Prompt Tuning",
https://arxiv.org/abs/2104.08691; Liu et al. (2021), "GPT Understands, Too", https://arxiv.org/abs/2103.10385.

The virtual tokens stand before [CLS], at positions 0 to n-1. What comes back has the text's rows alone, and what is pooled for
a classifier is their mean (``pool="mean"``) or [CLS], as the checkpoint's pooler has it ("cls"). PEFT pools virtual token 0
("first"), which knows little: with MiniLM it cost a quarter of the accuracy. Read before: base.py.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import minitorch
from minitorch import Tensor, nn

from ..bert.masked_rows import rows_at
from ..errors import BadInput
from ..generation.cache import Cache
from .base import PeftConfig, layer_at, put


@dataclass
class PromptTuningConfig(PeftConfig):
    """prompt_tuning_init: SAMPLE_VOCAB (words of the vocabulary), TEXT (of a text), RANDOM (N(0, 1), far too large for BERT)."""

    num_virtual_tokens: int = 10
    prompt_tuning_init: str = "SAMPLE_VOCAB"
    prompt_tuning_init_text: str | None = None
    tokenizer_name_or_path: str | None = None
    pool: str = "mean"

    peft_type: ClassVar[str] = "PROMPT_TUNING"
    unsaid: ClassVar[dict[str, Any]] = {"pool": "first"}
    rate: ClassVar[float] = 5e-3

    def __post_init__(self) -> None:
        check(self)
        if self.prompt_tuning_init not in ("SAMPLE_VOCAB", "TEXT", "RANDOM"):
            raise BadInput(f"prompt_tuning_init is {self.prompt_tuning_init!r}; there are SAMPLE_VOCAB, TEXT, RANDOM")
        if self.prompt_tuning_init == "TEXT" and not (self.prompt_tuning_init_text and self.tokenizer_name_or_path):
            raise BadInput('prompt_tuning_init "TEXT" needs prompt_tuning_init_text and tokenizer_name_or_path')

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        place, base = body(model)
        prompt = Prompt(nn.Parameter(self._start(words_of(base).weight)), self.pool)
        put(model, place, name, prompt)
        return {"prompt_embeddings": prompt.prompt}

    def _start(self, words: Tensor) -> Tensor:
        n, (V, H) = self.num_virtual_tokens, words.shape
        if self.prompt_tuning_init == "RANDOM":
            return minitorch.randn(n, H).astype(words.dtype)
        if self.prompt_tuning_init == "TEXT":
            from ..text.loading import load_tokenizer

            tokenizer = load_tokenizer(str(self.tokenizer_name_or_path))
            ids = tokenizer(self.prompt_tuning_init_text, add_special_tokens=False)["input_ids"]
            at = minitorch.tensor((ids * (n // max(1, len(ids)) + 1))[:n])
        else:
            at = minitorch.randint(0, V, (n,))
        return minitorch.index_select(words.detach(), 0, at.to(words.device))


@dataclass
class PromptEncoderConfig(PeftConfig):
    """P-tuning. encoder_hidden_size: the width of its MLP; None means H."""

    num_virtual_tokens: int = 10
    encoder_hidden_size: int | None = None
    encoder_reparameterization_type: str = "MLP"
    encoder_num_layers: int = 2
    encoder_dropout: float = 0.0
    pool: str = "mean"

    peft_type: ClassVar[str] = "P_TUNING"
    unsaid: ClassVar[dict[str, Any]] = {"pool": "first"}

    def __post_init__(self) -> None:
        check(self)
        if self.encoder_reparameterization_type != "MLP":
            raise BadInput(f"encoder_reparameterization_type {self.encoder_reparameterization_type!r} is not supported, MLP is")

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        place, base = body(model)
        H = base.config.hidden_size
        n, width = self.num_virtual_tokens, self.encoder_hidden_size or H
        prompt = Prompt(nn.Parameter(minitorch.randn(n, H)), self.pool)
        if not self.inference_mode:
            prompt.encoder = nn.Sequential(
                nn.Linear(H, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, H)
            )  # fmt: skip
        put(model, place, name, prompt)
        own = {f"prompt_encoder.mlp_head.{k}": p for k, p in prompt.encoder.named_parameters()} if prompt.encoder else {}
        return {"prompt_encoder.embedding.weight" if own else "prompt_embeddings": prompt.prompt, **own}


def check_sizes(n: Any, width: Any = None) -> None:
    """BadInput for what is no number of virtual tokens, or no width of an MLP."""
    if not isinstance(n, int) or not 1 <= n <= 2**16:
        raise BadInput(f"num_virtual_tokens must be a whole number of at least 1 and at most {2**16:,}, not {n!r}")
    if width is not None and not 1 <= width <= 2**20:
        raise BadInput(f"encoder_hidden_size must be from 1 to {2**20:,}, not {width}")


def check(config: Any) -> None:
    """What both have in common."""
    check_sizes(config.num_virtual_tokens, getattr(config, "encoder_hidden_size", None))
    if config.pool not in ("mean", "cls", "first"):
        raise BadInput(f'pool is {config.pool!r}; there are "mean", "cls" and "first"')


def body(model: nn.Module) -> tuple[str, Any]:
    """The name of the encoder or decoder, in which virtual tokens have their place, and itself."""
    for name in ("bert", "transformer"):
        if hasattr(model, name):
            return name, layer_at(model, name)
    raise BadInput(f"virtual tokens need a model with a head around its .bert or .transformer; {type(model).__name__} has none")


def words_of(body: Any) -> Any:
    """The table of word embeddings of a BERT or GPT, with what is adapted in it."""
    return body.wte if hasattr(body, "wte") else body.embeddings.word_embeddings


def plain_body(layer: Any) -> Any:
    """What is called at last, beneath other methods."""
    while isinstance(layer, functools.partial):
        layer = layer.args[0]
    return getattr(layer, "base_layer", layer)


def arguments(layer: Any, inputs: Sequence[Any], options: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a call to the body by their names, with None for those that are not given."""
    names = list(inspect.signature(type(plain_body(layer)).forward).parameters)[1:]
    return {**dict.fromkeys(names), **dict(zip(names, inputs, strict=False)), **options}


def in_front(mask: Tensor | None, n: int, cache: Cache, S: int) -> Tensor | None:
    """A mask for n virtual tokens and the text; one for cache and S new tokens has columns for them, which may say padding."""
    if mask is None:
        return None
    text = mask[:, n:] if len(cache) and mask.shape[1] == len(cache) + S else mask
    return minitorch.cat([minitorch.ones(mask.shape[0], n, dtype=mask.dtype, device=mask.device), text], dim=1)


class Prompt(nn.Module):
    """The vectors P, in front of every text."""

    def __init__(self, prompt: nn.Parameter, pool: str) -> None:
        super().__init__()
        self.prompt, self.pool = prompt, pool
        self.encoder: nn.Module | None = None

    def vectors(self) -> Tensor:
        """P (n, H)."""
        return self.prompt if self.encoder is None else self.encoder(self.prompt)

    def forward(self, layer: Any, *inputs: Any, **options: Any) -> Any:
        given, P = arguments(layer, inputs, options), self.vectors()
        bert: Any = plain_body(layer)
        ids, x = given.pop("input_ids"), given.pop("inputs_embeds")
        x = words_of(bert)(ids) if x is None else x
        (B, S, H), n, past = x.shape, P.shape[0], given.get("past_key_values")
        cache = past if isinstance(past, Cache) else Cache(past or ())  # of a decoder
        if given["position_ids"] is not None:
            raise ValueError("virtual tokens take the positions 0 to n-1: position_ids cannot be given with them")
        if n + S > bert.config.max_position_embeddings:
            most = bert.config.max_position_embeddings
            raise ValueError(f"{n} virtual tokens and a text of {S} are more than the model's {most} positions; shorten the text")
        text_mask = given["attention_mask"]
        given["attention_mask"] = in_front(text_mask, n, cache, S)
        if len(cache):  # it goes on, and the cache holds the virtual tokens
            return layer(inputs_embeds=x, **given)
        if given.get("token_type_ids") is not None:
            types = given["token_type_ids"]
            given["token_type_ids"] = minitorch.cat([types[:, :1].expand(B, n) * 0, types], dim=1)
        rows, return_dict = given.get("rows"), given.pop("return_dict")
        mean = self.pool == "mean" and getattr(bert, "pooler", None) is not None
        if rows is not None:
            given["rows"] = None if mean else rows + n
        x = minitorch.cat([P.astype(x.dtype).expand(B, n, H), x], dim=1)
        output = self.of_the_text(layer(inputs_embeds=x, **given), n, rows, bert, text_mask, mean)
        return output.to_tuple() if return_dict is False else output

    def of_the_text(self, output: Any, n: int, rows: Tensor | None, bert: Any, mask: Tensor | None, mean: bool) -> Any:
        """The output without the virtual tokens' rows; pooled anew, since the body pooled the first of them."""
        names = ("last_hidden_state", "pooler_output", "past_key_values", "hidden_states", "attentions")
        values = {name: getattr(output, name) for name in names if hasattr(output, name)}
        if rows is None or mean:
            hidden = values["last_hidden_state"][:, n:]
            values["last_hidden_state"] = hidden if rows is None else rows_at(hidden, rows)
            if mean:
                values["pooler_output"] = mean_of(hidden, mask)
            elif self.pool == "cls" and values.get("pooler_output") is not None:
                values["pooler_output"] = bert.pooler(hidden)
        return type(output)(**values)


def mean_of(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of the tokens (B, S, H) that the mask (B, S) lets pass: (B, H)."""
    if mask is None:
        return hidden.mean(1)
    weights = mask.astype(hidden.dtype)[:, :, None]
    return (hidden * weights).sum(1) / weights.sum(1)
