"""What the configurations of all models have in common: fields with a type, keys that are kept, config.json.

Read next: bert/config.py, gpt/config.py.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from ..errors import quoted, short
from ..reading import read_json
from .kinds import holding

COUNTED_FROM_0 = ("num_hidden_layers", "n_layer")  # and ids; every other whole number is at least 1


@dataclass(init=False)
class Config:
    """The content of a ``config.json``. Keys that are not listed here are kept in ``extra`` and written back."""

    model_type: ClassVar[str]
    kind: ClassVar[str]  # in messages: "BERT"
    aliases: ClassVar[dict[str, str]] = {}  # another name of a field: the field
    base: ClassVar[str]  # the bare model's name within a model with a head
    body: ClassVar[tuple[str, ...]]  # how names of its weights begin, those of no head
    body_name: ClassVar[str]
    layers: ClassVar[tuple[str, str]]  # the field that counts layers, and how names of their weights begin
    sizes: ClassVar[dict[str, tuple[str, str, int]]]  # a field: the weights that have this size (or their twin), the dimension

    output_hidden_states: bool = False
    output_attentions: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        values = {self.aliases.get(name, name): value for name, value in values.items()}
        self.extra = {}
        for f in dataclasses.fields(self):
            if f.name != "extra":
                default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
                given = values.pop(f.name, default)
                if given is None and "None" not in str(f.type):  # null in a file: as if it were not there
                    given = default
                setattr(self, f.name, given)
        self.extra = {**values.pop("extra", {}), **values}

    def check(self) -> None:
        """Refuse values of the wrong type; a kind of model adds what it does not support."""
        for f in dataclasses.fields(self):
            value, kind = getattr(self, f.name), str(f.type)
            if value is None and "None" in kind:
                continue
            least = 0 if f.name.endswith("_token_id") or f.name in COUNTED_FROM_0 else 1
            whole = isinstance(value, int) and not isinstance(value, bool)
            if kind.startswith("int") and not (whole and least <= value < 2**31):
                bounds = f"of at least {least}" if not isinstance(value, int) or value < 2**31 else "below 2³¹"
                raise ValueError(f"{f.name} must be a whole number {bounds}, not {quoted(value)}")
            most = 1 if "dropout" in f.name or f.name.endswith("_pdrop") else 1e6
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if kind.startswith("float") and not (number and 0 <= value <= most):
                bounds = "from 0 to 1" if most == 1 else "from 0 to a million"
                raise ValueError(f"{f.name} must be a number {bounds}, not {quoted(value)}")
            if (kind == "bool" and not isinstance(value, bool)) or (kind == "str" and not isinstance(value, str)):
                raise ValueError(f"{f.name} must be {'true or false' if kind == 'bool' else 'a text'}, not {quoted(value)}")

    def __getattr__(self, name: str) -> Any:
        """Keys without a field are attributes, too, and so are other names of fields."""
        if name in self.aliases:
            return getattr(self, self.aliases[name])
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def check_heads(self, hidden: str, heads: str) -> None:
        """Every head gets the same number of columns."""
        H, A = getattr(self, hidden), getattr(self, heads)
        if H % A:
            raise ValueError(
                f"{hidden} {H} must be a multiple of {heads} {A}, so that every head gets the same number of columns"
            )

    def check_memory(self) -> None:
        """Refuse sizes that cannot be meant, before memory is taken."""
        raise NotImplementedError

    def refuse_beyond_memory(self, numbers: int, *fields: str) -> None:
        """An error that names the ``fields`` if this machine cannot hold so many numbers in float32."""
        size, there = 4 * numbers + 50_000 * getattr(self, self.layers[0]), memory()  # a layer's modules take some, too
        if size > there:
            raise ValueError(
                f"a {self.kind} of these sizes needs {size >> 30:,} GB, this machine has {there >> 30:,}: "
                + ", ".join(f"{name} {getattr(self, name):,}" for name in fields)
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From the content of a config.json; unknown keys are kept."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The content of a config.json."""
        values = dataclasses.asdict(self)
        extra = values.pop("extra")
        return {"model_type": self.model_type, **extra, **values}

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Read a config.json (Hugging Face's) or bert_config.json (Google's)."""
        values = read_json(path, "a configuration")
        if (kind := values.get("model_type", cls.model_type)) != cls.model_type:
            held = holding(Path(path).parent) or "this file configures another model"
            raise ValueError(f'{path}: model_type is "{short(kind)}", not "{cls.model_type}"; {held}')
        try:
            return cls.from_dict(values)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {short(error, 300)}") from error


def memory() -> int:
    """The machine's memory in bytes; where that is not known, more than anything needs."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 60
