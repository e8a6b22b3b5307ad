"""GPT2Config: the numbers that make a GPT-2, under Hugging Face's names, and sizes from a lesson's to GPT-2 small.

Read before: ../checkpoints/config.py, ../bert/config.py. Read next: model.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..checkpoints.config import Config
from ..errors import quoted

PRESETS = {  # name: (layers, heads, hidden size, positions); the feed-forward layer is 4 times as wide
    "nano": (4, 4, 128, 256),  # 0.8 million weights in its layers: the shape nanoGPT trains on a CPU
    "mini": (4, 4, 256, 256),
    "medium": (8, 8, 512, 512),
    "small": (12, 12, 768, 1024),  # GPT-2 small: 124,439,808 weights with its 50,257 tokens
}
UNSUPPORTED = {  # a switch of Hugging Face's that makes another attention of it: the one value that is computed here
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}


@dataclass(init=False)
class GPT2Config(Config):
    """The content of a ``config.json``. Keys that are not listed here are kept in ``extra`` and written back."""

    model_type = "gpt2"
    kind = "GPT-2"
    aliases: ClassVar = {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    }
    base = "transformer"
    body = ("wte.", "wpe.", "h.", "ln_f.")
    body_name = "model"
    layers = ("n_layer", "h.")
    sizes: ClassVar = {
        "vocab_size": ("wte.weight", "lm_head.weight", 0),
        "n_embd": ("wte.weight", "lm_head.weight", 1),
        "n_positions": ("wpe.weight", "", 0),
        "n_inner": ("h.0.mlp.c_fc.weight", "", 1),
    }

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None  # None: 4 n_embd
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: list[int] | int | None = 50256
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.check()

    def check(self) -> None:
        """Refuse what makes no GPT-2, or one that is not supported."""
        super().check()
        self.check_heads("n_embd", "n_head")
        for i in self.eos_token_ids:
            if not isinstance(i, int) or isinstance(i, bool) or i < 0:
                raise ValueError(f"eos_token_id must be the number of a token, several or none, not {quoted(self.eos_token_id)}")
        for name, value in UNSUPPORTED.items():
            if self.extra.get(name, value) is not value:
                raise ValueError(f"{name} must be {str(value).lower()}: another attention is not supported")

    @property
    def intermediate_size(self) -> int:
        """The width of the feed-forward layer."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @property
    def eos_token_ids(self) -> list[int]:
        """The tokens that end a text."""
        ids = self.eos_token_id
        return [] if ids is None else list(ids) if isinstance(ids, list | tuple) else [ids]

    def check_memory(self) -> None:
        """Refuse sizes that cannot be meant, before memory is taken: weights in float32 that this machine cannot hold."""
        L, H, I = self.n_layer, self.n_embd, self.intermediate_size
        sizes = ("n_layer", "n_embd", "vocab_size", "n_positions", "intermediate_size")
        self.refuse_beyond_memory((self.vocab_size + self.n_positions) * H + L * (4 * H * H + 2 * H * I), *sizes)

    @classmethod
    def preset(cls, size: str, **changes: Any) -> GPT2Config:
        """One of nano, mini, medium, small (GPT-2's own smallest)."""
        if size not in PRESETS:
            raise ValueError(f'no GPT of size "{size}"; there are {", ".join(PRESETS)}')
        shape = zip(("n_layer", "n_head", "n_embd", "n_positions"), PRESETS[size], strict=True)
        return cls(**{**dict(shape), **changes})
