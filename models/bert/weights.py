"""Loading and saving BERTs as Hugging Face does: a folder with config.json and model.safetensors.

Checkpoints pass both ways by parameter name. On the way in, old names (LayerNorm.gamma and .beta) are renamed, the prefix
``bert.`` is added or dropped as the class needs it, and what is missing, left over or of the wrong shape is reported.
Read before: model.py, minitorch/serialization.py. Read next: use.py.
"""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from pathlib import Path
from typing import Any

import minitorch
from minitorch import Tensor, nn
from minitorch.dtypes import is_floating
from minitorch.files import write_text
from minitorch.serialization import read_shapes

from ..errors import nearest, quoted, short
from ..reading import parse_json, read_tensors, read_text
from .config import BertConfig

# A folder with one of these holds a model.
MODEL_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "config.json", "tokenizer.json")
PRETRAINED = "runs/pretrain"  # the default --output of `minitorch pretrain`
# Often in a file but unused by the class that reads it: pretraining heads, pooler, position ids (stored by old versions).
NOT_MISSED = re.compile(r"^(cls\.|(bert\.)?pooler\.)|position_ids$")
TIED = {  # one tensor under two names, stored once
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
# Keywords of Hugging Face's from_pretrained: where to find files, how to load them; and values of configurations unused here.
HUB = (
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
SIZES = {  # a configuration's size: the weights that have it, and the dimension
    "vocab_size": ("embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", 0),
    "hidden_size": ("embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", 1),
    "max_position_embeddings": ("embeddings.position_embeddings.weight", "", 0),
    "type_vocab_size": ("embeddings.token_type_embeddings.weight", "", 0),
    "intermediate_size": ("encoder.layer.0.intermediate.dense.weight", "", 0),
}


def changed(config: BertConfig, changes: dict[str, Any]) -> BertConfig:
    """The configuration with these changes; new names of labels replace both of the old tables."""
    names = changes.get("id2label", changes.get("label2id"))
    count = changes.get("num_labels")
    if isinstance(names, dict) and count is not None and len(names) != count:
        raise ValueError(
            f"num_labels={count}, but id2label names {len(names)} labels; leave num_labels out, it follows from them"
        )
    values = config.to_dict()
    if names is not None:
        del values["id2label"], values["label2id"]
    return BertConfig.from_dict({**values, **changes})


def check_keywords(changes: dict[str, Any], config: BertConfig, kind: str) -> dict[str, Any]:
    """The changes without keywords that have no meaning here; one that no configuration has is a TypeError.

    What Hugging Face would do for it and this model does not is a ValueError, never a silence.
    """
    known = [*vars(config), *config.extra, "num_labels", *UNUSED, *HUB, "output_loading_info", "ignore_mismatched_sizes"]
    known += ["add_pooling_layer"] * (kind == "BertModel")
    for name in changes:
        if name == "extra" or name not in known:
            raise TypeError(f"{kind}.from_pretrained has no keyword {name!r}; the nearest is {nearest(name, known)!r}")
    for name, fine in FIXED.items():
        if changes.get(name) not in (None, *fine):
            raise ValueError(f"{name}={changes[name]!r} is not supported by from_pretrained; {FIXED_CURE[name]}")
    return {name: value for name, value in changes.items() if name not in HUB and name not in FIXED}


class SavedModel(nn.Module):
    """A model with a config that is saved to, and loaded from, a folder."""

    config: BertConfig
    labels: int | None = None  # how many a head has that always has as many

    def tie_weights(self) -> None:
        """Make one tensor of those that share their values."""
        raise NotImplementedError

    def resize_token_embeddings(self, new_num_tokens: int) -> nn.Module:
        """Word embeddings, and the vocabulary's projection, for as many tokens: ``len(tokenizer)`` after add_tokens.

        New rows are N(0, initializer_range), as BERT's first ones were; new biases are 0. Make the optimiser after this.
        """
        table, old = getattr(self, "bert", self).embeddings.word_embeddings, self.config.vocab_size
        head = getattr(getattr(self, "cls", None), "predictions", None)
        self.config = BertConfig.from_dict({**self.config.to_dict(), "vocab_size": new_num_tokens})  # or an error
        getattr(self, "bert", self).config = self.config

        def resized(rows: Tensor, std: float) -> nn.Parameter:
            new = std * minitorch.randn(max(0, new_num_tokens - old), *rows.shape[1:], device=rows.device, dtype=rows.dtype)
            with minitorch.no_grad():
                return nn.Parameter(minitorch.cat([rows[:new_num_tokens], new]))

        table.weight, table.num_embeddings = resized(table.weight, self.config.initializer_range), new_num_tokens
        if head is not None:
            head.decoder.weight = resized(head.decoder.weight, self.config.initializer_range)
            head.bias = head.decoder.bias = resized(head.bias, 0.0)
        self.tie_weights()
        return table

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
        for name, twin in TIED.items():
            if name in state:
                if self.config.tie_word_embeddings:
                    del state[name]
                elif state[name].array is state[twin].array:
                    state[name] = state[name].clone()  # two tensors in the file: a reader that does not tie wants both
        write_weights(state, folder, max_shard_size)
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

        changes: configuration values other than the folder's, such as num_labels=3 (and BertModel's add_pooling_layer).
        With output_loading_info the result is (model, {"missing_keys", "unexpected_keys", "mismatched_keys"}).
        """
        folder = locate(name_or_folder)
        config = BertConfig.from_json_file(config_file(folder))
        changes = check_keywords(changes, config, cls.__name__)
        options = {name: changes.pop(name) for name in ("add_pooling_layer",) if name in changes}
        if cls.labels is not None and changes.setdefault("num_labels", cls.labels) != cls.labels:
            raise ValueError(f"{cls.__name__} always has {cls.labels} labels, not num_labels={changes['num_labels']}")
        config = changed(config, changes)
        if not ignore_mismatched_sizes:
            check_sizes(
                config, read_all_shapes(folder), f"{folder}: {config_file(folder).name} says", f"{folder}: asked for", changes
            )
        try:
            model = cls(config, **options)
        except ValueError as error:
            raise ValueError(f"{config_file(folder)}: {error}") from error
        info = model.load_weights(read_weights(folder), folder, ignore_mismatched_sizes)
        model.name_or_path = str(folder)  # as Hugging Face has it
        model.eval()
        return (model, info) if output_loading_info else model

    def load_weights(
        self, weights: dict[str, Tensor], source: Any, ignore_mismatched_sizes: bool = False
    ) -> dict[str, list[str]]:
        """Load the weights whose names match; return the names that are missing, unexpected and of another shape."""
        weights = self.rename(weights)
        own = self.state_dict()
        for name, twin in TIED.items():  # tied weights: one name is enough, and a second one in the file is ignored
            if twin not in weights and name in weights:
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
        unexpected = [name for name in weights if name not in own and not NOT_MISSED.search(name)]
        fitting = {name: w for name, w in weights.items() if name in own and name not in mismatched}
        if not fitting:
            raise ValueError(f"{source}: none of its {len(weights)} weights belongs to a {type(self).__name__}")
        body = [name for name in missing if re.match(r"(bert\.)?(embeddings|encoder)\.", name)]
        if body and not ignore_mismatched_sizes:
            raise ValueError(
                f"{source}: {len(body)} weights of the encoder are missing, such as {body[0]}; is the file complete, and is "
                "config.json that of this file? (ignore_mismatched_sizes=True starts these afresh)"
            )
        self.load_state_dict(fitting, strict=False)
        self.tie_weights()
        kind = type(self).__name__
        fresh = [*missing, *mismatched]
        tell(source, f"{{}} weights of {kind} are not in this checkpoint and start at random: {{}}; train before use", fresh)
        tell(source, f"{kind} has no use for {{}} weights of this checkpoint: {{}}", unexpected)
        return {"missing_keys": missing, "unexpected_keys": unexpected, "mismatched_keys": mismatched}

    def rename(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """File names to this class's: gamma and beta are weight and bias of a LayerNorm, ``bert.`` comes or goes."""
        renamed = {}
        is_bare = not hasattr(self, "bert")
        has_prefix = any(name.startswith("bert.") for name in weights)
        for name, value in weights.items():
            name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
            name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
            if is_bare:
                name = name.removeprefix("bert.")
            elif not has_prefix and name.startswith(("embeddings.", "encoder.", "pooler.")):
                name = f"bert.{name}"
            renamed[name] = value
        return renamed


def tell(source: Any, text: str, names: list[str]) -> None:
    """Warn of weights that model and file do not share, if there are any."""
    if names:
        shown = f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        warnings.warn(f"{source}: {text.format(len(names), shown)}", stacklevel=4)


def locate(name_or_folder: str | Path) -> Path:
    """The folder itself, or the local copy of a model on the Hugging Face hub.

    A name below runs/ is never looked for there: this program keeps its own folders there.
    """
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ValueError(f"{folder}: a file; give the folder that holds config.json and model.safetensors")
    if folder == Path(PRETRAINED):
        raise FileNotFoundError(f"{folder}: no such folder; `minitorch pretrain` makes one; --model names another folder")
    own = folder.parts[0] == Path(PRETRAINED).parts[0]
    if own or folder.parent.is_dir() or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name_or_folder)):
        raise FileNotFoundError(f"{folder}: no such folder")
    try:
        import huggingface_hub
    except ImportError as error:
        raise FileNotFoundError(
            f"{folder}: no such folder; to download a model of that name: pip install huggingface_hub"
        ) from error
    try:
        wanted = ["*.json", "*.safetensors", "vocab.txt"]
        return Path(huggingface_hub.snapshot_download(str(name_or_folder), allow_patterns=wanted))
    except Exception as error:  # the hub's own errors, and those of whatever network lies between
        reason = (str(error).splitlines() or [""])[0]
        raise FileNotFoundError(f"{folder}: no such folder, and the download failed: {type(error).__name__}: {reason}") from error


