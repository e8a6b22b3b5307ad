"""An adapter's folder, as PEFT writes it: adapter_config.json and adapter_model.safetensors.

    LoRA, IA3, ...     base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight, ...; the head
                       base_model.model.classifier.weight
    prompts, prefix    prompt_embeddings; the head base_model.classifier.weight

A bottleneck adapter can also stand in AdapterHub's layout (adapterhub.py).

The header of the weights names the base by a fingerprint: an adapter on another base than its own answers nonsense.
Read before: peft_model.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.files import write_text

from ..errors import BadInput, listing
from ..reading import read_json, read_tensors
from . import adapterhub, tokens
from .base import Adapted, PeftConfig, paths, standing_at

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FINGERPRINT = "base_model_sha256"
VIRTUAL = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")
TASKS = {
    "BertForSequenceClassification": "SEQ_CLS",
    "BertForTokenClassification": "TOKEN_CLS",
    "BertForQuestionAnswering": "QUESTION_ANS",
    "BertModel": "FEATURE_EXTRACTION",
    "GPT2LMHeadModel": "CAUSAL_LM",
}


def fingerprint(model: Any, name: str) -> str:
    """A digest of the base's weights, without what the adapter brings along: the head, rows of the word embeddings."""
    digest, own = hashlib.sha256(), {key.rpartition(".")[0] for key in model.heads[name]}
    rows = model.peft_config[name].trainable_token_indices or []
    with model.disable_adapter():
        for path, layer in sorted(paths(model.base_model).items()):
            if path not in own:
                for key, parameter in sorted(layer.named_parameters(recurse=False)):
                    values = parameter.detach().cpu().numpy()
                    values = np.delete(values, rows, axis=0) if rows and path.rpartition(".")[2] in tokens.PLACES else values
                    digest.update(f"{path}.{key}{values.shape}".encode())
                    digest.update(values.tobytes())
    return digest.hexdigest()


def save(model: Any, folder: Path, name: str) -> None:
    """Write both files, each whole or not at all; the config comes last, so that a folder with one is complete."""
    config: PeftConfig = model.peft_config[name]
    if config.task_type is None:
        config.task_type = TASKS.get(type(model.base_model).__name__)
    if config.modules_to_save is None and model.heads[name]:
        config.modules_to_save = sorted({key.rpartition(".")[0] for key in model.heads[name]})
    folder.mkdir(parents=True, exist_ok=True)
    start = "base_model." if config.peft_type in VIRTUAL else "base_model.model."
    weights: dict[str, Tensor] = {f"{start}{key}": p.detach() for key, p in model.heads[name].items()}
    for key, parameter in model.own[name].items():
        weights[key if config.peft_type in VIRTUAL else f"base_model.model.{wrapped(model, name, key)}"] = parameter.detach()
    if config.peft_type in VIRTUAL and "prompt_embeddings" not in weights:  # trained through an MLP: its result, too
        weights["prompt_embeddings"] = virtual(model, name).vectors().detach()
    values = {**config.to_dict(), "inference_mode": True}
    if config.peft_type == "ADALORA":
        values["rank_pattern"] = prune(weights)
    if config.peft_type in VIRTUAL:
        bert = model.base_model.config
        values |= {
            "token_dim": bert.hidden_size, "num_layers": bert.num_hidden_layers, "num_transformer_submodules": 1,
            "num_attention_heads": bert.num_attention_heads,
        }  # fmt: skip
    (folder / CONFIG).unlink(missing_ok=True)
    minitorch.save(weights, folder / WEIGHTS, {FINGERPRINT: fingerprint(model, name)})
    write_text(folder / CONFIG, json.dumps(values, indent=2, sort_keys=True) + "\n")


def wrapped(model: Any, name: str, key: str) -> str:
    """PEFT's name of a parameter: a bias of the adapter's stands in the base's place, within the layer that is adapted."""
    path, _, last = key.rpartition(".")
    inside = key in model.biases[name] and isinstance(standing_at(model.base_model, path), Adapted)
    return f"{path}.base_layer.{last}" if inside else key


