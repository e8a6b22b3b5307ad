"""Reading files that may be damaged: text, JSON, TOML, tensors. Every fault is a BadInput, one line that names the file.

Read before: errors.py. Read next: training/settings.py, bert/weights.py.
"""

from __future__ import annotations

import json
import math
import os
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


def read_bytes(path: str | Path, largest: int | None = LARGEST) -> bytes:
    """The content of a file, or of a pipe; a folder, a device and a file of more than ``largest`` bytes are refused."""
    waiting = getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to is empty, where open() would wait for ever
    try:
        handle = os.open(path, os.O_RDONLY | waiting | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:
            mode = os.fstat(handle).st_mode
            if stat.S_ISDIR(mode):
                raise BadInput(f"{path}: this is a folder; give a file")
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                raise BadInput(f"{path}: not an ordinary file; save its content to one")
            if waiting:
                os.set_blocking(handle, True)
            data = file.read(-1 if largest is None else largest + 1)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except BadInput:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise BadInput(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if largest is not None and len(data) > largest:
        raise BadInput(f"{path}: larger than {largest >> 20} MB, which no such file is")
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
        return json.loads(text, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError("its lists or objects are nested too deep") from None
    except ValueError as error:
        raise ValueError(_reason(error)) from None


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
    """The tables and values of a TOML file."""
    try:
        return tomllib.loads(read_text(path))
    except BadInput:
        raise
    except RecursionError:
        raise BadInput(f"{path}: its lists or tables are nested too deep") from None
    except ValueError as error:
        raise BadInput(f"{path}: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    """The error's text; of a number with too many digits one that does not speak of Python's settings."""
    return "a number with thousands of digits" if "integer string" in str(error) else short(error)


# ------------------------------------------------------------------------------------------------------- tensors


def read_tensors(path: str | Path) -> Any:
    """What minitorch.save, or another safetensors library, wrote; a NaN or an infinity in it is refused."""
    content = minitorch.load(path)
    for name, tensor in named_tensors(content):
        bad = 0 if not is_floating(tensor.dtype) else tensor.array.size - np.count_nonzero(np.isfinite(tensor.array))
        if bad:
            raise BadInput(
                f"{path}: {short(name)} holds NaN or infinity ({bad:,} of {count(tensor.array.size, 'number')}): the file is "
                "damaged, or its training went astray; take another copy or an earlier state"
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