def config_file(folder: Path) -> Path:
    """config.json, or Google's bert_config.json."""
    for name in ("config.json", "bert_config.json"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder}: no config.json here, so this is not a saved model")


def write_weights(state: dict[str, Tensor], folder: Path, max_shard_size: int | None) -> None:
    """model.safetensors, or model-00001-of-0000N.safetensors and an index that says which tensor is where."""
    shards: list[dict[str, Tensor]] = [{}]
    room = math.inf if max_shard_size is None else max_shard_size
    for name, value in state.items():
        if shards[-1] and value.array.nbytes > room:
            shards.append({})
            room = max_shard_size or 0
        shards[-1][name] = value
        room -= value.array.nbytes
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if len(shards) == 1:
        minitorch.save(state, whole)
        return
    weight_map = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors"
        minitorch.save(shard, folder / file)
        weight_map.update(dict.fromkeys(shard, file))
    size = sum(value.array.nbytes for value in state.values())
    write_text(index, json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}, indent=2) + "\n")
    whole.unlink(missing_ok=True)  # an older one would be read in their place


def check_sizes(config: BertConfig, shapes: dict[str, tuple[int, ...]], said: str, asked: str = "", changes: Any = ()) -> None:
    """Compare a configuration with the shapes of the weights, before memory is taken.

    said: how an error begins ("config.json says"); asked: the same of the fields in ``changes``, which are the caller's.
    """
    there = {name.removeprefix("bert."): shape for name, shape in shapes.items()}

    def refuse(field: str, thing: str, found: int, detail: str) -> None:
        who = asked if field in changes else said
        raise ValueError(f"{who} {getattr(config, field)} {thing}, the weights have {found}: {detail}")

    layers = {name.split(".")[2] for name in there if re.match(r"encoder\.layer\.\d+\.", name)}
    if not any(name.startswith(("embeddings.", "encoder.")) for name in there):
        return  # read_weights or load_weights says what this is
    if config.num_hidden_layers > len(layers):
        each = [name.split(".", 3)[3] for name in there if name.startswith("encoder.layer.0.")] or ["attention"]
        lacking = len(each) * (config.num_hidden_layers - len(layers))
        detail = f"{lacking} weights of the encoder are missing, such as encoder.layer.{len(layers)}.{each[0]}"
        refuse("num_hidden_layers", "layers", len(layers), detail)
    for field, (name, twin, dim) in SIZES.items():
        if field == "intermediate_size" and not config.num_hidden_layers:
            continue
        shape = there.get(name) or there.get(twin)
        if shape is None or len(shape) != 2:
            refuse(field, f"for {field}", 0, f"{name} is missing or no table; is the file complete?")
        wanted = tuple(getattr(config, field) if i == dim else n for i, n in enumerate(shape))
        if wanted != shape:
            detail = f"{name} is {shape} in the file, {wanted} here; is config.json that of this file?"
            refuse(field, f"for {field}", shape[dim], detail)


