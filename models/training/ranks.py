"""A training run on several ranks (mpiexec, srun): who does what, and what they must agree on.

Every rank runs the same program. They share each batch as threads do, and rank 0 alone writes. In a run of one process every
function here does nothing. Read before: minitorch/distributed. Read next: pretraining.py.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import minitorch
from minitorch import Tensor, distributed
from minitorch.parallel import Rows, cut

from ..errors import BadInput, count, quoted
from .loop import between_steps
from .settings import flag

T = TypeVar("T")


def size() -> int:
    """How many ranks there are."""
    return distributed.get_world_size()


def is_first() -> bool:
    """Is this the rank that writes?"""
    return distributed.get_rank() == 0


def shares(n: int, parts: int) -> list[Rows]:
    """This rank's examples of a batch of n, in at most so many micro-batches; none where there are fewer examples than ranks."""
    first, stop = cut(n, size())[distributed.get_rank()]
    return [(first + a, first + b) for a, b in cut(stop - first, max(1, min(parts, stop - first))) if a < b]


def own(items: Sequence[T]) -> Sequence[T]:
    """This rank's part of work that has no order: every size()-th item."""
    return items[distributed.get_rank() :: size()]


def totals(*numbers: float) -> list[float]:
    """Each number summed over all ranks."""
    group = distributed.current()
    if group is None:
        return [float(x) for x in numbers]
    array = np.array(numbers, np.float64)
    group.reduce(array)
    return list(array.tolist())


def first_before_others(action: Callable[[bool], T]) -> T:
    """action(True) on rank 0, however long it takes; then action(False) on the others."""
    group = distributed.current()
    if group is None or is_first():
        result = action(True)
    if group is not None:
        group.barrier(limited=False)
    return result if is_first() else action(False)


def by_first(action: Callable[[], Any]) -> Any:
    """Rank 0 does it, however long it takes, and all ranks get its result (as JSON)."""
    group = distributed.current()
    if group is None:
        return action()
    result = json.dumps(action()).encode() if is_first() else b""
    group.barrier(limited=False)
    return json.loads(group.gather(result)[0])


def quiet(say: Callable[[str], None]) -> Callable[[str], None]:
    """``say`` on rank 0; silence on the others."""
    return say if is_first() else lambda _: None


class Team:
    """The ranks as one training loop sees them: gradients added up, and what all must know at the same step."""

    def __init__(self, settings: Any) -> None:
        self.group = distributed.current()
        self.wire = getattr(settings, "wire", "float32")
        self.local_steps = 1 if self.group is None else getattr(settings, "local_steps", 1)
        self.buckets: distributed.Buckets | None = None
        self.interrupt = threading.Event()
        self.stopping, self.met = False, True

    @contextlib.contextmanager
    def training(self, parameters: Iterable[Tensor]) -> Iterator[None]:
        """A block in which gradients are added up, and Ctrl-C stops between two steps."""
        with contextlib.ExitStack() as stack:
            self.interrupt = stack.enter_context(between_steps())
            self.parameters = [p for p in parameters if p.requires_grad]
            if self.group is not None:
                for p in self.parameters:  # machines of different kinds may have rounded differently
                    self.group.broadcast(p.array, 0)
            if self.group is not None and self.local_steps == 1:
                self.buckets = distributed.Buckets(self.parameters, self.group, self.wire).watch()
                stack.callback(self.buckets.close)
            yield

    def totals(self, *numbers: float) -> list[float]:
        """Each number summed over the ranks that share a step; and does one want to stop? (Ctrl-C reaches them at different
        steps.)"""
        if self.group is None or self.local_steps > 1:
            return list(numbers)
        *sums, asked = totals(*numbers, float(self.interrupt.is_set()))
        self.stopping = asked > 0
        return sums

    def meet(self, step: int, must: bool, optimizer: Any) -> None:
        """After a step. Local SGD: every --local-steps steps (and if they must) the ranks average weights and Adam's moments.

        Stich (2019), "Local SGD converges fast and communicates little", https://arxiv.org/abs/1805.09767.
        """
        if self.local_steps == 1:
            return
        self.met = must or step % self.local_steps == 0
        if self.met:
            moments = [x for state in optimizer.state.values() for x in state.values() if isinstance(x, Tensor) and x.ndim]
            distributed.average([*self.parameters, *moments], self.wire)
            self.stopping = totals(float(self.interrupt.is_set()))[0] > 0

    def losses(self, parts: Sequence[float]) -> list[float]:
        """Losses of several steps; each rank has its examples' part of the mean or, with local steps, a mean of its own."""
        return [loss / size() if self.local_steps > 1 else loss for loss in totals(*parts)]

    @property
    def interrupted(self) -> bool:
        """Stop after this step?"""
        return self.interrupt.is_set() if self.group is None else self.stopping


