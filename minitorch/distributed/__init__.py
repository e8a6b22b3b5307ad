"""Several processes, on one machine or many, under the names of torch.distributed.

    mpiexec -n 4 python train.py

    dist.init_process_group()                     # MPI's ranks; one process if nothing was launched
    dist.all_reduce(x)                            # x becomes the sum over all ranks

Backends: "mpi" for arrays in a machine's memory (mpi4py), "nccl" for those of GPUs, too (CuPy; MPI starts it). Read mpi.py,
buckets.py, wire.py, nccl.py; nn/parallel.py and data/distributed.py are built on them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from .. import blas
from ..changes import mark_changed
from ..devices import array_module
from ..tensor import Tensor
from .buckets import Buckets as Buckets
from .mpi import OtherRankFailed as OtherRankFailed
from .mpi import Ranks

TIMEOUT = timedelta(minutes=30)  # PyTorch's
STARTED_BY = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # how many, as mpiexec and srun say it
_group: Any = None  # Ranks of mpi.py, or None: one process
_backend: str | None = None


class ReduceOp:
    """What all_reduce does with the ranks' numbers."""

    SUM, PRODUCT, MIN, MAX, AVG = "sum", "product", "min", "max", "avg"


def is_available() -> bool:
    """Is mpi4py installed?"""
    import importlib.util

    return importlib.util.find_spec("mpi4py") is not None


def init_process_group(backend: str | None = None, timeout: timedelta = TIMEOUT) -> None:
    """Join the ranks that mpiexec or srun started; without them this is one process, rank 0 of 1.

    backend: "mpi" (the default) or "nccl"; both add arrays of GPUs by NCCL, which starts with the first of them. A rank that
    keeps the others waiting for ``timeout`` ends the run.
    """
    global _group, _backend
    if _backend is not None:
        raise RuntimeError("init_process_group: it was called before; destroy_process_group() undoes it")
    if backend not in (None, "mpi", "nccl"):
        raise ValueError(f'init_process_group: backend must be "mpi" or "nccl", not {backend!r}')
    launched = [os.environ[name] for name in STARTED_BY if name in os.environ]
    if launched and launched[0] != "1":
        if not is_available():
            raise RuntimeError("several processes were started, which need mpi4py to find each other: pip install mpi4py mpich")
        _group = Ranks(timeout.total_seconds())
        if _group.size == 1:
            library, _group = _group.MPI.Get_library_version().partition("\n")[0].strip()[:40], None
            raise RuntimeError(
                "several processes were started, but mpi4py sees one: that mpiexec belongs to another MPI than the one that "
                f"mpi4py uses ({library}); use the mpiexec installed with it"
            )
        _share_cores(_group.local_size)
    _backend = backend or "mpi"


def _share_cores(ranks: int) -> None:
    """Give BLAS this rank's share of the machine's cores, unless the user chose a number.

    Ranks whose products each take all cores wait for each other's threads: on two cores two ranks took 8 times as long.
    """
    if not blas.chosen and blas.functions() is not None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        blas.widen(max(1, min(blas.get_num_threads(), cores // ranks)))


def destroy_process_group() -> None:
    """Leave, when all ranks do."""
    global _group, _backend
    if _group is not None:
        _group.close()
    _group = _backend = None


def is_initialized() -> bool:
    """Was init_process_group called?"""
    return _backend is not None


def get_backend() -> str:
    """ "mpi" or "nccl" """
    _need("get_backend")
    return str(_backend)


def get_rank() -> int:
    """This process's number, 0 ... get_world_size() - 1; 0 where init_process_group was not called."""
    return 0 if _group is None else int(_group.rank)


def get_world_size() -> int:
    """How many processes there are; 1 where init_process_group was not called."""
    return 1 if _group is None else int(_group.size)


def get_node_local_rank() -> int:
    """This process's number among those of its machine: the GPU it should use."""
    return 0 if _group is None else int(_group.local_rank)


def current() -> Any:
    """The ranks (mpi.py); None where this is one process."""
    return _group


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """A block in which this process acts as if it were the only one; the others wait at a barrier, or do without it."""
    global _group
    before, _group = _group, None
    try:
        yield
    finally:
        _group = before


def all_reduce(tensor: Tensor, op: str = ReduceOp.SUM) -> None:
    """The sum over all ranks (or op: product, min, max, avg), in place, on each of them."""
    _need("all_reduce")
    if op not in (known := [value for name, value in vars(ReduceOp).items() if name.isupper()]):
        raise ValueError(f"all_reduce: op must be one of {', '.join(known)}, not {op!r}")
    if _group is not None:
        _group.reduce(tensor.array, "sum" if op == "avg" else op)
        if op == "avg":
            tensor.array[...] = tensor.array / _group.size
        mark_changed(tensor.array)


def average(tensors: Sequence[Tensor], wire: str = "float32") -> None:
    """The mean over all ranks of each tensor, in place; many are one message. wire: as they travel (wire.py)."""
    _need("average")
    if _group is None:
        return
    for kind in {(t.dtype, t.device) for t in tensors}:
        some = [t for t in tensors if (t.dtype, t.device) == kind]
        joined = array_module(some[0].array).concatenate([t.array.reshape(-1) for t in some])
        _group.reduce(joined, wire=wire)
        start = 0
        for t in some:
            t.array[...] = (joined[start : start + t.numel()] / _group.size).reshape(t.shape)
            mark_changed(t.array)
            start += t.numel()


def broadcast(tensor: Tensor, src: int = 0) -> None:
    """Rank ``src``'s values, in place, on each rank."""
    _need("broadcast")
    _check_rank("broadcast", src)
    if _group is not None:
        _group.broadcast(tensor.array, src)
        mark_changed(tensor.array)


def all_gather(tensor_list: list[Tensor], tensor: Tensor) -> None:
    """Each rank's tensor, in place, in ``tensor_list``: one of its shape and dtype for each rank."""
    _need("all_gather")
    if len(tensor_list) != get_world_size():
        raise ValueError(f"all_gather: {len(tensor_list)} tensors to fill, but {get_world_size()} ranks")
    for src, target in enumerate(tensor_list):
        if (target.shape, target.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"all_gather: {target.dtype} {tuple(target.shape)} cannot hold {tensor.dtype} {tuple(tensor.shape)}")
        if src == get_rank():
            target.array[...] = tensor.array
        broadcast(target, src)


def all_gather_object(object_list: list[Any], obj: Any) -> None:
    """Each rank's object, in ``object_list``. It travels as JSON, never as a pickle: dicts, lists, strings, numbers and None."""
    _need("all_gather_object")
    data = json.dumps(obj).encode()
    object_list[:] = [json.loads(part) for part in ([data] if _group is None else _group.gather(data))]


def barrier() -> None:
    """Wait for all ranks."""
    _need("barrier")
    if _group is not None:
        _group.barrier()


def _need(name: str) -> None:
    if _backend is None:
        raise ValueError(f"{name}: call init_process_group() first")


def _check_rank(name: str, rank: int) -> None:
    if not 0 <= rank < get_world_size():
        raise ValueError(f"{name}: there is no rank {rank} among {get_world_size()}")
