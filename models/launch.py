"""The command as one of several ranks (mpiexec -n 4 minitorch pretrain ...): one of them prints, and all end together.

Rank 0 prints. What another rank would print is held back, and shown only if that rank is the first to fail. Each rank runs in a
child process: whatever ends it, a signal or the system that is out of memory, its parent is left to say which rank it was.
Imports the standard library only, as NumPy must come later. Read before: startup.py. Read next: training/ranks.py.
"""

from __future__ import annotations

import datetime
import io
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

SHARED = ("pretrain", "finetune", "seq2seq")  # jobs whose work ranks share
# Variables of hydra (MPICH, Intel MPI) and of Slurm with pmi2, of Open MPI, of Slurm: number of ranks, and this one
VARIABLES = (("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"))
TIMEOUT = "MINITORCH_TIMEOUT"  # seconds for which a rank may keep the others waiting


def launched() -> tuple[int, int] | None:
    """(rank, how many), if a launcher started several of us."""
    for size, rank in VARIABLES:
        if os.environ.get(size, "").isdigit() and os.environ.get(rank, "").isdigit() and int(os.environ[size]) > 1:
            return int(os.environ[rank]), int(os.environ[size])
    return None


def run(command: Callable[[Sequence[str]], int], argv: Sequence[str], rank: int, count: int) -> int:
    """``command`` as one rank of several; the exit status."""
    job = argv[0] if argv else ""
    if not job or job.startswith("-"):  # --help, --version
        return command(argv) if rank == 0 else 0
    if job not in SHARED:
        text = f"minitorch {job}: error: {count} processes were started, but only {', '.join(SHARED)} share work between them"
        return refuse(text, rank)
    if not hasattr(os, "fork"):
        return as_rank(command, argv)
    child = os.fork()
    if child == 0:
        return as_rank(command, argv)  # and to the program's ordinary end: MPI says goodbye to mpiexec there
    return watch(child, rank)


def refuse(text: str, rank: int) -> int:
    """One line, from one rank."""
    if rank == 0:
        print(text, file=sys.stderr, flush=True)
    return 2


def watch(child: int, rank: int) -> int:
    """Wait for the rank's process; when a signal ends it, say so. The exit status.

    Ctrl-C reaches that process too, as launchers signal the whole group; a second one would stop it at once, unsaved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda received, _: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    cause = "; the machine may be out of memory" if number == signal.SIGKILL else ""
    who = f"rank {rank} ({socket.gethostname()}, process {child})"
    name = signal.Signals(number).name
    print(f"\nminitorch: error: {who} was ended by {name}{cause}; the last saved state is whole", file=sys.stderr, flush=True)
    return 1


def as_rank(command: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Join the others, do the job, and leave with them."""
    from . import startup

    startup.prepare()
    from minitorch import distributed

    seconds = os.environ.get(TIMEOUT, "600")
    try:
        if not 0 < float(seconds) < 1e7:
            raise ValueError
        distributed.init_process_group(timeout=datetime.timedelta(seconds=float(seconds)))
    except (RuntimeError, ValueError) as error:
        text = str(error) if isinstance(error, RuntimeError) else f"{TIMEOUT} must be a number of seconds, not {seconds!r}"
        return refuse(f"minitorch {argv[0]}: error: {text}", (launched() or (0, 1))[0])
    group = distributed.current()
    held = io.StringIO()
    if group.rank:
        sys.stdout, sys.stderr = open(os.devnull, "w"), held  # noqa: SIM115  for the rest of the process
    status, heard = outcome(command, argv)
    if status == 0:
        distributed.destroy_process_group()
        return 0
    sys.stderr = sys.__stderr__
    own = "" if group.rank == 0 else f"rank {group.rank} ({group.names[group.rank]}): {what_failed(held.getvalue(), status)}"
    return int(group.leave(status, None if heard else own))


def outcome(command: Callable[[Sequence[str]], int], argv: Sequence[str]) -> tuple[int, bool]:
    """The job's exit status, and whether it failed only because another rank had."""
    from minitorch.distributed import OtherRankFailed

    try:
        return command(argv), False
    except OtherRankFailed:
        return 1, True
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None), False
    except BaseException as error:
        cause: Any = error
        while cause is not None:  # an error that came of it, on the way out
            if isinstance(cause, OtherRankFailed):
                return 1, True
            cause = cause.__cause__ or cause.__context__
        traceback.print_exc()
        return 1, False


def what_failed(held: str, status: int) -> str:
    """What a rank would have printed: its last line, or after an error of the program all of it."""
    lines = held.strip().splitlines() or ["ended"]
    return lines[-1] if status == 2 else "\n".join(lines)