def read_all_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a checkpoint's files."""
    return {name: shape for path in weight_files(folder) for name, shape in read_shapes(path).items()}


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint's files; an error names one that is no table of finite floating-point numbers."""
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        part = read_tensors(path)
        if not isinstance(part, dict) or not all(isinstance(value, Tensor) for value in part.values()):
            raise ValueError(f"{path}: not the weights of a model by name, but something else that minitorch saved")
        for name, value in part.items():
            if not is_floating(value.dtype) and not name.endswith("position_ids"):
                raise ValueError(f"{path}: {short(name)} is of type {value.dtype}; weights are floating-point numbers")
        weights.update(part)
    return weights


def weight_files(folder: Path) -> list[Path]:
    """model.safetensors, or the files that its index names."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if index.is_file():
        return indexed_files(index)
    if (folder / "pytorch_model.bin").is_file():
        raise ValueError(
            f"{folder}/pytorch_model.bin: a pickle, which can run any code and is never read here; convert it where PyTorch is: "
            "python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', weights_only=True); "
            "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')\""
        )
    raise FileNotFoundError(f"{folder}: no model.safetensors here")


def indexed_files(index: Path) -> list[Path]:
    """The files of an index ({"weight_map": {tensor: file}}): they lie in its folder, and hold what it says."""
    text = read_text(index)
    try:
        weight_map = parse_json(text)["weight_map"]
        if not weight_map:
            raise ValueError("it names no weights")
        for name, file in weight_map.items():
            if not isinstance(file, str) or not file or "\0" in file:
                raise ValueError(f"{short(name)} must be in a file, not in {quoted(file)}")
            if re.match(r"[/\\]|\w:", file) or ".." in re.split(r"[/\\]", file):
                raise ValueError(f"{short(file)} is not a name inside the folder")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index}: not an index of weights ({short(error, 200)})") from error
    files = sorted(set(weight_map.values()))
    absent = [name for name in files if not os.path.isfile(index.parent / name)]
    if absent:
        missing = f"({len(absent)} of {len(files)} are missing)"
        raise FileNotFoundError(f"{index}: names {short(absent[0])}, which is not here {missing}")
    shapes = {file: read_shapes(index.parent / file) for file in files}
    for name, file in weight_map.items():
        if name not in shapes[file]:
            raise ValueError(f"{index}: says that {short(name)} is in {file}, which holds no tensor of that name")
    return [index.parent / file for file in files]
