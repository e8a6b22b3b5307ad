"""Models that are saved to, and loaded from, a folder as Hugging Face's are, whatever the model.

Checkpoints pass both ways by parameter name. On the way in, names and layouts of the file become the class's, the prefix of the
bare model (``bert.``, ``transformer.``) is added or dropped as the class needs it, and what is missing, left over or of the wrong
shape is reported. What a kind of model must say of its own is at the head of SavedModel.
Read before: files.py, config.py. Read next: bert/weights.py, gpt/weights.py; int8.py.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import minitorch
from minitorch import Tensor, nn
from minitorch.dtypes import all_below
from minitorch.files import write_text
from minitorch.ops import may_read

from ..errors import nearest
from .config import Config
from .files import config_file, locate, read_all_shapes, read_weights, write_weights
from .int8 import put_int8

# Keywords of Hugging Face's from_pretrained: where to find files, how to load them; and values of configurations unused here.
HUB: tuple[str, ...] = (
    "cache_dir",
    "force_download",
    "local_files_only",
    "low_cpu_mem_usage",
    "proxies",
    "revision",
    "token",
    "trust_remote_code",
)
HUB += ("use_auth_token", "use_safetensors", "attn_implementation")
UNUSED = ("architectures", "bos_token_id", "eos_token_id", "sep_token_id", "chunk_size_feed_forward", "is_decoder", "use_cache")
UNUSED += ("add_cross_attention", "is_encoder_decoder", "finetuning_task", "pruned_heads", "torchscript", "tokenizer_class")
UNUSED += ("return_dict", "dtype", "torch_dtype", "transformers_version", "name_or_path", "task_specific_params")
FIXED: dict[str, tuple[Any, ...]] = {"return_dict": (True,), "dtype": ("float32", "auto", minitorch.float32)}
FIXED["torch_dtype"] = FIXED["dtype"]
FIXED_CURE = {"return_dict": "give it to the call of the model", "dtype": "weights are float32; see minitorch.amp for less"}
FIXED_CURE["torch_dtype"] = FIXED_CURE["dtype"]


def changed(config: Config, changes: dict[str, Any]) -> Config:
    """The configuration with these changes; new names of labels replace both of the old tables."""
    names = changes.get("id2label", changes.get("label2id"))
    count = changes.get("num_labels")
    if isinstance(names, dict) and count is not None and len(names) != count:
        raise ValueError(
            f"num_labels={count}, but id2label names {len(names)} labels; leave num_labels out, it follows from them"
        )
    values = config.to_dict()
    if names is not None:
        values = {name: value for name, value in values.items() if name not in ("id2label", "label2id")}
    return type(config).from_dict({**values, **changes})


def check_keywords(changes: dict[str, Any], config: Config, kind: type[SavedModel]) -> dict[str, Any]:
    """The changes without keywords that have no meaning here; one that no configuration has is a TypeError.

    What Hugging Face would do for it and this model does not is a ValueError, never a silence.
    """
    known = [*vars(config), *config.aliases, *config.extra, *kind.options, *UNUSED, *HUB]
    known += ["num_labels", "output_loading_info", "ignore_mismatched_sizes"]
    for name in changes:
        if name == "extra" or name not in known:
            raise TypeError(f"{kind.__name__}.from_pretrained has no keyword {name!r}; the nearest is {nearest(name, known)!r}")
    for name, fine in FIXED.items():
        if changes.get(name) not in (None, *fine):
            raise ValueError(f"{name}={changes[name]!r} is not supported by from_pretrained; {FIXED_CURE[name]}")
    return {name: value for name, value in changes.items() if name not in HUB and name not in FIXED}


class SavedModel(nn.Module):
    """A model with a config that is saved to, and loaded from, a folder."""

    config: Any
    config_class: ClassVar[type[Config]]
    tied: ClassVar[dict[str, str]] = {}  # name: its twin; one tensor under two names, stored under the twin's
    not_missed: ClassVar[re.Pattern[str]] = re.compile("(?!)")  # often in a file, unused by the class that reads it
    options: ClassVar[tuple[str, ...]] = ()  # keywords of the class that are no values of its configuration
    labels: int | None = None  # how many a head has that always has as many

    def __init__(self, config: Any) -> None:
        super().__init__()
        config.check_memory()
        self.config = config

    def tie_weights(self) -> None:
        """Make one tensor of those that share their values."""
        raise NotImplementedError

    def num_parameters(self) -> int:
        """The number of parameters; shared ones count once."""
        return sum(p.numel() for p in self.parameters())

    def check_ids(self, input_ids: Tensor) -> None:
        """Raise an error that names the first id outside the vocabulary and its place."""
        if input_ids.ndim != 2:
            raise ValueError(f"input_ids must have the shape (batch, tokens), got {tuple(input_ids.shape)}")
        ids, vocab_size = input_ids.array, self.config.vocab_size
        if may_read(ids) and not all_below(ids, vocab_size):
            row, column = (int(i[0]) for i in ((ids < 0) | (ids >= vocab_size)).nonzero())
            raise ValueError(
                f"input_ids[{row}, {column}] is {int(ids[row, column])}, but the vocabulary has {vocab_size} entries "
                f"(0 to {vocab_size - 1}): the tokenizer and the model do not belong together"
            )

    def to_file(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights as a file has them."""
        return state

    def from_file(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A file's weights under the names, and in the layout, of this kind of model."""
        return weights

    # ---------------------------------------------------------------------------------------------------- saving

    def save_pretrained(self, folder: str | Path, max_shard_size: int | None = None) -> None:
        """Write config.json and model.safetensors (or several files of at most ``max_shard_size`` bytes, and their index).

        Each file is complete or absent, never half.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: a file; a checkpoint is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        state = dict(self.state_dict())
        for name, twin in self.tied.items():
            if name in state:
                if self.config.tie_word_embeddings:
                    del state[name]
                elif state[name].array is state[twin].array:
                    state[name] = state[name].clone()  # two tensors in the file: a reader that does not tie wants both
        write_weights(self.to_file(state), folder, max_shard_size)
        config = {**self.config.to_dict(), "architectures": [type(self).__name__]}
        write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")

    # --------------------------------------------------------------------------------------------------- loading

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path,
        *,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        **changes: Any,
    ) -> Any:
        """The model of a folder (or, with huggingface_hub installed, of "organisation/name"), in eval mode.

        changes: configuration values other than the folder's, such as num_labels=3 (and the class's own options).
        With output_loading_info the result is (model, {"missing_keys", "unexpected_keys", "mismatched_keys"}).
        """
        folder = locate(name_or_folder)
        config = cls.config_class.from_json_file(config_file(folder))
        changes = check_keywords(changes, config, cls)
        options = {name: changes.pop(name) for name in cls.options if name in changes}
        if cls.labels is not None and changes.setdefault("num_labels", cls.labels) != cls.labels:
            raise ValueError(f"{cls.__name__} always has {cls.labels} labels, not num_labels={changes['num_labels']}")
        config = changed(config, changes)
        if not ignore_mismatched_sizes:
            check_sizes(
                config, read_all_shapes(folder), f"{folder}: {config_file(folder).name} says", f"{folder}: asked for", changes
            )
        weights = read_weights(folder)
        int8 = any(w.dtype == minitorch.int8 for w in weights.values())
        try:
            model = nn.utils.skip_init(cls, config, **options) if int8 else cls(config, **options)
            if int8:
                put_int8(model, model.fit_prefix(weights))
        except ValueError as error:
            raise ValueError(f"{config_file(folder)}: {error}") from error
        info = model.load_weights(weights, folder, ignore_mismatched_sizes)
        model.name_or_path = str(folder)  # as Hugging Face has it
        model.eval()
        return (model, info) if output_loading_info else model

    def load_weights(
        self, weights: dict[str, Tensor], source: Any, ignore_mismatched_sizes: bool = False
    ) -> dict[str, list[str]]:
        """Load the weights whose names match; return the names that are missing, unexpected and of another shape."""
        weights = self.fit_prefix(self.from_file(weights))
        own = self.state_dict()
        for name, twin in self.tied.items():  # tied weights: one name is enough, and a second one in the file is ignored
            if twin in own and twin not in weights and name in weights:
                weights[twin] = weights[name]
            if name in own and twin in weights and (name not in weights or self.config.tie_word_embeddings):
                weights[name] = weights[twin]
        mismatched = [name for name in own if name in weights and weights[name].shape != own[name].shape]
        if mismatched and not ignore_mismatched_sizes:
            details = "; ".join(f"{name} is {weights[name].shape} in the file, {own[name].shape} here" for name in mismatched[:3])
            raise ValueError(
                f"{source}: {len(mismatched)} weights have another shape than the configuration says: {details}; "
                "is config.json that of this file? (ignore_mismatched_sizes=True starts these afresh)"
            )
        missing = [name for name in own if name not in weights]
        unexpected = [name for name in weights if name not in own and not self.not_missed.search(name)]
        fitting = {name: w for name, w in weights.items() if name in own and name not in mismatched}
        if not fitting:
            raise ValueError(f"{source}: none of its {len(weights)} weights belongs to a {type(self).__name__}")
        config = self.config
        body = [name for name in missing if name.removeprefix(f"{config.base}.").startswith(config.body)]
        if body and not ignore_mismatched_sizes:
            raise ValueError(
                f"{source}: {len(body)} weights of the {config.body_name} are missing, such as {body[0]}; is the file "
                "complete, and is config.json that of this file? (ignore_mismatched_sizes=True starts these afresh)"
            )
        self.load_state_dict(fitting, strict=False)
        self.tie_weights()
        kind = type(self).__name__
        fresh = [*missing, *mismatched]
        tell(source, f"{{}} weights of {kind} are not in this checkpoint and start at random: {{}}; train before use", fresh)
        tell(source, f"{kind} has no use for {{}} weights of this checkpoint: {{}}", unexpected)
        return {"missing_keys": missing, "unexpected_keys": unexpected, "mismatched_keys": mismatched}

    def fit_prefix(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The bare model's name in front of its weights (``bert.``) comes or goes."""
        base = f"{self.config.base}."
        if not hasattr(self, self.config.base):
            return {name.removeprefix(base): value for name, value in weights.items()}
        if any(name.startswith(base) for name in weights):
            return weights
        inside = (*self.config.body, "pooler.")
        return {f"{base}{name}" if name.startswith(inside) else name: value for name, value in weights.items()}


