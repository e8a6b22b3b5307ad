"""Module: a function with parameters, and a tree of smaller ones.

    class Net(Module):
        def __init__(self):
            super().__init__()
            self.fc = Linear(4, 2)          # assigning registers: fc.weight, fc.bias are now parameters of Net

        def forward(self, x):
            return self.fc(x).relu()

Parameters (learnt), buffers (tensors that belong to it but are not learnt) and modules (its children) are plain attributes, and
the module notes which name is of which kind. Everything else here is a walk over that tree: collecting, saving, loading, moving.
Read before: tensor.py, parameter.py. Read next: layers.py (and containers.py).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from .. import dtypes
from ..creation import zeros_like
from ..grad_mode import no_grad
from ..hooks import Handle
from ..tensor import Tensor
from . import _printing as printing
from ._arguments import check_begun, check_member, check_name
from ._state_dict import IncompatibleKeys, as_tensor, problems_of
from .parameter import Parameter


def _no_forward(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError(f"{type(self).__name__} must define forward(), the computation of the module")


class Module:
    """Base of all layers and models: define ``__init__`` (after super().__init__()) and ``forward``; call the module itself."""

    training: bool
    forward: Callable[..., Any] = _no_forward  # declared so, a subclass may give it any arguments

    def __init__(self) -> None:
        self.training = True
        self._kinds: dict[str, str] = {}  # the members in the order of their registration: name -> kind
        self._not_saved: set[str] = set()  # names of buffers that state_dict leaves out
        self._forward_hooks: OrderedDict[int, Any] = OrderedDict()
        self._forward_pre_hooks: OrderedDict[int, Any] = OrderedDict()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._forward_pre_hooks or self._forward_hooks:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    # ------------------------------------------------------------------------------- attributes are registration

    def __setattr__(self, name: str, value: Any) -> None:
        new = "parameter" if isinstance(value, Parameter) else "module" if isinstance(value, Module) else None
        if new is not None:
            check_begun(self, name)
            if self._kinds.get(name) != new and name in self.__dict__:
                delattr(self, name)  # a member of the same kind keeps its place
            self._register(new, name, value)
            return
        kind = self.__dict__.get("_kinds", {}).get(name)
        if kind is not None and value is not None and not isinstance(value, expected := KINDS[kind]):
            raise TypeError(
                f"cannot assign a {type(value).__name__} as {kind} '{name}' of {type(self).__name__}: "
                f"{expected.__name__} or None expected; `del` the name first to use it for something else"
            )
        object.__setattr__(self, name, value)

    def _register(self, kind: str, name: str, value: Any) -> None:
        check_name(self, kind, name)
        check_member(kind, name, value, KINDS[kind])
        self._kinds[name] = kind
        self.__dict__[name] = value

    @property
    def _parameters(self) -> Mapping[str, Any]:
        return self._members("parameter")

    @property
    def _buffers(self) -> Mapping[str, Any]:
        return self._members("buffer")

    @property
    def _modules(self) -> Mapping[str, Any]:
        return self._members("module")

    def _members(self, kind: str) -> Mapping[str, Any]:
        return MappingProxyType({name: self.__dict__[name] for name, k in self._kinds.items() if k == kind})

    def __getattr__(self, name: str) -> Any:  # for a subclass that asks here for a member; Python itself finds all members
        if name in self.__dict__:
            return self.__dict__[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._kinds.pop(name, None)
        self._not_saved.discard(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None reserves the name (a layer without bias)."""
        self._register("parameter", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not learnt. It moves with the module and, if persistent, is saved with it."""
        self._register("buffer", name, tensor)
        if persistent:
            self._not_saved.discard(name)
        else:
            self._not_saved.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child."""
        self._register("module", name, module)

    register_module = add_module

    # ---------------------------------------------------------------------------------------------- walks

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module under the name "", then all below it, parents before children, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        return (module for _, module in self.named_children())

    def _named_members(self, members: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        seen: set[Tensor] = set()
        for path, module in modules:
            for name, tensor in getattr(module, members).items():
                if tensor is None or tensor in seen:
                    continue
                if remove_duplicate:
                    seen.add(tensor)
                yield f"{path}.{name}" if path else name, tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name; a shared one comes once, under its first name."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter once: the argument of an optimiser."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path: ``get_submodule("encoder.layer.0")``."""
        module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                known = ", ".join(module._modules) or "none"
                raise AttributeError(f"{type(module).__name__} has no child '{name}' (of '{target}'); its children: {known}")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path: ``get_parameter("encoder.weight")``."""
        return self._get_member("_parameters", target)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._get_member("_buffers", target)  # type: ignore[no-any-return]

    def _get_member(self, members: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        tensor = getattr(module, members).get(name)
        if tensor is None:
            raise AttributeError(f"{type(module).__name__} has no {members[1:-1]} '{name}' (of '{target}')")
        return tensor

    # ------------------------------------------------------------------------------------- saving and loading

    def state_dict(
        self, *, destination: dict[str, Tensor] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """All parameters and persistent buffers, by dotted name; they share the module's memory.

        A shared tensor appears under each of its names. keep_vars: the tensors themselves rather than detached ones.
        """
        state = {} if destination is None else destination
        saved = {name: buffer for name, buffer in self._buffers.items() if name not in self._not_saved}
        for name, tensor in (*self._parameters.items(), *saved.items()):
            if tensor is not None:
                state[prefix + name] = tensor if keep_vars else tensor.detach()
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy the values of ``state_dict`` (Tensors or arrays) into the module, in its dtype and on its device.

        strict: every name must be on both sides; otherwise the other names are skipped and returned. Shapes must always
        agree. All checks come first: after an error the module is unchanged.
        assign: replace the module's tensors by the given ones, with their dtype and device.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a dict of names and tensors, got {type(state_dict).__name__}")
        own = self.state_dict(keep_vars=True)
        values = {name: as_tensor(state_dict[name]) for name in own if name in state_dict}
        keys = IncompatibleKeys([k for k in own if k not in state_dict], [k for k in state_dict if k not in own])
        problems = problems_of(own, values, keys, strict)
        if problems:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:" + "".join(problems))
        with no_grad():
            for name, value in values.items():
                assert value is not None  # problems_of checked it
                if assign:
                    self._assign(name, own[name], value)
                else:
                    own[name].copy_(value)
        return keys

    def _assign(self, target: str, old: Tensor, value: Tensor) -> None:
        path, _, name = target.rpartition(".")
        if isinstance(old, Parameter) and not isinstance(value, Parameter):
            value = Parameter(value, requires_grad=old.requires_grad)
        setattr(self.get_submodule(path), name, value)

    # ----------------------------------------------------------------------------------------- changing all of it

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module, children before parents: the usual way to initialise weights."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Training behaviour (dropout on) for this module and all below."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation behaviour (dropout off): the same as train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Make all parameters learnable, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or fill them with zeros)."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = None if set_to_none else zeros_like(parameter)

    def _convert(self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Replace the array of every parameter, gradient and buffer; the objects stay, so an optimiser still refers to them."""
        for tensor in itertools.chain(self.parameters(), self.buffers()):
            tensor.data = fn(tensor.data)
            if tensor.grad is not None:
                tensor.grad = fn(tensor.grad.detach())
        return self

    def to(self, *target: Any, device: str | None = None, dtype: Any = None, non_blocking: bool = False) -> Self:
        """Move to a device and (floating tensors only) to a dtype, in place: ``to("cuda")``, ``to(float64)``, ``to(tensor)``."""
        for t in target:
            if isinstance(t, Tensor):
                device, dtype = t.device, t.dtype
            elif isinstance(t, str):
                device = t
            elif t is not None and not isinstance(t, bool):
                dtype = t
        if dtype is not None and not dtypes.is_floating(np.dtype(dtype)):
            raise TypeError(f"Module.to only accepts floating point dtypes, got {np.dtype(dtype)}: parameters need gradients")
        return self._convert(lambda x: x.to(device=device, dtype=dtype if x.is_floating_point() else None))

    def cuda(self, device: int | str | None = None) -> Self:
        """Move to the GPU, in place."""
        return self.to(device if isinstance(device, str) else f"cuda:{device or 0}")

    def cpu(self) -> Self:
        """Move to main memory, in place."""
        return self.to("cpu")

    def float(self) -> Self:
        """All floating tensors to float32, in place."""
        return self.to(dtypes.float32)

    def double(self) -> Self:
        """All floating tensors to float64, in place."""
        return self.to(dtypes.float64)

    def half(self) -> Self:
        """All floating tensors to float16, in place."""
        return self.to(dtypes.float16)

    # ------------------------------------------------------------------------------------------------- hooks

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False) -> Handle:
        """Before each call: ``hook(module, args)`` may return new arguments.

        with_kwargs: ``hook(module, args, kwargs)``, which may return a pair of both.
        """
        return _add_hook(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False) -> Handle:
        """After each call: ``hook(module, args, output)`` may return a new output.

        with_kwargs: ``hook(module, args, kwargs, output)``.
        """
        return _add_hook(self._forward_hooks, (hook, with_kwargs), prepend)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            changed = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if changed is not None and with_kwargs:
                args, kwargs = changed
            elif changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook, with_kwargs in list(self._forward_hooks.values()):
            changed = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
            output = output if changed is None else changed
        return output

    # ----------------------------------------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """The text between the brackets: a layer's settings."""
        return ""

    def __repr__(self) -> str:
        """The tree of modules, with the number of parameters of each (a shared one counted once)."""
        return printing.text_of(self)


def _add_hook(hooks: OrderedDict[int, Any], hook: tuple[Any, bool], prepend: bool) -> Handle:
    handle = Handle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.key, last=False)
    return handle


KINDS: dict[str, type] = {"parameter": Parameter, "buffer": Tensor, "module": Module}
