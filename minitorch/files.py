"""Writing files whole or not at all: into a temporary file in the same folder, which is then renamed.

A reader sees the old file or the new one, never a part of one. If something fails in between (a full disk, Ctrl-C), the old
file stays as it was and the temporary one is deleted. Only a process that is killed leaves one; ``sweep`` removes those.
``ndarray.tofile`` and ``np.save`` into an open file lose the error of a full disk: write ``tobytes()`` or from memory.
Read before: nothing. Read next: serialization.py.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_TEMPORARY = re.compile(r"\.minitorch-[0-9a-f]{8}(\..*)?")


class NotWritten(OSError):
    """A file could not be written; the text names it and the reason."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """``with replacing(path) as temporary:`` write ``temporary``; at the end of the block it becomes ``path``.

    It is on the disk before it is renamed (fsync). It has the ending of ``path``, for libraries that look at endings.
    """
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file in it")
    temporary = path.with_name(f".minitorch-{os.urandom(4).hex()}{path.suffix}")
    try:
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, NotWritten):
            old = "the old file there is untouched" if path.exists() else "nothing was left there"
            raise NotWritten(f"could not write {path} ({error.strerror or error}); {old}") from error
        raise
    with contextlib.suppress(OSError):  # some file systems cannot do this with a folder
        _to_disk(path.parent)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_all(files: Mapping[Path, str | bytes]) -> None:
    """Write several files and the folders they need: all or, where one cannot be written, none."""
    made: list[Path] = []
    try:
        with contextlib.ExitStack() as until_all_are_written:
            for path, content in files.items():
                for folder in reversed([f for f in path.parents if not f.exists()]):
                    folder.mkdir()
                    made.append(folder)
                temporary = until_all_are_written.enter_context(replacing(path))
                temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
                _to_disk(temporary)
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder. The caller knows that nobody is writing there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def _to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
