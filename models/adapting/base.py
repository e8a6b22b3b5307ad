"""What the methods share: a config, a layer with adapters in it, and names that choose layers.

A method is a small module that is called with a layer and its input, and answers in the layer's place:

    class Double(nn.Module):
        def forward(self, layer, x):
            return 2 * layer(x)

``Adapted`` takes the layer's place in the model, keeps the layer as it is, and holds any number of methods by name.
Names of layers, configs and files are PEFT's (https://github.com/huggingface/peft). Read next: lora.py.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import minitorch
from minitorch import Tensor, nn

from ..errors import BadInput, listing, short

PEFT_TYPES: dict[str, type[PeftConfig]] = {}  # filled by the methods' own files


@dataclass
class PeftConfig:
    """The settings of a method. ``task_type``: SEQ_CLS, TOKEN_CLS, QUESTION_ANS, FEATURE_EXTRACTION, or None.

    ``modules_to_save``: layers that are trained whole and saved along; None means the model's head.
    ``trainable_token_indices``: words of the vocabulary whose embeddings are trained, too (tokens.py).
    """

    task_type: str | None = None
    base_model_name_or_path: str | None = None
    modules_to_save: list[str] | None = None
    inference_mode: bool = False
    trainable_token_indices: list[int] | None = None

    peft_type: ClassVar[str] = ""
    rate: ClassVar[float] = 1e-3  # a learning rate that suits the method
    unsaid: ClassVar[dict[str, Any]] = {}  # what a file means that does not name a field, where PEFT does otherwise than we

    def __init_subclass__(cls) -> None:
        if cls.peft_type:
            PEFT_TYPES[cls.peft_type] = cls

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        """Put the method into the model under a name; its parameters, by their names in a file."""
        raise NotImplementedError

    def biased(self, model: nn.Module) -> list[str]:
        """The layers whose bias is trained: the method's own takes its place."""
        return []

    def without_saved(self, found: Iterable[str]) -> list[str]:
        """The layers that are not trained whole, and not in one that is."""
        whole = [rf"(.*\.)?{re.escape(name)}(\..*)?" for name in self.modules_to_save or ()]
        return [path for path in found if not any(re.fullmatch(name, path) for name in whole)]

    def to_dict(self) -> dict[str, Any]:
        """The content of adapter_config.json."""
        values = {"peft_type": self.peft_type, **dataclasses.asdict(self)}
        if self.trainable_token_indices is None:
            del values["trainable_token_indices"]  # which PEFT knows for LoRA alone
        return values

    @classmethod
    def of(cls, values: dict[str, Any]) -> PeftConfig:
        """The config that to_dict or PEFT wrote; BadInput names a field that is not known, unless it is neutral there."""
        kind = PEFT_TYPES.get(str(values.get("peft_type")))
        if kind is None:
            raise BadInput(f"peft_type is {values.get('peft_type')!r}; there are {listing(sorted(PEFT_TYPES))}")
        known = {f.name for f in dataclasses.fields(kind)}
        neutral = (None, False, 0, 0.0, [], {}, "", True)
        odd = [k for k, v in values.items() if k not in known | IGNORED and v not in neutral]
        if odd:
            raise BadInput(f"{kind.peft_type} has no support for {listing(f'{k} = {values[k]!r}' for k in odd)}")
        for f in dataclasses.fields(kind):
            check_type(f.name, values.get(f.name, f.default), str(f.type))
        return kind(**{**kind.unsaid, **{k: v for k, v in values.items() if k in known}})


def check_type(name: str, value: Any, kind: str) -> None:
    """BadInput for a value of a file that is not of the field's type, such as text for a number."""
    if value is not dataclasses.MISSING and not is_of(value, kind):
        raise BadInput(f"{name} must be of type {kind}, not {short(value)}")


