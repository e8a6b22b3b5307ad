"""The methods by the names of ``minitorch finetune --adapt``.

Read before: the methods' own files. Read next: models/finetuning/trainer.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import BadInput, no_such_method
from .adalora import AdaLoraConfig
from .base import HeadConfig, PeftConfig
from .bitfit import BitFitConfig
from .bottleneck import BottleneckConfig
from .ia3 import IA3Config
from .lora import LoraConfig
from .prefix import PrefixTuningConfig
from .prompt import PromptEncoderConfig, PromptTuningConfig

METHODS: dict[str, Callable[[Any], PeftConfig]] = {
    "lora": lambda s: LoraConfig(**low_rank(s)),
    "rslora": lambda s: LoraConfig(use_rslora=True, **low_rank(s)),
    "dora": lambda s: LoraConfig(use_dora=True, **low_rank(s)),
    "adalora": lambda s: AdaLoraConfig(target_r=s.rank, init_r=3 * s.rank // 2, lora_alpha=s.alpha, target_modules=layers(s)),
    "ia3": lambda s: IA3Config(),
    "bitfit": lambda s: BitFitConfig(),
    "houlsby": lambda s: BottleneckConfig(style="houlsby", bottleneck=s.bottleneck or None),
    "pfeiffer": lambda s: BottleneckConfig(style="pfeiffer", bottleneck=s.bottleneck or None),
    "prompt": lambda s: PromptTuningConfig(num_virtual_tokens=s.virtual_tokens),
    "ptuning": lambda s: PromptEncoderConfig(num_virtual_tokens=s.virtual_tokens),
    "prefix": lambda s: PrefixTuningConfig(num_virtual_tokens=s.virtual_tokens, prefix_projection=True),
    "ptuning2": lambda s: PrefixTuningConfig(num_virtual_tokens=s.virtual_tokens),
    "head": lambda s: HeadConfig(),
}
OPTIONS = {  # which methods read a setting
    "rank": ("lora", "rslora", "dora", "adalora"),
    "alpha": ("lora", "rslora", "dora", "adalora"),
    "adapt_layers": ("lora", "rslora", "dora", "adalora"),
    "bottleneck": ("houlsby", "pfeiffer"),
    "virtual_tokens": ("prompt", "ptuning", "prefix", "ptuning2"),
}


def low_rank(s: Any) -> dict[str, Any]:
    """LoRA's settings."""
    return {"r": s.rank, "lora_alpha": s.alpha, "target_modules": layers(s)}


def layers(s: Any) -> str | list[str] | None:
    """--adapt-layers: names joined by commas, or all-linear."""
    return "all-linear" if s.adapt_layers == "all-linear" else s.adapt_layers.split(",") if s.adapt_layers else None


def config_for(s: Any) -> PeftConfig:
    """The config that the settings ask for; ``s`` has adapt and the names of OPTIONS."""
    if s.adapt not in METHODS:
        raise BadInput(f"{no_such_method('--adapt', s.adapt, METHODS)}; all compares them")
    for name, methods in OPTIONS.items():
        if s.adapt not in methods and getattr(s, name) != getattr(type(s), name):
            raise BadInput(f"--{name.replace('_', '-')} is for {', '.join(methods)}; it does not apply to --adapt {s.adapt}")
    return METHODS[s.adapt](s)
