"""BertConfig: the numbers that make a BERT, under Hugging Face's names, and the sizes Google published.

Read before: ../checkpoints/config.py. Read next: model.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..checkpoints.config import Config
from ..errors import quoted, short

MOST_LABELS = 100_000
PRESETS = {  # name: (layers, hidden size); heads are 64 wide, the feed-forward layer is 4 times as wide
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
}


@dataclass(init=False)
class BertConfig(Config):
    """The content of a ``config.json``. Keys that are not listed here are kept in ``extra`` and written back."""

    model_type = "bert"
    kind = "BERT"
    base = "bert"
    body = ("embeddings.", "encoder.")
    body_name = "encoder"
    layers = ("num_hidden_layers", "encoder.layer.")
    sizes: ClassVar = {
        "vocab_size": ("embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", 0),
        "hidden_size": ("embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", 1),
        "max_position_embeddings": ("embeddings.position_embeddings.weight", "", 0),
        "type_vocab_size": ("embeddings.token_type_embeddings.weight", "", 0),
        "intermediate_size": ("encoder.layer.0.intermediate.dense.weight", "", 0),
    }

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

    def __init__(self, *, num_labels: int | None = None, **values: Any) -> None:
        labels = agreed_labels(values.pop("id2label", None), values.pop("label2id", None))
        super().__init__(**values, id2label=labels)
        self.label2id = {label: i for i, label in self.id2label.items()}
        if num_labels is not None:
            self.num_labels = num_labels
        self.check()

    def check(self) -> None:
        """Refuse what makes no BERT, or one that is not supported."""
        super().check()
        if self.problem_type not in (None, "regression", "single_label_classification", "multi_label_classification"):
            raise ValueError(f"problem_type {quoted(self.problem_type)} is unknown")
        self.check_heads("hidden_size", "num_attention_heads")
        if self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id {self.pad_token_id} is not in the vocabulary of {self.vocab_size}")
        if self.position_embedding_type != "absolute":
            kind = short(self.position_embedding_type)
            raise ValueError(f'position_embedding_type "{kind}" is not supported, only "absolute" is')
        if self.extra.get("is_decoder") or self.extra.get("add_cross_attention"):
            raise ValueError("this BERT is an encoder: is_decoder and add_cross_attention must be false")
        if self.extra.get("pruned_heads"):
            self.extra["pruned_heads"] = checked_heads(self)

    def heads_of(self, layer: int) -> int:
        """How many heads a layer has: num_attention_heads, without those that ``pruned_heads`` names."""
        return self.num_attention_heads - len((self.extra.get("pruned_heads") or {}).get(layer, ()))

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
        sizes = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings")
        self.refuse_beyond_memory(rows * H + L * (4 * H * H + 2 * H * I), *sizes)

    @classmethod
    def preset(cls, size: str, **changes: Any) -> BertConfig:
        """One of the small BERTs that Google published: tiny, mini, small, medium, base."""
        if size not in PRESETS:
            raise ValueError(f'no BERT of size "{size}"; there are {", ".join(PRESETS)}')
        layers, hidden = PRESETS[size]
        shape = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": hidden // 64}
        return cls(**{**shape, "intermediate_size": 4 * hidden, **changes})


def checked_heads(config: BertConfig) -> dict[int, list[int]]:
    """pruned_heads, {layer: heads that are gone}, as numbers; an error for one that is not there, or a layer without heads."""
    given, L, A = config.extra["pruned_heads"], config.num_hidden_layers, config.num_attention_heads
    if not isinstance(given, dict) or not all(isinstance(heads, list) for heads in given.values()):
        raise ValueError(f"pruned_heads must map the numbers of layers to lists of heads, not be {quoted(given)}")
    pruned = {}
    for layer, heads in given.items():
        if not str(layer).isdecimal() or int(layer) >= L:
            raise ValueError(f"pruned_heads names layer {quoted(layer)}; there are layers 0 to {L - 1}")
        if odd := [h for h in heads if not isinstance(h, int) or isinstance(h, bool) or not 0 <= h < A]:
            raise ValueError(f"pruned_heads names head {quoted(odd[0])} of layer {layer}; there are heads 0 to {A - 1}")
        if len(set(heads)) == A:
            raise ValueError(f"pruned_heads takes all {A} heads of layer {layer}; a layer needs one")
        pruned[int(layer)] = sorted(set(heads))
    return pruned


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