def is_of(value: Any, kind: str) -> bool:
    """Is the value of a type that is written as an annotation: int | list[str] | dict[str, float] | None?"""
    if " | " in kind:
        return any(is_of(value, part) for part in kind.split(" | "))
    outer, _, inner = kind.removesuffix("]").partition("[")
    if outer == "list":
        return isinstance(value, list) and all(is_of(item, inner) for item in value)
    if outer == "dict":
        return isinstance(value, dict) and all(is_of(item, inner.partition(", ")[2]) for item in value.values())
    names: dict[str, Any] = {"int": int, "float": int | float, "str": str, "bool": bool, "None": type(None)}
    return isinstance(value, names[outer]) and (kind == "bool" or not isinstance(value, bool))


# What PEFT writes and what changes no answer: its version, how the base was loaded, how training began, sizes of the model.
IGNORED = {
    "peft_type", "auto_mapping", "revision", "peft_version", "base_model_class", "runtime_config", "megatron_core", "eva_config",
    "ensure_weight_tying", "qalora_group_size", "num_transformer_submodules", "token_dim", "num_layers", "num_attention_heads",
    "tokenizer_kwargs", "init_weights",
}  # fmt: skip


@dataclass
class TargetedConfig(PeftConfig):
    """The settings of a method for layers that are chosen by name.

    ``target_modules``, ``exclude_modules``: names, or a regular expression; targets may be "all-linear", or None, the method's
    usual ones. ``fan_in_fan_out``: PEFT's model held these weights transposed (GPT-2), which changes nothing here.
    """

    target_modules: str | list[str] | None = None
    exclude_modules: str | list[str] | None = None
    fan_in_fan_out: bool = False

    usual: ClassVar[list[str]] = ["query", "value", "c_attn"]  # of BERT, and of GPT-2

    def targets(self, model: nn.Module, layers: Iterable[int] | None = None, stack: str = r"[^.]*") -> list[str]:
        """The paths of the chosen layers; layers: only those of these numbers, in a list whose name fits ``stack``."""
        found = matching(model, self.target_modules or self.usual, exclude=self.exclude_modules or ())
        if layers is not None:
            wanted = set(layers)
            numbers = {path: m[1] for path in found if (m := re.match(rf"(?:.*?\.)??(?:{stack})\.(\d+)\.", path))}
            found = [path for path in found if int(numbers.get(path, -1)) in wanted]
            if not found:
                there = sorted({int(number) for number in numbers.values()})
                raise BadInput(f"layers_to_transform={sorted(wanted)} chooses no layer; their numbers are {listing(there)}")
        return self.without_saved(found)


class Adapted(nn.Module):
    """A layer with methods by name; those of ``active`` are called, the last one outermost.

    ``groups``: for a batch whose rows use different ones, pairs of names and row numbers.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.adapters = nn.ModuleDict()
        self.active: tuple[str, ...] = ()
        self.groups: list[tuple[tuple[str, ...], Tensor]] | None = None

    @property
    def trained(self) -> nn.Module:
        """The layer that answers: the active copy of it, if there is one, or else the base's."""
        found = [m.copy for n in self.active if n in self.adapters and isinstance(m := self.adapters[n], Whole)]
        return found[-1] if found else self.base_layer

    def forward(self, *inputs: Any, **options: Any) -> Any:
        if self.groups is None:
            return self.run(self.active, *inputs, **options)
        if len(inputs[0]) != sum(len(rows) for _, rows in self.groups):
            raise BadInput(f"adapter_names: a name for each of the {len(inputs[0])} rows of the batch is needed")
        groups = [(names, rows.to(inputs[0].device)) for names, rows in self.groups]
        parts = [self.run(names, *(minitorch.index_select(x, 0, rows) for x in inputs)) for names, rows in groups]
        order = minitorch.argsort(minitorch.cat([rows for _, rows in groups]))
        return minitorch.index_select(minitorch.cat(parts), 0, order)

    def run(self, names: Sequence[str], *inputs: Any, **options: Any) -> Any:
        """The layer's answer with these methods."""
        layer: Callable[..., Any] = self.base_layer
        for name in names:
            if name in self.adapters:
                layer = functools.partial(self.adapters[name], layer)
        return layer(*inputs, **options)


