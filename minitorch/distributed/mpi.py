"""The ranks that mpiexec or srun started, by mpi4py: sums, copies, and an end for all when one of them fails.

MPI itself waits for ever for a rank that has ended, and has no word for "I cannot go on". So operations are non-blocking and
polled; between two looks a rank reads the notices of the others. A notice says that a rank has failed, or that it is waiting
too: at the end of ``timeout`` those that said neither are the silent ones. A thread of its own may block, because Python gives it
few chances to poll while the main thread computes; the main thread looks for it.
Read before: nothing. Read next: buckets.py.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
import threading
import time
import warnings
from typing import Any, NoReturn

import numpy as np

from ..devices import is_cupy
from . import wire as formats
from .nccl import GPUs

SPIN, LOOK, SLOW = 0.002, 0.2, 2.0  # seconds of waiting: until it sleeps between looks, between notices read, until it tells
PATIENCE = 30.0  # seconds in which all ranks answer a failure


class OtherRankFailed(Exception):
    """Another rank has failed, and says so; this one has nothing to add."""


class Ranks:
    """All processes of a run. ``rank`` of ``size`` is this one, ``local_rank`` of ``local_size`` on its machine."""

    def __init__(self, timeout: float) -> None:
        import mpi4py

        mpi4py.rc.finalize = False  # at the end of a rank that failed it would wait for the others
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about another MPI's launcher: __init__.py says it in one line
            try:
                from mpi4py import MPI
            except (ImportError, RuntimeError) as error:
                reason = str(error).partition("\n")[0]
                raise RuntimeError(f"mpi4py finds no MPI ({reason}): pip install mpich, or load your cluster's module") from error

        self.MPI, self.world, self.notices = MPI, MPI.COMM_WORLD, MPI.COMM_WORLD.Dup()
        machine = self.world.Split_type(MPI.COMM_TYPE_SHARED, self.world.rank)
        self.rank, self.size, self.local_rank, self.local_size = self.world.rank, self.world.size, machine.rank, machine.size
        self.timeout = timeout
        self.operations = self.told = 0
        self.here = threading.local()
        self.bytes, self.seconds = 0, 0.0  # sent (as a ring would), and spent in operations
        self.heard: dict[int, dict[str, Any]] = {}
        self.sending: list[Any] = []
        import socket  # 1 ms, which every `import minitorch` would pay

        names = [f"{socket.gethostname()}, process {os.getpid()}".encode()]
        self.names = [name.decode() for name in (self.gather(names[0]) if self.size > 1 else names)]

    @functools.cached_property
    def gpus(self) -> GPUs:
        """NCCL, started when it is first needed."""
        return GPUs(self)

    # ------------------------------------------------------------------------------------------------ operations

    def reduce(self, array: Any, op: str = "sum", wire: str = "float32") -> None:
        """The sum (or max, min) of all ranks' arrays, in each rank's array. The same bits on all ranks, and in each run."""
        if is_cupy(array):
            self.gpus.reduce(array, op, wire)
            self.gpus.join()
        elif wire != "float32" and array.dtype == np.float32 and op == "sum":
            formats.reduce(self, array, wire)
        elif array.dtype.kind not in "iuf" or array.dtype.itemsize == 2:  # what MPI cannot add
            wide = array.astype(np.float32 if array.dtype.kind not in "iub" else np.int32)
            self.reduce(wide, op)
            array[...] = wide
        else:
            whole = array if array.flags.c_contiguous else np.ascontiguousarray(array)
            kind = {"sum": self.MPI.SUM, "max": self.MPI.MAX, "min": self.MPI.MIN, "product": self.MPI.PROD}[op]
            self.run("allreduce", self.MPI.IN_PLACE, whole, kind, size=2 * array.nbytes * (self.size - 1) // self.size)
            if whole is not array:
                array[...] = whole

    def broadcast(self, array: Any, src: int) -> None:
        """Rank src's array, in each rank's."""
        if is_cupy(array):
            self.gpus.broadcast(array, src)
            return self.gpus.join()
        whole = np.ascontiguousarray(array)
        self.run("bcast", whole.reshape(-1).view(np.uint8), src, size=array.nbytes)
        if whole is not array:
            array[...] = whole
        return None

    def gather(self, data: bytes) -> list[bytes]:
        """Each rank's bytes, on all ranks."""
        sizes = np.zeros(self.size, np.int64)
        self.run("allgather", np.array([len(data)], np.int64), sizes, size=8)
        joined = bytearray(int(sizes.sum()))
        self.run("allgatherv", [data, self.MPI.BYTE], [joined, sizes, self.MPI.BYTE], size=len(data))
        ends = np.cumsum(sizes)
        return [bytes(joined[end - n : end]) for n, end in zip(sizes, ends, strict=True)]

    def barrier(self, limited: bool = True) -> None:
        """Wait for all ranks; not ``limited``: as long as it takes, since one of them has work of its own."""
        self.run("barrier", limited=limited)

    def run(self, name: str, *arguments: Any, size: int = 0, limited: bool = True) -> None:
        """An operation of MPI, by all ranks; OtherRankFailed if it will never be complete. size: the bytes that it sends."""
        self.operations += 1
        started, looked = time.perf_counter(), 0.0
        if getattr(self.here, "blocks", False):
            getattr(self.world, name.capitalize())(*arguments)
        request = self.MPI.REQUEST_NULL if getattr(self.here, "blocks", False) else getattr(self.world, f"I{name}")(*arguments)
        while not request.Test():
            waited = time.perf_counter() - started
            time.sleep(0 if waited < SPIN else 0.0005 if waited < SLOW else 0.01)  # each look moves a long message on
            if waited > looked + LOOK:
                looked = waited
                self.look(waited, self.timeout if limited else math.inf)
        self.bytes += size
        self.seconds += time.perf_counter() - started

    def may_block(self) -> None:
        """In this thread operations block."""
        self.here.blocks = True

    def until_done(self, future: Any) -> None:
        """Wait for such a thread."""
        started = time.perf_counter()
        while not future.done():
            with contextlib.suppress(TimeoutError):
                future.result(LOOK)
                break
            self.look(time.perf_counter() - started, self.timeout)
        future.result()

    # ------------------------------------------------------------------------------------------------- failures

    def look(self, waited: float, timeout: float) -> None:
        """Read the notices; tell that this rank is waiting; after ``timeout`` end the run, and name those that are silent."""
        self.listen()
        if any("status" in notice for notice in self.heard.values()):
            raise OtherRankFailed("another rank has failed")
        if waited > min(SLOW, timeout / 2) and self.told != self.operations:
            self.told = self.operations
            self.tell(waiting=self.operations)
        if waited > timeout:
            awake = [r for r, notice in self.heard.items() if notice.get("waiting", -9) >= self.operations - 1]
            silent = [r for r in range(self.size) if r != self.rank and r not in awake]
            time.sleep(0 if self.rank < min(awake, default=self.size) else 5)  # one of us says it
            self.abort(f"{self.named(silent)} silent for {timeout:.0f} s: the run ends; its last saved state is whole")

    def named(self, ranks: list[int]) -> str:
        """ "rank 3 (host, process 17) is" """
        names = ", ".join(f"rank {r} ({self.names[r]})" for r in ranks[:8]) or "one of the ranks"
        return f"{names} {'are' if len(ranks) > 1 else 'is'}"

    def tell(self, **notice: Any) -> None:
        """Send a notice to all other ranks."""
        data = json.dumps(notice).encode()
        others = [r for r in range(self.size) if r != self.rank]
        self.sending += [self.notices.Isend([data, self.MPI.BYTE], r) for r in others]

    def listen(self) -> None:
        """Read the notices that have arrived."""
        status = self.MPI.Status()
        while self.notices.Iprobe(status=status):
            data = bytearray(status.Get_count(self.MPI.BYTE))
            self.notices.Recv([data, self.MPI.BYTE], status.source)
            self.heard.setdefault(status.source, {}).update(json.loads(data))

    def leave(self, status: int, text: str | None) -> int:
        """Leave the run, and return this process's exit status. text: why, if this rank failed; None if it only heard of it.

        The lowest rank that failed prints its text, once all ranks have answered; all end with its status.
        """
        self.tell(status=status, failed=text is not None)
        mine = {"status": status, "failed": text is not None}
        answered = self.until(lambda: len(self.statuses()) == self.size - 1)
        everyone = {self.rank: mine, **self.statuses()}
        speaker = min((r for r, notice in everyone.items() if notice["failed"]), default=self.rank)
        if speaker == self.rank and text:
            print(text.rstrip(), file=sys.stderr, flush=True)
        self.tell(printed=True)
        self.until(lambda: speaker == self.rank or "printed" in self.heard.get(speaker, {}))
        self.until(lambda: self.MPI.Request.Testall(self.sending), 2.0)
        if not answered:
            self.abort("")
        status = int(everyone[speaker]["status"])
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        last = threading.Timer(10, os._exit, [status])  # should an operation that was begun hold the end up
        last.daemon = True
        last.start()
        self.MPI.Finalize()  # or mpiexec would kill the ranks that are slower to end
        return status

    def statuses(self) -> dict[int, Any]:
        """The ranks that have failed, or answered a failure."""
        return {r: notice for r, notice in self.heard.items() if "status" in notice}

    def until(self, true: Any, seconds: float = PATIENCE) -> bool:
        """Read notices until something is true, or time is up."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                return False
            self.listen()
            time.sleep(0.005)
        return True

    def abort(self, text: str) -> NoReturn:
        """End all processes at once, whatever they are doing."""
        if text:
            print(f"\nminitorch: error: {text}", file=sys.__stderr__, flush=True)  # after a progress bar
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would say it again in its own words
        self.world.Abort(1)
        os._exit(1)

    def close(self) -> None:
        """The end of a run in which all went well."""
        self.barrier(limited=False)
        self.MPI.Finalize()
