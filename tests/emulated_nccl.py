"""NCCL for the stand-in of CuPy: sums by MPI, of memory that is named by its address, as NCCL's calls name it.

It says nothing of speed. Streams note that they were waited for; what is started on one is done at once.
"""

import ctypes
import types

import numpy as np

TYPES = {"FLOAT32": "f4", "FLOAT64": "f8", "FLOAT16": "f2", "INT64": "i8", "INT32": "i4", "UINT8": "u1", "INT8": "i1"}
KINDS = ("SUM", "PROD", "MAX", "MIN")
waits = []  # pairs: which stream waited for which


class Stream:
    """A queue of the GPU."""

    ptr = 7

    def __init__(self, non_blocking=False):
        assert non_blocking

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def record(self):
        return self

    def wait_event(self, event):
        waits.append((self, event))


class Communicator:
    """nccl.NcclCommunicator(ndev, commId, rank)"""

    def __init__(self, count, name, rank):
        from mpi4py import MPI

        assert len(name) == 128
        assert all(-128 <= byte < 128 for byte in name)
        self.MPI, self.world = MPI, MPI.COMM_WORLD
        assert (count, rank) == (self.world.size, self.world.rank)

    @staticmethod
    def array(address, count, kind):
        """The numbers at an address."""
        dtype = np.dtype(TYPES[kind])
        return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)

    def allReduce(self, sent, received, count, kind, how, stream):
        assert stream == Stream.ptr
        x = self.array(sent, count, kind)
        wide = x.astype(np.float32) if kind == "FLOAT16" else x.copy()
        self.world.Allreduce(self.MPI.IN_PLACE, wide, getattr(self.MPI, how))
        self.array(received, count, kind)[...] = wide

    def bcast(self, address, count, kind, root, stream):
        assert stream == Stream.ptr
        self.world.Bcast(self.array(address, count, kind), root)


def install(cupy):
    """Give the stand-in NCCL and streams."""
    names = {f"NCCL_{name}": name for name in (*TYPES, *KINDS)}
    unique = lambda: tuple(range(-64, 64))  # noqa: E731
    cupy.cuda.nccl = types.SimpleNamespace(available=True, get_unique_id=unique, NcclCommunicator=Communicator, **names)
    cupy.cuda.Stream = Stream
    current = Stream(non_blocking=True)
    cupy.cuda.get_current_stream = lambda: current
