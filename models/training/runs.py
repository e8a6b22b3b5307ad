"""A run's folder and its protection: one run at a time, no overwriting.

A run that overwrites another writes to the folder NEW inside that run's folder, and takes its place when it is complete. Until
then the old run stays as it was, whatever happens to the new one (a full disk, Ctrl-C, a power cut).
Read before: settings.py. Read next: states.py.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minitorch import distributed
from minitorch.files import sweep

from ..errors import BadInput, count
from . import ranks

STATE = "training.safetensors"  # in the folder of a run that can be resumed
NOTHING_TO_RESUME = "nothing to resume; once it trains, a run writes it {} and at Ctrl-C. Start one without --resume"
NEW = ".new"  # in a run's folder: the unfinished run that will replace it
# Files of an old run that would be taken for the new one's where that has none of the name.
LEFT = (
    "model.safetensors", "config.json", "adapter_model.safetensors", "adapter_config.json", "model.safetensors.index.json",
    "added_tokens.json", "special_tokens_map.json", "finetune.json", "seq2seq.json", "run.json", "metrics.jsonl",
    "curve.png", "attention.png", "report.txt", "report.json", "report.png", "predictions.jsonl",
    "vocab.txt", "vocab.json", "merges.txt", "prompt.json", STATE, "events.out.tfevents.minitorch",
)  # fmt: skip


def refuse_overwriting(
    folder: str | Path, names: Iterable[str], overwrite: bool, cure: str = "use --resume, --overwrite or another --output"
) -> None:
    """Raise BadInput if the folder holds one of these files and the user did not ask to overwrite."""
    if not overwrite and any((Path(folder) / name).exists() for name in names):
        raise BadInput(f"{folder} holds a run already: {cure}")


def make_folder(folder: Path) -> None:
    """The run's folder, checked before training: BadInput if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        raise BadInput(f"--output {folder} is a file; give a folder") from None
    except OSError as error:
        raise BadInput(f"--output {folder}: cannot write there: {error.strerror}") from None


def new_folder(
    folder: Path, kept: Sequence[str], overwrite: bool, until: contextlib.ExitStack, say: Any = print, **cure: str
) -> Path:
    """Lock ``folder`` until the stack ends; return the folder for a new run: that one, or NEW in it where a run stands there."""
    refuse_overwriting(folder, kept, overwrite, **cure)
    if not folder.exists():
        until.callback(remove_if_empty, folder)
    make_folder(folder)
    until.enter_context(alone_in(folder))
    refuse_overwriting(folder, kept, overwrite, **cure)  # another run may have finished meanwhile
    new = folder / NEW
    shutil.rmtree(new, ignore_errors=True)
    if not any((folder / name).exists() for name in kept):
        return folder
    new.mkdir()
    say(f"the run in {folder} stays as it is until this one, in {new}, is complete")
    until.callback(clean, folder)
    return new


def folder_to_resume(folder: Path, when: str, until: contextlib.ExitStack) -> Path:
    """Lock ``folder`` until the stack ends; return where the state of the run to resume is. ``when``: a run writes one."""
    if not (unfinished(folder) / STATE).is_file():
        raise BadInput(f"{folder / STATE}: {NOTHING_TO_RESUME.format(when)}")
    until.enter_context(alone_in(folder))
    return unfinished(folder)


def unfinished(folder: Path) -> Path:
    """The folder of the run to resume: NEW if a run that overwrites this one has saved a state."""
    return folder / NEW if (folder / NEW / STATE).is_file() else folder


def how_to_go_on(job: str, folder: Path, output: str) -> str:
    """What to do after Ctrl-C, which saves a state unless it comes before the first step."""
    if (folder / STATE).is_file():
        return f"minitorch {job} --resume --output {shlex.quote(output)} continues from there"
    return "nothing is saved yet, so the same command starts again"


def continuing(step: int, steps: int) -> str:
    """What a resumed run says first."""
    if step < steps:
        return f"continuing at step {step:,} of {steps:,}"
    return f"this run has made all of its {count(steps, 'step')}: nothing is left to train, what follows is its report again"


def train_and_report(job: str, run: Any, report: Callable[[Any], Any]) -> None:
    """Train a run, report on it, and give it its place; after Ctrl-C say how to go on. ``job``: the command's name."""
    trainer, output = run.trainer, run.s.output
    try:
        run.train()
    except KeyboardInterrupt:
        print(f"\nstopped at step {trainer.step:,}; {how_to_go_on(job, run.folder, output)}")
        raise
    ranks.by_first(lambda: report_on(job, run, report))


def report_on(job: str, run: Any, report: Callable[[Any], Any]) -> None:
    """The second half of train_and_report, which one rank does alone."""
    trainer, output = run.trainer, run.s.output
    early = " (stopped early)" if trainer.step < trainer.steps else ""
    print(f"trained for {trainer.seconds:.0f} s, {count(trainer.step, 'step')}{early}\n")
    try:
        with distributed.alone():
            report(run)
    except KeyboardInterrupt:
        print(f"\nthe model is trained and saved; minitorch {job} --resume --output {shlex.quote(output)} writes the report")
        raise
    run.folder = complete(run.folder, Path(output))


def complete(new: Path, folder: Path) -> Path:
    """Give a complete run its place: by renaming, which needs no space; the state last, so that --resume repeats a half move."""
    if new == folder:
        return folder
    files = [path.relative_to(new) for path in new.rglob("*") if path.is_file()]
    files = sorted(files, key=lambda path: path.name == STATE)
    for path in files:
        if path == files[-1]:
            for name in set(LEFT) - {path.name for path in files}:
                (folder / name).unlink(missing_ok=True)
        (folder / path).parent.mkdir(exist_ok=True)
        os.replace(new / path, folder / path)
    shutil.rmtree(new)
    return folder


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one process at a time. The system frees the lock when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle, locked = os.open(folder, os.O_RDONLY), False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except BlockingIOError:
        os.close(handle)
        raise BadInput(f"{folder}: another run is writing there now; wait for it, or give another --output") from None
    except OSError:  # a file system without locks
        pass
    if locked:
        clean(folder)
    try:
        yield
    finally:
        os.close(handle)


def remove_if_empty(folder: Path) -> None:
    """After an error nothing is left of a run that wrote nothing."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def clean(folder: Path) -> None:
    """Remove the remains of processes that were killed; the folder is locked, so nobody else is writing there."""
    if not (folder / NEW / STATE).is_file():
        shutil.rmtree(folder / NEW, ignore_errors=True)
    for part in (folder, folder / "data", folder / NEW, folder / NEW / "data"):
        sweep(part)
