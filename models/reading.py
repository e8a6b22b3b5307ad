"""Reading files that may be damaged: text, JSON, TOML, tensors. Every fault is a BadInput, one line that names the file.

Read before: errors.py. Read next: training/settings.py, checkpoints/files.py.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import minitorch
from minitorch import Tensor
from minitorch.dtypes import is_floating

from .errors import BadInput, count, short

LARGEST = 8 << 20  # bytes of a configuration: room for a hundred thousand labels, and Python needs thirty times as much
BEYOND = 1e18  # the square of a larger number, as in a variance, is near the end of float32
DEEP_KEY = re.compile(r"(?:[\w\"'-]{1,64}\s{0,4}\.\s{0,4}){100}")  # a.b.c. and so on


def read_bytes(path: str | Path, largest: int | None = LARGEST) -> bytes:
    """The content of a file, or of a pipe; a folder, a device and a file of more than ``largest`` bytes are refused."""
    waiting = getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to is empty, where open() would wait for ever
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | waiting)) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise BadInput(f"{path}: not an ordinary file; save its content to one")
            if waiting:
                os.set_blocking(file.fileno(), True)
            data = file.read(-1 if largest is None else largest + 1)
            if not data and stat.S_ISFIFO(mode):
                raise BadInput(f"{path}: a pipe without content")
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except IsADirectoryError:
        raise BadInput(f"{path}: this is a folder; give a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise BadInput(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if largest is not None and len(data) > largest:
        size = f"{largest >> 20} MB" if largest >> 20 else f"{largest >> 10} kB"
        raise BadInput(f"{path}: larger than {size}, which no such file is")
    return data


def read_text(path: str | Path, largest: int | None = LARGEST) -> str:
    """The content of a UTF-8 file, without a byte-order mark, lines ended by \\n."""
    try:
        return read_bytes(path, largest).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not a UTF-8 text ({error.reason} at byte {error.start})") from None


# ------------------------------------------------------------------------------------------------ JSON and TOML


def parse_json(text: str) -> Any:
    """The value of a JSON text; a ValueError says what is wrong with it. Stricter than json: no NaN, no infinity."""

    def refuse(number: str) -> NoReturn:
        raise ValueError(f"{short(number)} is no number of JSON")

    def finite(number: str) -> float:
        return value if math.isfinite(value := float(number)) else refuse(number)

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=whole)
    except RecursionError:
        raise ValueError("its lists or objects are nested too deep") from None
    except ValueError as error:
        raise ValueError(short(error)) from None


def whole(number: str) -> int:
    """A whole number of a JSON file (json's parse_int), unless it has more digits than any float."""
    if len(number) > 300:
        raise ValueError("a number with hundreds of digits")
    return int(number)


def read_json(path: str | Path, thing: str = "it", largest: int = LARGEST) -> dict[str, Any]:
    """The object in a JSON file; ``thing`` is what it should be, for the message."""
    try:
        value = parse_json(read_text(path, largest))
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(f"{path}: not a JSON file ({error})") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path}: {thing} is a JSON object of names and values, this holds {type(value).__name__}")
    return value


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables and values of a TOML file of at most 256 kB."""
    text = read_text(path, 1 << 18)
    try:
        if DEEP_KEY.search(text):  # tomllib's time grows with the square of a key's depth
            raise RecursionError
        return tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"{path}: its lists or tables are nested too deep") from None
    except ValueError as error:
        many = "integer string" in str(error)  # Python's own text speaks of its settings
        raise BadInput(f"{path}: {'a number with thousands of digits' if many else short(error)}") from None


# ------------------------------------------------------------------------------------------------------- tensors


def read_tensors(path: str | Path) -> Any:
    """What minitorch.save, or another safetensors library, wrote; numbers that no training leaves are refused."""
    content = minitorch.load(path)
    for name, tensor in named_tensors(content):
        if not is_floating(tensor.dtype):
            continue
        x = tensor.array.astype(np.promote_types(np.float32, tensor.dtype), copy=False)  # float16 cannot hold BEYOND
        if bad := x.size - np.count_nonzero(np.abs(x) <= BEYOND):
            kind = f"numbers beyond {BEYOND:g}" if np.isfinite(x).all() else "NaN or infinity"
            raise BadInput(
                f"{path}: {short(name)} holds {kind} ({bad:,} of {count(x.size, 'number')}): the file is damaged, or its "
                "training went astray; take another copy or an earlier state"
            )
    return content


def named_tensors(content: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in a nesting of dicts, lists and tuples, each with its path: "model.pooler.bias"."""
    if isinstance(content, Tensor):
        yield path, content
    elif isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from named_tensors(value, f"{path}.{key}" if path else f"{key}")
