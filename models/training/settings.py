"""A run's settings: a dataclass. Each field is an option of a command, a key of its TOML file, and a line of its help.

    @dataclass
    class Settings(TrainingSettings):
        steps: int = option(2000, "training steps (weight updates)")

Read next: runs.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import minitorch
from minitorch import distributed
from minitorch.devices import canonical, cupy_with_a_gpu
from minitorch.distributed.wire import FORMATS as WIRES

from ..checkpoints.kinds import job_of
from ..errors import BadInput, count, quoted, suggestion
from ..reading import read_toml
from .loop import available_cores
from .precision import HELP, check_precision


def option(default: Any, text: str, shown: str | None = None) -> Any:
    """A setting with its help text; ``shown`` replaces the default there where the value itself says little."""
    factory = {"default_factory": lambda: list(default)} if isinstance(default, list) else {"default": default}
    shown = shown or ("none" if default in (None, [], "") else str(default))
    return field(**factory, metadata={"help": text, "shown": shown})


@dataclass
class TrainingSettings:
    """Settings of every training run. Subclasses add their own and may change a default."""

    batch_size: int = option(32, "examples per step")
    lr: float = option(1e-3, "highest learning rate")
    weight_decay: float = option(0.01, "AdamW's weight decay; biases and LayerNorm have none")
    clip: float = option(1.0, "clip the gradient's global norm to this")
    dropout: float = option(0.1, "dropout rate, everywhere")
    eval_every: int = option(0, "steps from one evaluation to the next; 0: one per epoch")
    save_every: int = option(500, "steps from one saved state to the next")
    accumulate: int = option(1, "micro-batches per step, one after the other")
    threads: int = option(0, "micro-batches computed at the same time; 0: one per core")
    seed: int = option(0, "seed of every random choice")
    device: str = option("cpu", "cpu, cuda or cuda:N")
    precision: str = option("float32", HELP)
    wire: str = option("float32", "several ranks (mpiexec): gradients travel as float32, float16 or bfloat16")
    local_steps: int = option(1, "several ranks: steps that each takes alone before all average weights; 1: all add up gradients")

    def check_values(self, **limits: tuple[float, float]) -> None:
        """Raise BadInput for numbers outside their limits (least, most) and for a device that does not exist."""
        shared: dict[str, tuple[float, float]] = {
            **dict.fromkeys(("batch_size", "save_every", "accumulate", "local_steps"), (1, math.inf)),
            **dict.fromkeys(("weight_decay", "eval_every", "threads", "seed"), (0, math.inf)),
            **dict.fromkeys(("lr", "clip"), (1e-12, 1e12)),
            "dropout": (0, 0.999),
        }
        check_limits(self, {**shared, **limits})
        if not getattr(self, "output", "a folder"):
            raise BadInput("--output is empty: name a folder")
        self.device = usable_device(self.device)
        check_precision(self.precision, self.device)
        if self.wire not in WIRES:
            raise BadInput(f"--wire must be one of {', '.join(WIRES)}, not {self.wire!r}")
        if self.local_steps > 1 and self.precision == "fp16":
            raise BadInput("--local-steps: with --precision fp16 ranks must agree in each step which to skip; use bf16")

    @property
    def workers(self) -> int:
        """How many micro-batches run at the same time."""
        share = max(1, self.batch_size // distributed.get_world_size())
        return 1 if self.device != "cpu" else self.threads or min(available_cores(), share)


def flag(name: str) -> str:
    """The setting as an option of the command."""
    return f"--{name.replace('_', '-')}"


def add_options(parser: argparse.ArgumentParser, *kinds: Any, skip: Sequence[str] = (), hidden: Sequence[str] = ()) -> None:
    """One option per setting, the run's own first. The command line overrides --config, which overrides the default.

    Of several kinds each setting once; where they differ, the help says how. The help leaves out ``hidden`` ones.
    """
    parser.add_argument("--config", metavar="FILE.toml", help="read settings from a TOML file; the command line overrides it")
    parser.add_argument("--resume", action="store_true", help="continue the run in --output from its last saved state")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --output")
    names = dict.fromkeys(f.name for kind in kinds for f in own_first(kind) if f.name not in skip)
    for name in names:
        having = {kind: f for kind in kinds for f in dataclasses.fields(kind) if f.name == name}
        f, shown = next(iter(having.values())), help_of(having, len(kinds)).replace("%", "%%")
        shown = argparse.SUPPRESS if name in hidden else shown
        if f.type == "list[str]":
            parser.add_argument(flag(name), nargs="+", metavar="FILE", default=None, help=shown)
        elif f.type == "bool":
            parser.add_argument(flag(name), action=argparse.BooleanOptionalAction, default=None, help=shown)
        else:
            convert = {"int": int, "float": float}.get(str(f.type).split()[0], str)
            parser.add_argument(flag(name), type=convert, default=None, metavar=str(f.type).split()[0].upper(), help=shown)


def own_first(kind: Any) -> list[Any]:
    """The settings of a kind: those that it declares, then those of the class above, and so on."""
    classes = [list(inspect.get_annotations(c)) for c in kind.__mro__]

    def place(name: str) -> tuple[int, int]:
        return next((i, own.index(name)) for i, own in enumerate(classes) if name in own)

    return sorted(dataclasses.fields(kind), key=lambda f: place(f.name))


def help_of(having: dict[Any, Any], kinds: int) -> str:
    """The help of a setting, of the kinds that have it."""
    texts = {kind: f.metadata["help"] for kind, f in having.items()}
    shown = {kind: "" if f.type == "bool" else f.metadata["shown"] for kind, f in having.items()}
    same_text, same_default = len(set(texts.values())) == 1, len(set(shown.values())) == 1

    def with_default(text: str, default: str) -> str:
        return f"{text} (default: {default})" if default else text

    if len(having) < kinds:
        return "; ".join(f"--model {kind.label}: {with_default(texts[kind], shown[kind])}" for kind in having)
    if same_text:
        defaults = next(iter(shown.values())) if same_default else ", ".join(f"{kind.label} {shown[kind]}" for kind in having)
        return with_default(next(iter(texts.values())), defaults)
    return "; ".join(f"{kind.label}: {with_default(texts[kind], shown[kind])}" for kind in having)


def given(args: argparse.Namespace, kind: Any, besides: Sequence[str] = ()) -> dict[str, Any]:
    """The settings in the TOML file, then those on the command line. besides: keys there that somebody else reads."""
    if args.resume and args.overwrite:
        raise BadInput("--resume continues the run in --output and --overwrite replaces it: give one of them")
    values: dict[str, Any] = {}
    fields = {f.name: f for f in dataclasses.fields(kind) if hasattr(args, f.name)}  # those that the command offers
    if args.config:
        for key, value in read_toml(args.config).items():
            name = key.replace("-", "_")
            if name in besides:
                continue
            if name not in fields:
                close = suggestion(name[:40], fields)
                hint = f"; did you mean {close!r}?" if close else ""
                raise BadInput(f"{args.config}: no setting is called {quoted(key)}{hint}")
            values[name] = typed(args.config, key, value, str(fields[name].type))
    return {**values, **{name: getattr(args, name) for name in fields if getattr(args, name) is not None}}


def typed(file: str, key: str, value: Any, kind: str) -> Any:
    """A value of a file, checked against the setting's type; a number must be finite and fit into 64 bits."""
    if value is None and "None" in kind:
        return None
    kind = kind.split()[0]
    kinds = {"int": int, "float": (int, float), "bool": bool, "list[str]": (list, str)}
    fits = isinstance(value, kinds.get(kind, str)) and (kind == "bool" or not isinstance(value, bool))
    fits = fits and (not isinstance(value, list) or all(isinstance(item, str) for item in value))
    fits = fits and not (isinstance(value, int | float) and not abs(value) < 2**63)
    if not fits:
        raise BadInput(f"{file}: {key} must be of type {kind}, not {quoted(value)}")
    return [value] if kind == "list[str]" and isinstance(value, str) else float(value) if kind == "float" else value