def tell(source: Any, text: str, names: list[str]) -> None:
    """Warn of weights that model and file do not share, if there are any."""
    if names:
        shown = f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        warnings.warn(f"{source}: {text.format(len(names), shown)}", stacklevel=4)


def check_sizes(config: Config, shapes: dict[str, tuple[int, ...]], said: str, asked: str = "", changes: Any = ()) -> None:
    """Compare a configuration with the shapes of the weights, before memory is taken.

    said: how an error begins ("config.json says"); asked: the same of the fields in ``changes``, which are the caller's.
    """
    there = {name.removeprefix(f"{config.base}."): shape for name, shape in shapes.items()}

    def refuse(field: str, wanted: int, thing: str, found: int, detail: str) -> NoReturn:
        who = asked if field in changes else said
        raise ValueError(f"{who} {wanted} {thing}, the weights have {found}: {detail}")

    if not any(name.startswith(config.body) for name in there):
        return  # read_weights or load_weights says what this is
    field, prefix = config.layers
    L, layers = getattr(config, field), {name[len(prefix) :].split(".")[0] for name in there if name.startswith(prefix)}
    if len(layers) < L:
        each = [name.removeprefix(f"{prefix}0.") for name in there if name.startswith(f"{prefix}0.")] or ["attention"]
        lacking = len(each) * (L - len(layers))
        detail = f"{lacking} weights of the {config.body_name} are missing, such as {prefix}{len(layers)}.{each[0]}"
        refuse(field, L, "layers", len(layers), detail)
    for field, (name, twin, dim) in config.sizes.items():
        if name.startswith(prefix) and not L:
            continue
        size = getattr(config, "intermediate_size" if field == "n_inner" else field)
        shape = there.get(name) or there.get(twin)
        if shape is None or len(shape) != 2:
            refuse(field, size, f"for {field}", 0, f"{name} is missing or no table; is the file complete?")
        wanted = tuple(size if i == dim else n for i, n in enumerate(shape))
        if wanted != shape:
            detail = f"{name} is {shape} in the file, {wanted} here; is config.json that of this file?"
            refuse(field, size, f"for {field}", shape[dim], detail)
