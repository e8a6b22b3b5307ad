"""BertConfig: the numbers that make a BERT, under Hugging Face's names, and the sizes Google published.

Read next: model.py.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PRESETS = {  # name: (layers, hidden size); heads are 64 wide, the feed-forward layer is 4 times as wide
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
}


@dataclass(init=False)
class BertConfig:
    """The content of a ``config.json``. Keys that are not listed here are kept in ``extra`` and written back."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"  # exact, by erf; "gelu_new" and "gelu_pytorch_tanh" are the tanh form
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    position_embedding_type: str = "absolute"
    classifier_dropout: float | None = None  # None: hidden_dropout_prob
    tie_word_embeddings: bool = True
    problem_type: str | None = None  # regression, single_label_classification, multi_label_classification
    id2label: dict[int, str] = field(default_factory=lambda: {0: "LABEL_0", 1: "LABEL_1"})
    label2id: dict[str, int] = field(default_factory=lambda: {"LABEL_0": 0, "LABEL_1": 1})
    output_hidden_states: bool = False
    output_attentions: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def __init__(self, *, num_labels: int | None = None, **values: Any) -> None:
        self.extra = {}
        for f in dataclasses.fields(self):
            if f.name != "extra":
                default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
                given = values.pop(f.name, default)
                setattr(self, f.name, default if given is None else given)  # null in a file: as if it were not there
        self.id2label = {int(i): str(label) for i, label in self.id2label.items()}
        self.label2id = {label: i for i, label in self.id2label.items()}
        self.extra = {**values.pop("extra", {}), **values}
        if num_labels is not None:
            self.num_labels = num_labels
        self.check()

    def check(self) -> None:
        """Refuse what makes no BERT, or one that is not supported."""
        for f in dataclasses.fields(self):
            value, kind = getattr(self, f.name), str(f.type)
            least = 0 if f.name in ("pad_token_id", "num_hidden_layers") else 1
            if kind == "int" and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise ValueError(f"{f.name} must be a whole number of at least {least}, not {value!r}")
            most = 1 if "dropout" in f.name else math.inf
            if kind.startswith("float") and value is not None and not (isinstance(value, int | float) and 0 <= value <= most):
                raise ValueError(f"{f.name} must be a number {'from 0 to 1' if most == 1 else 'not below 0'}, not {value!r}")
        if self.num_attention_heads == 0 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}, "
                "so that every head gets the same number of columns"
            )
        if self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id {self.pad_token_id} is not in the vocabulary of {self.vocab_size}")
        if self.position_embedding_type != "absolute":
            raise ValueError(f'position_embedding_type "{self.position_embedding_type}" is not supported, only "absolute" is')
        if self.extra.get("is_decoder") or self.extra.get("add_cross_attention"):
            raise ValueError("this BERT is an encoder: is_decoder and add_cross_attention must be false")
        if self.extra.get("pruned_heads"):
            raise ValueError("checkpoints with pruned heads are not supported: load one before pruning")

    def __getattr__(self, name: str) -> Any:
        """Keys that are not listed above are attributes, too."""
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        raise AttributeError(f"BertConfig has no {name!r}")

    @property
    def num_labels(self) -> int:
        """How many classes a classification head has."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, n: int) -> None:
        if n != len(self.id2label):
            self.id2label = {i: f"LABEL_{i}" for i in range(n)}
            self.label2id = {label: i for i, label in self.id2label.items()}

    @classmethod
    def preset(cls, size: str, **changes: Any) -> BertConfig:
        """One of the small BERTs that Google published: tiny, mini, small, medium, base."""
        if size not in PRESETS:
            raise ValueError(f'no BERT of size "{size}"; there are {", ".join(PRESETS)}')
        layers, hidden = PRESETS[size]
        shape = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": hidden // 64}
        return cls(**{**shape, "intermediate_size": 4 * hidden, **changes})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BertConfig:
        """From the content of a config.json; unknown keys are kept."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The content of a config.json."""
        values = dataclasses.asdict(self)
        extra = values.pop("extra")
        return {"model_type": "bert", **extra, **values}

    @classmethod
    def from_json_file(cls, path: str | Path) -> BertConfig:
        """Read a config.json (Hugging Face's) or bert_config.json (Google's)."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a JSON file ({error})") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path}: a configuration is a JSON object of names and values, this holds {type(values).__name__}")
        if values.get("model_type", "bert") != "bert":
            raise ValueError(f'{path}: model_type is "{values["model_type"]}", not "bert"; this file configures another model')
        try:
            return cls.from_dict(values)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
