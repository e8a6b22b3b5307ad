"""A bottleneck adapter's folder, as AdapterHub's ``adapters`` writes it with use_safetensors=True.

    adapter_config.json, adapter.safetensors       bert.encoder.layer.0.output.adapters.NAME.adapter_down.0.weight (m, H), ...
    head_config.json, model_head.safetensors       classifier.weight, classifier.bias

Poth et al. (2023), "Adapters", https://arxiv.org/abs/2311.11077. PEFT has no bottleneck adapters, so these are the names that
others read. Its older files (pytorch_adapter.bin) are pickles, which can run code when they are read: they are refused.
Read before: files.py, bottleneck.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import minitorch
from minitorch import Tensor
from minitorch.files import write_text

from ..errors import BadInput, listing, short
from ..reading import read_tensors
from .bottleneck import BottleneckConfig

WEIGHTS, HEAD, HEAD_CONFIG = "adapter.safetensors", "model_head.safetensors", "head_config.json"
VERSION = "adapters.1.3.0"  # whose layout this is
STYLES: dict[str, dict[str, Any]] = {  # where the two stand, as fields of AdapterHub's configs double_seq_bn and seq_bn
    "houlsby": {"mh_adapter": True, "output_adapter": True, "original_ln_before": False},
    "pfeiffer": {"mh_adapter": False, "output_adapter": True, "original_ln_before": True},
}
FIXED: dict[str, Any] = {  # all that they have in common; other values would be another computation
    "original_ln_after": True, "residual_before_ln": True, "adapter_residual_before_ln": False, "ln_before": False,
    "ln_after": False, "is_parallel": False, "scaling": 1.0, "use_gating": False, "cross_adapter": False, "inv_adapter": None,
    "inv_adapter_reduction_factor": None, "phm_layer": False,
}  # fmt: skip
# How training begins, and what is read only where there are PHM layers or what is trained goes on.
UNREAD = ("init_weights", "init_weights_seed", "dropout", "stochastic_depth", "learn_phm", "hypercomplex_nonlinearity")


def is_one(values: Any) -> bool:
    """Is this the content of AdapterHub's adapter_config.json, and not of PEFT's?"""
    return isinstance(values, dict) and isinstance(values.get("config"), dict) and "peft_type" not in values


def config_of(values: dict[str, Any]) -> BottleneckConfig:
    """The config that stands in the file; BadInput for one that is neither Houlsby's nor Pfeiffer's."""
    own, hidden = values["config"], values.get("hidden_size")
    if "reduction_factor" not in own:
        raise BadInput(f"an adapter of AdapterHub's kind {own.get('architecture', 'unknown')}; only bottleneck adapters are read")
    style = next((name for name, where in STYLES.items() if where.items() <= own.items()), None)
    known = {"reduction_factor", "non_linearity", "leave_out", *FIXED, *STYLES["houlsby"], *UNREAD}
    odd = [k for k, v in own.items() if (k in FIXED and v != FIXED[k]) or (k not in known and "phm" not in k.lower())]
    if odd or style is None:
        raise BadInput(f"no support for {listing(f'{k} = {short(own[k])}' for k in odd or STYLES['houlsby'] if k in own)}")
    factor = own["reduction_factor"]
    if not isinstance(factor, int | float) or factor <= 0 or not isinstance(hidden, int):
        raise BadInput(f"reduction_factor must be a number above 0, not {short(factor)}, and hidden_size a whole number")
    return BottleneckConfig(
        style=style,
        bottleneck=int(hidden // factor),
        non_linearity=own.get("non_linearity"),
        leave_out=own.get("leave_out") or [],
    )


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of the adapter, and of its head."""
    found = []
    for name in (WEIGHTS, HEAD):
        if not (folder / name).is_file():
            old = any(folder.glob("pytorch_*.bin"))
            cure = "save it with use_safetensors=True: a .bin file is a pickle, which is not read here" if old else "it is needed"
            raise BadInput(f"{folder}: no {name} here; {cure}")
        found.append(read_tensors(folder / name))
    return found[0], found[1]


def save(model: Any, folder: Path, name: str, metadata: dict[str, str]) -> None:
    """Write the four files; the config comes last, so that a folder with one is complete."""
    config, base = model.peft_config[name], model.base_model
    if not isinstance(config, BottleneckConfig):
        raise BadInput(f"AdapterHub's layout is for houlsby and pfeiffer, not {config.peft_type}: PEFT reads its folder as it is")
    if config.trainable_token_indices:
        raise BadInput(f"AdapterHub's layout has no place for the words that {name!r} trains: use save_pretrained")
    H, kind = base.config.hidden_size, type(base).__name__
    m = config.size(H)
    about = {"model_type": "bert", "model_class": kind, "model_name": config.base_model_name_or_path or "", "version": VERSION}
    about |= {"hidden_size": H}
    own = {**FIXED, **STYLES[config.style], "non_linearity": config.non_linearity, "leave_out": config.leave_out}
    own["reduction_factor"] = H // m if H % m == 0 else H / (m + 0.5)  # read as m = int(H // factor)
    head = {"num_labels": base.config.num_labels, "label2id": base.config.label2id, "config": None, "name": None}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").unlink(missing_ok=True)
    minitorch.save({key: p.detach() for key, p in model.own[name].items()}, folder / WEIGHTS, metadata)
    minitorch.save({key: p.detach() for key, p in model.heads[name].items()}, folder / HEAD)
    for file, values in ((HEAD_CONFIG, {**about, **head}), ("adapter_config.json", {**about, "name": name, "config": own})):
        write_text(folder / file, json.dumps(values, indent=2, sort_keys=True) + "\n")