def standing_at(model: nn.Module, path: str) -> Any:
    """What stands at a path: the layer, or the Adapted in its place."""
    for part in path.split(".") if path else ():
        model = getattr(plain(model), part)
    return model


def plain(layer: Any) -> Any:
    """The layer as it is without adapters."""
    return layer.base_layer if isinstance(layer, Adapted) else layer


def layer_at(model: nn.Module, path: str) -> Any:
    """The layer at a path ("" is the model), as it is without adapters."""
    return plain(standing_at(model, path))


def put(model: nn.Module, path: str, name: str, method: nn.Module) -> Any:
    """Give the layer at ``path`` a method under a name."""
    above, _, child = path.rpartition(".")
    parent = layer_at(model, above)
    layer = getattr(parent, child)
    if not isinstance(layer, Adapted):
        training, layer = layer.training, Adapted(layer)
        layer.train(training)
        setattr(parent, child, layer)
    of = next(layer.base_layer.parameters())
    layer.adapters[name] = method.to(of.device).to(of.dtype)
    return method


def paths(model: nn.Module) -> dict[str, nn.Module]:
    """All layers by the names that they had before anything was adapted."""
    found = {}
    for name, layer in model.named_modules():
        if ".adapters." not in f".{name}." and not isinstance(layer, Adapted):
            found[re.sub(r"(^|\.)base_layer(?=\.|$)", "", name)] = layer
    return found


def matching(model: nn.Module, targets: str | Iterable[str], exclude: str | Iterable[str] = ()) -> list[str]:
    """The paths of the Linear layers that ``targets`` chooses and ``exclude`` does not, as PEFT reads both.

    A list of names: the whole path, or its end after a dot. A string: a regular expression for the whole path; "all-linear":
    every Linear but those of the head.
    """
    known = [path for path, layer in paths(model).items() if isinstance(layer, nn.Linear)]
    if targets == "all-linear":
        heads = tuple(f"{name}." for name in head_names(model))
        found = [path for path in known if not f"{path}.".startswith(heads)]
    else:
        found = [path for path in known if fits(path, targets)]
    found = [path for path in found if not fits(path, exclude)]
    if not found:
        ends = sorted({re.sub(r"^.*\.\d+\.", "", path) for path in known})
        what = f"no layer is called {targets if isinstance(targets, str) else listing(targets)}"
        raise BadInput(f"{what}{' and not excluded' if exclude else ''}; there are {listing(ends)}")
    return found


def fits(path: str, names: str | Iterable[str]) -> bool:
    """Is the path one of the names, or does it end in one after a dot? A string is a regular expression for all of it."""
    if isinstance(names, str):
        return expression(names).fullmatch(path) is not None
    return any(path == name or path.endswith(f".{name}") for name in names)


def expression(text: str) -> re.Pattern[str]:
    """The regular expression; BadInput if it is none."""
    try:
        return re.compile(text)
    except re.error as error:
        raise BadInput(f"{text!r} is no regular expression: {error}") from None


def head_names(model: nn.Module) -> list[str]:
    """The children that make the model's answer from the hidden states: classifier, qa_outputs, cls, lm_head."""
    body = ("bert", "embeddings", "encoder", "pooler", "transformer", "wte", "wpe", "h", "ln_f")
    return [name for name, child in model.named_children() if name not in body and any(True for _ in child.parameters())]


class Whole(nn.Module):
    """A copy of a layer that is trained in its place: the head."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.copy = copy.deepcopy(base)

    def forward(self, layer: Any, *inputs: Any) -> Any:
        return self.copy(*inputs)


@dataclass
class HeadConfig(PeftConfig):
    """Nothing but the head: what the pretrained states say by themselves."""

    peft_type: ClassVar[str] = "HEAD"
    rate: ClassVar[float] = 5e-3

    def attach(self, model: nn.Module, name: str) -> dict[str, nn.Parameter]:
        return {}
