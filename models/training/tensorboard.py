"""``minitorch tensorboard``: the curves of runs as TensorBoard's event files, from the metrics.jsonl that every training leaves.

An event file is a row of records (TFRecord), each framed by its length and two checksums; a record is a protocol buffer:

    record = length (8 bytes), crc(length), data, crc(data)         crc: CRC-32C, rotated and shifted (``masked``)
    data   = Event {wall_time: 1, step: 2, file_version: 3 or summary: 5 {value: 1 {tag: 1, simple_value: 2}}}

Neither TensorBoard nor TensorFlow is needed to write one; to look at it: pip install tensorboard.
Formats: tensorflow/core/lib/io/record_writer.h, core/util/event.proto, core/framework/summary.proto.
"""

from __future__ import annotations

import argparse
import functools
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from minitorch.files import replacing

from ..errors import BadInput, count, short
from ..reading import parse_json, read_text

METRICS, EVENTS = "metrics.jsonl", "events.out.tfevents.minitorch"  # the viewer looks for "tfevents" in a name
LARGEST = 1 << 30  # bytes of a metrics.jsonl
PAUSE = 2.0  # seconds from one look to the next, with --follow

# ----------------------------------------------------------------------------------------------------- the format


@functools.cache
def crc_table() -> list[int]:
    """What each byte does to a CRC-32C (Castagnoli's polynomial, bits reversed)."""
    table = list(range(256))
    for _ in range(8):
        table = [(c >> 1) ^ (0x82F63B78 if c & 1 else 0) for c in table]
    return table


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720, appendix B.4."""
    table, crc = crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    """As the format stores it, so that a checksum of data that holds checksums is none of those."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """A framed record."""
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(n: int) -> bytes:
    """A whole number in portions of seven bits, the lowest first; a negative one as 64 bits."""
    n &= (1 << 64) - 1
    low = []
    while n > 0x7F:
        low.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*low, n])


def text(field: int, value: bytes) -> bytes:
    """A field of bytes: its number with wire type 2, the length, the bytes."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def event(wall_time: float, step: int, values: dict[str, float]) -> bytes:
    """The numbers of a step; without any, the head of a file."""
    head = struct.pack("<Bd", 1 << 3 | 1, wall_time) + varint(2 << 3) + varint(step)
    if not values:
        return record(head + text(3, b"brain.Event:2"))
    summary = b"".join(text(1, text(1, tag.encode()) + struct.pack("<Bf", 2 << 3 | 5, x)) for tag, x in values.items())
    return record(head + text(5, summary))


# ------------------------------------------------------------------------------------------------------ the curves


def read_metrics(path: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and numbers of each line; words and yes or no are left out."""
    found = []
    for number, line in enumerate(read_text(path, LARGEST).splitlines(), 1):
        try:
            values = parse_json(line)
            step = values.pop("step")
            if not isinstance(step, int) or isinstance(step, bool):
                raise ValueError(f"its step is {step!r}")
            numbers = {tag: float(x) for tag, x in values.items() if isinstance(x, int | float) and not isinstance(x, bool)}
            found.append((step, numbers))
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
            reason = "it has no step" if isinstance(error, KeyError) else short(error)
            raise BadInput(f"{path}:{number}: no line of a run's metrics, an object with a step and numbers ({reason})") from None
    return found


class Curves:
    """A run's event file, and how much of its metrics.jsonl is in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.written = path, list[tuple[int, dict[str, float]]]()
        self.file = path.parent / EVENTS

    def update(self) -> bool:
        """Bring the file up to date: new lines go to its end, where a viewer that has it open finds them; was there any?"""
        lines, now = read_metrics(self.path), self.path.stat().st_mtime
        old = len(self.written)
        new = [event(now, step, values) for step, values in lines[old:] if values]
        if old and self.file.exists() and lines[:old] == self.written:
            with open(self.file, "ab") as out:
                out.write(b"".join(new))
        else:  # a first look, or another run took the place of this one
            whole = [event(now, 0, {}), *(event(now, step, values) for step, values in lines if values)]
            with replacing(self.file) as temporary:
                Path(temporary).write_bytes(b"".join(whole))
        changed, self.written = lines != self.written, lines
        return changed


def runs_in(folders: Iterable[Path]) -> Iterator[Path]:
    """The metrics.jsonl in the folders and in those below."""
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(f"{folder}: {'a file; give the folder of a run' if folder.exists() else 'no such folder'}")
        yield from sorted(folder.rglob(METRICS))


# ------------------------------------------------------------------------------------------------------ the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``minitorch tensorboard``."""
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("runs")], metavar="FOLDER", help="of runs (default: runs)")
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C: add what runs write, and new runs")


def run(args: argparse.Namespace) -> int:
    """``minitorch tensorboard``"""
    known: dict[Path, Curves] = {}
    while True:
        for path in runs_in(args.folders):
            curves = known.setdefault(path, Curves(path))
            if curves.update():
                kinds = {tag for _, values in curves.written for tag in values}
                print(f"{curves.file}: {count(len(kinds), 'curve')} of {count(len(curves.written), 'evaluation')}")
        if not known and not args.follow:
            where = " and ".join(map(str, args.folders))
            raise BadInput(f"{where}: no {METRICS} there or below; training writes it, for example minitorch pretrain")
        if not args.follow:
            break
        time.sleep(PAUSE)
    places = {str(folder) for folder in args.folders}
    print(f"to see them:  tensorboard --logdir {places.pop() if len(places) == 1 else 'FOLDER'}  (pip install tensorboard)")
    return 0
