"""Saving and loading: any nesting of dicts, lists and tuples of tensors, numbers and strings as one safetensors file.

    minitorch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": 3}, "run.safetensors")
    run = minitorch.load("run.safetensors")

Each tensor is stored under its path ("model.encoder.weight"); a flat state_dict keeps its own names, so other libraries can
read it. Everything else, and the nesting, is JSON in the header's metadata. A file of another library loads as a flat dict.
The format: 8 bytes with the header's length, the header (JSON: name -> dtype, shape, offsets), the tensors' bytes:
https://huggingface.co/docs/safetensors. No pickle is ever read or written: opening a pickle can run any program.
Read before: tensor.py.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import numpy as np

from . import devices, dtypes
from .files import replacing
from .tensor import Tensor

_KEY = "minitorch"  # the metadata entry with the nesting
_VERSION = 1
_DTYPES = {
    "BOOL": "bool", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_DAMAGE = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)  # broken JSON may raise any of these


def save(obj: Any, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """Write ``obj`` to ``path``: whole or not at all. An older file stays untouched until the new one is complete.

    Dicts, lists, tuples, numbers, strings and None come back unchanged (subclasses as their base), tensors with their dtype
    and shape, on the CPU and without gradient. A tensor met twice (tied weights) is stored once and loaded as one tensor.
    metadata: strings of your own for the header (read_metadata).
    """
    tensors: dict[str, Any] = {}
    tree = _Flattener(tensors).flatten(obj, ())
    header = {"format": "pt"}  # Hugging Face's loaders expect it: PyTorch's names and layouts
    for name, value in (metadata or {}).items():
        if not isinstance(name, str) or not isinstance(value, str) or name == _KEY:
            raise TypeError(f'save: metadata must map strings to strings (and not use "{_KEY}"), got {name!r}: {value!r}')
        header[name] = value
    header[_KEY] = json.dumps({"version": _VERSION, "tree": tree}, separators=(",", ":"))
    _safetensors()  # if it is missing, fail now: the file could be written but not loaded
    with replacing(path) as temporary, open(temporary, "wb") as file:
        _write(file, tensors, header)


def load(path: str | os.PathLike[str], map_location: str | None = None, *, weights_only: bool = True) -> Any:
    """Read the object that save() wrote to ``path``, its tensors on ``map_location`` (default: CPU); another library's as a dict.

    ``weights_only`` is accepted for PyTorch's sake and changes nothing: no file can hold code here.
    NumPy has no bfloat16: in another library's file it becomes float32, exactly, by appending 16 zero bits; in ours it stays.
    """
    header, metadata, start = _read_header(path)
    tensors = {}
    with open(path, "rb") as file:
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            if entry["dtype"] not in _DTYPES:
                raise ValueError(f"{path}: tensor {_cut(name)!r} is stored as {entry['dtype']}, which NumPy does not have")
            file.seek(start + entry["data_offsets"][0])
            try:
                array = _read_array(file, entry)
            except (ValueError, MemoryError, OSError) as error:
                raise ValueError(f"{path}: tensor {_cut(name)!r} cannot be read: {error}") from None
            if _KEY in metadata and entry["dtype"] == "BF16":
                array = array.astype(dtypes.bfloat16)
            tensors[name] = Tensor(devices.move(array, map_location))
    if _KEY not in metadata:
        return tensors
    try:
        described = json.loads(metadata[_KEY])
        version = described["version"]
        if version == _VERSION:
            return _rebuild(described["tree"], tensors)
    except _DAMAGE as error:
        raise ValueError(f"{path}: the description of its nesting is damaged ({_cut(repr(error))})") from error
    raise ValueError(f"{path} has minitorch's format {_cut(version)}, this one reads {_VERSION}: update minitorch")


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings stored with the tensors (save(..., metadata=...)), without loading the tensors."""
    return {name: value for name, value in _read_header(path)[1].items() if name != _KEY}


def read_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of the file's tensors, by their names in it, without loading the tensors."""
    return {name: tuple(entry["shape"]) for name, entry in _read_header(path)[0].items()}


# ------------------------------------------------------------------------------------------------ objects as trees
#
# JSON holds numbers, strings, None and lists as they are. Anything else is an object with one entry, which names its kind:
#     {"dict": {key: value}}   {"items": [[key, value]]} (keys that are not strings)   {"tuple": [...]}   {"tensor": name}