def check_limits(settings: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raise BadInput for a setting outside its limits."""
    for name, (least, most) in limits.items():
        value = getattr(settings, name)
        if not least <= value <= most:
            low, high = f"{least:g}", f"{most:g}"
            bounds = f"at least {low}" if math.isinf(most) else f"from {low} to {high}"
            raise BadInput(f"{flag(name)} must be {bounds}, not {value}")


def usable_device(device: str) -> str:
    """The device's canonical name; BadInput if it does not exist here."""
    try:
        device = canonical(device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BadInput(f"--device: {error}") from None
    if device == "cpu":
        return device
    if minitorch.cuda_is_available():
        return own_gpu(device)
    try:
        cupy_with_a_gpu()
    except RuntimeError as error:
        raise BadInput(f"--device {device}: {error}") from None
    raise BadInput(f"--device {device}: CuPy finds no GPU; `minitorch doctor` says what to do")


def own_gpu(device: str) -> str:
    """With several ranks on this machine each has a GPU of its own."""
    group, there = distributed.current(), minitorch.cuda.device_count()
    if group is None:
        return device
    if group.local_size > there:
        raise BadInput(f"{group.local_size} ranks on a machine with {count(there, 'GPU')}: each needs its own; start {there}")
    return f"cuda:{group.local_rank}"


def refuse_other_job(path: Path, state: Any, kind: Any) -> None:
    """BadInput for the state of a run of another command than that with settings of this kind."""
    job = job_of(state.get("settings") if isinstance(state, dict) else None)
    own = job_of({f.name: None for f in dataclasses.fields(kind)})
    if job and own and job != own:
        folder = path.parent.parent if path.parent.name == ".new" else path.parent
        how = f"minitorch {job} --resume --output {shlex.quote(str(folder))}"
        raise BadInput(f"{path}: not the state of minitorch {own}, but of minitorch {job}; continue it with {how}")


def as_options(message: str, names: Iterable[str]) -> str:
    """A message with arguments' names as the command has them: num_beams is --num-beams."""
    for name in names:
        message = re.sub(rf"(?<!-)\b{name}\b", flag(name), message)
    return message


def checked(file: str | Path, saved: Any, kind: Any) -> dict[str, Any]:
    """The settings that a run wrote down: all of them, each of its type; BadInput if they are not."""
    fields = {f.name: str(f.type) for f in dataclasses.fields(kind)}
    if not isinstance(saved, dict) or saved.keys() != fields.keys():
        raise BadInput(f"{file}: written by another version of minitorch, with other settings")
    for name, value in saved.items():
        typed(str(file), name, value, fields[name])
    return saved


def resumed_settings(state: Path, saved: Any, chosen: dict[str, Any], kind: Any, free: tuple[str, ...]) -> Any:
    """A resumed run's settings: those it began with. ``chosen`` ones in ``free`` replace them; other changes raise BadInput."""
    saved = checked(state, saved, kind)
    for name, value in chosen.items():
        if name not in free and saved[name] != value:
            has = f"{flag(name)} {saved[name]}"
            raise BadInput(f"{state}: that run has {has}; --resume keeps it: leave out {flag(name)} {value}")
    return kind(**{**saved, **{name: value for name, value in chosen.items() if name in free}})