# ------------------------------------------------------------------------------------------------------ exchanging


def merged(found: dict[int, Any]) -> dict[int, Any]:
    """What the ranks found, each under the numbers of its own items, as one dict on all ranks."""
    group = distributed.current()
    if group is None:
        return found
    parts = group.gather(json.dumps([[i, packed(row)] for i, row in found.items()]).encode())
    return {i: unpacked(row) for part in parts for i, row in json.loads(part)}


def packed(x: Any) -> Any:
    """A task's row as JSON has it: numbers, texts, arrays, and tuples and lists of them."""
    if isinstance(x, np.ndarray | np.generic):
        array = np.asarray(x)
        return {"dtype": array.dtype.str, "shape": array.shape, "bytes": base64.b64encode(array.tobytes()).decode()}
    return [type(x).__name__, *map(packed, x)] if isinstance(x, tuple | list) else x


def unpacked(x: Any) -> Any:
    """Undo packed."""
    if isinstance(x, dict):
        return np.frombuffer(base64.b64decode(x["bytes"]), x["dtype"]).reshape(x["shape"]).copy()
    if not isinstance(x, list):
        return x
    items = map(unpacked, x[1:])
    return tuple(items) if x[0] == "tuple" else list(items)


# ------------------------------------------------------------------------------------------------------- agreeing


def agree(what: dict[str, Any], cure: str) -> None:
    """BadInput, on all ranks, unless these facts are the same on all of them."""
    group = distributed.current()
    if group is None:
        return
    mine = json.dumps({name: str(value) for name, value in what.items()}).encode()
    everyone = [json.loads(other) for other in group.gather(mine)]
    for rank, other in enumerate(everyone):
        for name in everyone[0].keys() | other.keys():
            a, b = everyone[0].get(name), other.get(name)
            if a != b:
                where = f"rank {rank} ({group.names[rank]})"
                raise BadInput(f"the ranks differ: {name} is {quoted(a)} on rank 0, {quoted(b)} on {where}; {cure}")


def agree_on_settings(settings: Any, files: Sequence[str]) -> None:
    """The same options, versions and files on all ranks, and an example at least for each; and the threads that rank 0 found."""
    group = distributed.current()
    if group is None:
        return
    versions = {"minitorch": minitorch.__version__, "NumPy": np.__version__, "Python": ".".join(map(str, sys.version_info[:2]))}
    agree(versions, "install the same versions on all machines")
    options = {flag(name): value for name, value in dataclasses.asdict(settings).items() if name not in ("threads", "device")}
    agree(options, "start all ranks with the same command")
    agree({path: fingerprint(path) for path in files}, "give all machines the same files")
    check_enough(settings.batch_size, f"--batch-size {settings.batch_size}")
    threads = np.array([settings.threads or -1])
    group.broadcast(threads, 0)
    settings.threads = max(0, int(threads[0]))


def saved_settings(state: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """The settings of a state; with another number of ranks than wrote it, the threads are found again."""
    if state.get("ranks", 1) == size():
        return dict(state["settings"])
    return {**state["settings"], "threads": chosen.get("threads", 0)}


def agree_on_examples(data: Any) -> None:
    """The same examples on all ranks, and enough of them."""
    agree({"the content of the files": data.sha256}, "give all machines the same files")
    check_enough(len(data.train), count(len(data.train), "training example"))


def check_enough(examples: int, what: str) -> None:
    """BadInput unless there is an example for each rank."""
    if examples < size():
        raise BadInput(f"{what} on {size()} ranks: some would have nothing to do; start fewer")


def fingerprint(path: str) -> str:
    """The content of a file or, of a folder, of the files in it."""
    found = Path(path)
    if not found.exists():
        return "missing"
    digest = hashlib.sha256()
    for file in sorted(found.iterdir()) if found.is_dir() else [found]:
        if file.is_file():
            with open(file, "rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]
