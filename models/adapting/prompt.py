"""Prompt tuning and P-tuning: trained vectors in front of the embeddings of the text.

    [P; E(x)]            P (n, H): nH parameters                                              prompt tuning
    P = MLP(e)           e (n, H), three Linear with two ReLU between: only P is needed later  P-tuning (v1)

Lester, Al-Rfou and Constant (2021), "The Power of Scale for Parameter-Efficient Prompt Tuning",
https://arxiv.org/abs/2104.08691; Liu et al. (2021), "GPT Understands, Too", https://arxiv.org/abs/2103.10385.

The virtual tokens stand before [CLS], at positions 0 to n-1. What comes back has the text's rows alone, and [CLS] is
pooled (``pool="cls"``). PEFT pools virtual token 0 (``pool="first"``), which knows little: with MiniLM it cost a quarter of
the accuracy. Read before: base.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import minitorch
from minitorch import Tensor, nn

from ..errors import BadInput
from .base import PeftConfig, layer_at, put


@dataclass
class PromptTuningConfig(PeftConfig):
    """prompt_tuning_init: SAMPLE_VOCAB (words of the vocabulary), TEXT (of a text), RANDOM (N(0, 1), far too large for BERT)."""

    num_virtual_tokens: int = 10
    prompt_tuning_init: str = "SAMPLE_VOCAB"
    prompt_tuning_init_text: str | None = None
    tokenizer_name_or_path: str | None = None
    pool: str = "cls"

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
        words = body(model).embeddings.word_embeddings.weight
        prompt = Prompt(nn.Parameter(self._start(words)), self.pool)
        put(model, "bert", name, prompt)
        return {"prompt_embeddings": prompt.prompt}

    def _start(self, words: Tensor) -> Tensor:
        n, (V, H) = self.num_virtual_tokens, words.shape
        if self.prompt_tuning_init == "RANDOM":
            return minitorch.randn(n, H).astype(words.dtype)
        if self.prompt_tuning_init == "TEXT":
            from ..text.encoding import BertTokenizer

            tokenizer = BertTokenizer.from_pretrained(str(self.tokenizer_name_or_path))
            ids = tokenizer(self.prompt_tuning_init_text, add_special_tokens=False)["input_ids"]
            at = minitorch.tensor((ids * (n // max(1, len(ids)) + 1))[:n])
        else:
            at = minitorch.randint(0, V, (n,))
        return minitorch.index_select(words.detach(), 0, at)


@dataclass
class PromptEncoderConfig(PeftConfig):
    """P-tuning. encoder_hidden_size: the width of its MLP; None means H."""

    num_virtual_tokens: int = 10
    encoder_hidden_size: int | None = None
    encoder_reparameterization_type: str = "MLP"
    encoder_num_layers: int = 2
    encoder_dropout: float = 0.0
    pool: str = "cls"

    peft_type: ClassVar[str] = "P_TUNING"
    unsaid: ClassVar[dict[str, Any]] = {"pool": "first"}

    def __post_init__(self) -> None:
        check(self)
        if self.encoder_reparameterization_type != "MLP":
            raise BadInput(f"encoder_reparameterization_type {self.encoder_reparameterization_type!r} is not supported, MLP is")

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        H = body(model).config.hidden_size
        n, width = self.num_virtual_tokens, self.encoder_hidden_size or H
        prompt = Prompt(nn.Parameter(minitorch.randn(n, H)), self.pool)
        if not self.inference_mode:
            prompt.encoder = nn.Sequential(
                nn.Linear(H, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, H)
            )  # fmt: skip
        put(model, "bert", name, prompt)
        own = {f"prompt_encoder.mlp_head.{k}": p for k, p in prompt.encoder.named_parameters()} if prompt.encoder else {}
        return {"prompt_encoder.embedding.weight" if own else "prompt_embeddings": prompt.prompt, **own}


def check_count(n: Any) -> None:
    """BadInput for what is no number of virtual tokens."""
    if not isinstance(n, int) or n < 1:
        raise BadInput(f"num_virtual_tokens must be a whole number of at least 1, not {n!r}")


def check(config: Any) -> None:
    """What both have in common."""
    check_count(config.num_virtual_tokens)
    if config.pool not in ("cls", "first"):
        raise BadInput(f'pool is {config.pool!r}; there are "cls" and "first"')


def body(model: nn.Module) -> Any:
    """The encoder, in which virtual tokens have their place."""
    if not hasattr(model, "bert"):
        raise BadInput(f"virtual tokens need a model with a head around its encoder (.bert); {type(model).__name__} has none")
    return layer_at(model, "bert")


class Prompt(nn.Module):
    """The vectors P, in front of every text."""

    def __init__(self, prompt: nn.Parameter, pool: str) -> None:
        super().__init__()
        self.prompt, self.pool = prompt, pool
        self.encoder: nn.Module | None = None

    def vectors(self) -> Tensor:
        """P (n, H)."""
        return self.prompt if self.encoder is None else self.encoder(self.prompt)

    def forward(
        self,
        layer: Any,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        return_dict: bool | None = None,
        rows: Tensor | None = None,
        **options: Any,
    ) -> Any:
        bert, P = getattr(layer, "base_layer", layer), self.vectors()
        x = bert.embeddings.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        (B, S, H), n = x.shape, P.shape[0]
        if position_ids is not None:
            raise ValueError("virtual tokens take the positions 0 to n-1: position_ids cannot be given with them")
        if n + S > bert.config.max_position_embeddings:
            most = bert.config.max_position_embeddings
            raise ValueError(f"{n} virtual tokens and a text of {S} are more than the model's {most} positions; shorten the text")
        front = minitorch.ones(B, n, dtype=minitorch.int64)
        mask = None if attention_mask is None else minitorch.cat([front.astype(attention_mask.dtype), attention_mask], dim=1)
        types = None if token_type_ids is None else minitorch.cat([front * 0, token_type_ids], dim=1)
        x = minitorch.cat([P.astype(x.dtype).expand(B, n, H), x], dim=1)
        output = layer(None, mask, types, None, x, rows=None if rows is None else rows + n, **options)
        return self.of_the_text(bert, output, n, rows, return_dict)

    def of_the_text(self, bert: Any, output: Any, n: int, rows: Tensor | None, return_dict: bool | None) -> Any:
        """The output without the virtual tokens' rows."""
        hidden, pooled = output.last_hidden_state, output.pooler_output
        if rows is None:
            hidden = hidden[:, n:]
            pooled = pooled if self.pool == "first" or bert.pooler is None else bert.pooler(hidden)
        output = type(output)(
            last_hidden_state=hidden, pooler_output=pooled, hidden_states=output.hidden_states, attentions=output.attentions
        )
        return output.to_tuple() if return_dict is False else output
