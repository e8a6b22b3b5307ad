"""A checkpoint's files as Hugging Face lays them out: config.json, model.safetensors or several with an index, tokenizer files.

Read before: minitorch/serialization.py, kinds.py. Read next: saved.py.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import minitorch
from minitorch import Tensor
from minitorch.dtypes import is_floating
from minitorch.files import write_text
from minitorch.serialization import read_shapes

from ..errors import quoted, short
from ..reading import parse_json, read_tensors, read_text
from .kinds import STATE, holding

# A folder with one of these holds a model.
MODEL_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "config.json", "tokenizer.json")
BUFFERS = re.compile(r"(position_ids|\.attn\.bias|\.masked_bias)$")  # whole numbers and masks that old versions stored
PRETRAINED = "runs/pretrain"  # the default --output of `minitorch pretrain`
PRETRAINED_GPT = "runs/gpt"  # ... --model gpt
MAKERS = {PRETRAINED: "minitorch pretrain", PRETRAINED_GPT: "minitorch pretrain --model gpt"}


def locate(name_or_folder: str | Path) -> Path:
    """The folder itself, or the local copy of a model on the Hugging Face hub.

    A name below runs/ is never looked for there: this program keeps its own folders there.
    """
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ValueError(f"{folder}: a file; give the folder that holds config.json and model.safetensors")
    if maker := MAKERS.get(folder.as_posix()):
        raise FileNotFoundError(f"{folder}: no such folder; `{maker}` makes one; --model names another folder")
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
        wanted = ["*.json", "*.safetensors", "vocab.txt", "merges.txt"]
        return Path(huggingface_hub.snapshot_download(str(name_or_folder), allow_patterns=wanted))
    except Exception as error:  # the hub's own errors, and those of whatever network lies between
        reason = (str(error).splitlines() or [""])[0]
        raise FileNotFoundError(f"{folder}: no such folder, and the download failed: {type(error).__name__}: {reason}") from error


def refuse_unfinished(folder: Path) -> None:
    """Raise an error if the folder is that of a run that has not come to its end."""
    if (folder / STATE).is_file() and not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: {holding(folder)}")


def config_file(folder: Path) -> Path:
    """config.json, or Google's bert_config.json."""
    for name in ("config.json", "bert_config.json"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder}: {holding(folder) or 'no config.json here, so this is not a saved model'}")


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


def read_all_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a checkpoint's files."""
    return {name: shape for path in weight_files(folder) for name, shape in read_shapes(path).items()}


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint's files: finite floating-point numbers, or int8 and a scale; an error names others."""
    weights: dict[str, Tensor] = {}
    source: dict[str, Path] = {}
    for path in weight_files(folder):
        part = read_tensors(path)
        if not isinstance(part, dict) or not all(isinstance(value, Tensor) for value in part.values()):
            raise ValueError(f"{path}: not the weights of a model by name, but something else that minitorch saved")
        weights.update(part)
        source.update(dict.fromkeys(part, path))
    for name, value in weights.items():
        int8 = value.dtype == minitorch.int8 and f"{name}_scale" in weights
        if not (is_floating(value.dtype) or int8 or BUFFERS.search(name)):
            raise ValueError(
                f"{source[name]}: {short(name)} is of type {value.dtype}; weights are floating-point numbers, or int8 and a scale"
            )
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
