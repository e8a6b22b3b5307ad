"""Damage to the files of a run, by a random number generator: for the tests of reading, and to look for more by hand.

python -m tests.damage 2000 --seed 5      # prints whatever is neither right nor one line with the file's name
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minitorch
from models import cli
from models.bert import pretraining
from models.training.runs import STATE
from models.training.trainer import Trainer

from . import finetune_cases as cases

NESTED = "[" * 20_000 + "]" * 20_000
DIGITS = "1" * 5001
VALUES = [
    None, True, False, -1, 0, 1, 7, 2.5, -0.5, 1e308, 10**9, 10**30, 10**4000, "", "x", "a" * 100_000, "\ud800",
    [], [0], {}, {"x": 1}, [[]], ["x"] * 3, "../../etc/passwd", "/dev/zero",
]  # fmt: skip
SPLICED = ["NaN", "-Infinity", "1e999", NESTED, DIGITS, "nul", '"', "{", ",", '{"a":1,"a":2}']
NO_NUMBER = re.compile(r"(?<!\w)(nan|inf)%|[\[:,] ?-?(NaN|Infinity)\b|(nan|inf) nats|loss (nan|inf)")  # not in a word
WEIGHTS = ("model.safetensors", "training.safetensors")


# ------------------------------------------------------------------------------------------------------ mutations


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, part in items for inner in paths_in(part, (*path, key)))]


def change_json(value: Any, rng: np.random.Generator) -> Any:
    """Another value at one place, or the place taken out, or given twice."""
    value = copy.deepcopy(value)
    places = paths_in(value)
    path = places[int(rng.integers(len(places)))]
    if not path:
        return VALUES[int(rng.integers(len(VALUES)))]
    *above, last = path
    holder = value
    for key in above:
        holder = holder[key]
    kind = int(rng.integers(8))
    if kind == 0:
        del holder[last]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(last, holder[last])
    elif kind == 2 and isinstance(holder, dict):
        holder[f"{last}x"] = holder.pop(last)
    elif kind == 3 and isinstance(holder[last], int | float):
        holder[last] = holder[last] * [2, -1, 1000, 0.5][int(rng.integers(4))] + int(rng.integers(2))
    else:
        holder[last] = VALUES[int(rng.integers(len(VALUES)))]
    return value


def change_text(text: str, rng: np.random.Generator) -> str:
    """A piece of a text replaced by nonsense."""
    at = int(rng.integers(len(text) + 1))
    return text[:at] + SPLICED[int(rng.integers(len(SPLICED)))] + text[at + int(rng.integers(8)) :]


def change_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Flipped bits, a cut, a part twice or left out, zeros, noise."""
    at, n = int(rng.integers(len(data) + 1)), int(rng.integers(1, 64))
    kind = int(rng.integers(7))
    if kind == 0 and data:
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 9))):
            changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    pieces = [b"", data[at : at + n] * 2, bytes(n), rng.bytes(n), data[-n:], b"\xff" * n]
    if kind == 1:
        return data[:at]
    return data[:at] + pieces[kind - 1] + data[at + n :]


def change_weights(path: Path, rng: np.random.Generator) -> None:
    """A safetensors file: its header, the nesting that the header describes, or its numbers."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    kind = int(rng.integers(5))
    if kind == 0:
        numbers = np.frombuffer(body[: len(body) // 4 * 4], np.float32).copy()
        numbers[int(rng.integers(len(numbers)))] = [np.nan, np.inf, -np.inf, 3e38][int(rng.integers(4))]
        body = numbers.tobytes() + body[len(body) // 4 * 4 :]
    elif kind == 1 and "minitorch" in header["__metadata__"]:
        tree = change_json(json.loads(header["__metadata__"]["minitorch"]), rng)
        header["__metadata__"]["minitorch"] = json.dumps(tree)
    elif kind == 2:
        header = change_json(header, rng)
    text = json.dumps(header).encode()
    if kind == 3:
        text = change_text(text.decode(), rng).encode()
    claimed = [len(text)] * 6 + [2**63, 200_000_000, len(text) + 8, 0]
    path.write_bytes(struct.pack("<Q", claimed[int(rng.integers(10))] if kind == 4 else len(text)) + text + body)


def change_index(path: Path, rng: np.random.Generator) -> None:
    """The arrays of a prepared text's index."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored}
    name = list(arrays)[int(rng.integers(len(arrays)))]
    x = arrays[name]
    changes: list[Callable[[], Any]] = [
        lambda: x[:0], lambda: x[:-1], lambda: x * -1, lambda: x.astype(np.float64), lambda: x[::-1], lambda: x[None],
        lambda: x + 10**12, lambda: np.array("x"), lambda: np.append(x, x[-1]), lambda: np.zeros_like(x), lambda: x[-1],
    ]  # fmt: skip
    arrays[name] = changes[int(rng.integers(len(changes)))]()
    np.savez(path, **arrays)


def damage(path: Path, rng: np.random.Generator) -> None:
    """Change one file."""
    if rng.random() < 0.02:
        path.write_bytes(b"")
    elif path.name in WEIGHTS and rng.random() < 0.8:
        change_weights(path, rng)
    elif path.suffix == ".npz" and rng.random() < 0.6:
        change_index(path, rng)
    elif path.suffix == ".ids" and rng.random() < 0.6:
        ids = np.fromfile(path, np.int32)
        ids[int(rng.integers(len(ids)))] = [-1, 10**9, -(2**31), 10**4][int(rng.integers(4))]
        ids.tofile(path)
    elif path.suffix == ".json" and rng.random() < 0.6:
        path.write_text(json.dumps(change_json(json.loads(path.read_text()), rng)))
    elif path.suffix in (".json", ".txt") and rng.random() < 0.7:
        path.write_text(change_text(path.read_text(), rng), errors="surrogatepass")
    else:
        path.write_bytes(change_bytes(path.read_bytes(), rng))


