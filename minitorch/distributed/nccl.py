"""Sums between GPUs by NCCL, through CuPy: one GPU per rank, on one machine or many; MPI carries only the start.

A GPU does what its streams say, and Python only fills them. So no thread is needed here: the sum of a bucket waits, in a
stream of its own, for the kernels that filled the bucket, and runs next to those that fill the next one. Read before: mpi.py.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .. import dtypes
from ..devices import cupy_with_a_gpu

MISSING = "sums between GPUs need NCCL: pip install nvidia-nccl-cu13 (or -cu12, as your CUDA is)"
NAMES = {
    "float32": "FLOAT32", "float64": "FLOAT64", "float16": "FLOAT16", "bfloat16": "BFLOAT16", "int64": "INT64", "int32": "INT32",
    "uint8": "UINT8", "int8": "INT8",
}  # fmt: skip


class GPUs:
    """NCCL's communicator of all ranks, each with its current GPU."""

    def __init__(self, ranks: Any) -> None:
        self.cupy = cupy_with_a_gpu()
        if not getattr(getattr(self.cupy.cuda, "nccl", None), "available", False):
            raise RuntimeError(MISSING)
        self.nccl = self.cupy.cuda.nccl
        mine = list(self.nccl.get_unique_id()) if ranks.rank == 0 else []
        name = json.loads(ranks.gather(json.dumps(mine).encode())[0])
        self.communicator = self.nccl.NcclCommunicator(ranks.size, tuple(name), ranks.rank)
        self.stream = self.cupy.cuda.Stream(non_blocking=True)

    def reduce(self, array: Any, op: str = "sum", wire: str = "float32") -> None:
        """Start the sum (or max, min, product) of all ranks' arrays, in place; ``join`` before it is read."""
        self.stream.wait_event(self.cupy.cuda.get_current_stream().record())
        with self.stream:
            half = array.dtype == np.float32 and wire != "float32"
            sent = array.astype(getattr(dtypes, wire)) if half else self.cupy.ascontiguousarray(array)
            kind = getattr(self.nccl, f"NCCL_{NAMES[sent.dtype.name]}")
            how = getattr(self.nccl, f"NCCL_{'PROD' if op == 'product' else op.upper()}")
            self.communicator.allReduce(sent.data.ptr, sent.data.ptr, sent.size, kind, how, self.stream.ptr)
            if sent is not array:
                array[...] = sent

    def broadcast(self, array: Any, src: int) -> None:
        """Start to copy rank src's array into each rank's."""
        self.stream.wait_event(self.cupy.cuda.get_current_stream().record())
        with self.stream:
            sent = self.cupy.ascontiguousarray(array)
            self.communicator.bcast(sent.data.ptr, sent.nbytes, self.nccl.NCCL_UINT8, src, self.stream.ptr)
            if sent is not array:
                array[...] = sent

    def join(self) -> None:
        """Let the kernels that follow wait for what was started."""
        self.cupy.cuda.get_current_stream().wait_event(self.stream.record())