def prune(weights: dict[str, Tensor]) -> dict[str, list[bool]]:
    """Keep AdaLoRA's triplets with E ≠ 0 alone; which they are, for rank_pattern."""
    pattern = {}
    for key in [k for k in weights if k.endswith(".lora_E")]:
        base = key.removesuffix("lora_E")
        E, A, B = (weights[base + part].cpu().numpy() for part in ("lora_E", "lora_A", "lora_B"))
        kept = E[:, 0] != 0
        for part, values in (("lora_E", E[kept]), ("lora_A", A[kept]), ("lora_B", B[:, kept])):
            weights[base + part] = minitorch.tensor(values)
        pattern[key.removeprefix("base_model.model.")] = kept.tolist()
    return pattern


def virtual(model: Any, name: str) -> Any:
    """The method that makes an adapter's virtual tokens."""
    methods = (layer.adapters[name] for layer in model.modules() if isinstance(layer, Adapted) and name in layer.adapters)
    return next(method for method in methods if hasattr(method, "vectors"))


def read(folder: Path) -> tuple[PeftConfig, dict[str, Tensor]]:
    """Config and weights of a folder."""
    if not (folder / CONFIG).is_file():
        raise BadInput(f"{folder}: no {CONFIG} here, so this is not a saved adapter, or saving it was not finished")
    values = read_json(folder / CONFIG, "the settings of an adapter")
    hub = adapterhub.is_one(values)
    try:
        config = adapterhub.config_of(values) if hub else PeftConfig.of(values)
    except BadInput as error:
        raise BadInput(f"{folder / CONFIG}: {error}") from None
    if hub:
        own, head = adapterhub.read(folder)
        config.modules_to_save = sorted({key.rpartition(".")[0] for key in head})
        return config, own | head
    if not (folder / WEIGHTS).is_file():
        raise BadInput(f"{folder}: no {WEIGHTS} here, so saving this adapter was not finished")
    weights = read_tensors(folder / WEIGHTS)
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise BadInput(f"{folder / WEIGHTS}: not the weights of an adapter, but something else that minitorch saved")
    return config, weights


def fill(model: Any, folder: Path, name: str, weights: dict[str, Tensor]) -> None:
    """Put the weights of a folder into an adapter; every name and shape has to fit."""
    path, config = folder / WEIGHTS, model.peft_config[name]
    path = path if path.is_file() else folder / adapterhub.WEIGHTS
    wanted = {**model.own[name], **model.heads[name]}
    found = {}
    for key, value in weights.items():
        for start in ("base_model.model.", "base_model."):
            key = key.removeprefix(start)
        if ".original_module." in key or ".modules_to_save." in key:
            continue  # PEFT's bias="all" writes the head's bias three times
        key = key.replace(".base_layer.", ".")
        found[re.sub(r"\.adapters\.[^.]+\.", f".adapters.{name}.", key)] = value
    if config.peft_type in VIRTUAL:  # a file may hold the table and what it was made from: one of them is wanted
        found = {k: v for k, v in found.items() if k in wanted or not k.startswith(("prompt_embeddings", "prompt_encoder."))}
    missing, odd = [k for k in wanted if k not in found], [k for k in found if k not in wanted]
    if missing or odd:
        what = f"has no {listing(missing, 3)}" if missing else f"has {listing(odd, 3)}, which this model has no place for"
        raise BadInput(f"{path}: {what}; is it an adapter of this kind of model and head?")
    for key, parameter in wanted.items():
        if parameter.shape != found[key].shape:
            raise BadInput(f"{path}: {key} is {tuple(found[key].shape)}, this model needs {tuple(parameter.shape)}")
        with minitorch.no_grad():
            parameter.copy_(found[key].astype(parameter.dtype))
    base = minitorch.serialization.read_metadata(path).get(FINGERPRINT)
    if base is not None and base != fingerprint(model, name):
        where = f" ({config.base_model_name_or_path})" if config.base_model_name_or_path else ""
        warnings.warn(f"{folder}: this adapter was trained on another base{where}: expect nonsense", stacklevel=3)
