"""minitorch tensorboard: the format by published vectors and by TensorBoard's own reader, files that grow, mistakes."""

import json
import struct
from pathlib import Path

import pytest

from models import cli
from models.training import tensorboard
from models.training.tensorboard import EVENTS, Curves, crc32c, event, masked, varint

LINES = [
    {"step": 0, "loss": 4.5, "lr": 0.0, "best": True},
    {"step": 10, "loss": 2.25, "valid_loss": 2.5, "lr": 1e-3, "note": "x"},
]


def write(folder, lines=LINES):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, appendix B.4, and the usual check value
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksums_are_those_of_the_standard(data, crc):
    assert crc32c(data) == crc


def test_an_event_byte_by_byte():
    """As TensorBoard 2.21 writes Event(wall_time=1.5, step=300, summary=[loss 0.5])."""
    assert masked(struct.pack("<Q", 24)) == struct.pack("<I", mask(crc32c(struct.pack("<Q", 24))))
    data = bytes.fromhex("09000000000000f83f10ac022a0d0a0b0a046c6f7373150000003f")
    assert event(1.5, 300, {"loss": 0.5})[12:-4] == data
    assert varint(0) == b"\0"
    assert varint(-1) == b"\xff" * 9 + b"\x01"


def mask(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def records(content):
    """The records of an event file; their checksums must be right."""
    while content:
        (n,) = struct.unpack("<Q", content[:8])
        data = content[12 : 12 + n]
        assert (content[8:12], content[12 + n : 16 + n]) == (masked(content[:8]), masked(data))
        yield data
        content = content[16 + n :]


def test_every_run_below_a_folder_gets_its_file(tmp_path, capsys):
    write(tmp_path / "a")
    write(tmp_path / "b" / "c", LINES[:1])
    assert cli.main(["tensorboard", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'a' / EVENTS}: 3 curves of 2 evaluations" in out
    assert f"{tmp_path / 'b' / 'c' / EVENTS}: 2 curves of 1 evaluation" in out
    assert f"tensorboard --logdir {tmp_path}" in out
    head, *events = records((tmp_path / "a" / EVENTS).read_bytes())
    assert head.endswith(b"brain.Event:2")
    assert [data.count(b"loss") for data in events] == [1, 2]
    assert not any(b"best" in data or b"note" in data for data in events)
    before = (tmp_path / "a" / EVENTS).read_bytes()
    assert cli.main(["tensorboard", str(tmp_path)]) == 0
    assert (tmp_path / "a" / EVENTS).read_bytes() == before


def test_a_run_that_goes_on_appends_to_its_file_and_another_run_replaces_it(tmp_path):
    curves = Curves(write(tmp_path, LINES[:1]) / "metrics.jsonl")
    assert curves.update()
    assert not curves.update()
    first, place = curves.file.read_bytes(), curves.file.stat().st_ino
    write(tmp_path)
    assert curves.update()
    assert curves.file.read_bytes().startswith(first)  # a viewer goes on reading the file that it has open
    assert curves.file.stat().st_ino == place
    assert len(list(records(curves.file.read_bytes()))) == 3
    write(tmp_path, [{"step": 5, "loss": 1.0}])
    assert curves.update()
    assert len(list(records(curves.file.read_bytes()))) == 2


def test_it_follows_until_ctrl_c(tmp_path, monkeypatch, capsys):
    looks = iter([lambda: write(tmp_path, LINES[:1]), lambda: write(tmp_path), None])

    def pause(_):
        if (look := next(looks)) is None:
            raise KeyboardInterrupt
        look()

    monkeypatch.setattr(tensorboard.time, "sleep", pause)
    assert cli.main(["tensorboard", str(tmp_path), "--follow"]) == 130
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().out.split("\n") if EVENTS in line] == [
        "2 curves of 1 evaluation",
        "3 curves of 2 evaluations",
    ]


def test_tensorboards_own_reader_finds_the_curves(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    root = Path(__file__).parents[1]
    lines = [json.loads(line) for line in (root / "benchmarks/results/pretrain/metrics.jsonl").read_text().splitlines()]
    assert cli.main(["tensorboard", str(write(tmp_path, lines))]) == 0
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert set(found.Tags()["scalars"]) == set(lines[0]) - {"step"}
    for tag in found.Tags()["scalars"]:
        assert [e.step for e in found.Scalars(tag)] == [line["step"] for line in lines]
        assert [e.value for e in found.Scalars(tag)] == pytest.approx([line[tag] for line in lines], rel=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}\n", "metrics.jsonl:1: no line of a run's metrics, an object with a step and numbers (it has no step)"),
        ('{"step": 0}\n[1]\n', "metrics.jsonl:2: no line of a run's metrics"),
        ('{"step": 1.5}\n', "(its step is 1.5)"),
        ("\0\n", "metrics.jsonl:1: no line"),
        (None, "no metrics.jsonl there or below; training writes it"),
    ],
)
def test_mistakes_are_one_line(content, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    assert cli.main(["tensorboard", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / EVENTS).exists()


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert cli.main(["tensorboard", str(tmp_path / "absent")]) == 2
    assert "absent: no such folder" in capsys.readouterr().err
