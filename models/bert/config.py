"""BertConfig: the numbers that make a BERT, under Hugging Face's names, and the sizes Google published.

Read next: model.py.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import quoted, short
from ..reading import read_json

MOST_LABELS = 100_000
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
        labels = agreed_labels(values.pop("id2label", None), values.pop("label2id", None))
        for f in dataclasses.fields(self):
            if f.name != "extra":
                default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
                given = values.pop(f.name, default)
                setattr(self, f.name, default if given is None else given)  # null in a file: as if it were not there
        self.id2label = self.id2label if labels is None else labels
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
            if kind == "int" and (not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**31):
                bounds = f"of at least {least}" if not isinstance(value, int) or value < 2**31 else "below 2³¹"
                raise ValueError(f"{f.name} must be a whole number {bounds}, not {quoted(value)}")
            most = 1 if "dropout" in f.name else 1e6
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if kind.startswith("float") and value is not None and not (number and 0 <= value <= most):
                bounds = "from 0 to 1" if most == 1 else "from 0 to a million"
                raise ValueError(f"{f.name} must be a number {bounds}, not {quoted(value)}")
            if (kind == "bool" and not isinstance(value, bool)) or (kind == "str" and not isinstance(value, str)):
                raise ValueError(f"{f.name} must be {'true or false' if kind == 'bool' else 'a text'}, not {quoted(value)}")
        if self.problem_type not in (None, "regression", "single_label_classification", "multi_label_classification"):
            raise ValueError(f"problem_type {quoted(self.problem_type)} is unknown")
        if self.num_attention_heads == 0 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}, "
                "so that every head gets the same number of columns"
            )
        if self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id {self.pad_token_id} is not in the vocabulary of {self.vocab_size}")
        if self.position_embedding_type != "absolute":
            kind = short(self.position_embedding_type)
            raise ValueError(f'position_embedding_type "{kind}" is not supported, only "absolute" is')
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
        if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= MOST_LABELS:
            raise ValueError(f"num_labels must be a whole number from 0 to {MOST_LABELS:,}, not {quoted(n)}")
        if n != len(self.id2label):
            self.id2label = {i: f"LABEL_{i}" for i in range(n)}
            self.label2id = {label: i for i, label in self.id2label.items()}

    def with_labels(self, n: int) -> BertConfig:
        """This configuration, or where it has not n labels a copy with n of no name."""
        if self.num_labels == n:
            return self
        copy = BertConfig.from_dict(self.to_dict())
        copy.num_labels = n
        return copy

    def check_memory(self) -> None:
        """Refuse sizes that cannot be meant, before memory is taken: weights in float32 that this machine cannot hold."""
        L, H, I = self.num_hidden_layers, self.hidden_size, self.intermediate_size
        rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size + self.num_labels
        size = 4 * (rows * H + L * (4 * H * H + 2 * H * I)) + 50_000 * L  # bytes; a layer's modules take some, too
        there = memory()
        if size > there:
            sizes = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings")
            raise ValueError(
                f"a BERT of these sizes needs {size >> 30:,} GB, this machine has {there >> 30:,}: "
                + ", ".join(f"{name} {getattr(self, name):,}" for name in sizes)
            )

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
        values["label2id"] = {label: i for i, label in self.id2label.items()}
        return {"model_type": "bert", **extra, **values}

    @classmethod
    def from_json_file(cls, path: str | Path) -> BertConfig:
        """Read a config.json (Hugging Face's) or bert_config.json (Google's)."""
        values = read_json(path, "a configuration")
        if values.get("model_type", "bert") != "bert":
            kind = short(values["model_type"])
            raise ValueError(f'{path}: model_type is "{kind}", not "bert"; this file configures another model')
        try:
            return cls.from_dict(values)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {short(error, 300)}") from error


def checked_labels(names: Any) -> dict[int, str]:
    """id2label with numbers as keys, as JSON cannot have them: a name for each of 0, 1, 2, ..."""
    if not isinstance(names, dict) or not all(isinstance(name, str | int | float) for name in names.values()):
        raise ValueError(f"id2label must map the numbers of labels to their names, not be {quoted(names)}")
    labels = {int(i): str(name) for i, name in names.items()}
    if len(labels) > MOST_LABELS or sorted(labels) != list(range(len(labels))):
        raise ValueError(f"id2label must name the labels 0, 1, 2, ... (at most {MOST_LABELS:,}), each once")
    return labels


def agreed_labels(names: Any, numbers: Any) -> dict[int, str] | None:
    """id2label; of label2id if that alone is given. Both have to agree, but LABEL_0, ... that older files keep next to names."""
    if numbers is not None and not (isinstance(numbers, dict) and all(str(i).isdecimal() for i in numbers.values())):
        raise ValueError(f"label2id must map the names of labels to their numbers, not be {quoted(numbers)}")
    numbers = {str(label): int(i) for label, i in (numbers or {}).items()}
    if names is None:
        return checked_labels({i: label for label, i in numbers.items()}) if numbers else None
    labels = checked_labels(names)
    if all(re.fullmatch(r"LABEL_\d+", label) for label in numbers):
        return labels
    for label in {**numbers, **{label: i for i, label in labels.items()}}:
        if labels.get(numbers.get(label, -1)) != label:
            says = f"{numbers[label]}" if label in numbers else "nothing"
            raise ValueError(
                f"id2label and label2id disagree: of {quoted(label)} label2id says {says}, id2label is {quoted(labels)}"
            )
    return labels


def memory() -> int:
    """The machine's memory in bytes; where that is not known, more than anything needs."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 60
