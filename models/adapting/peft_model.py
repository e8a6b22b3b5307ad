"""A base model with adapters, under PEFT's names.

    model = get_peft_model(BertForSequenceClassification.from_pretrained(folder), LoraConfig(r=8, lora_alpha=16))
    model.print_trainable_parameters()
    ...train it as any other model...
    model.save_pretrained("runs/lora")                           # the adapter alone: kilobytes
    model = PeftModel.from_pretrained(base, "runs/lora")
    model.merge_and_unload().save_pretrained("runs/merged")      # an ordinary checkpoint

The base is never changed: it is frozen, its layers are wrapped, and unloading gives back the same bits. Several adapters
can be on one base: ``load_adapter``, ``set_adapter``, and ``adapter_names`` for a batch whose rows use different ones.
Read before: base.py, lora.py. Read next: files.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from minitorch import Tensor, nn

from ..errors import BadInput, listing
from . import adapterhub, files, tokens
from .adalora import AdaLoraConfig, RankAllocator, Triplets
from .base import Adapted, PeftConfig, Whole, head_names, layer_at, paths, put, standing_at

BASE = "__base__"  # in adapter_names: this row uses none
PRETRAINED = ("cls", "lm_head")  # heads that guess words: they are no task's own


class PeftModel(nn.Module):
    """``base_model`` with adapters by name."""

    def __init__(self, base_model: nn.Module, config: PeftConfig, adapter_name: str = "default") -> None:
        super().__init__()
        self.base_model = base_model
        self.peft_config: dict[str, PeftConfig] = {}
        self.own: dict[str, dict[str, nn.Parameter]] = {}  # adapter: its parameters, by their names in a file
        self.heads: dict[str, dict[str, nn.Parameter]] = {}
        self.biases: dict[str, dict[str, nn.Parameter]] = {}  # adapter: those that take the place of the base's
        self.base_biases: dict[str, nn.Parameter] = {}  # the base's, meanwhile
        self.unmerged: dict[str, nn.Parameter] = {}  # the base's, while an adapter is merged, by their paths
        self.allocators: dict[str, RankAllocator] = {}
        for parameter in base_model.parameters():
            parameter.requires_grad_(False)
        self.add_adapter(adapter_name, config)
        self.set_adapter(adapter_name)

    def forward(self, *inputs: Any, adapter_names: Sequence[str] | None = None, **options: Any) -> Any:
        """The base model's own arguments. adapter_names: for each row of the batch the adapter that it uses, or "__base__"."""
        with self._rows(adapter_names):
            output = self.base_model(*inputs, **options)
        if self.training and self.active_adapter in self.allocators and getattr(output, "loss", None) is not None:
            output.set_loss(output.loss + self.regularization())
        return output

    def regularization(self) -> Tensor | float:
        """What the method adds to the loss: AdaLoRA's distance from orthogonal rows; 0 for others."""
        if self.active_adapter not in self.allocators:
            return 0.0
        allocator = self.allocators[self.active_adapter]
        terms = [term for triplets in allocator.triplets.values() for term in triplets.off_orthogonal()]
        return minitorch.stack(terms).mean() * allocator.config.orth_reg_weight

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":
                raise
            return getattr(self.base_model, name)

    # ------------------------------------------------------------------------------------------- adapters by name

    def add_adapter(self, name: str, config: PeftConfig) -> None:
        """One more adapter; it is not active yet."""
        if name in self.peft_config:
            raise BadInput(f"there is an adapter {name!r} already; give another name, or delete_adapter it first")
        if not name.isidentifier():
            raise BadInput(f"an adapter's name must be an identifier, such as my_lora, not {name!r}")
        model = self.base_model
        self.own[name] = config.attach(model, name)
        self.biases[name] = {f"{p}.bias": nn.Parameter(layer_at(model, p).bias.detach().clone()) for p in config.biased(model)}
        self.own[name] |= self.biases[name] | tokens.attach(model, name, config.trainable_token_indices)
        self.heads[name] = {}
        for head in self._heads_of(config):
            whole = put(model, head, name, Whole(layer_at(model, head)))
            self.heads[name] |= {f"{head}.{k}": p for k, p in whole.copy.named_parameters()}
        if isinstance(config, AdaLoraConfig):
            layers = {path: layer.adapters[name] for path, layer in self._adapted().items() if name in layer.adapters}
            self.allocators[name] = RankAllocator({p: t for p, t in layers.items() if isinstance(t, Triplets)}, config)
        self.peft_config[name] = config

    def _heads_of(self, config: PeftConfig) -> list[str]:
        """The layers that are trained whole; PEFT names some that a model need not have."""
        if config.modules_to_save is None:
            return [name for name in head_names(self.base_model) if name not in PRETRAINED]
        known = paths(self.base_model)
        found = [name for name in dict.fromkeys(config.modules_to_save) if name in known]
        if config.modules_to_save and not found:
            raise BadInput(f"modules_to_save: this model has no {listing(config.modules_to_save)}")
        return found

    def get_base_model(self) -> nn.Module:
        """The model below the adapters."""
        return self.base_model

    @property
    def active_adapter(self) -> str:
        """The name of the adapter in use."""
        return self._active

    def set_adapter(self, name: str) -> None:
        """Use this adapter; its parameters are trained, no others."""
        if name not in self.peft_config:
            raise BadInput(f"there is no adapter {name!r}; there are {listing(self.peft_config)}")
        self._active = name
        self._activate((name,))
        for other in self.peft_config:
            for parameter in self.trained(other).values():
                parameter.requires_grad_(other == name and not self.peft_config[name].inference_mode)

    def trained(self, name: str | None = None) -> dict[str, nn.Parameter]:
        """The parameters of an adapter and its head, by their names in a file."""
        name = name or self.active_adapter
        return {**self.own[name], **self.heads[name]}

    @contextlib.contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Within the block the model is the base."""
        active = (self.active_adapter,) if hasattr(self, "_active") else ()
        self._activate(())
        try:
            yield
        finally:
            self._activate(active)

    def delete_adapter(self, name: str) -> None:
        """Take an adapter off; the active one stays."""
        if name == self.active_adapter:
            raise BadInput(f"{name!r} is active; set_adapter another one first")
        for layer in self._adapted().values():
            if name in layer.adapters:
                del layer.adapters[name]
        tables: tuple[dict[str, Any], ...] = (self.peft_config, self.own, self.heads, self.biases, self.allocators)
        for table in tables:
            table.pop(name, None)

    def _adapted(self) -> dict[str, Adapted]:
        found = {path: standing_at(self.base_model, path) for path in paths(self.base_model)}
        return {path: layer for path, layer in found.items() if isinstance(layer, Adapted)}

    def _activate(self, names: tuple[str, ...]) -> None:
        for path, parameter in self.unmerged.items():
            _set(self.base_model, path, parameter)
        self.unmerged = {}
        for layer in self._adapted().values():
            layer.active = names
        for path, parameter in self.base_biases.items():
            _set(self.base_model, path, parameter)
        biases = {path: parameter for name in names for path, parameter in self.biases[name].items()}
        self.base_biases = {path: _set(self.base_model, path, parameter) for path, parameter in biases.items()}

    @contextlib.contextmanager
    def _rows(self, names: Sequence[str] | None) -> Iterator[None]:
        """Each row of the batch has an adapter of its own within the block."""
        if names is None:
            yield
            return
        self.unmerge_adapter()
        for name in dict.fromkeys(names):
            self._check_mixed(name)
        rows = {name: Tensor(np.flatnonzero(np.asarray(names) == name)) for name in dict.fromkeys(names)}
        groups = [(() if name == BASE else (name,), at) for name, at in rows.items()]
        layers = list(self._adapted().values())
        for layer in layers:
            layer.groups = groups
        try:
            yield
        finally:
            for layer in layers:
                layer.groups = None

    def _check_mixed(self, name: str) -> None:
        if name == BASE:
            return
        if name not in self.peft_config:
            raise BadInput(f"adapter_names: there is no adapter {name!r}; there are {listing(self.peft_config)}")
        kind = self.peft_config[name].peft_type
        if self.biases[name] or kind in files.VIRTUAL:
            what = "has biases of its own" if self.biases[name] else f"is {kind}"
            raise BadInput(f"adapter_names: {name!r} {what}, which cannot differ within a batch; give it a batch of its own")

    # ----------------------------------------------------------------------------------------------- counts and files

    def print_trainable_parameters(self) -> None:
        """As PEFT prints them."""
        trained, every = self.get_nb_trainable_parameters()
        print(f"trainable params: {trained:,} || all params: {every:,} || trainable%: {100 * trained / every:.4f}")

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """How many parameters are trained, and how many there are."""
        every = list(self.parameters())
        return sum(p.numel() for p in every if p.requires_grad), sum(p.numel() for p in every)

    def num_parameters(self) -> int:
        """How many parameters the active adapter computes with; of a layer that it trains whole the copy counts alone."""
        whole = [layer.base_layer for layer in self._adapted().values() if layer.trained is not layer.base_layer]
        others = {id(p) for layer in whole for p in layer.parameters()}
        others |= {id(p) for name in self.peft_config for p in self.trained(name).values()}
        base = sum(p.numel() for p in self.parameters() if id(p) not in others)
        return base + sum(p.numel() for p in self.trained().values())

    def plan(self, total_step: int) -> None:
        """Tell AdaLoRA the length of the training; the first tenth keeps the whole budget, the last fifth the final one."""
        config = self.peft_config[self.active_adapter]
        if isinstance(config, AdaLoraConfig) and config.total_step is None:
            config.total_step, config.tinit, config.tfinal = total_step, total_step // 10, total_step // 5

    def settled(self, step: int) -> bool:
        """Is the adapter as small as it will be? AdaLoRA's is once its budget has fallen to the end."""
        allocator = self.allocators.get(self.active_adapter)
        return allocator is None or allocator.budget(step) == allocator.budget(allocator.config.total_step or step)

    def update_and_allocate(self, step: int) -> None:
        """AdaLoRA's budget of a step (from 1); after backward, before zero_grad. Other methods need nothing."""
        if self.active_adapter in self.allocators:
            self.allocators[self.active_adapter].update(step)

    def save_pretrained(self, folder: str | Path, adapter_name: str | None = None) -> None:
        """Write adapter_config.json and adapter_model.safetensors."""
        files.save(self, Path(folder), adapter_name or self.active_adapter)

    def save_adapter(self, folder: str | Path, adapter_name: str | None = None) -> None:
        """Write a bottleneck adapter in AdapterHub's layout."""
        name = adapter_name or self.active_adapter
        adapterhub.save(self, Path(folder), name, {files.FINGERPRINT: files.fingerprint(self, name)})

    @classmethod
    def from_pretrained(
        cls, model: nn.Module, folder: str | Path, adapter_name: str = "default", is_trainable: bool = False
    ) -> PeftModel:
        """``model`` with the adapter of a folder, ours, PEFT's or AdapterHub's."""
        config, weights = files.read(Path(folder))
        config.inference_mode = not is_trainable
        adapted = cls(model, config, adapter_name)
        files.fill(adapted, Path(folder), adapter_name, weights)
        return adapted.eval()

    def load_adapter(self, folder: str | Path, adapter_name: str, is_trainable: bool = False) -> None:
        """One more adapter from a folder; ``set_adapter`` makes it active."""
        config, weights = files.read(Path(folder))
        config.inference_mode = not is_trainable
        self.add_adapter(adapter_name, config)
        files.fill(self, Path(folder), adapter_name, weights)
        self.set_adapter(self.active_adapter)

    # ------------------------------------------------------------------------------------------------------- merging

    def merge_adapter(self) -> None:
        """Put the active adapter's change into the weights: the same answers at the base's speed. Training takes it out again."""
        name = self.active_adapter
        own = {path: layer for path, layer in self._adapted().items() if name in layer.adapters}
        if not all(isinstance(layer.adapters[name], Whole) or hasattr(layer.adapters[name], "merged") for layer in own.values()):
            kind = self.peft_config[name].peft_type
            raise BadInput(f"{kind} cannot be merged: its change is no change of a weight; save the adapter instead")
        self.unmerge_adapter()
        for path, layer in own.items():
            if not isinstance(layer.adapters[name], Whole):
                before = dict(layer.base_layer.named_parameters())
                _merge(layer.base_layer, layer.adapters[name])
                layer.active = ()
                self.unmerged |= {f"{path}.{key}": parameter for key, parameter in before.items()}

    def unmerge_adapter(self) -> None:
        """Give the base's layers their own weights back, bit for bit, and let the adapter work next to them."""
        self._activate((self.active_adapter,))

    def train(self, mode: bool = True) -> PeftModel:
        """Training mode, in which nothing is merged; or, with False, evaluation mode."""
        if mode and self.unmerged:
            self.unmerge_adapter()
        super().train(mode)
        return self

    def merge_and_unload(self) -> nn.Module:
        """The base model with the active adapter's change in its own weights, and nothing else left of it."""
        self.merge_adapter()
        self.unmerged, self.base_biases = {}, {}  # the base's own are not needed again
        for layer in self._adapted().values():
            if isinstance(whole := dict(layer.adapters.items()).get(self.active_adapter), Whole):
                layer.base_layer.load_state_dict(whole.copy.state_dict())
        return self._strip()

    def unload(self) -> nn.Module:
        """The base model as it was."""
        self._activate(())
        return self._strip()

    def _strip(self) -> nn.Module:
        for path, layer in self._adapted().items():
            above, _, child = path.rpartition(".")
            setattr(layer_at(self.base_model, above), child, layer.base_layer)
        for parameter in self.base_model.parameters():
            parameter.requires_grad_(True)
        return self.base_model


def _set(model: nn.Module, path: str, parameter: nn.Parameter) -> nn.Parameter:
    """Put a parameter in the place at ``path``; the one that was there."""
    above, _, name = path.rpartition(".")
    owner = layer_at(model, above)
    old = getattr(owner, name)
    setattr(owner, name, parameter)
    return old


def _merge(layer: nn.Module, method: Any) -> None:
    """Give a layer new weights, with the change in them."""
    with minitorch.no_grad():
        layer.weight = nn.Parameter(method.merged(layer.weight), requires_grad=False)
        if hasattr(method, "merged_bias") and layer.bias is not None:
            layer.bias = nn.Parameter(method.merged_bias(layer.bias), requires_grad=False)


def get_peft_model(model: nn.Module, config: PeftConfig, adapter_name: str = "default") -> PeftModel:
    """``model`` with a new adapter, ready to train."""
    if isinstance(model, PeftModel):
        raise BadInput("this model has adapters already: use add_adapter and set_adapter")
    if isinstance(config, AdaLoraConfig) and config.total_step is None:
        raise BadInput("AdaLoRA needs total_step, the number of steps of the training: its budget falls along it")
    return PeftModel(model, config, adapter_name)