# ------------------------------------------------------------------------------------------------- what reads them


def make_folders(base: Path) -> dict[str, Path]:
    """A checkpoint, a pretraining run and a fine-tuning run, both at their last step but one or at the end."""
    cases.checkpoint(base / "bert", num_hidden_layers=1)
    cases.write_classify(base / "train.tsv", 24)
    words = " ".join(cases.WORDS[:20])
    (base / "corpus.txt").write_text("\n".join(f"{words}.\n{words}\n" for _ in range(20)))
    small = ["--threads", 1, "--batch-size", 4]
    run = ["pretrain", "--corpus", base / "corpus.txt", "--tokenizer", base / "bert", "--layers", 1, "--hidden", 16, *small]
    run += ["--steps", 3, "--length", 12, "--long-length", 40, "--save-every", 1, "--output", base / "pretrained"]
    tuned = ["finetune", "classify", "--train", base / "train.tsv", "--model", base / "bert", "--epochs", 1, *small]
    tuned += ["--compare", "none", "--output", base / "tuned"]
    for argv, trainer in ((run, pretraining.Run), (tuned, Trainer)):
        done = command(argv)
        assert done[0] == 0, done
        with stopped_at_step(2, trainer):
            assert command([*argv[:-1], base / "stopped"])[0] == 130
        (base / "stopped" / STATE).rename(argv[-1] / STATE)  # a state from which there is something left to do
        shutil.rmtree(base / "stopped")
    return {name: base / name for name in ("bert", "pretrained", "tuned")}


@contextlib.contextmanager
def stopped_at_step(number: int, trainer: Any) -> Iterator[None]:
    """Ctrl-C in a step of a run."""
    original = trainer.one_step

    def one_step(self: Any, *args: Any) -> Any:
        if self.step + 1 == number:
            signal.raise_signal(signal.SIGINT)
        return original(self, *args)

    trainer.one_step = one_step
    try:
        yield
    finally:
        trainer.one_step = original


def command(argv: list[Any]) -> tuple[Any, str, str]:
    """(status, standard output, standard error) of a command; the status of an exception is its traceback."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            status: Any = cli.main([str(word) for word in argv])
        except SystemExit as error:
            status = error.code
        except BaseException:
            status = traceback.format_exc()
    return status, out.getvalue(), err.getvalue()


def readers(folder: Path, base: Path) -> list[list[Any]]:
    """The commands that read a copy of one of the folders."""
    resumed = {"pretrained": "pretrain", "tuned": "finetune"}
    commands: list[list[Any]] = [
        ["fill-mask", "--model", folder, "the [MASK] sat."],
        ["embed", "--model", folder, "the film", "a good book", "--json"],
    ]
    if folder.name == "bert":
        data = ["--train", base / "train.tsv", "--epochs", 1, "--compare", "none", "--threads", 1, "--batch-size", 16]
        commands.append(["finetune", "classify", *data, "--model", folder, "--output", folder / "out"])
    if folder.name == "tuned":
        commands = [["predict", "--model", folder, "a good film", "--json"]]
    if folder.name in resumed:
        commands.append([resumed[folder.name], "--resume", "--output", folder])
    return commands


def faults(folder: Path, damaged: Path, base: Path) -> list[str]:
    """What the commands do other than answer with numbers, or name the file in one or two lines and return 2."""
    found = []
    if damaged.name in WEIGHTS:
        try:
            minitorch.load(damaged)
        except (ValueError, OSError) as error:
            if str(damaged) not in str(error) or len(str(error)) > 1000:
                found.append(f"minitorch.load: {str(error)[:2000]}")
        except BaseException:
            found.append(f"minitorch.load: {traceback.format_exc()}")
    for argv in readers(folder, base):
        status, out, err = command(argv)
        said = err.replace("\r", "\n").strip().splitlines()
        said = [line for line in said if "step/s]" not in line and "it/s]" not in line]
        if status == 0 and not NO_NUMBER.search(out):
            continue
        one = " ".join(said)
        if status == 2 and len(said) <= 2 and str(folder) in one and len(one) <= 1200:
            continue
        found.append(f"{argv[0]}: status {status}\n{out[-300:]}\n{err[-1500:]}")
    return found


def try_one(folders: dict[str, Path], base: Path, seed: int) -> list[str]:
    """Damage one file of a copy of a folder, and read it."""
    rng = np.random.default_rng(seed)
    name = list(folders)[int(rng.integers(len(folders)))]
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / name
        shutil.copytree(folders[name], folder)
        read = {"config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json", "finetune.json", *WEIGHTS}
        files = [path for path in sorted(folder.rglob("*")) if path.name in read or path.parent.name == "data"]
        path = files[int(rng.integers(len(files)))]
        if path.name in ("vocab.txt", "tokenizer_config.json"):
            (path.parent / "tokenizer.json").unlink()  # only then are they read
        damage(path, rng)
        return [f"seed {seed}, {path.relative_to(room)}: {fault}" for fault in faults(folder, path, base)]


def main() -> None:
    """Look for faults with many seeds."""
    count, first = int(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    with tempfile.TemporaryDirectory() as room:
        base = Path(room)
        folders = make_folders(base)
        for seed in range(first, first + count):
            started = time.perf_counter()
            for fault in try_one(folders, base, seed):
                print(fault, "\n", flush=True)
            if (seconds := time.perf_counter() - started) > 10:
                print(f"seed {seed} took {seconds:.0f} s\n", flush=True)
        print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB of memory")


if __name__ == "__main__":
    main()