class _Flattener:
    """Moves the tensors of a nested object into ``tensors``, by name."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        self.tensors = tensors
        self.names: dict[int, str] = {}  # id of an array -> its name: each array is stored once
        self.alive: list[Any] = []  # keeps these arrays alive, so that no id is reused

    def flatten(self, x: Any, path: tuple[Any, ...]) -> Any:
        """``x``, whose place is ``path``, as JSON without its tensors."""
        if x is None or isinstance(x, bool | int | float | str):
            return x
        if isinstance(x, Tensor):
            return {"tensor": self.name(x, path)}
        if isinstance(x, dict):
            plain = all(type(key) is str for key in x)
            items = [[self.key(key, path), self.flatten(value, (*path, key))] for key, value in x.items()]
            return {"dict": dict(items)} if plain else {"items": items}
        if isinstance(x, list | tuple):
            values = [self.flatten(value, (*path, i)) for i, value in enumerate(x)]
            return values if isinstance(x, list) else {"tuple": values}
        raise TypeError(
            f"save: {_dotted(path) or 'the object'} is a {type(x).__name__}; only tensors, numbers, strings, None, and dicts, "
            "lists and tuples of them are saved" + ("; make it a tensor: minitorch.tensor(x)" if hasattr(x, "dtype") else "")
        )

    def key(self, key: Any, path: tuple[Any, ...]) -> Any:
        """A dict's key."""
        if isinstance(key, Tensor | dict | list):
            raise TypeError(f"save: {_dotted(path) or 'the object'} has a {type(key).__name__} as a key; use strings or numbers")
        return self.flatten(key, path)

    def name(self, x: Tensor, path: tuple[Any, ...]) -> str:
        """The tensor's name in the file: its path, made unique (the key "a.b" and the key b in a dict a have one path)."""
        if id(x.array) not in self.names:
            name = wish = _dotted(path) or "tensor"
            count = 1
            while name in self.tensors or name == "__metadata__":  # reserved by the format
                count += 1
                name = f"{wish}#{count}"
            array = devices.move(x.array, "cpu")
            self.tensors[name] = np.asarray(array, order="C")  # not ascontiguousarray, which makes 0-d arrays 1-d
            self.names[id(x.array)] = name
            self.alive.append(x.array)
        return self.names[id(x.array)]


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def _rebuild(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Undo _Flattener.flatten."""
    if isinstance(tree, list):
        return [_rebuild(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "tuple":
        return tuple(_rebuild(v, tensors) for v in value)
    if kind == "dict":
        return {key: _rebuild(v, tensors) for key, v in value.items()}
    if kind == "items":
        return {_rebuild(key, tensors): _rebuild(v, tensors) for key, v in value}
    raise KeyError(kind)


# --------------------------------------------------------------------------------------------------------- writing


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("saving and loading need the safetensors library: pip install safetensors") from error
    return safetensors


def _write(file: Any, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    """Write the format by hand: the library changes the order of metadata, and equal objects should give equal files."""
    kinds = {np.dtype(code).name: name for name, code in _DTYPES.items() if name != "BF16"} | {"bfloat16": "BF16"}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # aligns every array
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        header[name] = {"dtype": kinds[tensors[name].dtype.name], "shape": tensors[name].shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(
            f"save: names, numbers and strings take {len(text):,} bytes, the format allows {_LONGEST_HEADER:,}; "
            "make tensors of long lists of numbers"
        )
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        file.write(tensors[name].tobytes())


# --------------------------------------------------------------------------------------------------------- reading


def _read_array(file: Any, entry: dict[str, Any]) -> Any:
    """One tensor's bytes as an array. By hand: the library's NumPy side has no bfloat16."""
    begin, end = entry["data_offsets"]
    array = np.empty(entry["shape"], dtype=_DTYPES[entry["dtype"]])
    if file.readinto(array.reshape(-1).view(np.uint8)) != end - begin:
        raise ValueError("the file became shorter meanwhile")
    if entry["dtype"] == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_header(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, str], int]:
    """The tensors' entries, the metadata, and the offset of the tensors' bytes; or an error that names the fault."""
    _safetensors()
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; give the name of the file in it")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is a pipe or a device, not an ordinary file")
    size = os.path.getsize(path)
    try:
        with open(path, "rb") as file:
            begin = file.read(9)
            length = int.from_bytes(begin[:8], "little")
            _check_beginning(path, begin, size)
            if 8 + length > size:
                raise ValueError(f"{path} is truncated: its header alone has {length} bytes, the file {size}; copy it again")
            if length > _LONGEST_HEADER:
                raise ValueError(f"{path} has a damaged header: {length:,} bytes, the format allows {_LONGEST_HEADER:,}")
            file.seek(8)
            text = file.read(length)
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}") from error
    header, needed = _parse_header(path, text, size)
    if needed > size:
        raise ValueError(f"{path} is truncated: its header announces {needed} bytes, the file has {size}; copy it again")
    return header, header.pop("__metadata__", None) or {}, 8 + length


def _parse_header(path: Any, text: bytes, size: int) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes the file must have; all but that is checked."""
    library = _safetensors()
    incomplete = False
    try:
        try:
            with library.safe_open(path, framework="np"):
                pass  # the library checks names, types, sizes, gaps and overlaps, and needs less memory for nonsense than Python
        except library.SafetensorError as error:
            incomplete = "ncomplete" in str(error)
            if not incomplete:
                raise
        header = json.loads(text, object_pairs_hook=_without_doubles)
        entries = [entry for name, entry in header.items() if name != "__metadata__"]
        needed = 8 + len(text) + max((entry["data_offsets"][1] for entry in entries), default=0)
        if incomplete and needed <= size:
            raise ValueError(f"its tensors have {needed} bytes, the file {size}")
    except (*_DAMAGE, library.SafetensorError) as error:
        raise ValueError(f"{path} has a damaged header ({_cut(error)}); get a new copy of the file") from error
    return header, needed


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which each name stands once."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name stands there twice")
    return entries


def _cut(text: Any) -> str:
    """A text from a file for a message: not longer than a line."""
    return str(text) if len(str(text)) <= 200 else f"{str(text)[:200]}..."


def _check_beginning(path: Any, begin: bytes, size: int) -> None:
    """Recognise other kinds of files by their first bytes: a safetensors file has a "{" after its 8-byte length."""
    if begin[8:] == b"{":
        return
    if begin[:2] == b"PK" or begin[:1] == b"\x80":
        raise ValueError(
            f"{path} is a pickle or a zip archive (PyTorch's .pt and .bin are, NumPy's .npz too). minitorch never reads "
            "pickles, which can run any program. Convert it on a machine that has PyTorch: "
            'safetensors.torch.save_file(torch.load("model.pt", weights_only=True), "model.safetensors")'
        )
    if size == 0:
        raise ValueError(f"{path} is empty (0 bytes)")
    raise ValueError(f"{path} is not a safetensors file: it begins with {begin[:8]!r}")
